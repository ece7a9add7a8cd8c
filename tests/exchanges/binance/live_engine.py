"""An engine core over a real BinanceOMS, speaking the venue's protocol with a simulator in the same loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.binance.oms import BinanceOMS
from exchanges.binance.simulator import DEMO_KEY, SimulatorServer
from exchanges.order_instruments import OrderInstrument
from exchanges.risk_limits import RiskLimits
from processes.config import ExpectConfig
from shm.layout import EventType, instrument_id
from tests.exchanges import live_engine
from tests.exchanges.live_context import make_context
from tests.exchanges.live_engine import EPOCH, INSTANCE, STRATEGY
from tests.exchanges.order_world import Counters

__all__ = ["BTC", "EPOCH", "INSTANCE", "STRATEGY", "LiveEngine", "context", "live"]

BTC = OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3, tick_size=10, lot_size=1)


def context(server: SimulatorServer, tmp_path: Path, counters: Counters, **changes: Any) -> ExchangeContext:
    settings = {"settle_currency": "USDT", "expect": ExpectConfig()}
    key = (DEMO_KEY.key, DEMO_KEY.secret)
    return make_context("binance", BTC, key, server, tmp_path, counters, settings, changes)


class LiveEngine(live_engine.LiveEngine):
    instrument = BTC
    mid = 61_800.0
    limits = RiskLimits({BTC.id: 10_000}, 10**7 * 10**8, {BTC.id: 100_000}, 100, 1_000.0, 0.9)

    def make_oms(self, server: Any, tmp_path: Path, changes: dict[str, Any], sink: Any, **parts: Any) -> BinanceOMS:
        return BinanceOMS(context(server, tmp_path, self.counters, **changes), sink, **parts)

    def new(self, price: str = "61799.50", quantity: int = 10, **fields: Any) -> int:
        return self.order(**{"price": int(price.replace(".", "")), "quantity": quantity} | fields)

    async def placed(self, **fields: Any) -> int:
        """An order that the venue has accepted."""
        order_id = self.new(**fields)
        await self.until(lambda: EventType.ACCEPTED in self.kinds(order_id))
        return order_id


@asynccontextmanager
async def live(server: SimulatorServer, tmp_path: Path, **changes: Any) -> AsyncIterator[LiveEngine]:
    engine = LiveEngine(server, tmp_path, **changes)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
