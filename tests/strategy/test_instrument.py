"""Floats become exact ticks and lots here, or are refused."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm.layout import Side
from strategy.instrument import InstrumentError
from tests.strategy.world import make_instrument, make_instrument_row

BTC = make_instrument()


@given(st.integers(1, 99_999_900))
def test_every_price_on_the_grid_survives_its_float(ticks: int) -> None:
    mantissa = ticks * 10 % 1_000_000_00 or 10
    price = mantissa / 100
    for side in (Side.BUY, Side.SELL):
        assert BTC.price_mantissa(price, side, passive=True) == mantissa
        assert BTC.price_mantissa(price, side, passive=False) == mantissa
    assert BTC.price_mantissa(Decimal(mantissa) / 100, Side.BUY, passive=True) == mantissa


@given(st.floats(1.0, 999_999.0), st.sampled_from([Side.BUY, Side.SELL]))
def test_passive_rounding_never_improves_a_price_by_more_than_the_snap(price: float, side: Side) -> None:
    rounded = BTC.price_mantissa(price, side, passive=True) / 100
    slack = 1e-6 * 0.1 + 1e-9
    if side == Side.BUY:
        assert price - 0.1 - slack < rounded <= price + slack
    else:
        assert price - slack <= rounded < price + 0.1 + slack


def test_sums_of_ticks_do_not_fall_to_the_tick_below() -> None:
    assert BTC.price_mantissa(0.1 + 0.2 + 60000, Side.BUY, passive=True) == 6_000_030
    assert BTC.price_mantissa(60000 + 0.1 * 3, Side.SELL, passive=True) == 6_000_030


def test_nearest_rounding_is_used_where_passive_is_not_asked_for() -> None:
    assert BTC.price_mantissa(100.06, Side.BUY, passive=False) == 10010
    assert BTC.price_mantissa(100.04, Side.SELL, passive=False) == 10000


def test_quantities_go_down_to_whole_lots() -> None:
    assert BTC.quantity_mantissa(0.0029) == 2
    assert BTC.quantity_mantissa(0.003) == 3
    assert BTC.quantity_mantissa(0.1 + 0.2) == 300


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf, "abc"])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(InstrumentError, match="price"):
        BTC.price_mantissa(price, Side.BUY, passive=True)


@pytest.mark.parametrize("quantity", [0.0, -0.1, math.nan, 0.0009, 1001.0, None])
def test_a_quantity_outside_the_venues_bounds_is_refused(quantity: float) -> None:
    with pytest.raises(InstrumentError, match="quantity"):
        BTC.quantity_mantissa(quantity)


def test_prices_outside_the_venues_bounds_are_refused() -> None:
    with pytest.raises(InstrumentError, match="below its lowest"):
        BTC.price_mantissa(0.04, Side.BUY, passive=True)
    with pytest.raises(InstrumentError, match="above its highest"):
        BTC.price_mantissa(1_000_001.0, Side.BUY, passive=True)


def test_tick_steps_make_the_tick_depend_on_the_price() -> None:
    row = make_instrument_row()
    row.tick_step_prices[0], row.tick_step_sizes[0] = 10_000, 50
    from strategy.instrument import Instrument

    stepped = Instrument("binance:X", row)
    assert stepped.price_mantissa(99.93, Side.BUY, passive=True) == 9990
    assert stepped.price_mantissa(100.93, Side.BUY, passive=True) == 10050


def test_notional_is_rounded_up_in_units_of_1e_8() -> None:
    assert BTC.notional(6_000_000, 1) == 60 * 10**8
    odd = make_instrument(price_scale=6, quantity_scale=5, tick_size=1, lot_size=1)
    assert odd.notional(1, 1) == 1, "1e-11 is not nothing"


def test_a_limit_in_text_is_never_widened() -> None:
    assert BTC.exact_quantity("0.0019") == 1
    assert BTC.exact_quantity("12") == 12000


def test_a_changed_scale_asks_for_a_restart_and_an_impossible_row_is_refused() -> None:
    instrument = make_instrument()
    instrument.refresh(make_instrument_row(tick_size=50))
    assert instrument.tick == 0.5
    with pytest.raises(InstrumentError, match="changed its scales"):
        instrument.refresh(make_instrument_row(price_scale=3))
    with pytest.raises(InstrumentError, match="tick size"):
        make_instrument(tick_size=0)
