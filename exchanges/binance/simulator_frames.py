"""Market stream payloads in the venue's wire order of 2026-09 (with `st`, `ps`, `nq`), and decimal text.

A recorded event brings its own bytes and never comes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from exchanges.simulator.book import Level
from exchanges.simulator.flow import AggregateTrade, Delta, MarketTrade, Top
from exchanges.simulator.instrument import Instrument

FUNDING_PERIOD_MS = 8 * 3600 * 1000
FUNDING_RATE = "0.00010000"
"""The venue's base rate."""


def text(value: Decimal, places: int) -> str:
    """Fixed decimals, never an exponent."""
    return f"{value:.{places}f}"


def plain(value: Decimal) -> str:
    """Decimal text without trailing zeros, as user events write quantities."""
    shown = f"{value:f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


def next_funding_ms(now_ms: int) -> int:
    return now_ms - now_ms % FUNDING_PERIOD_MS + FUNDING_PERIOD_MS


def levels_text(levels: Iterable[Level], instrument: Instrument) -> str:
    price, quantity = instrument.price_precision, instrument.quantity_precision
    return ",".join(f'["{p:.{price}f}","{q:.{quantity}f}"]' for p, q in levels)


def book_ticker(event: Top, instrument: Instrument) -> bytes:
    p, q = instrument.price_precision, instrument.quantity_precision
    return (
        f'{{"e":"bookTicker","u":{event.update_id},"s":"{event.symbol}","ps":"{event.symbol}",'
        f'"b":"{event.bid:.{p}f}","B":"{event.bid_quantity:.{q}f}",'
        f'"a":"{event.ask:.{p}f}","A":"{event.ask_quantity:.{q}f}","T":{event.time_ms},"E":{event.event_ms},"st":1}}'
    ).encode()


def trade(event: MarketTrade, instrument: Instrument) -> bytes:
    p, q = instrument.price_precision, instrument.quantity_precision
    maker = "true" if event.buyer_is_maker else "false"
    return (
        f'{{"e":"trade","E":{event.event_ms},"T":{event.time_ms},"s":"{event.symbol}","t":{event.trade_id},'
        f'"p":"{event.price:.{p}f}","q":"{event.quantity:.{q}f}","X":"MARKET","m":{maker},"st":1}}'
    ).encode()


def aggregate_trade(event: AggregateTrade, instrument: Instrument) -> bytes:
    p, q = instrument.price_precision, instrument.quantity_precision
    quantity, maker = f"{event.quantity:.{q}f}", "true" if event.buyer_is_maker else "false"
    return (
        f'{{"e":"aggTrade","E":{event.event_ms},"a":{event.aggregate_id},"s":"{event.symbol}",'
        f'"p":"{event.price:.{p}f}","q":"{quantity}","nq":"{quantity}",'
        f'"f":{event.first_trade_id},"l":{event.last_trade_id},"T":{event.time_ms},"m":{maker},"st":1}}'
    ).encode()


def force_order(event: MarketTrade, instrument: Instrument, event_ms: int) -> bytes:
    """A liquidation report on this trade; `ps` and `st` stand inside `o`, as live."""
    p, q = instrument.price_precision, instrument.quantity_precision
    side, quantity = "SELL" if event.buyer_is_maker else "BUY", f"{event.quantity:.{q}f}"
    return (
        f'{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{event.symbol}","S":"{side}","o":"LIMIT","f":"IOC",'
        f'"q":"{quantity}","p":"{event.price:.{p}f}","ap":"{event.price:.{p}f}","X":"FILLED","l":"{quantity}",'
        f'"z":"{quantity}","T":{event.time_ms},"ps":"{event.symbol}","st":1}}}}'
    ).encode()


def depth_update(event: Delta, instrument: Instrument) -> bytes:
    return _depth(event, event.bids, event.asks, instrument)


def partial_depth(event: Delta, bids: list[Level], asks: list[Level], instrument: Instrument) -> bytes:
    """A complete top-N with the ids of the delta it follows; bids descend."""
    return _depth(event, bids, asks, instrument)


def _depth(event: Delta, bids: list[Level], asks: list[Level], instrument: Instrument) -> bytes:
    return (
        f'{{"e":"depthUpdate","E":{event.event_ms},"T":{event.time_ms},"s":"{event.symbol}","ps":"{event.symbol}",'
        f'"U":{event.first_id},"u":{event.last_id},"pu":{event.previous_id},'
        f'"b":[{levels_text(bids, instrument)}],"a":[{levels_text(asks, instrument)}],"st":1}}'
    ).encode()


def mark_price(symbol: str, mark: Decimal, event_ms: int) -> bytes:
    """Mark, its average, settle estimate and index are one number here: the middle of the book."""
    shown = text(mark, 8)
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{symbol}","p":"{shown}","ap":"{shown}","P":"{shown}",'
        f'"i":"{shown}","r":"{FUNDING_RATE}","T":{next_funding_ms(event_ms)},"st":1}}'
    ).encode()
