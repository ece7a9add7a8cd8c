"""Budgets by the venue's windows, lanes, and waiting times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.rate_limit import Bucket, Lane, RateBudget, TokenBucket

SECOND = 10**9


def budget(limit: int = 10, window_s: int = 10) -> RateBudget:
    return RateBudget([Bucket("a", limit, window_s * SECOND), Bucket("b", 1_000, 60 * SECOND)])


def admitted(made: RateBudget, lane: Lane, now: int) -> int:
    count = 0
    while made.admit(lane, {"a": 1}, now) == 0:
        count += 1
        assert count < 10_000
    return count


def test_lanes_leave_room_for_cancels() -> None:
    made = budget(100)
    assert admitted(made, Lane.QUERY, 0) == 60
    assert admitted(made, Lane.NEW, 0) == 30
    assert admitted(made, Lane.CANCEL, 0) == 10


def test_a_refusal_says_when_the_window_ends() -> None:
    made = budget(10)
    now = 1_790_000_003 * SECOND + 5
    assert admitted(made, Lane.CANCEL, now) == 10
    assert made.admit(Lane.CANCEL, {"a": 1}, now) == 1_790_000_010 * SECOND
    assert made.admit(Lane.CANCEL, {"a": 1}, 1_790_000_010 * SECOND) == 0


def test_costs_are_taken_from_all_buckets_or_from_none() -> None:
    made = budget(10)
    assert made.admit(Lane.CANCEL, {"a": 11, "b": 5}, 0) > 0
    assert made.buckets["b"].used == 0
    assert made.admit(Lane.CANCEL, {"a": 4, "b": 5}, 0) == 0
    assert (made.buckets["a"].used, made.buckets["b"].used) == (4, 5)


def test_the_venues_count_only_ever_raises_ours() -> None:
    made = budget(10)
    made.admit(Lane.CANCEL, {"a": 3}, 0)
    made.reported("a", 8, 0)
    assert made.admit(Lane.CANCEL, {"a": 3}, 0) > 0
    made.reported("a", 1, 0)
    made.reported("a", -1, 0)
    assert made.buckets["a"].used == 8
    made.reported("never heard of", 5, 0)


def test_a_block_holds_every_lane_until_its_time() -> None:
    made = budget(10)
    made.block("a", 90 * SECOND)
    made.block("a", 40 * SECOND)
    for lane in Lane:
        assert made.admit(lane, {"a": 1}, 89 * SECOND) == 90 * SECOND
    assert made.admit(Lane.QUERY, {"a": 1}, 90 * SECOND) == 0


def test_a_clock_that_goes_back_does_not_refill() -> None:
    made = budget(10)
    admitted(made, Lane.CANCEL, 25 * SECOND)
    assert made.admit(Lane.CANCEL, {"a": 1}, 15 * SECOND) > 0


@pytest.mark.parametrize(("limit", "window"), [(0, 1), (1, 0), (-5, 5)])
def test_a_senseless_bucket_is_refused(limit: int, window: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Bucket("x", limit, window)


@given(st.integers(1, 500), st.lists(st.integers(0, 3 * SECOND), max_size=200))
def test_a_window_never_takes_more_than_its_limit(limit: int, steps: list[int]) -> None:
    made = budget(limit, 1)
    now, taken = 0, {}
    for step in steps:
        now += step
        if made.admit(Lane.CANCEL, {"a": 1}, now) == 0:
            taken[now // SECOND] = taken.get(now // SECOND, 0) + 1
    assert all(count <= limit for count in taken.values())


def test_tokens_come_smoothly() -> None:
    bucket = TokenBucket(2.0, burst=3)
    now = 5 * SECOND
    for _ in range(3):
        assert bucket.available(now)
        bucket.take()
    assert not bucket.available(now)
    assert not bucket.available(now + SECOND // 2 - 1_000)
    assert bucket.available(now + SECOND // 2 + 1_000)
    bucket.take()
    assert bucket.available(now + 60 * SECOND)
    for _ in range(3):
        bucket.take()
    assert not bucket.available(now + 60 * SECOND), "a long rest is not saved up beyond the burst"
