"""The marked venue as nautilus_trader's Binance adapter meets it: combined streams, and orders over REST.

Everything but an order is answered by the handlers of the embedded simulator, whose market stands still: instruments,
account, position mode, listen key. An order is not matched: its arrival is stamped when its bytes come, and it is
answered, then told over the user stream, as one that found nobody.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qsl

import orjson
import picows
from _marked_venue import MarkedVenue, MarketEnd, PrivateEnd
from _venue_words import SHAPES

from exchanges.binance.simulator import SimulatorOptions, SimulatorServer
from exchanges.binance.simulator_auth import DEMO_KEY
from exchanges.binance.simulator_calls import ENDPOINTS
from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_instruments import instrument_for
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_venue import Call
from exchanges.simulator.generator import GeneratedFlow
from shm.clock import monotonic_ns

SYMBOL, STREAM = "BTCUSDT", "btcusdt@bookTicker"
ORDER = ("POST", "/fapi/v1/order")


class NautilusVenue(MarkedVenue):
    def __init__(self) -> None:
        super().__init__(SHAPES["binance"])
        now_ms = time.time_ns() // 1_000_000
        options = SimulatorOptions(symbols=(SYMBOL,))
        self._exchange = SimulatorServer(options, [GeneratedFlow([instrument_for(SYMBOL)], options.seed, now_ms)]).venue
        self._handlers = {(one.method, one.path): one.handler for one in ENDPOINTS}
        self._orders = 0
        self._rest: Any = None
        self.listen_key = ""

    async def start(self) -> int:
        """The sockets' port; `rest_port` then has the other one."""
        loop = asyncio.get_running_loop()
        self._rest = await loop.create_server(lambda: _RestEnd(self), "127.0.0.1", 0)
        self.rest_port: int = self._rest.sockets[0].getsockname()[1]
        return await super().start()

    async def close(self) -> None:
        self._rest.close()
        await super().close()

    def mark(self) -> bytes:
        return b'{"stream":"%b","data":%b}' % (STREAM.encode(), super().mark())

    def _accept(self, request: Any) -> picows.WSListener:
        return MarketEnd(self) if STREAM.encode() in request.path else PrivateEnd(self)

    def answer(self, method: str, path: str, parameters: dict[str, str]) -> tuple[int, Any]:
        """(HTTP status, body) of any call but an order."""
        handler = self._handlers.get((method, path))
        if handler is None:
            return 404, {"code": -5000, "msg": f"{method} {path} is not known here"}
        call = Call(Parameters(parameters), time.time_ns() // 1_000_000, DEMO_KEY.account, DEMO_KEY.key)
        try:
            said = handler(self._exchange, call)
        except VenueError as refusal:
            return 400, {"code": refusal.code, "msg": str(refusal)}
        if path.endswith("/listenKey"):
            self.listen_key = said["listenKey"]
        return 200, said

    def order(self, asked: dict[str, str]) -> bytes:
        """The reply to an order; its fate goes over the user stream."""
        self._orders += 1
        now = time.time_ns() // 1_000_000
        reply = {
            "orderId": self._orders, "symbol": SYMBOL, "status": "NEW", "clientOrderId": asked["newClientOrderId"],
            "price": asked["price"], "avgPrice": "0.00", "origQty": asked["quantity"], "executedQty": "0.000",
            "cumQuote": "0.00", "timeInForce": "IOC", "type": "LIMIT", "reduceOnly": False, "closePosition": False,
            "side": asked["side"], "positionSide": "BOTH", "stopPrice": "0.00", "workingType": "CONTRACT_PRICE",
            "priceProtect": False, "origType": "LIMIT", "updateTime": now,
        }  # fmt: skip
        for status in ("NEW", "EXPIRED"):
            self._tell(asked, status, now)
        return orjson.dumps(reply)

    def _tell(self, asked: dict[str, str], status: str, now: int) -> None:
        told = {
            "s": SYMBOL, "c": asked["newClientOrderId"], "S": asked["side"], "o": "LIMIT", "f": "IOC",
            "q": asked["quantity"], "p": asked["price"], "ap": "0", "sp": "0", "x": status, "X": status,
            "i": self._orders, "l": "0", "z": "0", "L": "0", "T": now, "t": 0, "b": "0", "a": "0", "m": False,
            "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "pP": False, "si": 0,
            "ss": 0, "rp": "0", "gtd": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "er": "0",
        }  # fmt: skip
        message = {"stream": self.listen_key, "data": {"e": "ORDER_TRADE_UPDATE", "E": now, "T": now, "o": told}}
        if self.private is not None:
            self.private.send(picows.WSMsgType.TEXT, orjson.dumps(message))


class _RestEnd(asyncio.Protocol):
    """HTTP/1.1 as far as this client speaks it: requests without bodies, kept alive, one at a time."""

    def __init__(self, venue: NautilusVenue) -> None:
        self._venue, self._come = venue, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        self._come += data
        while b"\r\n\r\n" in self._come:
            head, _, self._come = self._come.partition(b"\r\n\r\n")
            self._take(head, now)

    def _take(self, head: bytes, now: int) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, query = target.partition("?")
        if (method, path) == ORDER:
            self._venue.arrived_ns = now
            status, body = 200, self._venue.order(dict(parse_qsl(query)))
        else:
            status, said = self._venue.answer(method, path, dict(parse_qsl(query)))
            body = said if isinstance(said, bytes) else orjson.dumps(said)
        head_line = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\nContent-Type: application/json\r\n"
        self._transport.write(f"{head_line}Content-Length: {len(body)}\r\n\r\n".encode() + body)
