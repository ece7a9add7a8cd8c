"""The order journal: every request and event of a trading engine, in files that survive a killed process.

A journal is a series of files `<path>.000001`, `<path>.000002`, …, each a file-backed ring that is never lapped: when it
is full the next one begins. So the crash rules are those of ring.pyx: a record is there whole or not at all, and a
restarted writer goes on behind the last whole one.

What it promises: kill -9 loses nothing that append() returned for, because the pages belong to the kernel. A power cut
may lose what was not flushed yet; flush() starts writing back (the caller chooses the interval and says it).
What it costs: one record copy an append; a new file of `SLOTS_PER_FILE` slots, its space taken in advance, each time
one is full.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from shm.layout import (
    HEADER_SIZE,
    JOURNAL_KINDS,
    LAYOUT_HASH,
    LAYOUT_VERSION,
    MAGIC,
    SEGMENT_HEADER,
    SegmentKind,
    slot_stride,
)
from shm.record import Record
from shm.ring import BroadcastReader, BroadcastWriter
from shm.segment import Segment, SegmentError, check_header

SLOTS_PER_FILE: Final = 1 << 14
"""16,384 records of 384 bytes: 6 MiB a file, taken in some 2 ms."""


class JournalError(Exception):
    """A journal cannot be opened; the text says which file and why."""


class JournalWriter:
    """Appends to the newest file of the series. One writer: the process lock of its owner guards it."""

    def __init__(self, path: Path, slots_per_file: int = SLOTS_PER_FILE) -> None:
        self._path = path
        self._slots = slots_per_file
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = _files(path)
        self._number = _number(files[-1]) if files else 1
        self._open()

    def _open(self) -> None:
        file = self._path.with_name(f"{self._path.name}.{self._number:06d}")
        stride = slot_stride(*JOURNAL_KINDS)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size == 0 or not any(os.pread(fd, 8, 0)):
                size = HEADER_SIZE + self._slots * stride
                os.posix_fallocate(fd, 0, size)
                header = np.zeros(1, dtype=SEGMENT_HEADER)
                header["layout_version"], header["segment_kind"] = LAYOUT_VERSION, SegmentKind.JOURNAL
                header["layout_hash"], header["capacity"] = LAYOUT_HASH, self._slots
                header["stride"], header["total_size"] = stride, size
                header["magic"] = MAGIC
                os.pwrite(fd, header.tobytes()[8:], 8)
                os.pwrite(fd, header.tobytes()[:8], 0)
            self._mapping = mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED)
        except OSError as error:
            raise JournalError(f"journal {file} cannot be written: {error.strerror}") from None
        finally:
            os.close(fd)
        segment = Segment(str(file), self._mapping)
        try:
            check_header(str(file), segment.header[0], len(self._mapping), SegmentKind.JOURNAL)
            self._writer = BroadcastWriter(segment)
        except SegmentError as error:
            raise JournalError(str(error)) from None

    def append(self, record: Record) -> int:
        """Append as it is (no time is stamped) and return its place in the series, from 1."""
        if self._writer.published == self._writer.capacity:
            self.flush()
            self._number += 1
            self._open()
        return (self._number - 1) * self._slots + self._writer.publish(record, stamp=False)

    def flush(self) -> None:
        """Write what was appended to the disk; blocks for as long as the disk takes, so call it beside the path."""
        self._mapping.flush()

    def close(self) -> None:
        self.flush()


def read_journal(path: Path) -> Iterator[Any]:
    """Every whole record of the series at `path`, oldest first, each a new object with `.sequence` = place in its file.

    Raises JournalError where a file is not a journal of this build.
    """
    for file in _files(path):
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < HEADER_SIZE or not any(stream.read(8)):
                continue  # its maker died before the first record
            mapping = mmap.mmap(stream.fileno(), size, mmap.MAP_PRIVATE)
        segment = Segment(str(file), mapping)
        try:
            check_header(str(file), segment.header[0], size, SegmentKind.JOURNAL)
        except SegmentError as error:
            raise JournalError(str(error)) from None
        reader = BroadcastReader(segment, from_sequence=1)
        while (record := reader.poll()) is not None:
            yield record.copy()


def _number(file: Path) -> int:
    return int(file.suffix[1:])


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit())
