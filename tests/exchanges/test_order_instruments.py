"""Scales are read once and never change under a running process."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.order_instruments import OrderInstrument, OrderInstruments, ScalesChanged
from shm.records import InstrumentRow
from tests.exchanges.order_world import BTC, ETH


def row(**fields: int) -> InstrumentRow:
    made = InstrumentRow()
    made.instrument_id, made.symbol = BTC.id, b"BTCUSDT"
    made.price_scale, made.quantity_scale, made.tick_size, made.lot_size = 2, 3, 10, 1
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Table:
    def __init__(self, rows: dict[int, InstrumentRow]) -> None:
        self.rows = rows

    def read(self, index: int, record: InstrumentRow) -> bool:
        if index not in self.rows:
            return False
        record.copy_from(self.rows[index])
        return True


def test_rows_become_instruments_and_missing_ones_are_named() -> None:
    instruments = OrderInstruments()
    table = Table({BTC.row: row(minimum_quantity=1)})
    assert instruments.refresh(table, [(BTC.id, "BTCUSDT"), (ETH.id, "ETHUSDT")]) == ["ETHUSDT"]
    found = instruments.by_symbol("BTCUSDT")
    assert found is not None
    assert (found.id, found.tick_size, found.minimum_quantity, found.row, found.venue) == (BTC.id, 10, 1, 0, 1)
    assert instruments.by_id(BTC.id) == found
    assert instruments.by_id(ETH.id) is None
    assert len(instruments) == 1


def test_limits_may_change_and_scales_may_not() -> None:
    instruments = OrderInstruments([OrderInstrument.from_row(row())])
    instruments.put(OrderInstrument.from_row(row(tick_size=50)))
    assert [instrument.tick_size for instrument in instruments] == [50]
    with pytest.raises(ScalesChanged, match="restart"):
        instruments.put(OrderInstrument.from_row(row(price_scale=1)))


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_notional_is_never_less_than_the_exact_product(price: int, quantity: int) -> None:
    exact = Fraction(price, 100) * Fraction(quantity, 1_000) * 10**8
    assert exact <= BTC.notional(price, quantity) < exact + 1


def test_an_inverse_contract_is_worth_its_quantity_at_any_price() -> None:
    inverse = OrderInstrument(2 << 16, "BTC-PERPETUAL", price_scale=2, quantity_scale=0, inverse=True)
    assert inverse.notional(6_000_000, 500) == inverse.notional(1, 500) == 500 * 10**8
    hundredths = OrderInstrument(2 << 16, "X", price_scale=2, quantity_scale=2, contract_size=1, inverse=True)
    assert hundredths.notional(1, 150) == 2  # rounded up
