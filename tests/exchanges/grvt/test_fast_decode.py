"""The compiled scanner against the declared decoder: what it takes, both understand alike; it never looks too far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.grvt.codec import MarketCodec
from exchanges.grvt.fast_decode import FrameScanner, MarketListener
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales
from shm.layout import MarketStatusCode, RecordKind, Side
from tests.exchanges.frame_fuzz import Target
from tests.exchanges.grvt.frames import MINI, TICKER, book, every_frame, frame, trade
from tests.exchanges.live_listener import RareFrames, check_that_no_prefix_is_taken

SCALES = {"BTC_USDT_Perp": Scales(1, 3), "DOGE_USDT_Perp": Scales(5, 0), "币安_USDT_Perp": Scales(4, 1)}


def make_scanner(**options: bool) -> FrameScanner:
    scanner = FrameScanner(**options)
    for symbol, scales in SCALES.items():
        scanner.add(symbol, *scales)
    return scanner


CODECS = {lite: MarketCodec(SCALES, lite=lite) for lite in (False, True)}
SCANNERS = {lite: make_scanner(lite=lite) for lite in (False, True)}
FRAMES = [(lite, made) for lite in (False, True) for made in every_frame(lite)]
BOOK = frame("v1.book.d", book([("87799.9", "0.151")], [("87800.0", "5.733")]), 36481)


FUZZ_TARGETS = [
    Target(
        f"grvt, {'lite' if lite else 'full'} names",
        [made for of_lite, made in FRAMES if of_lite is lite],
        SCANNERS[lite].decode,
        CODECS[lite].decode,
    )
    for lite in (False, True)
]


def agree(made: bytes, lite: bool = False) -> bool:
    """True where the scanner took the frame; then the declared decoder must have understood the very same."""
    fast = SCANNERS[lite].decode(made)
    if fast is None:
        return False
    assert CODECS[lite].decode(made) == fast, made
    return True


@pytest.mark.parametrize(("lite", "made"), FRAMES)
def test_every_documented_shape_is_taken_and_understood_alike(lite: bool, made: bytes) -> None:
    assert agree(made, lite)
    assert not SCANNERS[not lite].recognises(made), "full and lite names are never mixed"


def test_symbols_that_are_not_ascii_are_taken_too() -> None:
    assert agree(
        json.dumps(
            json.loads(frame("v1.trade", trade(price="8.1", size="1.0", instrument="币安_USDT_Perp"), 3)),
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
    )


prices = st.decimals(min_value="0.1", max_value="999999999999", places=1).map(str)
sizes = st.decimals(min_value="0.000", max_value="999999999999", places=3).map(str)
sides = st.lists(st.tuples(prices, sizes), max_size=30)
numbers = st.integers(0, 10**18 - 1)
times = st.integers(0, 9 * 10**18).map(str)


@given(bids=sides, asks=sides, time=times, sequence=numbers, previous=numbers, lite=st.booleans())
def test_generated_books_are_taken_and_understood_alike(bids, asks, time, sequence, previous, lite) -> None:
    assert agree(frame("v1.book.d", {"event_time": time, **book(bids, asks)}, sequence, previous, lite=lite), lite)


optional = st.one_of(st.none(), sizes, st.just(""))


@given(
    prices=st.tuples(st.one_of(st.none(), prices, st.just("")), st.one_of(st.none(), prices, st.just(""))),
    sizes=st.tuples(optional, optional),
    skipped=st.sets(st.sampled_from(["mark_price", "index_price", "last_price", "last_size", "mid_price"])),
    sequence=numbers, lite=st.booleans(), kind=st.sampled_from(["v1.mini.s", "v1.mini.d"]),
)  # fmt: skip
def test_generated_mini_tickers_are_taken_and_understood_alike(prices, sizes, skipped, sequence, lite, kind) -> None:
    values = {key: MINI[key] for key in MINI if key in skipped}
    for name, value in zip(
        ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size"),
        (prices[0], sizes[0], prices[1], sizes[1]), strict=True,
    ):  # fmt: skip
        if value is not None:
            values[name] = value
    assert agree(frame(kind, values, sequence, lite=lite), lite)


@given(st.integers(0, 99_999_999_999_999), st.integers(0, 65535), prices, sizes, st.booleans(), st.booleans())
def test_generated_trades_are_taken_and_understood_alike(execution, index, price, size, buys, lite) -> None:
    feed = trade(f"{execution}-{index}", price=price, size=size, is_taker_buyer=buys)
    assert agree(frame("v1.trade", feed, 7, lite=lite), lite)


# --- what it must not take --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"87799.9"', b'"87799.95"'),
        (b'"87799.9"', b'"-87799.9"'),
        (b'"87799.9"', b'"0.0"'),
        (b'"87799.9"', b'"8779900000000000000000"'),
        (b'"87799.9"', b"87799.9"),
        (b'"87799.9"', b'""'),
        (b'"num_orders":3', b'"num_orders":"3"'),
        (b'"num_orders":3', b'"num_orders":3.0'),
        (b'"num_orders":3', b'"num_orders":3,"new":1'),
        (b'"price"', b'"size"'),
        (b'"instrument":"BTC_USDT_Perp"', b'"instrument":"ETH_USDT_Perp"'),
        (b'"instrument":"BTC_USDT_Perp"', b'"instrument":"BTC\\u005fUSDT_Perp"'),
        (b'"instrument":"BTC_USDT_Perp"', b'"instrument":"' + b"X" * 500 + b'"'),
        (b"BTC_USDT_Perp@50", b"DOGE_USDT_Perp@50"),
        (b"BTC_USDT_Perp@50", b"BTC_USDT_Perp"),
        (b"BTC_USDT_Perp@50", b"BTC_USDT_Perp@5\n0"),
        (b'"36481"', b'"036481"'),
        (b'"36481"', b"36481"),
        (b'"36481"', b'"1' + b"0" * 30 + b'"'),
        (b'"36481"', b'"-1"'),
        (b'"1767198266500017753"', b'"9999999999999999999"'),
        (b'"1767198266500017753"', b'""'),
        (b'"event_time":', b'"event_time": '),
        (b'"v1.book.d"', b'"v1.book.x"'),
        (b'"v1.book.d"', b'"v1.book.d2"'),
        (b'"36480"}', b'"36480"} '),
        (b'"36480"}', b'"36480","new":1}'),
        (b'"36480"}', b'"36480"}}'),
        (b"}]", b"},]"),
    ],
)
def test_anything_else_is_left_to_the_declared_decoder(old: bytes, new: bytes) -> None:
    assert old in BOOK
    assert not agree(BOOK.replace(old, new))


@pytest.mark.parametrize(
    "made",
    [
        frame("v1.trade", trade(), 0),
        frame("v1.trade", trade("73808524"), 1),
        frame("v1.trade", trade("1-65536"), 1),
        frame("v1.trade", trade("100000000000000-1"), 1),
        frame("v1.trade", trade(venue="ORDER\\u0042OOK"), 1),
        frame("v1.trade", trade(is_rpi=1), 1),
        frame("v1.trade", trade(mark_price=None), 1),
        frame("v1.mini.d", {"best_bid_price": None}, 1),
        frame("v1.mini.d", {"mark_price": "nan"}, 1),
        frame("v1.mini.d", {"status": "OPEN"}, 1),
        frame("v1.ticker.s", TICKER, 1),
        b"",
        b"{}",
        b'{"stream":"v1.',
    ],
)
def test_other_messages_are_left_to_the_declared_decoder(made: bytes) -> None:
    assert not agree(made)


def test_no_frame_is_read_behind_its_end() -> None:
    for lite in (False, True):
        check_that_no_prefix_is_taken(SCANNERS[lite], [made for of_lite, made in FRAMES if of_lite is lite])


@pytest.mark.parametrize("target", FUZZ_TARGETS, ids=lambda target: target.name)
def test_mutated_frames_are_refused_or_understood_alike(target: Target) -> None:
    assert target.run(20_000, 1) > 1_000, "too few mutations were harmless: the comparison shows little"


# --- the listener -----------------------------------------------------------------------------------------------------
class Market:
    def __init__(self, segments: Any) -> None:
        self.segments, self.reader = segments, segments.reader()
        out = MarketOutput(
            *(segments.segment(f"grvt.{name}") for name in ("market", "books", "tickers")), segments.counters
        )
        self.feed = InstrumentFeed(out, "BTC_USDT_Perp", 3 << 16, 1, 3)
        self.scanner = FrameScanner()
        self.scanner.add("BTC_USDT_Perp", 1, 3, self.feed)
        self.handler = RareFrames()
        self.listener = MarketListener(self.scanner, self.handler, segments.counters)

    def give(self, made: bytes, now: int = 5) -> None:
        self.listener.feed_frame(made, now)

    def records(self, kind: RecordKind) -> list[Any]:
        found = []
        while (record := self.reader.poll()) is not None:
            if record.kind == kind:
                found.append(record.copy())
        return found


@pytest.fixture
def listening(market: Any) -> Iterator[Market]:
    yield Market(market)


def test_mini_tickers_become_quotes_without_python(listening: Market) -> None:
    listening.give(frame("v1.mini.d", {"best_bid_price": "1.0"}, 4))
    assert listening.records(RecordKind.QUOTE) == [], "what changed says nothing before it is known of what"
    listening.give(frame("v1.mini.d", MINI))
    listening.give(frame("v1.mini.d", {"best_ask_size": "5.708"}, 71))
    listening.give(frame("v1.mini.d", {"best_bid_size": "0.0"}, 72))
    first, second, third = listening.records(RecordKind.QUOTE)
    assert (first.bid_price, first.bid_quantity, first.ask_price, first.ask_quantity) == (
        87799.9,
        0.151,
        87800.0,
        5.733,
    )
    assert second.ask_quantity == 5.708
    assert third.bid_price != third.bid_price, "an empty side has no price"
    assert listening.handler.calls == []
    listening.give(frame("v1.mini.d", {"best_ask_size": "1.0"}, 74))
    listening.give(frame("v1.mini.d", {"best_ask_size": "2.0"}, 75))
    assert listening.handler.calls == [("quote gap", "BTC_USDT_Perp")]
    assert listening.records(RecordKind.QUOTE) == []


def test_deltas_that_follow_move_the_book_and_others_go_to_the_sequencer(listening: Market) -> None:
    feed = listening.feed
    feed.book.apply_snapshot([(877999, 151)], [(878000, 5733)])
    feed.update_id, feed.live = 36480, True
    listening.give(BOOK)
    (top,) = listening.records(RecordKind.BOOK_TOP)
    assert top.update_id == feed.update_id == 36481
    assert listening.handler.calls == []
    listening.give(frame("v1.book.d", book([], []), 36483))
    assert [call[0] for call in listening.handler.calls] == ["delta"]
    listening.give(frame("v1.book.d", book([("87800.0", "1.0")], []), 36482))
    assert listening.handler.calls[-1] == ("crossed", "BTC_USDT_Perp")
    assert feed.status == MarketStatusCode.CROSSED


def test_trades_are_told_once_and_snapshots_go_to_the_declared_decoder(listening: Market) -> None:
    for _ in range(2):
        listening.give(frame("v1.trade", trade("8-2", is_taker_buyer=False), 12))
    (told,) = listening.records(RecordKind.TRADE)
    assert (told.trade_id, told.price, told.quantity, told.aggressor_side) == (8 << 16 | 2, 87700.1, 0.001, Side.SELL)
    snapshot = frame("v1.book.d", book([("1.0", "1.0")], []))
    listening.give(snapshot)
    assert listening.handler.calls == [("surprise", snapshot, 5)]
