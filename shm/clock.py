"""The one clock of this host's records: CLOCK_MONOTONIC in nanoseconds, the same that the compiled parts stamp with.

Other clocks are only ever compared with it: UTC by an offset, a venue's time by how much its distance has grown.
"""

from __future__ import annotations

from time import CLOCK_REALTIME, clock_gettime_ns, monotonic_ns
from typing import Final

__all__ = ["DelayBaseline", "monotonic_ns", "realtime_offset_ns"]

MINIMUM_WINDOW_NS: Final = 60_000_000_000
NO_DELAY: Final = 1 << 62
"""Above every delay that occurs."""


def realtime_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC now: add it to a monotonic stamp to get UTC. Moves when UTC is stepped."""
    before = monotonic_ns()
    wall = clock_gettime_ns(CLOCK_REALTIME)
    return wall - (before + monotonic_ns()) // 2


class DelayBaseline:
    """Growth of a delay over its own minimum: the clocks at its two ends differ by an unknown constant.

    The minimum is that of the last one to two windows, so a slow drift of the clocks is never taken for lag. While the
    delay has grown by more than `limit_ns` no window ends: data that is late does not become good by staying late.
    """

    __slots__ = ("_limit_ns", "_minimum", "_minimum_before", "_window_end_ns", "_window_ns")

    def __init__(self, limit_ns: int = NO_DELAY, window_ns: int = MINIMUM_WINDOW_NS) -> None:
        self._limit_ns = limit_ns
        self._window_ns = window_ns
        self._window_end_ns = 0
        self._minimum = self._minimum_before = NO_DELAY

    def growth(self, delay_ns: int, now_ns: int) -> int:
        """`delay_ns`: our time of arrival minus the other side's time, any offset; ns."""
        if delay_ns < self._minimum:
            self._minimum = delay_ns
        before = self._minimum_before
        grown = delay_ns - (self._minimum if self._minimum < before else before)
        if now_ns >= self._window_end_ns and grown <= self._limit_ns:
            if self._window_end_ns:
                self._minimum_before, self._minimum = self._minimum, delay_ns
            self._window_end_ns = now_ns + self._window_ns
        return grown

    def reset(self) -> None:
        """Another connection, perhaps another path: its delay is its own."""
        self._window_end_ns = 0
        self._minimum = self._minimum_before = NO_DELAY
