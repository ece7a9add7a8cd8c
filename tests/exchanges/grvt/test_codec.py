"""The declared decoder: what each documented message means, and which mistake each bad one is."""

from __future__ import annotations

import json

import pytest

from exchanges.grvt.codec import TRADE_INDEX_BITS, MarketCodec, trade_number
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BookDelta,
    BookSnapshot,
    ControlReply,
    Ignored,
    MalformedFrame,
    MarkPrice,
    PublicTrade,
    QuoteChange,
    Subscribed,
)
from shm.layout import Side
from tests.exchanges.grvt.frames import MINI, TICKER, TIME, book, dense, every_frame, frame, levels, trade

SCALES = {"BTC_USDT_Perp": Scales(1, 3)}
CODEC = MarketCodec(SCALES)
LITE = MarketCodec(SCALES, lite=True)
NOW = int(TIME)


def test_a_book_with_sequence_number_0_is_a_snapshot_and_any_other_a_delta() -> None:
    feed = book([("87799.9", "0.151")], [("87800.0", "0.0")])
    assert CODEC.decode(frame("v1.book.d", feed)) == BookSnapshot(
        "BTC_USDT_Perp", 0, NOW, [(877999, 151)], [(878000, 0)]
    )
    assert CODEC.decode(frame("v1.book.d", feed, 5)) == BookDelta(
        "BTC_USDT_Perp", 5, 5, 4, NOW, [(877999, 151)], [(878000, 0)]
    )
    assert isinstance(CODEC.decode(frame("v1.book.s", feed, 5)), BookSnapshot)


def test_a_mini_ticker_names_what_changed() -> None:
    assert CODEC.decode(frame("v1.mini.d", MINI)) == QuoteChange("BTC_USDT_Perp", 0, 0, NOW, 877999, 151, 878000, 5733)
    assert CODEC.decode(frame("v1.mini.d", {"best_ask_size": "5.708"}, 9)) == QuoteChange(
        "BTC_USDT_Perp", 9, 8, NOW, None, None, None, 5708
    )
    assert CODEC.decode(frame("v1.mini.d", {"best_bid_price": None, "best_bid_size": ""}, 9)) == QuoteChange(
        "BTC_USDT_Perp", 9, 8, NOW, 0, 0, None, None
    )
    assert CODEC.decode(frame("v1.mini.s", MINI, 9)) == CODEC.decode(frame("v1.mini.d", MINI))


def test_a_ticker_is_a_mark_price_cut_to_eight_decimals_with_funding_as_a_fraction() -> None:
    assert CODEC.decode(frame("v1.ticker.s", TICKER, 3)) == MarkPrice(
        "BTC_USDT_Perp", NOW, 8743939216615, 87462.426721779, 0.0001, 1767225600000000000
    )


def test_a_trade_of_the_past_is_no_news() -> None:
    assert CODEC.decode(frame("v1.trade", trade(), 12)) == PublicTrade(
        "BTC_USDT_Perp", 73808524 << TRADE_INDEX_BITS | 19, NOW, 877001, 1, Side.BUY
    )
    assert CODEC.decode(frame("v1.trade", trade(is_taker_buyer=False), 12)).aggressor_side == Side.SELL
    assert CODEC.decode(frame("v1.trade", trade(), 0)) == Ignored("trade of the past", expected=True)


def test_trade_numbers_keep_the_order_of_the_ids() -> None:
    texts = ["1-1", "1-2", "1-65535", "2-0", "73808524-19", "99999999999999-65535"]
    assert sorted(texts, key=trade_number) == texts
    assert trade_number(texts[-1]) < 1 << 63


def test_lite_frames_mean_the_same() -> None:
    for full, lite in zip(every_frame(), every_frame(lite=True), strict=True):
        assert LITE.decode(lite) == CODEC.decode(full)
        assert len(lite) < len(full)
    ticker = frame("v1.ticker.s", {key: TICKER[key] for key in ("mark_price", "index_price")}, lite=True)
    assert isinstance(LITE.decode(ticker), MarkPrice)


def test_the_reply_to_subscribe_says_where_the_live_frames_begin() -> None:
    reply = {
        "jsonrpc": "2.0", "id": 1, "method": "subscribe",
        "result": {"stream": "v1.book.d", "subs": ["BTC_USDT_Perp@500"], "unsubs": [], "num_snapshots": [1],
                   "first_sequence_number": ["36481"], "latest_sequence_number": ["36480"]},
    }  # fmt: skip
    assert CODEC.decode(dense(reply)) == Subscribed("v1.book.d", {"BTC_USDT_Perp@500": 36481})
    lite = b'{"j":"2.0","r":{"s":"v1.book.d","s1":["BTC_USDT_Perp@500"],"fs":["36481"]},"i":1,"m":"subscribe"}'
    assert LITE.decode(lite) == CODEC.decode(dense(reply))
    gone = b'{"jsonrpc":"2.0","result":{"stream":"v1.book.d","unsubs":["X@1"]},"id":2,"method":"unsubscribe"}'
    assert CODEC.decode(gone) == ControlReply(None)


def test_a_refusal_is_told_with_its_code() -> None:
    refusal = b'{"jsonrpc":"2.0","error":{"code":3000,"message":"Instrument is invalid"},"id":7,"method":"subscribe"}'
    assert CODEC.decode(refusal) == ControlReply(7, "Instrument is invalid (code 3000)")
    assert LITE.decode(b'{"j":"2.0","e":{"c":3000,"m":"no"},"i":7}') == ControlReply(7, "no (code 3000)")


def test_unknown_streams_are_ignored_and_unknown_keys_too() -> None:
    candle = frame("v1.mini.d", {}, 1).replace(b"v1.mini.d", b"v1.candle")
    assert CODEC.decode(candle) == Ignored("stream v1.candle")
    assert isinstance(CODEC.decode(frame("v1.mini.d", {"status": {"new": [1]}}, 1)), QuoteChange)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "unexpected shape"),
        (b"{}", "unknown frame"),
        (b"[]", "unexpected shape"),
        (frame("v1.book.d", {"bids": []}), "unexpected shape"),
        (frame("v1.book.d", {"instrument": "X", **book([], [])}), "unknown symbol"),
        (frame("v1.book.d", book([], []), selector="ETH_USDT_Perp@50"), "selector and instrument differ"),
        (frame("v1.book.d", book([("0.0", "1.0")], [])), "price of zero"),
        (
            frame("v1.book.d", {"bids": levels(("1.0", "1.0")), "asks": [{"price": "1", "size": "-1"}]}),
            "negative number",
        ),
        (frame("v1.book.d", book([("1.05", "1.0")], [])), "bad decimal"),
        (frame("v1.mini.d", {"best_bid_price": "1e3"}), "bad decimal"),
        (frame("v1.mini.d", {"best_bid_price": 1.5}), "unexpected shape"),
        (frame("v1.mini.d", {"event_time": "9" * 19}), "bad time"),
        (frame("v1.mini.d", {"event_time": "x"}), "unexpected shape"),
        (frame("v1.ticker.s", {**TICKER, "mark_price": "NaN"}), "bad decimal"),
        (frame("v1.ticker.s", {**TICKER, "funding_rate": "inf"}), "bad decimal"),
        (frame("v1.trade", trade("7"), 1), "bad trade id"),
        (frame("v1.trade", trade("7-65536"), 1), "bad trade id"),
        (frame("v1.mini.d", {}, 1).replace(b'"sequence_number":"1"', b'"sequence_number":"-1"'), "unexpected shape"),
    ],
)
def test_what_the_protocol_does_not_allow_is_one_of_few_kinds(made: bytes, kind: str) -> None:
    with pytest.raises(MalformedFrame) as caught:
        CODEC.decode(made)
    assert caught.value.kind == kind


def test_commands_name_one_stream_and_its_selectors() -> None:
    assert json.loads(CODEC.subscribe("v1.mini.d", ["A@0"], 3)) == {
        "jsonrpc": "2.0", "method": "subscribe", "params": {"stream": "v1.mini.d", "selectors": ["A@0"]}, "id": 3,
    }  # fmt: skip
    assert json.loads(LITE.unsubscribe("v1.mini.d", ["A@0"], 3)) == {
        "j": "2.0", "m": "unsubscribe", "p": {"s": "v1.mini.d", "s1": ["A@0"]}, "i": 3,
    }  # fmt: skip
