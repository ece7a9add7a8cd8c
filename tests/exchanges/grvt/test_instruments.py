"""all_instruments -> rows: scales, limits, and what is no perpetual."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.grvt.instruments import decode_instruments, instrument_rows, signing_terms
from exchanges.market_events import MalformedFrame
from shm.layout import ContractKind, InstrumentStatus, Venue

BTC = {
    "instrument": "BTC_USDT_Perp", "instrument_hash": "0x030501", "base": "BTC", "quote": "USDT", "kind": "PERPETUAL",
    "venues": ["ORDERBOOK", "RFQ"], "settlement_period": "PERPETUAL", "base_decimals": 9, "quote_decimals": 6,
    "tick_size": "0.1", "min_size": "0.001", "create_time": "1768040726362828205", "max_position_size": "1000.0",
    "funding_interval_hours": 8, "min_notional": "100.0", "asset_class": "UNSPECIFIED",
}  # fmt: skip
DOGE = {**BTC, "instrument": "DOGE_USDT_Perp", "instrument_hash": "0x031e01", "base": "DOGE", "base_decimals": 6,
        "tick_size": "0.00001", "min_size": "1.0", "min_notional": "5.0", "max_position_size": None}  # fmt: skip
IDS = SimpleNamespace(id=lambda symbol: 3 << 16 | len(symbol))


def reply(*instruments):
    return decode_instruments(json.dumps({"result": instruments}).encode())


def test_a_row_holds_the_venues_numbers_as_mantissas() -> None:
    btc, doge = instrument_rows(reply(DOGE, BTC), ["BTC_USDT_Perp", "DOGE_USDT_Perp"], IDS, 7)
    assert (btc.symbol, btc.base_currency, btc.settle_currency) == (b"BTC_USDT_Perp", b"BTC", b"USDT")
    assert (btc.venue, btc.status, btc.contract_kind) == (
        Venue.GRVT, InstrumentStatus.TRADING, ContractKind.LINEAR_PERPETUAL,
    )  # fmt: skip
    assert (btc.price_scale, btc.quantity_scale, btc.tick_size, btc.lot_size) == (1, 3, 1, 1)
    assert (btc.minimum_quantity, btc.maximum_quantity, btc.minimum_notional) == (1, 1_000_000, 100 * 10**8)
    assert (btc.receive_time_ns, btc.instrument_id) == (7, 3 << 16 | 13)
    assert (doge.price_scale, doge.quantity_scale, doge.tick_size, doge.maximum_quantity) == (5, 0, 1, 0)


def test_signatures_need_the_hash_and_the_base_decimals() -> None:
    terms = signing_terms(reply(BTC, DOGE), ["DOGE_USDT_Perp"])
    assert terms["DOGE_USDT_Perp"].instrument_hash == "0x031e01"
    assert terms["DOGE_USDT_Perp"].base_decimals == 6


def test_an_option_is_known_and_halted() -> None:
    (row,) = instrument_rows(reply({**BTC, "kind": "CALL"}), ["BTC_USDT_Perp"], IDS, 1)
    assert (row.contract_kind, row.status) == (ContractKind.OPTION, InstrumentStatus.HALTED)


def test_a_symbol_that_the_venue_has_not_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"BTC_USDT_PERP.*BTC_USDT_Perp"):
        instrument_rows(reply(BTC), ["BTC_USDT_PERP"], IDS, 1)
    with pytest.raises(ConfigurationError, match="NO_USDT_Perp"):
        signing_terms(reply(BTC), ["NO_USDT_Perp"])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"result":[{}]}', b'{"result":[{"instrument_hash":"zz"}]}', b"\xff"])
def test_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_instruments(body)


def test_every_recorded_instrument_becomes_a_row(corpus: Path) -> None:
    listed = decode_instruments((corpus / "grvt" / "instruments_selected.json").read_bytes())
    symbols = [info.instrument for info in listed.result]
    rows = instrument_rows(listed, symbols, IDS, 1)
    assert len(rows) >= 28
    assert all(row.tick_size == 1 or row.tick_size in (2, 5, 25) for row in rows)
    assert all(row.status == InstrumentStatus.TRADING for row in rows)
