"""Age and growing delay, on a clock of the test's own."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.market_events import BookDelta
from exchanges.monitor import ExchangeMonitor

SECOND = 1_000_000_000
LIMIT = 2 * SECOND
UTC = 1_790_000_000 * SECOND  # the venue's clock is far from ours, and nobody knows how far


class Watch:
    def __init__(self, market: Any) -> None:
        out = MarketOutput(
            market.by_name["market"], market.by_name["books"], market.by_name["tickers"], market.counters
        )
        self.feed = InstrumentFeed(out, "BTCUSDT", 1 << 16, 2, 3)
        self.counters = market.counters
        self.monitor = ExchangeMonitor(LIMIT, market.counters, logging.getLogger("test.monitor"))
        self.feed.book.apply_snapshot([(100, 1)], [(101, 1)])
        self.feed.live = True
        self.feed.publish_snapshot(1, 1)

    def receive(self, at_s: float, lag_s: float) -> None:
        now = int(at_s * SECOND)
        self.feed.note_delta(BookDelta("BTCUSDT", 1, 1, 1, UTC + now - int(lag_s * SECOND), [], []), now)

    def check(self, at_s: float) -> bool:
        self.monitor.check([self.feed], int(at_s * SECOND))
        return bool(self.feed.stale)


@pytest.fixture
def watch(market: Any) -> Watch:
    return Watch(market)


def test_a_book_is_stale_by_age_and_fresh_with_the_next_frame(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    watch.receive(10.0, 0.1)
    assert not watch.check(11.9)
    assert watch.check(12.1)
    assert watch.check(12.2)
    assert caplog.text.count("book withdrawn as stale: no depth update for 2.10 s") == 1
    watch.receive(12.3, 0.1)
    assert not watch.check(12.3)
    assert watch.counters.counter("stale").value == 1


def test_a_book_whose_frames_come_later_and_later_is_stale_though_they_come(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for tick in range(100, 140):
        watch.receive(tick / 10, 0.1)
        assert not watch.check(tick / 10)
    watch.receive(14.0, 1.9)
    assert not watch.check(14.0)
    watch.receive(14.1, 2.2)
    assert watch.check(14.1)
    assert "come 2.10 s later than they did" in caplog.text
    watch.receive(14.2, 0.2)
    assert not watch.check(14.2)


def test_a_constant_difference_of_the_clocks_is_no_delay(watch: Watch) -> None:
    for tick in range(100, 150):
        watch.receive(tick / 10, -1.27)  # the recorded clocks: ours is behind the venue's
        assert not watch.check(tick / 10)


def test_only_live_books_are_watched(watch: Watch) -> None:
    watch.feed.live = False
    assert not watch.check(1e6)
