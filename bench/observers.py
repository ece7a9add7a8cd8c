"""What being watched costs a writer: a publish, a row and a counter with nobody looking, and with three who look.

    python bench/observers.py [--samples 100000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

The watched process does what a market server does for one update: a Quote into its ring, the row of its book, one
counter and one histogram. The observers take the whole snapshot that the monitor and `corelane top` draw from, once a
second each as those do, and one of them as fast as it can. Blocks with them running and with them stopped (SIGSTOP)
take turns, so that what else the host does meets both alike.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin, ratio

from processes import shm_admin
from processes.config import Config, load_config
from processes.set_view import SetView
from shm.counters import Counters
from shm.records import BookRow, Quote
from shm.ring import BroadcastWriter
from shm.table import TableWriter

CONFIG = """
[instance]
name = "bench-{pid}"
run_dir = "run"
state_dir = "state"
[venues.binance]
symbols = ["BTCUSDT"]
environment = "testnet"
"""
PERIODS_S = (1.0, 1.0, 0.0)
"""Of the observers: monitor, top, and one that never rests."""
SETTLE_S = 0.05


def observe(config: Config, period_s: float) -> None:
    view = SetView(config, shm_admin.instance_of(config))
    while True:
        view.take()
        time.sleep(period_s)


def start(config: Config, period_s: float, core: int) -> int:
    """A process that looks; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            pin(core)
            observe(config, period_s)
        finally:
            os._exit(1)
    return pid


def updates(config: Config) -> Callable[[int], Samples]:
    """Times `count` updates, ns each."""
    segment = shm_admin.instance_of(config).segment
    ring, books = BroadcastWriter(segment("binance.market")), TableWriter(segment("binance.books"))
    counters = Counters(segment("counters.market_server.binance"), ["frames"], ["frame_to_publish"])
    quote, row, hop, add = Quote(), BookRow(), counters.histogram("frame_to_publish"), counters.counter("frames").add
    publish, write = ring.publish, books.write

    def run(count: int) -> Samples:
        found = np.empty(count, dtype=np.int64)
        for index in range(count):
            begin = perf_counter_ns()
            publish(quote)
            write(0, row)
            add(1)
            hop.record(1_000)
            found[index] = perf_counter_ns() - begin
        return found

    return run


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    mine, other = cores()
    folder = Path(tempfile.mkdtemp())
    path = folder / "corelane.toml"
    path.write_text(CONFIG.format(pid=os.getpid()))
    config = load_config(path)
    shm_admin.create(config)
    pids: list[int] = []
    alone, watched = Series("update, nobody looks"), Series("update, three look")
    try:
        pids = [start(config, period_s, other) for period_s in PERIODS_S]
        pin(mine)
        run = updates(config)
        run(10_000)
        for _ in range(options.blocks):
            for series, what in ((alone, signal.SIGSTOP), (watched, signal.SIGCONT)):
                for pid in pids:
                    os.kill(pid, what)
                time.sleep(SETTLE_S)
                series.blocks.append(run(options.samples // options.blocks))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shm_admin.instance_of(config).remove()
        shutil.rmtree(folder)
    report = Report("observers", [alone, watched])
    report.bound("update with three observers / alone, p50", ratio(watched, alone), 1.10)
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
