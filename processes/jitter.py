"""How long a spinning loop is kept from its core: the longest gap between two readings of the clock.

The rule: measured as a trading process would meet it, by a child that is pinned and only reads the clock; one
core after the other, so that they do not disturb each other. Called by the doctor.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from typing import Final

LONG_NS: Final = 50_000
"""A gap worth counting: ten times what a tick costs."""


@dataclass(frozen=True)
class Jitter:
    """What one core did to a loop that spun on it."""

    core: int
    seconds: float
    longest_ns: int
    long_gaps: int
    """Gaps above LONG_NS."""
    turns: int
    problem: str = ""


def measure(core: int, seconds: float) -> Jitter:
    """Spin on `core` for that long, in a child. A core that cannot be had is a `problem`, not an exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        code = 1
        try:
            os.close(reader)
            os.write(writer, _spin(core, seconds).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    words = text.split()
    if len(words) != 3:
        return Jitter(core, seconds, 0, 0, 0, text or "the measuring process died")
    longest, gaps, turns = map(int, words)
    return Jitter(core, seconds, longest, gaps, turns)


def _spin(core: int, seconds: float) -> str:
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        return f"not pinned to core {core}: {error.strerror}"
    gc.disable()
    clock = time.perf_counter_ns
    longest = gaps = turns = 0
    last = clock()
    end = last + int(seconds * 1e9)
    while last < end:
        now = clock()
        gap = now - last
        last = now
        turns += 1
        if gap > LONG_NS:
            gaps += 1
        if gap > longest:
            longest = gap
    return f"{longest} {gaps} {turns}"
