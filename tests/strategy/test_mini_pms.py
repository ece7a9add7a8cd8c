"""The integer ledger against one written in fractions, the exposure range, and the one place that reconciles."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.layout import Side
from strategy.contract_money import round_half_even_ratio
from strategy.instrument import Instrument
from strategy.mini_pms import ACCOUNT, MiniPMS
from strategy.order import Order, Working
from tests.strategy.world import make_instrument

UTC = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


class Totals:
    """Stands for MiniOMS's running totals."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[int, int], Working] = {}

    def __call__(self, strategy_id: int, instrument_id: int) -> Working:
        return self.by_key.setdefault((strategy_id, instrument_id), Working())


def make(grace_ns: int = 3 * SECOND) -> MiniPMS:
    return MiniPMS(Totals(), grace_ns=grace_ns)


def cents(value: Fraction) -> Fraction:
    """Nearest multiple of 1e-8, halves to even; by Decimal, not by the code under test."""
    with localcontext() as context:
        context.prec = 120
        scaled = value * 10**8
        whole = scaled.numerator // scaled.denominator
        rest = scaled - whole
        if rest == Fraction(1, 2):
            rounded = int((Decimal(whole) + Decimal("0.5")).to_integral_value(ROUND_HALF_EVEN))
        else:
            rounded = whole + (rest > Fraction(1, 2))
        return Fraction(rounded, 10**8)


class PlainLedger:
    """The rule of the contract, in words and fractions: slow, plain, and written without the other in view."""

    def __init__(self) -> None:
        self.held = Fraction(0)
        self.cost = Fraction(0)  # of |held|, always positive
        self.realized = Fraction(0)

    def trade(self, side: str, price: Fraction, quantity: Fraction) -> None:
        direction = 1 if side == "buy" else -1
        while quantity > 0:
            if self.held == 0 or (self.held > 0) == (direction > 0):
                self.held += direction * quantity
                self.cost += price * quantity
                return
            closing = min(quantity, abs(self.held))
            removed = cents(self.cost * closing / abs(self.held))
            profit = closing * price - removed
            self.realized += profit if self.held > 0 else -profit
            self.cost -= removed
            self.held += direction * closing
            quantity -= closing

    def unrealized(self, mark: Fraction) -> Fraction:
        signed_cost = self.cost if self.held > 0 else -self.cost
        return cents(self.held * mark - signed_cost)


def same(pms: MiniPMS, ledger: PlainLedger, mark: int) -> None:
    position = pms.position(1, INSTRUMENT)
    assert Fraction(position.position_mantissa, 1000) == ledger.held
    assert Fraction(abs(position.cost_mantissa), 10**8) == ledger.cost
    assert Fraction(position.realized_mantissa, 10**8) == ledger.realized
    assert Fraction(position.unrealized_mantissa(mark), 10**8) == ledger.unrealized(Fraction(mark, 10**8))


INSTRUMENT = make_instrument()


@pytest.mark.parametrize("seed", range(5))
def test_ten_thousand_random_fills_agree_exactly_with_the_plain_ledger(seed: int) -> None:
    source = random.Random(seed)
    pms, ledger = make(), PlainLedger()
    for number in range(10_000):
        side = source.choice(("buy", "sell"))
        price, quantity = source.randrange(1, 10_000_000), source.choice((1, 2, 3, 7, 10, 333, 5000))
        pms.apply_fill(1, INSTRUMENT, Side.BUY if side == "buy" else Side.SELL, price, quantity, UTC + number)
        ledger.trade(side, Fraction(price, 100), Fraction(quantity, 1000))
        if number % 50 == 0:
            same(pms, ledger, source.randrange(1, 10**13))
    same(pms, ledger, 6_000_000_000_000)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10**9), st.integers(1, 10**6)), min_size=1, max_size=12),
    st.integers(1, 10**15),
)
def test_any_short_life_agrees_exactly_with_the_plain_ledger(fills: list[tuple[bool, int, int]], mark: int) -> None:
    pms, ledger = make(), PlainLedger()
    for is_buy, price, quantity in fills:
        pms.apply_fill(1, INSTRUMENT, Side.BUY if is_buy else Side.SELL, price, quantity, 0)
        ledger.trade("buy" if is_buy else "sell", Fraction(price, 100), Fraction(quantity, 1000))
        same(pms, ledger, mark)


def test_a_worked_example_to_the_last_digit() -> None:
    # Buy 0.001 at 100.00 and 0.002 at 100.10: cost 0.3002. Sell 0.001 at 100.20: removes 0.3002 / 3 = 0.10006666(6..)
    # -> 0.10006667, realises 0.1002 - 0.10006667 = 0.00013333. What is left: 0.002 for 0.20013333.
    pms = make()
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 1, 1)
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10010, 2, 2)
    pms.apply_fill(1, INSTRUMENT, Side.SELL, 10020, 1, 3)
    position = pms.position(1, INSTRUMENT)
    assert (position.position_mantissa, position.cost_mantissa, position.realized_mantissa) == (2, 20013333, 13333)
    assert position.unrealized_mantissa(100_30000000) == 20060000 - 20013333


def test_a_flip_closes_everything_and_opens_the_rest_at_the_new_price() -> None:
    pms = make()
    pms.apply_fill(1, INSTRUMENT, Side.SELL, 10000, 5, 1)
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 9000, 8, 2)
    position = pms.position(1, INSTRUMENT)
    assert (position.position_mantissa, position.cost_mantissa) == (3, 3 * 9000 * 1000)
    assert position.realized_mantissa == 5 * 1000 * 1000
    assert position.average_price == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (1, 3, 0), (2, 3, 1), (-2, 3, -1)],
)
def test_halves_go_to_the_even_neighbour_on_both_sides_of_zero(numerator: int, denominator: int, expected: int) -> None:
    assert round_half_even_ratio(numerator, denominator) == expected


def test_fees_are_summed_exactly_per_currency() -> None:
    pms = make()
    for fee in (3, -1, 10**12):
        pms.apply_fee(1, INSTRUMENT, "USDT", fee)
    pms.apply_fee(1, INSTRUMENT, "BNB", 5)
    assert pms.position(1, INSTRUMENT).fees == {"USDT": 10**12 + 2, "BNB": 5}


def test_profit_counts_realised_unrealised_and_fees_and_needs_a_mark_where_something_is_held() -> None:
    pms = make()
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 10, 1)
    pms.apply_fee(1, INSTRUMENT, "USDT", 7)
    assert pms.profit(1, {}) is None
    assert pms.profit(1, {INSTRUMENT.id: 101 * 10**8}) == 10**6 - 7
    pms.apply_fill(1, INSTRUMENT, Side.SELL, 10000, 10, 2)
    assert pms.profit(1, {}) == -7


def test_the_exposure_range_counts_every_order_that_may_still_trade() -> None:
    totals = Totals()
    pms = MiniPMS(totals)
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 4, 1)
    totals(1, INSTRUMENT.id).buy, totals(1, INSTRUMENT.id).sell = 3, 9
    position = pms.position(1, INSTRUMENT)
    assert (position.lowest_mantissa, position.highest_mantissa) == (-5, 7)
    assert position.exposure == (-0.005, 0.007)


def test_positions_of_strategies_are_separate_and_the_account_is_their_sum() -> None:
    pms = make()
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 4, 1)
    pms.apply_fill(2, INSTRUMENT, Side.SELL, 10000, 7, 1)
    assert pms.position(1, INSTRUMENT).position_mantissa == 4
    assert pms.net_position(INSTRUMENT.id) == -3


INVERSE = make_instrument(
    row=1, symbol="BTC-PERPETUAL", inverse=1, price_scale=1, quantity_scale=0, tick_size=5, lot_size=10,
    minimum_quantity=10, minimum_notional=0, quote_currency=b"USD", settle_currency=b"BTC",
)  # fmt: skip


def test_an_inverse_position_is_worth_dollars_and_earns_coin() -> None:
    pms = make()
    pms.apply_fill(1, INVERSE, Side.BUY, 500_000, 1000, 1)  # 1,000 dollars at 50,000.0
    position = pms.position(1, INVERSE)
    assert (position.position, position.average_price) == (1000.0, pytest.approx(50_000.0, rel=1e-12))
    assert position.unrealized_mantissa(62_500 * 10**8) == 400_000  # 0.02 - 0.016 coin
    pms.apply_fill(1, INVERSE, Side.SELL, 625_000, 400, 2)
    assert (position.position_mantissa, position.realized_mantissa) == (600, 160_000)
    assert position.average_price == pytest.approx(50_000.0, rel=1e-12)


@pytest.mark.parametrize(
    ("size", "average", "mark", "total"),
    [
        # Position samples of Deribit's documentation: dollars, dollars a coin, the result in coin as it is printed.
        (50, "7440.18", "7476.65", "0.000032781"),
        (185_160, "15000", "17391", "1.69711368"),
        (-60, "47182.76", "45837.07", "0.000037333"),
    ],
)
def test_the_documented_inverse_positions_have_the_documented_profit(
    size: int, average: str, mark: str, total: str
) -> None:
    instrument = make_instrument(
        row=1, symbol="BTC-PERPETUAL", inverse=1, price_scale=2, quantity_scale=0, tick_size=1, lot_size=1,
        minimum_quantity=1, minimum_notional=0, quote_currency=b"USD", settle_currency=b"BTC",
    )  # fmt: skip
    pms, side = make(), Side.BUY if size > 0 else Side.SELL
    pms.apply_fill(1, instrument, side, int(Decimal(average) * 100), abs(size), 1)
    position = pms.position(1, instrument)
    assert position.unrealized_mantissa(int(Decimal(mark) * 10**8)) == cents(Fraction(total)) * 10**8
    other = Side.SELL if size > 0 else Side.BUY
    pms.apply_fill(1, instrument, other, int(Decimal(mark) * 100), abs(size), 2)
    assert (position.position_mantissa, position.realized_mantissa) == (0, cents(Fraction(total)) * 10**8)


def test_profit_in_coin_and_its_fees_count_in_dollars_at_the_mark() -> None:
    pms = make()
    pms.apply_fill(1, INVERSE, Side.SELL, 500_000, 1000, 1)
    pms.apply_fee(1, INVERSE, "BTC", 1000)
    assert pms.profit(1, {}) is None
    assert pms.profit(1, {INVERSE.id: 40_000 * 10**8}) == (500_000 - 1000) * 40_000
    pms.apply_fill(1, INVERSE, Side.BUY, 400_000, 1000, 2)
    assert pms.profit(1, {INVERSE.id: 40_000 * 10**8}) == (500_000 - 1000) * 40_000
    assert pms.profit(1, {}) is None, "coin that no mark prices is not counted as nothing"


def test_a_fee_in_a_third_currency_counts_at_its_mark_or_is_named_as_left_out() -> None:
    pms = make()
    third = make_instrument(row=2, symbol="BNBUSDT", base_currency=b"BNB")
    pms.apply_fee(1, INSTRUMENT, "BNB", 10**8)
    assert pms.profit(1, {}) == 0 and pms.fees_without_rate == {"BNB"}
    pms.position(2, third)
    assert pms.profit(1, {third.id: 600 * 10**8}) == -600 * 10**8


def test_funding_is_kept_by_itself_and_counts_in_the_profit() -> None:
    pms = make()
    pms.apply_funding(1, INSTRUMENT, "USDT", -30)
    pms.apply_funding(1, INSTRUMENT, "USDT", 10)
    position = pms.position(1, INSTRUMENT)
    assert position.funding == {"USDT": -20} and position.realized_mantissa == 0 and pms.profit(1, {}) == -20


def out(instrument: Instrument, side: Side, price: int, leaves: int, pending_price: int = 0) -> Order:
    order = Order(1, 1, instrument, side)
    order.price_mantissa, order.pending_price_mantissa, order.counted_leaves = price, pending_price, leaves
    return order


def test_the_worse_end_adds_the_orders_that_would_lose_and_no_others() -> None:
    pms, marks = make(), {INSTRUMENT.id: 100 * 10**8}
    lot = 10**5  # a lot of 0.001 and a dollar of price, in 1e-8
    assert pms.open_loss(1, marks, [out(INSTRUMENT, Side.BUY, 11000, 1)]) == -10 * lot
    assert pms.open_loss(1, marks, [out(INSTRUMENT, Side.BUY, 9000, 1)]) == 0
    assert pms.open_loss(1, marks, [out(INSTRUMENT, Side.SELL, 9000, 2)]) == -20 * lot
    assert pms.open_loss(1, marks, [out(INSTRUMENT, Side.SELL, 11000, 2)]) == 0
    replaced = out(INSTRUMENT, Side.BUY, 11000, 1, pending_price=12000)
    assert pms.open_loss(1, marks, [replaced, out(INSTRUMENT, Side.SELL, 9000, 1)]) == -30 * lot
    assert pms.open_loss(1, marks, [out(INSTRUMENT, Side.BUY, 0, 5)]) == 0, "a market order trades at the market"
    assert pms.open_loss(1, {}, [replaced]) is None


def test_the_worse_end_of_an_inverse_order_is_in_dollars() -> None:
    pms, marks = make(), {INVERSE.id: 50_000 * 10**8}
    worst = pms.open_loss(1, marks, [out(INVERSE, Side.BUY, 1_000_000, 1000)])
    assert worst == -500 * 10**8  # 0.01 coin bought for what is worth 0.02


def test_the_fee_of_a_fill_that_a_snapshot_contains_was_paid_before() -> None:
    pms = seeded(5)
    pms.apply_fee(1, INSTRUMENT, "USDT", 7, UTC)
    assert pms.position(1, INSTRUMENT).fees == {}
    pms.apply_fee(1, INSTRUMENT, "USDT", 7, UTC + 1)
    assert pms.position(1, INSTRUMENT).fees == {"USDT": 7}


def test_a_contract_size_other_than_one_scales_cost_and_profit() -> None:
    contract = make_instrument(contract_size=10 * 10**8)
    pms = make()
    pms.apply_fill(1, contract, Side.BUY, 10000, 3, 1)
    position = pms.position(1, contract)
    assert position.cost_mantissa == 3 * 10**8  # 0.003 contracts of 10 at 100.00
    assert position.unrealized_mantissa(110 * 10**8) == 3 * 10**7 and position.average_price == pytest.approx(100.0)


# --- reconcile --------------------------------------------------------------------------------------------------------
def row(position: int, time_ns: int, entry_price: float = 100.0, valid: int = 1) -> Any:
    return SimpleNamespace(position=position, exchange_time_ns=time_ns, entry_price=entry_price, valid=valid)


def seeded(position: int = 0, **options: Any) -> MiniPMS:
    pms = make(**options)
    pms.set_owner(INSTRUMENT.id, 1)
    pms.seed(INSTRUMENT, row(position, UTC))
    return pms


def test_the_first_row_is_taken_over_without_being_a_correction() -> None:
    pms = seeded(5)
    position = pms.position(1, INSTRUMENT)
    assert (position.position_mantissa, position.cost_mantissa, pms.reconcile_corrections) == (5, 5 * 10**7, 0)
    pms.seed(INSTRUMENT, row(99, UTC + 1))
    assert position.position_mantissa == 5, "only the first row seeds"


def test_what_a_position_had_gained_before_it_was_taken_over_is_known_by_itself() -> None:
    pms, marks = seeded(5), {INSTRUMENT.id: 110 * 10**8}
    assert pms.taken_over_profit(1, {}) is None
    assert pms.taken_over_profit(1, marks) == 5 * 10**6 == pms.profit(1, marks)
    pms.apply_fill(1, INSTRUMENT, Side.SELL, 12000, 5, UTC + 1)
    assert pms.taken_over_profit(1, marks) == 5 * 10**6, "of that day, whatever it became"


def test_a_fill_that_the_first_row_contains_is_not_applied_again() -> None:
    pms = seeded(5)
    assert pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 5, UTC) is None
    assert pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 1, UTC + 1) is not None
    assert pms.position(1, INSTRUMENT).position_mantissa == 6 and pms.fills_in_snapshot == 1


def stand(pms: MiniPMS, given_row: Any, seconds: float, start: int = 0) -> int:
    """Reconcile every 100 ms with the same row; the sum of corrections."""
    return sum(
        pms.reconcile(INSTRUMENT, given_row, start + step * SECOND // 10) for step in range(int(seconds * 10) + 1)
    )


def test_a_row_older_than_the_last_fill_does_not_undo_it() -> None:
    pms = seeded()
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 5, UTC + 10)
    assert stand(pms, row(0, UTC + 9), 60) == 0
    assert pms.position(1, INSTRUMENT).position_mantissa == 5 and pms.reconcile_corrections == 0


def test_a_row_that_comes_before_its_fill_waits_for_it() -> None:
    pms = seeded()
    assert stand(pms, row(5, UTC + 10), 2.9) == 0
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 5, UTC + 10)
    assert stand(pms, row(5, UTC + 10), 60, 3 * SECOND) == 0 and pms.reconcile_corrections == 0


def test_a_difference_that_stands_for_the_grace_period_is_corrected_once_and_counted() -> None:
    pms = seeded()
    assert stand(pms, row(5, UTC + 10, entry_price=120.0), 30) == 5
    position = pms.position(1, INSTRUMENT)
    assert (position.position_mantissa, position.cost_mantissa, pms.reconcile_corrections) == (5, 6 * 10**7, 1)
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 5, UTC + 10)
    assert position.position_mantissa == 5, "the late fill is in the row that was taken over"


def test_a_difference_that_keeps_moving_is_not_corrected() -> None:
    pms = seeded()
    for step in range(200):
        pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 1, UTC + 100 + step)
        assert pms.reconcile(INSTRUMENT, row(step, UTC + 100 + step), step * SECOND) == 0
    assert pms.reconcile_corrections == 0


def test_an_inverse_position_is_taken_over_at_the_venues_entry_price_to_its_last_digit() -> None:
    pms = make()
    pms.set_owner(INVERSE.id, 1)
    pms.seed(INVERSE, row(-185_160, UTC, entry_price=15_000.123456))
    position = pms.position(1, INVERSE)
    assert position.position_mantissa == -185_160
    assert position.average_price == pytest.approx(15_000.123456, rel=1e-15)


def test_a_row_without_an_entry_price_moves_the_position_all_the_same_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pms = make()
    pms.set_owner(INVERSE.id, 1)
    pms.seed(INVERSE, row(100, UTC, entry_price=0.0))
    position = pms.position(1, INVERSE)
    assert position.position_mantissa == 100 and position.average_price != position.average_price
    assert "no entry price" in caplog.text


def test_an_invalid_row_says_nothing() -> None:
    pms = seeded()
    assert stand(pms, row(5, UTC + 10, valid=0), 30) == 0


def test_a_correction_goes_to_the_strategy_that_alone_trades_it_and_else_to_the_account() -> None:
    pms = make()
    pms.set_owner(INSTRUMENT.id, 1)
    pms.set_owner(INSTRUMENT.id, 2)
    pms.seed(INSTRUMENT, row(0, UTC))
    pms.apply_fill(1, INSTRUMENT, Side.BUY, 10000, 4, UTC + 1)
    assert stand(pms, row(10, UTC + 2), 30) == 6
    assert pms.position(1, INSTRUMENT).position_mantissa == 4
    assert pms.position(ACCOUNT, INSTRUMENT).position_mantissa == 6
