"""The venue's UTC clock as this host estimates it.

The rule: a sample is the venue's time read over REST; its error is at most half of the round trip. Of several samples
the one with the shortest round trip counts. Between samples the estimate moves with CLOCK_MONOTONIC, so a step of this
host's own UTC changes nothing.

Who calls it: request signing (timestamp), rate limits (the venue's windows), settlement and recovery (trade times).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from shm.clock import monotonic_ns

SAMPLES: Final = 5
NS_PER_MS: Final = 1_000_000


class VenueClock:
    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self.offset_ns = 0
        """Venue UTC minus CLOCK_MONOTONIC."""
        self.error_ns = 0
        """Largest error of the offset: half the round trip of the sample it came from, and the venue's resolution."""
        self.measured = False

    async def measure(self, server_time: Callable[[], Awaitable[int]], samples: int = SAMPLES) -> None:
        """Take samples of `server_time` (ns UTC; it raises what the caller's fetcher raises) and keep the best."""
        best: tuple[int, int] | None = None
        for _ in range(samples):
            asked = self._clock()
            venue_ns = await server_time()
            answered = self._clock()
            sample = (answered - asked, venue_ns - (asked + answered) // 2)
            best = min(best, sample) if best is not None else sample
        if best is not None:
            round_trip, self.offset_ns = best
            self.error_ns = round_trip // 2 + NS_PER_MS
            self.measured = True

    def now_ns(self) -> int:
        """Venue UTC, ns."""
        return self._clock() + self.offset_ns

    def now_ms(self) -> int:
        return (self._clock() + self.offset_ns) // NS_PER_MS
