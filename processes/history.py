"""The last minutes of what the charts show, so that a page that is opened now does not begin empty.

The rule: bounded: KEPT points, each with one entry an instrument, strategy and hop of the config. It holds what
snapshots said and computes nothing. Called by `monitor_http.py` with every snapshot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from processes.snapshot import Snapshot

KEPT: Final = 600
"""Ten minutes of one a second."""


@dataclass(frozen=True)
class Point:
    """One moment. markets: bid, ask, own best bid, own best ask; strategies: profit, position; hops: p50, p99 in ns of
    what was recorded since the point before."""

    time: str
    markets: dict[str, tuple[float | None, float | None, float | None, float | None]]
    strategies: dict[str, tuple[float | None, float]]
    hops: dict[str, tuple[int, int]]


class History:
    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=KEPT)

    def add(self, snapshot: Snapshot) -> None:
        self._points.append(point(snapshot))

    def points(self) -> list[Point]:
        """The oldest first."""
        return list(self._points)


def point(snapshot: Snapshot) -> Point:
    """What the charts draw of a snapshot."""
    markets = {}
    for name, _, market in snapshot.markets():
        own = [line for line in snapshot.strategies if line.instrument == name]
        markets[name] = (
            market.bid if market.valid else None,
            market.ask if market.valid else None,
            max((line.bid for line in own if line.bid is not None), default=None),
            min((line.ask for line in own if line.ask is not None), default=None),
        )
    strategies = {f"{line.name} {line.instrument}": (line.profit, line.position) for line in snapshot.strategies}
    hops = {hop.name: (hop.recent.p50, hop.recent.p99) for hop in snapshot.hops if hop.recent is not None}
    return Point(snapshot.time, markets, strategies, hops)
