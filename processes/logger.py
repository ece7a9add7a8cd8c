"""Logger: every process's log ring into one file of JSON lines, and into the journal where systemd runs the set.

Reads log.<process> of every process as an observer. Writes <log directory>/corelane.log, its row and counters. Loop:
backoff. Nobody waits for it: lines that were overwritten before it came are counted, and said in the file as a line of
its own. A restarted logger goes on with what still stands in the rings, so that a line may stand twice, but none that
was still there is missing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from processes import journald
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from processes.log import json_line, rotating_file
from processes.oldest_record import from_oldest
from shm.clock import realtime_offset_ns
from shm.layout import LOG_PLAIN, ProcessState
from shm.records import Log
from shm.ring import BroadcastReader

FILE: Final = "corelane.log"
COUNTERS: Final = ("lines", "lost", "templates_broken", "journal_dropped")
AT_ONCE: Final = 256
"""Lines of one process before the next has its turn."""


def run(service: AppService) -> int:
    """Write until asked to stop; the exit code."""
    return service.run_worker(Logger(service))


class Logger:
    """The worker of the logger process (see AppService.run_worker)."""

    role_name = "logger"

    def __init__(self, service: AppService) -> None:
        self._service = service
        self._rings: list[tuple[str, BroadcastReader]] = []
        self._lost: dict[str, int] = {}
        self._journal: journald.Journald | None = None

    # --- life -------------------------------------------------------------------------------------------------------
    def on_start(self) -> None:
        """Attach all rings, open the file. Raises SegmentError, Failure."""
        service = self._service
        self._counters = service.declare(COUNTERS)
        config = service.config.log
        try:
            self._file = rotating_file(config.directory, FILE)
        except OSError as error:
            raise Failure(f"log.directory: {config.directory}: {error.strerror}", ExitCode.CONFIG) from None
        if journald.wanted(config.journald):
            try:
                self._journal = journald.Journald()
            except OSError as error:
                raise Failure(f"log.journald: {journald.SOCKET}: {error.strerror}", ExitCode.CONFIG) from None
        for process in service.config.processes():
            self._rings.append((process, from_oldest(service.segment(f"log.{process}"))))
        service.set_state(ProcessState.READY)

    def do_work(self) -> int:
        """One round over all rings; how many lines."""
        count = 0
        for process, ring in self._rings:
            taken = 0
            while taken < AT_ONCE and (record := ring.poll()) is not None:
                self._write(record)
                taken += 1
            if ring.lost != self._lost.get(process, 0):
                self._say_lost(process, ring.lost)
            count += taken
        if count:
            self._counters.add("lines", count)
            self._file.flush()
        return count

    def on_close(self) -> None:
        """Take what is there, then close."""
        if not hasattr(self, "_file"):
            return
        while self.do_work():
            pass
        self._file.close()
        if self._journal is not None:
            self._journal.close()

    # --- lines ------------------------------------------------------------------------------------------------------
    def _write(self, record: Log) -> None:
        wall_ns = record.wall_time_ns or record.publish_time_ns + realtime_offset_ns()
        self._put(wall_ns, record.level, _text(record.process), _text(record.logger), self._message(record), record.pid)

    def _put(self, wall_ns: int, level: int, process: str, logger: str, message: str, pid: int) -> None:
        time = datetime.fromtimestamp(wall_ns / 1e9, UTC)
        line = json_line(time, logging.getLevelName(level), process, logger, message)
        self._file.emit(logging.makeLogRecord({"msg": line, "levelno": level}))
        if self._journal is not None:
            before = self._journal.dropped
            self._journal.send(level, message, process, logger, pid)
            if self._journal.dropped != before:
                self._counters.add("journal_dropped")

    def _message(self, record: Log) -> str:
        text = _text(record.text)
        if record.value_count == LOG_PLAIN:
            return text
        try:
            return text.format(*(float(value) for value in record.values[: record.value_count]), id=record.subject)
        except (IndexError, KeyError, ValueError):
            self._counters.add("templates_broken")
            return f"{text} id={record.subject} values={[float(value) for value in record.values]}"

    def _say_lost(self, process: str, lost: int) -> None:
        count, self._lost[process] = lost - self._lost.get(process, 0), lost
        self._counters.add("lost", count)
        now: Any = datetime.now(UTC).timestamp() * 1e9
        message = f"{count} lines of {process} were overwritten before they were read"
        self._put(int(now), logging.WARNING, self.role_name, self.role_name, message, self._service.row.pid)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
