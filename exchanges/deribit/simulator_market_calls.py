"""Public calls: contracts, books, tickers, trades, indices. Shapes as on the method pages."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from exchanges.deribit.simulator_channels import KINDS
from exchanges.deribit.simulator_errors import VenueError, invalid
from exchanges.deribit.simulator_instruments import instrument_object
from exchanges.deribit.simulator_publisher import public_trade
from exchanges.deribit.simulator_replies import ticker_object
from exchanges.deribit.simulator_venue import CURRENCIES, Call, MarketState, PublicTrade, Venue

DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
KNOWN_CURRENCIES = (*CURRENCIES, "USDT", "EURR", "any")
CURRENCY_NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "USDC": "USD Coin"}
NEVER_ENDS = 1 << 62


def get_instruments(venue: Venue, call: Call) -> Any:
    """The documentation demands `currency`; a working client (ccxt) does without."""
    currency, kind = call.parameters.choice("currency", KNOWN_CURRENCIES, "any"), _kind(call)
    expired = call.parameters.boolean("expired", False)
    return [
        instrument_object(market.listing, market.state)
        for market in venue.markets.values()
        if currency in ("any", market.listing.currency)
        and kind in ("any", market.listing.kind)
        and (market.state == "delivered") == expired
    ]


def _kind(call: Call) -> str:
    return call.parameters.choice("kind", KINDS, "any")


def get_instrument(venue: Venue, call: Call) -> Any:
    market = venue.named(call)
    return instrument_object(market.listing, market.state)


def get_contract_size(venue: Venue, call: Call) -> Any:
    return {"contract_size": venue.named(call).listing.contract_size}


def get_currencies(venue: Venue, call: Call) -> Any:
    return [
        {
            "currency": currency,
            "currency_long": CURRENCY_NAMES[currency],
            "coin_type": "ETHER" if currency == "USDC" else "BITCOIN" if currency == "BTC" else "ETHER",
            "decimals": 6 if currency == "USDC" else 8,
            "fee_precision": 4,
            "min_confirmations": 1,
            "min_withdrawal_fee": Decimal("0.0001"),
            "withdrawal_fee": Decimal("0.0001"),
            "withdrawal_priorities": [],
            "in_cross_collateral_pool": False,
        }
        for currency in CURRENCIES
    ]


def ticker(venue: Venue, call: Call) -> Any:
    return ticker_object(venue, venue.named(call))


def get_order_book(venue: Venue, call: Call) -> Any:
    """Ticker fields and the levels of the same moment."""
    market = venue.named(call)
    depth = call.parameters.integer("depth", 5)
    if depth not in DEPTHS:
        raise invalid("depth", "value not allowed")
    book = venue.book(market.listing.name)
    return ticker_object(venue, market) | {
        "change_id": book.update_id,
        "bids": [list(level) for level in book.top_levels(True, depth)],
        "asks": [list(level) for level in book.top_levels(False, depth)],
    }


def get_index_price(venue: Venue, call: Call) -> Any:
    price = venue.index(call.parameters.text("index_name"))
    return {"index_price": price, "estimated_delivery_price": price}


def get_index_price_names(venue: Venue, call: Call) -> Any:
    return sorted(venue.indices)


def get_funding_rate_value(venue: Venue, call: Call) -> Any:
    """The rate that is paid now, over the time asked for."""
    market = venue.named(call)
    if not market.listing.perpetual:
        raise VenueError(10031)
    spent = call.parameters.integer("end_timestamp") - call.parameters.integer("start_timestamp")
    return market.funding_rate * max(spent, 0) / (8 * 3600 * 1000)


def get_last_trades_by_instrument(venue: Venue, call: Call) -> Any:
    return trade_page(call, _rows([venue.named(call)]))


def get_last_trades_by_currency(venue: Venue, call: Call) -> Any:
    currency, kind = call.parameters.choice("currency", KNOWN_CURRENCIES), _kind(call)
    chosen = [
        market
        for market in venue.markets.values()
        if currency in ("any", market.listing.currency) and kind in ("any", market.listing.kind)
    ]
    return trade_page(call, _rows(chosen))


def _rows(markets: Iterable[MarketState]) -> list[dict[str, Any]]:
    found: list[tuple[MarketState, PublicTrade]] = [(market, trade) for market in markets for trade in market.trades]
    found.sort(key=lambda pair: (pair[1].trade.time_ms, pair[1].seq))
    return [public_trade(market.listing, trade) for market, trade in found]


def trade_page(call: Call, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`rows`, oldest first, cut to what was asked for: by sequence, time, id, count and sorting."""
    parameters = call.parameters
    start_seq, end_seq = parameters.integer("start_seq", 0), parameters.integer("end_seq", NEVER_ENDS)
    start_ms, end_ms = parameters.integer("start_timestamp", 0), parameters.integer("end_timestamp", NEVER_ENDS)
    first, last = number_of(parameters.text("start_id", "0")), number_of(parameters.text("end_id", str(NEVER_ENDS)))
    count = parameters.count()
    sorting = parameters.choice("sorting", ("asc", "desc", "default"), "default")
    rows = [
        row
        for row in rows
        if start_seq <= row["trade_seq"] <= end_seq
        and start_ms <= row["timestamp"] <= end_ms
        and first <= number_of(row["trade_id"]) <= last
    ]
    # From a start on: the oldest; otherwise the newest, newest first.
    starts = any(parameters.has(name) for name in ("start_seq", "start_timestamp", "start_id"))
    ascending = sorting == "asc" or (sorting == "default" and starts)
    if not ascending:
        rows = rows[::-1]
    return {"trades": rows[:count], "has_more": len(rows) > count}


def number_of(trade_id: str) -> int:
    """The number in a trade id of any currency."""
    number = trade_id.rpartition("-")[2]
    if not number.isdigit():
        raise invalid("start_id")
    return int(number)
