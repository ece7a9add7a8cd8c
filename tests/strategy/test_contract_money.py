"""The integer money of the trader against the simulators' Decimal ledger: equal to the last digit, whatever trades.

CORELANE_FILLS sets the number of fills of each comparison; `make stress` runs a million.
"""

from __future__ import annotations

import os
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.simulator.ledger import InversePosition
from exchanges.simulator.ledger import Position as PlainPosition
from shm.layout import Side
from strategy.instrument import Instrument
from strategy.mini_pms import Position
from strategy.order import Working
from tests.strategy.world import make_instrument

FILLS = int(os.environ.get("CORELANE_FILLS", "20000"))
LINEAR = make_instrument()
FINE = make_instrument(symbol="ETH_USDC-PERPETUAL", price_scale=4, quantity_scale=4, tick_size=1)
INVERSE = make_instrument(
    symbol="BTC-PERPETUAL", inverse=1, price_scale=1, quantity_scale=0, tick_size=5, lot_size=10,
    quote_currency=b"USD", settle_currency=b"BTC",
)  # fmt: skip
INVERSE_ETH = make_instrument(
    symbol="ETH-PERPETUAL", inverse=1, price_scale=2, quantity_scale=0, tick_size=5, lot_size=1,
    quote_currency=b"USD", settle_currency=b"ETH",
)  # fmt: skip


class Both:
    """One position kept by the trader and by the venue."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.ours = Position(1, instrument, Working())
        self.venue = InversePosition() if instrument.inverse else PlainPosition()
        self._places = 18 if instrument.inverse else 8

    def fill(self, is_buy: bool, price: int, quantity: int) -> None:
        self.ours.apply(Side.BUY if is_buy else Side.SELL, price, quantity)
        scale = self.instrument
        self.venue.fill(
            is_buy, Decimal(price).scaleb(-scale.price_scale), Decimal(quantity).scaleb(-scale.quantity_scale)
        )

    def compare(self, mark: int) -> None:
        ours, venue = self.ours, self.venue
        assert Decimal(ours.position_mantissa).scaleb(-self.instrument.quantity_scale) == venue.quantity
        assert Decimal(abs(ours.cost_mantissa)).scaleb(-self._places) == venue.cost
        assert Decimal(ours.realized_mantissa).scaleb(-8) == venue.realized
        assert Decimal(ours.unrealized_mantissa(mark)).scaleb(-8) == venue.unrealized(Decimal(mark).scaleb(-8))
        if venue.quantity:
            assert ours.average_price == pytest.approx(float(venue.entry_price), rel=1e-13)


@pytest.mark.parametrize("instrument", [LINEAR, FINE, INVERSE, INVERSE_ETH], ids=lambda one: one.symbol)
def test_random_fills_leave_trader_and_venue_with_the_same_money(instrument: Instrument) -> None:
    source = random.Random(instrument.symbol)
    both = Both(instrument)
    price = 60_000 * 10**instrument.price_scale
    for number in range(FILLS):
        price = max(20 * 10**instrument.price_scale, price + source.randrange(-2000, 2001))
        both.fill(source.random() < 0.5, price, source.choice((1, 2, 3, 7, 10, 333, 5000)) * instrument.lot_size)
        if number % 20 == 0:
            both.compare(price * 10 ** (8 - instrument.price_scale) + source.randrange(-(10**9), 10**9))
    both.compare(61_234_56789012)


@given(
    st.sampled_from([LINEAR, FINE, INVERSE, INVERSE_ETH]),
    st.lists(st.tuples(st.booleans(), st.integers(1, 10**9), st.integers(1, 10**7)), min_size=1, max_size=12),
    st.integers(1, 10**15),
)
def test_any_fills_at_any_price_leave_trader_and_venue_with_the_same_money(
    instrument: Instrument, fills: list[tuple[bool, int, int]], mark: int
) -> None:
    both = Both(instrument)
    for is_buy, price, quantity in fills:
        both.fill(is_buy, price, quantity)
        both.compare(mark)


def test_a_venue_entry_price_becomes_the_cost_that_fills_at_it_would_have_made() -> None:
    for instrument in (LINEAR, INVERSE):
        rule = Position(1, instrument, Working()).rule
        price = 61_234_5
        assert rule.cost_of(price / 10**instrument.price_scale, 770) == pytest.approx(rule.value(price, 770), rel=1e-15)
