"""DeribitOMS: requests to JSON-RPC over one private WebSocket, replies and user.changes to facts.

Which path: orders and edits go over the WebSocket only, because the venue's dead-man's switch (cancel-on-disconnect)
covers what a WebSocket has created, and nothing else. Cancels and queries go over it too while it is usable, else over
HTTP. A request whose bytes may have left is never sent again by itself: it is UNKNOWN, and settled.

How a request whose outcome is unknown is settled here, and why (`exchanges/settlement.py` has the steps):

| the venue's word | counts | because |
|---|---|---|
| get_order_state_by_label finds it | at once | it exists |
| 1. get_order_state_by_label lists nothing | when `valid_until` has passed | it may begin until then (13888) |
| 2. get_open_orders does not list it | asked after that | an order that rests must be there |
| 3. get_user_trades since the send has none of its trades | asked after that | what filled at once left trades |

1, 2 and 3 together: it never was. An order that ended more than 30 minutes ago is not found by label any more; it is
settled long before. A cancel is sent again (harmless), a buy, sell or edit never.

The venue's switch: `arm_countdown` is fulfilled while the line stands, on which cancel-on-disconnect was enabled and,
asked for, confirmed before the line was used. It ends with the line, and so does readiness.

user.changes carries an order, its fills and the position of one event together; a reply carries an order and the fills
it had at once. Both are told as facts, and the merger knows what each adds.

The methods here hand a request over and return: over the WebSocket the bytes are with the socket by then. `guard` is
asked one last time just before. Outcomes come through the sink as facts with the request's ids, never inside of these
methods: whoever called them has not finished.

Sources: private/buy, private/edit, private/cancel, private/enable_cancel_on_disconnect below https://docs.deribit.com.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.deribit.account_fetcher import DeribitAccountFetcher
from exchanges.deribit.error_codes import SESSION_LOST
from exchanges.deribit.order_budget import CREDITS, MATCHING
from exchanges.deribit.order_connection import OrderConnection
from exchanges.deribit.order_messages import Reply
from exchanges.deribit.order_socket import DeribitOrderSocket
from exchanges.order_events import cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order
from exchanges.order_wire import MalformedMessage, UnsupportedRequest
from exchanges.rate_limit import Lane
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.settlement import cancel_of
from exchanges.venue_clock import VenueClock
from exchanges.verdict import Outcome
from shm.clock import monotonic_ns
from shm.layout import ConnectionState, EventType, OrderState, Reason, RequestType, instance_of
from shm.records import OrderEvent, OrderRequest

NS_PER_MS: Final = 1_000_000
CLOCK_MARGIN_NS: Final = 1_000_000_000
"""Laid on the bound of a request's life, for a venue whose servers' clocks differ."""
CHANGES: Final = "user.changes.any.any.raw"
SCOPES: Final = "account:read_write trade:read_write"
"""account: to enable cancel-on-disconnect."""
WARM_CONNECTIONS: Final = 2
CANCEL_ALL_ROUNDS: Final = 20
CANCEL_ALL_PAUSE_S: Final = 0.2
LAST_REPLIES_S: Final = 2.0
"""How long a close waits for replies of requests that have left: their facts are worth a moment."""
_SOCKET_ONLY: Final = frozenset({RequestType.NEW, RequestType.REPLACE})


class DeribitOMS:
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
        self._connection = connection or OrderConnection(context, instruments, instance_number)
        self._codec, self._http = self._connection.codec, self._connection.http
        self._budget = self._connection.budget
        self._socket = DeribitOrderSocket(
            f"{context.venue} orders",
            self._connection,
            session=f"corelane-{instance_number}-orders",
            scopes=SCOPES,
            channels=[CHANGES],
            carries_orders=True,
            on_message=self._on_message,
            log=context.log,
            on_up=self._up,
            on_down=self._down,
            on_ending=self._pull_before_the_end,
        )
        self._stream_is_up = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return self._socket.up

    @property
    def source(self) -> DeribitAccountFetcher:
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

    async def arm_countdown(self, symbol: str, countdown_ms: int) -> None:
        """Cancel-on-disconnect stands for every order of the line, with no countdown to refresh: fulfilled while the
        line does. Raises VenueUnavailable."""
        if countdown_ms and not self._socket.up:
            raise VenueUnavailable(f"{symbol}: no connection on which cancel-on-disconnect is on")

    def connections(self) -> Sequence[ConnectionHealth]:
        replied_ns = self._http.reply_time_ns
        rest = ConnectionState.UP if replied_ns else ConnectionState.CONNECTING
        return (self._socket.health(), ConnectionHealth("rest", rest, replied_ns))

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep the private connection up until close(). Raises VenueRefused where the key is wrong, and whatever went
        wrong with an outcome: an OMS that lost one must not go on."""
        link = asyncio.ensure_future(self._socket.run())
        try:
            ended, _ = await asyncio.wait({link, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                if not one.cancelled():  # `_failed` is, by close()
                    one.result()
        finally:
            link.cancel()
            await asyncio.gather(link, return_exceptions=True)

    async def close(self) -> None:
        self._failed.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_REPLIES_S)
        await self._socket.drained(LAST_REPLIES_S)
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        await self._connection.close()

    def recover(self, nonce: int) -> None:
        self._on_recover(nonce)

    def _up(self) -> None:
        self._stream_is_up.set()
        if self._socket.connects > 1:
            self._count("reconnects")
        self._on_stream(True, "")

    def _down(self, why: str) -> None:
        self._stream_is_up.clear()
        self._on_stream(False, why)

    async def _pull_before_the_end(self) -> None:
        """A line that is given up takes its orders with it; what happens to them is better known than suffered."""
        if failures := await self.pull_all():
            self._log.error("orders could not all be pulled before the line is given up: %s", "; ".join(failures))

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
            method, text = self._encode(request)
        except UnsupportedRequest as failure:
            self._tell_soon(refusal(request, Reason.BAD_REQUEST, str(failure)))
            return
        if not self._socket.usable:
            if request.request_type in _SOCKET_ONLY:
                self._tell_soon(refusal(request, Reason.NOT_SENT, "the order socket is not usable now"))
            else:
                self._spawn(self._over_rest(request, method, text))
            return
        if reason := self._guard(request):
            self._tell_soon(refusal(request, reason))
            return
        now = monotonic_ns()
        if self._socket.send(method, text, _OnSocket(self, request, method, now)):
            asyncio.get_running_loop().call_soon(self._tell_sent, request, now)
        else:
            self._tell_soon(refusal(request, Reason.NOT_SENT, "the order socket closed just now"))

    def _encode(self, request: OrderRequest) -> tuple[str, str]:
        kind = request.request_type
        if kind == RequestType.NEW:
            return self._codec.encode_new(request, self._valid_until_ms(request))
        if kind == RequestType.REPLACE:
            return self._codec.encode_replace(request, self._valid_until_ms(request))
        return self._codec.encode_cancel(request) if kind == RequestType.CANCEL else self._codec.encode_query(request)

    async def _over_rest(self, request: OrderRequest, method: str, text: str) -> None:
        """One cancel or query from its last check to its one outcome."""
        if reason := self._guard(request):
            self._tell(refusal(request, reason))
            return
        asked_ns = monotonic_ns()
        asyncio.get_running_loop().call_soon(self._tell_sent, request, asked_ns)
        try:
            reply, _ = await self._connection.fetcher.send(method, text)
        except NotSent as failure:
            self._tell(refusal(request, Reason.NOT_SENT, str(failure)))
        except OutcomeUnknown as failure:
            self._tell_unknown(request, failure)
        except MalformedMessage as failure:
            self._tell_unknown(request, OutcomeUnknown(str(failure)))
        else:
            self._understand(request, method, reply, monotonic_ns(), asked_ns)

    def _valid_until_ms(self, request: OrderRequest) -> int:
        """By the venue's clock: no longer than what is left until the request's deadline, plus our error about it."""
        now = monotonic_ns()
        left_ns = self._connection.receive_window_ms * NS_PER_MS
        if request.deadline_ns:
            left_ns = min(left_ns, max(0, request.deadline_ns - now) + self.clock.error_ns)
        return (now + self.clock.offset_ns + left_ns) // NS_PER_MS + 1

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def on_socket_reply(
        self, request: OrderRequest, method: str, reply: Reply, receive_time_ns: int, sent_ns: int
    ) -> None:
        """For _OnSocket: `reply` answers `request`, in time or late."""
        if reply.error is not None and reply.error.code in SESSION_LOST:
            self._socket.session_lost()
        self._understand(request, method, reply, receive_time_ns, sent_ns)

    def on_socket_late(
        self, request: OrderRequest, method: str, reply: Reply, receive_time_ns: int, sent_ns: int
    ) -> None:
        """For _OnSocket: the outcome was told as unknown before. A reply that knows no more says nothing new."""
        self._count("late_replies")
        _, verdict = self._codec.decode_request_reply(request, method, reply, receive_time_ns)
        if verdict is None or verdict.outcome is not Outcome.UNKNOWN:
            self._understand(request, method, reply, receive_time_ns, sent_ns)

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

    def _understand(
        self, request: OrderRequest, method: str, reply: Reply, receive_time_ns: int, asked_ns: int
    ) -> None:
        facts, verdict = self._codec.decode_request_reply(request, method, reply, receive_time_ns)
        bucket = CREDITS if request.request_type == RequestType.QUERY else MATCHING
        code = reply.error.code if reply.error is not None else 0
        self._budget.note(code, bucket, self.clock.now_ns(), asked_ns + self.clock.offset_ns)
        if verdict is not None:
            if verdict.reason == Reason.VENUE_TIMESTAMP:
                self._spawn(self._measure_clock_again())
            if request.request_type == RequestType.QUERY:
                # A question that was not answered says nothing about the order; "not known there" is an answer.
                facts[0].event_type, facts[0].order_state = EventType.STATUS, OrderState.NONE
        for fact in facts:
            self._tell(fact)

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
                        self._submit(cancel_of(Order.from_fact(fact, external=False)))
            except (VenueUnavailable, VenueRefused) as failure:
                last = f"{instrument.symbol}: {failure}"
            await asyncio.sleep(CANCEL_ALL_PAUSE_S)
        failures.append(last)

    # --- private stream ---------------------------------------------------------------------------------------------
    def _on_message(self, channel: str, data: msgspec.Raw, receive_time_ns: int) -> None:
        """Raises MalformedMessage."""
        if channel != CHANGES:
            return
        for fact in self._codec.changes(self._codec.decode_changes(data), receive_time_ns):
            self._sink(fact)


class _OnSocket:
    """Who waits on the order socket for the reply to one request."""

    __slots__ = ("_method", "_oms", "_request", "_sent_ns")

    def __init__(self, oms: DeribitOMS, request: OrderRequest, method: str, sent_ns: int) -> None:
        self._oms, self._request, self._method, self._sent_ns = oms, request, method, sent_ns

    def replied(self, reply: Reply, receive_time_ns: int) -> None:
        oms = self._oms
        oms.guarded(oms.on_socket_reply, self._request, self._method, reply, receive_time_ns, self._sent_ns)

    def lost(self, failure: OutcomeUnknown) -> None:
        self._oms.guarded(self._oms.on_socket_lost, self._request, failure)

    def replied_late(self, reply: Reply, receive_time_ns: int) -> None:
        oms = self._oms
        oms.guarded(oms.on_socket_late, self._request, self._method, reply, receive_time_ns, self._sent_ns)
