"""Rows kept over a restart, and symbols that the venue does not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.instrument_rows import Scales, load_rows, require_symbols, rows_file, save_rows, scales_of
from shm.records import InstrumentRow


class Ids:
    def id(self, symbol: str, /) -> int:
        return {"BTCUSDT": 1 << 16, "ETHUSDT": 1 << 16 | 1, "XYZUSDT": 1 << 16 | 2}[symbol]

    def symbol(self, instrument_id: int, /) -> str:
        raise NotImplementedError


def row_of(symbol: str = "BTCUSDT") -> InstrumentRow:
    row = InstrumentRow()
    row.symbol, row.instrument_id, row.price_scale, row.quantity_scale = symbol.encode(), 1 << 16, 2, 3
    row.tick_size, row.strike, row.price_band_up, row.receive_time_ns = 10, 90_000.5, 1.05, 77
    return row


def test_each_missing_symbol_is_named_with_what_comes_close() -> None:
    require_symbols("deribit", ["BTC-PERPETUAL"], {"BTC-PERPETUAL": 1})
    with pytest.raises(ConfigurationError) as caught:
        require_symbols("deribit", ["BTC-PERPETUAL", "btc-perpetaul", "QQQ"], ["BTC-PERPETUAL"])
    assert str(caught.value) == (
        "venues.deribit.symbols: the venue has no symbol 'btc-perpetaul', it has BTC-PERPETUAL; "
        "venues.deribit.symbols: the venue has no symbol 'QQQ'"
    )


def test_kept_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = rows_file(tmp_path, "binance")
    rows = [row_of(), row_of(symbol="ETHUSDT")]
    rows[0].tick_step_prices[:2] = [5, 6]
    rows[1].instrument_id = 1 << 16 | 1
    save_rows(path, rows)
    kept = load_rows(path, ["ETHUSDT", "BTCUSDT"], Ids())
    assert kept is not None
    for row in rows:
        row.receive_time_ns = 0  # of an earlier clock: it means nothing now
    assert kept == [rows[1], rows[0]]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"layout_version":0,"rows":[]}', b'{"rows":[]}'])
def test_rows_that_cannot_be_read_are_no_rows(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rows.json"
    if content is not None:
        path.write_bytes(content)
    assert load_rows(path, [], Ids()) is None


def test_rows_that_lack_a_configured_symbol_are_no_rows(tmp_path: Path) -> None:
    path = rows_file(tmp_path, "binance")
    save_rows(path, [row_of()])
    assert load_rows(path, ["BTCUSDT", "XYZUSDT"], Ids()) is None
    assert load_rows(path, ["BTCUSDT"], Ids()) is not None


def test_rows_of_a_field_that_is_no_more_are_no_rows(tmp_path: Path) -> None:
    path = rows_file(tmp_path, "binance")
    save_rows(path, [row_of()])
    document = json.loads(path.read_bytes())
    document["rows"][0]["gone"] = 1
    path.write_text(json.dumps(document))
    assert load_rows(path, ["BTCUSDT"], Ids()) is None


def test_scales_are_those_of_the_rows() -> None:
    assert scales_of([row_of()]) == {"BTCUSDT": Scales(2, 3)}
