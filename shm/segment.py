"""POSIX shared-memory segments: made once, checked at every attach, never trusted before they were checked.

Rule: only `corelane shm create` (and tests) make segments, everybody else attaches. The size is compared before
anything is mapped and the header before anything is read, so a truncated, foreign or outdated segment is one clear
SegmentError and never a crash. Space is taken with posix_fallocate: ftruncate alone would succeed on a full /dev/shm
and end in SIGBUS at the first touch.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from typing import Final

import numpy as np
import posix_ipc

from shm.layout import (
    HEADER_SIZE,
    LAYOUT_HASH,
    LAYOUT_VERSION,
    MAGIC,
    SEGMENT_HEADER,
    SegmentKind,
)

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_SHM_FOLDER: Final = "/dev/shm"


class SegmentError(Exception):
    """A segment cannot be made or attached; the text says which, what was found and what was expected."""


class Segment:
    """One mapped segment. `buffer` is the writable view of all of it, the header's page first."""

    def __init__(self, name: str, mapping: mmap.mmap) -> None:
        self.name = name
        self._mapping = mapping
        self.buffer = memoryview(mapping)
        self.header = np.frombuffer(self.buffer, dtype=SEGMENT_HEADER, count=1)
        self.locked = False
        self.bell_folder: str | None = None
        """Folder of the doorbell FIFOs; a writer made from this segment rings sleepers there. None: it rings nobody."""

    # --- life -------------------------------------------------------------------------------------------------------
    @classmethod
    def create(
        cls, name: str, kind: SegmentKind, capacity: int, stride: int, mode: int = 0o600, group: int = -1
    ) -> Segment:
        """Make a segment of `capacity` slots, rows or words of `stride` bytes, or attach to the equal one that exists.

        Raises SegmentError where another shape stands under that name or /dev/shm cannot hold it. A segment whose
        maker died before it was complete carries no magic yet and is made again.
        """
        size = HEADER_SIZE + capacity * stride
        try:
            shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=mode)
        except posix_ipc.ExistentialError:
            if not _is_unfinished(name):
                return cls._attach_equal(name, kind, capacity, stride)
            posix_ipc.unlink_shared_memory(name)
            return cls.create(name, kind, capacity, stride, mode, group)
        except (OSError, ValueError) as error:
            raise SegmentError(f"segment {name} cannot be made: {error}") from None
        try:
            os.fchmod(shared.fd, mode)
            if group >= 0:
                os.fchown(shared.fd, -1, group)
            os.posix_fallocate(shared.fd, 0, size)
            mapping = mmap.mmap(shared.fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except OSError as error:
            posix_ipc.unlink_shared_memory(name)
            raise SegmentError(
                f"segment {name} of {size:,} bytes cannot be made: {error.strerror}; "
                f"{_SHM_FOLDER} has {_free_bytes():,} bytes free"
            ) from None
        finally:
            shared.close_fd()
        segment = cls(name, mapping)
        header = segment.header[0]
        header["layout_version"] = LAYOUT_VERSION
        header["segment_kind"] = kind
        header["layout_hash"] = LAYOUT_HASH
        header["capacity"] = capacity
        header["stride"] = stride
        header["total_size"] = size
        header["created_time_ns"] = time.monotonic_ns()
        header["name"] = name.encode()[:64]
        header["magic"] = MAGIC
        segment._lock_memory()
        return segment

    @classmethod
    def attach(cls, name: str, kind: SegmentKind | None = None) -> Segment:
        """Map an existing segment after checking all of its header. Raises SegmentError with one sentence."""
        try:
            shared = posix_ipc.SharedMemory(name)
        except posix_ipc.ExistentialError:
            raise SegmentError(f"segment {name} does not exist; `corelane shm create` makes it") from None
        except (OSError, ValueError) as error:
            raise SegmentError(f"segment {name} cannot be opened: {error}") from None
        try:
            status = os.fstat(shared.fd)
            if status.st_uid not in (os.geteuid(), 0) and not status.st_mode & 0o060:
                raise SegmentError(f"segment {name} belongs to user {status.st_uid}, this process is {os.geteuid()}")
            if status.st_size < HEADER_SIZE:
                raise SegmentError(f"segment {name} has {status.st_size:,} bytes, a header alone has {HEADER_SIZE:,}")
            header = np.frombuffer(os.pread(shared.fd, HEADER_SIZE, 0), dtype=SEGMENT_HEADER)[0]
            check_header(name, header, status.st_size, kind)
            mapping = mmap.mmap(shared.fd, status.st_size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except OSError as error:
            raise SegmentError(f"segment {name} cannot be mapped: {error}") from None
        finally:
            shared.close_fd()
        segment = cls(name, mapping)
        segment._lock_memory()
        return segment

    @classmethod
    def _attach_equal(cls, name: str, kind: SegmentKind, capacity: int, stride: int) -> Segment:
        segment = cls.attach(name)
        found = (segment.kind, segment.capacity, segment.stride)
        if found != (kind, capacity, stride):
            segment.close()
            raise SegmentError(
                f"segment {name} exists as {found[0].name} of {found[1]:,} × {found[2]} bytes, the configuration asks "
                f"for {kind.name} of {capacity:,} × {stride}; stop the processes and run `corelane shm rm`, then `create`"
            )
        return segment

    @staticmethod
    def remove(name: str) -> bool:
        """Unlink. Processes that have it mapped keep their pages. False where it did not exist."""
        try:
            posix_ipc.unlink_shared_memory(name)
        except posix_ipc.ExistentialError:
            return False
        return True

    @staticmethod
    def names(prefix: str) -> list[str]:
        """Names (with the leading slash) of the segments that begin with `prefix`."""
        return sorted(f"/{entry}" for entry in os.listdir(_SHM_FOLDER) if f"/{entry}".startswith(prefix))  # noqa: PTH208

    def close(self) -> None:
        """Unmap. A segment whose memory is still used by rings or arrays stays mapped until those are gone."""
        try:
            self.header = np.empty(0, dtype=SEGMENT_HEADER)
            self.buffer.release()
            self._mapping.close()
        except BufferError:
            pass

    # --- what the header says ---------------------------------------------------------------------------------------
    @property
    def kind(self) -> SegmentKind:
        return SegmentKind(int(self.header["segment_kind"][0]))

    @property
    def capacity(self) -> int:
        return int(self.header["capacity"][0])

    @property
    def stride(self) -> int:
        return int(self.header["stride"][0])

    @property
    def writer_pid(self) -> int:
        """Process id of the last writer that attached, 0 if none ever did."""
        return int(self.header["writer_pid"][0])

    def _lock_memory(self) -> None:
        """Keep the pages resident. Without the right to (RLIMIT_MEMLOCK) the segment works, `locked` says so."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self.locked = _LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(self._mapping))) == 0


def check_header(name: str, header: np.void, size: int, kind: SegmentKind | None) -> None:
    """Raise SegmentError where `header` does not describe a segment of this build with `size` bytes."""
    if int(header["magic"]) != MAGIC:
        raise SegmentError(
            f"segment {name} is not corelane's: it begins with {int(header['magic']):#x}, not {MAGIC:#x}"
        )
    if int(header["layout_version"]) != LAYOUT_VERSION or int(header["layout_hash"]) != LAYOUT_HASH:
        raise SegmentError(
            f"segment {name} has layout {int(header['layout_version'])}/{int(header['layout_hash']):016x}, this build "
            f"has {LAYOUT_VERSION}/{LAYOUT_HASH:016x}; stop the processes and run `corelane shm rm`, then `create`"
        )
    expected = HEADER_SIZE + int(header["capacity"]) * int(header["stride"])
    if int(header["total_size"]) != expected or size != expected:
        raise SegmentError(f"segment {name} has {size:,} bytes, its header describes {expected:,}")
    try:
        found = SegmentKind(int(header["segment_kind"]))
    except ValueError:
        raise SegmentError(f"segment {name} is of unknown kind {int(header['segment_kind'])}") from None
    if kind is not None and found is not kind:
        raise SegmentError(f"segment {name} is a {found.name}, a {kind.name} was expected")


def _is_unfinished(name: str) -> bool:
    """True where the maker died before it wrote the magic (the last word of `create`)."""
    try:
        shared = posix_ipc.SharedMemory(name)
    except posix_ipc.ExistentialError:
        return False
    try:
        return not any(os.pread(shared.fd, 8, 0))
    finally:
        shared.close_fd()


def _free_bytes() -> int:
    status = os.statvfs(_SHM_FOLDER)
    return status.f_bavail * status.f_frsize
