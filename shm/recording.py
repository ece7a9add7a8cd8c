"""Recordings: records of many rings in one append-only file, in blocks that are whole or not there.

    file    = head (64 bytes) + description (JSON) + block*
    block   = head (56 bytes: length, records, first and last time, checksum) + entry*
    entry   = head (16 bytes: source, size, sequence) + the record's own bytes; size 0: `sequence` records were missed

The rules
- A block is written by one call and carries a CRC-32 of its contents. A killed writer leaves at most one torn block, at
  the end; a damaged one in the middle is skipped and counted.
- The description holds the dtype of every kind of record, so a file can be read after the layout has changed.
- `<file>.index` has a line per block (offset and times). It is a help only: where it is missing, short or wrong, the
  heads of the blocks are walked instead.
Times are CLOCK_MONOTONIC ns, as in the records; each block's head says what UTC was then.

Who calls it: processes/recorder.py writes, processes/replay.py reads.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from shm.clock import monotonic_ns, realtime_offset_ns
from shm.layout import LAYOUT_HASH, LAYOUT_VERSION, RECORD_DTYPES
from shm.record import Record

FILE_MAGIC: Final = b"CLRECRD1"
BLOCK_MAGIC: Final = b"CLRB"
_FILE: Final = struct.Struct("<8sIIQqq24x")  # magic, layout version, description length, layout hash, begin, UTC offset
_BLOCK: Final = struct.Struct("<4sIIIqqqqQ")  # magic, length, records, crc, first, last, UTC offset, missed, number
_ENTRY: Final = struct.Struct("<HHIQ")  # source, size, zero, sequence
_INDEX: Final = struct.Struct("<QqqI4x")  # offset, first, last, records


class RecordingError(Exception):
    """A file that is not a recording, or cannot be read or made; one sentence."""


class Entry(NamedTuple):
    """One record of a recording. `data` is empty where `missed` says that so many were lost to the recorder here."""

    source: str
    sequence: int
    kind: int
    data: bytes
    missed: int = 0


@dataclass(frozen=True)
class BlockHead:
    offset: int
    """Of the block's entries in the file."""
    length: int
    records: int
    checksum: int
    first_time_ns: int
    last_time_ns: int
    utc_offset_ns: int
    """CLOCK_REALTIME - CLOCK_MONOTONIC when the block was written."""
    missed: int
    number: int


# --- writing --------------------------------------------------------------------------------------------------------
class RecordingWriter:
    """Collects entries and writes them as blocks. One thread. Raises RecordingError, OSError (a full disk)."""

    def __init__(self, path: Path, sources: Sequence[str], instance: str) -> None:
        self.path, self._sources = path, list(sources)
        description = json.dumps(
            {
                "instance": instance,
                "sources": self._sources,
                "kinds": {kind.name: [int(kind), _descr(dtype)] for kind, dtype in RECORD_DTYPES.items()},
            }
        ).encode()
        head = _FILE.pack(
            FILE_MAGIC, LAYOUT_VERSION, len(description), LAYOUT_HASH, monotonic_ns(), realtime_offset_ns()
        )
        self._file = self._begun(head + description)
        self._index = open(_index_of(path), "wb", buffering=0, opener=_private)  # noqa: SIM115 - stays open
        self.size = len(head) + len(description)
        self._blocks = 0
        self._begin()

    def _begun(self, head: bytes) -> BinaryIO:
        """The file under its name, which it gets only with its head: nobody ever reads half of that."""
        unnamed = self.path.with_name(self.path.name + ".new")
        file = open(unnamed, "wb", buffering=0, opener=_private)  # noqa: SIM115 - stays open
        try:
            self._write(file, head)
            os.link(unnamed, self.path)
        except BaseException as error:
            file.close()
            if isinstance(error, FileExistsError):
                raise RecordingError(f"{self.path} exists already, a new recording was expected") from None
            raise
        finally:
            unnamed.unlink()
        return file

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self.pending = self._records = self._missed = 0
        self._first = self._last = 0

    def add(self, source: int, sequence: int, record: Record, time_ns: int) -> None:
        """Keep a record for the next block. `source`: its place in `sources`; time_ns: when it was published."""
        data = bytes(record)
        self._parts.append(_ENTRY.pack(source, len(data), 0, sequence))
        self._parts.append(data)
        self.pending += _ENTRY.size + len(data)
        self._records += 1
        self._first = self._first or time_ns
        self._last = max(self._last, time_ns)

    def miss(self, source: int, count: int) -> None:
        """Note that so many records of a source were overwritten before they were read."""
        self._parts.append(_ENTRY.pack(source, 0, 0, count))
        self.pending += _ENTRY.size
        self._missed += count

    def flush(self) -> int:
        """Write what was added as one block; its size. Raises OSError, and then nothing of it is in the file."""
        if not self._parts:
            return 0
        data = b"".join(self._parts)
        head = _BLOCK.pack(
            BLOCK_MAGIC, len(data), self._records, zlib.crc32(data), self._first, self._last, realtime_offset_ns(),
            self._missed, self._blocks,
        )  # fmt: skip
        offset = self.size
        try:
            self._write(self._file, head + data)
        except OSError:
            self._file.truncate(offset)
            self._file.seek(offset)
            raise
        self.size += len(head) + len(data)
        self._blocks += 1
        self._index.write(_INDEX.pack(offset, self._first, self._last, self._records))
        self._begin()
        return len(head) + len(data)

    def drop_pending(self) -> int:
        """Forget what was not written (the disk is full); how many records."""
        dropped = self._records
        self._begin()
        return dropped

    def close(self) -> None:
        """Write the rest and sync. Idempotent."""
        if self._file.closed:
            return
        try:
            self.flush()
            os.fdatasync(self._file.fileno())
        finally:
            self._file.close()
            self._index.close()

    @staticmethod
    def _write(file: Any, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _index_of(path: Path) -> Path:
    return path.with_name(path.name + ".index")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _descr(dtype: np.dtype[np.void]) -> list[Any]:
    return [list(field) for field in dtype.descr]


# --- reading --------------------------------------------------------------------------------------------------------
class Recording:
    """One file, read as often as wanted. Raises RecordingError where it is not a recording."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                head = file.read(_FILE.size)
                self.size = os.fstat(file.fileno()).st_size
                if len(head) < _FILE.size or head[:8] != FILE_MAGIC:
                    raise RecordingError(f"{path} is not a recording: it does not begin with {FILE_MAGIC.decode()}")
                _, self.layout_version, length, self.layout_hash, self.begin_ns, self.utc_offset_ns = _FILE.unpack(head)
                text = file.read(length)
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
        try:
            description = json.loads(text)
            self.sources: list[str] = description["sources"]
            self.instance: str = description["instance"]
            kinds = description["kinds"]
            self.dtypes: dict[int, np.dtype[np.void]] = {
                number: np.dtype([_field(one) for one in fields]) for number, fields in kinds.values()
            }
            self.kind_names: dict[int, str] = {number: name for name, (number, _) in kinds.items()}
        except (ValueError, KeyError, TypeError):
            raise RecordingError(f"{path}: its description is damaged") from None
        self._first_block: int = _FILE.size + length
        self.damaged = 0
        """Blocks that were skipped so far because their checksum was wrong."""
        self.torn_bytes = 0
        """Length of what stands behind the last whole block: what a killed writer left."""

    @property
    def of_this_layout(self) -> bool:
        """Whether the records can be loaded into today's classes; `array` reads those of any layout."""
        return bool(self.layout_hash == LAYOUT_HASH)

    def blocks(self) -> list[BlockHead]:
        """Heads of all whole blocks, in order."""
        found: list[BlockHead] = []
        with self.path.open("rb") as file:
            offset = self._first_block
            self.torn_bytes = 0
            while True:
                file.seek(offset)
                data = file.read(_BLOCK.size)
                if not data:
                    break
                if len(data) < _BLOCK.size or data[:4] != BLOCK_MAGIC:
                    self.torn_bytes = self.size - offset
                    break
                _, length, records, checksum, first, last, utc, missed, number = _BLOCK.unpack(data)
                begin = offset + _BLOCK.size
                if begin + length > self.size:
                    self.torn_bytes = self.size - offset
                    break
                found.append(BlockHead(begin, length, records, checksum, first, last, utc, missed, number))
                offset = begin + length
        return found

    def _seek(self, from_ns: int) -> int:
        """Offset of a block from which nothing at or after `from_ns` is missed, by the index; the first without one."""
        offset: int = self._first_block
        if not from_ns:
            return offset
        try:
            rows = _index_of(self.path).read_bytes()
        except OSError:
            return offset
        for begin in range(0, len(rows) - _INDEX.size + 1, _INDEX.size):
            at, _first, last, _records = _INDEX.unpack_from(rows, begin)
            if last >= from_ns or not self._first_block <= at < self.size:
                break
            offset = at
        return offset

    def entries(self, from_ns: int = 0, to_ns: int = 1 << 62, sources: Sequence[str] | None = None) -> Iterator[Entry]:
        """Entries in the order of recording, of blocks that touch [from_ns, to_ns]; `sources`: only of these."""
        wanted = [sources is None or name in sources for name in self.sources]
        start = self._seek(from_ns)
        for block in self.blocks():
            if block.offset < start or block.last_time_ns < from_ns or block.first_time_ns > to_ns:
                continue
            yield from self._entries_of(block, wanted)

    def _entries_of(self, block: BlockHead, wanted: list[bool]) -> Iterator[Entry]:
        with self.path.open("rb") as file:
            file.seek(block.offset)
            data = file.read(block.length)
        if zlib.crc32(data) != block.checksum:
            self.damaged += 1
            return
        offset = 0
        while offset < len(data):
            source, size, _, sequence = _ENTRY.unpack_from(data, offset)
            offset += _ENTRY.size
            record = data[offset : offset + size]
            offset += size
            if wanted[source]:
                if size:
                    yield Entry(self.sources[source], sequence, int.from_bytes(record[:2], "little"), record)
                else:
                    yield Entry(self.sources[source], 0, 0, b"", missed=sequence)

    def array(self, data: bytes, kind: int) -> npt.NDArray[np.void]:
        """A record's bytes as a structured scalar array, by the layout that it was written with."""
        return np.frombuffer(data, self.dtypes[kind], count=1)


def _field(one: list[Any]) -> tuple[Any, ...]:
    name, code, *shape = one
    return (name, code, *(tuple(part) for part in shape))
