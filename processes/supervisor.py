"""Starts the whole set as separate processes in the right order, restarts what dies, and leaves nothing behind.

The rule: one owner of the set, who outlives it. Segments are made before the first process and removed after the last;
children end by SIGTERM within a bound, then by SIGKILL; if the supervisor itself is killed, the kernel ends them. Who
dies is started again with growing pauses; so is, under `corelane up`, who hangs (hang_watch.py).
Order: segments → observers → simulators → market servers, engines, position servers → trader, each stage waiting for
READY in the status table. The end goes the other way, so that the trader can still cancel through living engines.
Called by `corelane up` and the demo, which turn its `poll()`; one thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, Self

from processes import placement, secrets, shm_admin
from processes.app_service import RESTARTS_VARIABLE
from processes.config import Config
from processes.config_schema import OBSERVERS
from processes.control import ControlError, ControlServer, ask
from processes.exit_codes import NO_RESTART, ExitCode, Failure
from processes.hang_watch import HANG_S, LAST_WORDS_S, START_S, HangWatch
from processes.log import LogManager
from shm.layout import ProcessState
from shm.lock import AlreadyRunning, ProcessLock
from shm.records import ProcessRow
from shm.segment import SegmentError
from shm.table import TableReader

NAME: Final = "supervisor"
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends the set in order; SIGHUP is a terminal that went away."""
LOG_HEAD: Final = re.compile(r"^(\S+ +(debug|info|warning|error|critical) +\S+ +|corelane: )")
"""What stands before the sentence in a line that a child wrote for people."""
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
"""Longer than AppService.STOP_S: a process that stops in time ends with its own exit code."""
FIRST_BACKOFF_S: Final = 0.25
LONGEST_BACKOFF_S: Final = 10.0
STEADY_S: Final = 60.0
"""A process that ran for this long starts again with the first backoff."""
KEEPS_CREDENTIALS: Final = ("trading_engine", "position_server", "simulator")
SYSTEMD_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd says to the supervisor alone."""
STAGES: Final = (OBSERVERS, ("simulator",), ("market_server", "trading_engine", "position_server"), ("trader",))


@dataclass
class Child:
    """One process of the set, over all its starts."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None
    restarts: int = 0
    started_s: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    next_start_s: float | None = None
    exit_codes: list[int] = field(default_factory=list)
    watch: HangWatch = field(default_factory=HangWatch)

    @property
    def role(self) -> str:
        return self.name.partition(".")[0]

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0


class Supervisor:
    """Owns the set from `start()` to `stop()`. Use as a context manager: leaving it, however, tears everything down."""

    def __init__(
        self, config: Config, logger: logging.Logger, *, errors_to_files: bool = False, shoots_hung: bool = False
    ) -> None:
        """`errors_to_files`: stderr of the children goes to the log directory instead of this terminal. `shoots_hung`:
        who shows no heartbeat for HANG_S is ended and started again; without it stopped processes wait (chaos)."""
        self.config = config
        self.log = logger
        self.instance = shm_admin.instance_of(config)
        self.children = {name: Child(name) for name in config.processes()}
        self.given_up: dict[str, str] = {}
        """Processes that are not started again, each with the sentence that says why."""
        self._errors_to_files = errors_to_files
        self._shoots_hung = shoots_hung
        self._lock: ProcessLock | None = None
        self._status: TableReader | None = None

    def __enter__(self) -> Self:
        """Take the lock of the set and make its segments. Raises AlreadyRunning, SegmentError, Failure."""
        self._lock = ProcessLock(self.instance.lock_folder, NAME)
        try:
            self._make_segments()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _make_segments(self) -> None:
        """Those that are missing; what lives stays as it is. Raises SegmentError."""
        shm_admin.create(self.config)
        self._status = None
        self.instance.close()
        self._status = TableReader(self.instance.segment("status"))

    # --- start ------------------------------------------------------------------------------------------------------
    def start(self, turn: Callable[[], None], *, patient: bool = False) -> None:
        """Start everything in order. `turn` is called while waiting and may raise to give up.

        Raises Failure with the child's own sentence where one ends or does not become READY in time; `patient` goes on
        in the second case, for venues that are down for a while.
        """
        for roles in STAGES:
            stage = [child for child in self.children.values() if child.role in roles]
            for child in stage:
                self._spawn(child)
            deadline = time.monotonic() + START_TIMEOUT_S
            while waiting := [child for child in stage if not self.is_ready(child.name)]:
                turn()
                for child in waiting:
                    self._check_started(child)
                if time.monotonic() > deadline:
                    sentence = "; ".join(self._not_ready(child) for child in waiting)
                    if not patient:
                        raise Failure(sentence, ExitCode.PROCESS_FAILED)
                    self.log.warning("%s; going on without", sentence)
                    break
                time.sleep(0.02)

    def _check_started(self, child: Child) -> None:
        code = child.process.poll() if child.process is not None else None
        if code is None:
            return
        known = code in ExitCode.__members__.values() and code not in (ExitCode.OK, ExitCode.DIFFERENCE)
        raise Failure(
            f"{child.name} ended at its start, {self._ending(child, code)}",
            ExitCode(code) if known else ExitCode.PROCESS_FAILED,
        )

    def _not_ready(self, child: Child) -> str:
        row = self.row(child.name)
        said = f"{ProcessState(row.state).name} {row.text.decode('utf-8', 'replace')}".strip() if row else "nothing yet"
        return f"{child.name} is not READY after {START_TIMEOUT_S:g} s, it says: {said}"

    def _spawn(self, child: Child) -> None:
        child.errors = self._open_errors(child.name) if self._errors_to_files else None
        child.process = subprocess.Popen(
            self.command(child),
            stdin=subprocess.DEVNULL,
            stdout=child.errors,
            stderr=child.errors,
            env=self._environment(child),
            start_new_session=True,  # Ctrl-C is for the supervisor, who ends them in order
        )
        child.started_s = time.monotonic()
        child.next_start_s = None
        child.watch = HangWatch()

    def command(self, child: Child) -> list[str]:
        """How a child is started."""
        role, _, venue = child.name.partition(".")
        words = [role.replace("_", "-"), *([venue] if venue else [])]
        return [sys.executable, "-m", "processes.cli", *words, "--config", self.config.path]

    def _environment(self, child: Child) -> dict[str, str]:
        """This process's own, without what is not the child's business: credentials, systemd's socket."""
        environment = {key: value for key, value in os.environ.items() if self._may_see(child.role, key)}
        root = str(Path(__file__).parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment[placement.PARENT_VARIABLE] = str(os.getpid())
        environment[RESTARTS_VARIABLE] = str(child.restarts)
        return environment

    def _may_see(self, role: str, key: str) -> bool:
        if key in SYSTEMD_VARIABLES:
            return False
        webhook = self.config.monitor.webhook
        if webhook is not None and key == secrets.url_variable(webhook):
            return role == "monitor"
        if key == "CREDENTIALS_DIRECTORY":
            return role in (*KEEPS_CREDENTIALS, "monitor")
        return role in KEEPS_CREDENTIALS or not secrets.ENVIRONMENT_PATTERN.match(key)

    def _errors_path(self, name: str) -> Path:
        return Path(self.config.log.directory) / f"{name}.stderr"

    def _open_errors(self, name: str) -> IO[bytes]:
        path = self._errors_path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("ab")

    # --- while it runs ----------------------------------------------------------------------------------------------
    def poll(self) -> None:
        """Notice who died, and start again whose backoff is over. Call it every 100 ms or so."""
        now = time.monotonic()
        for child in self.children.values():
            code = child.process.poll() if child.process is not None else None
            if code is not None:
                self._died(child, code, now)
            elif child.process is None and child.next_start_s is not None and now >= child.next_start_s:
                child.restarts += 1
                self._spawn(child)
            elif child.process is not None and self._shoots_hung:
                self._look_for_hang(child, child.process, now)

    def _look_for_hang(self, child: Child, process: subprocess.Popen[bytes], now: float) -> None:
        """As systemd's watchdog: SIGABRT, on which it says where it hangs, then SIGKILL."""
        row = self.row(child.name)
        if row is None:
            return
        silent_s, limit_s = child.watch.look(row.heartbeat_time_ns, now), self.hang_limit_s(row)
        if silent_s >= limit_s and not child.watch.aborted:
            child.watch.aborted = True
            self.log.error("%s hangs: no heartbeat for %.0f s; it is shot", child.name, silent_s)
            process.send_signal(signal.SIGABRT)
        elif silent_s >= limit_s + LAST_WORDS_S:
            process.kill()

    def hang_limit_s(self, row: ProcessRow) -> float:
        """How long this process may be without a heartbeat."""
        return START_S if row.state == ProcessState.STARTING else HANG_S

    def _died(self, child: Child, code: int, now: float) -> None:
        child.exit_codes.append(code)
        ending = self._ending(child, code)
        self._forget(child)
        if code in NO_RESTART:
            self.given_up[child.name] = f"{child.name} ended, {ending}; it would end so again and is not restarted"
            self.log.error("%s", self.given_up[child.name])
            return
        if code == ExitCode.RESTART:
            child.next_start_s = now
            self.log.info("%s ended to be started again", child.name)
            return
        if code == ExitCode.SHARED_MEMORY:
            try:
                self._make_segments()
            except SegmentError as error:
                self.log.error("%s", error)
        if now - child.started_s > STEADY_S:
            child.backoff_s = FIRST_BACKOFF_S
        child.next_start_s = now + child.backoff_s
        self.log.warning("%s ended, %s; restart in %.2f s", child.name, ending, child.backoff_s)
        child.backoff_s = min(child.backoff_s * 2, LONGEST_BACKOFF_S)

    def _ending(self, child: Child, code: int) -> str:
        """Exit code or signal, and the last thing the child said where its stderr is kept."""
        try:
            how = (
                f"signal {signal.Signals(-code).name}"
                if code < 0
                else f"exit code {ExitCode(code)} {ExitCode(code).name}"
            )
        except ValueError:
            how = f"exit code {code}"
        said = ""
        if self._errors_to_files:
            with contextlib.suppress(OSError):
                lines = self._errors_path(child.name).read_text("utf-8", "replace").strip().splitlines()
                said = f": {LOG_HEAD.sub('', lines[-1].strip())}" if lines else ""
        return how + said

    def _forget(self, child: Child) -> None:
        child.process = None
        if child.errors is not None:
            child.errors.close()
            child.errors = None

    # --- what the others see ----------------------------------------------------------------------------------------
    def row(self, name: str) -> ProcessRow | None:
        """The process's own row, where it is of the copy that runs now."""
        child, row = self.children[name], ProcessRow()
        if self._status is None or not self._status.read(self.instance.process_row(name), row):
            return None
        return row if row.pid == child.pid else None

    def is_ready(self, name: str) -> bool:
        row = self.row(name)
        return row is not None and row.state in (ProcessState.READY, ProcessState.PAUSED)

    @property
    def restarts(self) -> dict[str, int]:
        return {name: child.restarts for name, child in self.children.items()}

    def living(self) -> list[int]:
        """Pids of children that have not ended; looks at the kernel, not at what was meant."""
        return [
            child.pid for child in self.children.values() if child.process is not None and child.process.poll() is None
        ]

    # --- end --------------------------------------------------------------------------------------------------------
    def stop(self) -> None:
        """End all children in reverse order, remove segments, sockets and doorbells. Idempotent; signals wait."""
        with _signals_wait():
            for roles in reversed(STAGES):
                self._stop_stage([child for child in self.children.values() if child.role in roles])
            self._status = None
            self.instance.close()
            self.instance.remove()
            _sweep(Path(self.config.instance.run_dir), self.children)
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _stop_stage(self, stage: Iterable[Child]) -> None:
        running = [child for child in stage if child.process is not None]
        for child in running:
            assert child.process is not None
            child.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in running:
            assert child.process is not None
            try:
                code = child.process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                self.log.error("%s did not end within %g s and is killed", child.name, STOP_TIMEOUT_S)
                child.process.kill()
                code = child.process.wait()
            child.exit_codes.append(code)
            if code not in (ExitCode.OK, -signal.SIGTERM):
                self.log.warning("%s ended, %s", child.name, self._ending(child, code))
            self._forget(child)


def _sweep(run_dir: Path, names: Iterable[str]) -> None:
    """Socket files and doorbells that killed processes left, and the directories if nothing else is in them."""
    for name in (*names, NAME):
        (run_dir / f"{name}.ctl").unlink(missing_ok=True)
    bells = run_dir / "bells"
    for bell in bells.glob("*.bell"):
        bell.unlink(missing_ok=True)
    for directory in (bells, run_dir):
        with contextlib.suppress(OSError):
            directory.rmdir()


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """A second Ctrl-C must not interrupt the tearing down: it is bounded anyway."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def up(config: Config) -> int:
    """Keep the set of `config` up until SIGTERM, Ctrl-C or `down`; the exit code."""
    log = LogManager(NAME, config.log)
    logger = log.logger
    wanted_end: list[str] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        wanted_end.append(signal.Signals(number).name)

    def shutdown(_arguments: dict[str, Any]) -> dict[str, Any]:
        wanted_end.append("corelane down")
        return {"stopping": True}

    for number in SIGNALS:
        signal.signal(number, on_signal)
    with Supervisor(config, logger, shoots_hung=True) as supervisor:
        control = ControlServer(config.instance.run_dir, NAME, logger, placement.housekeeping_cores(config))
        try:
            control.on("status", lambda _: _status(supervisor))
            control.on("shutdown", shutdown)

            def turn() -> None:
                control.poll()
                if wanted_end:
                    raise _EndedEarly

            with contextlib.suppress(_EndedEarly):
                supervisor.start(turn, patient=True)
                logger.info("the set is up: %s", ", ".join(supervisor.children))
            while not wanted_end:
                supervisor.poll()
                control.poll()
                time.sleep(0.05)
            logger.info("ending: %s", wanted_end[0])
        finally:
            control.close()
    log.close()
    return ExitCode.OK


class _EndedEarly(Exception):
    """The end was asked for while the set still came up."""


def _status(supervisor: Supervisor) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, child in supervisor.children.items():
        row = supervisor.row(name)
        answer[name] = {
            "pid": child.pid,
            "state": ProcessState(row.state).name if row is not None else "NONE",
            "restarts": child.restarts,
        }
    return answer


def down(config: Config) -> int:
    """Ask the supervisor to end and wait until its lock is free. Raises Failure where nothing runs."""
    try:
        ask(config.instance.run_dir, NAME, "shutdown")
    except ControlError as error:
        raise Failure(str(error), ExitCode.NO_ANSWER) from None
    folder = shm_admin.instance_of(config).lock_folder
    deadline = time.monotonic() + len(STAGES) * STOP_TIMEOUT_S + 5
    while time.monotonic() < deadline:
        try:
            ProcessLock(folder, NAME).release()
            return ExitCode.OK
        except AlreadyRunning:
            time.sleep(0.05)
    raise Failure("the set did not end in time; see its logs", ExitCode.STOP_TIMEOUT)
