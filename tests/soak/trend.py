"""Does a series go up? A slope with its noise for memory, a comparison of first and last for small counts.

The rule: samples of memory are steps and plateaus and depend on the ones before them, so the error of a straight line
through all of them would be far too small. It is drawn through the means of BLOCKS equal stretches instead, and its
noise is the half width of the 95 % interval of that slope. Pure; called by verdict.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BLOCKS: Final = 10
STUDENT: Final = 2.306
"""97.5 % quantile of Student's t with BLOCKS - 2 degrees of freedom."""


@dataclass(frozen=True)
class Slope:
    """Per unit of time; `noise` is the half width of the 95 % interval."""

    value: float
    noise: float

    @property
    def least(self) -> float:
        """What it surely goes up by, beyond the noise; negative where it may as well not."""
        return self.value - self.noise


def slope(times: Sequence[float], values: Sequence[float]) -> Slope | None:
    """Of a series whose times ascend; None where it has fewer than two samples a block."""
    if len(times) < 2 * BLOCKS:
        return None
    begin, width = times[0], (times[-1] - times[0]) / BLOCKS
    blocks: list[list[int]] = [[] for _ in range(BLOCKS)]
    for index, time in enumerate(times):
        blocks[min(int((time - begin) / width), BLOCKS - 1)].append(index)
    middles = [statistics.fmean(times[index] for index in block) for block in blocks if block]
    means = [statistics.fmean(values[index] for index in block) for block in blocks if block]
    if len(means) < BLOCKS:  # a hole in the series: its noise would not be what STUDENT stands for
        return None
    found, offset = statistics.linear_regression(middles, means)
    residuals = sum((mean - offset - found * middle) ** 2 for middle, mean in zip(middles, means, strict=True))
    center = statistics.fmean(middles)
    spread = sum((middle - center) ** 2 for middle in middles)
    return Slope(found, STUDENT * (residuals / (BLOCKS - 2) / spread) ** 0.5)


def has_grown(counts: Sequence[int]) -> bool:
    """Whether the last third of a series never came down to where the first third was at its highest: one that is open
    twice for a moment (a connection that is renewed) is no growth, one that is never closed is."""
    third = len(counts) // 3
    return third > 0 and min(counts[-third:]) > max(counts[:third])
