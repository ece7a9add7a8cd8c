"""Public calls: time, exchangeInfo, depth, tickers, trades. Shapes as on the market-data REST pages."""

from __future__ import annotations

from typing import Any

import orjson

from exchanges.binance import simulator_frames as frames
from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_instruments import exchange_info
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_venue import Call, Venue

DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}


class Encoded(bytes):
    """An answer that is JSON already: a recorded reply goes out byte for byte."""


def ping(venue: Venue, call: Call) -> Any:
    return {}


def server_time(venue: Venue, call: Call) -> Any:
    return {"serverTime": call.now_ms}


def info(venue: Venue, call: Call) -> Any:
    instruments = list(venue.exchange.instruments.values())
    return exchange_info(instruments, call.now_ms, venue.limits.describe(), venue.halted)


def depth_weight(parameters: Parameters) -> int:
    limit = parameters.values.get("limit") or "500"
    return DEPTH_WEIGHTS.get(int(limit), 2) if limit.isdigit() and len(limit) < 6 else 2


def depth(venue: Venue, call: Call) -> Any:
    """A snapshot that fits the stream: its lastUpdateId lies in the delta that comes next, whose absolute quantities
    bring the book up to date, as on the venue where a snapshot is taken while a batch is being gathered."""
    symbol = venue.symbol(call)
    shown = call.parameters.text("limit", "500")
    if not shown.isdigit() or int(shown) not in DEPTH_WEIGHTS:
        raise VenueError(-4021, f"'{shown}' is not valid depth limit.")
    limit = int(shown)
    market, book, instrument = venue.markets[symbol], venue.book(symbol), venue.instrument(symbol)
    if not market.synced:
        body = market.snapshot.body
        if body is not None and limit >= len(market.snapshot.bids):
            return Encoded(body)
        update_id = market.snapshot.update_id
    else:
        update_id = market.flow.next_delta_id(symbol) or book.update_id
    bids = frames.levels_text(book.top_levels(True, limit), instrument)
    asks = frames.levels_text(book.top_levels(False, limit), instrument)
    return Encoded(
        f'{{"lastUpdateId":{update_id},"E":{market.event_ms},"T":{market.time_ms},"bids":[{bids}],"asks":[{asks}]}}'.encode()
    )


def book_ticker(venue: Venue, call: Call) -> Any:
    return _one_or_all(venue, call, lambda symbol: _book_ticker(venue, symbol))


def book_ticker_weight(parameters: Parameters) -> int:
    return 2 if parameters.has("symbol") else 5


def _book_ticker(venue: Venue, symbol: str) -> dict[str, Any]:
    book, instrument = venue.book(symbol), venue.instrument(symbol)
    p, q = instrument.price_precision, instrument.quantity_precision
    return {
        "lastUpdateId": book.top_id,
        "symbol": symbol,
        "bidPrice": frames.text(book.best_bid, p),
        "bidQty": frames.text(book.best_bid_quantity, q),
        "askPrice": frames.text(book.best_ask, p),
        "askQty": frames.text(book.best_ask_quantity, q),
        "time": venue.markets[symbol].time_ms,
    }


def price_ticker(venue: Venue, call: Call) -> Any:
    def row(symbol: str) -> dict[str, Any]:
        market = venue.markets[symbol]
        price = market.trades[-1].price if market.trades else venue.mark(symbol)
        shown = frames.text(price, venue.instrument(symbol).price_precision)
        return {"symbol": symbol, "price": shown, "time": market.time_ms}

    return _one_or_all(venue, call, row)


def price_ticker_weight(parameters: Parameters) -> int:
    return 1 if parameters.has("symbol") else 2


def premium_index(venue: Venue, call: Call) -> Any:
    def row(symbol: str) -> dict[str, Any]:
        mark = frames.text(venue.mark(symbol), 8)
        now = venue.markets[symbol].event_ms or call.now_ms
        return {
            "symbol": symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": frames.FUNDING_RATE,
            "interestRate": "0.00010000",
            "nextFundingTime": frames.next_funding_ms(now),
            "time": now,
        }

    return _one_or_all(venue, call, row)


def premium_index_weight(parameters: Parameters) -> int:
    return 1 if parameters.has("symbol") else 10


def trades(venue: Venue, call: Call) -> Any:
    symbol = venue.symbol(call)
    instrument, market = venue.instrument(symbol), venue.markets[symbol]
    p, q = instrument.price_precision, instrument.quantity_precision
    newest = list(market.trades)[-call.parameters.limit(500, 1000) :]
    return [
        {
            "id": trade.trade_id,
            "price": frames.text(trade.price, p),
            "qty": frames.text(trade.quantity, q),
            "quoteQty": frames.text(trade.price * trade.quantity, 2),
            "time": trade.time_ms,
            "isBuyerMaker": trade.buyer_is_maker,
            "isRPITrade": False,
        }
        for trade in newest
    ]


def _one_or_all(venue: Venue, call: Call, row: Any) -> Any:
    symbol = venue.optional_symbol(call)
    return row(symbol) if symbol is not None else [row(name) for name in venue.markets]


def encode(answer: Any) -> bytes:
    return bytes(answer) if isinstance(answer, Encoded) else orjson.dumps(answer)
