"""A venue for bench/tick_to_trade.py: sends marked frames, stamps the arrival of the orders that they lead to.

Both sockets are real WebSockets on loopback and the words are the venue's own: frames in the recorded shape, logins,
replies. It matches nothing: an immediate-or-cancel order is answered at once as one that found nobody. Frames and
replies are put together before the clock starts or after it stopped, so the venue's own work is not measured.

What differs between venues is a `Shape`; a venue joins the bench by an entry in SHAPES.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import picows

from exchanges.binance import fast_decode as binance_decode
from exchanges.binance.oms import BinanceOMS
from exchanges.deribit import fast_decode as deribit_decode
from exchanges.deribit.oms import DeribitOMS
from shm.clock import monotonic_ns
from strategy.testing import Listing

MARKET, ORDERS = "/market", "/orders"
BASE_PRICE = 60_000.0


@dataclass(frozen=True)
class Shape:
    """One venue's words. quote: number of the mark and its price -> frame. reply: a request -> its answer. is_order: of
    a request."""

    listing: Listing
    symbol: str
    quote: Callable[[int, float], bytes]
    reply: Callable[[dict[str, Any]], Any]
    is_order: Callable[[bytes], bool]
    decode: Any
    oms: Any
    quantity: float


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _binance_quote(mark: int, price: float) -> bytes:
    now = _now_ms()
    return (
        f'{{"e":"bookTicker","u":{mark},"s":"BTCUSDT","b":"{price:.2f}","B":"1.000","a":"{price + 0.1:.2f}",'
        f'"A":"1.000","T":{now},"E":{now}}}'
    ).encode()


def _binance_reply(asked: dict[str, Any]) -> Any:
    if asked["method"] != "order.place":
        return {"id": asked["id"], "status": 200, "result": {}}
    order = asked["params"]
    result = {
        "orderId": int(asked["id"]), "symbol": "BTCUSDT", "status": "EXPIRED",
        "clientOrderId": order["newClientOrderId"], "price": order["price"], "origQty": order["quantity"],
        "executedQty": "0", "side": order["side"],
        "type": "LIMIT", "timeInForce": "IOC", "updateTime": _now_ms(),
    }  # fmt: skip
    return {"id": asked["id"], "status": 200, "result": result, "rateLimits": []}


def _deribit_quote(mark: int, price: float) -> bytes:
    return (
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":'
        f'{{"timestamp":{_now_ms()},"instrument_name":"BTC-PERPETUAL","best_bid_price":{price:.1f},'
        f'"best_bid_amount":1000.0,"best_ask_price":{price + 0.5:.1f},"best_ask_amount":1000.0}}}}}}'
    ).encode()


def _deribit_reply(asked: dict[str, Any]) -> Any:
    method, order = asked["method"], asked.get("params", {})
    answers = {
        "public/auth": {"access_token": "a", "refresh_token": "r", "expires_in": 900, "token_type": "bearer",
                        "scope": "account:read_write block_trade:read_write trade:read_write wallet:read_write"},
        "private/get_cancel_on_disconnect": {"enabled": True, "scope": "connection"},
        "private/subscribe": order.get("channels"),
    }  # fmt: skip
    if method not in ("private/buy", "private/sell"):
        return {"jsonrpc": "2.0", "id": asked["id"], "result": answers.get(method, "ok")}
    now = _now_ms()
    told = {
        "order_id": f"BTC-{asked['id']}", "order_state": "cancelled", "instrument_name": order["instrument_name"],
        "direction": method.removeprefix("private/"), "price": order["price"], "amount": order["amount"],
        "filled_amount": 0.0, "order_type": "limit", "time_in_force": "immediate_or_cancel", "label": order["label"],
        "creation_timestamp": now, "last_update_timestamp": now,
    }  # fmt: skip
    return {"jsonrpc": "2.0", "id": asked["id"], "result": {"order": told, "trades": []}}


SHAPES = {
    "binance": Shape(
        Listing("binance:BTCUSDT"), "BTCUSDT", _binance_quote, _binance_reply, lambda raw: b'"order.place"' in raw,
        binance_decode, BinanceOMS, 0.01,
    ),
    "deribit": Shape(
        Listing("deribit:BTC-PERPETUAL", "0.5", "10", inverse=True), "BTC-PERPETUAL", _deribit_quote, _deribit_reply,
        lambda raw: b'"private/buy"' in raw, deribit_decode, DeribitOMS, 100.0,
    ),
}  # fmt: skip


class MarkedVenue:
    """`arrived_ns`: when the newest order came; 0 from the moment its frame is sent."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.market: picows.WSTransport | None = None
        self.sent_ns = self.arrived_ns = 0
        self.marks = 0
        self._server: Any = None

    async def start(self) -> int:
        """The port."""
        self._server = await picows.ws_create_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self, request: Any) -> picows.WSListener:
        path = request.path.decode()
        return _MarketEnd(self) if path.startswith(MARKET) else _OrderEnd(self)

    def mark(self) -> bytes:
        """The next frame."""
        self.marks += 1
        return self.shape.quote(self.marks, BASE_PRICE + self.marks % 16)

    def send(self, frame: bytes) -> None:
        assert self.market is not None
        self.arrived_ns = 0
        self.sent_ns = monotonic_ns()
        self.market.send(picows.WSMsgType.TEXT, frame)

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()


class _MarketEnd(picows.WSListener):
    def __init__(self, venue: MarkedVenue) -> None:
        self._venue = venue

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._venue.market = transport


class _OrderEnd(picows.WSListener):
    def __init__(self, venue: MarkedVenue) -> None:
        self._venue = venue

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        now = monotonic_ns()
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        raw, shape = frame.get_payload_as_bytes(), self._venue.shape
        if shape.is_order(raw):
            self._venue.arrived_ns = now
        transport.send(picows.WSMsgType.TEXT, orjson.dumps(shape.reply(orjson.loads(raw))))
