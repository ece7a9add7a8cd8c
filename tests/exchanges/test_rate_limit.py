"""Budgets by the venue's windows, lanes, and waiting times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchanges.rate_limit import QUIET_NS, Lane, RateBudget, TokenBucket, account_of
from shm.limits import LimitCredits, LimitTable, LimitWindow

SECOND = 10**9


def budget(limit: int = 10, window_s: int = 10) -> RateBudget:
    table = LimitTable()
    a, b = LimitWindow(table, "a", limit, window_s * SECOND), LimitWindow(table, "b", 1_000, 60 * SECOND)
    return RateBudget({"a": a, "b": b, "c": LimitCredits(table, "c", 1_000, SECOND)})


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
    a, b, c = made.buckets.values()
    assert made.admit(Lane.CANCEL, {"b": 5, "c": 7, "a": 11}, 0) > 0
    assert (a.used(0), b.used(0), c.used(0)) == (0, 0, 0)
    assert made.admit(Lane.CANCEL, {"a": 4, "b": 5, "c": 6}, 0) == 0
    assert (a.used(0), b.used(0), c.used(0)) == (4, 5, 6)


def test_the_venues_count_only_ever_raises_ours() -> None:
    made = budget(10)
    made.admit(Lane.CANCEL, {"a": 3}, 0)
    made.reported("a", 8, 0)
    assert made.admit(Lane.CANCEL, {"a": 3}, 0) > 0
    made.reported("a", 1, 0)
    made.reported("a", -1, 0)
    assert made.buckets["a"].used(0) == 8


def test_a_time_that_the_venue_named_holds_every_lane() -> None:
    made = budget(10)
    made.close("a", 90 * SECOND)
    made.close("a", 40 * SECOND)
    for lane in Lane:
        assert made.admit(lane, {"a": 1}, 89 * SECOND) == 90 * SECOND
        assert made.admit(lane, {"a": 0, "b": 1}, 89 * SECOND) == 90 * SECOND
    assert made.buckets["b"].used(89 * SECOND) == 0
    assert made.admit(Lane.QUERY, {"a": 1}, 90 * SECOND) == 0


def test_a_refusal_without_a_time_lets_cancels_ask_on_one_at_a_time() -> None:
    made = budget(10)
    made.hush("a", 0)
    assert made.admit(Lane.NEW, {"a": 0}, 5) == made.admit(Lane.QUERY, {"a": 1}, 5) == QUIET_NS
    assert made.admit(Lane.CANCEL, {"a": 1}, 5) == SECOND
    assert made.admit(Lane.CANCEL, {"a": 1}, SECOND) == 0
    assert made.admit(Lane.CANCEL, {"a": 1}, SECOND) == 3 * SECOND
    made.served("a", SECOND)
    assert made.admit(Lane.CANCEL, {"a": 1}, SECOND) == 0
    assert made.admit(Lane.NEW, {"a": 0}, SECOND) == QUIET_NS


def test_what_is_told_of_a_bucket_that_is_not_ours_is_passed_over() -> None:
    made = budget(10)
    made.reported("x", 5, 0)
    made.limit("x", 5)
    made.close("x", 5)
    made.hush("x", 5)
    made.served("x", 5)
    made.limit("a", 0)
    assert made.buckets["a"].limit == 10
    made.limit("a", 7)
    assert made.buckets["a"].limit == 7


@given(st.integers(1, 500), st.lists(st.integers(0, 3 * SECOND), max_size=200))
def test_a_window_never_takes_more_than_its_limit(limit: int, steps: list[int]) -> None:
    made = budget(limit, 1)
    now = 0
    taken: dict[int, int] = {}
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


def test_keys_are_filed_under_a_fingerprint() -> None:
    assert len(account_of("client")) == 16
    assert account_of("client") != account_of("other")
    assert "client" not in account_of("client")


class PlainTokens:
    """The rate in plain Python."""

    def __init__(self, per_second: float, burst: float | None) -> None:
        self.burst = max(1.0, per_second if burst is None else burst)
        self.per_ns = per_second / 1e9
        self.tokens, self.time_ns = self.burst, 0

    def available(self, now_ns: int) -> bool:
        if now_ns > self.time_ns:
            self.tokens = min(self.burst, self.tokens + (now_ns - self.time_ns) * self.per_ns)
            self.time_ns = now_ns
        return self.tokens >= 1.0


@given(
    st.floats(0.001, 1e6),
    st.none() | st.floats(0.1, 1e6),
    st.lists(st.tuples(st.integers(-(10**10), 10**15), st.booleans()), max_size=60),
)
def test_tokens_are_those_of_the_plain_rate_to_the_last_bit(
    per_second: float, burst: float | None, steps: list[tuple[int, bool]]
) -> None:
    bucket, plain = TokenBucket(per_second, burst), PlainTokens(per_second, burst)
    now = 0
    for step, takes in steps:
        now += step
        assert bucket.available(now) == plain.available(now)
        if takes:
            bucket.take()
            plain.tokens -= 1.0
