"""Latency histograms of a running set, as an observer reads them: by hop for people, by process for Prometheus.

The rule: a hop that several processes measure is one hop; what tells of a process's own life or of the age of data is
no hop. Called by `set_view.py` with the counters of all processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from processes.snapshot import DurationSummary, HistogramLine, HopLine
from shm import hops
from shm.counters import CountersReader, bucket_middles, difference, merge, percentiles

PATH: Final = (
    "frame_to_publish", "publish_to_poll", "poll_to_request", "request_build", "tick_to_request", "request_to_poll",
    "poll_to_send", "send_to_reply", "event_publish", "event_to_poll",
)  # fmt: skip
"""Hops in the order in which a tick passes them; what is not named here follows."""
_ORDER: Final = {hop: place for place, hop in enumerate(PATH)}
NOT_HOPS: Final = frozenset({"heartbeat_delay", "book_age", "book_delay_growth", "look"})
"""Histograms of a process's own life and of data age: no hop of an order."""
BOUNDS_NS: Final = (*(step * 10**power for power in range(3, 10) for step in (1, 2, 5)), 10**10)
"""Of the coarse histograms: 1 µs to 10 s in steps of 1, 2, 5."""
_PLACES: Final = np.searchsorted(bucket_middles(), BOUNDS_NS, side="right")
"""How many fine buckets stand below each bound; a fine bucket is 0.8 % wide."""

Words = Any
"""uint64[4 + HISTOGRAM_BUCKETS], see shm/counters.pyx."""


class HopView:
    """Remembers the last look, so that it can tell what was recorded since."""

    def __init__(self) -> None:
        self._before: dict[str, Words] = {}

    def summaries(self, readers: Iterable[tuple[str, CountersReader]]) -> dict[str, dict[str, int]]:
        """Summary of every hop that was recorded, ns; traces, per venue, are left to latency.py."""
        found = _by_hop(_read(readers))
        return {hop: _summary(block) for hop, block in found.items() if block[0] and not hops.venue_of(hop)[0]}

    def look(self, readers: Iterable[tuple[str, CountersReader]]) -> tuple[list[HopLine], list[HistogramLine]]:
        """Hops with what was recorded since the last look, and all histograms by process."""
        read = list(_read(readers))
        words, before = _by_hop(read), self._before
        self._before = words
        lines = [
            HopLine(hop, DurationSummary(**_summary(block)), _since(block, before.get(hop)))
            for hop, block in words.items()
            if block[0]
        ]
        return lines, [_coarse(process, name, block) for process, name, block in read]


def _read(readers: Iterable[tuple[str, CountersReader]]) -> Iterable[tuple[str, str, Words]]:
    for process, reader in readers:
        for name, block in reader.histogram_words().items():
            yield process, name, block


def _by_hop(read: Iterable[tuple[str, str, Words]]) -> dict[str, Words]:
    blocks: dict[str, list[Words]] = {}
    for _, hop, block in read:
        if hop not in NOT_HOPS:
            blocks.setdefault(hop, []).append(block)
    return {hop: merge(blocks[hop]) for hop in sorted(blocks, key=_place)}


def _place(hop: str) -> tuple[int, str, int, str]:
    """Hops of one process first, as a tick passes them; then those of traces, venue by venue in their own order."""
    venue, name = hops.venue_of(hop)
    if venue:
        return len(PATH) + 1, venue, hops.NAMES.index(name), ""
    return _ORDER.get(hop, len(PATH)), "", 0, hop


def _since(newer: Words, older: Words | None) -> DurationSummary | None:
    """None where nothing was recorded, or where a process began anew: a difference would be nonsense then."""
    if older is None or (newer[4:] < older[4:]).any() or (newer[4:] == older[4:]).all():
        return None
    return DurationSummary(**_summary(difference(newer, older)))


def _summary(block: Words) -> dict[str, int]:
    return {key: int(value) for key, value in percentiles(block).items()}  # type: ignore[call-overload]


def _coarse(process: str, name: str, block: Words) -> HistogramLine:
    upto = np.concatenate(([0], np.cumsum(block[4:].astype(np.int64))))
    return HistogramLine(process, name, int(upto[-1]), int(block[1]), [int(upto[place]) for place in _PLACES])
