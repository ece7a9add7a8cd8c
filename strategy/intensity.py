"""How often a quote at a distance from the mid is reached: lambda(d) = A * exp(-k * d), fitted to public trades.

The rule: an *arrival* is one aggressive order. The venue reports it as several trades when it goes through several
resting orders; trades of one side and one exchange time are one arrival, and its depth is that of the farthest of them
from the mid before it. A quote at distance d (on the side that was hit) is reached by every arrival of depth >= d, so
the number of arrivals per second with depth >= d estimates lambda(d); per side: both sides are pooled and halved.

The fit: a weighted least-squares line through ln(rate) over the depths that occurred, weights = counts (the variance of
the logarithm of a Poisson count n is about 1 / n), so that the far, rare depths do not tilt it. Fallbacks, in order:
fewer than three different depths: A and k from the mean depth beyond the least one (the maximum-likelihood estimate of
an exponential); fewer than `minimum_arrivals`: None, and the caller uses its configured prior. k is bounded so that the
distance 1/k stays between a quarter of a tick and a thousand ticks. Old arrivals fade with a half-life.

Called by `market_making.py` for each public trade (about 0.5 us) and every few seconds for the fit.
"""

from __future__ import annotations

import math
from typing import Any, Final

BUCKETS: Final = 256
"""Depths are counted in half ticks up to this many; deeper ones count as the last. With a spread of an odd number of
ticks the mid lies between ticks, so half ticks keep every depth exact."""
SHALLOWEST: Final = 0.25
DEEPEST: Final = 1000.0


class IntensityEstimator:
    """A in arrivals per second and side, k per price unit."""

    __slots__ = (
        "_counts", "_elapsed_s", "_half_life_s", "_last_depth", "_last_fade_ns", "_last_side", "_last_time_ns",
        "_minimum", "_tick",
    )  # fmt: skip

    def __init__(self, tick: float, half_life_s: float = 60.0, minimum_arrivals: float = 30.0) -> None:
        """`tick` in price units; `minimum_arrivals` that are needed (after fading) before a fit is given."""
        if not tick > 0.0 or not half_life_s > 0.0:
            raise ValueError(f"tick is {tick} and half-life {half_life_s} s, expected both above 0")
        self._tick = tick
        self._half_life_s = half_life_s
        self._minimum = minimum_arrivals
        self._counts = [0.0] * BUCKETS
        self._elapsed_s = 0.0
        self._last_fade_ns = 0
        self._last_side = 0
        self._last_time_ns = 0
        self._last_depth = -1

    def update(self, price: float, mid: float, aggressor_side: int, exchange_time_ns: int) -> None:
        """A public trade, with the mid that stood before it. Trades on the wrong side of the mid count as depth 0."""
        distance = price - mid if aggressor_side == 1 else mid - price
        depth = min(max(round(2.0 * distance / self._tick), 0), BUCKETS - 1)
        if aggressor_side == self._last_side and exchange_time_ns == self._last_time_ns:
            if depth > self._last_depth:  # the same arrival went deeper
                self._counts[self._last_depth] -= 1.0
                self._counts[depth] += 1.0
                self._last_depth = depth
            return
        self._counts[depth] += 1.0
        self._last_side, self._last_time_ns, self._last_depth = aggressor_side, exchange_time_ns, depth

    def fade(self, now_ns: int) -> None:
        """Let time pass: to be called every second or so while the data is fresh."""
        if self._last_fade_ns:
            passed = (now_ns - self._last_fade_ns) / 1e9
            keep = 0.5 ** (passed / self._half_life_s)
            # Time fades like the counts do: counts / time stays the rate. A constant rate r over an age t that fades
            # with e**-ct gives r * (1 - e**-ct) / c, so the same integral is taken for time itself.
            decay = math.log(2.0) / self._half_life_s
            self._elapsed_s = self._elapsed_s * keep + (1.0 - keep) / decay
            self._counts = [count * keep for count in self._counts]
            self._last_time_ns = 0  # a faded arrival cannot be moved to a deeper bucket any more
        self._last_fade_ns = now_ns

    def pause(self) -> None:
        """Data is not fresh: the time until the next `fade` does not count."""
        self._last_fade_ns = 0

    def export_state(self) -> dict[str, Any]:
        """What was learnt, in plain values: for `import_state` of another one."""
        return {"tick": self._tick, "counts": list(self._counts), "elapsed_s": self._elapsed_s}

    def import_state(self, state: dict[str, Any]) -> None:
        """Go on from what another one has learnt; of another tick or number of buckets nothing is taken."""
        if state["tick"] == self._tick and len(state["counts"]) == BUCKETS:
            self._counts = [float(count) for count in state["counts"]]
            self._elapsed_s = float(state["elapsed_s"])
        self.pause()

    def value(self) -> tuple[float, float] | None:
        """(A, k), or None while too little was seen."""
        arrivals = sum(self._counts)
        if arrivals < self._minimum or self._elapsed_s <= 0.0:
            return None
        half_tick = self._tick / 2.0
        reached = 0.0
        points: list[tuple[float, float, float]] = []  # depth, ln(rate), weight
        for bucket in range(BUCKETS - 1, -1, -1):
            count = self._counts[bucket]
            reached += count
            if count >= 0.5 and reached > 0.0:
                points.append((bucket * half_tick, math.log(reached / 2.0 / self._elapsed_s), reached))
        fit = _weighted_line(points) if len(points) >= 3 else None
        if fit is None or fit[1] >= 0.0:
            fit = self._by_mean_depth(arrivals)
        intercept, slope = fit
        k = min(max(-slope, 1.0 / (DEEPEST * self._tick)), 1.0 / (SHALLOWEST * self._tick))
        return math.exp(intercept), k

    def _by_mean_depth(self, arrivals: float) -> tuple[float, float]:
        half_tick = self._tick / 2.0
        least = next(bucket for bucket in range(BUCKETS) if self._counts[bucket] >= 0.5) if arrivals else 0
        mean = sum(bucket * count for bucket, count in enumerate(self._counts)) / arrivals
        # A whole tick is the smallest mean excess that can be seen: prices move by ticks.
        k = 1.0 / max((mean - least) * half_tick, SHALLOWEST * self._tick)
        rate = arrivals / 2.0 / self._elapsed_s
        return math.log(rate) + k * least * half_tick, -k


def _weighted_line(points: list[tuple[float, float, float]]) -> tuple[float, float] | None:
    """Intercept and slope of the weighted least-squares line through (x, y, weight); None where x does not vary."""
    total = sum(weight for _, _, weight in points)
    mean_x = sum(weight * x for x, _, weight in points) / total
    mean_y = sum(weight * y for _, y, weight in points) / total
    spread = sum(weight * (x - mean_x) ** 2 for x, _, weight in points)
    if spread <= 0.0:
        return None
    slope = sum(weight * (x - mean_x) * (y - mean_y) for x, y, weight in points) / spread
    return mean_y - slope * mean_x, slope
