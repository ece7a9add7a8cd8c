"""Positions and balances end to end: BinancePMS and the venue's own protocol on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from exchanges.account_tables import AccountTables
from exchanges.adapter import ConfigurationError, VenueRefused
from exchanges.binance.pms import BinancePMS
from exchanges.binance.simulator import SimulatorServer
from exchanges.order_instruments import OrderInstruments
from tests.exchanges.binance.live_engine import BTC, context
from tests.exchanges.binance.simulator_client import Client, venue
from tests.exchanges.order_world import Counters
from tests.exchanges.test_account_tables import Rows

PATIENCE_S = 10.0


class Live:
    """A running PMS over rows in memory."""

    def __init__(self, server: SimulatorServer, tmp_path: Path, snapshot_s: float = 0.05, **changes: Any) -> None:
        self.positions, self.balances = Rows(), Rows()
        self.counters = Counters()
        instruments = OrderInstruments([BTC])
        self.pms = BinancePMS(
            context(server, tmp_path, self.counters, **changes),
            instruments=instruments,
            tables=AccountTables(self.positions, self.balances, instruments, "USDT", 4),
            snapshot_s=snapshot_s,
        )
        self.task: asyncio.Future[None] | None = None

    async def start(self) -> None:
        await self.pms.prepare()
        self.task = asyncio.ensure_future(self.pms.run())
        await self.until(lambda: self.pms.ready)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.task is not None and self.task.done():
                    self.task.result()
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        await self.pms.close()
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    @property
    def position(self) -> Any:
        return self.positions.by_index[BTC.row]

    @property
    def balance(self) -> Any:
        return self.balances.by_index[0]


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
