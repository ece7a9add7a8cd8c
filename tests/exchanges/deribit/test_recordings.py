"""Everything that was recorded decodes, scanner and declared decoder agree on it, and the recorded books rebuild.

The recordings are real except where the corpus' own SOURCES.md says otherwise; they are not part of this repository.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchanges.book_step import Step
from exchanges.deribit.codec import MarketCodec
from exchanges.deribit.fast_decode import FrameScanner, MarketListener
from exchanges.deribit.instruments import decode_instruments, instrument_row
from exchanges.deribit.sequencer import BookSequencer
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    MalformedFrame,
    MarkPrice,
    PublicTrades,
)

LONG, SHORT = "DERIBIT-5dd9ce.0", ("DERIBIT.ws.30.0", "DERIBIT.ws.1.0")
FINE = Scales(6, 3)
"""Scales that hold every recorded number of every instrument."""


@pytest.fixture(scope="module")
def recorded(corpus: Path) -> Path:
    return corpus / "deribit"


def frames_of(path: Path) -> Iterator[bytes]:
    """Received frames of one cryptofeed recording ("<time>: <frame>")."""
    for line in path.read_bytes().splitlines():
        time, _, frame = line.partition(b": ")
        if time.replace(b".", b"").isdigit():
            yield frame


def symbols_of(frames: list[bytes]) -> list[str]:
    found = {json.loads(frame).get("params", {}).get("channel", "..").split(".")[1] for frame in frames}
    return sorted(found - {""})


class Replay:
    """A listener over all the recording's instruments, handled as the subscriber does."""

    def __init__(self, market: Any, symbols: list[str]) -> None:
        output = MarketOutput(
            market.by_name["market"], market.by_name["books"], market.by_name["tickers"], market.counters
        )
        self.codec = MarketCodec(dict.fromkeys(symbols, FINE))
        scanner = FrameScanner()
        self.feeds: dict[str, InstrumentFeed] = {}
        self.sequencers: dict[str, BookSequencer] = {}
        for number, symbol in enumerate(symbols):
            feed = InstrumentFeed(output, symbol, 2 << 16 | number % 8, *FINE)
            scanner.add(symbol, *FINE, feed)
            self.feeds[symbol], self.sequencers[symbol] = feed, BookSequencer(feed)
        self.scanner = scanner
        self.listener = MarketListener(scanner, self, market.counters)
        self.steps: Counter[Step] = Counter()
        self.kinds: Counter[str] = Counter()

    def on_delta(self, feed: InstrumentFeed, delta: BookDelta, receive_time_ns: int) -> None:
        self.steps[self.sequencers[feed.symbol].on_delta(delta)] += 1

    def on_crossed(self, feed: InstrumentFeed) -> None:
        raise AssertionError(f"{feed.symbol} crossed")

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        event = self.codec.decode(payload)
        self.kinds[type(event).__name__] += 1
        if isinstance(event, BookSnapshot):
            self.steps[self.sequencers[event.symbol].on_snapshot(event)] += 1
            assert self.feeds[event.symbol].publish_snapshot(1, 1)
        elif isinstance(event, BookDelta):
            self.on_delta(self.feeds[event.symbol], event, receive_time_ns)
        elif isinstance(event, MarkPrice):
            self.feeds[event.symbol].publish_ticker(event, receive_time_ns)


@pytest.mark.parametrize(("name", "changes", "tickers"), [(LONG, 177, 273), (SHORT[0], 46, 92), (SHORT[1], 36, 89)])
def test_a_recording_goes_through_without_a_gap(
    recorded: Path, market: Any, name: str, changes: int, tickers: int
) -> None:
    frames = list(frames_of(recorded / "cryptofeed" / name))
    replay = Replay(market, symbols_of(frames))
    books: dict[str, dict[str, dict[str, float]]] = {}
    for frame in frames:
        event, fast = replay.codec.decode(frame), replay.scanner.decode(frame)
        assert fast is None or fast == event
        replay.listener.feed_frame(frame, 1)
        apply_plainly(books, frame)
    assert replay.steps == {Step.LIVE: 10}  # ten snapshots; no change came by the slow way
    assert market.counters.counter("book_updates").value == changes
    assert market.counters.counter("ticker_updates").value == tickers
    assert market.counters.counter("crossed").value == 0
    for symbol, feed in replay.feeds.items():
        bids = [(p / 1e6, q / 1e3) for p, q in feed.book.bids()]
        asks = [(p / 1e6, q / 1e3) for p, q in feed.book.asks()]
        assert bids == sorted(((float(p), q) for p, q in books[symbol]["bids"].items()), reverse=True)
        assert asks == sorted((float(p), q) for p, q in books[symbol]["asks"].items())


def apply_plainly(books: dict[str, dict[str, dict[str, float]]], frame: bytes) -> None:
    """The slow and plain book: dicts of the text of prices."""
    params = json.loads(frame).get("params", {})
    if not params.get("channel", "").startswith("book."):
        return
    data = params["data"]
    book = books.setdefault(data["instrument_name"], {"bids": {}, "asks": {}})
    if data["type"] == "snapshot":
        book["bids"], book["asks"] = {}, {}
    for side in ("bids", "asks"):
        for action, price, amount in data[side]:
            if action == "delete":
                del book[side][str(price)]
            else:
                book[side][str(price)] = amount


def test_the_gap_in_the_testnet_recording_is_found_and_a_new_snapshot_brings_the_book_back(
    recorded: Path, market: Any
) -> None:
    frames = (recorded / "ssc2ce-python" / "deribit_dump.jsonl").read_bytes().splitlines()
    replay = Replay(market, ["BTC-PERPETUAL"])
    feed = replay.feeds["BTC-PERPETUAL"]
    for frame in frames[:-1]:
        replay.listener.feed_frame(frame, 1)
    assert feed.live
    assert feed.update_id == 4095205462
    replay.listener.feed_frame(frames[-1], 1)
    assert replay.steps == {Step.LIVE: 1, Step.GAP: 1}
    assert replay.sequencers["BTC-PERPETUAL"].needs_snapshot
    replay.listener.feed_frame(frames[-1], 1)
    assert replay.steps[Step.WAITING] == 1  # nothing that follows counts
    replay.listener.feed_frame(frames[1].replace(b"4095205325", b"4095205463"), 1)  # subscribed again
    replay.listener.feed_frame(frames[-1], 1)
    assert feed.live
    assert feed.update_id == 4095205464
    assert feed.book.best_bid == (9415500000, 72300000)


def messages(recorded: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(recorded.rglob("*")):
        if path.suffix == ".jsonl":
            for number, line in enumerate(path.read_bytes().splitlines()):
                yield f"{path.name}:{number}", line
        elif path.name.startswith("ws_"):
            yield path.name, path.read_bytes()
        elif path.parent.name == "cryptofeed" and path.name != "LICENSE.txt" and ".0" in path.name:
            for number, frame in enumerate(frames_of(path)):
                yield f"{path.name}:{number}", frame


def test_every_recorded_message_decodes(recorded: Path) -> None:
    """By its own instrument's symbol, with scales that hold it; scanner and declared decoder agree."""
    kinds: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for where, frame in messages(recorded):
        data = json.loads(frame).get("params", {}).get("data", {})
        entries = data if isinstance(data, list) else [data]
        symbols = {entry["instrument_name"] for entry in entries if "instrument_name" in entry}
        scanner = FrameScanner()
        for symbol in symbols:
            scanner.add(symbol, *FINE)
        try:
            event = MarketCodec(dict.fromkeys(symbols, FINE)).decode(frame)
        except MalformedFrame as malformed:
            raise AssertionError(f"{where}: {malformed}") from None
        fast = scanner.decode(frame)
        assert fast is None or fast == event, where
        kinds[type(event).__name__] += 1
        if type(event).__name__ == "Ignored":
            ignored[event.kind] += 1  # type: ignore[union-attr]
    for kind in (BookSnapshot, BookDelta, BestQuote, PublicTrades, MarkPrice):
        assert kinds[kind.__name__] > 0, kind
    assert {kind.split()[-1] for kind in ignored} <= {
        "announcements", "book", "chart", "deribit_price_ranking", "deribit_price_statistics",
        "deribit_volatility_index", "estimated_expiration_price", "incremental_ticker", "markprice", "perpetual",
        "platform_state", "rfq", "user",
    }  # fmt: skip


def test_every_recorded_instrument_has_a_row(recorded: Path) -> None:
    rows = 0
    replies = [(recorded / "nautilus_trader" / "http_get_instruments.json").read_bytes()]
    for line in (recorded / "cryptofeed" / "DERIBIT.0").read_bytes().splitlines():
        if b"get_instruments" in line and b" -> " in line:
            replies.append(line.partition(b" -> ")[2].partition(b": ")[2])
    assert len(replies) == 5
    for reply in replies:
        result = json.dumps(json.loads(reply)["result"]).encode()
        for info in decode_instruments(result):
            row = instrument_row(info, 2 << 16, 1)
            assert row.tick_size > 0
            assert row.lot_size > 0
            assert row.minimum_quantity % row.lot_size == 0
            assert row.settle_currency
            rows += 1
    assert rows > 1000
