"""POSIX shared-memory segments: made once, checked at every attach, never trusted before they were checked.

Rule: only `corelane shm create` (and tests) make segments, everybody else attaches. The size is compared before
anything is mapped and the header before anything is read, so a truncated, foreign or outdated segment is one clear
SegmentError and never a crash. Space is taken with posix_fallocate: ftruncate alone would succeed on a full /dev/shm
and end in SIGBUS at the first touch. Pages are populated and locked at attach, so the hot path meets no page fault;
where the memlock limit forbids the locking, one warning a process says so and what to do.

Trust: a segment is used only if it belongs to this user or to root, or its group is one of ours and may write; never if
everybody may. Two `create` of one name at the same time are excluded by the caller's lock, not here.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import os
import resource
import time
from typing import Final

import numpy as np
import posix_ipc

from shm.layout import (
    CACHE_LINE,
    COUNTERS_STRIDE,
    HEADER_SIZE,
    LAYOUT_HASH,
    LAYOUT_VERSION,
    LIMIT_BUCKET,
    LIMIT_BUCKETS,
    MAGIC,
    SEGMENT_HEADER,
    SegmentKind,
)

_LOG: Final = logging.getLogger(__name__)
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
SHM_FOLDER: Final = "/dev/shm"
_RINGS: Final = (SegmentKind.BROADCAST_RING, SegmentKind.LOSSLESS_RING, SegmentKind.JOURNAL)
_warned_of_limit = False


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
        self._file: tuple[int, int] | None = None
        """Device and inode of what is mapped, for one that has a name in /dev/shm."""
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
        problem = _shape_problem(kind, capacity, stride)
        if problem:
            raise SegmentError(f"segment {name} cannot be made: {problem}")
        size = HEADER_SIZE + capacity * stride
        try:
            shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=mode)
        except posix_ipc.ExistentialError:
            if not _is_unfinished(name):
                return cls._attach_equal(name, kind, capacity, stride)
            with contextlib.suppress(posix_ipc.ExistentialError):
                posix_ipc.unlink_shared_memory(name)
            return cls.create(name, kind, capacity, stride, mode, group)
        except (OSError, ValueError, posix_ipc.Error) as error:
            raise SegmentError(f"segment {name} cannot be made: {_reason(error)}") from None
        try:
            os.fchmod(shared.fd, mode)
            if group >= 0:
                os.fchown(shared.fd, -1, group)
            os.posix_fallocate(shared.fd, 0, size)
            mapping = mmap.mmap(shared.fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
            status = os.fstat(shared.fd)
        except (OSError, OverflowError, ValueError) as error:
            posix_ipc.unlink_shared_memory(name)
            reason = error.strerror if isinstance(error, OSError) else "no address space has that size"
            raise SegmentError(
                f"segment {name} of {size:,} bytes cannot be made: {reason}; "
                f"{SHM_FOLDER} has {_free_bytes():,} bytes free"
            ) from None
        finally:
            shared.close_fd()
        segment = cls(name, mapping)
        segment._file = status.st_dev, status.st_ino
        header = segment.header[0]
        header["layout_version"] = LAYOUT_VERSION
        header["segment_kind"] = kind
        header["layout_hash"] = LAYOUT_HASH
        header["capacity"] = capacity
        header["stride"] = stride
        header["total_size"] = size
        header["created_time_ns"] = time.monotonic_ns()
        header["name"] = name.encode()[:64]
        header["magic"] = MAGIC  # last: until now a second `create` takes the segment for unfinished
        segment._lock_memory()
        return segment

    @classmethod
    def attach(cls, name: str, kind: SegmentKind | None = None) -> Segment:
        """Map an existing segment after checking all of its header. Raises SegmentError with one sentence."""
        try:
            shared = posix_ipc.SharedMemory(name)
        except posix_ipc.ExistentialError:
            raise SegmentError(f"segment {name} does not exist; `corelane shm create` makes it") from None
        except (OSError, ValueError, posix_ipc.Error) as error:
            raise SegmentError(f"segment {name} cannot be opened: {_reason(error)}") from None
        try:
            status = os.fstat(shared.fd)
            problem = _trust_problem(status)
            if problem:
                raise SegmentError(f"segment {name} is not trusted: {problem}")
            if status.st_size < HEADER_SIZE:
                raise SegmentError(f"segment {name} has {status.st_size:,} bytes, a header alone has {HEADER_SIZE:,}")
            header = np.frombuffer(os.pread(shared.fd, HEADER_SIZE, 0), dtype=SEGMENT_HEADER)[0]
            check_header(name, header, status.st_size, kind)
            mapping = mmap.mmap(shared.fd, status.st_size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except (OSError, ValueError) as error:
            raise SegmentError(f"segment {name} cannot be mapped: {_reason(error)}") from None
        finally:
            shared.close_fd()
        segment = cls(name, mapping)
        segment._file = status.st_dev, status.st_ino
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
                f"for {kind.name} of {capacity:,} × {stride}; stop all processes, run `corelane shm rm`, then `create`"
            )
        return segment

    @staticmethod
    def remove(name: str) -> bool:
        """Unlink. Processes that have it mapped keep their pages. False where it did not exist."""
        try:
            posix_ipc.unlink_shared_memory(name)
        except posix_ipc.ExistentialError:
            return False
        except posix_ipc.PermissionsError:
            raise SegmentError(f"segment {name} cannot be removed: it belongs to another user") from None
        return True

    @staticmethod
    def names(prefix: str) -> list[str]:
        """Names (with the leading slash) of the segments that begin with `prefix`."""
        return sorted(f"/{entry}" for entry in os.listdir(SHM_FOLDER) if f"/{entry}".startswith(prefix))  # noqa: PTH208

    def close(self) -> None:
        """Unmap. A segment whose memory is still used by rings or arrays stays mapped until those are gone."""
        try:
            self.header = np.empty(0, dtype=SEGMENT_HEADER)
            self.buffer.release()
            self._mapping.close()
        except BufferError:
            pass

    def is_linked(self) -> bool:
        """Whether the name still leads to this memory. What was removed lives on in those who mapped it: without asking
        they would go on writing where nobody reads. Costs a system call, and may change between two looks."""
        try:
            status = os.stat(f"{SHM_FOLDER}{self.name}")  # noqa: PTH116 (asked in hot loops; a Path is five times that)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file

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
        global _warned_of_limit
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self.locked = _LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(self._mapping))) == 0
        if not self.locked and not _warned_of_limit:
            _warned_of_limit = True
            limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
            _LOG.warning(
                "segment %s of %s bytes is not locked in memory: the memlock limit of this process is %s bytes; under "
                "memory pressure its pages may be swapped out (ulimit -l unlimited, or LimitMEMLOCK=infinity)",
                self.name, f"{len(self._mapping):,}", "unlimited" if limit < 0 else f"{limit:,}",
            )  # fmt: skip


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
    capacity, stride = int(header["capacity"]), int(header["stride"])
    expected = HEADER_SIZE + capacity * stride
    if int(header["total_size"]) != expected or size != expected:
        raise SegmentError(f"segment {name} has {size:,} bytes, its header describes {expected:,}")
    try:
        found = SegmentKind(int(header["segment_kind"]))
    except ValueError:
        raise SegmentError(f"segment {name} is of unknown kind {int(header['segment_kind'])}") from None
    if kind is not None and found is not kind:
        raise SegmentError(f"segment {name} is a {found.name}, a {kind.name} was expected")
    problem = _shape_problem(found, capacity, stride)
    if problem:
        raise SegmentError(f"segment {name} is damaged: {problem}")


def _reason(error: Exception) -> str:
    """What the system said, without its number."""
    return str(getattr(error, "strerror", None) or error)


def _shape_problem(kind: SegmentKind, capacity: int, stride: int) -> str:
    """Why a segment of that kind cannot have this shape, or nothing. The compiled parts rely on every word of it."""
    if kind in _RINGS:
        if capacity < 2 or capacity & (capacity - 1):
            return f"a ring of {capacity:,} slots, a power of two from 2 was expected"
    elif capacity < 1:
        return f"{capacity} rows, at least one was expected"
    if kind in _RINGS or kind is SegmentKind.TABLE:
        if stride < CACHE_LINE or stride % CACHE_LINE:
            return f"slots of {stride} bytes, whole cache lines of {CACHE_LINE} were expected"
    elif kind is SegmentKind.WORDS:
        if stride != 8:
            return f"words of {stride} bytes, 8 were expected"
    elif kind is SegmentKind.COUNTERS:
        if stride != COUNTERS_STRIDE:
            return f"a counters block of {stride:,} bytes, {COUNTERS_STRIDE:,} were expected"
    elif kind is SegmentKind.LIMITS:
        if (capacity, stride) != (LIMIT_BUCKETS, LIMIT_BUCKET.itemsize):
            return f"{capacity} buckets of {stride} bytes, {LIMIT_BUCKETS} of {LIMIT_BUCKET.itemsize} were expected"
    else:
        return "it is of no kind"
    return ""


def _trust_problem(status: os.stat_result) -> str:
    """Why this process must not believe what stands in a segment with that owner and mode, or nothing."""
    if status.st_mode & 0o007:
        return f"its mode is {status.st_mode & 0o777:04o}, so everybody may open it; 0600 or 0660 was expected"
    user = os.geteuid()
    if user == 0 or status.st_uid in (user, 0):
        return ""
    if status.st_mode & 0o060 == 0o060 and status.st_gid in (os.getegid(), *os.getgroups()):
        return ""
    return f"it belongs to user {status.st_uid}, this process is user {user}"


def _is_unfinished(name: str) -> bool:
    """True where the maker died before it wrote the magic (the last word of `create`)."""
    try:
        shared = posix_ipc.SharedMemory(name)
    except (OSError, posix_ipc.Error):
        return False
    try:
        return not any(os.pread(shared.fd, 8, 0))
    finally:
        shared.close_fd()


def _free_bytes() -> int:
    status = os.statvfs(SHM_FOLDER)
    return status.f_bavail * status.f_frsize
