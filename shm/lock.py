"""One copy of each process of an instance, enforced by the kernel for as long as the first one lives.

An exclusive flock on a file in the state directory, taken before any segment or socket is touched. It goes with the
process, also with kill -9, so there is no stale lock to clean up. The file's text names the holder for the refusal.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class AlreadyRunning(Exception):
    """Another copy holds the lock; the text names its process id."""


class ProcessLock:
    def __init__(self, folder: Path, process: str) -> None:
        """Take the lock of `process` in `folder` (made if missing). Raises AlreadyRunning."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{process}.lock"
        # The descriptor is not inherited, or a child would keep the lock beyond its parent's life.
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise AlreadyRunning(f"{process} already runs as process {holder} (lock {self.path})") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back. The file stays: unlinking it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
