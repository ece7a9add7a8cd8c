"""An engine core over a real BinanceOMS, speaking the venue's protocol with a simulator in the same loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.binance.oms import BinanceOMS
from exchanges.binance.simulator import DEMO_KEY, SimulatorServer
from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import OrderEngine
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.recovery import RecoveryBracket
from exchanges.risk_gate import RiskGate, RiskLimits
from exchanges.settlement import Settlement
from processes.config import ExpectConfig
from shm.clock import monotonic_ns
from shm.layout import (
    EventType,
    OrderType,
    RecordKind,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
)
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import Counters, Histogram, Journal, Resync

INSTANCE, STRATEGY, EPOCH = 6, 2, 3
BTC = OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3, tick_size=10, lot_size=1)
PATIENCE_S = 10.0


def context(server: SimulatorServer, tmp_path: Path, counters: Counters, **changes: Any) -> ExchangeContext:
    settings = SimpleNamespace(
        environment="simulator",
        symbols=["BTCUSDT"],
        rest_url=server.rest_url,
        stream_url=server.stream_url,
        ws_api_url=server.stream_url,
        order_path=changes.pop("order_path", "websocket"),
        receive_window_ms=changes.pop("receive_window_ms", 5_000),
        stale_after_ms=2_000,
        settle_currency="USDT",
        expect=changes.pop("expect", ExpectConfig()),
    )
    values: dict[str, Any] = {
        "venue": "binance",
        "settings": settings,
        "instruments": SimpleNamespace(id=lambda symbol: BTC.id, symbol=lambda identifier: "BTCUSDT"),
        "segment": lambda name: None,
        "counters": counters,
        "log": logging.getLogger("test.oms"),
        "state_dir": tmp_path,
        "set_state": lambda state, text: None,
        "credentials": SimpleNamespace(api_key=DEMO_KEY.key, secret=DEMO_KEY.secret),
    }
    return ExchangeContext(**values | changes)


class LiveEngine:
    """What processes/trading_engine.py wires, without its segments."""

    def __init__(self, server: SimulatorServer, tmp_path: Path, **changes: Any) -> None:
        self.server = server
        self.told: list[Any] = []
        self.counters = Counters()
        self.kill = 0
        self.streams: list[bool] = []
        self._request_ids = 0
        self._counter = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.store, self.ledger, self.journal = OrderStore(), FillLedger(), Journal()
        limits = RiskLimits({BTC.id: 10_000}, 10**7 * 10**8, {BTC.id: 100_000}, 100, 1_000.0, 0.9)
        self.gate = RiskGate(limits, self.store, lambda identifier: 61_800.0)
        self.fence = EpochFence(tmp_path / "epoch")
        self.fence.accept(EPOCH)
        instruments = OrderInstruments([BTC])
        log = logging.getLogger("test.oms")
        self.oms = BinanceOMS(
            context(server, tmp_path, self.counters, **changes),
            lambda fact: self.engine.merger.on_fact(fact),
            instruments=instruments,
            instance_number=INSTANCE,
            guard=lambda request: self.engine.guard(request),
            on_stream=self._on_stream,
        )
        self.engine = OrderEngine(
            instance_number=INSTANCE,
            instruments=instruments,
            store=self.store,
            ledger=self.ledger,
            gate=self.gate,
            fence=self.fence,
            events=EventLog(self.journal, self._publish, Resync(), monotonic_ns, log),
            gateway=self.oms,
            clock=monotonic_ns,
            kill_switch=lambda: self.kill,
            armed=lambda identifier: True,
            commit=lambda: None,
            counters=self.counters,
            histogram=lambda name: Histogram(),
            log=log,
        )
        self.engine.merger.settler = Settlement(
            merger=self.engine.merger,
            store=self.store,
            source=self.oms.source,
            instruments=instruments,
            cancel=self.oms.cancel,
            acceptance_ns=changes.get("acceptance_ns", 300_000_000),
            venue_time_ns=self.oms.clock.now_ns,
            clock=monotonic_ns,
            counters=self.counters,
            log=log,
            spawn=self.spawn,
        )
        self.bracket = RecoveryBracket(
            merger=self.engine.merger,
            store=self.store,
            ledger=self.ledger,
            gate=self.gate,
            events=self.engine._events,
            source=self.oms.source,
            instruments=instruments,
            stream_up=self.oms.stream_up,
            set_ready=self._set_ready,
            venue_time_ns=self.oms.clock.now_ns,
            clock=monotonic_ns,
            counters=self.counters,
            log=log,
            spawn=self.spawn,
        )
        self.engine.recoverer = self.bracket

    def _set_ready(self, ready: bool) -> None:
        self.engine.ready = ready

    def _on_stream(self, up: bool, why: str) -> None:
        self.streams.append(up)
        self.engine.ready = False
        if up:
            self.bracket.request(0, EPOCH, monotonic_ns())

    def _publish(self, event: Any) -> bool:
        self.told.append(event.copy())
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def start(self) -> None:
        await self.oms.prepare()
        self.spawn(self.oms.run())
        self.spawn(self._ticks())
        await self.until(lambda: self.engine.ready and (self.oms._socket is None or self.socket_usable))

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.engine.merger.on_timer()

    @property
    def socket_usable(self) -> bool:
        return self.oms._socket is not None and self.oms._socket.usable

    async def close(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.oms.close()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.001)

    # --- requests -----------------------------------------------------------------------------------------------------
    def request(self, kind: RequestType, order_id: int = 0, **fields: Any) -> OrderRequest:
        self._request_ids += 1
        request = OrderRequest()
        request.request_type, request.client_order_id = kind, order_id
        request.instrument_id, request.venue, request.strategy_id, request.epoch = BTC.id, 1, STRATEGY, EPOCH
        request.request_id = request.sequence = self._request_ids
        request.deadline_ns = 0 if kind == RequestType.CANCEL else monotonic_ns() + 5 * 10**9
        request.publish_time_ns = monotonic_ns()
        for name, value in fields.items():
            setattr(request, name, value)
        self.engine.on_request(request)
        return request

    def new(self, price: str = "61799.50", quantity: int = 10, **fields: Any) -> int:
        self._counter += 1
        order_id = client_order_id(INSTANCE, STRATEGY, EPOCH, self._counter)
        fields = {
            "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC,
            "price": int(price.replace(".", "")), "quantity": quantity,
        } | fields  # fmt: skip
        self.request(RequestType.NEW, order_id, **fields)
        return order_id

    async def placed(self, **fields: Any) -> int:
        """An order that the venue has accepted."""
        order_id = self.new(**fields)
        await self.until(lambda: EventType.ACCEPTED in self.kinds(order_id))
        return order_id

    # --- what was told ------------------------------------------------------------------------------------------------
    def events(self, order_id: int | None = None) -> list[OrderEvent]:
        return [
            event
            for event in self.told
            if event.kind == RecordKind.ORDER_EVENT and (order_id is None or event.client_order_id == order_id)
        ]

    def kinds(self, order_id: int | None = None) -> list[EventType]:
        return [EventType(event.event_type) for event in self.events(order_id)]

    async def told_of(self, order_id: int, kind: EventType) -> OrderEvent:
        await self.until(lambda: kind in self.kinds(order_id))
        return next(event for event in self.events(order_id) if event.event_type == kind)


@asynccontextmanager
async def live(server: SimulatorServer, tmp_path: Path, **changes: Any) -> AsyncIterator[LiveEngine]:
    engine = LiveEngine(server, tmp_path, **changes)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
