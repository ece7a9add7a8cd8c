"""Recorded frames of the venue through decoder, sequencer and book, compared with the venue's own best bid and ask.

The expected counts are facts of the recordings (corpus/binance/SOURCES.md).
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchanges.binance.codec import MarketCodec
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.binance.instruments import decode_exchange_info, instrument_row
from exchanges.binance.sequencer import BookSequencer
from exchanges.book_step import Step
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales, scales_of
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Ignored,
    MarketEvent,
    MarkPrice,
    PublicTrade,
)
from shm.clock import monotonic_ns
from shm.layout import InstrumentStatus, TradeFlag
from shm.records import InstrumentRow


class Replay:
    """What a subscriber does with frames and snapshots, without sockets. Every gap and cross is an error here."""

    def __init__(self, market: Any, scales: dict[str, Scales]) -> None:
        self.codec = MarketCodec(scales)
        self.scanner = FrameScanner()
        out = MarketOutput(
            market.by_name["market"], market.by_name["books"], market.by_name["tickers"], market.counters
        )
        self.feeds: dict[str, InstrumentFeed] = {}
        self.sequencers: dict[str, BookSequencer] = {}
        for row, (symbol, (price_scale, quantity_scale)) in enumerate(scales.items()):
            feed = InstrumentFeed(out, symbol, 1 << 16 | row, price_scale, quantity_scale)
            self.scanner.add(symbol, price_scale, quantity_scale, feed)
            self.feeds[symbol], self.sequencers[symbol] = feed, BookSequencer(feed)
        self.listener = MarketListener(self.scanner, self, market.counters)
        self.counters = market.counters
        self.steps: Counter[Step] = Counter()
        self.ignored: Counter[str] = Counter()
        self.crossed = 0

    def on_delta(self, feed: InstrumentFeed, delta: BookDelta, receive_time_ns: int) -> None:
        step = self.sequencers[feed.symbol].on_delta(delta)
        self.steps[step] += 1
        if step is Step.LIVE:
            assert feed.publish_snapshot(delta.exchange_time_ns, receive_time_ns)

    def on_crossed(self, feed: InstrumentFeed) -> None:
        self.crossed += 1

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        event = self.codec.decode(payload)
        assert isinstance(event, MarkPrice | Ignored | ControlReply), f"the scanner should know {payload[:200]!r}"
        if isinstance(event, MarkPrice):
            self.feeds[event.symbol].publish_ticker(event, receive_time_ns)
        elif isinstance(event, Ignored):
            self.ignored[event.kind] += 1

    def snapshot(self, symbol: str, body: bytes) -> BookSnapshot:
        snapshot = self.codec.decode_snapshot(symbol, body)
        step = self.sequencers[symbol].on_snapshot(snapshot)
        self.steps[step] += 1
        if step is Step.LIVE:
            assert self.feeds[symbol].publish_snapshot(snapshot.exchange_time_ns, monotonic_ns())
        return snapshot

    def count(self, name: str) -> int:
        return int(self.counters.counter(name).value)


def understood_alike(scanner: FrameScanner, codec: MarketCodec, frames: list[bytes]) -> Counter[type[MarketEvent]]:
    """Every frame by both decoders; how many the scanner took, by kind of event."""
    taken: Counter[Any] = Counter()
    for frame in frames:
        fast = scanner.decode(frame)
        if fast is not None:
            assert codec.decode(frame) == fast
            taken[type(fast)] += 1
    return taken


# --- hftbacktest-2024: the two long ones -----------------------------------------------------------------------------
LONG = {
    "BTCUSDT": {
        "lines": 93_954, "bookTicker": 66_089, "trade": 21_313, "depth": 6_551, "snapshot": 5123107852948,
        "buffered": 6, "dropped": 4, "applied": 6_547, "checks": 6_545, "agree": 6_315, "unknown": 17_747,
        "levels": (5_018, 4_578),
    },
    "ETHUSDT": {
        "lines": 74_655, "bookTicker": 53_992, "trade": 14_076, "depth": 6_586, "snapshot": 5123107856276,
        "buffered": 7, "dropped": 5, "applied": 6_581, "checks": 6_578, "agree": 6_451, "unknown": None,
        "levels": None,
    },
}  # fmt: skip


def long_recording(corpus: Path, symbol: str) -> list[bytes]:
    path = corpus / "binance" / "hftbacktest-2024" / f"{symbol.lower()}_20240808.gz"
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    return [line.split(b" ", 1)[1] for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.parametrize("symbol", LONG)
def test_a_full_recording_rebuilds_the_venues_book(
    corpus: Path, market: Any, symbol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = LONG[symbol]
    frames = long_recording(corpus, symbol)
    replay = Replay(market, {symbol: Scales(2, 3)})
    feed_frame, snapshot = replay.listener.feed_frame, None
    began = time.perf_counter()
    for frame in frames:
        if frame.startswith(b'{"lastUpdateId"'):
            snapshot = replay.snapshot(symbol, frame)
        else:
            feed_frame(frame, monotonic_ns())
    took = time.perf_counter() - began
    feed, book = replay.feeds[symbol], replay.feeds[symbol].book
    assert len(frames) == expected["lines"]
    assert snapshot is not None
    assert snapshot.update_id == expected["snapshot"]
    assert replay.steps == {Step.BUFFERED: expected["buffered"], Step.LIVE: 1}  # so no gap, and nothing too old
    assert replay.crossed == replay.count("crossed") == 0
    assert replay.count("surprises") == 0
    assert replay.count("quotes") == expected["bookTicker"]
    assert replay.count("late_quotes") == 0
    assert replay.count("trades") == expected["trade"]
    live = replay.count("book_updates")
    assert live == expected["depth"] - expected["buffered"]
    assert live + expected["buffered"] - expected["dropped"] == expected["applied"]
    assert replay.count("book_checks") == expected["checks"]
    assert replay.count("book_agree") == expected["agree"]
    assert feed.good
    if expected["levels"]:
        assert (len(book.bids()), len(book.asks())) == expected["levels"]
        assert book.unknown_removals == expected["unknown"]
    row = market.book(0)
    assert row.bid_prices.tolist() == [price / 100 for price, _ in book.bids(50)]
    assert row.ask_quantities.tolist() == [quantity / 1000 for _, quantity in book.asks(50)]
    with capsys.disabled():
        print(f"\n{symbol}: {len(frames):,} frames, {len(frames) / took:,.0f} frames/s to the published records")


@pytest.mark.parametrize("symbol", LONG)
def test_both_decoders_understand_every_frame_of_a_full_recording_alike(corpus: Path, symbol: str) -> None:
    frames = [frame for frame in long_recording(corpus, symbol) if b'"stream"' in frame[:10]]
    scanner = FrameScanner()
    scanner.add(symbol, 2, 3)
    codec = MarketCodec(scales_of([_row(symbol, 2, 3)]))
    expected = LONG[symbol]
    assert understood_alike(scanner, codec, frames) == {
        BookDelta: expected["depth"],
        BestQuote: expected["bookTicker"],
        PublicTrade: expected["trade"],
    }


def _row(symbol: str, price_scale: int, quantity_scale: int) -> InstrumentRow:
    row = InstrumentRow()
    row.symbol, row.price_scale, row.quantity_scale = symbol.encode(), price_scale, quantity_scale
    return row


# --- cryptofeed-2021: exchangeInfo, four symbols, 100 ms -------------------------------------------------------------
SHORT = {"SUSHIUSDT": (255, 3), "AKROUSDT": (189, 1), "KEEPUSDT": (135, 3), "CTKUSDT": (185, 5)}
"""Depth frames, and how many of them are older than the snapshot."""


@pytest.fixture
def short(corpus: Path) -> Path:
    folder = corpus / "binance" / "cryptofeed-2021"
    if not folder.exists():
        pytest.skip("no recording cryptofeed-2021")
    return folder


def exchange_info(folder: Path) -> bytes:
    line = (folder / "BINANCE_FUTURES.0").read_bytes().strip().splitlines()[0]
    return line.split(b": ", 1)[1]


def short_events(folder: Path) -> Iterator[tuple[float, str, bytes]]:
    """(time, symbol of a snapshot or "", body), in the order of arrival."""
    events = []
    for line in (folder / "BINANCE_FUTURES.http.0.0").read_bytes().split(b"\n"):
        if not line:
            continue
        where, _, rest = line.partition(b" -> ")
        at, _, body = rest.partition(b": ")
        events.append((float(at), where.split(b"symbol=")[1].split(b"&")[0].decode(), body))
    for line in (folder / "BINANCE_FUTURES.ws.1.0").read_bytes().splitlines()[1:]:
        at, _, body = line.partition(b": ")
        events.append((float(at), "", body))
    return iter(sorted(events, key=lambda event: event[0]))


def test_exchange_info_of_2021_gives_a_row_for_every_symbol(short: Path) -> None:
    reply = decode_exchange_info(exchange_info(short))
    rows = {info.symbol: instrument_row(info, 1 << 16, 5) for info in reply.symbols}
    assert len(rows) == len(reply.symbols) > 100
    for row in rows.values():
        assert row.tick_size > 0
        assert row.lot_size > 0
        assert row.maximum_quantity > row.minimum_quantity > 0
    sushi = rows["SUSHIUSDT"]
    assert (sushi.price_scale, sushi.tick_size, sushi.status) == (4, 10, InstrumentStatus.TRADING)


def test_four_symbols_of_2021_rebuild_at_once(short: Path, market: Any) -> None:
    reply = decode_exchange_info(exchange_info(short))
    rows = [instrument_row(info, 0, 0) for info in reply.symbols if info.symbol in SHORT]
    replay = Replay(market, scales_of(rows))
    per_symbol: Counter[str] = Counter()
    older: Counter[str] = Counter()
    snapshots: dict[str, int] = {}
    buffered: dict[str, list[int]] = {symbol: [] for symbol in SHORT}
    for _, symbol, body in short_events(short):
        if symbol:
            snapshots[symbol] = replay.snapshot(symbol, body).update_id
            continue
        replay.listener.feed_frame(body, monotonic_ns())
        event = replay.codec.decode(body)
        if isinstance(event, BookDelta):
            per_symbol[event.symbol] += 1
            buffered[event.symbol].append(event.last_update_id)
    for symbol, ids in buffered.items():
        older[symbol] = sum(update_id < snapshots[symbol] for update_id in ids)
    assert {symbol: (per_symbol[symbol], older[symbol]) for symbol in SHORT} == SHORT
    assert replay.steps[Step.LIVE] == 4
    assert replay.steps[Step.GAP] == replay.steps[Step.TOO_OLD] == replay.crossed == 0
    assert replay.count("quotes") == 613
    assert replay.count("trades") == 91
    assert replay.ignored == {"event kline": 67}
    assert all(feed.good for feed in replay.feeds.values())
    assert replay.count("book_agree") >= 0.9 * replay.count("book_checks") > 0


# --- the production shapes of 2026 -----------------------------------------------------------------------------------
def test_the_shapes_of_2026_are_taken_by_the_scanner(corpus: Path) -> None:
    path = corpus / "binance" / "unlicensed-local-only" / "jarvistrader_usdm_streams_2026-09-27_excerpt.txt"
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    frames = [line.split(b" ", 1)[1] for line in path.read_bytes().strip().splitlines()]
    scales = [_row("BTCUSDT", 2, 3), _row("ETHUSDT", 2, 3)]
    scales += [_row(json.loads(frame)["data"]["o"]["s"], 8, 3) for frame in frames if b'"forceOrder"' in frame]
    codec = MarketCodec(scales_of(scales))
    scanner = FrameScanner()
    scanner.add("BTCUSDT", 2, 3)
    scanner.add("ETHUSDT", 2, 3)
    assert understood_alike(scanner, codec, frames) == {BestQuote: 5, BookDelta: 2, PublicTrade: 6}
    rest = [codec.decode(frame) for frame in frames if scanner.decode(frame) is None]
    assert [type(event) for event in rest].count(MarkPrice) == 2
    assert Counter(event.kind for event in rest if isinstance(event, Ignored)) == {"event kline": 2}
    reports = [event for event in rest if isinstance(event, PublicTrade)]
    assert [report.flags for report in reports] == [TradeFlag.LIQUIDATION | TradeFlag.REPORT] * 3
    assert all(report.price > 0 and report.quantity > 0 for report in reports)
    deltas = [event for event in map(scanner.decode, frames) if isinstance(event, BookDelta)]
    assert deltas[1].previous_update_id == deltas[0].last_update_id
