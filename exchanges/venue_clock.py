"""The venue's UTC clock as this host estimates it.

The rules
- A sample is the venue's time read over REST; its error is at most half of the round trip, and the venue's resolution.
  Of several samples the one with the shortest round trip counts.
- Between measurements the estimate moves with CLOCK_MONOTONIC, so a step of this host's own UTC changes nothing. Its
  error grows by DRIFT_PPM meanwhile: two good clocks run apart by no more.
- A new measurement that agrees with the estimate and is less exact than it (a slow moment of the network) changes
  nothing. One that contradicts it is a step: of the venue's clock, or the estimate was wrong. It is taken, and said.
- Until the first measurement the estimate is this host's own UTC, with an unknown error.

Who calls it: request signing (timestamp), rate limits (the venue's windows), settlement and recovery (trade times).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from shm.clock import monotonic_ns, realtime_offset_ns

SAMPLES: Final = 5
NS_PER_MS: Final = 1_000_000
DRIFT_PPM: Final = 100
"""Of the venue's clock against ours. Quartz is within 50 ppm, and both may be off, each in its own direction."""


class VenueClock:
    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._error_ns = 0
        self._measured_ns = 0
        self.offset_ns = realtime_offset_ns()
        """Venue UTC minus CLOCK_MONOTONIC."""
        self.measured = False
        self.steps = 0
        """Measurements that contradicted the estimate."""
        self.on_step: Callable[[int], None] = lambda step_ns: None
        """Told by how much (ns) the estimate was corrected."""

    @property
    def error_ns(self) -> int:
        """Largest error of the estimate by now."""
        return self.error_at(self._clock())

    def error_at(self, now_ns: int) -> int:
        """The same at a time (CLOCK_MONOTONIC) that the caller has at hand."""
        return self._error_now(now_ns) if self.measured else 0

    def _error_now(self, now_ns: int) -> int:
        return self._error_ns + (now_ns - self._measured_ns) * DRIFT_PPM // 1_000_000

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
            self._take(best[1], best[0] // 2 + NS_PER_MS)

    def _take(self, offset_ns: int, error_ns: int) -> None:
        now = self._clock()
        step, known_error = offset_ns - self.offset_ns, self._error_now(now)
        if self.measured and abs(step) <= error_ns + known_error:
            if error_ns >= known_error:
                return
        elif self.measured:
            self.steps += 1
            self.on_step(step)
        self.offset_ns, self._error_ns, self._measured_ns, self.measured = offset_ns, error_ns, now, True

    def in_words(self) -> str:
        """For a log."""
        return (
            f"venue clock is {self.offset_ns / 1e6:+.1f} ms from this host's monotonic zero, "
            f"known to {self.error_ns / 1e6:.1f} ms"
        )

    def now_ns(self) -> int:
        """Venue UTC, ns."""
        return self._clock() + self.offset_ns

    def now_ms(self) -> int:
        return (self._clock() + self.offset_ns) // NS_PER_MS
