"""The money rules of `exchanges/simulator/ledger.py`, against the documented sample and a slow recomputation."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.simulator.ledger import Account, Position, fee_of, money

D = Decimal


def test_the_real_open_and_close_of_two_thousandths_gives_the_venues_own_numbers() -> None:
    account = Account("a", "USDT", D("642.85271087"), D("0.0002"), D("0.0005"))
    fee, realized = account.apply("BTCUSDT", True, D("91739.90"), D("0.002"), False, 1)
    assert (fee, realized) == (D("0.09173990"), 0)
    assert account.wallet == D("642.76097097")
    fee, realized = account.apply("BTCUSDT", False, D("90853.20"), D("0.002"), False, 2)
    assert (fee, realized) == (D("0.09085320"), D("-1.77340000"))
    assert account.wallet == D("642.76097097") - D("1.77340000") - D("0.09085320")
    assert account.position("BTCUSDT").quantity == 0


@pytest.mark.parametrize(
    ("fills", "quantity", "cost", "realized"),
    [
        ([("b", "100", "1")], "1", "100", "0"),
        ([("b", "100", "1"), ("b", "110", "1")], "2", "210", "0"),
        ([("b", "100", "2"), ("s", "110", "1")], "1", "100", "10"),
        ([("s", "100", "2"), ("b", "90", "1")], "-1", "100", "10"),
        ([("s", "100", "1"), ("b", "90", "3")], "2", "180", "10"),
        ([("b", "100", "1"), ("s", "90", "3")], "-2", "180", "-10"),
        # a third of 100 is removed as 33.33333333, and what is left is what was not removed
        ([("b", "100", "1"), ("b", "0", "2"), ("s", "50", "1")], "2", "66.66666667", "16.66666667"),
    ],
)
def test_a_position_moves_by_average_cost(
    fills: list[tuple[str, str, str]], quantity: str, cost: str, realized: str
) -> None:
    position = Position()
    for side, price, amount in fills:
        position.fill(side == "b", D(price), D(amount))
    assert (position.quantity, position.cost, position.realized) == (D(quantity), D(cost), D(realized))


def test_fees_round_half_to_even_in_the_eighth_decimal() -> None:
    assert fee_of(D("0.1"), D("0.00005"), D("0.001")) == D("0E-8")  # 0.5e-8: to the even 0
    assert fee_of(D("0.1"), D("0.00015"), D("0.001")) == D("2E-8")  # 1.5e-8: to the even 2
    assert fee_of(D("0.1"), D("0.00015"), D("-0.001")) == D("-2E-8")


def test_unrealized_profit_is_exact_before_its_one_rounding() -> None:
    position = Position()
    position.fill(False, D("61800.3"), D("0.003"))
    assert position.unrealized(D("61800.25000001")) == D("0.00015000")
    assert position.unrealized(D("61700")) == D("0.30090000")


fills_strategy = st.lists(
    st.tuples(st.booleans(), st.integers(1, 10**7), st.integers(1, 10**6)), min_size=1, max_size=30
)


@given(fills_strategy)
def test_the_position_equals_a_recomputation_in_fractions(fills: list[tuple[bool, int, int]]) -> None:
    position = Position()
    quantity, cost, realized = Fraction(0), Fraction(0), Fraction(0)
    for is_buy, price_ticks, lots in fills:
        price, amount = Fraction(price_ticks, 100), Fraction(lots, 1000)
        position.fill(is_buy, D(price_ticks) / 100, D(lots) / 1000)
        signed = amount if is_buy else -amount
        if quantity * signed < 0:
            closed = min(abs(quantity), amount)
            removed = half_even(cost * closed / abs(quantity))
            realized += (closed * price - removed) * (1 if quantity > 0 else -1)
            cost -= removed
            quantity += closed if is_buy else -closed
            signed = (amount - closed) * (1 if is_buy else -1)
            price_of_rest = price
            cost += abs(signed) * price_of_rest
            quantity += signed
        else:
            cost += amount * price
            quantity += signed
    assert (Fraction(position.quantity), Fraction(position.cost), Fraction(position.realized)) == (
        quantity,
        cost,
        realized,
    )


def half_even(value: Fraction) -> Fraction:
    return Fraction(round(value * 10**8), 10**8)


def test_money_never_uses_the_callers_decimal_context() -> None:
    import decimal

    with decimal.localcontext(decimal.Context(prec=5)):
        assert money(D("123456789.123456785")) == D("123456789.12345678")
