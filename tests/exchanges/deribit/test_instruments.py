"""get_instruments -> rows. Entries are composed in the documented shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.deribit.instruments import decode_instruments, instrument_row, instrument_rows
from exchanges.market_events import MalformedFrame
from shm.layout import ContractKind, InstrumentStatus, OptionKind, Venue
from shm.records import InstrumentRow

PERPETUAL: dict[str, Any] = {
    "instrument_name": "BTC-PERPETUAL", "kind": "future", "instrument_type": "reversed", "base_currency": "BTC",
    "quote_currency": "USD", "counter_currency": "USD", "settlement_currency": "BTC", "settlement_period": "perpetual",
    "tick_size": 0.5, "tick_size_steps": [], "contract_size": 10.0, "min_trade_amount": 10.0, "is_active": True,
    "state": "open", "expiration_timestamp": 32503708800000, "price_index": "btc_usd", "block_trade_tick_size": 0.01,
    "instrument_id": 124972,
}  # fmt: skip
LINEAR = PERPETUAL | {
    "instrument_name": "ETH_USDC-PERPETUAL", "instrument_type": "linear", "base_currency": "ETH",
    "quote_currency": "USDC", "settlement_currency": "USDC", "tick_size": 0.1, "contract_size": 0.001,
    "min_trade_amount": 0.001, "price_index": "eth_usdc",
}  # fmt: skip
OPTION = PERPETUAL | {
    "instrument_name": "BTC-25DEC26-90000-C", "kind": "option", "quote_currency": "BTC", "tick_size": 0.0001,
    "tick_size_steps": [{"above_price": 0.005, "tick_size": 5.0e-4}], "contract_size": 1.0, "min_trade_amount": 0.1,
    "settlement_period": "month", "expiration_timestamp": 1798185600000, "strike": 9.0e4, "option_type": "call",
    "block_trade_tick_size": 0.0001,
}  # fmt: skip


class Ids:
    def id(self, symbol: str, /) -> int:
        return 2 << 16 | len(symbol)

    def symbol(self, instrument_id: int, /) -> str:
        raise NotImplementedError


def row_of(entry: dict[str, Any], **changes: Any) -> InstrumentRow:
    return instrument_row(decode_instruments(json.dumps([entry | changes]).encode())[0], 2 << 16, 77)


def test_an_inverse_perpetual_counts_dollars() -> None:
    row = row_of(PERPETUAL)
    assert (row.venue, row.contract_kind, row.inverse) == (Venue.DERIBIT, ContractKind.INVERSE_PERPETUAL, 1)
    assert (row.price_scale, row.tick_size, row.quantity_scale) == (2, 50, 0)  # block trades stand on cents
    assert (row.lot_size, row.minimum_quantity, row.contract_size) == (10, 10, 10**8)
    assert (row.base_currency, row.quote_currency, row.settle_currency) == (b"BTC", b"USD", b"BTC")
    assert (row.expiration_time_ns, row.status, row.receive_time_ns) == (0, InstrumentStatus.TRADING, 77)


def test_a_linear_perpetual_counts_coins() -> None:
    row = row_of(LINEAR)
    assert (row.contract_kind, row.inverse, row.settle_currency) == (ContractKind.LINEAR_PERPETUAL, 0, b"USDC")
    assert (row.tick_size, row.price_scale, row.lot_size, row.quantity_scale) == (10, 2, 1, 3)


def test_an_option_has_strike_expiry_kind_and_tick_steps() -> None:
    row = row_of(OPTION)
    assert (row.contract_kind, row.option_kind, row.strike) == (ContractKind.OPTION, OptionKind.CALL, 90_000.0)
    assert row.expiration_time_ns == 1798185600000 * 1_000_000
    assert (row.inverse, row.settle_currency, row.quote_currency) == (0, b"BTC", b"BTC")
    assert (row.price_scale, row.tick_size, row.quantity_scale, row.lot_size) == (4, 1, 1, 1)
    assert (list(row.tick_step_prices), list(row.tick_step_sizes)) == ([50, 0, 0, 0], [5, 0, 0, 0])
    assert row_of(OPTION, option_type="put").option_kind == OptionKind.PUT


def test_more_tick_steps_than_a_row_holds_end_in_the_coarsest() -> None:
    steps = [{"above_price": 10**n, "tick_size": 10**n} for n in range(6)]
    row = row_of(PERPETUAL, tick_size_steps=steps, tick_size=0.5, block_trade_tick_size=0.5)
    assert list(row.tick_step_prices) == [10, 100, 1000, 10000]
    assert list(row.tick_step_sizes) == [10, 100, 1000, 1000000]


def test_dated_futures_and_entries_of_older_years() -> None:
    dated = {"settlement_period": "week", "expiration_timestamp": 1798185600000}
    assert row_of(PERPETUAL, **dated).contract_kind == ContractKind.INVERSE_FUTURE
    assert row_of(LINEAR, **dated).contract_kind == ContractKind.LINEAR_FUTURE
    old = {key: value for key, value in PERPETUAL.items() if key not in (
        "instrument_type", "settlement_currency", "state", "price_index", "block_trade_tick_size", "tick_size_steps",
    )}  # fmt: skip
    row = row_of(old)
    assert (row.inverse, row.settle_currency, row.status, row.price_scale) == (1, b"BTC", InstrumentStatus.TRADING, 1)
    assert row_of(old, is_active=False).status == InstrumentStatus.CLOSED


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("open", InstrumentStatus.TRADING), ("settlement", InstrumentStatus.HALTED),
        ("locked", InstrumentStatus.HALTED), ("delivered", InstrumentStatus.CLOSED),
        ("something new", InstrumentStatus.HALTED),
    ],
)  # fmt: skip
def test_states_of_a_book(state: str, status: InstrumentStatus) -> None:
    assert row_of(PERPETUAL, state=state).status == status


def test_rows_are_those_of_the_configured_symbols_in_their_order() -> None:
    infos = decode_instruments(json.dumps([PERPETUAL, LINEAR, OPTION]).encode())
    rows = instrument_rows(infos, ["ETH_USDC-PERPETUAL", "BTC-PERPETUAL"], Ids(), 1)
    assert [row.symbol for row in rows] == [b"ETH_USDC-PERPETUAL", b"BTC-PERPETUAL"]
    with pytest.raises(ConfigurationError, match=r"venues.deribit.symbols: .* 'BTC-PERP', it has BTC-PERPETUAL"):
        instrument_rows(infos, ["BTC-PERP"], Ids(), 1)


def test_spot_and_combos_are_not_traded_here() -> None:
    infos = decode_instruments(json.dumps([PERPETUAL | {"instrument_name": "BTC_USDC", "kind": "spot"}]).encode())
    with pytest.raises(ConfigurationError, match=r"futures and options are traded here, not BTC_USDC \(spot\)"):
        instrument_rows(infos, ["BTC_USDC"], Ids(), 1)


@pytest.mark.parametrize("result", [b"", b"<html>", b"{}", b"[{}]"])
def test_a_result_of_another_shape_is_malformed(result: bytes) -> None:
    with pytest.raises(MalformedFrame, match="get_instruments"):
        decode_instruments(result)
