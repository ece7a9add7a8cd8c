"""BinanceOMS: requests to signed bytes over the WebSocket API or REST, replies and the private stream to facts.

Which path: the WebSocket API where it is usable at the moment of sending, else REST, decided for each request by
itself (`order_path = "rest"`: always REST). A request whose bytes may have left over one path is never sent over the
other: it is UNKNOWN, and settled. A cancel cannot overtake its order on another path, because the engine holds it back
until the order was confirmed.

How a request whose outcome is unknown is settled here, and why (`exchanges/settlement.py` has the steps):

| the venue's word | counts | because |
|---|---|---|
| GET order by origClientOrderId finds it | at once | it exists |
| 1. GET order says -2013 | when recvWindow has passed | replicas lag; the engine may take it until then (-5028) |
| 2. openOrders of the symbol does not list it | asked after that | an order that rests must be there |
| 3. userTrades since the send has none of its trades | asked after that | what filled at once left trades |

Rows of userTrades name an order by the venue's id only, so the order behind each unknown id is asked for.

1, 2 and 3 together: it never was. A DELETE is sent again (harmless), a POST or PUT never.

The methods here hand a request over and return. Over the WebSocket API the bytes are with the socket by then; over REST
a task signs and sends. Either looks at `guard` one last time just before. Outcomes come through the sink as facts with
the request's ids, never inside of these methods: whoever called them has not finished. A reply that comes after its
timeout is a fact like any other; the merger knows what it adds.

Sources: New Order, Modify Order, Cancel Order, WebSocket API General Info, General Info below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.binance.account_fetcher import ORDER, BinanceAccountFetcher
from exchanges.binance.auth import Parameters, query_text
from exchanges.binance.error_codes import WRONG_TIMESTAMP
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import AccountUpdate, OrderTradeUpdate, SocketReply, StreamMessage, TradeLite
from exchanges.binance.order_socket import BinanceOrderSocket
from exchanges.binance.user_stream import BinanceUserStream
from exchanges.http import HttpReply
from exchanges.order_events import cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order
from exchanges.order_wire import UnsupportedRequest
from exchanges.rate_limit import Lane
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.settlement import cancel_of
from exchanges.venue_clock import VenueClock
from exchanges.verdict import Outcome, Verdict
from shm.clock import monotonic_ns
from shm.layout import ConnectionState, EventType, OrderState, Reason, RequestType, instance_of
from shm.records import OrderEvent, OrderRequest

NS_PER_MS: Final = 1_000_000
CLOCK_MARGIN_NS: Final = 1_000_000_000
"""The venue takes a timestamp up to a second ahead of its clock, so a request may live that much longer."""
CHANGES: Final = frozenset({EventType.ACCEPTED, EventType.REPLACED, EventType.CANCELED})
"""Confirmations that the private stream tells as well."""
UNAUTHORIZED: Final = 401
WARM_CONNECTIONS: Final = 4
CONNECTIONS: Final = 16
CANCEL_ALL_ROUNDS: Final = 20
CANCEL_ALL_PAUSE_S: Final = 0.2
LAST_REPLIES_S: Final = 2.0
"""How long a close waits for replies of requests that have left: their facts are worth a moment."""

_ROUTES: Final[dict[int, tuple[str, str]]] = {
    RequestType.NEW: ("POST", "order.place"),
    RequestType.CANCEL: ("DELETE", "order.cancel"),
    RequestType.REPLACE: ("PUT", "order.modify"),
    RequestType.QUERY: ("GET", "order.status"),
}
"""HTTP method on /fapi/v1/order, and method of the WebSocket API."""


class BinanceOMS:
    """One account, one engine. Lives in one event loop; make it there."""

    def __init__(
        self,
        context: ExchangeContext,
        sink: Callable[[OrderEvent], None],
        *,
        instruments: OrderInstruments,
        instance_number: int,
        guard: Callable[[OrderRequest], Reason] = lambda request: Reason.NONE,
        on_stream: Callable[[bool, str], None] = lambda up, why: None,
        on_recover: Callable[[int], None] = lambda nonce: None,
        connection: OrderConnection | None = None,
    ) -> None:
        """sink: facts, each a record of its own. guard: asked just before the bytes leave; a reason refuses. on_stream:
        the private stream came up (recover now) or went down."""
        self._sink, self._guard, self._on_stream, self._on_recover = sink, guard, on_stream, on_recover
        self._instruments, self._instance, self._log = instruments, instance_number, context.log
        self._count = context.counters.add
        self._connection = connection or OrderConnection(context, instruments, instance_number, connections=CONNECTIONS)
        self._codec, self._http = self._connection.codec, self._connection.http
        self._signer, self._budget = self._connection.signer, self._connection.budget
        self._stream = BinanceUserStream(
            f"{context.venue} orders",
            self._connection.fetcher,
            self._codec,
            self._connection.urls,
            on_message=self._on_message,
            on_up=self._up,
            on_down=self._down,
            on_malformed=lambda: self._count("malformed"),
            log=context.log,
        )
        self._socket: BinanceOrderSocket | None = None
        if context.settings.order_path == "websocket":
            self._socket = BinanceOrderSocket(
                f"{context.venue} order socket",
                self._connection,
                log=context.log,
                on_down=lambda why: context.log.warning("order socket is down (%s): orders go over REST", why),
                on_clock_wrong=lambda: self._spawn(self._measure_clock_again()),
            )
        self._again: set[tuple[int, int, int]] = set()
        """Requests that were sent a second time because the venue refused their timestamp."""
        self._stream_is_up = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._encoders: dict[int, Callable[[OrderRequest], Parameters]] = {
            RequestType.NEW: self._codec.encode_new,
            RequestType.CANCEL: self._codec.encode_cancel,
            RequestType.REPLACE: self._codec.encode_replace,
            RequestType.QUERY: self._codec.encode_cancel,
        }

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return self._stream.up

    @property
    def source(self) -> BinanceAccountFetcher:
        return self._connection.fetcher

    @property
    def clock(self) -> VenueClock:
        return self._connection.clock

    @property
    def acceptance_ns(self) -> int:
        return self._connection.receive_window_ms * NS_PER_MS + CLOCK_MARGIN_NS + self.clock.error_ns

    async def prepare(self) -> None:
        await self._connection.prepare(WARM_CONNECTIONS, trading=True)

    async def stream_up(self) -> None:
        await self._stream_is_up.wait()

    def arm_countdown(self, symbol: str, countdown_ms: int) -> Awaitable[None]:
        return self._connection.fetcher.arm_countdown(symbol, countdown_ms)

    def connections(self) -> Sequence[ConnectionHealth]:
        replied_ns = self._http.reply_time_ns
        rest = ConnectionState.UP if replied_ns else ConnectionState.CONNECTING
        links = [self._stream.health(), ConnectionHealth("rest", rest, replied_ns)]
        if self._socket is not None:
            links.append(self._socket.health())
        return links

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep the private stream and the order socket up until close(). Raises VenueRefused where the key is wrong,
        and whatever went wrong with an outcome: an OMS that lost one must not go on."""
        links = [asyncio.ensure_future(self._stream.run())]
        if self._socket is not None:
            links.append(asyncio.ensure_future(self._socket.run()))
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
        self._stream.close()
        self._failed.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_REPLIES_S)
        if self._socket is not None:
            await self._socket.drained(LAST_REPLIES_S)
            self._socket.close()
        for task in self._tasks:
            task.cancel()
        await self._connection.close()

    def recover(self, nonce: int) -> None:
        self._on_recover(nonce)

    def _up(self) -> None:
        self._stream_is_up.set()
        if self._stream.connects > 1:
            self._count("reconnects")
        self._on_stream(True, "")

    def _down(self, why: str) -> None:
        self._stream_is_up.clear()
        self._on_stream(False, why)

    # --- requests ---------------------------------------------------------------------------------------------------
    def admit(self, request: OrderRequest) -> int:
        return self._budget.admit_request(request, self.clock.now_ns())

    def new(self, request: OrderRequest) -> None:
        self._submit(request)

    def cancel(self, request: OrderRequest) -> None:
        self._submit(request)

    def replace(self, request: OrderRequest) -> None:
        self._submit(request)

    def query(self, request: OrderRequest) -> None:
        self._submit(request)

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

    def _submit(self, request: OrderRequest) -> None:
        """Choose the path. Over the socket the bytes have left when this returns."""
        try:
            parameters = self._encoders[request.request_type](request)
        except UnsupportedRequest as failure:
            self._tell_soon(refusal(request, Reason.BAD_REQUEST, str(failure)))
            return
        if self._socket is None or not self._socket.usable:
            self._spawn(self._over_rest(request, parameters))
            return
        if reason := self._guard(request):
            self._tell_soon(refusal(request, reason))
            return
        now = monotonic_ns()
        method = _ROUTES[request.request_type][1]
        if self._socket.send(method, parameters, self._window_ms(request, now), _OnSocket(self, request, now)):
            asyncio.get_running_loop().call_soon(self._tell_sent, request, now)
        else:
            self._tell_soon(refusal(request, Reason.NOT_SENT, "the order socket closed just now"))

    async def _over_rest(self, request: OrderRequest, parameters: Parameters) -> None:
        """One request from its last check to its one outcome."""
        if reason := self._guard(request):
            self._tell(refusal(request, reason))
            return
        asked_ns = monotonic_ns()
        try:
            reply = await self._transmit(request, parameters)
        except NotSent as failure:
            self._tell(refusal(request, Reason.NOT_SENT, str(failure)))
        except OutcomeUnknown as failure:
            self._tell_unknown(request, failure)
        else:
            now = monotonic_ns()
            fact, verdict = self._codec.decode_request_reply(request, reply.status, reply.body, now)
            self._note(reply, fact, verdict, asked_ns)
            self._tell_reply(request, fact, verdict, asked_ns)

    async def _transmit(self, request: OrderRequest, parameters: Parameters) -> HttpReply:
        """Sign and send over REST. SENT is told in the loop's next turn, when the bytes are with the socket."""
        connection = self._connection
        now = monotonic_ns()
        signed = self._signer.signed_query(
            query_text(parameters), connection.clock.now_ms(), self._window_ms(request, now)
        )
        asyncio.get_running_loop().call_soon(self._tell_sent, request, now)
        return await self._http.request(_ROUTES[request.request_type][0], ORDER, signed, self._signer.headers)

    def _window_ms(self, request: OrderRequest, now_ns: int) -> int:
        """recvWindow: no longer than what is left until the request's deadline, plus our error about the clock."""
        widest = self._connection.receive_window_ms
        if not request.deadline_ns:
            return widest
        left_ns = request.deadline_ns - now_ns + self.clock.error_ns
        return max(1, min(widest, left_ns // NS_PER_MS + 1))

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def on_socket_reply(self, request: OrderRequest, reply: SocketReply, receive_time_ns: int, sent_ns: int) -> None:
        """For _OnSocket: `reply` answers `request`, in time or late."""
        fact, verdict = self._codec.decode_request_reply(request, reply.status, reply.body, receive_time_ns)
        self._note(as_http_reply(reply), fact, verdict, sent_ns)
        if reply.status == UNAUTHORIZED and self._socket is not None:
            self._socket.session_lost()
        self._tell_reply(request, fact, verdict, sent_ns)

    def on_socket_late(self, request: OrderRequest, reply: SocketReply, receive_time_ns: int, sent_ns: int) -> None:
        """For _OnSocket: the outcome was told as unknown before. A reply that knows no more says nothing new."""
        self._count("late_replies")
        _, verdict = self._codec.decode_request_reply(request, reply.status, reply.body, receive_time_ns)
        if verdict is None or verdict.outcome is not Outcome.UNKNOWN:
            self._again.add(_key(request))  # its outcome is being settled: nothing is sent again for it
            self.on_socket_reply(request, reply, receive_time_ns, sent_ns)

    def on_socket_lost(self, request: OrderRequest, failure: OutcomeUnknown) -> None:
        """For _OnSocket: no reply came."""
        self._tell_unknown(request, failure)

    def guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        """Called from within a socket: what goes wrong here ends the OMS, not the socket, which would go on without the
        outcome."""
        try:
            act(*arguments)
        except Exception as failure:
            self._fail(failure)

    def _tell_reply(self, request: OrderRequest, fact: OrderEvent, verdict: Verdict | None, asked_ns: int) -> None:
        if verdict is not None:
            if fact.error_code == WRONG_TIMESTAMP and (key := _key(request)) not in self._again:
                self._again.add(key)
                self._spawn(self._send_again(request, fact))
                return
            if verdict.reason == Reason.VENUE_TIMESTAMP:
                self._spawn(self._measure_clock_again())
            if request.request_type == RequestType.QUERY:
                # A question that was not answered says nothing about the order; "not known there" is an answer.
                fact.event_type, fact.order_state = EventType.STATUS, OrderState.NONE
        if fact.event_type in CHANGES:
            self._stream.expect_word(asked_ns)
        if self._again:
            self._again.discard(_key(request))
        self._tell(fact)

    async def _send_again(self, request: OrderRequest, refused: OrderEvent) -> None:
        """The venue refused the timestamp, so the request was surely not carried out: once more by the clock measured
        anew, through all the last checks again."""
        try:
            await self._connection.heal_clock()
        except VenueUnavailable as failure:
            self._log.warning("venue clock could not be measured: %s", failure)
            self._tell(refused)
            return
        if self.admit(request):
            self._tell(refused)
        else:
            self._submit(request)

    def _tell_unknown(self, request: OrderRequest, failure: OutcomeUnknown) -> None:
        fact = fact_of_request(request, EventType.UNKNOWN, Reason.TIMEOUT if failure.timed_out else Reason.DISCONNECTED)
        fact.text = cut_text(str(failure))
        self._tell(fact)

    def _tell(self, fact: OrderEvent) -> None:
        if not fact.receive_time_ns:
            fact.receive_time_ns = monotonic_ns()
        self._sink(fact)

    def _tell_soon(self, fact: OrderEvent) -> None:
        """In the loop's next turn: the engine is still busy with the request that this answers."""
        asyncio.get_running_loop().call_soon(self.guarded, self._tell, fact)

    def _tell_sent(self, request: OrderRequest, send_time_ns: int) -> None:
        if not request.request_id:
            return  # the engine's own cancels answer nobody
        fact = fact_of_request(request, EventType.SENT)
        fact.send_time_ns = send_time_ns
        self.guarded(self._sink, fact)

    def _note(self, reply: HttpReply, fact: OrderEvent, verdict: Verdict | None, asked_ns: int) -> None:
        """What the reply says of limits. asked_ns: CLOCK_MONOTONIC at which its request left."""
        message = fact.text.decode("utf-8", "replace") if verdict is not None else ""
        asked_venue_ns = asked_ns + self.clock.offset_ns
        self._budget.note(reply, fact.error_code, message, self.clock.now_ns(), asked_venue_ns)

    async def measure_clock(self) -> None:
        """Raises VenueUnavailable."""
        await self.clock.measure(self._connection.fetcher.server_time)

    async def _measure_clock_again(self) -> None:
        try:
            await self._connection.heal_clock()
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
            self._tell_sent(request, monotonic_ns())
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
        fetcher = self._connection.fetcher
        last = ""
        for _ in range(CANCEL_ALL_ROUNDS):
            try:
                listed = await fetcher.open_orders([instrument.symbol], Lane.CANCEL)
                ours = [fact for fact in listed if instance_of(fact.client_order_id) == self._instance]
                if not ours:
                    return
                last = f"{instrument.symbol}: {len(ours)} orders of ours are still open"
                if len(ours) == len(listed):
                    await fetcher.cancel_all_of_symbol(instrument.symbol)
                else:
                    for request in (cancel_of(Order.from_fact(fact, external=False)) for fact in ours):
                        if self.admit(request):
                            last += ", and the rate limit lets no cancel pass now"
                            break
                        self._submit(request)
            except (VenueUnavailable, VenueRefused) as failure:
                last = f"{instrument.symbol}: {failure}"
            await asyncio.sleep(CANCEL_ALL_PAUSE_S)
        failures.append(last)

    # --- private stream ---------------------------------------------------------------------------------------------
    def _on_message(self, message: StreamMessage, receive_time_ns: int) -> None:
        fact: OrderEvent | None = None
        if isinstance(message, OrderTradeUpdate):
            fact = self._codec.order_update(message, receive_time_ns)
        elif isinstance(message, TradeLite):
            fact = self._codec.trade_lite(message, receive_time_ns)
        elif isinstance(message, AccountUpdate):
            return  # positions and balances are the position server's
        if fact is not None:
            self._sink(fact)


class _OnSocket:
    """Who waits on the order socket for the reply to one request."""

    __slots__ = ("_oms", "_request", "_sent_ns")

    def __init__(self, oms: BinanceOMS, request: OrderRequest, sent_ns: int) -> None:
        self._oms, self._request, self._sent_ns = oms, request, sent_ns

    def replied(self, reply: SocketReply, receive_time_ns: int) -> None:
        self._oms.guarded(self._oms.on_socket_reply, self._request, reply, receive_time_ns, self._sent_ns)

    def lost(self, failure: OutcomeUnknown) -> None:
        self._oms.guarded(self._oms.on_socket_lost, self._request, failure)

    def replied_late(self, reply: SocketReply, receive_time_ns: int) -> None:
        self._oms.guarded(self._oms.on_socket_late, self._request, reply, receive_time_ns, self._sent_ns)


def _key(request: OrderRequest) -> tuple[int, int, int]:
    """What tells a request from every other."""
    return request.request_type, request.request_id, request.client_order_id


_LETTERS: Final = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d"}
_HEADERS: Final = {"REQUEST_WEIGHT": "x-mbx-used-weight", "ORDERS": "x-mbx-order-count"}


def as_http_reply(reply: SocketReply) -> HttpReply:
    """Status and counts of the WebSocket API under the names that REST has for the same, for the one budget of both."""
    headers = {
        f"{_HEADERS[limit.kind]}-{limit.interval_number}{_LETTERS[limit.interval]}": str(limit.count)
        for limit in reply.rate_limits
        if limit.kind in _HEADERS and limit.interval in _LETTERS
    }
    return HttpReply(reply.status, headers, b"")
