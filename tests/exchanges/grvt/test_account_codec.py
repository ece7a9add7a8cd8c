"""Positions and balances as rows: documented values, recorded messages, and what is no such message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchanges.grvt.account_codec import AccountCodec
from exchanges.market_events import MalformedFrame
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from shm.layout import Venue, instrument_id
from tests.exchanges.grvt.frames import dense

BTC = OrderInstrument(instrument_id(3, 0), "BTC_USDT_Perp", price_scale=1, quantity_scale=3)
CODEC = AccountCodec(OrderInstruments([BTC]))
POSITION = {
    "event_time": "1767356959482262748", "sub_account_id": "5", "instrument": "BTC_USDT_Perp", "size": "-0.002",
    "notional": "-178.86", "entry_price": "89426.4", "exit_price": "0.0", "mark_price": "89430.118505969",
    "unrealized_pnl": "-0.007437", "realized_pnl": "1.5", "total_pnl": "1.49", "roi": "0.0", "margin_type": "CROSS",
}  # fmt: skip
SUMMARY = {
    "result": {
        "event_time": "1766239807073117267", "sub_account_id": "5", "settle_currency": "USDT",
        "unrealized_pnl": "-1.25", "total_equity": "98.75", "available_balance": "90.5",
        "spot_balances": [
            {"currency": "USDT", "balance": "100.0", "index_price": "1.0"},
            {"currency": "BTC", "balance": "0.5", "index_price": "90000.0"},
        ],
        "positions": [],
    }
}  # fmt: skip


def test_a_position_is_a_signed_mantissa_with_the_venues_time() -> None:
    row = CODEC.decode_position(dense(POSITION), 9)
    assert row is not None
    assert (row.venue, row.instrument_id, row.position, row.entry_price) == (Venue.GRVT, BTC.id, -2, 89426.4)
    assert (row.unrealized_pnl, row.accumulated_realized_pnl) == (-743700, 150000000)
    assert (row.exchange_time_ns, row.receive_time_ns, row.valid) == (1767356959482262748, 9, 1)
    assert CODEC.decode_position(dense({**POSITION, "instrument": "ETH_USDT_Perp"}), 9) is None
    assert CODEC.decode_positions(dense({"result": [POSITION, {**POSITION, "instrument": "X"}]}), 9)[0].position == -2
    assert CODEC.decode_positions(b'{"result":[]}', 9) == []


def test_a_summary_is_a_row_per_currency() -> None:
    usdt, btc = CODEC.decode_balances(dense(SUMMARY), 7)
    assert (usdt.currency, usdt.wallet_balance, usdt.available_balance) == (b"USDT", 100 * 10**8, 905 * 10**7)
    assert (usdt.unrealized_pnl, usdt.exchange_time_ns, usdt.valid) == (-125 * 10**6, 1766239807073117267, 1)
    assert (btc.currency, btc.wallet_balance, btc.available_balance) == (b"BTC", 5 * 10**7, 5 * 10**7)


@pytest.mark.parametrize("change", [{"size": "0.0005"}, {"size": "x"}, {"unrealized_pnl": "nan"}, {"entry_price": ""}])
def test_a_position_that_is_none_is_malformed(change: dict[str, str]) -> None:
    with pytest.raises(MalformedFrame):
        CODEC.decode_position(dense({**POSITION, **change}), 1)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"result":{}}', b"\xff"])
def test_another_shape_is_malformed(body: bytes) -> None:
    for decode in (CODEC.decode_positions, CODEC.decode_balances):
        with pytest.raises(MalformedFrame):
            decode(body, 1)


def test_every_recorded_position_and_summary_is_understood(corpus: Path) -> None:
    taken = 0
    for name in ("ws_recorded.jsonl", "rest_recorded.jsonl"):
        for line in (corpus / "grvt" / name).read_text().splitlines():
            entry = json.loads(line)
            message, endpoint = entry["message"], entry.get("endpoint") or ""
            if message.get("stream") == "v1.position":
                assert CODEC.decode_position(bytes(CODEC.decode_frame(dense(message)).feed), 1) is not None
            elif endpoint.endswith("/positions"):
                CODEC.decode_positions(dense(message), 1)
            elif endpoint.endswith("/account_summary"):
                assert CODEC.decode_balances(dense(message), 1)
            else:
                continue
            taken += 1
    assert taken >= 4


def test_every_recorded_private_frame_has_its_envelope_understood(corpus: Path) -> None:
    for line in (corpus / "grvt" / "ws_recorded.jsonl").read_text().splitlines():
        message = json.loads(line)["message"]
        frame = CODEC.decode_frame(dense(message))
        assert (frame.stream is not None) == ("feed" in message)
