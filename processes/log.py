"""Logs of a process: JSON lines into its own file, records into its log ring, short lines for people on stderr.

The rule: standard `logging`, set up once per process, and no log call on a hot path (shm/log_ring.py has what may stand
there). One file has one writer, so its rotation needs no lock. Where the logger process runs, `file_level` keeps what
is written on the core of the process itself to the lines that must never be lost. What the packages below say for
themselves (a segment that could not be locked) goes the same ways. Opened by app_service.py, supervisor.py and demo.py.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from processes.config import LogConfig
from processes.exit_codes import ExitCode, Failure
from shm.layout import LOG_TEXT_SIZE, RECORD_DTYPES, RecordKind
from shm.log_ring import LogRing

FILE_BYTES = 32 * 1024 * 1024
FILES_KEPT = 5
LIBRARIES = ("shm", "exchanges", "strategy")
"""Packages with loggers of their own."""
LOGGER_SIZE = RECORD_DTYPES[RecordKind.LOG]["logger"].itemsize


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, process, logger, message, and the traceback where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        time = datetime.fromtimestamp(record.created, UTC)
        return json_line(time, record.levelname, self._process, record.name, record.getMessage(), traceback)


def json_line(time: datetime, level: str, process: str, logger: str, message: str, traceback: str = "") -> str:
    """The one form of a line for machines."""
    line = {
        "time": time.isoformat(timespec="microseconds"),
        "level": level.lower(),
        "process": process,
        "logger": logger,
        "message": message,
    }
    if traceback:
        line["traceback"] = traceback
    return json.dumps(line, ensure_ascii=False)


class HumanLines(logging.Formatter):
    """`12:00:01.250 warning  trader  message`; the traceback stays in the file."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        return f"{time} {record.levelname.lower():<8} {self._process}  {record.getMessage()}"


class _PrivateRotatingFile(RotatingFileHandler):
    """Log files are for their owner: they name positions and orders."""

    def _open(self):  # type: ignore[no-untyped-def]
        return open(
            self.baseFilename, self.mode, encoding=self.encoding, opener=lambda path, flags: os.open(path, flags, 0o600)
        )


def rotating_file(directory: str | Path, name: str) -> RotatingFileHandler:
    """An open, private, rotating file in that directory, which is made where it is missing. Raises OSError."""
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _PrivateRotatingFile(folder / name, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")


class RingHandler(logging.Handler):
    """Each line as a record into the process's log ring, for the logger process."""

    def __init__(self, ring: LogRing) -> None:
        super().__init__()
        self._ring = ring

    def emit(self, record: logging.LogRecord) -> None:
        """logging holds this handler's lock meanwhile, so threads of libraries take turns."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text} ({type(record.exc_info[1]).__name__}; the traceback is in the process's own file)"
        self._ring.line(
            record.levelno, _fitting(record.name, LOGGER_SIZE), _fitting(text, LOG_TEXT_SIZE),
            int(record.created * 1e9),
        )  # fmt: skip


def _fitting(text: str, size: int) -> bytes:
    """As much of it as the field holds, cut between characters; a cut line ends with an ellipsis."""
    data = text.encode()
    if len(data) <= size:
        return data
    return data[: size - 3].decode("utf-8", "ignore").encode() + "…".encode()


class LogManager:
    """The log of one process, from its first to its last line. `logger` is the root of the process's loggers."""

    def __init__(self, process: str, config: LogConfig, *, stderr: bool = True) -> None:
        """Opens the file. Raises Failure where the directory cannot be written."""
        self.logger = logging.getLogger(f"corelane.{process}")
        self._loggers = [self.logger, *map(logging.getLogger, LIBRARIES)]
        self._to_people: logging.Handler | None = None
        self.close()
        self.logger.propagate = False
        for logger in self._loggers:
            logger.setLevel(config.level.upper())
        try:
            to_file = rotating_file(config.directory, f"{process}.log")
        except OSError as error:
            raise Failure(f"log.directory: {config.directory}: {error.strerror}", ExitCode.CONFIG) from None
        to_file.setFormatter(JsonLines(process))
        to_file.setLevel(config.file_level.upper())
        self._ring: LogRing | None = None
        self._add(to_file)
        if stderr:
            self._to_people = logging.StreamHandler(sys.stderr)
            self._to_people.setFormatter(HumanLines(process))
            self._add(self._to_people)

    def attach(self, ring: LogRing, *, journaled: bool = False) -> None:
        """From now on every line goes into this ring too. `journaled`: the logger process puts those of the ring into
        the journal, which is where stderr leads too; errors alone stand in it twice, as they must not depend on it."""
        self._ring = ring
        ring.set_level(self.logger.level)
        self._add(RingHandler(ring))
        if journaled and self._to_people is not None:
            self._to_people.setLevel(logging.ERROR)

    def detach(self) -> None:
        """Let go of the ring, before its segment is unmapped."""
        for logger in self._loggers:
            for handler in [one for one in logger.handlers if isinstance(one, RingHandler)]:
                logger.removeHandler(handler)
        if self._to_people is not None:
            self._to_people.setLevel(logging.NOTSET)
        self._ring = None

    def set_level(self, level: str, component: str = "") -> None:
        """`level` in the config's words: debug, info, warning, error. `component`: a part of the process only, like
        the name of a strategy; empty: all of it that has no level of its own."""
        logger = self.logger.getChild(component) if component else self.logger
        logger.setLevel(level.upper())
        if not component and self._ring is not None:
            self._ring.set_level(logger.level)

    def close(self) -> None:
        """Flush and let go of the handlers. Idempotent; the logger itself stays and says nothing any more."""
        for logger in self._loggers:
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()

    def _add(self, handler: logging.Handler) -> None:
        for logger in self._loggers:
            logger.addHandler(handler)
