"""REPLACE where the venue has no amend: cancel, wait for the final traded size, then a new order for what is left.

The steps, and the rule that there are never two live orders at once
1. The present leg is canceled, again and again until the venue says that it is over. Meanwhile its end is held back
   (`LegWatch`): whoever hears of it, stream, settlement or recovery, hears of an order that still works.
2. It was filled, or ended for another reason than our cancel; nothing is left of the new total; somebody canceled the
   order or everything; the last checks (kill switch, deadline, epoch) do not pass: the end is told as it is, and the
   replacement refused.
3. A new leg (legs.py) over total - traded is created, with the end of life, post-only and reduce-only of the first.
   Refused: the order is over, its end is told, and the replacement refused with the venue's reason.
4. What became of the new leg is told by the stream, else asked for. Without an answer to the create: the leg is
   forbidden to come to life by a remembered cancel, and counts as absent when the order query says so after that.

A crash between the steps leaves at most one live leg. The next engine finds the legs at the venue
(account_fetcher.py), and settles the request like any without an answer.

Who calls it: oms.py, one task a REPLACE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.grvt.account_fetcher import GrvtAccountFetcher
from exchanges.grvt.error_codes import NOT_LOGGED_IN
from exchanges.grvt.legs import MOST_LEGS, LegWatch
from exchanges.grvt.order_codec import OrderCodec
from exchanges.grvt.order_messages import Reply
from exchanges.order_events import copy_request, refusal
from exchanges.order_wire import UnsupportedRequest, answer
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.verdict import Outcome
from shm.clock import monotonic_ns
from shm.layout import EventType, OrderState, Reason, RequestType, TimeInForce
from shm.records import OrderEvent, OrderRequest

FIRST_LOOK_S: Final = 0.3
"""How long the stream has the word before the order is asked for; live it is tens of ms."""
LONGEST_PAUSE_S: Final = 2.0


class Replacements:
    """Those of one OMS."""

    def __init__(
        self,
        codec: OrderCodec,
        fetcher: GrvtAccountFetcher,
        *,
        ask: Callable[[str, dict[str, Any]], Awaitable[Reply]],
        log_in_again: Callable[[], Awaitable[None]],
        cancel: Callable[[OrderRequest], None],
        guard: Callable[[OrderRequest], Reason],
        tell: Callable[[OrderEvent], None],
        tell_soon: Callable[[OrderEvent], None],
        tell_sent: Callable[[OrderRequest, int], None],
        encode: Callable[[OrderRequest], tuple[str, dict[str, Any]]],
        log: logging.Logger,
    ) -> None:
        """ask: a call over the best path; raises NotSent, OutcomeUnknown. cancel: the OMS's own, it answers nobody.
        encode: of a NEW."""
        self._codec, self._legs, self._fetcher = codec, codec.legs, fetcher
        self._ask, self._log_in_again, self._cancel, self._guard = ask, log_in_again, cancel, guard
        self._tell, self._tell_soon, self._tell_sent = tell, tell_soon, tell_sent
        self._encode, self._log = encode, log

    def begin(self, request: OrderRequest) -> Coroutine[Any, Any, None] | None:
        """Check it and send the cancel at once, so that whatever comes behind it finds it under way. Returns what is
        left to do; None: it was refused, which is told in the loop's next turn."""
        order_id = request.client_order_id
        leg, before = self._legs.standing(order_id)
        why = ""
        present = self._legs.watch_of(order_id)
        if present is not None and not present.begun.done():  # else it has told its answer, or is about to
            why = "another replacement of this order runs"
        elif self._legs.is_canceled(order_id):
            why = "a cancel of this order is on its way"
        elif leg + 1 >= MOST_LEGS:
            why = f"the order was replaced {MOST_LEGS - 1} times, which is as often as its ids can tell"
        reason = Reason.UNKNOWN_ORDER_HERE if why else self._guard(request)
        if reason:
            self._tell_soon(refusal(request, reason, why))
            return None
        self._legs.stand(order_id, leg, before)  # known from here on: nobody has to ask the venue for it
        watch = self._legs.watch(order_id, leg, asyncio.get_running_loop())
        self._cancel(_cancel_of(request))
        asyncio.get_running_loop().call_soon(self._tell_sent, request, monotonic_ns())
        return self._run(request, watch, before)

    async def _run(self, request: OrderRequest, watch: LegWatch, before: int) -> None:
        """From the cancel to the answer."""
        order_id, leg = request.client_order_id, watch.leg
        try:
            end = await self._end(request, watch)
            refused = self._why_not(request, watch, end)
            if refused is None:
                # From here on the new leg is the present one: facts of it count for the whole order.
                self._legs.stand(order_id, leg + 1, end.cumulative_quantity)
                refused = await self._create(request, watch, end)
                if refused is not None and not watch.begun.done():
                    self._legs.stand(order_id, leg, before)
        finally:
            self._legs.forget_watch(order_id, watch)
        if refused is None:
            self._tell(self._replaced(request, watch.begun.result()))
            return
        if end.order_state != OrderState.FILLED:
            self._tell(end)
        self._tell(refused)

    # --- step 1 -----------------------------------------------------------------------------------------------------
    async def _end(self, request: OrderRequest, watch: LegWatch) -> OrderEvent:
        """How the present leg ended."""
        pause = FIRST_LOOK_S
        while not await _within(watch.ended, pause):
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                await self._look(request)
            except (VenueUnavailable, VenueRefused) as failure:
                self._log.warning("order %d: its replacement waits: %s", request.client_order_id, failure)
            else:
                if not watch.ended.done():
                    self._cancel(_cancel_of(request))
        return watch.ended.result()

    async def _look(self, request: OrderRequest) -> OrderEvent | None:
        """Ask for the present leg; the codec tells the watch what it sees."""
        return await self._fetcher.present_leg(request.client_order_id)

    # --- step 2 -----------------------------------------------------------------------------------------------------
    def _why_not(self, request: OrderRequest, watch: LegWatch, end: OrderEvent) -> OrderEvent | None:
        """The refusal where no new leg may be sent."""
        if end.order_state != OrderState.CANCELED or end.reason != Reason.VENUE_USER_CANCEL:
            return refusal(request, Reason.VENUE_UNKNOWN_ORDER, "the order ended before it could be replaced")
        if watch.canceled:
            return refusal(request, Reason.VENUE_USER_CANCEL, "the order was canceled while it was replaced")
        if request.quantity <= end.cumulative_quantity:
            return refusal(request, Reason.BAD_REQUEST, "nothing is left of the new quantity")
        reason = self._guard(request)
        return refusal(request, reason, "the order was canceled, and its new form not sent") if reason else None

    # --- steps 3 and 4 ----------------------------------------------------------------------------------------------
    async def _create(self, request: OrderRequest, watch: LegWatch, end: OrderEvent) -> OrderEvent | None:
        """None: the new leg is known to the venue, `watch.begun` has its first word. Else the refusal."""
        new = copy_request(request)
        new.request_type = RequestType.NEW
        new.quantity = request.quantity - end.cumulative_quantity
        new.exec_flags = request.exec_flags | end.exec_flags
        new.time_in_force, new.expire_time_ns = TimeInForce.GTD, watch.expiration_ns
        try:
            message = self._encode(new)
        except UnsupportedRequest as failure:
            return refusal(request, Reason.BAD_REQUEST, str(failure))
        certain, sent_ns = False, monotonic_ns()
        for attempt in range(2):
            try:
                reply = await self._ask(*message)
            except NotSent as failure:
                return refusal(request, Reason.NOT_SENT, str(failure))
            except OutcomeUnknown as failure:
                self._log.warning("order %d: its new leg has no answer: %s", request.client_order_id, failure)
                break
            fact, verdict = self._codec.decode_request_reply(new, reply, monotonic_ns())
            certain = verdict is None
            if verdict is None or verdict.outcome is Outcome.UNKNOWN:
                break
            if fact.error_code == NOT_LOGGED_IN and not attempt:
                try:
                    await self._log_in_again()
                except VenueUnavailable as failure:
                    return refusal(request, Reason.NOT_SENT, str(failure))
                continue
            refused = refusal(request, fact.reason, fact.text.decode("utf-8", "replace"))
            refused.error_code = fact.error_code
            return refused
        return await self._settled(request, watch, certain, sent_ns)

    async def _settled(self, request: OrderRequest, watch: LegWatch, certain: bool, sent_ns: int) -> OrderEvent | None:
        """Until the venue's word on the new leg is there. certain: it said that it took it. sent_ns: CLOCK_MONOTONIC of
        its first create."""
        pause, forbidden_until = FIRST_LOOK_S, 0
        while not await _within(watch.begun, pause):
            pause = min(2 * pause, LONGEST_PAUSE_S)
            after_bound = forbidden_until and monotonic_ns() >= forbidden_until
            try:
                found = await self._look(request)
                if watch.begun.done() or found is not None:
                    continue  # PENDING: asked again
                if not forbidden_until:
                    forbidden_until = monotonic_ns() + await self._fetcher.forbid(request.client_order_id)
                elif after_bound and await self._fetcher.absent(request.client_order_id, monotonic_ns() - sent_ns):
                    reason = Reason.VENUE_REJECTED if certain else Reason.SETTLED_ABSENT
                    return refusal(request, reason, "the venue does not know the order's new form")
            except (VenueUnavailable, VenueRefused) as failure:
                self._log.warning("order %d: its new leg is not settled yet: %s", request.client_order_id, failure)
        if watch.never_open:  # FAIL_POST_ONLY and its like: its end was told as the order's
            return refusal(request, watch.begun.result().reason, "the venue did not open the order's new form")
        return None

    def _replaced(self, request: OrderRequest, first: OrderEvent) -> OrderEvent:
        """The answer. The merger knows the terms already where the stream was quicker."""
        fact = first.copy()
        fact.event_type = EventType.REPLACED
        answer(fact, request)
        return fact


def _cancel_of(request: OrderRequest) -> OrderRequest:
    """A cancel of the OMS's own: it answers nobody."""
    cancel = OrderRequest()
    cancel.request_type = RequestType.CANCEL
    cancel.client_order_id, cancel.instrument_id = request.client_order_id, request.instrument_id
    cancel.venue, cancel.strategy_id, cancel.epoch = request.venue, request.strategy_id, request.epoch
    return cancel


async def _within(future: asyncio.Future[OrderEvent], seconds: float) -> bool:
    """Whether it was done within that time."""
    await asyncio.wait({future}, timeout=seconds)
    return future.done()
