"""Memory after ten million market events: what one leaves behind in the process that publishes and in the reader.

    python bench/memory.py [--samples 10000000] [--blocks 1] [--json FILE] [--plot FILE.png] [--strict]

A pinned process decodes generated frames of ten symbols (quotes and depth updates, 9 to 1) as a market server does,
another pinned one reads the ring as the trader does (both as in throughput.py). At every fortieth of the way their own
memory (RssAnon of /proc: rings and tables are shared and have their size from the start) is read; the slope of a
straight line through it from a tenth on is what an event leaves behind.

    frames      ns a frame, in batches of 512

The bound: flat within noise. Memory comes in pages, so a line through 36 readings moves by some hundred kB by itself:
0.05 byte an event, 450 kB over the rest of the way. One leaked object of Python is 16 bytes and more.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from time import perf_counter_ns, sleep

import numpy as np
from _measure import Report, Series, cores, options_of, pin
from throughput import BATCH, Server, generated, names, reader, take

SYMBOLS = 10
READINGS = 40
WARM = READINGS // 10
BOUND = 0.05


def anonymous_bytes(pid: int) -> int:
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def left_behind(events: list[int], memory: list[int]) -> float:
    """Bytes an event."""
    return float(np.polyfit(events[WARM:], memory[WARM:], 1)[0])


def main() -> int:
    options = options_of(__doc__ or "", 10_000_000, 1)
    core, other = cores()
    pin(core)
    server = Server(names(SYMBOLS))
    frames = generated(names(SYMBOLS))
    batches = max(1, options.samples // READINGS // BATCH)
    took = np.zeros(READINGS * batches, np.int64)
    events: list[int] = []
    memory: dict[str, list[int]] = {"market server": [], "reader": []}
    header = server.segments["market"].header
    pid = 0
    try:
        pid = reader(server.segments["market"], other)
        feed = server.listener.feed_frame
        for index in range(len(took)):
            batch = take(frames, BATCH)
            before = perf_counter_ns()
            for frame in batch:
                feed(frame)
            took[index] = (perf_counter_ns() - before) // BATCH
            if (index + 1) % batches == 0:
                events.append((index + 1) * BATCH)
                memory["market server"].append(anonymous_bytes(os.getpid()))
                memory["reader"].append(anonymous_bytes(pid))
        published = int(header["cursor"][0])
        while int(header["tail"][0]) < published:
            sleep(0.001)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        server.close()
    series = Series("frames")
    series.blocks.append(took)
    report = Report("memory", [series])
    for name, found in memory.items():
        report.bound(f"{name}: bytes that an event leaves behind", left_behind(events, found), BOUND)
        begin, end = found[min(WARM, len(found) - 1)], found[-1]
        report.notes.append(
            f"{name}: {begin / 1e6:.2f} MB after {events[WARM]:,} events, {end / 1e6:.2f} MB at the end"
        )
    report.notes.append(f"{events[-1]:,} frames of {SYMBOLS} symbols, {published:,} records published")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
