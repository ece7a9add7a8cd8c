"""BinanceOMS: requests to signed bytes over REST, replies and the private stream to facts.

How a request whose outcome is unknown is settled here, and why (`exchanges/settlement.py` has the steps):

| the venue's word | counts | because |
|---|---|---|
| GET order by origClientOrderId finds it | at once | it exists |
| 1. GET order says -2013 | when recvWindow has passed | replicas lag; the engine may take it until then (-5028) |
| 2. openOrders of the symbol does not list it | asked after that | an order that rests must be there |
| 3. userTrades since the send has none of its trades | asked after that | what filled at once left trades |

Rows of userTrades name an order by the venue's id only, so the order behind each unknown id is asked for.

1, 2 and 3 together: it never was. A DELETE is sent again (harmless), a POST or PUT never.

The methods here hand a request over and return; each runs as a task that signs, looks at `guard` one last time, and
sends. Outcomes come through the sink as facts with the request's ids. The seam to the WebSocket API is `_transmit`: it
alone knows that the bytes go over REST.

Sources: New Order, Modify Order, Cancel Order, General Info below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.binance.account_fetcher import ORDER, BinanceAccountFetcher
from exchanges.binance.order_codec import UnsupportedRequest
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import AccountUpdate, OrderTradeUpdate, StreamMessage, TradeLite
from exchanges.binance.user_stream import BinanceUserStream
from exchanges.http import HttpReply, NotSent, OutcomeUnknown
from exchanges.order_events import cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order
from exchanges.rate_limit import Lane
from exchanges.settlement import cancel_of
from exchanges.venue_clock import VenueClock
from shm.clock import monotonic_ns
from shm.layout import ConnectionState, EventType, OrderState, Reason, RequestType, instance_of
from shm.records import OrderEvent, OrderRequest

NS_PER_MS: Final = 1_000_000
CLOCK_MARGIN_NS: Final = 1_000_000_000
"""The venue takes a timestamp up to a second ahead of its clock, so a request may live that much longer."""
CHANGES: Final = frozenset({EventType.ACCEPTED, EventType.REPLACED, EventType.CANCELED})
"""Confirmations that the private stream tells as well."""
WARM_CONNECTIONS: Final = 4
CONNECTIONS: Final = 16
CANCEL_ALL_ROUNDS: Final = 20
CANCEL_ALL_PAUSE_S: Final = 0.2

_ROUTES: Final[dict[int, str]] = {
    RequestType.NEW: "POST",
    RequestType.CANCEL: "DELETE",
    RequestType.REPLACE: "PUT",
    RequestType.QUERY: "GET",
}


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
        self._stream_is_up = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reply_time_ns = 0
        self._encoders: dict[int, Callable[[OrderRequest], str]] = {
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
        await self._connection.prepare(WARM_CONNECTIONS)

    async def stream_up(self) -> None:
        await self._stream_is_up.wait()

    def arm_countdown(self, symbol: str, countdown_ms: int) -> Awaitable[None]:
        return self._connection.fetcher.arm_countdown(symbol, countdown_ms)

    def connections(self) -> Sequence[ConnectionHealth]:
        rest = ConnectionState.UP if self._reply_time_ns else ConnectionState.CONNECTING
        return (self._stream.health(), ConnectionHealth("rest", rest, self._reply_time_ns))

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep the private stream up until close(). Raises VenueRefused where the key is wrong, and whatever went
        wrong in a task of its own: an OMS that lost an outcome must not go on."""
        stream = asyncio.ensure_future(self._stream.run())
        waited: set[asyncio.Future[None]] = {stream, self._failed}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await stream
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)

    async def close(self) -> None:
        self._stream.close()
        self._failed.cancel()
        if self._tasks:  # replies of requests that have left: their facts are worth a moment
            await asyncio.wait(self._tasks, timeout=2.0)
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
        self._spawn(self._submit(request))

    def cancel(self, request: OrderRequest) -> None:
        self._spawn(self._submit(request))

    def replace(self, request: OrderRequest) -> None:
        self._spawn(self._submit(request))

    def query(self, request: OrderRequest) -> None:
        self._spawn(self._submit(request))

    def cancel_all(self, request: OrderRequest | None) -> None:
        self._spawn(self._cancel_all(request))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(failure)

    async def _submit(self, request: OrderRequest) -> None:
        """One request from its last check to its one outcome."""
        try:
            query = self._encoders[request.request_type](request)
        except UnsupportedRequest as failure:
            self._sink(refusal(request, Reason.BAD_REQUEST, str(failure)))
            return
        if reason := self._guard(request):
            self._sink(refusal(request, reason))
            return
        asked_ns = monotonic_ns()
        try:
            reply = await self._transmit(request, query)
        except NotSent as failure:
            fact = refusal(request, Reason.NOT_SENT, str(failure))
        except OutcomeUnknown as failure:
            reason = Reason.TIMEOUT if isinstance(failure.__cause__, TimeoutError) else Reason.DISCONNECTED
            fact = fact_of_request(request, EventType.UNKNOWN, reason)
            fact.text = cut_text(str(failure))
        else:
            fact = self._understand(request, reply)
            if fact.event_type in CHANGES:
                self._stream.expect_word(asked_ns)
        if not fact.receive_time_ns:
            fact.receive_time_ns = monotonic_ns()
        self._sink(fact)

    async def _transmit(self, request: OrderRequest, query: str) -> HttpReply:
        """Sign and send over REST. SENT is told in the loop's next turn, when the bytes are with the socket."""
        connection = self._connection
        now = monotonic_ns()
        signed = self._signer.signed_query(query, connection.clock.now_ms(), self._window_ms(request, now))
        asyncio.get_running_loop().call_soon(self._tell_sent, request, now)
        return await self._http.request(_ROUTES[request.request_type], ORDER, signed, self._signer.headers)

    def _window_ms(self, request: OrderRequest, now_ns: int) -> int:
        """recvWindow: no longer than what is left until the request's deadline, plus our error about the clock."""
        widest = self._connection.receive_window_ms
        if not request.deadline_ns:
            return widest
        left_ns = request.deadline_ns - now_ns + self.clock.error_ns
        return max(1, min(widest, left_ns // NS_PER_MS + 1))

    def _tell_sent(self, request: OrderRequest, send_time_ns: int) -> None:
        if not request.request_id:
            return  # the engine's own cancels answer nobody
        fact = fact_of_request(request, EventType.SENT)
        fact.send_time_ns = send_time_ns
        self._sink(fact)

    def _understand(self, request: OrderRequest, reply: HttpReply) -> OrderEvent:
        self._reply_time_ns = now = monotonic_ns()
        fact, verdict = self._codec.decode_request_reply(request, reply.status, reply.body, now)
        message = fact.text.decode("utf-8", "replace") if verdict is not None else ""
        self._budget.note(reply, fact.error_code, message, self.clock.now_ns())
        if verdict is None:
            return fact
        if verdict.reason == Reason.VENUE_TIMESTAMP:
            self._spawn(self._measure_clock_again())
        if request.request_type == RequestType.QUERY:
            # A question that was not answered says nothing about the order; "not known there" is an answer.
            fact.event_type, fact.order_state = EventType.STATUS, OrderState.NONE
        return fact

    async def measure_clock(self) -> None:
        """Raises VenueUnavailable."""
        await self.clock.measure(self._connection.fetcher.server_time)

    async def _measure_clock_again(self) -> None:
        try:
            await self.measure_clock()
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
                    for fact in ours:
                        await self._submit(cancel_of(Order.from_fact(fact, external=False)))
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
