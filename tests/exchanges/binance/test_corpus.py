"""Every recorded file of the venue is read by some test, and the small ones by the tests here.

test_recordings.py has the market recordings, test_order_codec.py the long user stream. Counts are those of SOURCES.md.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from exchanges.binance.codec import MarketCodec
from exchanges.binance.instruments import decode_exchange_info, instrument_row
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import AccountUpdate, OrderTradeUpdate, TradeLite
from exchanges.instrument_rows import Scales
from exchanges.order_instruments import OrderInstrument, OrderInstruments

ELSEWHERE = {
    "cryptofeed-2021/BINANCE_FUTURES.0",
    "cryptofeed-2021/BINANCE_FUTURES.http.0.0",
    "cryptofeed-2021/BINANCE_FUTURES.ws.1.0",
    "hftbacktest-2024/btcusdt_20240808.gz",
    "hftbacktest-2024/ethusdt_20240808.gz",
    "unlicensed-local-only/jarvistrader_usdm_streams_2026-09-27_excerpt.txt",
}
HERE = {
    "nautilus-lgpl3/http_futures_market_exchange_info.json",
    "nautilus-lgpl3/ws_futures_algo_update_finished.json",
    "nautilus-lgpl3/ws_futures_algo_update_finished_canceled.json",
    "nautilus-lgpl3/ws_futures_algo_update_triggered.json",
    "nautilus-lgpl3/ws_futures_algo_update_triggering.json",
    "nautilus-lgpl3/ws_futures_trade_lite.json",
    "unlicensed-local-only/jarvistrader_depth_snapshot_testnet.json",
    "unlicensed-local-only/user_stream_frames_2024_2026.jsonl",
    "user-stream/binance_rs_usdm_account_update_2026-10-11.jsonl",
}
SYMBOLS = ("BTCUSDT", "SOLUSDT", "ETHUSDC", "DOTUSDT", "ETHUSDT", "DOGEUSDT")
NOW = 5_000_000_000


@pytest.fixture
def folder(corpus: Path) -> Path:
    found = corpus / "binance"
    if not found.exists():
        pytest.skip("no recordings of this venue")
    return found


@pytest.fixture
def orders() -> OrderCodec:
    return OrderCodec(OrderInstruments(OrderInstrument(n + 1, symbol, 8, 8) for n, symbol in enumerate(SYMBOLS)), 7)


def recorded(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    return path.read_bytes()


def test_no_recorded_file_is_left_out(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith(("SOURCES.md", "LICENSE"))} <= ELSEWHERE | HERE


def test_the_user_streams_count_is_that_of_its_source(folder: Path, orders: OrderCodec) -> None:
    lines = recorded(folder, "unlicensed-local-only/user_stream_frames_2024_2026.jsonl").splitlines()
    kinds = Counter(type(orders.decode_stream(line)) for line in lines)
    assert sum(kinds.values()) == 18
    assert kinds == {OrderTradeUpdate: 8, TradeLite: 7, AccountUpdate: 3}


def test_an_open_and_a_close_leave_no_position(folder: Path, orders: OrderCodec) -> None:
    name = "user-stream/binance_rs_usdm_account_update_2026-10-11.jsonl"
    messages = [orders.decode_stream(line) for line in recorded(folder, name).splitlines()]
    rows = [orders.account_rows(message, NOW) for message in messages if isinstance(message, AccountUpdate)]
    assert [positions[0].position for positions, _ in rows] == [100_000, 0]  # 0.001 at 8 decimals
    assert [balances[0].wallet_balance for _, balances in rows] == [499_981_580_253, 499_978_249_933]


def test_a_19_digit_order_id_is_read_exactly(folder: Path, orders: OrderCodec) -> None:
    body = json.dumps(json.loads(recorded(folder, "nautilus-lgpl3/ws_futures_trade_lite.json"))).encode()
    message = orders.decode_stream(body)
    assert isinstance(message, TradeLite)
    fact = orders.trade_lite(message, NOW)
    assert fact is not None
    assert (fact.exchange_order_id, fact.trade_id) == (b"8389765739703625592", b"4467432841")


@pytest.mark.parametrize("which", ["triggering", "triggered", "finished", "finished_canceled"])
def test_updates_of_conditional_orders_are_none_of_ours(folder: Path, orders: OrderCodec, which: str) -> None:
    frame = json.loads(recorded(folder, f"nautilus-lgpl3/ws_futures_algo_update_{which}.json"))
    assert orders.decode_stream(json.dumps(frame.get("data", frame)).encode()) is None


def test_the_testnets_instruments_of_2022_are_rows(folder: Path) -> None:
    reply = decode_exchange_info(recorded(folder, "nautilus-lgpl3/http_futures_market_exchange_info.json"))
    rows = [instrument_row(info, 1 << 16, 5) for info in reply.symbols]
    assert rows
    assert all(row.tick_size > 0 and row.lot_size > 0 for row in rows)


def test_the_testnets_snapshot_is_read(folder: Path) -> None:
    body = recorded(folder, "unlicensed-local-only/jarvistrader_depth_snapshot_testnet.json")
    snapshot = MarketCodec({"BTCUSDT": Scales(2, 4)}).decode_snapshot("BTCUSDT", body)
    assert (snapshot.update_id, len(snapshot.bids), len(snapshot.asks)) == (439000670774, 5, 5)
    assert snapshot.bids[0] == (8443270, 5134)
