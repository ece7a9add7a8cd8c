"""Segments of the host: shared by all instances, so none of them owns them. Names begin with /corelane.host.

The rules
- Whoever needs one attaches, and makes it where it is missing (`corelane shm create` does so ahead of time). Making,
  attaching and removing exclude each other by a flock on the segments' folder, held for the moment that this takes.
- Whoever uses one holds a shared flock on it for life. The kernel gives that back when a process ends in any way, so
  "does anybody use it" is always answered truly.
- Removed is what nobody uses and what holds nothing worth keeping: a count of the present window or a ban outlives all
  processes, or the next start would ask into the ban. Those of a simulator are kept for nobody.

Who calls it: shm/instance.py (removing), processes/venue_process.py (attaching), processes/shm_admin.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from typing import Final

from shm.layout import LIMIT_BUCKET, LIMIT_BUCKETS, LIMIT_USED_BITS, SegmentKind
from shm.limits import LimitTable
from shm.segment import SHM_FOLDER, Segment, SegmentError

HOST_INSTANCE: Final = "host"
"""No instance may have this name: its segments would stand among those of the host."""
PREFIX: Final = f"/corelane.{HOST_INSTANCE}."
SIMULATOR: Final = "simulator"
LOCK_PATIENCE_S: Final = 2.0


def limits_name(venue: str, environment: str, url: str | None = None) -> str:
    """Segment of the limits of one venue and environment. url: where it is, if not at the environment's own place."""
    where = re.sub(r"[^A-Za-z0-9_-]+", "-", (url or "").partition("://")[2]).strip("-")[:64]
    return f"{PREFIX}{venue}.{environment}" + (f".{where}" if where else "")


class HostLimits:
    """The limits that all processes of this host count on, attached for as long as this lives."""

    def __init__(self, name: str, mode: int = 0o600, group: int = -1) -> None:
        """Attach, after making it where it is missing. Raises SegmentError (another layout, no room, no right)."""
        with _folder_lock():
            segment = Segment.create(name, SegmentKind.LIMITS, LIMIT_BUCKETS, LIMIT_BUCKET.itemsize, mode, group)
            self._fd = _open(name)
            fcntl.flock(self._fd, fcntl.LOCK_SH)  # never waits: an exclusive one is only held under the folder's lock
        self.name = name
        self._segment = segment
        self.table = LimitTable(segment)

    def close(self) -> None:
        """Idempotent. Budgets made from `table` keep working on the words."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._segment.close()


def sweep(utc_ns: int | None = None) -> list[str]:
    """Remove the host's segments that nobody uses and that hold nothing of use at this time; their names. One that
    cannot be read (another build's, another user's) is left alone."""
    now_ns = time.time_ns() if utc_ns is None else utc_ns
    with _folder_lock():
        return [name for name in Segment.names(PREFIX) if not _is_worth_keeping(name, now_ns) and _remove_unused(name)]


def discard(name: str) -> bool:
    """Remove one segment of the host, whatever it holds; False where somebody uses it, or it is not there."""
    with _folder_lock():
        return name in Segment.names(name) and _remove_unused(name)


def _remove_unused(name: str) -> bool:
    with contextlib.suppress(SegmentError):  # another user's
        return not _is_used(name) and Segment.remove(name)
    return False


def _is_worth_keeping(name: str, now_ns: int) -> bool:
    if name.split(".")[3:4] == [SIMULATOR]:
        return False
    try:
        segment = Segment.attach(name, SegmentKind.LIMITS)
    except SegmentError:
        return True
    with contextlib.closing(segment):
        return any(
            max(row["closed_until_ns"], row["quiet_until_ns"], _counts_until(row)) > now_ns
            for row in LimitTable(segment).rows()
        )


def _counts_until(row: dict[str, int]) -> int:
    if not row["window_ns"]:
        return row["state"]
    return ((row["state"] >> LIMIT_USED_BITS) + 1) * row["window_ns"]


def _is_used(name: str) -> bool:
    try:
        fd = _open(name)
    except SegmentError:
        return True  # not ours to look at
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _open(name: str) -> int:
    try:
        return os.open(f"{SHM_FOLDER}{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SegmentError(f"segment {name} cannot be opened: {error.strerror}") from None


@contextlib.contextmanager
def _folder_lock() -> Iterator[None]:
    """One process at a time makes, attaches or removes segments of the host."""
    fd = os.open(SHM_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_up = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise SegmentError(
                        f"{SHM_FOLDER} was locked by another process for {LOCK_PATIENCE_S:g} s; find it with "
                        f"`fuser {SHM_FOLDER}`"
                    ) from None
                time.sleep(0.001)
        yield
    finally:
        os.close(fd)
