"""The one clock of this host's records: CLOCK_MONOTONIC in nanoseconds, the same that the compiled parts stamp with."""

from __future__ import annotations

from time import CLOCK_REALTIME, clock_gettime_ns, monotonic_ns

__all__ = ["monotonic_ns", "realtime_offset_ns"]


def realtime_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC now: add it to a monotonic stamp to get UTC. Moves when UTC is stepped."""
    before = monotonic_ns()
    wall = clock_gettime_ns(CLOCK_REALTIME)
    return wall - (before + monotonic_ns()) // 2
