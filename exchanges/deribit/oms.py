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

What is the same at every venue stands in exchanges/venue_oms.py.

Sources: private/buy, private/edit, private/cancel, private/enable_cancel_on_disconnect below https://docs.deribit.com.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Unpack

import msgspec

from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueUnavailable
from exchanges.deribit.account_fetcher import DeribitAccountFetcher
from exchanges.deribit.error_codes import SESSION_LOST
from exchanges.deribit.fast_encode import FastEncoder
from exchanges.deribit.order_budget import CREDITS, MATCHING
from exchanges.deribit.order_connection import OrderConnection
from exchanges.deribit.order_messages import Reply
from exchanges.deribit.order_socket import DeribitOrderSocket
from exchanges.order_wire import MalformedMessage
from exchanges.request_failure import OutcomeUnknown
from exchanges.venue_clock import VenueClock
from exchanges.venue_oms import NS_PER_MS, OmsParts, VenueOMS
from exchanges.verdict import Verdict
from shm.clock import monotonic_ns
from shm.layout import RequestType
from shm.records import OrderEvent, OrderRequest

CLOCK_MARGIN_NS: Final = 1_000_000_000
"""Laid on the bound of a request's life, for a venue whose servers' clocks differ."""
CHANGES: Final = "user.changes.any.any.raw"
SCOPES: Final = "account:read_write trade:read_write"
"""account: to enable cancel-on-disconnect."""
WARM_CONNECTIONS: Final = 2
_SOCKET_ONLY: Final = frozenset({RequestType.NEW, RequestType.REPLACE})
_Message = tuple[str, str]
"""Method, and parameters as JSON text."""


class DeribitOMS(VenueOMS[_Message, Reply, DeribitAccountFetcher]):
    """See exchanges/venue_oms.py for the part that all venues share."""

    _socket: DeribitOrderSocket

    def __init__(
        self,
        context: ExchangeContext,
        sink: Callable[[OrderEvent], None],
        *,
        connection: OrderConnection | None = None,
        **parts: Unpack[OmsParts],
    ) -> None:
        self._connection = connection or OrderConnection(context, parts["instruments"], parts["instance_number"])
        super().__init__(context, sink, self._connection, **parts)
        self._codec, self._budget = self._connection.codec, self._connection.budget
        self._socket = DeribitOrderSocket(
            f"{context.venue} orders",
            self._connection,
            session=f"corelane-{self._instance}-orders",
            scopes=SCOPES,
            channels=[CHANGES],
            carries_orders=True,
            on_message=self._on_message,
            log=context.log,
            on_up=self._up,
            on_down=self._down,
            on_ending=self._pull_before_the_end,
        )
        window_ms, known_ids = self._connection.receive_window_ms, self._codec.exchange_ids
        self._use_socket(self._socket, FastEncoder(parts["instruments"], self.clock, window_ms, known_ids))

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return self._socket.up

    @property
    def acceptance_ns(self) -> int:
        return self._connection.receive_window_ms * NS_PER_MS + CLOCK_MARGIN_NS + self.clock.error_ns

    async def prepare(self) -> None:
        await self._connection.prepare(WARM_CONNECTIONS)

    async def arm_countdown(self, symbol: str, countdown_ms: int) -> None:
        """Cancel-on-disconnect stands for every order of the line, with no countdown to refresh: fulfilled while the
        line does. Raises VenueUnavailable."""
        if countdown_ms and not self._socket.up:
            raise VenueUnavailable(f"{symbol}: no connection on which cancel-on-disconnect is on")

    def connections(self) -> Sequence[ConnectionHealth]:
        return (self._socket.health(), self._rest_health())

    # --- life -------------------------------------------------------------------------------------------------------
    def _links(self) -> list[Coroutine[Any, Any, None]]:
        return [self._socket.run()]

    async def _pull_before_the_end(self) -> None:
        """A line that is given up takes its orders with it; what happens to them is better known than suffered."""
        if failures := await self.pull_all():
            self._log.error("orders could not all be pulled before the line is given up: %s", "; ".join(failures))

    # --- requests ---------------------------------------------------------------------------------------------------
    def _encode(self, request: OrderRequest) -> _Message:
        kind = request.request_type
        if kind == RequestType.NEW:
            return self._codec.encode_new(request, self._valid_until_ms(request))
        if kind == RequestType.REPLACE:
            return self._codec.encode_replace(request, self._valid_until_ms(request))
        return self._codec.encode_cancel(request) if kind == RequestType.CANCEL else self._codec.encode_query(request)

    def _rest_refuses(self, request: OrderRequest) -> bool:
        return request.request_type in _SOCKET_ONLY

    def _seal(self, request: OrderRequest, message: _Message) -> tuple[int, bytes]:
        return self._socket.message(*message)

    async def _transmit(self, request: OrderRequest, message: _Message) -> Reply:
        try:
            return (await self._connection.fetcher.send(*message))[0]
        except MalformedMessage as failure:
            raise OutcomeUnknown(str(failure)) from failure

    def _valid_until_ms(self, request: OrderRequest) -> int:
        """By the venue's clock."""
        now = monotonic_ns()
        return valid_until_ms(self.clock, now, self._left_ns(request, now))

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def _about_socket(self, reply: Reply) -> None:
        if reply.error is not None and reply.error.code in SESSION_LOST:
            self._socket.session_lost()

    def _understand(self, request: OrderRequest, reply: Reply, receive_time_ns: int, sent_ns: int) -> None:
        facts, verdict = self._codec.decode_request_reply(request, reply, receive_time_ns)
        bucket = CREDITS if request.request_type == RequestType.QUERY else MATCHING
        code = reply.error.code if reply.error is not None else 0
        self._budget.note(code, bucket, self.clock.now_ns(), sent_ns + self.clock.offset_ns)
        self._tell_answers(request, verdict, facts)

    def _verdict(self, request: OrderRequest, reply: Reply, receive_time_ns: int) -> Verdict | None:
        return self._codec.decode_request_reply(request, reply, receive_time_ns)[1]

    # --- private stream ---------------------------------------------------------------------------------------------
    def _on_message(self, channel: str, data: msgspec.Raw, receive_time_ns: int) -> None:
        """Raises MalformedMessage."""
        if channel != CHANGES:
            return
        for fact in self._codec.changes(self._codec.decode_changes(data), receive_time_ns):
            self._sink(fact)


def valid_until_ms(clock: VenueClock, now_ns: int, left_ns: int) -> int:
    """The venue's time until which it may begin with a request that has so long to live from now on."""
    return (now_ns + clock.offset_ns + left_ns) // NS_PER_MS + 1
