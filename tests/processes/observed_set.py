"""The shared memory of a set without its processes: what an observer sees is written by the test, row by row."""

from __future__ import annotations

import contextlib
from typing import Any

from processes import shm_admin
from processes.config import Config
from processes.set_view import SetView
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.instance import Instance
from shm.layout import (
    ConnectionState,
    EventType,
    FillPart,
    Liquidity,
    MarketStatusCode,
    OrderState,
    ProcessState,
    RequestType,
    Side,
    client_order_id,
)
from shm.records import (
    BalanceRow,
    BookRow,
    InstrumentRow,
    OrderEvent,
    PositionRow,
    ProcessRow,
    Recovery,
    StrategyRow,
    TickerRow,
)
from shm.ring import LosslessReader, LosslessWriter
from shm.table import TableWriter, Words
from strategy.strategy_runner import RunnerState

VENUE = "binance"
SECOND_NS = 1_000_000_000


class ObservedSet:
    """Writers of one venue with one instrument of tick 0.1 and lot 0.001, and the view that reads them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        shm_admin.create(config)
        self.instance: Instance = shm_admin.instance_of(config)
        segment = self.instance.segment
        self.tables = {name: TableWriter(segment(f"{VENUE}.{name}")) for name in (
            "instruments", "books", "tickers", "positions", "balances",
        )}  # fmt: skip
        self.status = TableWriter(segment("status"))
        self.strategies = TableWriter(segment("strategies"))
        self.words = Words(segment("words"))
        self.events = LosslessWriter(segment(f"{VENUE}.events"), reserve=False)
        self.trader = LosslessReader(segment(f"{VENUE}.events"))
        self.identifier = self.instance.instruments(VENUE).id("BTCUSDT")
        self._counters: dict[str, Counters] = {}
        self.instrument()

    def view(self) -> SetView:
        return SetView(self.config, self.instance)

    def close(self) -> None:
        self.instance.close()
        with contextlib.suppress(OSError):
            self.instance.remove()

    # --- rows -------------------------------------------------------------------------------------------------------
    def instrument(self) -> None:
        row = InstrumentRow()
        row.symbol, row.settle_currency = b"BTCUSDT", b"USDT"
        row.price_scale, row.tick_size, row.quantity_scale, row.lot_size = 2, 10, 3, 1
        self.tables["instruments"].write(0, row)

    def process(self, name: str, state: ProcessState = ProcessState.READY, age_s: float = 0.0, **fields: Any) -> None:
        row = ProcessRow()
        row.process, row.pid, row.core, row.state = name.encode(), 1000, -1, int(state)
        row.heartbeat_time_ns = monotonic_ns() - int(age_s * 1e9)
        row.start_time_ns = row.heartbeat_time_ns - 60 * SECOND_NS
        row.connection_states[0] = int(fields.pop("link", ConnectionState.UP))
        row.connection_receive_time_ns[0] = row.heartbeat_time_ns
        for field, value in fields.items():
            setattr(row, field, value)
        self.status.write(self.instance.process_row(name), row)

    def all_ready(self) -> None:
        """All but the monitor, which a test may run itself. Their heartbeats are of later, so that nobody is taken for
        dead on a host where the test itself stands still for a while."""
        for name in self.config.processes():
            if name != "monitor":
                self.process(name, age_s=-3600.0)

    def book(self, bid: float = 100.0, ask: float = 100.1, *, valid: bool = True, age_s: float = 0.0) -> None:
        row = BookRow()
        row.valid, row.bid_count, row.ask_count = valid, 1, 1
        row.status = int(MarketStatusCode.LIVE if valid else MarketStatusCode.STALE)
        row.bid_prices[0], row.bid_quantities[0], row.ask_prices[0], row.ask_quantities[0] = bid, 1.5, ask, 2.5
        row.receive_time_ns = monotonic_ns() - int(age_s * 1e9)
        self.tables["books"].write(0, row)

    def mark(self, price: float) -> None:
        row = TickerRow()
        row.mark_price_mantissa = round(price * 1e8)
        self.tables["tickers"].write(0, row)

    def position(self, mantissa: int, age_s: float = 0.0) -> None:
        row = PositionRow()
        row.position, row.entry_price, row.unrealized_pnl, row.valid = mantissa, 99.5, 150_000_000, 1
        row.receive_time_ns = monotonic_ns() - int(age_s * 1e9)
        self.tables["positions"].write(0, row)

    def balance(self, wallet: int) -> None:
        row = BalanceRow()
        row.wallet_balance = row.available_balance = wallet
        row.currency, row.valid, row.receive_time_ns = b"USDT", 1, monotonic_ns()
        self.tables["balances"].write(0, row)

    def strategy(self, place: int = 0, **fields: Any) -> None:
        row = StrategyRow()
        row.strategy_id, row.instrument_id, row.state = place + 1, self.identifier, int(RunnerState.RUNNING)
        row.name, row.instrument = f"s{place + 1}".encode(), b"binance:BTCUSDT"
        row.bid_price = row.ask_price = row.unrealized_pnl = float("nan")
        for field, value in fields.items():
            setattr(row, field, value)
        self.strategies.write(place, row)

    # --- events and counters ----------------------------------------------------------------------------------------
    def event(self, number: int, kind: EventType, state: OrderState, **fields: Any) -> None:
        event = OrderEvent()
        event.client_order_id = client_order_id(self.instance.number, 1, 1, number)
        event.instrument_id, event.side, event.price, event.quantity = self.identifier, int(Side.BUY), 10_000, 20
        event.event_type, event.order_state, event.request_type = int(kind), int(state), int(RequestType.NEW)
        event.publish_time_ns = monotonic_ns()
        for field, value in fields.items():
            setattr(event, field, value)
        assert self.events.try_publish(event)

    def fill(self, number: int, trade: bytes, state: OrderState = OrderState.PARTIALLY_FILLED) -> None:
        self.event(
            number, EventType.FILL, state, parts=int(FillPart.QUANTITY), trade_id=trade, last_price=10_010,
            last_quantity=5, liquidity=int(Liquidity.MAKER), exchange_time_ns=1_700_000_000_000_000_000,
        )  # fmt: skip

    def bracket(self, phase: int) -> None:
        record = Recovery()
        record.phase = phase
        assert self.events.try_publish(record)

    def counters(self, process: str) -> Counters:
        """Declared by the test, as the process would."""
        if process not in self._counters:
            self._counters[process] = Counters(self.instance.segment(f"counters.{process}"))
        return self._counters[process]
