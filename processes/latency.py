"""What `corelane latency` prints: each hop of a tick's way to the venue and back, per venue, from shared memory.

The rule: it only reads the trader's counters block, where every trace of every order stands (shm/trace.pyx), so looking
costs the set nothing and works on one that hangs. With an interval, only what happened in it is shown.
Called by `cli.py`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from processes import shm_admin
from processes.config import Config
from processes.exit_codes import ExitCode, Failure
from shm import hops
from shm.counters import CountersReader, difference, percentiles
from shm.segment import SegmentError

COLUMNS = ("p50", "p90", "p99", "p999", "max")
Words = dict[str, npt.NDArray[np.uint64]]


def collect(config: Config, seconds: float = 0.0) -> dict[str, Any]:
    """{"venues": {venue: {hop: {count, p50, p90, p99, p999, max}}}, "counters": {name: int}}, durations in ns, hops in
    the order in which they are passed; 0 s: since the counters were made. Raises Failure where there are none."""
    try:
        reader = CountersReader(shm_admin.instance_of(config).segment("counters.trader"))
    except SegmentError as error:
        raise Failure(f"no traces: {error}", ExitCode.SHARED_MEMORY) from None
    before, counted_before = _read(reader) if seconds else ({}, {})
    time.sleep(seconds)
    words, counters = _read(reader)
    venues: dict[str, Any] = {}
    for venue in config.venues:
        for hop in hops.NAMES:
            name = hops.histogram(venue, hop)
            if name in words:
                found = difference(words[name], before[name]) if name in before else words[name]
                if int(found[0]):
                    venues.setdefault(venue, {})[hop] = percentiles(found)
    return {
        "venues": venues,
        "counters": {name: value - counted_before.get(name, 0) for name, value in counters.items()},
    }


def _read(reader: CountersReader) -> tuple[Words, dict[str, int]]:
    counters = reader.counters()
    return reader.histogram_words(), {name: counters.get(name, 0) for name in hops.COUNTERS}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people, in microseconds."""
    result = []
    for venue, summaries in found["venues"].items():
        head = "".join(f"{name.replace('p999', 'p99.9'):>11}" for name in COLUMNS)
        result.append(f"{venue + ', us':<18}{'count':>9}{head}")
        for hop, summary in summaries.items():
            figures = "".join(f"{summary[name] / 1e3:>11,.1f}" for name in COLUMNS)
            result.append(f"  {hop:<16}{summary['count']:>9,}{figures}   {hops.DESCRIPTIONS[hop]}")
    if not result:
        result.append("no order has been answered yet to a market record that led to it")
    counters = found["counters"]
    result.append(
        f"{counters['traces']:,} traces; {counters['traces_broken']:,} broken (a stamp missing or out of order), "
        f"{counters['traces_unanswered']:,} without an answer"
    )
    return result
