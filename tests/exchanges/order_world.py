"""An engine without sockets and segments: a clock that stands still, a gateway that remembers, a venue by hand."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from exchanges.adapter import VenueUnavailable
from exchanges.audit import Audit
from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import OrderEngine
from exchanges.order_events import FactFlag, fact_of_request
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import InFlight, Order, OrderStore
from exchanges.recovery import RecoveryBracket
from exchanges.risk_gate import RiskGate
from exchanges.risk_limits import RiskLimits
from exchanges.settlement import Settlement
from shm.layout import (
    EventType,
    FillPart,
    OrderState,
    OrderType,
    Reason,
    RecordKind,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
)
from shm.records import OrderEvent, OrderRequest, PositionRow

INSTANCE = 5
STRATEGY = 3
EPOCH = 9
MS = 1_000_000
SECOND = 1_000 * MS
BTC = OrderInstrument(
    instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3, tick_size=10, lot_size=1, minimum_quantity=1
)
ETH = OrderInstrument(instrument_id(1, 1), "ETHUSDT", price_scale=2, quantity_scale=3, tick_size=1, lot_size=1)
LIMITS = RiskLimits(
    max_order_quantity={BTC.id: 1_000, ETH.id: 10_000},
    max_order_notional=10**6 * 10**8,
    max_position={BTC.id: 5_000, ETH.id: 50_000},
    max_open_orders=50,
    max_orders_per_second=1_000.0,
    collar=0.1,
)
MID = {BTC.id: 60_000.0, ETH.id: 3_000.0}
VENUE_OFFSET_NS = 1_700_000_000 * SECOND
"""Venue UTC minus the world's clock."""


class Histogram:
    def __init__(self) -> None:
        self.values: list[int] = []

    def record(self, value: int) -> None:
        self.values.append(value)


class Counters:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self.counts[name]


class Journal:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def append(self, record: Any) -> int:
        self.records.append(record.copy())
        return len(self.records)

    def flush(self) -> None:
        pass


class Resync:
    def __init__(self) -> None:
        self.value = 0

    def set(self) -> None:
        self.value = 1

    def clear(self) -> None:
        self.value = 0


class Gateway:
    """Remembers what it was given, in order; `committed` is how much of the ring was committed at each send."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[OrderRequest] = []
        self.committed: list[int] = []
        self.cancel_alls = 0
        self.refuse_until = 0

    def admit(self, request: OrderRequest) -> int:
        return self.refuse_until

    def _take(self, request: OrderRequest) -> None:
        self.sent.append(request)
        self.committed.append(self.world.committed)

    def new(self, request: OrderRequest) -> None:
        self._take(request)

    def cancel(self, request: OrderRequest) -> None:
        self._take(request)

    def replace(self, request: OrderRequest) -> None:
        self._take(request)

    def query(self, request: OrderRequest) -> None:
        self._take(request)

    def cancel_all(self, request: OrderRequest | None) -> None:
        self.cancel_alls += 1
        if request is not None:
            self._take(request)


class Settler:
    """Remembers what it was asked to follow up."""

    def __init__(self) -> None:
        self.unknown: list[tuple[Order, InFlight | None]] = []
        self.fills: list[Order] = []

    def settle(self, order: Order, request: InFlight | None) -> None:
        self.unknown.append((order, request))

    def fetch_fills(self, order: Order) -> None:
        self.fills.append(order)


class Recoverer:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def request(self, nonce: int, epoch: int, asked_time_ns: int) -> None:
        self.asked.append((nonce, epoch, asked_time_ns))


class VenueOrder:
    """An order as a hand-made venue has it."""

    def __init__(self, request: OrderRequest, exchange_id: int) -> None:
        self.client_order_id = request.client_order_id
        self.instrument_id = request.instrument_id
        self.exchange_order_id = b"%d" % exchange_id
        self.side, self.price, self.quantity = request.side, request.price, request.quantity
        self.cumulative = 0
        self.state = OrderState.OPEN
        self.time_ns = 0


class Venue:
    """The account's truth, as settlement and recovery ask for it. `hidden` ids are not shown (a replica that lags)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[int, VenueOrder] = {}
        self.trades: list[OrderEvent] = []
        self.hidden: set[int] = set()
        self.net: dict[int, int] = {}
        self.failures = 0
        """So many of the next questions fail."""
        self.asked: list[str] = []
        self.listed_wrong: set[int] = set()
        """Ids that openOrders leaves out although they are open."""

    def _question(self, what: str) -> None:
        self.asked.append(what)
        if self.failures:
            self.failures -= 1
            raise VenueUnavailable("the venue does not answer")

    def place(self, request: OrderRequest) -> VenueOrder:
        order = VenueOrder(request, 70_000 + len(self.orders))
        order.time_ns = self.world.venue_time_ns()
        self.orders[request.client_order_id] = order
        return order

    def trade(self, order: VenueOrder, quantity: int, trade_id: int) -> OrderEvent:
        order.cumulative += quantity
        order.state = OrderState.FILLED if order.cumulative == order.quantity else OrderState.PARTIALLY_FILLED
        order.time_ns = self.world.venue_time_ns()
        fact = OrderEvent()
        fact.event_type, fact.instrument_id, fact.venue = EventType.FILL, order.instrument_id, 1
        fact.exchange_order_id, fact.side = order.exchange_order_id, order.side
        fact.trade_id, fact.last_price, fact.last_quantity = b"%d" % trade_id, order.price, quantity
        fact.parts = FillPart.QUANTITY | FillPart.FEE
        fact.fee, fact.fee_currency = 5 * quantity, b"USDT"
        fact.exchange_time_ns = order.time_ns
        self.trades.append(fact)
        self.net[order.instrument_id] = self.net.get(order.instrument_id, 0) + (
            quantity if order.side == Side.BUY else -quantity
        )
        return fact

    def status(self, order: VenueOrder) -> OrderEvent:
        fact = OrderEvent()
        fact.event_type, fact.order_state = EventType.STATUS, order.state
        fact.client_order_id, fact.exchange_order_id = order.client_order_id, order.exchange_order_id
        fact.instrument_id, fact.venue, fact.side = order.instrument_id, 1, order.side
        fact.order_type, fact.time_in_force = OrderType.LIMIT, TimeInForce.GTC
        fact.price, fact.quantity, fact.cumulative_quantity = order.price, order.quantity, order.cumulative
        fact.flags = FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN
        fact.exchange_time_ns, fact.receive_time_ns = order.time_ns, self.world.now
        return fact

    # --- what settlement and recovery ask -----------------------------------------------------------------------------
    async def open_orders(self, symbols: Sequence[str]) -> list[OrderEvent]:
        self._question("open orders")
        wanted = {instrument.id for instrument in self.world.instruments if instrument.symbol in symbols}
        return [
            self.status(order)
            for order in self.orders.values()
            if order.instrument_id in wanted
            and order.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
            and order.client_order_id not in self.hidden | self.listed_wrong
        ]

    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None:
        self._question("order")
        order = self.orders.get(client_order_id)
        return self.status(order) if order is not None and client_order_id not in self.hidden else None

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: bytes) -> OrderEvent | None:
        self._question("order by exchange id")
        for order in self.orders.values():
            if order.exchange_order_id == exchange_order_id:
                return self.status(order)
        return None

    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]:
        self._question("trades")
        return [
            trade.copy()
            for trade in self.trades
            if self.symbol(trade) == symbol and (from_trade_id is None or int(trade.trade_id) >= from_trade_id)
        ]

    async def own_trades_since(self, symbol: str, venue_time_ns: int) -> list[OrderEvent]:
        self._question("trades since")
        return [
            trade.copy()
            for trade in self.trades
            if self.symbol(trade) == symbol and trade.exchange_time_ns >= venue_time_ns
        ]

    async def trades_of_order(self, symbol: str, exchange_order_id: bytes) -> list[OrderEvent]:
        self._question("trades of order")
        return [trade.copy() for trade in self.trades if trade.exchange_order_id == exchange_order_id]

    async def positions(self) -> list[PositionRow]:
        self._question("positions")
        rows = []
        for identifier, net in self.net.items():
            row = PositionRow()
            row.instrument_id, row.position, row.valid = identifier, net, 1
            row.exchange_time_ns = self.world.venue_time_ns()
            rows.append(row)
        return rows

    def symbol(self, fact: OrderEvent) -> str:
        found = self.world.instruments.by_id(fact.instrument_id)
        assert found is not None
        return found.symbol


class World:
    """Everything of one engine. `ring_room` is how many events the trader's ring still takes; None = endless."""

    def __init__(self, directory: Path, limits: RiskLimits | None = LIMITS) -> None:
        self.now = 1_000 * SECOND
        self.directory = directory
        self.committed = 0
        self.polled = 0
        self.kill = 0
        self.armed = True
        self.ring_room: int | None = None
        self.told: list[Any] = []
        self.counters, self.journal, self.resync = Counters(), Journal(), Resync()
        self.histograms: dict[str, Histogram] = {}
        self.instruments = OrderInstruments([BTC, ETH])
        self.store, self.ledger = OrderStore(), FillLedger()
        self.gate = RiskGate(limits, self.store, MID.get, directory / "trip")
        for instrument in (BTC, ETH):
            self.gate.seed(instrument.id, 0, 0)
        self.fence = EpochFence(directory / "epoch")
        self.fence.accept(EPOCH)
        self.log = logging.getLogger("test.engine")
        self.events = EventLog(self.journal, self._publish, self.resync, self.clock, self.log)
        self.gateway, self.settler, self.recoverer = Gateway(self), Settler(), Recoverer()
        self.venue = Venue(self)
        self.engine = OrderEngine(
            instance_number=INSTANCE,
            instruments=self.instruments,
            store=self.store,
            ledger=self.ledger,
            gate=self.gate,
            fence=self.fence,
            events=self.events,
            gateway=self.gateway,
            clock=self.clock,
            kill_switch=lambda: self.kill,
            armed=lambda identifier: self.armed,
            commit=self._commit,
            counters=self.counters,
            histogram=lambda name: self.histograms.setdefault(name, Histogram()),
            log=self.log,
        )
        self.merger = self.engine.merger
        self.merger.settler = self.settler
        self.engine.recoverer = self.recoverer
        self.engine.ready = True
        self._request_ids = 0
        self._counter = 0
        self.tasks: set[asyncio.Task[None]] = set()

    # --- time and rings -----------------------------------------------------------------------------------------------
    def clock(self) -> int:
        return self.now

    def venue_time_ns(self) -> int:
        return self.now + VENUE_OFFSET_NS

    async def sleep(self, seconds: float) -> None:
        """Time passes only here."""
        self.now += int(seconds * SECOND)
        await asyncio.sleep(0)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def settle_down(self) -> None:
        """Until nothing is being followed up any more."""
        while self.tasks:
            await asyncio.gather(*self.tasks)

    def _commit(self) -> None:
        self.committed = self.polled

    def _publish(self, event: Any) -> bool:
        if self.ring_room == 0:
            return False
        if self.ring_room is not None:
            self.ring_room -= 1
        self.told.append(event.copy())
        return True

    # --- real parts in place of the remembering ones ------------------------------------------------------------------
    def with_settlement(
        self, acceptance_ns: int = 6 * SECOND, forbid: Callable[[str, int], Awaitable[int]] | None = None
    ) -> Settlement:
        settlement = Settlement(
            merger=self.merger,
            store=self.store,
            source=self.venue,
            instruments=self.instruments,
            cancel=self.gateway.cancel,
            acceptance_ns=acceptance_ns,
            venue_time_ns=self.venue_time_ns,
            clock=self.clock,
            counters=self.counters,
            log=self.log,
            spawn=self.spawn,
            sleep=self.sleep,
            forbid=forbid,
        )
        self.merger.settler = settlement
        return settlement

    def with_recovery(self, stream_up: Callable[[], Any] | None = None) -> RecoveryBracket:
        async def up() -> None:
            return None

        def set_ready(ready: bool) -> None:
            self.engine.ready = ready

        bracket = RecoveryBracket(
            merger=self.merger,
            store=self.store,
            ledger=self.ledger,
            gate=self.gate,
            events=self.events,
            source=self.venue,
            instruments=self.instruments,
            stream_up=stream_up or up,
            set_ready=set_ready,
            venue_time_ns=self.venue_time_ns,
            clock=self.clock,
            counters=self.counters,
            log=self.log,
            spawn=self.spawn,
            sleep=self.sleep,
            ring_free=lambda: 1 << 20 if self.ring_room is None else self.ring_room,
        )
        self.engine.recoverer = bracket
        return bracket

    def with_audit(self) -> Audit:
        """Over a settlement and a bracket of its own."""
        self.with_settlement()
        return Audit(
            bracket=self.with_recovery(),
            merger=self.merger,
            store=self.store,
            ledger=self.ledger,
            gate=self.gate,
            events=self.events,
            source=self.venue,
            instruments=self.instruments,
            venue_time_ns=self.venue_time_ns,
            clock=self.clock,
            counters=self.counters,
            log=self.log,
            sleep=self.sleep,
        )

    # --- requests -----------------------------------------------------------------------------------------------------
    def order_id(self) -> int:
        self._counter += 1
        return client_order_id(INSTANCE, STRATEGY, EPOCH, self._counter)

    def request(self, kind: RequestType, order_id: int = 0, **fields: Any) -> OrderRequest:
        """A record as the ring's reader would hand it over."""
        self._request_ids += 1
        self.polled += 1
        request = OrderRequest()
        request.request_type, request.client_order_id = kind, order_id
        request.instrument_id, request.venue, request.strategy_id, request.epoch = BTC.id, 1, STRATEGY, EPOCH
        request.request_id = self._request_ids
        request.sequence = self.polled
        request.deadline_ns = 0 if kind == RequestType.CANCEL else self.now + SECOND
        request.publish_time_ns = self.now - 1_000
        for name, value in fields.items():
            setattr(request, name, value)
        return request

    def new_request(self, **fields: Any) -> OrderRequest:
        fields = {
            "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC,
            "price": 6_000_000, "quantity": 10,
        } | fields  # fmt: skip
        return self.request(RequestType.NEW, fields.pop("order_id", 0) or self.order_id(), **fields)

    def send_new(self, **fields: Any) -> OrderRequest:
        """Put a new order through the engine; the copy that the gateway got."""
        request = self.new_request(**fields)
        self.engine.on_request(request)
        assert self.gateway.sent, f"refused: {self.told[-1].to_dict()}"
        assert self.gateway.sent[-1].client_order_id == request.client_order_id, self.told[-1].to_dict()
        return self.gateway.sent[-1]

    def accepted(self, **fields: Any) -> tuple[OrderRequest, VenueOrder]:
        """An order that the venue has confirmed, and the venue's own."""
        request = self.send_new(**fields)
        order = self.venue.place(request)
        self.tell_sent(request)
        self.merger.on_fact(self.reply(request, order))
        return request, order

    # --- facts --------------------------------------------------------------------------------------------------------
    def tell_sent(self, request: OrderRequest) -> None:
        """The gateway's last check and its word that the bytes left."""
        assert self.engine.guard(request) == Reason.NONE
        fact = fact_of_request(request, EventType.SENT)
        fact.sign_time_ns = self.now
        self.merger.on_fact(fact)

    def reply(self, request: OrderRequest, order: VenueOrder) -> OrderEvent:
        """The venue's success to a new order, cancel or replace."""
        fact = self.venue.status(order)
        fact.request_type, fact.request_id = request.request_type, request.request_id
        fact.request_sequence, fact.epoch = request.sequence, request.epoch
        if request.request_type == RequestType.NEW and order.state == OrderState.OPEN:
            fact.event_type, fact.flags = EventType.ACCEPTED, FactFlag.TERMS_KNOWN
        elif request.request_type == RequestType.REPLACE:
            fact.event_type = EventType.REPLACED
        elif request.request_type == RequestType.CANCEL and order.state == OrderState.CANCELED:
            fact.event_type = EventType.CANCELED
        return fact

    def failure(self, request: OrderRequest, kind: EventType, reason: Reason) -> OrderEvent:
        fact = fact_of_request(request, kind, reason)
        fact.receive_time_ns = self.now
        return fact

    def stream(self, order: VenueOrder, kind: EventType) -> OrderEvent:
        fact = self.venue.status(order)
        fact.event_type = kind
        fact.flags |= FactFlag.STREAM
        return fact

    def trade_update(self, order: VenueOrder, trade: OrderEvent, cumulative: int, state: OrderState) -> OrderEvent:
        """ORDER_TRADE_UPDATE x=TRADE."""
        fact = self.stream(order, EventType.FILL)
        fact.cumulative_quantity, fact.order_state = cumulative, state
        for name in ("trade_id", "last_price", "last_quantity", "parts", "fee", "fee_currency", "exchange_time_ns"):
            setattr(fact, name, getattr(trade, name))
        return fact

    def trade_lite(self, order: VenueOrder, trade: OrderEvent) -> OrderEvent:
        fact = self.trade_update(order, trade, 0, OrderState.NONE)
        fact.flags, fact.parts, fact.fee, fact.fee_currency = FactFlag.STREAM, FillPart.QUANTITY, 0, b""
        return fact

    # --- what was told ------------------------------------------------------------------------------------------------
    def kinds(self, order_id: int | None = None) -> list[EventType]:
        return [EventType(event.event_type) for event in self.events_of(order_id)]

    def events_of(self, order_id: int | None = None) -> list[OrderEvent]:
        return [
            event
            for event in self.told
            if event.kind == RecordKind.ORDER_EVENT and (order_id is None or event.client_order_id == order_id)
        ]
