"""Timers of all strategies in one heap: `due(now)` yields what is due, nothing waits. Called by the container."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

Owner = TypeVar("Owner")


class Timers(Generic[Owner]):
    """Named timers of hashable owners. Setting a name again moves it; a canceled entry is skipped when it surfaces."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Owner, str]] = []
        self._live: dict[tuple[Owner, str], tuple[int, int]] = {}
        self._order = count()
        self.next_ns = 1 << 62
        """When the earliest is due: the hot loop compares this and nothing else."""

    def set(self, owner: Owner, name: str, due_ns: int, interval_ns: int = 0) -> None:
        """Due at `due_ns`; again every `interval_ns` where that is above 0."""
        serial = next(self._order)
        self._live[owner, name] = (serial, interval_ns)
        heapq.heappush(self._heap, (due_ns, serial, owner, name))
        self.next_ns = self._heap[0][0]

    def cancel(self, owner: Owner, name: str) -> None:
        self._live.pop((owner, name), None)

    def cancel_all(self, owner: Owner) -> None:
        for key in [key for key in self._live if key[0] is owner]:
            del self._live[key]

    def due(self, now_ns: int) -> Iterator[tuple[Owner, str]]:
        """What is due now, earliest first. A repeating timer that fell behind fires once and goes on from now."""
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, serial, owner, name = heapq.heappop(self._heap)
            live = self._live.get((owner, name))
            if live is None or live[0] != serial:
                continue
            interval_ns = live[1]
            if interval_ns:
                again_ns = due_ns + interval_ns
                heapq.heappush(
                    self._heap, (again_ns if again_ns > now_ns else now_ns + interval_ns, serial, owner, name)
                )
            else:
                del self._live[owner, name]
            self.next_ns = self._heap[0][0] if self._heap else 1 << 62
            yield owner, name
        self.next_ns = self._heap[0][0] if self._heap else 1 << 62
