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

What is the same at every venue stands in exchanges/venue_oms.py.

Sources: New Order, Modify Order, Cancel Order, WebSocket API General Info, General Info below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it, order_engine.py and processes/trading_engine.py use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Unpack

from exchanges.adapter import ConnectionHealth, ExchangeContext
from exchanges.binance.account_fetcher import ORDER, BinanceAccountFetcher
from exchanges.binance.auth import Parameters, query_text
from exchanges.binance.error_codes import WRONG_TIMESTAMP
from exchanges.binance.fast_encode import FastEncoder
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import AccountUpdate, OrderTradeUpdate, SocketReply, StreamMessage, TradeLite
from exchanges.binance.order_socket import BinanceOrderSocket
from exchanges.binance.user_stream import BinanceUserStream
from exchanges.http import HttpReply
from exchanges.venue_oms import NS_PER_MS, OmsParts, VenueOMS
from exchanges.verdict import Verdict
from shm.clock import monotonic_ns
from shm.layout import EventType, RequestType
from shm.records import OrderEvent, OrderRequest

CLOCK_MARGIN_NS: Final = 1_000_000_000
"""The venue takes a timestamp up to a second ahead of its clock, so a request may live that much longer."""
CHANGES: Final = frozenset({EventType.ACCEPTED, EventType.REPLACED, EventType.CANCELED})
"""Confirmations that the private stream tells as well."""
UNAUTHORIZED: Final = 401
WARM_CONNECTIONS: Final = 4
CONNECTIONS: Final = 16

ROUTES: Final[dict[int, tuple[str, str]]] = {
    RequestType.NEW: ("POST", "order.place"),
    RequestType.CANCEL: ("DELETE", "order.cancel"),
    RequestType.REPLACE: ("PUT", "order.modify"),
    RequestType.QUERY: ("GET", "order.status"),
}
"""HTTP method on /fapi/v1/order, and method of the WebSocket API."""


class BinanceOMS(VenueOMS[Parameters, SocketReply | HttpReply, BinanceAccountFetcher]):
    """See exchanges/venue_oms.py for the part that all venues share."""

    _socket: BinanceOrderSocket | None

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
        if context.settings.order_path == "websocket":
            self._socket = BinanceOrderSocket(
                f"{context.venue} order socket",
                self._connection,
                log=context.log,
                on_down=lambda why: context.log.warning("order socket is down (%s): orders go over REST", why),
                on_clock_wrong=lambda: self._spawn(self._measure_clock_again()),
            )
            widest_ms = self._connection.receive_window_ms
            self._use_socket(self._socket, FastEncoder(parts["instruments"], self.clock, widest_ms, self._signer))
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
    def acceptance_ns(self) -> int:
        return self._connection.receive_window_ms * NS_PER_MS + CLOCK_MARGIN_NS + self.clock.error_ns

    async def prepare(self) -> None:
        await self._connection.prepare(WARM_CONNECTIONS, trading=True)

    def arm_countdown(self, symbol: str, countdown_ms: int) -> Awaitable[None]:
        return self._connection.fetcher.arm_countdown(symbol, countdown_ms)

    def connections(self) -> Sequence[ConnectionHealth]:
        links = [self._stream.health(), self._rest_health()]
        if self._socket is not None:
            links.append(self._socket.health())
        return links

    # --- life -------------------------------------------------------------------------------------------------------
    def _links(self) -> list[Coroutine[Any, Any, None]]:
        return [self._stream.run(), *([self._socket.run()] if self._socket is not None else [])]

    def _leave_stream(self) -> None:
        self._stream.close()

    # --- requests ---------------------------------------------------------------------------------------------------
    def _encode(self, request: OrderRequest) -> Parameters:
        return self._encoders[request.request_type](request)

    def _seal(self, request: OrderRequest, message: Parameters) -> tuple[int, bytes]:
        assert self._socket is not None
        method = ROUTES[request.request_type][1]
        return self._socket.message(method, message, self._window_ms(request, monotonic_ns()))

    async def _transmit(self, request: OrderRequest, message: Parameters) -> HttpReply:
        clock = self._connection.clock
        now = monotonic_ns()
        signed = self._signer.signed_query(query_text(message), clock.now_ms(), self._window_ms(request, now))
        return await self._http.request(ROUTES[request.request_type][0], ORDER, signed, self._signer.headers)

    def _window_ms(self, request: OrderRequest, now_ns: int) -> int:
        """recvWindow."""
        return window_ms(self._connection.receive_window_ms, self._left_ns(request, now_ns))

    # --- outcomes ---------------------------------------------------------------------------------------------------
    def _about_socket(self, reply: SocketReply | HttpReply) -> None:
        if reply.status == UNAUTHORIZED and self._socket is not None:
            self._socket.session_lost()

    def _understand(
        self,
        request: OrderRequest,
        reply: SocketReply | HttpReply,
        receive_time_ns: int,
        sent_ns: int,
    ) -> None:
        fact, verdict = self._codec.decode_request_reply(request, reply.status, reply.body, receive_time_ns)
        self._note(as_http_reply(reply) if isinstance(reply, SocketReply) else reply, fact, verdict, sent_ns)
        if fact.error_code == WRONG_TIMESTAMP and verdict and self._heals(request, fact, self._connection.heal_clock):
            return  # surely not carried out: once more by the clock measured anew
        if fact.event_type in CHANGES:
            self._stream.expect_word(sent_ns)
        self._tell_answers(request, verdict, [fact])

    def _verdict(self, request: OrderRequest, reply: SocketReply | HttpReply, receive_time_ns: int) -> Verdict | None:
        return self._codec.decode_request_reply(request, reply.status, reply.body, receive_time_ns)[1]

    def _note(self, reply: HttpReply, fact: OrderEvent, verdict: Verdict | None, asked_ns: int) -> None:
        """What the reply says of limits. asked_ns: CLOCK_MONOTONIC at which its request left."""
        message = fact.text.decode("utf-8", "replace") if verdict is not None else ""
        asked_venue_ns = asked_ns + self.clock.offset_ns
        self._budget.note(reply, fact.error_code, message, self.clock.now_ns(), asked_venue_ns)

    async def _heal_clock(self) -> None:
        await self._connection.heal_clock()

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


def window_ms(widest_ms: int, left_ns: int) -> int:
    """recvWindow of a request that has so long to live."""
    return max(1, min(widest_ms, left_ns // NS_PER_MS + 1))


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
