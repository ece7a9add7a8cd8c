"""Each limit by itself, at and beyond its edge; and what no limit may ever stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shm.layout import Reason, Side
from strategy.mini_pms import Position
from strategy.order import Working
from strategy.risk import PASS, RateLimit, StrategyRisk
from tests.strategy.world import Limits, make_instrument

INSTRUMENT = make_instrument()
MID = 60000.0
PRICE = 6_000_000
SECOND = 1_000_000_000
WIDE = Limits()


def make(limits: Limits | None = WIDE, position: int = 0, buy: int = 0, sell: int = 0) -> tuple[StrategyRisk, Position]:
    held = Position(1, INSTRUMENT, Working())
    held.position_mantissa = position
    held.working.buy, held.working.sell = buy, sell
    return StrategyRisk(limits, [INSTRUMENT]), held


def ask(pair: tuple[StrategyRisk, Position], side: Side = Side.BUY, quantity: int = 100, **changes: Any) -> int:
    risk, position = pair
    values = {
        "price": PRICE,
        "replaced": 0,
        "mid": MID,
        "open_orders": 0,
        "now_ns": SECOND,
        "reduce_only": False,
        **changes,
    }
    notional = INSTRUMENT.notional(int(values["price"]), quantity)
    return risk.check(position, side, quantity=quantity, notional=notional, **values)


def test_an_order_within_all_limits_passes() -> None:
    assert ask(make()) == PASS


def test_no_limits_means_no_orders() -> None:
    pair = make(None)
    assert ask(pair) == Reason.RISK_NO_LIMITS and "no limits" in pair[0].text
    assert ask((StrategyRisk(WIDE, []), pair[1])) == Reason.RISK_NO_LIMITS, "limits of another instrument are none"


def test_the_largest_quantity_passes_and_one_lot_more_does_not() -> None:
    assert ask(make(), quantity=1000) == PASS
    pair = make()
    assert ask(pair, quantity=1001) == Reason.RISK_SIZE and "1.001" in pair[0].text


def test_notional_is_price_times_quantity() -> None:
    limits = replace(WIDE, max_order_notional="6000")
    assert ask(make(limits), quantity=100) == PASS
    assert ask(make(limits), quantity=101) == Reason.RISK_NOTIONAL
    assert ask(make(limits), quantity=101, price=0) == Reason.RISK_NOTIONAL, "a market order counts at the mid"


def test_the_position_limit_counts_the_worse_end_with_open_orders() -> None:
    assert ask(make(position=1000, buy=500), quantity=500) == PASS
    assert ask(make(position=1000, buy=501), quantity=500) == Reason.RISK_POSITION
    assert ask(make(position=1000, sell=5000), quantity=1000) == PASS, "sells do not make room nor take it"
    assert ask(make(position=-1000, sell=501), Side.SELL, quantity=500) == Reason.RISK_POSITION


def test_a_replace_does_not_count_its_own_order_twice() -> None:
    assert ask(make(position=1000, buy=600), quantity=900, replaced=500) == PASS
    assert ask(make(position=1000, buy=600), quantity=901, replaced=500) == Reason.RISK_POSITION


def test_the_price_band_holds_on_both_sides_of_the_mid() -> None:
    limits = replace(WIDE, price_band=0.01)
    assert ask(make(limits), price=6_060_000) == PASS
    assert ask(make(limits), price=6_060_010) == Reason.RISK_COLLAR
    assert ask(make(limits), price=5_939_990) == Reason.RISK_COLLAR


def test_without_a_mid_nothing_can_be_checked_so_nothing_is_sent() -> None:
    assert ask(make(), mid=float("nan")) == Reason.RISK_STALE_DATA


def test_the_open_order_limit_counts_the_others() -> None:
    assert ask(make(), open_orders=9) == PASS
    assert ask(make(), open_orders=10) == Reason.RISK_OPEN_ORDERS


def test_the_rate_allows_one_second_at_once_and_then_its_pace() -> None:
    pair = make(replace(WIDE, max_orders_per_second=4.0))
    answers = [ask(pair, now_ns=SECOND) for _ in range(6)]
    assert answers == [PASS] * 4 + [Reason.RISK_RATE] * 2
    assert ask(pair, now_ns=SECOND + SECOND // 4) == PASS
    assert ask(pair, now_ns=SECOND + SECOND // 4) == Reason.RISK_RATE


def test_a_rate_below_one_per_second_still_allows_one() -> None:
    limit = RateLimit(0.5)
    assert limit.take(SECOND) and not limit.take(2 * SECOND) and limit.take(3 * SECOND)


def test_over_a_long_time_the_rate_is_exact() -> None:
    limit = RateLimit(10.0)
    passed = sum(limit.take(SECOND + step * SECOND // 1000) for step in range(100_000))
    assert 1000 <= passed <= 1010


@pytest.mark.parametrize("limits", [None, replace(WIDE, max_order_quantity="0.001", max_orders_per_second=0.001)])
def test_what_reduces_always_passes(limits: Limits | None) -> None:
    for _ in range(3):
        assert ask(make(limits, position=500), Side.SELL, 500, mid=float("nan"), open_orders=999) == PASS
        assert ask(make(limits, position=-500), Side.BUY, 500) == PASS
        assert ask(make(limits), Side.BUY, 500, reduce_only=True) == PASS


def test_what_would_turn_the_position_around_does_not_reduce() -> None:
    assert ask(make(None, position=500), Side.SELL, 501) == Reason.RISK_NO_LIMITS
    assert ask(make(None, position=500, sell=1), Side.SELL, 500) == Reason.RISK_NO_LIMITS
    assert ask(make(None, position=500, sell=500), Side.SELL, 500, replaced=500) == PASS
    assert ask(make(None, position=0), Side.SELL, 1) == Reason.RISK_NO_LIMITS


def test_what_blocks_a_strategy_lets_only_reducing_pass() -> None:
    risk, held = make()
    risk.blocked = "the loss limit was reached"
    assert ask((risk, held)) == Reason.RISK_LOSS and risk.text == "the loss limit was reached"
    held.position_mantissa = 100
    assert ask((risk, held), Side.SELL, 100) == PASS
    risk.blocked = ""
    assert ask((risk, held)) == PASS


def test_new_limits_hold_from_the_next_order_on_and_keep_what_the_rate_has_spent() -> None:
    risk, held = make(replace(WIDE, max_orders_per_second=1.0))
    assert ask((risk, held)) == PASS
    risk.set_limits(replace(WIDE, max_orders_per_second=1.0, max_order_quantity="0.05"))
    assert ask((risk, held)) == Reason.RISK_SIZE
    assert ask((risk, held), quantity=50) == Reason.RISK_RATE
    risk.set_limits(replace(WIDE, max_orders_per_second=2.0))
    assert ask((risk, held)) == PASS


@pytest.mark.parametrize("quantity", [2**63 - 1, 2**64, 10**30])
def test_no_size_is_too_large_to_be_refused(quantity: int) -> None:
    assert ask(make(), quantity=quantity) == Reason.RISK_SIZE
    assert ask(make(buy=2**63 - 1), quantity=1000) == Reason.RISK_POSITION
    assert ask(make(position=-(2**62), sell=2**63 - 1), Side.SELL, quantity=1000) == Reason.RISK_POSITION


def test_a_refusal_is_one_sentence_with_the_limit_and_is_counted() -> None:
    risk, held = make(replace(WIDE, max_position="0.05"))
    assert ask((risk, held)) == Reason.RISK_POSITION
    assert risk.refusals == 1 and "0.05" in risk.text and "\n" not in risk.text
