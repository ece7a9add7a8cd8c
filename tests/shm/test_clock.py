"""shm/clock.py: the clock of every stamp of this host."""

from __future__ import annotations

import time
from collections.abc import Callable

from shm.clock import monotonic_ns, realtime_offset_ns
from shm.layout import RecordKind, SegmentKind
from shm.records import Quote
from shm.ring import BroadcastWriter
from shm.segment import Segment


def test_compiled_stamps_come_from_the_same_clock(make_segment: Callable[..., Segment]) -> None:
    writer = BroadcastWriter(make_segment(SegmentKind.BROADCAST_RING, 8, RecordKind.QUOTE))
    record = Quote()
    before = monotonic_ns()
    writer.publish(record)
    assert before <= record.publish_time_ns <= monotonic_ns()


def test_the_offset_turns_a_stamp_into_utc() -> None:
    before = time.time_ns()
    utc = monotonic_ns() + realtime_offset_ns()
    assert before - 5_000_000 <= utc <= time.time_ns() + 5_000_000
