"""GrvtOMS: requests to signed calls over a WebSocket or REST, acks and private streams to facts.

Which path: the order socket where it is usable at the moment of sending, else REST, decided for each request by itself
(`order_path = "rest"`: always REST).

What a reply is worth: a create is answered PENDING with no order id, a cancel with an ack. The venue has taken them,
and that is all; what becomes of them comes over v1.order and v1.fill. Where that does not come in time, the order is
asked for (exchanges/order_merger.py, TAKEN_NS).

How a request whose outcome is unknown is settled here, and why (`exchanges/settlement.py` has the steps):

| the venue's word | counts | because |
|---|---|---|
| order by client_order_id finds it, not PENDING | at once | it exists, or was rejected |
| ... finds it PENDING | never | it is on its way: asked again |
| 1. a cancel with time_to_live_ms was acked | when its 5 s have passed | a create that arrives meanwhile is killed |
| 2. order says 1004 | asked after that | it would be found by its id |
| 3. open_orders does not list it | asked after that | an order that rests must be there |
| 4. fill_history since the send has none of its trades | asked after that | what filled at once left trades |

1 to 4 together: it never was. There is no recvWindow here, and the end of an order that may rest stands 29 days ahead
in its signature, so the remembered cancel is what bounds a late create; what may not rest ends with its signature,
within the request's deadline. A create that hung in the network for longer than the remembered cancel would be seen
alive on the stream and told so (`contradictions`), and the next audit looks too. A cancel is sent again (harmless), a
create never.

There is no amend: a REPLACE is a cancel and a new order, one after the other (replacement.py). The venue's own
"cancel-replace" in one bulk call is not that: it creates whatever became of the cancel, so two could live at once.

New orders go one by one, also where a strategy sends a set of quotes in one turn. A bulk call of theirs would save
nothing: each costs a create token of its own in it, and frames that leave in one turn over an open socket are one
write. It would cost something: one order that is malformed by itself refuses the whole call, and a lost answer makes
all of them unknown at once. Bulk calls cancel here, where all together cost one token (`_cancel_some`). Whoever wants
creates in one call has them in `GrvtAccountFetcher.bulk_orders`.

The venue's switch: cancel_on_disconnect counts down for the whole account, so arming any symbol arms all.

The login is renewed by its own clock; a call that is refused for want of one (1000) was not carried out, and goes once
more after a login, through all the last checks.

What is the same at every venue stands in exchanges/venue_oms.py.

Sources: create_order, cancel_order, order, cancel_on_disconnect, v1.order, v1.fill, v1.cancel below
https://api-docs.grvt.io.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Unpack

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.grvt.account_fetcher import GrvtAccountFetcher
from exchanges.grvt.endpoints import TIME_TO_LIVE_LIMIT_MS
from exchanges.grvt.error_codes import NOT_LOGGED_IN, TIME_TO_LIVE_OFF
from exchanges.grvt.legs import UnknownLegs
from exchanges.grvt.order_budget import CANCELS, CREATES, QUERIES
from exchanges.grvt.order_codec import CANCEL, CREATE, QUERY
from exchanges.grvt.order_connection import OrderConnection
from exchanges.grvt.order_messages import Reply
from exchanges.grvt.order_socket import GrvtOrderSocket
from exchanges.grvt.replacement import Replacements
from exchanges.grvt.user_stream import GrvtUserStream
from exchanges.order_instruments import OrderInstrument
from exchanges.order_wire import UnsupportedRequest
from exchanges.request_failure import NotSent
from exchanges.venue_oms import NS_PER_MS, OmsParts, VenueOMS
from exchanges.verdict import Outcome, Verdict
from shm.clock import monotonic_ns
from shm.layout import OrderState, RequestType
from shm.records import OrderEvent, OrderRequest

CLOCK_MARGIN_NS: Final = 1_000_000_000
"""Laid on the bound of a request's life, for a venue whose servers' clocks differ."""
ORDERS: Final = "v1.order"
FILLS: Final = "v1.fill"
CANCEL_OUTCOMES: Final = "v1.cancel"
WARM_CONNECTIONS: Final = 2
CONNECTIONS: Final = 8
COUNTDOWN_SHARE: Final = 20
"""A countdown that was armed within this part of its length is not armed again for the next symbol."""
_BUCKETS: Final = {RequestType.NEW: CREATES, RequestType.CANCEL: CANCELS, RequestType.QUERY: QUERIES}
_Message = tuple[str, dict[str, Any]]
"""Route, and body."""


class GrvtOMS(VenueOMS[_Message, Reply, GrvtAccountFetcher]):
    """See exchanges/venue_oms.py for the part that all venues share."""

    _socket: GrvtOrderSocket | None

    def __init__(
        self,
        context: ExchangeContext,
        sink: Callable[[OrderEvent], None],
        *,
        connection: OrderConnection | None = None,
        **parts: Unpack[OmsParts],
    ) -> None:
        self._connection = connection or OrderConnection(
            context, parts["instruments"], parts["instance_number"], connections=CONNECTIONS
        )
        super().__init__(context, sink, self._connection, **parts)
        self._codec, self._budget = self._connection.codec, self._connection.budget
        self._session = self._connection.session
        self._stream = GrvtUserStream(
            f"{context.venue} orders",
            self._session,
            self._connection.account_codec,
            self._connection.urls.order_socket,
            (ORDERS, FILLS, CANCEL_OUTCOMES),
            on_feed=self._on_message,
            on_up=self._up,
            on_down=self._down,
            on_malformed=lambda: self._count("malformed"),
            check_gaps=context.settings.check_gaps,
            log=context.log,
        )
        if context.settings.order_path == "websocket":
            self._socket = GrvtOrderSocket(
                f"{context.venue} order socket",
                self._connection,
                log=context.log,
                on_down=lambda why: context.log.warning("order socket is down (%s): orders go over REST", why),
            )
            self._session.on_login = self._socket.renew
            self._use_socket(self._socket)
        self._replacements = Replacements(
            self._codec,
            self._connection.fetcher,
            ask=self._ask,
            log_in_again=self._log_in_again,
            cancel=self._submit,
            guard=self._guard,
            tell=self._tell,
            tell_soon=self.tell_soon,
            tell_sent=self.tell_sent,
            encode=self._encode,
            log=context.log,
        )
        self._armed = (0, 0)
        """Countdown (ms) that was armed last, and when (CLOCK_MONOTONIC ns)."""

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return self._stream.up

    @property
    def acceptance_ns(self) -> int:
        lifetime_ms = self._connection.receive_window_ms + TIME_TO_LIVE_LIMIT_MS
        return lifetime_ms * NS_PER_MS + CLOCK_MARGIN_NS + self.clock.error_ns

    async def prepare(self) -> None:
        await self._connection.prepare(WARM_CONNECTIONS, trading=True)

    async def arm_countdown(self, symbol: str, countdown_ms: int) -> None:
        """Of the whole account, so symbols that are armed one after the other share a call. Raises VenueUnavailable,
        VenueRefused."""
        now = monotonic_ns()
        armed_ms, armed_ns = self._armed
        if armed_ms == countdown_ms and now - armed_ns < countdown_ms * NS_PER_MS // COUNTDOWN_SHARE:
            return
        await self._connection.fetcher.arm_countdown(countdown_ms)
        self._armed = (countdown_ms, now)

    def connections(self) -> Sequence[ConnectionHealth]:
        links = [self._stream.health(), self._rest_health()]
        if self._socket is not None:
            links.append(self._socket.health())
        return links

    async def forbid(self, symbol: str, client_order_id: int) -> int:
        return await self._connection.fetcher.forbid(client_order_id)

    # --- life -------------------------------------------------------------------------------------------------------
    def _links(self) -> list[Coroutine[Any, Any, None]]:
        return [self._session.run(), self._stream.run(), *([self._socket.run()] if self._socket is not None else [])]

    def _leave_stream(self) -> None:
        self._stream.close()

    # --- requests ---------------------------------------------------------------------------------------------------
    def cancel(self, request: OrderRequest) -> None:
        self._codec.legs.cancel(request.client_order_id)
        self._submit(request)

    def replace(self, request: OrderRequest) -> None:
        if (rest := self._replacements.begin(request)) is not None:
            self._spawn(rest)

    def _encode(self, request: OrderRequest) -> _Message:
        kind = request.request_type
        if kind == RequestType.NEW:
            return CREATE, self._codec.encode_new(request, self.clock.now_ns(), self._left_ns(request, monotonic_ns()))
        if kind == RequestType.CANCEL:
            return CANCEL, self._codec.encode_cancel(request)
        if kind == RequestType.QUERY:
            return QUERY, self._codec.encode_query(request)
        raise UnsupportedRequest("grvt has no amend: replacement.py does it")

    def _seal(self, request: OrderRequest, message: _Message) -> tuple[int, bytes]:
        assert self._socket is not None
        return self._socket.message(*message)

    async def _before_rest(self) -> None:
        try:
            await self._session.ensure()
        except VenueUnavailable as failure:
            raise NotSent(str(failure)) from failure
        except VenueRefused as refused:  # a wrong key: this OMS ends, and nothing was sent
            self._fail(refused)
            raise NotSent(str(refused)) from refused

    async def _transmit(self, request: OrderRequest, message: _Message) -> Reply:
        return await self._connection.fetcher.send(*message)

    async def _ask(self, route: str, body: dict[str, Any]) -> Reply:
        """A call over the path that is usable now. Raises NotSent, OutcomeUnknown."""
        if self._socket is not None and self._socket.usable:
            reply = await self._socket.ask(route, body)
            self._about_socket(reply)
            return reply
        await self._before_rest()
        return await self._connection.fetcher.send(route, body)

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def _about_socket(self, reply: Reply) -> None:
        if reply.error is not None and reply.error.code == NOT_LOGGED_IN and self._socket is not None:
            self._socket.session_lost()

    def _understand(self, request: OrderRequest, reply: Reply, receive_time_ns: int, sent_ns: int) -> None:
        fact, verdict = self._codec.decode_request_reply(request, reply, receive_time_ns)
        bucket = _BUCKETS[RequestType(request.request_type)]
        self._budget.note(fact.error_code, bucket, self.clock.now_ns(), sent_ns + self.clock.offset_ns)
        if fact.error_code == NOT_LOGGED_IN and self._heals(request, fact, self._log_in_again):
            return
        if fact.error_code == TIME_TO_LIVE_OFF and self._heals(request, fact, self._cancel_plainly):
            return
        if (
            verdict is not None
            and request.request_type == RequestType.CANCEL
            and verdict.outcome is not Outcome.UNKNOWN
        ):
            self._codec.legs.uncancel(request.client_order_id)
        if fact.order_state == OrderState.PENDING_NEW:
            self._stream.expect_word(sent_ns)
        self._tell_answers(request, verdict, [fact])

    def _verdict(self, request: OrderRequest, reply: Reply, receive_time_ns: int) -> Verdict | None:
        return self._codec.decode_request_reply(request, reply, receive_time_ns)[1]

    async def _cancel_plainly(self) -> None:
        """Cancels go without a time to live, until `forbid` finds that the venue takes it again."""
        if self._codec.remembers_cancels:
            self._log.warning(
                "the venue remembers no cancels now: an order that never came cannot be settled meanwhile"
            )
        self._codec.remembers_cancels = False

    async def _log_in_again(self) -> None:
        """Raises VenueUnavailable."""
        self._session.lost(self._session.headers)
        try:
            await self._session.ensure()
        except VenueRefused as refused:
            self._fail(refused)
            raise VenueUnavailable(str(refused)) from refused

    # --- cancel all -------------------------------------------------------------------------------------------------
    async def _cancel_symbol(self, instrument: OrderInstrument, failures: list[str]) -> None:
        self._codec.legs.cancel_watches()
        await super()._cancel_symbol(instrument, failures)

    async def _cancel_some(self, ours: Sequence[OrderEvent], tried: int) -> str:
        """By one bulk call, which costs a single token; what stands after it goes one by one."""
        if tried or len(ours) < 2:
            return await super()._cancel_some(ours, tried)
        await self._connection.fetcher.cancel_orders([fact.exchange_order_id.decode() for fact in ours])
        return ""

    # --- private stream ---------------------------------------------------------------------------------------------
    def _on_message(self, stream: str, feed: bytes, receive_time_ns: int) -> None:
        """Raises MalformedMessage."""
        fact: OrderEvent | None = None
        if stream == ORDERS:
            try:
                fact = self._codec.order_update(feed, receive_time_ns)
            except UnknownLegs as unknown:
                self._spawn(self._tell_when_known(unknown, feed, receive_time_ns))
        elif stream == FILLS:
            fact = self._codec.fill(feed, receive_time_ns)
        elif stream == CANCEL_OUTCOMES:
            fact = self._codec.cancel_outcome(feed, receive_time_ns)
        if fact is not None:
            self._sink(fact)

    async def _tell_when_known(self, unknown: UnknownLegs, feed: bytes, receive_time_ns: int) -> None:
        """A frame of a leg that an earlier engine sent: it counts when the venue told the rest."""
        try:
            await self._connection.fetcher.learn_legs(unknown.order_id)
            fact = self._codec.order_update(feed, receive_time_ns)
        except (UnknownLegs, VenueUnavailable, VenueRefused) as failure:
            self._log.warning("order %d: %s; read anew", unknown.order_id, failure)
            self._stream.reconnect("what an order traded in its earlier legs could not be learned")
        else:
            if fact is not None:
                self._sink(fact)
