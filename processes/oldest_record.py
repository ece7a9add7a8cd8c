"""Where an observer begins that wants what a ring still holds, not only what comes.

The rule: it stays away from the place where the writer is, so the first record it asks for is surely still there.
Called by the logger and `order_watch.py`.
"""

from __future__ import annotations

from typing import Final

from shm.ring import BroadcastReader
from shm.segment import Segment

BEHIND: Final = 64
"""Slots between the reader and the place that the writer overwrites next."""


def from_oldest(segment: Segment) -> BroadcastReader:
    """A reader whose first record is the oldest one; its next_sequence is 1 where nothing was overwritten yet."""
    newest = BroadcastReader(segment)
    return BroadcastReader(segment, max(1, newest.next_sequence - segment.capacity + BEHIND))
