"""Volatility of the mid price while it happens: an exponentially weighted mean of squared changes on a time grid.

The rule: changes are taken between grid points of a fixed interval, not between quotes. Quote-to-quote changes mostly
measure the bounce of the best prices inside the spread, and their number depends on the venue's update rate; a grid of
half a second or more looks past both. A grid point takes the last mid before it. Pauses (stale data, halted market)
are not volatility: after `reset`, or a gap of more than ten intervals, the next mid starts a new segment.

Called by `market_making.py` with every fresh quote; about 0.1 us when no grid point is crossed.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST_GAP: Final = 10
"""Grid intervals without a mid after which the segment ends: a jump over a pause tells nothing of the time between."""


class VolatilityEstimator:
    """sigma in price units per square root of a second."""

    __slots__ = (
        "_interval_ns",
        "_last_mid",
        "_minimum",
        "_next_ns",
        "_start_mid",
        "_variance",
        "_weight",
        "_weights",
        "samples",
    )

    def __init__(self, interval_s: float = 1.0, half_life_s: float = 60.0, minimum_samples: int = 10) -> None:
        """`interval_s` > 0 is the grid, `half_life_s` the age at which a change counts half; before `minimum_samples`
        changes there is no value: the first few of a quiet start would say that nothing ever moves."""
        if not interval_s > 0.0 or not half_life_s > 0.0:
            raise ValueError(f"interval is {interval_s} s and half-life {half_life_s} s, expected both above 0")
        self._interval_ns = max(1, round(interval_s * 1e9))
        self._weight = 1.0 - math.exp(-math.log(2.0) * interval_s / half_life_s)
        self._minimum = minimum_samples
        self._variance = 0.0
        self._weights = 0.0
        self.samples = 0
        self.reset()

    def reset(self) -> None:
        """The next mid starts a new segment; what was learnt is kept."""
        self._next_ns = 0
        self._start_mid = math.nan
        self._last_mid = math.nan

    def update(self, mid: float, time_ns: int) -> None:
        """A fresh mid price at a monotonic time that does not fall."""
        if time_ns < self._next_ns:
            self._last_mid = mid
            return
        if self._next_ns == 0 or time_ns - self._next_ns > LONGEST_GAP * self._interval_ns:
            self._start_mid = mid
            self._next_ns = time_ns + self._interval_ns
        else:
            # Every grid point passed since takes the last mid before it: one change, then intervals without one.
            while self._next_ns <= time_ns:
                self._sample(self._last_mid - self._start_mid)
                self._start_mid = self._last_mid
                self._next_ns += self._interval_ns
        self._last_mid = mid

    def _sample(self, change: float) -> None:
        # `_weights` is the sum of all weights so far: dividing by it removes the pull of the zero it starts from.
        self._variance += self._weight * (change * change - self._variance)
        self._weights += self._weight * (1.0 - self._weights)
        self.samples += 1

    def export_state(self) -> dict[str, float]:
        """What was learnt, in plain values: for `import_state` of another one."""
        return {
            "variance_per_s": self._variance / (self._interval_ns / 1e9), "weights": self._weights,
            "samples": self.samples,
        }  # fmt: skip

    def import_state(self, state: dict[str, float]) -> None:
        """Go on from what another one has learnt, also on another grid; the next mid starts a new segment."""
        self._variance = state["variance_per_s"] * (self._interval_ns / 1e9)
        self._weights = state["weights"]
        self.samples = int(state["samples"])
        self.reset()

    def value(self) -> float | None:
        """sigma, or None while too few changes were seen."""
        if self.samples < self._minimum:
            return None
        return math.sqrt(self._variance / self._weights / (self._interval_ns / 1e9))
