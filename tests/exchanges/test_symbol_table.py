"""Symbols are found by their bytes, and only those that were added."""

from __future__ import annotations

import pytest

from exchanges.symbol_table import SymbolTable


def test_a_thousand_symbols_are_found_and_no_other() -> None:
    table = SymbolTable()
    for number in range(1000):
        table.add(f"BTC-{number}-C", 4, 1)
    assert len(table) == 1000
    assert all(f"BTC-{number}-C" in table for number in range(1000))
    assert not any(name in table for name in ("", "BTC-1000-C", "BTC-1", "btc-1-C", "BTC-1-C ", "X" * 200))


def test_a_symbol_is_added_once() -> None:
    table = SymbolTable()
    table.add("BTC-PERPETUAL", 1, 0)
    with pytest.raises(ValueError, match="BTC-PERPETUAL was added before"):
        table.add("BTC-PERPETUAL", 1, 0)
    assert len(table) == 1


@pytest.mark.parametrize("symbol", ["", "X" * 33, 'A"B', "A\\B"])
def test_a_symbol_that_does_not_fit_is_left_to_the_declared_decoder(symbol: str) -> None:
    table = SymbolTable()
    table.add(symbol, 1, 0)
    assert len(table) == 0
    assert symbol not in table
