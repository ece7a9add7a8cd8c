"""`make soak`: the full set trades on two cores for a while, and every process is looked at from outside.

    python -m tests.soak.run [--minutes 32] [--warm-up MINUTES] [--every SECONDS] [--exchange VENUES] [--cores N]
                             [--report FILE.json]

The set is `corelane up` with all venues' simulators, market making on each, logger, recorder and monitor. Memory, open
files and threads are read from /proc, heartbeats twenty times a second from the status table, problems by the monitor's
own rules. At the end there is a line per process and the verdict. Exit code 1 where it is red; what counts as red
stands in verdict.py. Engines keep closed orders for a quarter of an hour, so their memory goes up until then: only what
comes after WARM_UP_MIN is a leak beyond doubt.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from exchanges.order_store import CLOSED_KEPT_NS
from processes import demo_config, shm_admin
from processes.config import Config, load_config
from processes.health import Health
from processes.health_rules import SILENT_MS, Severity
from processes.monitor import LOOK_S
from processes.set_view import SetView
from processes.snapshot import ProcessLine, Snapshot
from shm.segment import Segment, SegmentError
from tests.soak import process_sample, verdict
from tests.soak.verdict import SetSeen, Watched
from tests.systemd.paper_set import observers

ROOT: Final = Path(__file__).parents[2]
WARM_UP_MIN: Final = CLOSED_KEPT_NS / 60e9 + 1
START_S: Final = 180.0
STOP_S: Final = 90.0
HEARTBEAT_LOOK_S: Final = 0.05
ORDERS_LOOK_S: Final = 0.25
SAY_S: Final = 60.0
INTERRUPTED: Final = 130
LOST: Final = {
    ("trader", "lapped"): "records overwritten before the trader read them",
    ("recorder", "missed"): "records missed by the recorder",
    ("logger", "lost"): "log lines overwritten before the logger read them",
}
"""Counters of readers that fell behind, and how they are called."""


class SoakEnded(Exception):
    """The set cannot be watched any longer; one sentence."""


class Soak:
    """The set as a child of this process, in a folder of its own. A context manager: nothing is left behind."""

    def __init__(self, exchanges: tuple[str, ...]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cl-soak-"))
        options = demo_config.DemoOptions(exchanges=exchanges, symbols=demo_config.default_symbols(exchanges))
        text = demo_config.render(options, None, demo_config.free_port(), f"soak-{os.getpid()}")
        text = text.replace('max_loss = "500"', 'max_loss = "100000"')  # one that stops trading would measure nothing
        path = self._folder / "corelane.toml"
        path.write_text(f"{text}{observers()}\n[monitor]\nport = {demo_config.free_port()}\n")
        self.config: Config = load_config(path)
        self._instance = shm_admin.instance_of(self.config)
        self._child: subprocess.Popen[bytes] | None = None
        self.view: SetView

    def __enter__(self) -> Self:
        with (self._folder / "up.log").open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "processes.cli", "up", "-c", self.config.path],
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._instance.close()
        self._instance.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> int:
        """End the set as Ctrl-C does; its exit code. Idempotent."""
        assert self._child is not None
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def segments(self) -> int:
        """How many of the set's segments there are."""
        return len(Segment.names(self._instance.segment_name("")))

    def bytes_written(self) -> int:
        """Journals, logs and recordings together."""
        total = 0
        for path in Path(self.config.instance.state_dir).rglob("*"):
            with contextlib.suppress(OSError):  # rotated away meanwhile
                total += path.lstat().st_size
        return total

    def check_alive(self) -> None:
        """Raises SoakEnded where the set is gone."""
        assert self._child is not None
        if (code := self._child.poll()) is not None:
            said = (self._folder / "up.log").read_text("utf-8", "replace").splitlines()[-5:]
            raise SoakEnded(f"the set ended with exit code {code}: {' / '.join(said)}")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            self.check_alive()
            with contextlib.suppress(SegmentError):
                self.view = SetView(self.config, self._instance)
                lines = self.view.processes()
                if all(line.state == "READY" for line in lines):
                    return
            if time.monotonic() > deadline:
                raise SoakEnded(f"the set is not Ready after {START_S:g} s")
            time.sleep(0.2)


class Observation:
    """What is seen of a set that runs; judged is what comes after `begin()`."""

    def __init__(self, soak: Soak) -> None:
        self._soak, self._view = soak, soak.view
        limits = {"trader": float(soak.config.trader.heartbeat_timeout_ms)}
        self.watched = {name: Watched(name, limits.get(name, SILENT_MS)) for name in soak.config.processes()}
        self._pids = {line.name: line.pid for line in self._view.processes()}
        self._health = Health()
        self._begun_s: float | None = None
        self._first: Snapshot | None = None
        self._last: Snapshot | None = None
        self._first_bytes = 0
        self.problems: dict[tuple[str, str], tuple[Severity, str]] = {}
        """By (rule, subject), the last text of each."""
        self.oldest_unknown_s = 0.0

    def begin(self) -> None:
        """The warm-up is over."""
        self._begun_s = time.monotonic()
        self._first_bytes = self._soak.bytes_written()
        self.problems.clear()
        self._first = None

    def look_at_heartbeats(self) -> None:
        for line in self._view.processes():
            if self._begun_s is not None:
                one = self.watched[line.name]
                one.heartbeat_ms = max(one.heartbeat_ms, line.age_ms)
            self._look_at_pid(line)

    def _look_at_pid(self, line: ProcessLine) -> None:
        if line.pid != self._pids[line.name]:
            self._pids[line.name] = line.pid
            self.watched[line.name].restarts += 1

    def look_at_problems(self) -> None:
        """As often as the monitor does: its rules count on that."""
        snapshot = self._view.take()
        for problem in self._health.update(snapshot):
            self.problems[problem.rule, problem.subject] = (problem.severity, problem.text)
        ages = [order.age_s for venue in snapshot.venues for order in venue.orders if order.unknown]
        self.oldest_unknown_s = max([self.oldest_unknown_s, *ages])
        self._first, self._last = self._first or snapshot, snapshot

    def sample(self) -> None:
        """Memory, files and threads of each process."""
        if self._begun_s is None:
            return
        for line in self._view.processes():
            sample = process_sample.read(line.pid)
            if sample is not None:
                self.watched[line.name].times_min.append((time.monotonic() - self._begun_s) / 60)
                self.watched[line.name].samples.append(sample)

    def follow_orders(self) -> None:
        self._view.follow_orders()

    # --- what came of it --------------------------------------------------------------------------------------------
    def fills(self) -> dict[str, int]:
        """By venue, since the beginning."""
        found: Counter[str] = Counter(dict.fromkeys(self._soak.config.venues, 0))
        for snapshot, sign in ((self._last, 1), (self._first, -1)):
            for line in snapshot.strategies if snapshot is not None else ():
                found[line.instrument.partition(":")[0]] += sign * line.fills
        return dict(found)

    def lost(self) -> dict[str, int]:
        """By the word for it, since the beginning."""
        found = {}
        for (process, counter), words in LOST.items():
            now, before = (
                snapshot.counters.get(process, {}).get(counter, 0) if snapshot is not None else 0
                for snapshot in (self._last, self._first)
            )
            found[words] = now - before
        return found

    def megabytes_a_minute(self) -> float:
        """Written to disk."""
        assert self._begun_s is not None
        minutes = (time.monotonic() - self._begun_s) / 60
        return (self._soak.bytes_written() - self._first_bytes) / 1e6 / max(minutes, 1e-9)


def watch(observation: Observation, soak: Soak, minutes: float, every_s: float, say: Callable[[str], None]) -> None:
    """Look for so long. Raises SoakEnded where the set is gone."""
    begin = time.monotonic()
    next_sample = next_look = next_orders = 0.0
    next_say = begin + SAY_S
    while (now := time.monotonic()) < begin + minutes * 60:
        soak.check_alive()
        observation.look_at_heartbeats()
        if now >= next_orders:
            next_orders = now + ORDERS_LOOK_S
            observation.follow_orders()
        if now >= next_look:
            next_look = now + LOOK_S
            observation.look_at_problems()
        if now >= next_sample:
            next_sample = now + every_s
            observation.sample()
        if now >= next_say:
            next_say += SAY_S
            fills = ", ".join(f"{venue} {count:,}" for venue, count in observation.fills().items())
            say(f"{(now - begin) / 60:5.1f} of {minutes:g} min; fills: {fills}; problems: {len(observation.problems)}")
        time.sleep(HEARTBEAT_LOOK_S)


def run(options: argparse.Namespace) -> int:
    """The exit code."""
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, set(cores))
    exchanges = tuple(options.exchange.split(","))
    warm_up = options.warm_up if options.warm_up is not None else min(WARM_UP_MIN, options.minutes / 2)
    _say(f"{', '.join(exchanges)} on cores {cores}: {options.minutes:g} minutes, the first {warm_up:g} to warm up")
    if warm_up < WARM_UP_MIN:
        _say(f"a warm-up below {WARM_UP_MIN:g} minutes takes orders that engines keep on purpose for a leak")
    with Soak(exchanges) as soak:
        observation = Observation(soak)
        try:
            watch(observation, soak, warm_up, options.every, _say)
            observation.begin()
            _say("warm")
            watch(observation, soak, options.minutes - warm_up, options.every, _say)
        except SoakEnded as ended:
            _say(f"RED: {ended}")
            return 1
        written = observation.megabytes_a_minute()
        code = soak.stop()
        left = soak.segments()
    critical = tuple(text for severity, text in observation.problems.values() if severity is Severity.CRITICAL)
    lost = {**observation.lost(), "segments were left behind": left}
    whole = SetSeen(observation.fills(), lost, critical, observation.oldest_unknown_s, code)
    watched = list(observation.watched.values())
    found = verdict.problems(watched, whole)
    for line in _told(watched, whole, observation, written):
        print(line)
    if options.report:
        _write(Path(options.report), watched, whole, found)
    print("RED:\n  " + "\n  ".join(found) if found else "GREEN: nothing grew, nothing was lost, nobody fell silent")
    return 1 if found else 0


def _told(watched: list[Watched], whole: SetSeen, observation: Observation, written: float) -> Iterator[str]:
    yield ""
    yield from verdict.table(watched)
    yield ""
    yield "fills: " + ", ".join(f"{venue} {count:,}" for venue, count in whole.fills.items())
    yield "lost: " + ", ".join(f"{count:,} {words}" for words, count in whole.lost.items())
    yield f"longest unknown fate of an order: {whole.oldest_unknown_s:.1f} s; written to disk: {written:.1f} MB/min"
    for severity, text in observation.problems.values():
        yield f"  seen, {severity}: {text}"


def _write(path: Path, watched: list[Watched], whole: SetSeen, found: list[str]) -> None:
    """All samples, for a plot of one's own."""
    report = {"red": found, "set": dataclasses.asdict(whole), "processes": [dataclasses.asdict(one) for one in watched]}
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return number


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description="memory, files, heartbeats of the set over time")
    parser.add_argument("--minutes", type=_positive, default=32.0, help="in all (default 32)")
    parser.add_argument("--warm-up", type=_positive, help=f"of it, in minutes (default: half, at most {WARM_UP_MIN:g})")
    parser.add_argument("--every", type=_positive, default=5.0, help="seconds between samples (default 5)")
    parser.add_argument("--exchange", default=",".join(demo_config.SYMBOLS), help="venues, comma-separated")
    parser.add_argument("--cores", type=int, default=2, help="of this machine, for the whole set (default 2)")
    parser.add_argument("--report", help="write all samples to this JSON file")
    options = parser.parse_args(arguments)
    if options.warm_up is not None and options.warm_up >= options.minutes:
        parser.error(f"--warm-up: found {options.warm_up:g}, expected less than --minutes")
    if unknown := [venue for venue in options.exchange.split(",") if venue not in demo_config.SYMBOLS]:
        parser.error(f"--exchange: found {', '.join(unknown)}, expected some of {', '.join(demo_config.SYMBOLS)}")
    if options.cores < 1:
        parser.error(f"--cores: found {options.cores}, expected at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # takes the set down as Ctrl-C does
    try:
        return run(options)
    except KeyboardInterrupt:
        _say("ended before its time: no verdict")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
