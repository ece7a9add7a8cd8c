"""Which socket carries which streams of which symbols, and which of them have not spoken.

The rules: one socket carries one route (endpoints.py); all streams of a symbol on a route share a socket, so they come
in the venue's order; no socket is asked for more than STREAMS_PER_SOCKET.

A stream on the wrong route is accepted and never says anything, so silence after the first-message timeout means one of
two things. Where a kind of stream that never rests has not been heard for any symbol of the socket, the route is wrong
and the connection useless; where others of its kind speak, that symbol rests (it may not be trading), and others must
not lose their books for it.

Who calls it: subscriber.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from exchanges.binance import endpoints
from exchanges.binance.endpoints import VENUE, Endpoints
from exchanges.instrument_feed import (
    SEEN_AGGREGATED_TRADE,
    SEEN_DEPTH,
    SEEN_LIQUIDATION,
    SEEN_QUOTE,
    SEEN_TICKER,
    SEEN_TRADE,
)
from exchanges.websocket import SilentStreams

Route = Literal["public", "market"]


@dataclass(frozen=True)
class StreamKind:
    """`restless`: speaks many times in any first-message timeout, as long as the symbol trades."""

    seen: int
    route: Route
    name: Callable[[str], str]
    restless: bool


KINDS: Final = (
    StreamKind(SEEN_DEPTH, "public", lambda symbol: endpoints.depth_stream(symbol), True),
    StreamKind(SEEN_QUOTE, "public", lambda symbol: endpoints.book_ticker_stream(symbol), True),
    StreamKind(SEEN_AGGREGATED_TRADE, "market", lambda symbol: endpoints.agg_trade_stream(symbol), False),
    StreamKind(SEEN_TRADE, "market", lambda symbol: endpoints.trade_stream(symbol), False),
    StreamKind(SEEN_TICKER, "market", lambda symbol: endpoints.mark_price_stream(symbol), True),
    StreamKind(SEEN_LIQUIDATION, "market", lambda symbol: endpoints.liquidation_stream(symbol), False),
)


@dataclass(frozen=True)
class MarketSocket:
    """One connection: its name for people, its URL, what it carries."""

    name: str
    url: str
    kinds: tuple[StreamKind, ...]
    symbols: tuple[str, ...]

    @property
    def streams(self) -> int:
        """SEEN bits."""
        return sum(kind.seen for kind in self.kinds)

    def silent(self, seen: Mapping[str, int]) -> SilentStreams:
        """Streams without a first message; `seen`: the bits of each symbol."""
        silent = SilentStreams([], [])
        for kind in self.kinds:
            missing = [symbol for symbol in self.symbols if not seen[symbol] & kind.seen]
            useless = kind.restless and len(missing) == len(self.symbols)
            # A liquidation may not come in days: nobody wants to read that it did not.
            if kind.seen != SEEN_LIQUIDATION:
                (silent.required if useless else silent.optional).extend(map(kind.name, missing))
        return silent


def market_sockets(
    symbols: Sequence[str], where: Endpoints, most_streams: int = endpoints.STREAMS_PER_SOCKET
) -> list[MarketSocket]:
    """Sockets of the public route first, each route's symbols spread evenly."""
    sockets: list[MarketSocket] = []
    routes: tuple[tuple[Route, Callable[[list[str]], str]], ...] = (("public", where.public), ("market", where.market))
    for route, url in routes:
        kinds = tuple(kind for kind in KINDS if kind.route == route)
        count = -(-len(symbols) // (most_streams // len(kinds)))
        for number in range(count):
            own = tuple(symbols[number::count])
            name = f"{VENUE} {route} stream" + (f" {number + 1} of {count}" if count > 1 else "")
            sockets.append(MarketSocket(name, url([kind.name(symbol) for symbol in own for kind in kinds]), kinds, own))
    return sockets
