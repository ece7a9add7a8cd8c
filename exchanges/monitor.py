"""Is what we publish still true? Age and delay of every instrument, measured inside the server that receives it.

The rule: an instrument is stale when its newest depth frame is older than the limit, or when frames come but later and
later: the delay (receive time on our clock minus the venue's time) has grown by more than the limit over its own
minimum. The two clocks differ by an unknown constant, so only the growth means anything; the minimum is that of the
last one to two minutes, so a slow drift of the clocks is never taken for lag. A stale book is withdrawn until both are
good.

Who calls it: a subscriber, ten times a second. The monitor *process* only reads what is counted here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from exchanges.instrument_feed import InstrumentFeed
from shm.clock import DelayBaseline
from shm.counters import Counters

COUNTERS: Final = ("stale",)
HISTOGRAMS: Final = ("book_age", "book_delay_growth")
"""Both in ns, measured at every check of a live book."""


class ExchangeMonitor:
    """One per subscriber. `check` tells each feed whether it is stale, and counts."""

    def __init__(self, stale_after_ns: int, counters: Counters, log: logging.Logger) -> None:
        counters.declare(COUNTERS, HISTOGRAMS)
        self._stale_after_ns = stale_after_ns
        self._log = log
        self._stale = counters.counter("stale")
        self._age = counters.histogram("book_age")
        self._growth = counters.histogram("book_delay_growth")
        self._baselines: dict[str, DelayBaseline] = {}
        self._measured: dict[str, int] = {}

    def check(self, feeds: Iterable[InstrumentFeed], now_ns: int, heard_ns: int = 0) -> None:
        """heard_ns: newest frame of the connection that carries the books, for venues that send a book only when it
        changes: there a quiet book is a good one for as long as its connection speaks."""
        for feed in feeds:
            if feed.live:
                self._check(feed, now_ns, max(feed.book_receive_time_ns, heard_ns))

    def reset(self, feed: InstrumentFeed) -> None:
        """The feed's connection was lost."""
        self._baselines.pop(feed.symbol, None)
        self._measured.pop(feed.symbol, None)

    def _check(self, feed: InstrumentFeed, now_ns: int, heard_ns: int) -> None:
        age = now_ns - heard_ns
        baseline = self._baselines.setdefault(feed.symbol, DelayBaseline(self._stale_after_ns))
        growth = baseline.growth(feed.delay_ns, now_ns)
        self._age.record(age)
        if self._measured.get(feed.symbol) != feed.book_receive_time_ns:
            self._measured[feed.symbol] = feed.book_receive_time_ns
            self._growth.record(growth)
        if age > self._stale_after_ns:
            self._set(feed, f"no depth update for {age / 1e9:.2f} s")
        elif growth > self._stale_after_ns:
            self._set(feed, f"depth updates come {growth / 1e9:.2f} s later than they did")
        elif feed.stale:
            feed.set_stale(False)
            self._log.info("%s: fresh again", feed.symbol)

    def _set(self, feed: InstrumentFeed, why: str) -> None:
        if feed.stale:
            return
        feed.set_stale(True)
        self._stale.add(1)
        self._log.warning("%s: book withdrawn as stale: %s, limit %.2f s", feed.symbol, why, self._stale_after_ns / 1e9)
