"""Buckets shared by processes: never more than the limit, whoever dies, whatever clock is a little off."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shm.layout import LIMIT_BUCKET, LIMIT_BUCKETS, SegmentKind
from shm.limits import LARGEST_LIMIT, LimitCredits, LimitTable, LimitWindow
from shm.segment import Segment, SegmentError

SECOND = 10**9
ALL, NEW, QUERY = 1000, 900, 600
START = 1_790_000_003 * SECOND


def window(limit: int = 10, seconds: float = 10, table: LimitTable | None = None, name: str = "a") -> LimitWindow:
    return LimitWindow(table or LimitTable(), name, limit, int(seconds * SECOND))


@pytest.fixture
def limits_segment(segment_name: str) -> Iterator[Segment]:
    segment = Segment.create(segment_name, SegmentKind.LIMITS, LIMIT_BUCKETS, LIMIT_BUCKET.itemsize)
    yield segment
    segment.close()


# --- windows ----------------------------------------------------------------------------------------------------------
def test_a_window_takes_its_limit_and_then_says_when_the_next_begins() -> None:
    bucket = window(10)
    assert bucket.take(10, ALL, True, START) == 0
    assert bucket.take(1, ALL, True, START) == 1_790_000_010 * SECOND
    assert bucket.take(1, ALL, True, 1_790_000_010 * SECOND) == 0
    assert bucket.used(1_790_000_010 * SECOND) == 1


def test_a_share_leaves_the_rest_to_others_and_is_never_nothing() -> None:
    bucket = window(10)
    assert bucket.take(7, QUERY, False, START) > START
    assert bucket.take(6, QUERY, False, START) == 0
    assert bucket.take(4, NEW, False, START) > START
    assert bucket.take(4, ALL, True, START) == 0
    assert window(1).take(1, QUERY, False, START) == 0


def test_an_early_clock_counts_into_the_window_that_stands() -> None:
    bucket = window(10)
    boundary = 1_790_000_010 * SECOND
    assert bucket.take(8, ALL, True, boundary + 1_000) == 0
    assert bucket.take(3, ALL, True, boundary - 1_000) == boundary + 10 * SECOND
    assert bucket.take(2, ALL, True, boundary - 1_000) == 0


def test_a_clock_that_was_far_ahead_shuts_nobody_out() -> None:
    bucket = window(10)
    assert bucket.take(10, ALL, True, START + 3_600 * SECOND) == 0
    assert bucket.take(10, ALL, True, START) == 0
    credits = LimitCredits(LimitTable(), "c", 10, SECOND)
    assert credits.take(10, ALL, True, START + 3_600 * SECOND) == 0
    assert credits.take(1, ALL, True, START) == START + 1 * SECOND, "as empty as can be, and no emptier"


def test_what_is_given_back_can_be_taken_again_but_not_out_of_another_window() -> None:
    bucket = window(10)
    bucket.take(10, ALL, True, START)
    bucket.give_back(4, START)
    assert bucket.used(START) == 6
    bucket.give_back(4, START + 10 * SECOND)
    assert bucket.used(START) == 6
    bucket.give_back(7, START)
    assert bucket.used(START) == 6


def test_a_report_only_raises() -> None:
    bucket = window(10)
    bucket.take(3, ALL, True, START)
    bucket.reported(8, START)
    bucket.reported(2, START)
    assert bucket.used(START) == 8
    bucket.reported(LARGEST_LIMIT * 5, START)
    assert bucket.used(START) == LARGEST_LIMIT
    assert bucket.used(START + 10 * SECOND) == 0


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 1), st.integers(1, 4)), max_size=150))
def test_no_window_takes_more_than_its_limit(limit: int, steps: list[tuple[int, int, int]]) -> None:
    """Time goes on, and every asker's clock is up to a second off: half a window."""
    bucket = window(limit, 2)
    now, taken = START, 0
    for step, off, cost in steps:
        now += step * SECOND // 4
        before = bucket.used(now + SECOND)
        if bucket.take(cost, ALL, True, now + off * SECOND) == 0:
            taken = bucket.used(now + off * SECOND)
            assert taken >= cost
            assert taken <= limit
        else:
            assert bucket.used(now + SECOND) == before


# --- credits ----------------------------------------------------------------------------------------------------------
def test_credits_come_back_one_after_the_other() -> None:
    bucket = LimitCredits(LimitTable(), "c", 100, SECOND // 10)
    assert bucket.take(100, ALL, True, START) == 0
    assert bucket.take(5, ALL, True, START) == START + SECOND // 2
    assert bucket.take(5, ALL, True, START + SECOND // 2) == 0
    assert bucket.used(START + SECOND // 2) == 100
    assert bucket.used(START + 3 * SECOND) == 75
    assert bucket.used(START + 60 * SECOND) == 0


def test_shares_reports_and_giving_back_work_for_credits_too() -> None:
    bucket = LimitCredits(LimitTable(), "c", 100, SECOND // 10)
    assert bucket.take(61, QUERY, False, START) == START + SECOND // 10
    assert bucket.take(60, QUERY, False, START) == 0
    bucket.give_back(10, START)
    assert bucket.used(START) == 50
    bucket.reported(80, START)
    bucket.reported(20, START)
    assert bucket.used(START) == 80
    bucket.reported(1_000_000, START)
    assert bucket.used(START) == 100


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=120))
def test_credits_never_give_more_than_were_there_and_came_back(steps: list[tuple[int, int]]) -> None:
    bucket = LimitCredits(LimitTable(), "c", 50, 10_000_000)
    now, there = START, 50.0
    for step_ms, cost in steps:
        now += step_ms * 1_000_000
        there = min(50.0, there + step_ms / 10)
        if bucket.take(cost, ALL, True, now) == 0:
            there -= cost
        assert there >= -1e-6
        assert bucket.used(now) == pytest.approx(50 - there, abs=1.0)


# --- shut ------------------------------------------------------------------------------------------------------------
def test_closed_holds_everybody_until_its_time_and_is_never_shortened() -> None:
    bucket = window(10)
    bucket.close(START + 90 * SECOND)
    bucket.close(START + 40 * SECOND)
    for urgent in (True, False):
        assert bucket.take(1, ALL, urgent, START + 89 * SECOND) == START + 90 * SECOND
        assert bucket.take(0, ALL, urgent, START) == START + 90 * SECOND
    assert bucket.take(1, ALL, False, START + 90 * SECOND) == 0


def test_quiet_lets_urgent_ones_by_one_at_a_time_with_pauses_that_double() -> None:
    bucket = window(1_000, 3_600)
    now, went = START, []
    bucket.hush(now, 10 * SECOND)
    while now < START + 60 * SECOND:
        if bucket.take(1, ALL, True, now) == 0:
            went.append(round((now - START) / SECOND, 1))
            assert bucket.take(1, ALL, True, now) > now, "only one at a time"
            bucket.hush(now + SECOND // 20, 10 * SECOND)  # refused again
        assert bucket.take(0, NEW, False, now) > now
        now += SECOND // 10
        bucket.hush(now, 10 * SECOND)
    assert went == [1.0, 3.0, 7.0, 15.0, 31.0, 47.0]


def test_one_that_was_served_after_the_refusal_opens_the_way_for_urgent_ones_only() -> None:
    bucket = window(1_000, 3_600)
    bucket.hush(START, 10 * SECOND)
    bucket.served(START - SECOND, 10 * SECOND)
    assert bucket.take(1, ALL, True, START) == pytest.approx(START + SECOND, abs=1_000_000), "it left before"
    bucket.served(START + SECOND, 10 * SECOND)
    for _ in range(50):
        assert bucket.take(1, ALL, True, START + SECOND) == 0
    assert bucket.take(1, NEW, False, START + SECOND) == START + 10 * SECOND
    bucket.hush(START + 2 * SECOND, 10 * SECOND)
    assert bucket.take(1, ALL, True, START + 2 * SECOND) > START + 2 * SECOND, "refused again: from the beginning"
    assert bucket.take(1, NEW, False, START + 12 * SECOND) == 0


# --- the table --------------------------------------------------------------------------------------------------------
def test_one_name_is_one_bucket_for_everybody_and_the_venues_limit_holds_for_all(limits_segment: Segment) -> None:
    mine, theirs = LimitTable(limits_segment), LimitTable(Segment.attach(limits_segment.name))
    first, second = window(10, table=mine), window(99, table=theirs)
    assert second.limit == 10, "the constant of whoever came first, until the venue tells"
    second.limit = 20
    assert first.take(20, ALL, True, START) == 0
    assert second.take(1, ALL, True, START) > START
    assert window(10, 60, theirs).take(1, ALL, True, START) == 0, "another window is another bucket"
    assert [row["name"] for row in mine.rows()] == ["a / 10000 ms", "a / 60000 ms"]
    assert mine.rows()[0] | {"state": 0} == {
        "state": 0, "closed_until_ns": 0, "quiet_until_ns": 0, "probe": 0, "limit": 20, "window_ns": 10 * SECOND,
        "unit_ns": 0, "name": "a / 10000 ms",
    }  # fmt: skip


def test_a_full_table_and_senseless_buckets_are_refused_in_words(limits_segment: Segment) -> None:
    table = LimitTable(limits_segment)
    for number in range(LIMIT_BUCKETS):
        window(table=table, name=str(number))
    with pytest.raises(SegmentError, match="all 64 limit buckets are taken, 'one more"):
        window(table=table, name="one more")
    for limit, seconds in ((0, 1), (-5, 5), (LARGEST_LIMIT + 1, 1), (1, 0)):
        with pytest.raises(ValueError, match="bucket x"):
            LimitWindow(LimitTable(), "x", limit, seconds)
    with pytest.raises(ValueError, match="no rate"):
        LimitCredits(LimitTable(), "x", 1, 0)
    with pytest.raises(ValueError, match="must be from 1"):
        window().limit = 0


def test_only_a_limits_segment_of_this_shape_is_taken(make_segment: Callable[..., Segment], segment_name: str) -> None:
    with pytest.raises(SegmentError, match="is a WORDS, limits were expected"):
        LimitTable(make_segment(SegmentKind.WORDS, 8, stride=8))
    with pytest.raises(SegmentError, match="64 of 128 were expected"):
        Segment.create(segment_name, SegmentKind.LIMITS, 8, 128)


class Model(RuleBasedStateMachine):
    """Two holders of one bucket against plain arithmetic, in one window."""

    def __init__(self) -> None:
        super().__init__()
        table = LimitTable()
        self.buckets = [window(40, 60, table), window(40, 60, table)]
        self.used = 0

    @rule(who=st.integers(0, 1), cost=st.integers(0, 9), share=st.sampled_from([ALL, NEW, QUERY]))
    def take(self, who: int, cost: int, share: int) -> None:
        fits = self.used + cost <= 40 * share // 1000 or cost == 0
        assert (self.buckets[who].take(cost, share, False, START) == 0) == fits
        self.used += cost if fits else 0

    @rule(who=st.integers(0, 1), cost=st.integers(0, 9))
    def give_back(self, who: int, cost: int) -> None:
        self.buckets[who].give_back(cost, START)
        self.used -= cost if cost <= self.used else 0

    @rule(who=st.integers(0, 1), count=st.integers(0, 60))
    def reported(self, who: int, count: int) -> None:
        self.buckets[who].reported(count, START)
        self.used = max(self.used, count)

    @invariant()
    def agree(self) -> None:
        assert {bucket.used(START) for bucket in self.buckets} == {self.used}


TestModel = Model.TestCase

# --- two processes ----------------------------------------------------------------------------------------------------
CHILD = """
import sys
from shm.limits import LimitTable, LimitWindow, LimitCredits
from shm.segment import Segment
table = LimitTable(Segment.attach(sys.argv[1]))
window = LimitWindow(table, "w", 200_000, 3600 * 10**9)
credits = LimitCredits(table, "c", 200_000, 10**9)
print("ready", flush=True)
sys.stdin.readline()
now, got = 1_790_000_003 * 10**9, [0, 0]
while True:
    refused = 0
    for place, bucket in enumerate((window, credits)):
        if bucket.take(1, 1000, True, now) == 0:
            got[place] += 1
        else:
            refused += 1
    if refused == 2:
        break
print(*got, flush=True)
"""


@contextlib.contextmanager
def child(segment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, segment], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_processes_that_take_at_once_get_the_limit_and_not_one_more(limits_segment: Segment) -> None:
    with child(limits_segment.name) as one, child(limits_segment.name) as other:
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        counts = [[int(word) for word in process.communicate(timeout=60)[0].split()] for process in (one, other)]
    assert [sum(pair) for pair in zip(*counts, strict=True)] == [200_000, 200_000]
    assert all(min(pair) > 0 for pair in counts), "both had a share, or nothing was tried here"


def test_a_killed_process_leaves_a_count_that_goes_on(limits_segment: Segment) -> None:
    table = LimitTable(limits_segment)
    bucket = LimitWindow(table, "w", 200_000, 3_600 * SECOND)
    with child(limits_segment.name) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        mine, kill_at = 0, random.Random(3).randrange(500, 5_000)
        while bucket.used(START) < 200_000:
            if bucket.take(1, ALL, True, START) == 0:
                mine += 1
            if mine == kill_at and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
    assert mine >= kill_at
    assert bucket.used(START) == 200_000
    assert bucket.take(1, ALL, True, START) > START
