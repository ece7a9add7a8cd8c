"""Positions and balances end to end: GrvtPMS and the venue's own protocol on loopback."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, ExchangeContext, VenueRefused
from exchanges.grvt.pms import GrvtPMS
from exchanges.grvt.simulator import SimulatorServer
from exchanges.order_instruments import OrderInstrument
from shm.layout import instrument_id
from tests.exchanges.grvt.simulator_client import DEMO_KEY, SUB, Client, logged_in
from tests.exchanges.live_pms import LivePMS

BTC = OrderInstrument(instrument_id(3, 0), "BTC_USDT_Perp", price_scale=1, quantity_scale=3)


class Live(LivePMS):
    pms_class, instrument, currency = GrvtPMS, BTC, "USDT"

    def context(self, server: SimulatorServer, tmp_path: Path, changes: dict[str, Any]) -> ExchangeContext:
        settings: Any = SimpleNamespace(
            environment="simulator", symbols=["BTC_USDT_Perp"], rest_url=server.rest_url, stream_url=server.stream_url,
            ws_api_url=server.stream_url, check_gaps=True, account="", requests_per_second={},
            settle_currency="USDT", receive_window_ms=5_000,
        )  # fmt: skip
        values: dict[str, Any] = {
            "venue": "grvt", "settings": settings, "instruments": None, "segment": lambda name: None,
            "counters": self.counters, "log": logging.getLogger("test.pms"), "state_dir": tmp_path,
            "set_state": lambda state, text: None,
            "credentials": SimpleNamespace(api_key=DEMO_KEY.key, secret=DEMO_KEY.secret),
        }  # fmt: skip
        return ExchangeContext(**values | changes)


@asynccontextmanager
async def place(tmp_path: Path, snapshot_s: float = 0.05, **options: Any) -> AsyncIterator[tuple[Client, Live]]:
    async with logged_in(speed_bump_ms=0, **options) as client:
        live = Live(client.server, tmp_path, snapshot_s)
        try:
            await live.start()
            yield client, live
        finally:
            await live.close()


async def trade(client: Client, side: str, size: str) -> None:
    await client.create(side=side, size=size, price=None, is_market=True, time_in_force="IMMEDIATE_OR_CANCEL")


async def test_the_start_brings_a_complete_snapshot_with_its_age(tmp_path: Path) -> None:
    async with place(tmp_path) as (_, live):
        assert (live.position.position, live.position.valid) == (0, 1)
        assert (live.balance.currency, live.balance.wallet_balance, live.balance.valid) == (b"USDT", 10**13, 1)
        first = live.balance.exchange_time_ns
        assert first > 1_700_000_000 * 10**9
        await live.until(lambda: live.balance.exchange_time_ns > first)


async def test_trades_move_the_position_at_once_and_the_balance_soon(tmp_path: Path) -> None:
    async with place(tmp_path, snapshot_s=60.0) as (client, live):
        await trade(client, "buy", "0.003")
        await live.until(lambda: live.position.position == 3)
        await trade(client, "sell", "0.005")
        await live.until(lambda: live.position.position == -2)
        account = client.server.exchange.accounts[SUB]
        cut = int(account.wallet * 10**6) * 100
        await live.until(lambda: live.balance.wallet_balance == cut)
        assert live.counters["account_updates"] >= 2


async def test_a_position_that_is_closed_is_zero(tmp_path: Path) -> None:
    async with place(tmp_path) as (client, live):
        await trade(client, "buy", "0.002")
        await live.until(lambda: live.position.position == 2)
        await trade(client, "sell", "0.002")
        await live.until(lambda: live.position.position == 0)
        assert live.position.valid == 1


async def test_rows_are_invalid_while_the_stream_is_down_and_right_afterwards(tmp_path: Path) -> None:
    async with place(tmp_path) as (client, live):
        seen: list[tuple[int, bool]] = []
        live.pms.on_change = lambda: seen.append((live.position.valid, live.pms.ready))
        for connection in tuple(client.server.hub.connections):
            connection.abort()
        await trade(client, "buy", "0.004")  # nobody hears of it
        await live.until(lambda: seen and seen[-1][1])
        assert seen[0][1] is False
        await live.until(lambda: live.position.position == 4)
        assert live.counters["reconnects"] == 1


@pytest.mark.parametrize("kind", ["sequence_gap", "malformed_frame"])
async def test_a_frame_that_is_missing_or_unreadable_has_everything_read_anew(tmp_path: Path, kind: str) -> None:
    async with place(tmp_path) as (client, live):
        await trade(client, "buy", "0.002")
        await live.until(lambda: live.position.position == 2)
        client.server.hub.channels["v1.position", SUB].sequence += kind == "sequence_gap"
        if kind == "malformed_frame":
            client.server.arm({"kind": kind, "stream": "v1.position"})
        await trade(client, "buy", "0.003")
        await live.until(lambda: live.counters["reconnects"] == 1)
        await live.until(lambda: live.pms.ready and live.position.position == 5)


async def test_a_cookie_that_ends_is_renewed_by_itself(tmp_path: Path) -> None:
    async with place(tmp_path) as (client, live):
        client.server.arm({"kind": "cookie_expired"})
        logins = client.server.venue.sessions.logins
        snapshots = live.counters["snapshots"]
        await live.until(lambda: live.counters["snapshots"] > snapshots + 1)
        assert client.server.venue.sessions.logins == logins + 1
        client.server.arm({"kind": "cookie_expired"})
        for connection in tuple(client.server.hub.connections):
            connection.abort()
        await live.until(lambda: live.counters["reconnects"] >= 1 and live.pms.ready)


async def test_a_wrong_key_ends_it_and_a_secret_that_is_no_key_does_not_begin(tmp_path: Path) -> None:
    async with logged_in() as client:
        wrong = Live(client.server, tmp_path, credentials=SimpleNamespace(api_key="x", secret=DEMO_KEY.secret))
        with pytest.raises(VenueRefused, match="invalid api key"):
            await wrong.start()
        await wrong.close()
        with pytest.raises(ConfigurationError, match="64 hex digits"):
            Live(client.server, tmp_path, credentials=SimpleNamespace(api_key="x", secret="y"))
        with pytest.raises(ConfigurationError, match=r"venues\.grvt\.credentials is missing"):
            Live(client.server, tmp_path, credentials=None)


async def test_closing_leaves_the_rows_invalid(tmp_path: Path) -> None:
    async with place(tmp_path) as (_, live):
        await live.close()
        assert (live.position.valid, live.balance.valid) == (0, 0)
        assert not live.pms.ready
