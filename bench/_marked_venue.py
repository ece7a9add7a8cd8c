"""A venue for bench/tick_to_trade.py: sends marked frames, stamps the arrival of the orders that they lead to.

Its sockets are real WebSockets on loopback and the words are the venue's own (bench/_venue_words.py). It matches
nothing: an immediate-or-cancel order is answered at once as one that found nobody, or, where `fills` is set, as one
that was filled. Frames and replies are put together before the clock starts or after it stopped, so the venue's own
work is not measured.
"""

from __future__ import annotations

from typing import Any

import orjson
import picows
from _venue_words import BASE_PRICE, Shape

from shm.clock import monotonic_ns

MARKET, ORDERS = "/market", "/orders"
PRIVATE = b"/private/"
"""In the path of a private stream that is a connection of its own (Binance)."""


class MarkedVenue:
    """`arrived_ns`: when the newest order came; 0 from the moment its frame is sent. `private`: the connection on which
    the venue speaks unasked of orders and fills."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.market: picows.WSTransport | None = None
        self.private: picows.WSTransport | None = None
        self.fills = False
        self.sent_ns = self.arrived_ns = 0
        self.marks = 0
        self._server: Any = None

    async def start(self) -> int:
        """The port."""
        self._server = await picows.ws_create_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self, request: Any) -> picows.WSListener:
        if request.path.startswith(MARKET.encode()):
            return MarketEnd(self)
        return PrivateEnd(self) if PRIVATE in request.path else _OrderEnd(self)

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


class MarketEnd(picows.WSListener):
    def __init__(self, venue: MarkedVenue) -> None:
        self._venue = venue

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._venue.market = transport


class PrivateEnd(picows.WSListener):
    def __init__(self, venue: MarkedVenue) -> None:
        self._venue = venue

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._venue.private = transport


class _OrderEnd(picows.WSListener):
    def __init__(self, venue: MarkedVenue) -> None:
        self._venue = venue

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        now = monotonic_ns()
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        venue, raw = self._venue, frame.get_payload_as_bytes()
        shape = venue.shape
        if not shape.is_order(raw):
            asked = orjson.loads(raw)
            transport.send(picows.WSMsgType.TEXT, orjson.dumps(shape.reply(asked, False)))
            if b"subscribe" in raw:
                venue.private = transport
            return
        venue.arrived_ns = now
        asked = orjson.loads(raw)
        transport.send(picows.WSMsgType.TEXT, orjson.dumps(shape.reply(asked, venue.fills)))
        if venue.private is not None:
            for told in shape.tell(asked, venue.fills):
                venue.private.send(picows.WSMsgType.TEXT, orjson.dumps(told))
