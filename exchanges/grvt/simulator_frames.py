"""Feeds of the simulated GRVT's public streams, and the same under lite names."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from exchanges.grvt.simulator_replies import nanoseconds, text
from exchanges.grvt.simulator_venue import Venue
from exchanges.simulator.book import Level
from exchanges.simulator.flow import MarketTrade

HOUR_NS: Final = 3600 * 10**9
FUNDING_HOURS: Final = 8

ENVELOPE: Final = {
    "stream": "s", "selector": "s1", "sequence_number": "sn", "feed": "f", "prev_sequence_number": "ps",
}  # fmt: skip
_MINI: Final = {
    "event_time": "et", "instrument": "i", "mark_price": "mp", "index_price": "ip", "last_price": "lp",
    "last_size": "ls", "mid_price": "mp1", "best_bid_price": "bb", "best_bid_size": "bb1", "best_ask_price": "ba",
    "best_ask_size": "ba1",
}  # fmt: skip
LITE: Final[dict[str, dict[str, str]]] = {
    "book": {"event_time": "et", "instrument": "i", "bids": "b", "asks": "a"},
    "level": {"price": "p", "size": "s", "num_orders": "no"},
    "mini": _MINI,
    "ticker": {
        **_MINI, "funding_rate_8h_curr": "fr", "funding_rate_8h_avg": "fr1", "interest_rate": "ir",
        "forward_price": "fp", "buy_volume_24h_b": "bv", "sell_volume_24h_b": "sv", "buy_volume_24h_q": "bv1",
        "sell_volume_24h_q": "sv1", "high_price": "hp", "low_price": "lp1", "open_price": "op", "open_interest": "oi",
        "long_short_ratio": "ls1", "funding_rate": "fr2", "funding_interval_hours": "fi", "next_funding_time": "nf",
    },
    "trade": {
        "event_time": "et", "instrument": "i", "is_taker_buyer": "it", "size": "s", "price": "p", "mark_price": "mp",
        "index_price": "ip", "interest_rate": "ir", "forward_price": "fp", "trade_id": "ti", "venue": "v",
        "is_rpi": "ir1",
    },
}  # fmt: skip


def levels(found: Iterable[Level]) -> list[dict[str, Any]]:
    return [
        {"price": text(price), "size": text(size), "num_orders": 1 + int(size * 8) % 7 if size else 0}
        for price, size in found
    ]


def book(symbol: str, time_ns: int, bids: Iterable[Level], asks: Iterable[Level]) -> dict[str, Any]:
    """Levels best first; a size of 0 removes."""
    return {"event_time": str(time_ns), "instrument": symbol, "bids": levels(bids), "asks": levels(asks)}


def mini(venue: Venue, symbol: str, time_ns: int) -> dict[str, Any]:
    shown, mark = venue.book(symbol), text(venue.mark(symbol))
    trades = venue.recent_trades.get(symbol)
    last = trades[-1] if trades else None
    return {
        "event_time": str(time_ns),
        "instrument": symbol,
        "mark_price": mark,
        "index_price": mark,
        "last_price": text(last.price if last else Decimal(0)),
        "last_size": text(last.quantity if last else Decimal(0)),
        "mid_price": text(shown.mid if shown.ready else Decimal(0)),
        "best_bid_price": text(shown.best_bid),
        "best_bid_size": text(shown.best_bid_quantity),
        "best_ask_price": text(shown.best_ask),
        "best_ask_size": text(shown.best_ask_quantity),
    }


def ticker(venue: Venue, symbol: str, time_ns: int) -> dict[str, Any]:
    """The mini ticker and the rest; volumes are not kept."""
    price = text(venue.mark(symbol))
    following = (time_ns // (FUNDING_HOURS * HOUR_NS) + 1) * FUNDING_HOURS * HOUR_NS
    return {
        **mini(venue, symbol, time_ns),
        "funding_rate_8h_curr": "0.01",
        "funding_rate_8h_avg": "0.01",
        "interest_rate": "0.0",
        "forward_price": "0.0",
        "buy_volume_24h_b": "0.0",
        "sell_volume_24h_b": "0.0",
        "buy_volume_24h_q": "0.0",
        "sell_volume_24h_q": "0.0",
        "high_price": price,
        "low_price": price,
        "open_price": price,
        "open_interest": "0.0",
        "long_short_ratio": "1.000000",
        "funding_rate": "0.01",
        "funding_interval_hours": FUNDING_HOURS,
        "next_funding_time": str(following),
    }


def trade(venue: Venue, event: MarketTrade) -> dict[str, Any]:
    mark = text(venue.mark(event.symbol))
    return {
        "event_time": nanoseconds(event.time_ms),
        "instrument": event.symbol,
        "is_taker_buyer": not event.buyer_is_maker,
        "size": text(event.quantity),
        "price": text(event.price),
        "mark_price": mark,
        "index_price": mark,
        "interest_rate": "0.0",
        "forward_price": "0.0",
        "trade_id": f"{event.trade_id}-1",
        "venue": "ORDERBOOK",
        "is_rpi": False,
    }


def brief(feed: dict[str, Any], kind: str) -> dict[str, Any]:
    """A feed under lite names."""
    names = LITE[kind]
    result = {names[key]: value for key, value in feed.items()}
    for side in ("b", "a") if kind == "book" else ():
        result[side] = [{LITE["level"][key]: value for key, value in level.items()} for level in result[side]]
    return result
