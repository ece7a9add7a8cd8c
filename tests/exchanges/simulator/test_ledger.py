"""The money rules of `exchanges/simulator/ledger.py`, against the documented sample and a slow recomputation."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.simulator.ledger import Account, InversePosition, Position, fee_of, inverse_fee_of, money

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


def half_even(value: Fraction, scale: int = 8) -> Fraction:
    return Fraction(round(value * 10**scale), 10**scale)


# --- inverse contracts ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "average", "mark", "total"),
    [
        # Position samples of the venue's documentation: size in dollars, result in coin, as many digits as are printed.
        ("50", "7440.18", "7476.65", "0.000032781"),
        ("185160", "15000", "17391", "1.69711368"),
        ("-60", "47182.76", "45837.07", "0.000037333"),
    ],
)
def test_the_documented_inverse_positions_have_the_documented_profit(
    size: str, average: str, mark: str, total: str
) -> None:
    position = InversePosition()
    position.fill(D(size) > 0, D(average), abs(D(size)))
    assert position.unrealized(D(mark)) == money(D(total))
    assert round(position.entry_price, 6) == D(average)


@pytest.mark.parametrize(
    ("amount", "price", "rate", "fee"),
    [
        ("21", "202.8", "0.00075", "0.00007766"),
        ("8940", "8947", "0.0005", "0.00049961"),
        ("20", "8954", "0.00075", "0.00000168"),
        ("10", "92037", "0.0005", "0.00000005"),
        ("10", "92037", "-0.0005", "-0.00000005"),
    ],
)
def test_the_documented_inverse_fees_come_out(amount: str, price: str, rate: str, fee: str) -> None:
    assert inverse_fee_of(D(price), D(amount), D(rate)) == D(fee)


def test_a_short_inverse_position_that_flips_closes_first_and_opens_the_rest() -> None:
    position = InversePosition()
    assert position.fill(False, D(50000), D(100)) == 0
    assert position.fill(True, D(40000), D(300)) == D("0.0005"), "100 / 40,000 - 100 / 50,000, not its negative"
    assert (position.quantity, position.cost, position.entry_price) == (200, D("0.005"), 40000)


def test_an_account_books_inverse_symbols_in_coin_and_others_in_quote() -> None:
    account = Account("a", "BTC", D(1), D(0), D("0.0005"), inverse={"BTC-PERPETUAL"})
    assert account.apply("BTC-PERPETUAL", True, D(50000), D(1000), False, 1) == (D("0.00001"), 0)
    assert account.apply("BTC-PERPETUAL", False, D(62500), D(1000), True, 2) == (0, D("0.004"))
    account.fund("BTC-PERPETUAL", D("-0.0001"))
    assert account.wallet == D(1) - D("0.00001") + D("0.004") - D("0.0001")
    assert (account.funding, account.position("BTC-PERPETUAL").funding) == (D("-0.0001"), D("-0.0001"))
    assert account.apply("OTHER", True, D(10), D(2), False, 1)[0] == D("0.01")


@given(fills_strategy, st.integers(1, 10**7))
def test_the_inverse_position_equals_a_recomputation_in_fractions(
    fills: list[tuple[bool, int, int]], mark_ticks: int
) -> None:
    position = InversePosition()
    quantity, cost, realized = Fraction(0), Fraction(0), Fraction(0)  # dollars, coin of what is held, coin
    for is_buy, price_ticks, tens in fills:
        price, amount = Fraction(price_ticks, 100), Fraction(tens * 10)
        position.fill(is_buy, D(price_ticks) / 100, D(tens * 10))
        signed = amount if is_buy else -amount
        if quantity * signed < 0:
            closed = min(abs(quantity), amount)
            entry = abs(quantity) / cost
            removed = half_even(closed / entry, 18)
            side = 1 if quantity > 0 else -1
            realized += side * half_even(removed - half_even(closed / price, 18))
            cost -= removed
            quantity -= side * closed
            amount -= closed
            signed = amount if is_buy else -amount
        if amount:
            cost += half_even(amount / price, 18)
            quantity += signed
    assert (Fraction(position.quantity), Fraction(position.cost), Fraction(position.realized)) == (
        quantity, cost, realized,
    )  # fmt: skip
    mark = Fraction(mark_ticks, 100)
    expected = half_even((cost if quantity > 0 else -cost) - quantity / mark)
    assert Fraction(position.unrealized(D(mark_ticks) / 100)) == expected


def test_money_never_uses_the_callers_decimal_context() -> None:
    import decimal

    with decimal.localcontext(decimal.Context(prec=5)):
        assert money(D("123456789.123456785")) == D("123456789.12345678")
