"""Frames in the documented shape, full and lite, for the tests of everything that reads them."""

from __future__ import annotations

import json
from typing import Any

from exchanges.grvt import messages

SHAPES = {
    "v1.book.d": messages.Book, "v1.book.s": messages.Book, "v1.mini.d": messages.Mini, "v1.mini.s": messages.Mini,
    "v1.ticker.s": messages.Ticker, "v1.trade": messages.Trade,
}  # fmt: skip
TIME = "1767198266500017753"
MORE_LITE = {"mark_price": "mp", "index_price": "ip", "last_price": "lp", "last_size": "ls", "mid_price": "mp1",
             "interest_rate": "ir", "forward_price": "fp", "venue": "v", "is_rpi": "ir1"}  # fmt: skip
"""Keys that we skip, so that no shape names them."""


def dense(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def frame(
    stream: str, feed: dict[str, Any], sequence: int = 0, previous: int | None = None, *, selector: str | None = None,
    lite: bool = False,
) -> bytes:  # fmt: skip
    before = max(sequence - 1, 0) if previous is None else previous
    feed = {"event_time": TIME, "instrument": "BTC_USDT_Perp", **feed}
    whole = {
        "stream": stream,
        "selector": selector or f"{feed['instrument']}@50",
        "sequence_number": str(sequence),
        "feed": feed,
        "prev_sequence_number": str(before),
    }
    return dense(brief(whole, messages.Frame, SHAPES[stream]) if lite else whole)


def brief(value: dict[str, Any], shape: Any, inner: Any = None) -> dict[str, Any]:
    """The same under lite keys."""
    names = {**MORE_LITE, **messages.LITE_NAMES[shape]}
    result = {}
    for key, entry in value.items():
        if key == "feed":
            entry = brief(entry, inner)
        elif key in ("bids", "asks"):
            entry = [brief(level, messages.Level) for level in entry]
        result[names[key]] = entry
    return result


def levels(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"price": price, "size": size, "num_orders": 3 if float(size) else 0} for price, size in pairs]


def book(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> dict[str, Any]:
    return {"bids": levels(*bids), "asks": levels(*asks)}


def trade(trade_id: str = "73808524-19", **changes: Any) -> dict[str, Any]:
    return {
        "is_taker_buyer": True, "size": "0.001", "price": "87700.1", "mark_price": "87700.817100682",
        "index_price": "87708.566729268", "interest_rate": "0.0", "forward_price": "0.0", "trade_id": trade_id,
        "venue": "ORDERBOOK", "is_rpi": False, **changes,
    }  # fmt: skip


MINI = {
    "mark_price": "87792.25830235", "index_price": "87806.705713684", "last_price": "87800.0", "last_size": "0.032",
    "mid_price": "87799.95", "best_bid_price": "87799.9", "best_bid_size": "0.151", "best_ask_price": "87800.0",
    "best_ask_size": "5.733",
}  # fmt: skip
TICKER = {
    "mark_price": "87439.392166151", "index_price": "87462.426721779", "best_bid_price": "87474.3",
    "funding_rate": "0.01", "funding_interval_hours": 8, "next_funding_time": "1767225600000000000",
}  # fmt: skip


def every_frame(lite: bool = False) -> list[bytes]:
    """One of each that the compiled scanner takes."""
    bids, asks = [("87799.9", "0.151"), ("87799.0", "0.0")], [("87800.0", "5.733")]
    return [
        frame("v1.book.d", book(bids, asks), 0, lite=lite),
        frame("v1.book.s", book(bids, asks), 7, selector="BTC_USDT_Perp@500-100", lite=lite),
        frame("v1.book.d", book(bids, asks), 36481, lite=lite),
        frame("v1.book.d", book([], []), 36482, lite=lite),
        frame("v1.mini.s", MINI, 4, lite=lite),
        frame("v1.mini.d", MINI, 0, lite=lite),
        frame("v1.mini.d", {"index_price": "87820.929569614", "best_ask_size": "5.708"}, 1061718, lite=lite),
        frame("v1.mini.d", {"best_bid_price": "0.0", "best_bid_size": ""}, 1061719, lite=lite),
        frame("v1.mini.d", {}, 1061720, lite=lite),
        frame("v1.trade", trade(), 12, lite=lite),
        frame("v1.trade", trade("1-65535", is_taker_buyer=False, is_rpi=True, venue="RFQ"), 13, lite=lite),
    ]
