"""How a loop that found nothing to do spends its time: four tiny interchangeable objects, one chosen per process.

strategy   CPU while idle     wake-up after a record is published
BusySpin   one whole core     tens of ns; only on a core that is the process's own
Yielding   one whole core     as BusySpin on an idle host, a scheduler turn when the core is shared
Backoff    a few percent      up to `longest_s` (default 1 ms)
Doorbell   none               one FIFO write and a scheduler wake-up, some 10-50 us (doorbell.py)

A worker's loop calls `idle(work_count)` after each turn: 0 means nothing was done. `reset()` forgets the past.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

from shm.doorbell import Doorbell


class WaitStrategy(Protocol):
    def idle(self, work_count: int) -> None: ...
    def reset(self) -> None: ...


class BusySpin:
    def idle(self, work_count: int) -> None:
        """Return at once."""

    def reset(self) -> None:
        """Nothing to forget."""


class Yielding:
    """Spins `spins` turns, then offers the core to others at every turn."""

    def __init__(self, spins: int = 100) -> None:
        self._spins = spins
        self._turns = 0

    def idle(self, work_count: int) -> None:
        if work_count:
            self._turns = 0
        elif self._turns < self._spins:
            self._turns += 1
        else:
            os.sched_yield()

    def reset(self) -> None:
        self._turns = 0


class Backoff:
    """Yields, then sleeps twice as long each time up to `longest_s`."""

    def __init__(self, spins: int = 50, first_s: float = 20e-6, longest_s: float = 1e-3) -> None:
        self._spins, self._first_s, self._longest_s = spins, first_s, longest_s
        self._turns = 0
        self._sleep_s = first_s

    def idle(self, work_count: int) -> None:
        if work_count:
            self.reset()
        elif self._turns < self._spins:
            self._turns += 1
            os.sched_yield()
        else:
            time.sleep(self._sleep_s)
            self._sleep_s = min(2 * self._sleep_s, self._longest_s)

    def reset(self) -> None:
        self._turns = 0
        self._sleep_s = self._first_s


class DoorbellWait:
    """Sleeps until a writer rings, at most `longest_s` so that timers and heartbeats are served in time."""

    def __init__(self, doorbell: Doorbell, longest_s: float = 2e-3) -> None:
        self._doorbell, self._longest_s = doorbell, longest_s

    def idle(self, work_count: int) -> None:
        if not work_count:
            self._doorbell.wait(self._longest_s)

    def reset(self) -> None:
        """Nothing to forget."""
