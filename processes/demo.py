"""`corelane demo`: the whole set trades against the embedded venue, and at the end both sides' books are compared.

The rule: it uses the same supervisor, config and processes as `corelane up`, in a temporary directory, under an
instance name of its own; it ends in order (quotes pulled, market frozen, last mark seen, books compared) and leaves
nothing behind, however it ends. Called by `cli.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any, Self

from processes import demo_owners, demo_report, demo_script, demo_venue, placement, trader_restart
from processes.config import Config, load_config
from processes.control import ControlError, ask
from processes.control_arguments import called_as
from processes.demo_books import OwnBooks
from processes.demo_config import DemoOptions, check_options, default_symbols, free_port, render
from processes.demo_owners import Owners, served_epochs
from processes.demo_report import DemoReport, VenueReport, VenueTruth
from processes.demo_screen import Screen, is_terminal
from processes.demo_script import Action, ScriptRunner
from processes.exit_codes import ExitCode, Failure
from processes.fault_plan import FaultRunner, at_venue, plan
from processes.log import LogManager
from processes.set_view import SetView
from processes.supervisor import Supervisor
from processes.venue_view import VenueView
from shm.clock import realtime_offset_ns
from shm.journal import read_journal
from shm.layout import MONEY_SCALE
from shm.segment import Segment

__all__ = ["DemoOptions", "default_symbols", "run"]

INSTANCE_PREFIX = "demo-"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TURN_S = 0.02
REFRESH_S = 0.25
CANCEL_TIMEOUT_S = 10.0
"""From "cancel all" to the venue's word that no order is open."""
SETTLE_TIMEOUT_S = 10.0
"""For the last mark and the last fill to come through after the market was frozen."""
FAULT_PATIENCE = 4.0
"""Times as much patience where faults struck: an unknown outcome is settled after the venue's receive window only."""


def run(options: DemoOptions) -> int:
    """Do the whole demo; the exit code. Raises Failure with one sentence where it cannot go on."""
    recording = check_options(options)
    actions = [] if options.script is None else demo_script.read(options.script)
    _remove_stale()
    directory = Path(tempfile.mkdtemp(prefix="corelane-demo-"))
    report = DemoReport(seconds=0.0, seed=options.seed)
    try:
        path = directory / "corelane.toml"
        port = options.port or free_port()
        path.write_text(render(options, recording, port, f"{INSTANCE_PREFIX}{os.getpid()}"), encoding="utf-8")
        config = load_config(path)
        print(f"While it trades: {called_as()} top -c {path}, or ctl -c {path} trader status (or commands)")
        if options.monitor:
            print(f"The page of the monitor: http://{config.monitor.host}:{config.monitor.port}/")
        sys.stdout.flush()
        with _Stops() as stops:
            _trade(config, options, actions, report, stops)
        report.processes_left = len(_processes_started())
        report.segments_left = len(Segment.names(f"/corelane.{config.instance.name}."))
    finally:
        if options.keep:
            print(f"Logs and journals are kept in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(demo_report.in_words(report))
    if options.report is not None:
        demo_report.write(report, options.report)
    return ExitCode.OK if report.good else ExitCode.DIFFERENCE


def _trade(config: Config, options: DemoOptions, actions: list[Action], report: DemoReport, stops: _Stops) -> None:
    """Start, trade, end in order, fill the report; the set is gone when this returns or raises."""
    log = LogManager("demo", config.log, stderr=False)
    try:
        with Supervisor(config, log.logger, errors_to_files=True) as supervisor:
            view = SetView(config, supervisor.instance)
            with Screen(view, options.seconds, live=options.screen and is_terminal()) as screen:
                session = _Session(config, supervisor, view, screen, stops, options, actions)
                session.start()
                session.trade(options.seconds)
                session.end(report)
    finally:
        log.close()


class _Session:
    """One demo while its processes live."""

    def __init__(
        self,
        config: Config,
        supervisor: Supervisor,
        view: SetView,
        screen: Screen,
        stops: _Stops,
        options: DemoOptions,
        actions: list[Action],
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._view = view
        self._screen = screen
        self._stops = stops
        self._began_s = time.monotonic()
        self._next_refresh_s = 0.0
        self._ended_early = ""
        self._faults: FaultRunner | None = None
        self._script = ScriptRunner(
            actions,
            ask=lambda command, arguments: ask(config.instance.run_dir, "trader", command, arguments, timeout_s=5.0),
            look_at_restart=lambda pid: trader_restart.look(config.instance.run_dir, pid),
            open_orders=self._open_orders,
        )
        if options.fault_plan != "none":
            self._faults = FaultRunner(
                plan(options.seed, options.seconds, options.fault_plan),
                arm=self._arm,
                disarm=lambda: self._at_all(demo_venue.disarm),
                pids=self._pids,
                order_in_flight=lambda: self._open_orders() > 0,
            )
        self._patience = 1.0 if self._faults is None else FAULT_PATIENCE

    def start(self) -> None:
        self._supervisor.start(self._turn_at_start)

    def _turn_at_start(self) -> None:
        self._stops.check(even_early=True)  # nothing was traded yet: there is nothing to compare
        self._turn("starting", supervise=False)

    def trade(self, seconds: float) -> None:
        """Let it trade; Ctrl-C ends this part early, and everything after it still happens."""
        self._began_s = time.monotonic()
        next_look_s = 0.0
        while self._elapsed() < seconds and not self._stops.early:
            self._turn("trading")
            if self._faults is not None:
                self._faults.poll(self._elapsed())
            self._script.poll(self._elapsed())
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + 1.0
                if all(demo_venue.all_ended(self._url(name)) for name in self._view.venues):
                    self._ended_early = f"The recordings ended after {self._elapsed():.0f} s."
                    break
            if self._supervisor.given_up:
                raise Failure("; ".join(self._supervisor.given_up.values()), ExitCode.PROCESS_FAILED)
            time.sleep(TURN_S)

    def end(self, report: DemoReport) -> None:
        """Pull the quotes, freeze the market, wait for the last word of both sides, compare."""
        report.seconds = self._elapsed()
        self._stops.check()
        self._script.stop()
        report.actions = self._script.outcomes
        if self._ended_early:
            report.notes.append(self._ended_early)
        if self._faults is not None:
            self._faults.stop()
            report.add_faults(self._faults.deaths())
            if not self._wait_for(self._all_ready, CANCEL_TIMEOUT_S):
                report.notes.append("not every process came back after the faults")
        self._note_failed_strategies(report)
        self._ask_trader("pause", report)
        self._ask_trader("cancel-all", report)
        for name, view in self._view.venues.items():
            if not self._wait_for(lambda view=view, name=name: self._nothing_open(name, view), CANCEL_TIMEOUT_S):  # type: ignore[misc]
                report.notes.append(
                    f"{name}: orders were still open {CANCEL_TIMEOUT_S * self._patience:g} s after they were canceled"
                )
            demo_venue.freeze(self._url(name))
        for name, view in self._view.venues.items():
            report.venues[name] = self._compare(name, view, report)
            report.add_faults(demo_venue.faults(self._url(name)))
        report.latency_ns = self._view.latency()
        report.restarts = self._supervisor.restarts

    def _compare(self, name: str, view: VenueView, report: DemoReport) -> VenueReport:
        """Both sides, once the venue's last mark and all its fills arrived here, or as they are after the timeout."""
        truth = self._truth(name)
        if not self._wait_for(lambda: _sees_marks(view, truth), SETTLE_TIMEOUT_S):
            report.notes.append(f"{name}: the venue's last mark price did not arrive here")
        if not self._wait_for(lambda: truth.trades <= self._journal(name, view).trade_set(), SETTLE_TIMEOUT_S):
            report.notes.append(f"{name}: not all of the venue's trades arrived here")
        result = demo_report.compare(self._journal(name, view), self._truth(name), view.marks())
        result.owners = self._owners(name)
        result.frames = self._view.counter("frames", name)
        result.gaps = self._view.counter("gaps", name)
        result.book_checks = self._view.counter("book_checks", name)
        result.book_agree = self._view.counter("book_agree", name)
        result.reconcile_corrections = self._view.counter("reconcile_corrections")
        return result

    def _owners(self, name: str) -> Owners:
        """Whose the venue's orders are."""
        served = served_epochs(read_journal(self._supervisor.instance.journal_path(name)), realtime_offset_ns())
        strategies = [strategy.id for strategy in self._config.strategies]
        return demo_owners.check(self._truth(name).ledger, self._config.instance.number, strategies, served)

    def _journal(self, name: str, view: VenueView) -> OwnBooks:
        """Our books, made anew from everything that the engine wrote since the session start."""
        books = OwnBooks(self._config.instance.number, view.instruments())
        for record in read_journal(self._supervisor.instance.journal_path(name)):
            books.feed(record)
        return books

    def _nothing_open(self, name: str, view: VenueView) -> bool:
        return self._truth(name).open_orders == 0 and not self._journal(name, view).open_orders()

    def _truth(self, name: str) -> VenueTruth:
        return demo_venue.truth(self._url(name), tuple(self._config.venues[name].symbols))

    def _url(self, name: str) -> str:
        return str(self._config.venues[name].rest_url)

    def _ask_trader(self, command: str, report: DemoReport) -> None:
        try:
            ask(self._config.instance.run_dir, "trader", command, timeout_s=5.0)
        except ControlError as error:
            report.notes.append(str(error))

    def _note_failed_strategies(self, report: DemoReport) -> None:
        """A strategy that raised stopped trading: say where, or its author sees nothing but a quiet market."""
        try:
            strategies = ask(self._config.instance.run_dir, "trader", "status", timeout_s=5.0)["strategies"]
        except ControlError as error:
            report.notes.append(str(error))
            return
        for name, found in strategies.items():
            if found["state"] == "FAILED":
                report.failed_strategies[name] = found["text"]

    def _arm(self, fault: Mapping[str, Any]) -> None:
        for name in self._view.venues:
            demo_venue.arm(self._url(name), at_venue(name, fault))

    def _at_all(self, act: Callable[[str], None]) -> None:
        for name in self._view.venues:
            act(self._url(name))

    def _open_orders(self) -> int:
        """Own orders that are not over, as far as the engines' events say."""
        return sum(len(one.books.open_orders()) for one in self._view.venues.values() if one.books)

    def _pids(self, role: str) -> list[int]:
        children = self._supervisor.children.values()
        return [child.pid for child in children if child.role == role and child.process is not None]

    def _all_ready(self) -> bool:
        return all(self._supervisor.is_ready(name) for name in self._supervisor.children)

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s * self._patience
        self._stops.check()
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._turn("ending")
            time.sleep(0.05)
        return True

    def _turn(self, stage: str, *, supervise: bool = True) -> None:
        """Keep everything going: restarts, the screen's own reading, the picture, a hard stop."""
        self._stops.check()
        if supervise:
            self._supervisor.poll()
        self._view.poll()
        if time.monotonic() >= self._next_refresh_s:
            self._next_refresh_s = time.monotonic() + REFRESH_S
            self._screen.update(stage, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_s


def _sees_marks(view: VenueView, truth: VenueTruth) -> bool:
    """Our ticker rows hold the marks that the venue values positions with."""
    ours = {line.symbol: Decimal(line.mark_mantissa).scaleb(-MONEY_SCALE) for line in view.markets()}
    return all(ours.get(symbol) == mark for symbol, mark in truth.marks.items())


class _Stops:
    """Signals while the demo runs: the first Ctrl-C ends the trading early and the books are still compared; a second
    one, SIGTERM, or a terminal that went away end everything at the next turn."""

    def __init__(self) -> None:
        self.early = False
        self._now = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self, *, even_early: bool = False) -> None:
        """Raises Failure where everything shall end now."""
        if self._now or (even_early and self.early):
            raise Failure("interrupted; everything was torn down", ExitCode.INTERRUPTED)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._now = self._now or self.early or number != signal.SIGINT
        self.early = True


def _processes_started() -> list[int]:
    """Pids of processes that this one's supervisor started: it put its own pid into their environment. One that only
    watches (`corelane top` in another terminal) is none of ours, though it names our config."""
    found, mark = [], f"{placement.PARENT_VARIABLE}={os.getpid()}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended while we looked, or is another user's
    return found


def _remove_stale() -> None:
    """Segments of demos that were killed with SIGKILL: their name carries the pid of one that is gone."""
    for name in Segment.names(f"/corelane.{INSTANCE_PREFIX}"):
        pid = name.removeprefix(f"/corelane.{INSTANCE_PREFIX}").partition(".")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            Segment.remove(name)
