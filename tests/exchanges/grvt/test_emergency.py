"""Without the engine's help: our orders go, a foreign one stays, and the position is closed, by the venue's truth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from exchanges.grvt.auth import ENGINE_NONCES, NONCES
from exchanges.grvt.emergency import GrvtEmergency, closing_nonce
from exchanges.grvt.simulator import SimulatorOptions, SimulatorServer, serve
from tests.exchanges.grvt.live_engine import LiveEngine, context, live
from tests.exchanges.grvt.simulator_client import order
from tests.exchanges.live_emergency import alerts, check_own_go_and_foreign_stay

FAR = 20_000


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


def foreign(access: GrvtEmergency) -> Awaitable[object]:
    """Post-only: what may take waits at the venue for a while, and is in no listing then."""
    return access._fetcher.create({"order": order(size="0.02", price="50000.0", post_only=True)})


@pytest.mark.parametrize("with_foreign", [True, False])
async def test_own_orders_and_the_position_go_and_a_foreign_order_stays(
    server: SimulatorServer, engine: LiveEngine, tmp_path: Path, with_foreign: bool
) -> None:
    bid = int(server.venue.book("BTC_USDT_Perp").best_bid * 10)

    def access_of(number: int) -> GrvtEmergency:
        return GrvtEmergency(context(server, tmp_path, engine.counters, alerts=alerts()), instance_number=number)

    await check_own_go_and_foreign_stay(engine, access_of, bid - FAR, foreign if with_foreign else None)
    requests = server.truth()["requests"]
    assert requests.get("v2/bulk_orders", 0) == with_foreign  # one call for exactly ours, where others have orders too
    assert (requests.get("v1/cancel_all_orders", 0), requests.get("v1/cancel_order", 0)) == (not with_foreign, 0)


def test_a_closing_order_has_a_nonce_that_no_engine_uses() -> None:
    drawn = {closing_nonce() for _ in range(2000)}
    assert min(drawn) >= ENGINE_NONCES
    assert max(drawn) < NONCES
    assert len(drawn) > 1990
