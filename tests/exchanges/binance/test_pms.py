"""Positions and balances end to end: BinancePMS and the venue's own protocol on loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, ExchangeContext, VenueRefused
from exchanges.binance.pms import BinancePMS
from exchanges.binance.simulator import SimulatorServer
from processes.config import ExpectConfig
from tests.exchanges.binance.live_engine import BTC, context
from tests.exchanges.binance.simulator_client import Client, mark_tick, venue
from tests.exchanges.live_pms import LivePMS


class Live(LivePMS):
    pms_class, instrument, currency = BinancePMS, BTC, "USDT"

    def context(self, server: SimulatorServer, tmp_path: Path, changes: dict[str, Any]) -> ExchangeContext:
        return context(server, tmp_path, self.counters, alerts=self.alerts, **changes)


Place = tuple[SimulatorServer, Client, Live]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with venue() as (server, client):
        live = Live(server, tmp_path)
        try:
            await live.start()
            yield server, client, live
        finally:
            await live.close()


async def test_the_start_brings_a_complete_snapshot(place: Place) -> None:
    _, _, live = place
    assert (live.position.position, live.position.valid) == (0, 1)
    assert live.balance.currency == b"USDT"
    assert live.balance.wallet_balance == 100_000 * 10**8
    assert live.balance.valid == 1


async def test_trades_move_position_and_wallet_at_once_and_exactly(place: Place) -> None:
    server, client, live = place
    assert (await client.order("BUY", "0.003"))[0] == 200
    await live.until(lambda: live.position.position == 3)
    assert (await client.order("SELL", "0.005"))[0] == 200
    await live.until(lambda: live.position.position == -2)
    account = next(iter(server.exchange.accounts.values()))
    await live.until(lambda: live.balance.wallet_balance == int(account.wallet * 10**8))
    assert live.counters["account_updates"] >= 2


async def test_rows_are_invalid_while_the_stream_is_down_and_right_afterwards(place: Place) -> None:
    server, client, live = place
    seen: list[tuple[int, bool]] = []
    live.pms.on_change = lambda: seen.append((live.position.valid, live.pms.ready))
    for connection in tuple(server.hub.connections):
        connection.abort()
    assert (await client.order("BUY", "0.004"))[0] == 200  # nobody hears of it
    await live.until(lambda: seen and seen[-1][1])
    assert seen[0][1] is False
    assert (live.position.position, live.position.valid) == (4, 1)
    assert live.counters["reconnects"] == 1


async def test_closing_leaves_the_rows_invalid(place: Place) -> None:
    _, _, live = place
    await live.close()
    assert (live.position.valid, live.balance.valid) == (0, 0)
    assert not live.pms.ready


async def test_a_margin_call_is_an_alert_with_the_venues_figures(place: Place) -> None:
    server, client, live = place
    assert (await client.order("BUY", "1.000"))[0] == 200
    next(iter(server.exchange.accounts.values())).wallet = Decimal(250)
    server.deliver(mark_tick())
    await live.until(lambda: live.alerts.text)
    assert re.fullmatch(
        r"margin call: BTCUSDT 1 at mark [\d.]+ \(unrealized -?[\d.]+, maintenance margin [\d.]+\), cross wallet "
        r"250\.00000000",
        live.alerts.text,
    )
    assert live.counters["alert_margin_call"] == 1


async def test_leverage_that_is_changed_by_hand_is_an_alert_until_it_is_as_expected_again(tmp_path: Path) -> None:
    async with venue() as (server, client):
        live = Live(server, tmp_path, expect=ExpectConfig(leverage={"BTCUSDT": 20}))
        try:
            await live.start()
            assert live.alerts.text == ""
            await client.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=50)
            await live.until(lambda: live.alerts.text)
            assert live.alerts.text == "BTCUSDT: leverage at the venue is 50, the configuration expects 20"
            await client.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=20)
            await live.until(lambda: not live.alerts.text)
            assert live.counters["alert_account_settings"] == 1
        finally:
            await live.close()


async def test_leverage_nobody_expects_anything_of_is_told_when_it_changes(place: Place) -> None:
    _, client, live = place
    await client.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=50)
    await live.until(lambda: live.alerts.text == "BTCUSDT: leverage was changed to 50 at the venue")


async def test_what_was_changed_while_nobody_listened_is_seen_at_the_next_connect(tmp_path: Path) -> None:
    async with venue() as (server, _):
        account = next(iter(server.exchange.accounts.values()))
        live = Live(server, tmp_path, expect=ExpectConfig(leverage={"BTCUSDT": 20}, multi_assets=True))
        try:
            await live.start()
            assert "single-asset mode, the configuration expects multi-assets" in live.alerts.text
            account.leverages["BTCUSDT"] = 7  # no event
            for connection in tuple(server.hub.connections):
                connection.abort()
            await live.until(lambda: "leverage at the venue is 7" in live.alerts.text and live.pms.ready)
        finally:
            await live.close()


async def test_a_funding_fee_moves_the_wallet_and_nothing_else(place: Place) -> None:
    server, client, live = place
    assert (await client.order("BUY", "0.004"))[0] == 200
    await live.until(lambda: live.position.position == 4)
    now_ms = server.venue.clock_ms() + 60_000
    frame = (
        b'{"e":"ACCOUNT_UPDATE","T":%d,"E":%d,"a":{"B":[{"a":"USDT","wb":"99990.5","cw":"99990.5","bc":"-0.25"}],"P":[],'
        b'"m":"FUNDING_FEE","S":"BTCUSDT"}}' % (now_ms, now_ms)
    )
    server.hub.publish_user(next(iter(server.venue.listen_keys)), "ACCOUNT_UPDATE", frame)
    await live.until(lambda: live.counters["funding_events"] == 1)
    assert live.balance.wallet_balance == 9_999_050_000_000
    assert live.position.position == 4


async def test_multi_assets_mode_that_is_switched_by_hand_is_an_alert(place: Place) -> None:
    server, _, live = place
    key = next(iter(server.venue.listen_keys))
    server.hub.publish_user(key, "ACCOUNT_CONFIG_UPDATE", b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ai":{"j":true}}')
    words = "the account is in multi-assets mode, the configuration expects single-asset mode"
    await live.until(lambda: live.alerts.text == words)
    server.hub.publish_user(key, "ACCOUNT_CONFIG_UPDATE", b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ai":{"j":false}}')
    await live.until(lambda: live.alerts.text == "")


async def test_an_expired_listen_key_is_replaced(place: Place) -> None:
    _, client, live = place
    assert (await client.admin("POST", "/admin/fault", {"kind": "listen_key_expired"}))[0] == 200
    await live.until(lambda: live.counters["reconnects"] == 1 and live.pms.ready)
    assert (await client.order("BUY", "0.001"))[0] == 200
    await live.until(lambda: live.position.position == 1)


async def test_a_missing_listen_key_is_noticed_when_it_is_extended(place: Place) -> None:
    server, _, live = place
    server.venue.listen_keys.clear()  # gone without a word: the socket stays open and silent
    await live.pms._stream.extend_now()
    await live.until(lambda: live.counters["reconnects"] == 1 and live.pms.ready)


async def test_a_wrong_key_is_raised_and_none_is_a_configuration_error(tmp_path: Path) -> None:
    from types import SimpleNamespace

    async with venue() as (server, _):
        live = Live(server, tmp_path, credentials=SimpleNamespace(api_key="nobody", secret="x"))
        with pytest.raises(VenueRefused):
            await live.pms.prepare()
        await live.close()
        with pytest.raises(ConfigurationError, match="credentials"):
            Live(server, tmp_path, credentials=None)


async def test_a_new_connection_is_ready_by_its_own_snapshot_and_not_at_the_next_turn_of_the_clock(
    tmp_path: Path,
) -> None:
    async with venue() as (server, client):
        live = Live(server, tmp_path, snapshot_s=3600.0)
        try:
            await live.start()
            fault = {"kind": "disconnect", "stream": "user"}
            assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
            await live.until(lambda: not live.pms.ready)
            await live.until(lambda: live.pms.ready)
        finally:
            await live.close()
