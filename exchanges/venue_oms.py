"""What every venue's OMS does in the same way: tasks, telling, cancel-all, and one request's way to its outcome.

The rules
- A request goes over the order socket where that is usable at the moment of sending, else over REST where the venue's
  rules let it, decided for each request by itself. One whose bytes may have left over one path is never sent over the
  other: it is UNKNOWN, and settled.
- `guard` is asked one last time just before the bytes leave: over the socket when they are signed and ready.
- Outcomes come through the sink as facts with the request's ids, never inside of the methods that take requests:
  whoever called them has not finished. A reply that comes after its timeout is a fact like any other.
- What goes wrong with an outcome ends the OMS: one that lost an outcome must not go on.

A venue's OMS (exchanges/<venue>/oms.py) supplies its wire and its rules: `_encode`, `_seal`, `_transmit`,
`_understand`, `_verdict`, `_links`, and what its private stream says.

Who calls it: oms.py of every venue derives from it; order_engine.py and processes/trading_engine.py use what it offers.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic, NotRequired, Protocol, TypedDict, TypeVar

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.http import HttpHandler
from exchanges.order_events import cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order
from exchanges.order_wire import UnsupportedRequest
from exchanges.rate_limit import Lane
from exchanges.recovery import RecoverySource
from exchanges.request_encoder import RequestEncoder
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.request_socket import RequestSocket
from exchanges.settlement import cancel_of
from exchanges.socket_path import SocketPath
from exchanges.venue_clock import VenueClock
from exchanges.verdict import Outcome, Verdict
from shm.clock import monotonic_ns
from shm.layout import ConnectionState, EventType, OrderState, Reason, RequestType, instance_of
from shm.records import OrderEvent, OrderRequest

M = TypeVar("M")
"""An encoded request."""
R = TypeVar("R")
"""A reply, whichever way it came."""
FetcherT = TypeVar("FetcherT", bound="OrderFetcher", covariant=True)

NS_PER_MS: Final = 1_000_000
CANCEL_ALL_ROUNDS: Final = 20
CANCEL_ALL_PAUSE_S: Final = 0.2
LAST_REPLIES_S: Final = 2.0
"""How long a close waits for replies of requests that have left: their facts are worth a moment."""


class OrderFetcher(RecoverySource, Protocol):
    """The part of a venue's account fetcher that an OMS uses itself."""

    async def open_orders(self, symbols: Sequence[str], lane: Lane = Lane.QUERY) -> list[OrderEvent]: ...
    async def cancel_all_of_symbol(self, symbol: str) -> None: ...
    async def server_time(self) -> int: ...


class Budget(Protocol):
    """OrderBudget of the venue."""

    def admit_request(self, request: OrderRequest, venue_time_ns: int) -> int: ...


class Connection(Protocol[FetcherT]):
    """OrderConnection of the venue."""

    receive_window_ms: int
    clock: VenueClock
    http: HttpHandler

    @property
    def budget(self) -> Budget: ...
    @property
    def fetcher(self) -> FetcherT: ...
    async def close(self) -> None: ...


class OrderSocket(Protocol):
    """The venue's order socket."""

    @property
    def usable(self) -> bool: ...
    @property
    def requests(self) -> RequestSocket[Any]: ...
    async def drained(self, limit_s: float) -> None: ...
    def close(self) -> None: ...


class OmsParts(TypedDict):
    """What whoever makes an OMS hands to it, the same at every venue; VenueOMS says what each is."""

    instruments: OrderInstruments
    instance_number: int
    guard: NotRequired[Callable[[OrderRequest], Reason]]
    on_stream: NotRequired[Callable[[bool, str], None]]
    on_recover: NotRequired[Callable[[int], None]]


class VenueOMS(ABC, Generic[M, R, FetcherT]):
    """One account, one engine. Lives in one event loop; make it there."""

    def __init__(
        self,
        context: ExchangeContext,
        sink: Callable[[OrderEvent], None],
        connection: Connection[FetcherT],
        *,
        instruments: OrderInstruments,
        instance_number: int,
        guard: Callable[[OrderRequest], Reason] = lambda request: Reason.NONE,
        on_stream: Callable[[bool, str], None] = lambda up, why: None,
        on_recover: Callable[[int], None] = lambda nonce: None,
    ) -> None:
        """sink: facts, each a record of its own. guard: asked just before the bytes leave; a reason refuses. on_stream:
        the private stream came up (recover now) or went down."""
        self._sink, self._guard, self._on_stream, self._on_recover = sink, guard, on_stream, on_recover
        self._instruments, self._instance, self._log = instruments, instance_number, context.log
        self._count = context.counters.add
        self._shared = connection
        self._socket: OrderSocket | None = None
        self._path: SocketPath | None = None
        self._times_up = 0
        self._again: set[tuple[int, int, int]] = set()
        """Requests that were sent a second time because the venue refused them for what could be healed."""
        self._stream_is_up = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- what a venue supplies --------------------------------------------------------------------------------------
    @abstractmethod
    def _links(self) -> list[Coroutine[Any, Any, None]]:
        """What is kept up while `run` runs: private stream, order socket, login."""

    @abstractmethod
    def _encode(self, request: OrderRequest) -> M:
        """Raises UnsupportedRequest."""

    def _rest_refuses(self, request: OrderRequest) -> bool:
        """Whether the venue's rules keep this kind of request off REST."""
        return False

    @abstractmethod
    def _seal(self, request: OrderRequest, message: M) -> tuple[int, bytes]:
        """Its id and its text for the order socket: stamped and signed, to be handed over at once."""

    async def _before_rest(self) -> None:
        """Whatever REST needs before the last check of a request. Raises NotSent."""

    @abstractmethod
    async def _transmit(self, request: OrderRequest, message: M) -> R:
        """Send it over REST. Raises NotSent, OutcomeUnknown."""

    @abstractmethod
    def _understand(self, request: OrderRequest, reply: R, receive_time_ns: int, sent_ns: int) -> None:
        """Tell what `reply` says, in time or late, and learn from it. sent_ns: CLOCK_MONOTONIC."""

    def _about_socket(self, reply: R) -> None:
        """What a reply that came over the order socket says of the socket itself (its login is over)."""

    def _leave_stream(self) -> None:
        """`close` begins: nothing more is heard over a private stream that does not carry replies."""

    @abstractmethod
    def _verdict(self, request: OrderRequest, reply: R, receive_time_ns: int) -> Verdict | None:
        """What a reply is worth; None: a success."""

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def source(self) -> FetcherT:
        return self._shared.fetcher

    @property
    def clock(self) -> VenueClock:
        return self._shared.clock

    async def stream_up(self) -> None:
        await self._stream_is_up.wait()

    async def forbid(self, symbol: str, client_order_id: int) -> int:
        """Make sure that an order whose outcome is unknown cannot come to life later; from now on for how long it still
        may, ns. Where each request bounds its own life at the venue there is nothing to do. Raises VenueUnavailable,
        VenueRefused."""
        return 0

    def _rest_health(self) -> ConnectionHealth:
        replied_ns = self._shared.http.reply_time_ns
        return ConnectionHealth("rest", ConnectionState.UP if replied_ns else ConnectionState.CONNECTING, replied_ns)

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep private stream and order socket up until close(). Raises VenueRefused where the key is wrong, and
        whatever went wrong with an outcome: an OMS that lost one must not go on."""
        links = [asyncio.ensure_future(link) for link in self._links()]
        waited: set[asyncio.Future[None]] = {*links, self._failed}
        try:
            ended, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                if not one.cancelled():  # `_failed` is, by close()
                    one.result()
        finally:
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    async def close(self) -> None:
        self._leave_stream()
        self._failed.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_REPLIES_S)
        if self._socket is not None:
            await self._socket.drained(LAST_REPLIES_S)
            self._socket.close()
        for task in self._tasks:
            task.cancel()
        await self._shared.close()

    def recover(self, nonce: int) -> None:
        self._on_recover(nonce)

    def _up(self) -> None:
        self._stream_is_up.set()
        self._times_up += 1
        if self._times_up > 1:
            self._count("reconnects")
        self._on_stream(True, "")

    def _down(self, why: str) -> None:
        self._stream_is_up.clear()
        self._on_stream(False, why)

    # --- requests ---------------------------------------------------------------------------------------------------
    def admit(self, request: OrderRequest) -> int:
        shared = self._shared
        return shared.budget.admit_request(request, shared.clock.now_ns())

    def cancel_all(self, request: OrderRequest | None) -> None:
        self._spawn(self._cancel_all(request))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(failure)

    def _use_socket(self, socket: OrderSocket, encoder: RequestEncoder | None = None) -> None:
        """For the venue's constructor: requests go over this socket where they can."""
        self._path = SocketPath(self, socket.requests, self._guard, encoder)

    def _submit(self, request: OrderRequest) -> None:
        """Choose the path. Over the socket the bytes have left when this returns."""
        path = self._path
        if path is not None and path.quick(request):
            return
        try:
            message = self._encode(request)
        except UnsupportedRequest as failure:
            self.tell_soon(refusal(request, Reason.BAD_REQUEST, str(failure)))
            return
        if path is not None and self._socket is not None and self._socket.usable:
            path.hand_over(request, *self._seal(request, message))
        elif self._rest_refuses(request):
            self.tell_soon(refusal(request, Reason.NOT_SENT, "the order socket is not usable now"))
        else:
            self._spawn(self._over_rest(request, message))

    # Names for one function: a call within each would be paid by every order.
    new = cancel = replace = query = _submit

    async def _over_rest(self, request: OrderRequest, message: M) -> None:
        """One request from its last check to its one outcome; it is signed behind it, so the time of a REST request's
        signature is that of its encoding."""
        try:
            await self._before_rest()
        except NotSent as failure:
            self._tell(refusal(request, Reason.NOT_SENT, str(failure)))
            return
        sent_ns = monotonic_ns()
        if reason := self._guard(request):
            self._tell(refusal(request, reason))
            return
        # In the loop's next turn, when the bytes are with the socket.
        asyncio.get_running_loop().call_soon(self.tell_sent, request, sent_ns)
        try:
            reply = await self._transmit(request, message)
        except NotSent as failure:
            self._tell(refusal(request, Reason.NOT_SENT, str(failure)))
        except OutcomeUnknown as failure:
            self._tell_unknown(request, failure)
        else:
            self._understand(request, reply, monotonic_ns(), sent_ns)

    def _left_ns(self, request: OrderRequest, now_ns: int) -> int:
        """How long from now on the venue may carry it out: the window, or what is left until the request's deadline
        plus our error about the venue's clock."""
        return left_ns(self.clock, self._shared.receive_window_ms, request, now_ns)

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def on_socket_reply(self, request: OrderRequest, reply: R, receive_time_ns: int, sent_ns: int) -> None:
        """For OnSocket: `reply` answers `request`, in time or late."""
        self._about_socket(reply)
        self._understand(request, reply, receive_time_ns, sent_ns)

    def on_socket_late(self, request: OrderRequest, reply: R, receive_time_ns: int, sent_ns: int) -> None:
        """For OnSocket: the outcome was told as unknown before. A reply that knows no more says nothing new."""
        self._count("late_replies")
        verdict = self._verdict(request, reply, receive_time_ns)
        if verdict is None or verdict.outcome is not Outcome.UNKNOWN:
            self._again.add(_key(request))  # its outcome is being settled: nothing is sent again for it
            self.on_socket_reply(request, reply, receive_time_ns, sent_ns)
            self._again.discard(_key(request))

    def on_socket_lost(self, request: OrderRequest, failure: OutcomeUnknown) -> None:
        """For OnSocket: no reply came."""
        self._tell_unknown(request, failure)

    def guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        """Called from within a socket: what goes wrong here ends the OMS, not the socket, which would go on without the
        outcome."""
        try:
            act(*arguments)
        except Exception as failure:
            self._fail(failure)

    def _heals(self, request: OrderRequest, refused: OrderEvent, heal: Callable[[], Awaitable[None]]) -> bool:
        """Whether a request that was surely not carried out goes once more when `heal` has succeeded. False: it did
        already."""
        if (key := _key(request)) in self._again:
            self._again.discard(key)
            return False
        self._again.add(key)
        self._spawn(self._send_again(request, refused, heal))
        return True

    async def _send_again(
        self, request: OrderRequest, refused: OrderEvent, heal: Callable[[], Awaitable[None]]
    ) -> None:
        """Through all the last checks again."""
        try:
            await heal()
        except VenueUnavailable as failure:
            self._log.warning("%s", failure)
            healed = False
        else:
            healed = not self.admit(request)
        if healed:
            self._submit(request)
        else:
            self._again.discard(_key(request))
            self._tell(refused)

    def _tell_unknown(self, request: OrderRequest, failure: OutcomeUnknown) -> None:
        fact = fact_of_request(request, EventType.UNKNOWN, Reason.TIMEOUT if failure.timed_out else Reason.DISCONNECTED)
        fact.text = cut_text(str(failure))
        self._tell(fact)

    def _tell_answers(self, request: OrderRequest, verdict: Verdict | None, facts: Sequence[OrderEvent]) -> None:
        """What a reply said; the first fact answers the request."""
        if verdict is not None:
            if verdict.reason == Reason.VENUE_TIMESTAMP:
                self._spawn(self._measure_clock_again())
            if request.request_type == RequestType.QUERY:
                # A question that was not answered says nothing about the order; "not known there" is an answer.
                facts[0].event_type, facts[0].order_state = EventType.STATUS, OrderState.NONE
        if self._again:
            self._again.discard(_key(request))
        for fact in facts:
            self._tell(fact)

    def _tell(self, fact: OrderEvent) -> None:
        if not fact.receive_time_ns:
            fact.receive_time_ns = monotonic_ns()
        self._sink(fact)

    def tell_soon(self, fact: OrderEvent) -> None:
        """For SocketPath too. In the loop's next turn: the engine is still busy with the request that this answers."""
        asyncio.get_running_loop().call_soon(self.guarded, self._tell, fact)

    def tell_sent(self, request: OrderRequest, sign_time_ns: int) -> None:
        """For SocketPath too."""
        if not request.request_id:
            return  # the engine's own cancels answer nobody
        fact = fact_of_request(request, EventType.SENT)
        fact.sign_time_ns = sign_time_ns
        self.guarded(self._sink, fact)

    async def measure_clock(self) -> None:
        """Raises VenueUnavailable."""
        await self.clock.measure(self.source.server_time)

    async def _heal_clock(self) -> None:
        """The venue refused a timestamp. Raises VenueUnavailable."""
        await self.measure_clock()

    async def _measure_clock_again(self) -> None:
        try:
            await self._heal_clock()
        except VenueUnavailable as failure:
            self._log.warning("venue clock could not be measured: %s", failure)

    # --- cancel all -------------------------------------------------------------------------------------------------
    async def pull_all(self) -> list[str]:
        """Cancel every open order of this instance, and no other; done when none is listed. What failed, in words."""
        failures: list[str] = []
        await asyncio.gather(*(self._cancel_symbol(instrument, failures) for instrument in self._instruments))
        return failures

    async def _cancel_all(self, request: OrderRequest | None) -> None:
        if request is not None:
            self.tell_sent(request, monotonic_ns())
        failures = await self.pull_all()
        fact = OrderEvent() if request is None else fact_of_request(request, EventType.STATUS)
        fact.event_type, fact.request_type = EventType.STATUS, RequestType.CANCEL_ALL
        if failures:
            fact.event_type, fact.reason = EventType.CANCEL_REJECTED, Reason.VENUE_STATUS_UNKNOWN
            fact.text = cut_text("; ".join(failures))
            self._log.error("cancel all: %s", "; ".join(failures))
        fact.receive_time_ns = monotonic_ns()
        self._sink(fact)

    async def _cancel_symbol(self, instrument: OrderInstrument, failures: list[str]) -> None:
        """Look, cancel, and look again until none of ours is listed. One call for all only where all are ours."""
        fetcher = self.source
        last = ""
        for number in range(CANCEL_ALL_ROUNDS):
            try:
                listed = await fetcher.open_orders([instrument.symbol], Lane.CANCEL)
                ours = [fact for fact in listed if instance_of(fact.client_order_id) == self._instance]
                if not ours:
                    return
                last = f"{instrument.symbol}: {len(ours)} orders of ours are still open"
                if len(ours) == len(listed):
                    await fetcher.cancel_all_of_symbol(instrument.symbol)
                else:
                    last += await self._cancel_some(ours, number)
            except (VenueUnavailable, VenueRefused) as failure:
                last = f"{instrument.symbol}: {failure}"
            await asyncio.sleep(CANCEL_ALL_PAUSE_S)
        failures.append(last)

    async def _cancel_some(self, ours: Sequence[OrderEvent], tried: int) -> str:
        """Cancel these, among orders of others; what there is to say of it. tried: how often they were already. Raises
        VenueUnavailable, VenueRefused."""
        for request in (cancel_of(Order.from_fact(fact, external=False)) for fact in ours):
            if self.admit(request):
                return ", and the rate limit lets no cancel pass now"
            self._submit(request)
        return ""


def left_ns(clock: VenueClock, window_ms: int, request: OrderRequest, now_ns: int) -> int:
    """See VenueOMS._left_ns; the compiled encoders count the same."""
    widest = window_ms * NS_PER_MS
    if not request.deadline_ns:
        return widest
    return max(0, min(widest, request.deadline_ns - now_ns + clock.error_at(now_ns)))


def _key(request: OrderRequest) -> tuple[int, int, int]:
    """What tells a request from every other."""
    return request.request_type, request.request_id, request.client_order_id
