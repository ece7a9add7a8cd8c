"""An engine core over a real GrvtOMS, speaking the venue's protocol with a simulator in the same loop."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.grvt.oms import GrvtOMS
from exchanges.grvt.simulator import DEMO_KEY, SimulatorServer
from exchanges.order_instruments import OrderInstrument
from exchanges.risk_limits import RiskLimits
from shm.layout import EventType, instrument_id
from tests.exchanges import live_engine
from tests.exchanges.order_world import Counters

PERPETUAL = OrderInstrument(
    instrument_id(3, 0), "BTC_USDT_Perp", price_scale=1, quantity_scale=3, minimum_notional=100 * 10**8,
)  # fmt: skip


def context(server: SimulatorServer, tmp_path: Path, counters: Counters, **changes: Any) -> ExchangeContext:
    settings = SimpleNamespace(
        environment="simulator",
        symbols=["BTC_USDT_Perp"],
        rest_url=server.rest_url,
        stream_url=server.stream_url,
        ws_api_url=server.stream_url,
        order_path=changes.pop("order_path", "websocket"),
        receive_window_ms=changes.pop("receive_window_ms", 5_000),
        stale_after_ms=2_000,
        settle_currency="USDT",
        check_gaps=True,
        account="",
    )
    values: dict[str, Any] = {
        "venue": "grvt",
        "settings": settings,
        "instruments": SimpleNamespace(id=lambda symbol: PERPETUAL.id, symbol=lambda identifier: "BTC_USDT_Perp"),
        "segment": lambda name: None,
        "counters": counters,
        "log": logging.getLogger("test.oms"),
        "state_dir": tmp_path,
        "set_state": lambda state, text: None,
        "credentials": SimpleNamespace(api_key=DEMO_KEY.key, secret=DEMO_KEY.secret),
    }
    return ExchangeContext(**values | changes)


class LiveEngine(live_engine.LiveEngine):
    instrument = PERPETUAL
    mid = 60_000.0
    limits = RiskLimits({PERPETUAL.id: 10**7}, 10**9 * 10**8, {PERPETUAL.id: 10**8}, 100, 1_000.0, 0.9)

    def make_oms(self, server: Any, tmp_path: Path, changes: dict[str, Any], sink: Any, **parts: Any) -> GrvtOMS:
        return GrvtOMS(context(server, tmp_path, self.counters, **changes), sink, **parts)

    async def placed(self, price: int, quantity: int = 100, **fields: Any) -> int:
        """An order that the venue has opened."""
        order_id = self.order(price, quantity, **fields)
        await self.until(lambda: EventType.ACCEPTED in self.kinds(order_id))
        return order_id


@asynccontextmanager
async def live(
    server: SimulatorServer, tmp_path: Path, reply_timeout_s: float = 5.0, **changes: Any
) -> AsyncIterator[LiveEngine]:
    engine = LiveEngine(server, tmp_path, **changes)
    if engine.oms._socket is not None:
        engine.oms._socket._socket.timeout_ns = int(reply_timeout_s * 1e9)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
