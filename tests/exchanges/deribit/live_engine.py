"""An engine core over a real DeribitOMS, speaking the venue's protocol with a simulator in the same loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.deribit.oms import DeribitOMS
from exchanges.deribit.simulator import DEMO_KEY, SimulatorServer
from exchanges.order_instruments import OrderInstrument
from exchanges.risk_limits import RiskLimits
from shm.layout import EventType, instrument_id
from tests.exchanges import live_engine
from tests.exchanges.live_context import make_context
from tests.exchanges.order_world import Counters

PERPETUAL = OrderInstrument(
    instrument_id(2, 0), "BTC-PERPETUAL", price_scale=2, quantity_scale=0, tick_size=50, lot_size=10,
    minimum_quantity=10, inverse=True,
)  # fmt: skip


def context(server: SimulatorServer, tmp_path: Path, counters: Counters, **changes: Any) -> ExchangeContext:
    settings = {"settle_currency": "BTC", "login": "signature"}
    key = (DEMO_KEY.key, DEMO_KEY.secret)
    return make_context("deribit", PERPETUAL, key, server, tmp_path, counters, settings, changes)


class LiveEngine(live_engine.LiveEngine):
    instrument = PERPETUAL
    mid = 60_000.0
    limits = RiskLimits({PERPETUAL.id: 10**7}, 10**9 * 10**8, {PERPETUAL.id: 10**8}, 100, 1_000.0, 0.9)

    def make_oms(self, server: Any, tmp_path: Path, changes: dict[str, Any], sink: Any, **parts: Any) -> DeribitOMS:
        return DeribitOMS(context(server, tmp_path, self.counters, **changes), sink, **parts)

    async def placed(self, price: int, quantity: int = 100, **fields: Any) -> int:
        """An order that the venue has accepted."""
        order_id = self.order(price, quantity, **fields)
        await self.until(lambda: EventType.ACCEPTED in self.kinds(order_id))
        return order_id


@asynccontextmanager
async def live(
    server: SimulatorServer, tmp_path: Path, reply_timeout_s: float = 5.0, **changes: Any
) -> AsyncIterator[LiveEngine]:
    engine = LiveEngine(server, tmp_path, **changes)
    engine.oms._socket._socket.timeout_ns = int(reply_timeout_s * 1e9)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
