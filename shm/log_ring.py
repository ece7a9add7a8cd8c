"""Log lines as records in a ring: what a process may say without touching a file.

The rule: a line costs its writer a few stores and nothing ever waits for it. The ring is broadcast, so lines that the
logger process does not take in time are dropped, and it says how many. Formatting is the reader's work: `say` writes
the template and the bare numbers. On a hot path look at the flag first, so that a line nobody wants costs one test:

    if log.debug:
        log.say(DEBUG, b"order {id} polled {0:.1f} us after its publication", order_id, waited_us)

Who calls it: processes/app_service.py makes one per process (its log handler writes whole lines); hot loops `say`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from shm.layout import LOG_PLAIN
from shm.records import Log
from shm.ring import BroadcastWriter

if TYPE_CHECKING:
    from shm.segment import Segment

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
"""The numbers of the standard library's `logging`."""


class LogRing:
    """The writing end of one process's log ring. One thread writes; others must take turns."""

    __slots__ = ("_plain", "_publish", "_template", "_values", "debug", "info")

    def __init__(self, segment: Segment, process: str) -> None:
        self._publish = BroadcastWriter(segment).publish
        self._plain, self._template = Log(), Log()
        for record in (self._plain, self._template):
            record.process, record.pid = process.encode(), os.getpid()
        self._plain.value_count = LOG_PLAIN
        self._template.logger = b"hot"
        self._values = self._template.values
        self.debug = False
        self.info = True
        """Whether lines of this level are wanted; `set_level` moves both."""

    def set_level(self, level: int) -> None:
        self.debug, self.info = level <= DEBUG, level <= INFO

    def say(self, level: int, template: bytes, subject: int = 0, *values: float) -> None:
        """One line from a hot path. `template` names `{id}` (any 64-bit number) and `{0}` … `{3}` (floats)."""
        record = self._template
        record.level, record.text, record.subject = level, template, subject
        record.value_count = len(values)
        for index, value in enumerate(values):
            self._values[index] = value
        self._publish(record)

    def line(self, level: int, logger: bytes, text: bytes, wall_time_ns: int) -> None:
        """One line that is formatted already; cut where it does not fit."""
        record = self._plain
        record.level, record.logger, record.text, record.wall_time_ns = level, logger, text, wall_time_ns
        self._publish(record)
