"""Without the engine's help: our orders go, a foreign one stays, and the position is closed, by the venue's truth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from msgspec import Raw

from exchanges.deribit.emergency import DeribitEmergency
from exchanges.deribit.order_messages import Position
from exchanges.deribit.simulator import SimulatorOptions, SimulatorServer, serve
from tests.exchanges.deribit.live_engine import LiveEngine, context, live
from tests.exchanges.live_emergency import alerts, check_own_go_and_foreign_stay
from tests.exchanges.order_world import Counters

FAR = 2_000


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(SimulatorOptions(symbols=("BTC-PERPETUAL",), seed=3, enforce_limits=False))
    started.freeze()
    yield started
    await started.close()


@pytest.fixture
async def engine(server: SimulatorServer, tmp_path: Path) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path) as one:
        yield one


def foreign(access: DeribitEmergency) -> Awaitable[object]:
    return access._fetcher._call(
        "private/buy",
        {"instrument_name": "BTC-PERPETUAL", "amount": 10, "type": "limit", "price": 1000.0, "label": "mine"},
    )


@pytest.mark.parametrize("with_foreign", [True, False])
async def test_own_orders_and_the_position_go_and_a_foreign_order_stays(
    server: SimulatorServer, engine: LiveEngine, tmp_path: Path, with_foreign: bool
) -> None:
    bid = int(server.venue.book("BTC-PERPETUAL").best_bid * 100)

    def access_of(number: int) -> DeribitEmergency:
        return DeribitEmergency(context(server, tmp_path, engine.counters, alerts=alerts()), instance_number=number)

    await check_own_go_and_foreign_stay(engine, access_of, bid - FAR, foreign if with_foreign else None)


@pytest.mark.parametrize(
    ("size", "direction", "amount"), [(b"60.0", "sell", -60), (b"-60.0", "sell", -60), (b"60.0", "buy", 60)]
)
async def test_a_short_is_closed_as_one_where_only_the_direction_says_so(
    server: SimulatorServer, tmp_path: Path, size: bytes, direction: str, amount: int
) -> None:
    access = DeribitEmergency(context(server, tmp_path, Counters(), alerts=alerts()), instance_number=1)

    async def every_position() -> list[Position]:
        return [Position("BTC-PERPETUAL", Raw(size), direction)]

    access._fetcher.every_position = every_position  # type: ignore[method-assign]
    try:
        assert [position.amount for position in await access.positions()] == [amount]
    finally:
        await access.close()
