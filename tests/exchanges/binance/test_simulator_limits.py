"""`exchanges/binance/simulator_limits.py`: windows aligned to the clock, refusals that do not count, bans that end."""

from __future__ import annotations

import pytest

from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_limits import BAN_MS, MINUTE_MS, REFUSALS_BEFORE_BAN, RateLimits

IP = "127.0.0.1"


def status_of(limits: RateLimits, weight: int, now: int) -> int:
    try:
        limits.add_weight(IP, weight, now)
    except VenueError as error:
        return error.status
    return 200


def test_weight_counts_per_minute_of_the_clock_and_per_ip() -> None:
    limits = RateLimits(weight_1m=10)
    assert [status_of(limits, 5, now) for now in (0, 1, 2, MINUTE_MS - 1, MINUTE_MS)] == [200, 200, 429, 429, 200]
    assert limits.weight_used(IP, MINUTE_MS) == 5
    limits.add_weight("127.0.0.2", 10, 2)


def test_insisting_bans_for_a_time_that_the_message_names() -> None:
    limits = RateLimits(weight_1m=1)
    limits.add_weight(IP, 1, 0)
    assert [status_of(limits, 1, 1) for _ in range(REFUSALS_BEFORE_BAN + 1)][-2:] == [429, 418]
    with pytest.raises(VenueError, match=f"banned until {1 + BAN_MS}"):
        limits.add_weight(IP, 1, BAN_MS)
    limits.add_weight(IP, 1, 1 + BAN_MS)


def test_orders_count_in_both_windows_and_a_refused_one_in_neither() -> None:
    limits = RateLimits(orders_10s=5, orders_1m=3)
    limits.add_orders("a", 5, 1, 0)
    with pytest.raises(VenueError, match="5 orders per 10 SECOND"):
        limits.add_orders("a", 1, 1, 9_999)
    assert (limits.orders_used("a", 10_000, 9_999), limits.orders_used("a", 60_000, 9_999)) == (5, 1)
    limits.add_orders("a", 1, 1, 10_000)
    limits.add_orders("a", 1, 1, 10_000)
    with pytest.raises(VenueError, match="3 orders per 1 MINUTE"):
        limits.add_orders("a", 1, 1, 20_000)
    limits.add_orders("b", 1, 1, 20_000)


def test_a_limit_of_zero_is_off() -> None:
    limits = RateLimits(0, 0, 0)
    for _ in range(5000):
        limits.add_weight(IP, 20, 0)
        limits.add_orders("a", 1, 1, 0)
    assert limits.headers(IP, "a", 0) == {
        "X-MBX-USED-WEIGHT-1M": "100000",
        "X-MBX-ORDER-COUNT-10S": "5000",
        "X-MBX-ORDER-COUNT-1M": "5000",
    }
