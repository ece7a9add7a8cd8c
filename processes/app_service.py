"""The same life for every process: load config → lock → pin → attach → READY → run → stop within a bound → exit code.

The rule: a process main wires its parts and hands over a coroutine or a worker; signals, control, heartbeat, watchdog,
garbage collection and the truthful exit code are here, once. The lock is taken before any segment or socket is touched,
so a second copy of a process changes nothing. Called by `cli.py`; every `processes/<role>.py` gets one.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol, Self

import uvloop

from processes import crash_report, journald, placement
from processes.config import Config
from processes.control import ControlError, ControlServer, Handler
from processes.exit_codes import ExitCode, Failure, explain
from processes.log import LogManager
from processes.sd_notify import Notifier
from shm import wait
from shm.clock import monotonic_ns, realtime_offset_ns
from shm.counters import Counters
from shm.doorbell import Doorbell
from shm.instance import Instance
from shm.layout import REASON_TEXT_SIZE, ProcessState
from shm.lock import ProcessLock
from shm.log_ring import LogRing
from shm.records import ProcessRow
from shm.segment import Segment
from shm.table import TableWriter
from shm.wait import WaitStrategy

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
HEARTBEAT_NS: Final = 100_000_000
CONTROL_NS: Final = 5_000_000
"""How often a plain loop looks at its control socket: a look costs about a microsecond."""
STOP_S: Final = 8.0
"""From SIGTERM to the end. Below systemd's and the supervisor's patience, so that the exit code is still ours."""
LATE_NS: Final = 3 * HEARTBEAT_NS
YOUNG_OBJECTS: Final = 20_000
"""A loop that is never idle collects the youngest generation when it has this many objects."""
RESTARTS_VARIABLE: Final = "CORELANE_RESTARTS"
"""Set by the supervisor: how often it started this process again."""


class Worker(Protocol):
    """One bounded unit of work at a time; the runner owns the loop, the waiting and the end."""

    @property
    def role_name(self) -> str: ...
    def on_start(self) -> None: ...
    def do_work(self) -> int:
        """Do what is there to do, without waiting; how much it was (0 lets the runner wait)."""
        ...

    def on_close(self) -> None: ...


class AppService:
    """What a process has from its first to its last moment. Use as a context manager around the process main.

    Not thread-safe: everything here is called from the process's main thread.
    """

    def __init__(self, process: str, config: Config, *, log_to_stderr: bool = True) -> None:
        """Nothing is opened yet; `open()` does, and every method that needs it calls it."""
        self.process = process
        self.config = config
        self.instance = Instance(
            config.instance.name,
            config.instance.number,
            Path(config.instance.run_dir),
            Path(config.instance.state_dir),
        )
        self.log: logging.Logger = logging.getLogger(f"corelane.{process}")
        self.row = ProcessRow()
        self.stop_requested = False
        self.stuck = ""
        """What of this process does not go on although its loop turns; the watchdog is not fed meanwhile."""
        self.stopping = asyncio.Event()
        self._log_to_stderr = log_to_stderr
        self._log_manager: LogManager | None = None
        self.log_ring: LogRing
        """For lines from a hot path, once this service is open."""
        self._opened = False
        self._counters: Counters | None = None
        self._lock: ProcessLock | None = None
        self._control: ControlServer | None = None
        self._status: TableWriter | None = None
        self._status_row = -1
        self._handlers: dict[str, Handler] = {}
        self._notifier = Notifier()
        self._frozen = False
        self._living = False
        self._doorbell: Doorbell | None = None
        self._last_beat_ns = 0
        self._beats_sent = 0
        self._lost: Failure | None = None
        self._last_collection_ns = 0
        self._next_watchdog_ns = 0

    # --- life -------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def live(self, body: Callable[[], int]) -> int:
        """Open, run `body` (a process main), close; the exit code. A failure that is understood is one logged sentence.

        Raises only where nothing could be opened, so nothing could be logged.
        """
        outermost, self._living = not self._living, True
        code: int = ExitCode.OK
        try:
            with _signals(self._on_signal) if outermost else contextlib.nullcontext():
                self.open()
                code = body()
            if self._lost is not None:
                raise self._lost
            if code == ExitCode.OK:
                self.set_state(ProcessState.STOPPED)
        except (Exception, KeyboardInterrupt) as error:
            code = self._failed(error)
        finally:
            if outermost:
                self._living = False
                self.close()
        return code

    def open(self) -> None:
        """Lock, log, place, attach the status table, bind control. Raises what `exit_codes.explain` knows."""
        if self._opened:
            return
        self._lock = ProcessLock(self.instance.lock_folder, self.process)
        self._opened = True
        self._log_manager = LogManager(self.process, self.config.log, stderr=self._log_to_stderr)
        # A hung loop that the watchdog shoots (SIGABRT), and a fault of compiled code, say on stderr where they were.
        if not faulthandler.is_enabled():
            faulthandler.enable()
        placement.name_thread(self.process)
        for sentence in placement.place(self.config, self.process):
            self.log.warning(sentence)
        self._status_row = self.instance.process_row(self.process)
        self._status = TableWriter(self.segment("status"), row=self._status_row)
        self._fill_row()
        self.log_ring = LogRing(self.segment(f"log.{self.process}"), self.process)
        journaled = self.config.observers.logger and journald.wanted(self.config.log.journald)
        self._log_manager.attach(self.log_ring, journaled=journaled)
        self._control = ControlServer(
            self.config.instance.run_dir, self.process, self.log, placement.housekeeping_cores(self.config)
        )
        self._control.on("status", self._answer_status)
        self._control.on("shutdown", self._answer_shutdown)
        self._control.on("log-level", self._answer_log_level)
        for command, handler in self._handlers.items():
            self._control.on(command, handler)
        self.set_state(ProcessState.STARTING)

    def close(self) -> None:
        """Unbind, detach, unlock, in this order. Idempotent; the state that was set last stays readable."""
        if not self._opened:
            return
        self._opened = False
        if self._control is not None:
            self._control.close()
        if self._status is not None:
            self._write_row(monotonic_ns())
        self._status = None
        self._counters = None
        if self._doorbell is not None:
            self._doorbell.close()
        if self._log_manager is not None:
            self._log_manager.detach()
        self.instance.close()
        self._notifier.close()
        if self._log_manager is not None:
            self._log_manager.close()
        if self._lock is not None:
            self._lock.release()

    # --- parts ------------------------------------------------------------------------------------------------------
    def segment(self, logical: str) -> Segment:
        """The attached segment of that logical name (like "binance.market"); closed at the end. Raises SegmentError."""
        self.open()
        return self.instance.segment(logical)

    def declare(self, counters: Iterable[str] = (), histograms: Iterable[str] = ()) -> Counters:
        """Name this process's counters and histograms, once, before it runs."""
        if self._counters is not None:
            raise RuntimeError(f"{self.process}: counters are declared twice")
        self._counters = Counters(
            self.segment(f"counters.{self.process}"),
            counters=[*counters, "heartbeats", "heartbeats_late", "control_commands"],
            histograms=[*histograms, "heartbeat_delay"],
        )
        return self._counters

    @property
    def counters(self) -> Counters:
        """The declared counters; a process that declared none has those of its life only."""
        return self._counters if self._counters is not None else self.declare()

    def on_control(self, command: str, handler: Handler) -> None:
        """Answer a control command; the handler runs in the process's own loop and may raise ControlError."""
        self._handlers[command] = handler
        if self._control is not None:
            self._control.on(command, handler)

    def wait_strategy(self, rings: Iterable[Any] = ()) -> WaitStrategy:
        """What the config says this process does when there is no work. `rings`: ring readers that it sleeps on."""
        match self.config.core(self.process).wait:
            case "spin":
                return wait.BusySpin()
            case "yield":
                return wait.Yielding()
            case "doorbell":
                return wait.DoorbellWait(self.doorbell(rings))
            case _:
                return wait.Backoff()

    def doorbell(self, rings: Iterable[Any] = ()) -> Doorbell:
        """This process's one doorbell, sleeping on these readers too; serves an event loop by its fileno()."""
        self.open()
        if self._doorbell is None:
            self._doorbell = Doorbell(self.instance.bell_folder, self.instance.process_row(self.process))
        for ring in rings:
            self._doorbell.add(ring)
        return self._doorbell

    # --- state ------------------------------------------------------------------------------------------------------
    def set_state(self, state: ProcessState, text: str = "") -> None:
        """Publish a state, with the sentence that says why it is not READY. The first READY is told to systemd."""
        changed = self.row.state != state or self.row.text != _row_text(text)
        self.row.state = int(state)
        self.row.text = _row_text(text)
        if not changed:
            return
        self.log.info("%s%s", state.name, f": {text}" if text else "")
        if state is ProcessState.READY and not self._frozen:
            self._became_ready()
        self._notifier.send(f"STATUS={state.name} {text}".strip())
        self.heartbeat()

    def heartbeat(self) -> None:
        """Write this process's row now. The runners do it every 100 ms; a long on_close() may do it itself."""
        now = monotonic_ns()
        if self._last_beat_ns and self._counters is not None:
            delay = now - self._last_beat_ns - HEARTBEAT_NS
            self._counters.histogram("heartbeat_delay").record(max(delay, 0))
            self._counters.add("heartbeats")
            if delay > LATE_NS:
                self._counters.add("heartbeats_late")
        self._last_beat_ns = now
        self._write_row(now)
        self._look_at_segments()
        if self._notifier.watchdog_interval_s and now >= self._next_watchdog_ns:
            self._next_watchdog_ns = now + int(self._notifier.watchdog_interval_s * 1e9)
            if self.stuck:
                self.log.error("the watchdog is not fed: no attempts to connect any more by %s", self.stuck)
            else:
                self._notifier.send("WATCHDOG=1")

    def _look_at_segments(self) -> None:
        """Who removes shared memory (systemd's RemoveIPC, when a session of this user ends) leaves us with pages that
        nobody else sees: end in order, and say so. One segment a beat, so within a few seconds."""
        self._beats_sent += 1
        if self._lost is None and (name := self.instance.lost_segment(self._beats_sent)) is not None:
            self._lost = Failure(
                f"segment {name} was removed while this process used it; `corelane shm create` makes it again",
                ExitCode.SHARED_MEMORY,
            )
            self.log.error("%s", self._lost)
            self.request_stop()

    def request_stop(self) -> None:
        """Ask the loop to end; what SIGTERM, SIGINT and the control command `shutdown` do."""
        self.stop_requested = True
        self.stopping.set()

    def _fill_row(self) -> None:
        core = self.config.core(self.process).core
        self.row.process = self.process.encode()
        self.row.pid = os.getpid()
        self.row.core = -1 if core is None or os.sched_getaffinity(0) != {core} else core
        self.row.start_time_ns = monotonic_ns()
        restarts = os.environ.get(RESTARTS_VARIABLE, "0")
        self.row.restarts = int(restarts) if restarts.isdigit() else 0

    def _write_row(self, now: int) -> None:
        if self._status is None:
            return
        self.row.heartbeat_time_ns = now
        self.row.clock_offset_ns = realtime_offset_ns()
        self._status.write(self._status_row, self.row)

    def _became_ready(self) -> None:
        """What was built until now lives as long as the process: the collector need never look at it again."""
        self._frozen = True
        self.row.ready_time_ns = monotonic_ns()
        gc.collect()
        gc.freeze()
        self._notifier.send("READY=1")

    # --- runners ----------------------------------------------------------------------------------------------------
    def run_async(self, main: Callable[[AppService], Awaitable[None]]) -> int:
        """Run a coroutine under uvloop until it returns or a stop was asked for; the exit code."""

        def body() -> int:
            uvloop.run(self._main(main))
            return ExitCode.OK

        return self.live(body)

    def run_worker(self, worker: Worker) -> int:
        """Run a worker in a plain loop with this process's wait strategy until a stop was asked for; the exit code.

        A worker with an `exit_code` that is not 0 has set the state that it leaves behind in its on_close().
        """

        def body() -> int:
            self._loop(worker)
            return int(getattr(worker, "exit_code", ExitCode.OK))

        return self.live(body)

    def _failed(self, error: BaseException) -> ExitCode:
        """Say once what ended this process, in its row, its log and its exit code."""
        known = explain(error)
        sentence, code = known or (f"{type(error).__name__}: {error}", ExitCode.CRASH)
        if not self._opened:  # nothing is ours yet: neither the log file nor the row
            raise error
        if known is None:
            report = crash_report.write(self.process, self.config, self.instance, self.row, error)
            self.log.critical("crashed: %s; report: %s", sentence, report or "could not be written", exc_info=error)
        elif error is not self._lost:  # which was said when it was found
            self.log.error("%s", sentence)
        self.row.state, self.row.text = int(ProcessState.FAILED), _row_text(sentence)
        self._notifier.send(f"STATUS=FAILED {sentence}")
        self._write_row(monotonic_ns())
        return code

    async def _main(self, main: Callable[[AppService], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self._library_threads())
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request_stop)
        assert self._control is not None
        loop.add_reader(self._control.fileno(), self._poll_control)
        gc.set_threshold(YOUNG_OBJECTS, 20, 50)
        work = asyncio.ensure_future(main(self))
        beats = asyncio.ensure_future(self._beats())
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({work, beats, stop}, return_when=asyncio.FIRST_COMPLETED)
            if beats.done():
                beats.result()
            if not work.done():
                self._say_stopping()
                await asyncio.wait({work}, timeout=STOP_S)
            if not work.done():
                self._end_hard_after(STOP_S / 4)
                raise self._too_late()
            work.result()
        finally:
            loop.remove_reader(self._control.fileno())
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, self._on_signal)
            for task in (work, beats, stop):
                task.cancel()
            # What it was worth is known by now; here it is only kept from being "never retrieved".
            await asyncio.wait(
                {asyncio.ensure_future(asyncio.gather(work, beats, stop, return_exceptions=True))}, timeout=2
            )

    def _too_late(self) -> Failure:
        return Failure(f"{self.process} did not stop within {STOP_S:g} s", ExitCode.STOP_TIMEOUT)

    def _end_hard_after(self, seconds: float) -> None:
        """A task that swallows its cancellation would keep the event loop from closing: leave without it."""

        def leave() -> None:
            self._failed(self._too_late())
            self.close()
            os._exit(ExitCode.STOP_TIMEOUT)

        timer = threading.Timer(seconds, leave)
        timer.daemon = True
        timer.start()

    async def _beats(self) -> None:
        while True:
            self.heartbeat()
            self._poll_control()
            await asyncio.sleep(HEARTBEAT_NS / 1e9)

    def _library_threads(self) -> ThreadPoolExecutor:
        """Threads for what a library must block in (name look-ups), kept off the pinned core."""
        cores = placement.housekeeping_cores(self.config)
        return ThreadPoolExecutor(2, initializer=lambda: os.sched_setaffinity(0, cores))

    def _loop(self, worker: Worker) -> None:
        try:
            worker.on_start()
            self._turn(worker.do_work, self.wait_strategy(getattr(worker, "rings", ())))
            self._say_stopping()
        finally:
            gc.enable()
            with _bound(STOP_S, self._too_late()):
                worker.on_close()

    def _turn(self, do_work: Callable[[], int], waiting: WaitStrategy) -> None:
        """The loop itself. One clock read a turn is what the heartbeat and control cost."""
        gc.disable()
        idle = waiting.idle
        next_control = next_beat = 0
        idle_since_beat = False
        while not self.stop_requested:
            count = do_work()
            if not count:
                idle_since_beat = True
            now = monotonic_ns()
            if now >= next_control:
                next_control = now + CONTROL_NS
                count += self._poll_control()
                if now >= next_beat:
                    next_beat = now + HEARTBEAT_NS
                    self.heartbeat()
                    self._collect(now, idle_since_beat)
                    idle_since_beat = False
            idle(count)

    def _collect(self, now: int, was_idle: bool) -> None:
        """Collect garbage when nobody waits for us, or when a loop that is never idle has made too much of it."""
        if was_idle and now - self._last_collection_ns > 1_000_000_000:
            self._last_collection_ns = now
            gc.collect(1)
        elif gc.get_count()[0] > YOUNG_OBJECTS:
            gc.collect(0)

    def _poll_control(self) -> int:
        assert self._control is not None
        answered = self._control.poll()
        if answered:
            self.counters.add("control_commands", answered)
        return answered

    def _say_stopping(self) -> None:
        self._notifier.send("STOPPING=1")
        self.set_state(ProcessState.STOPPING)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request_stop()

    # --- control ----------------------------------------------------------------------------------------------------
    def _answer_status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        """What every process answers to `status`; one that has more to say answers with this and that."""
        return {
            "state": ProcessState(self.row.state).name,
            "text": self.row.text.decode("utf-8", "replace"),
            "pid": os.getpid(),
            "core": self.row.core,
            "uptime_s": round((monotonic_ns() - self.row.start_time_ns) / 1e9, 1),
            "restarts": self.row.restarts,
        }

    def _answer_shutdown(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self.log.info("shutdown was asked for over control")
        self.request_stop()
        return {"stopping": True}

    def _answer_log_level(self, arguments: dict[str, Any]) -> dict[str, Any]:
        level = arguments.get("level")
        if level not in ("debug", "info", "warning", "error"):
            raise ControlError(f"level: found {level!r}, expected one of debug, info, warning, error")
        component = str(arguments.get("component", ""))
        assert self._log_manager is not None
        self._log_manager.set_level(str(level), component)
        return {"level": level, "component": component} if component else {"level": level}


def _row_text(sentence: str) -> bytes:
    """As much of it as the row holds, cut between characters."""
    return sentence.encode()[:REASON_TEXT_SIZE].decode("utf-8", "ignore").encode()


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Any:
    """SIGTERM and SIGINT go to `handler` inside, and where they went before afterwards."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def _bound(seconds: float, failure: Failure) -> Any:
    """Raise `failure` inside when it takes longer."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise failure

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
