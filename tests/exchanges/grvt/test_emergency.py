"""Without the engine's help: our orders go, a foreign one stays, and the position is closed, by the venue's truth."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from exchanges import emergency
from exchanges.alerts import Alerts
from exchanges.emergency import Flat, Pull
from exchanges.grvt.emergency import GrvtEmergency
from exchanges.grvt.simulator import SimulatorOptions, SimulatorServer, serve
from shm.clock import monotonic_ns
from shm.layout import EventType, OrderType, TimeInForce, client_order_id
from tests.exchanges.grvt.live_engine import LiveEngine, context, live
from tests.exchanges.grvt.simulator_client import order
from tests.exchanges.live_engine import INSTANCE

FAR = 20_000
SECOND = 10**9


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(SimulatorOptions(symbols=("BTC_USDT_Perp",), seed=3))
    started.freeze()
    yield started
    await started.close()


@pytest.fixture
async def engine(server: SimulatorServer, tmp_path: Path) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path) as one:
        yield one


def access_of(server: SimulatorServer, tmp_path: Path, engine: LiveEngine, number: int) -> GrvtEmergency:
    alerts = Alerts(lambda name: None, logging.getLogger("test"))
    return GrvtEmergency(context(server, tmp_path, engine.counters, alerts=alerts), instance_number=number)


@pytest.mark.parametrize("with_foreign", [True, False])
async def test_own_orders_and_the_position_go_and_a_foreign_order_stays(
    server: SimulatorServer, engine: LiveEngine, tmp_path: Path, with_foreign: bool
) -> None:
    bid = int(server.venue.book("BTC_USDT_Perp").best_bid * 10)
    held = engine.order(0, 200, order_type=OrderType.MARKET, time_in_force=TimeInForce.NONE)
    await engine.until(lambda: EventType.FILL in engine.kinds(held))
    resting = [await engine.placed(bid - FAR - 50 * step) for step in range(3)]
    access = access_of(server, tmp_path, engine, INSTANCE)
    other = access_of(server, tmp_path, engine, INSTANCE + 1)
    assert {order.client_order_id for order in await access.open_orders()} == set(resting)
    assert {order.client_order_id for order in await other.open_orders()} == {0}
    untouched = Pull()
    await emergency.pull(other, untouched, monotonic_ns() + SECOND)  # to that instance they are foreign
    assert len(await access.open_orders()) == 3
    if with_foreign:
        await access._fetcher.create({"order": order(size="0.02", price="50000.0")})
    report, flat = Pull(), Flat()
    deadline = monotonic_ns() + 5 * SECOND
    await emergency.pull(access, report, deadline)
    await emergency.verify(access, report, monotonic_ns(), deadline)
    assert report.gone
    assert {order.client_order_id for order in report.asked} == set(resting)
    assert len(await access.open_orders()) == with_foreign
    ids = (client_order_id(INSTANCE, 0, 0, number) for number in count(1))
    await emergency.flatten(access, ["BTC_USDT_Perp"], ids, flat, deadline)
    assert [position.symbol for position in flat.found] == ["BTC_USDT_Perp"]
    assert flat.left == []
    assert await access.positions() == []
    await access.close()
    await other.close()
