"""Logs of a process: JSON lines into its own file, short lines for people on stderr.

The rule: standard `logging`, set up once per process, and no log call on a hot path. One file has one writer, so its
rotation needs no lock. Opened by app_service.py,
supervisor.py and demo.py.
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

FILE_BYTES = 32 * 1024 * 1024
FILES_KEPT = 5


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, process, logger, message, and the traceback where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
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


class LogManager:
    """The log of one process, from its first to its last line. `logger` is the root of the process's loggers."""

    def __init__(self, process: str, config: LogConfig, *, stderr: bool = True) -> None:
        """Opens the file. Raises Failure where the directory cannot be written."""
        self.logger = logging.getLogger(f"corelane.{process}")
        self.close()
        self.logger.propagate = False
        self.set_level(config.level)
        try:
            directory = Path(config.directory)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            to_file = _PrivateRotatingFile(
                directory / f"{process}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
            )
        except OSError as error:
            raise Failure(f"log.directory: {config.directory}: {error.strerror}", ExitCode.CONFIG) from None
        to_file.setFormatter(JsonLines(process))
        self.logger.addHandler(to_file)
        if stderr:
            to_people = logging.StreamHandler(sys.stderr)
            to_people.setFormatter(HumanLines(process))
            self.logger.addHandler(to_people)

    def set_level(self, level: str) -> None:
        """`level` in the config's words: debug, info, warning, error."""
        self.logger.setLevel(level.upper())

    def close(self) -> None:
        """Flush and let go of the handlers. Idempotent; the logger itself stays and says nothing any more."""
        for handler in list(self.logger.handlers):
            self.logger.removeHandler(handler)
            handler.close()
