"""Tokens of creates, cancels and queries apart, and what a refusal does."""

from __future__ import annotations

import pytest

from exchanges.grvt.order_budget import ASSUMED_PER_S, CANCELS, CREATES, QUERIES, OrderBudget
from shm.layout import RequestType
from shm.limits import LimitTable
from shm.records import OrderRequest

NOW = 1_767_000_000 * 10**9
SECOND = 10**9


def request(kind: RequestType) -> OrderRequest:
    one = OrderRequest()
    one.request_type = kind
    return one


def admitted(budget: OrderBudget, kind: RequestType, now_ns: int = NOW) -> int:
    count = 0
    while budget.admit_request(request(kind), now_ns) == 0:
        count += 1
        assert count < 1_000
    return count


def test_creates_do_not_use_up_what_cancels_need() -> None:
    budget = OrderBudget()
    assert 0 < admitted(budget, RequestType.NEW) <= ASSUMED_PER_S[CREATES]
    assert budget.admit_request(request(RequestType.CANCEL), NOW) == 0
    assert budget.admit_request(request(RequestType.QUERY), NOW) == 0


def test_a_replace_is_a_cancel_and_a_create() -> None:
    budget = OrderBudget()
    before = {name: budget.buckets[name].used(NOW) for name in (CREATES, CANCELS, QUERIES)}
    assert budget.admit_request(request(RequestType.REPLACE), NOW) == 0
    after = {name: budget.buckets[name].used(NOW) for name in before}
    assert [after[name] - before[name] for name in before] == [1, 1, 0]


def test_what_was_used_comes_back() -> None:
    budget = OrderBudget()
    admitted(budget, RequestType.NEW)
    assert admitted(budget, RequestType.NEW, NOW + SECOND) > 0


def test_two_processes_of_one_account_share_the_tokens() -> None:
    table = LimitTable()
    one, other = OrderBudget(table, "a"), OrderBudget(table, "a")
    admitted(one, RequestType.NEW)
    assert other.admit_request(request(RequestType.NEW), NOW) > NOW
    assert OrderBudget(table, "b").admit_request(request(RequestType.NEW), NOW) == 0


def test_the_config_names_what_the_tier_allows_and_the_rest_is_assumed() -> None:
    table = LimitTable()
    assert 0 < admitted(OrderBudget(table, "a"), RequestType.NEW) <= 20
    wide = OrderBudget(table, "a", {CREATES: 400.0, QUERIES: 0.5})
    later = NOW + 60 * SECOND
    assert 300 <= admitted(wide, RequestType.NEW, later) <= 400
    assert admitted(wide, RequestType.QUERY, later) == 1
    assert 0 < admitted(wide, RequestType.CANCEL, later) <= ASSUMED_PER_S[CANCELS]


def test_a_refusal_shuts_new_orders_and_lets_a_cancel_ask_again() -> None:
    budget = OrderBudget()
    budget.note(1006, CREATES, NOW, NOW)
    assert budget.admit_request(request(RequestType.NEW), NOW) > NOW
    assert budget.admit_request(request(RequestType.CANCEL), NOW) == 0
    assert budget.admit_request(request(RequestType.NEW), NOW + 11 * SECOND) == 0


@pytest.mark.parametrize("code", [0, 2064, 2090])
def test_other_replies_shut_nothing(code: int) -> None:
    budget = OrderBudget()
    budget.note(code, CREATES, NOW, NOW)
    assert budget.admit_request(request(RequestType.NEW), NOW) == 0
