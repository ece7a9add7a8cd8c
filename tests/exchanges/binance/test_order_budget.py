"""What Binance's headers and refusals do to the budget."""

from __future__ import annotations

import pytest

from exchanges.binance.messages import RateLimit
from exchanges.binance.order_budget import (
    QUERY_WEIGHT,
    OrderBudget,
)
from exchanges.http import HttpReply
from exchanges.rate_limit import Lane, account_of
from shm.layout import RequestType
from shm.limits import LimitTable
from shm.records import OrderRequest

SECOND = 10**9
NOW = 1_790_000_003 * SECOND
END_OF_10S = 1_790_000_010 * SECOND
END_OF_MINUTE = 1_790_000_040 * SECOND
TOO_MUCH_WEIGHT = "Too many requests; current limit is 2400 requests per minute. Please use the websocket"


def request(kind: RequestType) -> OrderRequest:
    made = OrderRequest()
    made.request_type = kind
    return made


def reply(status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, {name.replace("_", "-"): text for name, text in headers.items()}, b"")


def budget(table: LimitTable | None = None) -> OrderBudget:
    return OrderBudget(table, "account")


def used(made: OrderBudget, now: int = NOW) -> dict[str, int]:
    return {name: bucket.used(now) for name, bucket in made.buckets.items()}


def waits(made: OrderBudget, now: int = NOW) -> tuple[int, int, int]:
    """Until when NEW, CANCEL and QUERY wait; 0: not at all."""
    kinds = (RequestType.NEW, RequestType.CANCEL, RequestType.QUERY)
    new, cancel, query = (made.admit_request(request(kind), now) for kind in kinds)
    return new, cancel, query


def test_orders_and_amends_cost_orders_and_cancels_cost_weight() -> None:
    made = budget()
    for kind in (RequestType.NEW, RequestType.REPLACE, RequestType.CANCEL, RequestType.QUERY):
        assert made.admit_request(request(kind), NOW) == 0
    assert used(made) == {"weight_1m": 2, "orders_10s": 2, "orders_1m": 2}


def test_one_address_counts_the_weight_of_all_and_each_account_its_own_orders() -> None:
    table = LimitTable()
    engine, other, market = (
        OrderBudget(table, account_of("k1")),
        OrderBudget(table, account_of("k2")),
        OrderBudget(table),
    )
    engine.admit_request(request(RequestType.NEW), NOW)
    other.admit_request(request(RequestType.CANCEL), NOW)
    market.admit(Lane.QUERY, {QUERY_WEIGHT: 20}, NOW)
    assert used(engine) == {"weight_1m": 21, "orders_10s": 1, "orders_1m": 1}
    assert used(other) == {"weight_1m": 21, "orders_10s": 0, "orders_1m": 0}
    assert used(market) == {"weight_1m": 21}
    assert "k1" not in str(table.rows())


def test_headers_raise_the_counts_and_the_odd_minus_one_does_not() -> None:
    made = budget()
    made.note(reply(x_mbx_used_weight_1m="1234", x_mbx_order_count_10s="40", x_mbx_order_count_1m="90"), 0, "", NOW)
    made.note(reply(x_mbx_used_weight_1m="-1"), 0, "", NOW)
    assert list(used(made).values()) == [1234, 40, 90]


def test_a_count_that_may_be_of_the_window_before_is_not_taken_for_this_one() -> None:
    made = budget()
    late = reply(x_mbx_used_weight_1m="1234", x_mbx_order_count_10s="40", x_mbx_order_count_1m="90")
    made.note(late, 0, "", END_OF_10S + 5, asked_ns=END_OF_10S - 5)
    assert used(made, END_OF_10S + 5) == {"weight_1m": 1234, "orders_10s": 0, "orders_1m": 90}


def test_the_venues_own_limits_take_the_place_of_the_constants_for_everybody() -> None:
    table = LimitTable()
    made, other = budget(table), OrderBudget(table)
    made.learn_limits([
        RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        RateLimit("ORDERS", "SECOND", 10, 50),
        RateLimit("RAW_REQUESTS", "MINUTE", 5, 61000),
    ])  # fmt: skip
    assert {name: bucket.limit for name, bucket in made.buckets.items()} == {
        "weight_1m": 6000, "orders_10s": 50, "orders_1m": 1200,
    }  # fmt: skip
    assert other.buckets[QUERY_WEIGHT].limit == 6000


@pytest.mark.parametrize(
    ("words", "until"),
    [
        ("Too many new orders; current limit is 300 orders per 10 SECOND.", END_OF_10S),
        ("Too many new orders; current limit is 1200 orders per 1 MINUTE.", END_OF_MINUTE),
        ("Too many new orders; current limit is 1200 orders per MINUTE.", END_OF_MINUTE),
        ("Too many new orders.", NOW + 10 * SECOND),
    ],
)
def test_too_many_orders_holds_new_ones_back_for_that_window_and_no_cancel(words: str, until: int) -> None:
    made = budget()
    made.note(reply(429), -1015, words, NOW)
    assert waits(made) == (until, 0, 0)
    assert waits(made, until) == (0, 0, 0)


def test_a_time_that_the_venue_names_is_kept_by_everybody() -> None:
    made = budget()
    made.note(reply(429, retry_after="7"), -1003, TOO_MUCH_WEIGHT, NOW)
    assert waits(made) == (NOW + 7 * SECOND,) * 3
    assert waits(made, NOW + 7 * SECOND) == (0, 0, 0)


def test_weight_that_is_used_up_holds_everything_that_costs_weight_to_the_end_of_the_minute() -> None:
    made = budget()
    made.note(reply(429, x_mbx_used_weight_1m="2401"), -1003, TOO_MUCH_WEIGHT, NOW)
    new, cancel, query = waits(made)
    assert (cancel, query) == (END_OF_MINUTE, END_OF_MINUTE)
    assert new == 0, "an order costs no weight"
    assert waits(made, END_OF_MINUTE) == (0, 0, 0)


@pytest.mark.parametrize("headers", [{}, {"x_mbx_used_weight_1m": "1"}])
def test_a_429_that_nobody_explains_lets_cancels_ask_again_soon_and_one_at_a_time(headers: dict[str, str]) -> None:
    made = budget()
    made.note(reply(429, **headers), -1003, TOO_MUCH_WEIGHT, NOW)
    assert waits(made) == (NOW + 10 * SECOND, NOW + SECOND, NOW + 10 * SECOND)
    later = NOW + SECOND
    assert made.admit_request(request(RequestType.CANCEL), later) == 0
    assert made.admit_request(request(RequestType.CANCEL), later) == later + 2 * SECOND
    made.note(reply(400), -2011, "Unknown order sent.", later + 5, asked_ns=later)
    assert waits(made, later + 5) == (NOW + 10 * SECOND, 0, NOW + 10 * SECOND), "it was served: cancels go again"


def test_a_venue_that_keeps_refusing_is_asked_no_more_than_a_few_times_a_minute() -> None:
    """The shortest way into a ban is a hundred cancels that each try again at once."""
    made, now, sent = budget(), NOW, 0
    made.note(reply(429), -1003, TOO_MUCH_WEIGHT, now)
    while now < NOW + 60 * SECOND:
        now += SECOND // 10
        for _ in range(100):
            if made.admit_request(request(RequestType.CANCEL), now) == 0:
                sent += 1
                made.note(reply(429), -1003, TOO_MUCH_WEIGHT, now + SECOND // 20)
        made.hush(QUERY_WEIGHT, now)
    assert 3 <= sent <= 6


def test_a_ban_lasts_until_the_time_in_its_words_for_all_processes() -> None:
    words = "Way too many requests; IP(1.2.3.4) banned until 1790000300000. Please use the websocket"
    table = LimitTable()
    made, other = budget(table), OrderBudget(table)
    made.note(reply(418), -1003, words, NOW)
    assert waits(made) == (1_790_000_300_000 * 10**6,) * 3
    assert other.admit(Lane.CANCEL, {QUERY_WEIGHT: 1}, NOW) == 1_790_000_300_000 * 10**6
    without = budget()
    without.note(reply(418), 0, "", NOW)
    assert waits(without) == (NOW + 120 * SECOND,) * 3
