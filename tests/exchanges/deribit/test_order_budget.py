"""Credits: orders, edits and cancels in one bucket, questions in another, and what a refusal does."""

from __future__ import annotations

import pytest

from exchanges.deribit.order_budget import CREDITS, MATCHING, OrderBudget
from exchanges.deribit.order_messages import AccountLimits, MatchingLimits, Rate, TradingLimits
from shm.layout import RequestType
from shm.records import OrderRequest

NOW = 1_767_000_000 * 10**9
SECOND = 10**9


def request(kind: RequestType) -> OrderRequest:
    one = OrderRequest()
    one.request_type = kind
    return one


def admitted(budget: OrderBudget, kind: RequestType, now: int = NOW) -> int:
    count = 0
    while budget.admit_request(request(kind), now) == 0:
        count += 1
        assert count < 1000
    return count


def test_new_orders_leave_a_share_to_cancels_and_it_refills() -> None:
    budget = OrderBudget()
    assert admitted(budget, RequestType.NEW) == 18  # of 20
    assert admitted(budget, RequestType.CANCEL) == 2
    assert admitted(budget, RequestType.CANCEL, NOW + SECOND) == 5


def test_questions_cost_credits_and_no_orders() -> None:
    budget = OrderBudget()
    assert admitted(budget, RequestType.QUERY) == 60  # 60 % of 50,000 at 500 each
    assert budget.admit_request(request(RequestType.NEW), NOW) == 0


def test_the_accounts_own_limits_replace_the_smallest_tiers() -> None:
    budget = OrderBudget()
    budget.learn_limits(AccountLimits(MatchingLimits(TradingLimits(Rate(30.0, 100.0)))))
    assert admitted(budget, RequestType.CANCEL) == 100
    assert admitted(budget, RequestType.CANCEL, NOW + SECOND) == 30
    budget.learn_limits(AccountLimits())  # per currency: told in another form, so the known ones stay
    assert admitted(budget, RequestType.CANCEL, NOW + 10 * SECOND) == 100


def test_after_too_many_new_orders_rest_and_cancels_go_on_one_at_a_time() -> None:
    budget = OrderBudget()
    budget.note(10028, MATCHING, NOW, NOW)
    assert budget.admit_request(request(RequestType.NEW), NOW + SECOND) > NOW + SECOND
    assert admitted(budget, RequestType.CANCEL, NOW + 2 * SECOND) == 1
    assert budget.admit_request(request(RequestType.QUERY), NOW) == 0  # another bucket
    budget.note(0, MATCHING, NOW + 2 * SECOND, NOW + 2 * SECOND)  # it was served: the others may go
    assert admitted(budget, RequestType.CANCEL, NOW + 3 * SECOND) > 1
    assert budget.admit_request(request(RequestType.NEW), NOW + 11 * SECOND) == 0


@pytest.mark.parametrize("code", [0, 10009, 11054])
def test_other_replies_shut_nothing(code: int) -> None:
    budget = OrderBudget()
    budget.note(code, CREDITS, NOW, NOW)
    assert budget.admit_request(request(RequestType.QUERY), NOW) == 0
