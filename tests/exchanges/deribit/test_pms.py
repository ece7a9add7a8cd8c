"""Positions and balances end to end: DeribitPMS and the venue's own protocol on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ExchangeContext, VenueRefused
from exchanges.deribit.pms import DeribitPMS
from exchanges.deribit.simulator import ApiKey, SimulatorOptions, SimulatorServer, serve
from tests.exchanges.deribit.live_engine import PERPETUAL, context
from tests.exchanges.live_pms import LivePMS


class Live(LivePMS):
    pms_class, instrument, currency = DeribitPMS, PERPETUAL, "BTC"

    def context(self, server: SimulatorServer, tmp_path: Path, changes: dict[str, Any]) -> ExchangeContext:
        return context(server, tmp_path, self.counters, **changes)

    async def trade(self, method: str, amount: int) -> None:
        """A market order by another client of the account."""
        text = f'{{"instrument_name":"BTC-PERPETUAL","amount":{amount},"type":"market"}}'
        reply, _ = await self.pms._fetcher.send(f"private/{method}", text)
        assert reply.error is None


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(SimulatorOptions(symbols=("BTC-PERPETUAL",), seed=3, enforce_limits=False, funding=False))
    started.freeze()
    yield started
    await started.close()


@pytest.fixture
async def pms(server: SimulatorServer, tmp_path: Path) -> AsyncIterator[Live]:
    live = Live(server, tmp_path)
    try:
        await live.start()
        yield live
    finally:
        await live.close()


def money(server: SimulatorServer) -> tuple[int, dict[str, Any]]:
    """Wallet of the truth in mantissas, and the position."""
    truth = server.truth("demo")["accounts"]["demo"]
    wallet = round(float(truth["currencies"]["BTC"]["wallet_balance"]) * 10**8)
    return wallet, truth["positions"].get("BTC-PERPETUAL", {})


async def test_at_the_start_every_instrument_and_currency_has_a_row(pms: Live) -> None:
    assert (pms.position.position, pms.position.valid) == (0, 1)
    assert (pms.balance.currency, pms.balance.wallet_balance, pms.balance.valid) == (b"BTC", 10 * 10**8, 1)
    assert pms.balance.available_balance > 0


@pytest.mark.parametrize(("method", "sign"), [("buy", 1), ("sell", -1)])
async def test_a_fill_moves_position_and_wallet_without_a_snapshot(
    server: SimulatorServer, pms: Live, method: str, sign: int
) -> None:
    snapshots = pms.counters["snapshots"]
    await pms.trade(method, 200)
    await pms.until(lambda: pms.position.position == sign * 200)
    wallet, position = money(server)
    assert pms.position.entry_price == pytest.approx(float(position["entry_price"]), rel=1e-6)
    assert pms.position.unrealized_pnl == pytest.approx(float(position["unrealized_pnl"]) * 10**8, abs=1.0)
    await pms.until(lambda: abs(pms.balance.wallet_balance - wallet) <= 1)
    assert wallet < 10 * 10**8  # the fee, in the coin
    assert pms.counters["snapshots"] == snapshots


async def test_a_lost_connection_invalidates_and_the_next_brings_the_truth(server: SimulatorServer, pms: Live) -> None:
    await pms.trade("buy", 50)
    await pms.until(lambda: pms.position.position == 50)
    valid: list[int] = []
    pms.pms.on_change = lambda: valid.append(pms.position.valid)
    server.cut_connections("abort")
    await pms.until(lambda: len(valid) == 2 and pms.pms.ready)
    assert pms.position.valid == 1
    assert pms.position.position == 50


async def test_a_key_that_may_not_read_trades_ends_it_with_the_scope_that_lacks(tmp_path: Path) -> None:
    key = ApiKey("narrow", "secret", scopes={"account": "read"})
    async with await serve(SimulatorOptions(symbols=("BTC-PERPETUAL",), api_keys=(key,))) as server:
        credentials = SimpleNamespace(api_key=key.key, secret=key.secret)
        live = Live(server, tmp_path, credentials=credentials)
        try:
            with pytest.raises(VenueRefused, match="lacks the scope trade:read"):
                await live.start()
        finally:
            await live.close()


async def test_a_wrong_secret_ends_it(server: SimulatorServer, tmp_path: Path) -> None:
    class Wrong:
        api_key, secret = "corelane-deribit-simulator-key", "nothing"

    live = Live(server, tmp_path, credentials=Wrong())
    try:
        with pytest.raises(VenueRefused, match="invalid_credentials"):
            await live.start()
    finally:
        await live.close()
