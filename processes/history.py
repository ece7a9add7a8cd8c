"""The last minutes of what the charts show, so that a page that is opened now does not begin empty.

The rule: bounded: KEPT points, each with one entry an instrument, strategy and hop of the config, and a few fills. It
holds what snapshots said and computes nothing. Called by `monitor_http.py` with every snapshot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from processes.snapshot import FillLine, Snapshot

KEPT: Final = 600
"""Ten minutes of one a second."""
FILLS_A_POINT: Final = 20
"""More in one second are not drawn one by one."""


@dataclass(frozen=True)
class Point:
    """One moment. markets: bid, ask, own best bid, own best ask; strategies: profit, position; hops: p50, p99 in ns of
    what was recorded since the point before; fills: those that are new since then."""

    time: str
    markets: dict[str, tuple[float | None, float | None, float | None, float | None]]
    strategies: dict[str, tuple[float | None, float]]
    hops: dict[str, tuple[int, int]]
    fills: list[FillLine]


class History:
    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=KEPT)
        self._told: frozenset[tuple[str, str]] = frozenset()

    def add(self, snapshot: Snapshot) -> None:
        fills = [fill for venue in snapshot.venues for fill in venue.fills]
        new = [fill for fill in fills if (fill.instrument, fill.trade_id) not in self._told]
        self._told = frozenset((fill.instrument, fill.trade_id) for fill in fills)
        self._points.append(point(snapshot, new[:FILLS_A_POINT]))

    def points(self, since: str = "") -> list[Point]:
        """Those after that time (as in Point.time), the oldest first."""
        return [one for one in self._points if one.time > since]


def point(snapshot: Snapshot, fills: list[FillLine]) -> Point:
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
    return Point(snapshot.time, markets, strategies, hops, fills)
