"""What Binance's headers and refusals do to the budget."""

from __future__ import annotations

from exchanges.binance.order_budget import ORDERS_10S, QUERY_WEIGHT, OrderBudget
from exchanges.http import HttpReply
from shm.layout import RequestType
from shm.records import OrderRequest

NOW = 1_790_000_000 * 10**9


def request(kind: RequestType) -> OrderRequest:
    made = OrderRequest()
    made.request_type = kind
    return made


def reply(status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, {name.replace("_", "-"): text for name, text in headers.items()}, b"")


def test_orders_and_amends_cost_orders_and_cancels_cost_weight() -> None:
    budget = OrderBudget()
    for kind in (RequestType.NEW, RequestType.REPLACE, RequestType.CANCEL, RequestType.QUERY):
        assert budget.admit_request(request(kind), NOW) == 0
    assert {name: bucket.used for name, bucket in budget.buckets.items()} == {
        "weight_1m": 2, "orders_10s": 2, "orders_1m": 2,
    }  # fmt: skip


def test_headers_raise_the_counts_and_the_odd_minus_one_does_not() -> None:
    budget = OrderBudget()
    budget.note(reply(x_mbx_used_weight_1m="1234", x_mbx_order_count_10s="40", x_mbx_order_count_1m="90"), 0, "", NOW)
    budget.note(reply(x_mbx_used_weight_1m="-1"), 0, "", NOW)
    assert [bucket.used for bucket in budget.buckets.values()] == [1234, 40, 90]


def test_too_many_orders_does_not_hold_back_cancels() -> None:
    budget = OrderBudget()
    budget.note(reply(429), -1015, "Too many new orders", NOW)
    assert budget.admit_request(request(RequestType.NEW), NOW) == NOW + 10 * 10**9
    assert budget.admit_request(request(RequestType.CANCEL), NOW) == 0


def test_too_much_weight_holds_back_everything_for_as_long_as_the_venue_says() -> None:
    budget = OrderBudget()
    budget.note(reply(429, retry_after="7"), -1003, "Too many requests", NOW)
    for kind in (RequestType.NEW, RequestType.CANCEL, RequestType.QUERY):
        assert budget.admit_request(request(kind), NOW) == NOW + 7 * 10**9
    assert budget.admit_request(request(RequestType.CANCEL), NOW + 7 * 10**9) == 0


def test_a_ban_lasts_until_the_time_in_its_words() -> None:
    budget = OrderBudget()
    words = "Way too many requests; IP(1.2.3.4) banned until 1790000300000. Please use the websocket"
    budget.note(reply(418), -1003, words, NOW)
    assert budget.buckets[QUERY_WEIGHT].blocked_until_ns == 1_790_000_300_000 * 10**6
    other = OrderBudget()
    other.note(reply(418), 0, "", NOW)
    assert other.buckets[ORDERS_10S].blocked_until_ns == NOW + 120 * 10**9
