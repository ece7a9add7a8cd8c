"""An engine core over a venue's real OMS, speaking its protocol with a simulator in the same loop: what
processes/trading_engine.py wires, without its segments. Each venue's live_engine.py says which OMS and instrument."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import OrderEngine
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.recovery import RecoveryBracket
from exchanges.risk_gate import RiskGate
from exchanges.risk_limits import RiskLimits
from exchanges.settlement import Settlement
from shm.clock import monotonic_ns
from shm.layout import EventType, OrderType, RecordKind, RequestType, Side, TimeInForce, client_order_id
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import Counters, Histogram, Journal, Resync

INSTANCE, STRATEGY, EPOCH = 6, 2, 3
PATIENCE_S = 60.0


class LiveEngine:
    """`instrument`: the one that is traded; `mid`: what the gate takes for its price; `limits`: of the gate. A subclass
    makes the OMS."""

    engine: OrderEngine
    instrument: OrderInstrument
    mid: float
    limits: RiskLimits

    def __init__(self, server: Any, tmp_path: Path, **changes: Any) -> None:
        self.server = server
        self.told: list[Any] = []
        self.counters = Counters()
        self.kill = 0
        self.streams: list[bool] = []
        self._request_ids = 0
        self._counter = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.store, self.ledger, self.journal = OrderStore(), FillLedger(), Journal()
        self.gate = RiskGate(self.limits, self.store, lambda identifier: self.mid)
        self.fence = EpochFence(tmp_path / "epoch")
        self.fence.accept(EPOCH)
        instruments = OrderInstruments([self.instrument])
        log = logging.getLogger("test.oms")
        acceptance_ns = changes.get("acceptance_ns", 300_000_000)
        self.oms = self.make_oms(
            server,
            tmp_path,
            changes,
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
            acceptance_ns=acceptance_ns,
            venue_time_ns=self.oms.clock.now_ns,
            clock=monotonic_ns,
            counters=self.counters,
            log=log,
            spawn=self.spawn,
            forbid=self.oms.forbid,
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

    def make_oms(self, server: Any, tmp_path: Path, changes: dict[str, Any], sink: Any, **parts: Any) -> Any:
        raise NotImplementedError

    @property
    def socket_usable(self) -> bool:
        return self.oms._socket is not None and self.oms._socket.usable

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
        request.instrument_id, request.venue = self.instrument.id, self.instrument.venue
        request.strategy_id, request.epoch = STRATEGY, EPOCH
        request.request_id = request.sequence = self._request_ids
        request.deadline_ns = 0 if kind == RequestType.CANCEL else monotonic_ns() + 5 * 10**9
        request.publish_time_ns = monotonic_ns()
        for name, value in fields.items():
            setattr(request, name, value)
        self.engine.on_request(request)
        return request

    def order(self, price: int, quantity: int, **fields: Any) -> int:
        """A NEW of these mantissas; its id."""
        self._counter += 1
        order_id = client_order_id(INSTANCE, STRATEGY, EPOCH, self._counter)
        fields = {
            "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "price": price,
            "quantity": quantity,
        } | fields  # fmt: skip
        self.request(RequestType.NEW, order_id, **fields)
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
