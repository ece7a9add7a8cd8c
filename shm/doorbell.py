"""Waking a process that sleeps on rings: a FIFO that a writer touches only when its reader said that it sleeps.

The race to close: the reader sees an empty ring and decides to sleep, the writer publishes just then and sees nobody
asleep. Dekker's rule closes it. Each side writes its own word first, does a full fence, then reads the other's:

    reader (arm)                                   writer (ring.pyx)
    armed |= bit            seq_cst read-modify-write   slot := n               release
                            (a full fence)              full fence
    look at the rings again                             look at `armed`

In the one total order of the fences one side comes first; the other then sees its word. So either the reader's second
look finds the record and it does not sleep, or the writer sees the bit and puts a byte into the FIFO. The writer
clears the bits it rings for, so a burst costs one write. A reader that attaches while the writer runs is no special
case: its first arm() is this same exchange. A ring without anybody asleep costs the writer the fence and one load;
one that rings costs it a system call, some 1.5 us (bench/doorbell.py). Sleeps are bounded besides, so even a lost
FIFO (deleted by hand) costs latency, never progress.

The FIFO belongs to the reader: made by it in the instance's run directory as `bells/<id>.bell`, opened read-write so
that it never sees end-of-file when writers come and go. It serves a plain loop (`wait`) and an event loop (`fileno`
with add_reader, `arm` before sleeping, `clear` when it rang).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from shm.layout import DOORBELLS
from shm.ring import RingReader, sleep_on


class Doorbell:
    def __init__(self, folder: str | Path, bell_id: int, rings: Sequence[RingReader] = ()) -> None:
        """The bell of one process; `bell_id` 0..63 is its own (Instance.process_row gives one); `rings` its readers."""
        if not 0 <= bell_id < DOORBELLS:
            raise ValueError(f"doorbell id {bell_id} is not within 0..{DOORBELLS - 1}")
        self.path = Path(folder) / f"{bell_id}.bell"
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.is_fifo():
            self.path.unlink(missing_ok=True)
            os.mkfifo(self.path, 0o600)
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._bit = 1 << bell_id
        self._rings: list[RingReader] = []
        self._to_clear = True  # a predecessor may have left bytes
        for ring in rings:
            self.add(ring)

    def add(self, ring: RingReader) -> None:
        """Sleep on one more ring."""
        self._rings.append(ring)

    def fileno(self) -> int:
        return self._fd

    def arm(self) -> bool:
        """Say that this process is about to sleep. False: something is there to read after all, do not sleep."""
        for ring in self._rings:
            ring.arm(self._bit)
        for ring in self._rings:
            if ring.has_next():
                self.disarm()
                self._to_clear = True  # a writer may have rung in between
                return False
        return True

    def disarm(self) -> None:
        for ring in self._rings:
            ring.disarm(self._bit)

    def clear(self) -> None:
        """Take the bytes that rang out of the FIFO."""
        self._to_clear = False
        try:
            os.read(self._fd, 4096)
        except BlockingIOError:
            return

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a ring has something, at most `timeout_s`. True: it rang or was not empty."""
        # The byte of the last ring is taken out now and not when it rang: then a record was waiting to be read.
        result = sleep_on(self._rings, self._bit, self._fd, timeout_s, self._to_clear)
        self._to_clear = result != 0
        return result != 0

    def close(self) -> None:
        if self._fd >= 0:
            self.disarm()
            os.close(self._fd)
            self._fd = -1
            self.path.unlink(missing_ok=True)
