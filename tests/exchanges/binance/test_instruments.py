"""exchangeInfo -> rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.binance.instruments import decode_exchange_info, instrument_row, instrument_rows
from exchanges.market_events import MalformedFrame
from shm.layout import ContractKind, InstrumentStatus
from shm.records import InstrumentRow

BTC: dict[str, Any] = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING",
    "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
    "filters": [
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"multiplierDown": "0.9500", "filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDecimal": "4"},
        {"minQty": "0.001", "stepSize": "0.001", "maxQty": "1000", "filterType": "LOT_SIZE"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"tickSize": "0.10", "filterType": "PRICE_FILTER", "maxPrice": "809484", "minPrice": "261.10"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ],
}  # fmt: skip


class Ids:
    def id(self, symbol: str, /) -> int:
        return {"BTCUSDT": 1 << 16, "ETHUSDT": 1 << 16 | 1, "XYZUSDT": 1 << 16 | 2}[symbol]

    def symbol(self, instrument_id: int, /) -> str:
        raise NotImplementedError


def reply(*symbols: dict[str, Any]) -> bytes:
    return json.dumps({"timezone": "UTC", "serverTime": 1, "rateLimits": [], "symbols": symbols}).encode()


def row_of(**changes: Any) -> InstrumentRow:
    return instrument_row(decode_exchange_info(reply(BTC | changes)).symbols[0], 1 << 16, 77)


def changed_filters(kind: str, **changes: str) -> list[dict[str, Any]]:
    return [entry | changes if entry["filterType"] == kind else entry for entry in BTC["filters"]]


def test_filters_and_their_keys_are_read_in_any_order() -> None:
    row = row_of()
    assert row.to_dict() | {"tick_step_prices": 0, "tick_step_sizes": 0} == {
        "instrument_id": 1 << 16, "venue": 1, "flags": 0, "strategy_id": 0, "epoch": 0,
        "status": InstrumentStatus.TRADING, "contract_kind": ContractKind.LINEAR_PERPETUAL, "inverse": 0,
        "price_scale": 2, "quantity_scale": 3, "tick_size": 10, "lot_size": 1, "minimum_quantity": 1,
        "maximum_quantity": 1_000_000, "minimum_price": 26110, "maximum_price": 80948400,
        "minimum_notional": 5_000_000_000, "contract_size": 100_000_000, "price_band_up": 1.05,
        "price_band_down": 0.95, "tick_step_prices": 0, "tick_step_sizes": 0, "option_kind": 0,
            "expiration_time_ns": 0, "strike": 0.0, "receive_time_ns": 77,
        "symbol": "BTCUSDT", "base_currency": "BTC", "quote_currency": "USDT", "settle_currency": "USDT",
    }  # fmt: skip
    assert row_of(filters=BTC["filters"][::-1]) == row


@pytest.mark.parametrize(
    ("precision", "tick", "scale", "mantissa"),
    [(2, "0.10", 2, 10), (1, "0.01", 2, 1), (0, "1", 0, 1), (7, "0.0000100", 7, 100), (2, "0.05", 2, 5)],
)
def test_the_price_scale_holds_the_tick_and_the_padding(precision: int, tick: str, scale: int, mantissa: int) -> None:
    row = row_of(
        pricePrecision=precision, filters=changed_filters("PRICE_FILTER", tickSize=tick, minPrice="0", maxPrice="9000")
    )
    assert (row.price_scale, row.tick_size) == (scale, mantissa)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRADING", InstrumentStatus.TRADING),
        ("PENDING_TRADING", InstrumentStatus.PENDING),
        ("SETTLING", InstrumentStatus.HALTED),
        ("CLOSE", InstrumentStatus.CLOSED),
        ("A_STATUS_OF_TOMORROW", InstrumentStatus.HALTED),
    ],
)
def test_a_status_that_nobody_knows_is_not_traded(status: str, expected: InstrumentStatus) -> None:
    assert row_of(status=status).status == expected


def test_kinds_of_contract() -> None:
    assert row_of(contractType="TRADIFI_PERPETUAL").contract_kind == ContractKind.LINEAR_PERPETUAL
    quarter = row_of(contractType="CURRENT_QUARTER", deliveryDate=1790000000000)
    assert (quarter.contract_kind, quarter.expiration_time_ns) == (
        ContractKind.LINEAR_FUTURE,
        1790000000000 * 1_000_000,
    )
    assert row_of(deliveryDate=4133404800000).expiration_time_ns == 0  # what the venue says of perpetuals


def test_missing_symbols_are_named_with_what_the_venue_has() -> None:
    info = decode_exchange_info(reply(BTC, BTC | {"symbol": "ETHUSDT"}))
    assert [row.symbol for row in instrument_rows(info, ["ETHUSDT", "BTCUSDT"], Ids(), 0)] == [b"ETHUSDT", b"BTCUSDT"]
    with pytest.raises(ConfigurationError) as caught:
        instrument_rows(info, ["BTCUSDT", "ETHUSTD", "QQQ"], Ids(), 0)
    assert str(caught.value) == (
        "venues.binance.symbols: the venue has no symbol 'ETHUSTD', it has ETHUSDT; "
        "venues.binance.symbols: the venue has no symbol 'QQQ'"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"symbols":[{}]}', b'{"symbols":7}'])
def test_a_reply_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedFrame, match="exchangeInfo"):
        decode_exchange_info(body)
