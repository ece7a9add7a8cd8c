"""Logs of a process: JSON lines into its own file, short lines for people on stderr.

The rule: standard `logging`, set up once per process, and no log call on a hot path. One file has one writer, so its
rotation needs no lock. Called by `app_service.py`.
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


def open_log(process: str, config: LogConfig, *, stderr: bool = True) -> logging.Logger:
    """The process's logger, with its handlers. Raises OSError where the directory cannot be written."""
    directory = Path(config.directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    logger = logging.getLogger(f"corelane.{process}")
    close_log(logger)
    logger.propagate = False
    logger.setLevel(config.level.upper())
    to_file = _PrivateRotatingFile(
        directory / f"{process}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
    )
    to_file.setFormatter(JsonLines(process))
    logger.addHandler(to_file)
    if stderr:
        to_people = logging.StreamHandler(sys.stderr)
        to_people.setFormatter(HumanLines(process))
        logger.addHandler(to_people)
    return logger


def close_log(logger: logging.Logger) -> None:
    """Flush and let go of the handlers; the logger may be opened again."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
