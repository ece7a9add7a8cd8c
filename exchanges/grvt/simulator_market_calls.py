"""Public calls: instruments, currencies, tickers, books, trades.

Not simulated: klines, funding history, margin rules.
"""

from __future__ import annotations

from typing import Any, Final

from exchanges.grvt import simulator_frames as frames
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_instruments import currencies, display
from exchanges.grvt.simulator_order_calls import paged
from exchanges.grvt.simulator_venue import Call, Venue

DEPTHS: Final = (10, 50, 100, 500)
TRADES_LIMIT: Final = 500
TRADES_MOST: Final = 1000


def all_instruments(venue: Venue, call: Call) -> Any:
    active = [symbol for symbol in venue.exchange.instruments if symbol not in venue.halted]
    shown = active if call.body.get("is_active") else venue.exchange.instruments
    return {"result": [display(symbol) for symbol in shown]}


def filtered_instruments(venue: Venue, call: Call) -> Any:
    kinds, bases, quotes = (call.names(name) for name in ("kind", "base", "quote"))
    return {
        "result": [
            display(instrument.symbol)
            for instrument in venue.exchange.instruments.values()
            if (not kinds or "PERPETUAL" in kinds)
            and (not bases or instrument.base in bases)
            and (not quotes or instrument.quote in quotes)
        ]
    }


def instrument(venue: Venue, call: Call) -> Any:
    return {"result": display(venue.instrument(call.body.get("instrument")).symbol)}


def currency(venue: Venue, call: Call) -> Any:
    return {"result": currencies(list(venue.exchange.instruments))}


def mini(venue: Venue, call: Call) -> Any:
    symbol = venue.instrument(call.body.get("instrument")).symbol
    return {"result": frames.mini(venue, symbol, venue.clock_ms() * 1_000_000)}


def ticker(venue: Venue, call: Call) -> Any:
    symbol = venue.instrument(call.body.get("instrument")).symbol
    return {"result": frames.ticker(venue, symbol, venue.clock_ms() * 1_000_000)}


def book(venue: Venue, call: Call) -> Any:
    symbol = venue.instrument(call.body.get("instrument")).symbol
    depth = call.body.get("depth")
    if depth not in DEPTHS:
        raise VenueError(3031)
    shown = venue.book(symbol)
    sides = (shown.top_levels(side, depth) for side in (True, False))
    return {"result": frames.book(symbol, venue.clock_ms() * 1_000_000, *sides)}


def trades(venue: Venue, call: Call) -> Any:
    symbol = venue.instrument(call.body.get("instrument")).symbol
    limit = call.body.get("limit") or TRADES_LIMIT
    if not isinstance(limit, int) or not 0 < limit <= TRADES_MOST:
        raise VenueError(3011)
    newest = list(venue.recent_trades.get(symbol, ()))[-limit:]
    return {"result": [frames.trade(venue, event) for event in reversed(newest)]}


def trade_history(venue: Venue, call: Call) -> Any:
    """The same in pages, as far back as anything is kept."""
    symbol = venue.instrument(call.body.get("instrument")).symbol
    page, following = paged(call, list(venue.recent_trades.get(symbol, ())), lambda event: event.time_ms)
    return {"result": [frames.trade(venue, event) for event in page], "next": following}
