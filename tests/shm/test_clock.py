"""shm/clock.py: the clock of every stamp of this host."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from shm.clock import DelayBaseline, monotonic_ns, realtime_offset_ns
from shm.layout import RecordKind, SegmentKind
from shm.records import Quote
from shm.ring import BroadcastWriter
from shm.segment import Segment

SECOND = 1_000_000_000


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


def test_a_slow_drift_of_the_clocks_is_forgotten() -> None:
    baseline = DelayBaseline()
    worst = 0
    for second in range(3600):
        worst = max(worst, baseline.growth(second * SECOND // 1000, second * SECOND))  # 1 ms a second
    assert worst <= 120 * SECOND // 1000


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=60))
def test_growth_is_measured_from_the_smallest_delay_of_the_window(delays: list[int]) -> None:
    baseline = DelayBaseline(window_ns=10**15)
    for index, delay in enumerate(delays):
        assert baseline.growth(delay, index) == delay - min(delays[: index + 1])


def test_another_connection_begins_its_own_minimum() -> None:
    baseline = DelayBaseline()
    assert baseline.growth(0, 1) == 0
    assert baseline.growth(5, 2) == 5
    baseline.reset()
    assert baseline.growth(5, 3) == 0


def test_data_that_is_late_does_not_become_good_by_staying_late() -> None:
    baseline = DelayBaseline(limit_ns=2 * SECOND)
    baseline.growth(0, SECOND)
    assert {baseline.growth(3 * SECOND, second * SECOND) for second in range(2, 600)} == {3 * SECOND}
    assert baseline.growth(SECOND, 600 * SECOND) == SECOND
    assert baseline.growth(SECOND, 661 * SECOND) == SECOND
    assert baseline.growth(SECOND, 722 * SECOND) == 0, "within the limit the minimum is forgotten in time"
