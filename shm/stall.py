"""Names of the moments in the protocols at which a process may be stopped or killed: one per window.

A writer or reader with a `stall_hook` calls it at each of these points; without one (always, outside of tests) the
hooks cost one never-taken branch per record. Who uses it: the crash and stress tests, which kill -9 in every window.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class StallPoint(IntEnum):
    """Numbers as in ring.pyx and table.pyx; the letters are the steps of the argument in ring.pyx."""

    INVALIDATED = 1  # writer: W1 and W2 done, the slot is busy
    COPYING = 2  # writer: half of the record's words are in the slot (W3)
    COPIED = 3  # writer: all words are in, the sequence is not (before W4)
    PUBLISHED = 4  # writer: W4 done, the cursor is one behind
    CURSOR = 5  # writer: cursor stored, sleepers not rung yet
    READING = 6  # reader: half of the record's words are out (R2)
    READ = 7  # reader: all words are out, not checked yet (before R4)
    COMMITTING = 8  # consumer: before the tail is stored
    COMMITTED = 9  # consumer: after it


StallHook = Callable[[StallPoint, int], None]
"""Called with the point and the sequence (a table: the row's new version). It may sleep, or not return at all."""
