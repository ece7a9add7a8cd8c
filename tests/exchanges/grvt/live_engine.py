"""An engine core over a real GrvtOMS, speaking the venue's protocol with a simulator in the same loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.grvt.codec import trade_number
from exchanges.grvt.legs import order_of
from exchanges.grvt.oms import GrvtOMS
from exchanges.grvt.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer
from exchanges.order_instruments import OrderInstrument
from exchanges.risk_limits import RiskLimits
from shm.layout import EventType, OrderState, instrument_id
from tests.exchanges import live_engine
from tests.exchanges.live_context import make_context
from tests.exchanges.order_world import Counters

SUB = DEMO_KEY.account
FAR = 20_000
"""Below the best bid, in price mantissas."""
PERPETUAL = OrderInstrument(
    instrument_id(3, 0), "BTC_USDT_Perp", price_scale=1, quantity_scale=3, minimum_notional=100 * 10**8,
)  # fmt: skip


def context(server: SimulatorServer, tmp_path: Path, counters: Counters, **changes: Any) -> ExchangeContext:
    settings = {"settle_currency": "USDT", "check_gaps": True, "account": "", "requests_per_second": {}}
    key = (DEMO_KEY.key, DEMO_KEY.secret)
    return make_context("grvt", PERPETUAL, key, server, tmp_path, counters, settings, changes)


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


def options(**changes: Any) -> SimulatorOptions:
    return SimulatorOptions(**{"symbols": ("BTC_USDT_Perp",), "seed": 3} | changes)


def best(server: SimulatorServer) -> tuple[int, int]:
    """Best bid and ask in price mantissas."""
    book = server.venue.book("BTC_USDT_Perp")
    return int(book.best_bid * 10), int(book.best_ask * 10)


def orders(server: SimulatorServer) -> list[dict[str, Any]]:
    """The venue's truth of the account's orders."""
    found: list[dict[str, Any]] = server.truth(SUB)["accounts"][SUB]["orders"]
    return found


def check_agreement(server: SimulatorServer, engine: LiveEngine) -> None:
    """Orders, their states and filled quantities (of all legs together), and trades of both sides are the same."""
    truth = server.truth(SUB)["accounts"][SUB]
    theirs: dict[int, list[dict[str, Any]]] = {}
    for one in truth["orders"]:
        theirs.setdefault(order_of(int(one["client_order_id"])), []).append(one)
    assert {event.client_order_id for event in engine.events() if event.exchange_order_id} == set(theirs)
    for order_id, legs in theirs.items():
        known = engine.store.get(order_id)
        assert known is not None
        if legs[-1]["open"]:  # what earlier legs traded is no part of its state there
            assert not known.closed, legs
        else:
            assert OrderState(known.state).name == legs[-1]["state"], legs
        assert known.exchange_order_id.decode() == legs[-1]["order_id"]
        assert known.cumulative_quantity == sum(round(float(leg["filled"]) * 1000) for leg in legs)
    fills = [event for event in engine.events() if event.event_type == EventType.FILL]
    assert sorted(event.text.decode() for event in fills) == sorted(trade["trade_id"] for trade in truth["trades"])
    assert all(int(event.trade_id) == trade_number(event.text.decode()) for event in fills)
    assert len({event.trade_id for event in fills}) == len(fills)
