"""What the account's past looks like where it has more pages than one, or is older than the venue remembers at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from exchanges.deribit import account_fetcher
from exchanges.deribit.account_fetcher import DeribitAccountFetcher
from exchanges.deribit.simulator import SimulatorOptions, SimulatorServer, serve
from shm.layout import EventType
from tests.exchanges.deribit.live_engine import PERPETUAL, LiveEngine, live

SYMBOL = PERPETUAL.symbol
TRADES = 7
HOUR_MS = 3_600_000


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(SimulatorOptions(symbols=(SYMBOL,), seed=3, enforce_limits=False))
    started.freeze()
    yield started
    await started.close()


@pytest.fixture
async def engine(server: SimulatorServer, tmp_path: Path) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path) as one:
        yield one


def fetcher_of(engine: LiveEngine) -> DeribitAccountFetcher:
    return engine.oms._connection.fetcher


async def filled(server: SimulatorServer, engine: LiveEngine) -> int:
    """An order that takes; its id."""
    ask = int(server.venue.book(SYMBOL).best_ask * 100)
    order_id = engine.order(ask, 10)
    await engine.until(lambda: EventType.FILL in engine.kinds(order_id))
    return order_id


def age(server: SimulatorServer, hours: float) -> None:
    """Let all trades of the account have happened so long before."""
    for account in server.exchange.accounts.values():
        account.trades[:] = [replace(trade, time_ms=trade.time_ms - int(hours * HOUR_MS)) for trade in account.trades]


async def test_every_page_of_trades_since_a_time_is_read(
    server: SimulatorServer, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_fetcher, "TRADES_PER_PAGE", 2)
    ids = [await filled(server, engine) for _ in range(TRADES)]
    facts = await fetcher_of(engine).own_trades_since(SYMBOL, engine.oms.clock.now_ns() - 60 * 10**9)
    assert [fact.client_order_id for fact in facts] == ids


@pytest.mark.parametrize("hours", [0.0, 30.0])
async def test_trades_older_than_a_day_are_read_from_the_history(
    server: SimulatorServer, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    monkeypatch.setattr(account_fetcher, "TRADES_PER_PAGE", 2)
    ids = [await filled(server, engine) for _ in range(3)]
    age(server, hours)
    ids += [await filled(server, engine) for _ in range(3)]
    since_ns = engine.oms.clock.now_ns() - int((hours + 1) * HOUR_MS) * 10**6
    facts = await fetcher_of(engine).own_trades_since(SYMBOL, since_ns)
    assert sorted(fact.client_order_id for fact in facts) == ids, "each once, of the last day and before"


async def test_the_fills_of_an_old_order_are_found_and_those_of_a_new_one_come_once(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    for hours in (30.0, 0.0):
        order_id = await filled(server, engine)
        age(server, hours)
        order = engine.store.get(order_id)
        assert order is not None
        facts = await fetcher_of(engine).trades_of_order(SYMBOL, order.exchange_order_id)
        assert [fact.client_order_id for fact in facts] == [order_id]
