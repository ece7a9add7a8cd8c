"""How one instrument is usually priced against another: an exponentially weighted mean, in time, of the ratio of mids.

The rule: the weight of a value is how long it held, not how often it was repeated, so two venues that update at
different rates make no difference. What changes at once in one market moves the fair price of the other at once; what
stays becomes the usual ratio after some half-lives.

Called by `quote_and_hedge.py` with every quote of either.
"""

from __future__ import annotations

import math


class PriceRatio:
    __slots__ = ("_decay_per_ns", "_last", "_mean", "_time_ns")

    def __init__(self, half_life_s: float) -> None:
        """half_life_s > 0: the age at which a value counts half."""
        if not half_life_s > 0.0:
            raise ValueError(f"half-life is {half_life_s} s, expected above 0")
        self._decay_per_ns = math.log(2.0) / (half_life_s * 1e9)
        self._mean = self._last = math.nan
        self._time_ns = 0

    def update(self, ratio: float, time_ns: int) -> float:
        """The ratio from now on, at a monotonic time that does not fall; returns the mean. The first is the mean."""
        if math.isnan(self._mean):
            self._mean = ratio
        else:
            held = -math.expm1(-(time_ns - self._time_ns) * self._decay_per_ns)
            self._mean += held * (self._last - self._mean)
        self._last, self._time_ns = ratio, time_ns
        return self._mean

    def pause(self, time_ns: int) -> None:
        """Nothing was known until now: the mean stays, the time between counts for nothing."""
        self._time_ns = time_ns
