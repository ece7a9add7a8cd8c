"""A venue's compiled listener over segments of a test's own, with one live book of update 50, and what it handed over
because it is rare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exchanges.frame_scanner import Scanner
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.market_events import BookDelta
from tests.exchanges.frame_fuzz import memory_that_ends

Levels = list[tuple[int, int]]


class RareFrames:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        self.calls.append(("surprise", payload, receive_time_ns))

    def on_delta(self, feed: InstrumentFeed, delta: BookDelta, receive_time_ns: int) -> None:
        self.calls.append(("delta", feed.symbol, delta, receive_time_ns))

    def on_crossed(self, feed: InstrumentFeed) -> None:
        self.calls.append(("crossed", feed.symbol))

    def on_quote_gap(self, feed: InstrumentFeed) -> None:
        self.calls.append(("quote gap", feed.symbol))


class ListenerPath:
    """From `listener.feed_frame(...)` to `reader`. The instrument has row 3 of its venue."""

    def __init__(
        self, market: Any, scanner: Any, listener: Any, venue: int, symbol: str, scales: tuple[int, int],
        bids: Levels, asks: Levels,
    ) -> None:  # fmt: skip
        """scanner: an empty one; listener: the class; scales: of price and quantity."""
        self.market = market
        segments = market.by_name
        output = MarketOutput(segments["market"], segments["books"], segments["tickers"], market.counters)
        self.feed = InstrumentFeed(output, symbol, venue << 16 | 3, *scales)
        self.feed.book.apply_snapshot(bids, asks)
        self.feed.update_id, self.feed.live = 50, True
        self.feed.publish_snapshot(1, 2)
        self.scanner = scanner
        scanner.add(symbol, *scales, self.feed)
        self.rare = RareFrames()
        self.listener = listener(scanner, self.rare, market.counters)
        self.reader = market.reader()

    def count(self, name: str) -> int:
        return int(self.market.counters.counter(name).value)


def check_that_no_prefix_is_taken(scanner: Scanner, frames: Sequence[bytes]) -> None:
    """Each frame cut at every byte lies directly before memory that cannot be read."""
    with memory_that_ends() as put:
        for frame in frames:
            for size in range(len(frame)):
                assert not scanner.recognises(put(frame[:size]))
            assert scanner.recognises(put(frame))
