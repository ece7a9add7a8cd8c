"""The order journal: every request and event of a trading engine, in files that survive a killed process.

A journal is a series of files `<path>.000001`, `<path>.000002`, …, each a file-backed ring that is never lapped: when
it is full the next one begins. So the crash rules are those of ring.pyx: a record is there whole or not at all, and a
restarted writer goes on behind the last whole one.

What it promises: kill -9 loses nothing that append() returned for, because the pages belong to the kernel. A power cut
may lose what was not flushed yet, any page of it; each slot ends with a CRC-32 of its record, so a slot of which only a
part reached the disk is skipped and said, never believed. flush() is what bounds that loss: the caller chooses its
interval, and may call it from another thread, since it holds the interpreter only between its system calls.
What it costs: one record copy and one CRC an append. The next file is made by flush() once the newest is half full, so
that append() itself makes one (some 2 ms) only where nobody flushes.
Size bound: at most `keep_files` files; the oldest is removed when a new one is begun, and the log says so. The default
is 6 GiB of records, about 17 million: choose it by how far back fills and day PnL must be readable.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from shm.journal_slots import JournalSlots
from shm.layout import (
    HEADER_SIZE,
    JOURNAL_CHECK_SIZE,
    JOURNAL_STRIDE,
    LAYOUT_HASH,
    LAYOUT_VERSION,
    MAGIC,
    SEGMENT_HEADER,
    SegmentKind,
)
from shm.record import Record
from shm.ring import BroadcastReader
from shm.segment import Segment, SegmentError, check_header

SLOTS_PER_FILE: Final = 1 << 14
"""16,384 slots of 384 bytes: 6 MiB a file."""
KEEP_FILES: Final = 1024
UNSYNCED_FILES: Final = 4
"""Full files that may wait for a flush() beside the path before append() does it itself."""

_LOG: Final = logging.getLogger(__name__)


class JournalError(Exception):
    """A journal cannot be opened; the text says which file and why."""


class _File:
    """One mapped file of the series, open for appending."""

    def __init__(self, path: Path, number: int, slots: int, base: int) -> None:
        """Open `number` of the series at `path`, or make it as one that follows `base` records."""
        self.path = path.with_name(f"{path.name}.{number:06d}")
        self.number = number
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be opened: {error.strerror}") from None
        try:
            if not any(os.pread(self.fd, 8, 0)):
                _write_header(self.fd, slots, base)
            mapping = mmap.mmap(self.fd, os.fstat(self.fd).st_size, mmap.MAP_SHARED)
            segment = _checked(str(self.path), mapping)
            self.base = int(segment.header["tail"][0])
            slots_of_file = JournalSlots(segment, self.base)
        except OSError as error:
            os.close(self.fd)
            raise JournalError(f"journal {self.path} cannot be written: {error.strerror}") from None
        except (SegmentError, ValueError) as error:
            os.close(self.fd)
            raise JournalError(f"journal {self.path} cannot be used: {error}") from None
        self.ring, self.append = slots_of_file.ring, slots_of_file.append

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class JournalWriter:
    """Appends to the newest file of the series. One writer: the process lock of its owner guards it."""

    def __init__(self, path: Path, slots_per_file: int = SLOTS_PER_FILE, keep_files: int = KEEP_FILES) -> None:
        """`slots_per_file` a power of two. Raises JournalError."""
        if keep_files < 2:
            raise JournalError(f"journal {path}: keep_files is {keep_files}, at least 2 are expected")
        if slots_per_file < 2 or slots_per_file & (slots_per_file - 1):
            raise JournalError(f"journal {path}: {slots_per_file} slots a file, a power of two was expected")
        self._path, self._slots, self._keep = path, slots_per_file, keep_files
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise JournalError(f"journal folder {path.parent} cannot be made: {error.strerror}") from None
        self._making = threading.Lock()  # flush() may run in another thread; append() takes it once a file
        self._next: _File | None = None
        self._full: list[_File] = []
        self._file = self._newest()
        self._remove_oldest()

    def _newest(self) -> _File:
        """The last file with a record in it: a later empty one was made ahead, or by a killed process."""
        numbers = [_number(file) for file in _files(self._path)]
        if not numbers:
            return _File(self._path, 1, self._slots, 0)
        for number in reversed(numbers):
            file = _File(self._path, number, self._slots, 0)
            if file.ring.published or number == numbers[0]:
                return file
            file.close()
            file.path.unlink()
        raise AssertionError("unreachable")

    def append(self, record: Record) -> int:
        """Append as it is (no time is stamped) and return its place in the series, from 1.

        Raises JournalError where a new file is due and cannot be made; nothing was appended then.
        """
        return self._file.append(record) or self._append_to_next(record)

    def _append_to_next(self, record: Record) -> int:
        self._begin_next()
        return self._file.append(record)

    def _begin_next(self) -> None:
        with self._making:
            following = self._next or self._make_next()
            self._next = None
            self._full.append(self._file)
            self._file = following
        if len(self._full) > UNSYNCED_FILES:
            self.flush()

    def _make_next(self) -> _File:
        following = _File(self._path, self._file.number + 1, self._slots, self._file.base + self._file.ring.capacity)
        self._remove_oldest()
        return following

    def _remove_oldest(self) -> None:
        for file in _files(self._path)[: -self._keep]:
            _LOG.warning("journal %s: %s is removed, %d files are kept", self._path, file.name, self._keep)
            file.unlink(missing_ok=True)

    def flush(self) -> None:
        """Write what was appended to the disk, and make the next file if it will be needed soon.

        Blocks for as long as the disk takes without holding the interpreter: call it beside the path.
        """
        with self._making:
            file = self._file
            if self._next is None and 2 * file.ring.published >= file.ring.capacity:
                self._next = self._make_next()
            full, self._full = self._full, []
            descriptor = os.dup(file.fd)  # of its own: append() may begin the next file meanwhile
        try:
            for done in full:
                os.fdatasync(done.fd)
                done.close()
            os.fdatasync(descriptor)
        except OSError as error:
            raise JournalError(f"journal {self._path} could not be written to the disk: {error.strerror}") from None
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self.flush()
        self._file.close()
        if self._next is not None:
            self._next.close()


def read_journal(path: Path) -> Iterator[Any]:
    """Every whole record of the series at `path`, oldest first, each a new object; `.sequence` = place in the series.

    A slot that a power cut left in part is skipped and logged. May be read while a writer appends.
    Raises JournalError where a file is not a journal of this build.
    """
    for file in _files(path):
        try:
            with file.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size < HEADER_SIZE or not any(stream.read(8)):
                    continue  # its maker died before the first record
                # Private: the ring classes want memory they could write to; not one byte is.
                mapping = mmap.mmap(stream.fileno(), size, mmap.MAP_PRIVATE)
            segment = _checked(str(file), mapping)
        except SegmentError as error:
            raise JournalError(str(error)) from None
        except OSError as error:
            raise JournalError(f"journal {file} cannot be read: {error.strerror}") from None
        yield from _whole_records(segment)


def _whole_records(segment: Segment) -> Iterator[Any]:
    reader = BroadcastReader(segment, from_sequence=1)
    checks = memoryview(segment.buffer).cast("B").cast("Q")
    base = int(segment.header["tail"][0])
    hole = 0

    def whole(slot: int) -> Any:
        """The record of a slot; None where there is none, or a damaged one."""
        try:
            record = reader.at(slot)
        except SegmentError:
            return None
        check = checks[(HEADER_SIZE + slot * JOURNAL_STRIDE - JOURNAL_CHECK_SIZE) // 8]
        return record if record is not None and zlib.crc32(record) == check else None

    for slot in range(1, reader.capacity + 1):
        if whole(slot) is None:
            hole = hole or slot
            continue
        damaged = 0
        for place in range(hole or slot, slot + 1):
            record = whole(place)  # a live writer may have filled the hole since we looked: that is no damage
            if record is None:
                damaged += 1
                continue
            copy = record.copy()
            copy.sequence = base + place
            yield copy
        if damaged:
            first, last = base + hole, base + slot - 1
            _LOG.warning("journal %s: records %d to %d are damaged and skipped", segment.name, first, last)
        hole = 0
    if hole and reader.at(hole) is not None and whole(hole) is None:
        _LOG.warning("journal %s: record %d is damaged and skipped", segment.name, base + hole)


def _checked(name: str, mapping: mmap.mmap) -> Segment:
    """The mapped file as a segment, its header and slot size compared with this build's. Raises SegmentError."""
    if len(mapping) < HEADER_SIZE:
        raise SegmentError(f"journal {name} has {len(mapping):,} bytes, a header alone has {HEADER_SIZE:,}")
    segment = Segment(name, mapping)
    check_header(name, segment.header[0], len(mapping), SegmentKind.JOURNAL)
    if segment.stride != JOURNAL_STRIDE:
        raise SegmentError(f"journal {name} has slots of {segment.stride} bytes, {JOURNAL_STRIDE} were expected")
    return segment


def _write_header(fd: int, slots: int, base: int) -> None:
    """Take the space and describe it; the magic comes last, so that a killed maker leaves a file without one."""
    size = HEADER_SIZE + slots * JOURNAL_STRIDE
    os.ftruncate(fd, 0)
    os.posix_fallocate(fd, 0, size)
    header = np.zeros(1, dtype=SEGMENT_HEADER)
    header["layout_version"], header["segment_kind"] = LAYOUT_VERSION, SegmentKind.JOURNAL
    header["layout_hash"], header["capacity"] = LAYOUT_HASH, slots
    header["stride"], header["total_size"] = JOURNAL_STRIDE, size
    header["tail"], header["magic"] = base, MAGIC
    data = header.tobytes()
    os.pwrite(fd, data[8:], 8)
    os.pwrite(fd, data[:8], 0)


def _number(file: Path) -> int:
    return int(file.suffix[1:])


def _files(path: Path) -> list[Path]:
    return sorted((file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit()), key=_number)
