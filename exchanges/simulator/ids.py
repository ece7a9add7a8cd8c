"""Ids that no earlier run of a simulator has given: like a venue, it never uses one twice, not even after a restart.

The rule: the first id is made from the clock, further ones count on. A clock that a test holds gives the same ids
again. Called by the exchange for orders and fills, and by the market flows for theirs.
"""

from __future__ import annotations

from collections.abc import Callable

IDS_PER_MS = 10
"""More than are used: at 10,000 a second a run does not catch up with the start of the next. Ids have 14 digits, the
most that trade ids have at any of the venues."""


def first_id(time_ms: int) -> int:
    """The first id of a run that begins then (UTC ms)."""
    return time_ms * IDS_PER_MS + 1


class Ids:
    """One sequence. It begins when its first id is asked for."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._last = 0

    def next(self) -> int:
        self._last = self._last + 1 if self._last else first_id(self._clock_ms())
        return self._last
