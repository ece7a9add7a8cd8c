"""A small world for the trader's parts: real segments, and the other processes played by the test.

`World` writes what a market server, a trading engine and a position server would write, with the real rings and tables,
on a clock that the test moves. Used by the tests of container, runner and strategies.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shm.instance import Instance, VenueSegments
from shm.layout import (
    ContractKind,
    EventType,
    FillPart,
    InstrumentStatus,
    ProcessState,
    RecoveryPhase,
    RequestType,
    Venue,
    Word,
)
from shm.records import (
    BalanceRow,
    BookRow,
    BookTop,
    InstrumentRow,
    MarketStatus,
    OrderEvent,
    OrderRequest,
    PositionRow,
    ProcessRow,
    Quote,
    Recovery,
    Ticker,
    Trade,
)
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.table import TableReader, TableWriter, Words
from strategy.abstract_strategy import AbstractStrategy
from strategy.container import StrategyContainer
from strategy.instrument import Instrument
from strategy.shm_mds_adapter import ShmMDSAdapter
from strategy.shm_oms_adapter import Cause, ShmOMSAdapter
from strategy.shm_pms_adapter import ShmPMSAdapter
from strategy.strategy_runner import StrategyRunner
from strategy.venue_link import VenueLink
from strategy.venue_session import VenueSession

INSTANCE_NUMBER = 7
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
_serial = itertools.count()


def make_instrument_row(row: int = 0, symbol: str = "BTCUSDT", **changes: Any) -> InstrumentRow:
    """BTCUSDT as Binance describes it: tick 0.10, lot 0.001."""
    record = InstrumentRow()
    record.instrument_id = Venue.BINANCE << 16 | row
    record.venue = Venue.BINANCE
    record.status = InstrumentStatus.TRADING
    record.contract_kind = ContractKind.LINEAR_PERPETUAL
    record.price_scale, record.quantity_scale = 2, 3
    record.tick_size, record.lot_size = 10, 1
    record.minimum_quantity, record.maximum_quantity = 1, 1_000_000
    record.minimum_price, record.maximum_price = 10, 1_000_000_00
    record.minimum_notional = 5 * 10**8
    record.contract_size = 10**8
    record.symbol = symbol.encode()
    record.base_currency, record.quote_currency, record.settle_currency = b"BTC", b"USDT", b"USDT"
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def make_instrument(**changes: Any) -> Instrument:
    row = make_instrument_row(**changes)
    return Instrument(f"binance:{row.symbol.decode()}", row)


@dataclass
class Settings:
    """Stands for the config's StrategyConfig."""

    id: int = 1
    name: str = "one"
    module: str = "unused:Unused"
    instruments: list[str] = field(default_factory=lambda: ["binance:BTCUSDT"])
    parameters: dict[str, Any] = field(default_factory=dict)
    limits: Any = None
    on_start: str = "cancel"


@dataclass
class Limits:
    max_order_quantity: str = "1"
    max_order_notional: str = "100000"
    max_position: str = "2"
    price_band: float = 0.05
    max_orders_per_second: float = 1000.0
    max_open_orders: int = 10
    max_loss: str = "1000"


class World:
    """Everything around a container, on a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        name = f"t{os.getpid()}-{next(_serial)}"
        self.instance = Instance(name, INSTANCE_NUMBER, folder / "run", folder / "state")
        processes = ["market_server.binance", "trading_engine.binance", "position_server.binance", "trader"]
        self.instance.create({"binance": VenueSegments(SYMBOLS, 256, 64, 1024)}, processes)
        self.ids = self.instance.instruments("binance")
        self.btc, self.eth = self.ids.id("BTCUSDT"), self.ids.id("ETHUSDT")
        self.now_ns = 1_000_000_000_000
        self.utc_ns = 1_700_000_000_000_000_000
        segment = self.instance.segment
        self.market = BroadcastWriter(segment("binance.market"))
        self.events = LosslessWriter(segment("binance.events"), reserve=False)
        self.requests = LosslessReader(segment("binance.requests"))
        self.instruments = TableWriter(segment("binance.instruments"))
        self.books = TableWriter(segment("binance.books"))
        self.positions = TableWriter(segment("binance.positions"))
        self.balances = TableWriter(segment("binance.balances"))
        self.words = Words(segment("words"))
        self.status = {
            process: TableWriter(segment("status"), row=self.instance.process_row(process)) for process in processes
        }
        self.rows = {process: ProcessRow() for process in processes}
        self.epoch = 0
        self.nonce = 0
        self.update_id = 0
        self.container: StrategyContainer | None = None
        for process in processes[:3]:
            self.set_process(process, ProcessState.READY, pid=100)

    # --- the trader -------------------------------------------------------------------------------------------------
    def take_epoch(self, at_least: int) -> int:
        self.epoch = max(self.epoch + 1, at_least)
        return self.epoch

    def clock(self) -> int:
        return self.now_ns

    def start(self, *strategies: tuple[type[AbstractStrategy], Settings], **options: Any) -> StrategyContainer:
        """A container with these strategies (their class replaces the module of the settings)."""
        segment = self.instance.segment
        status = TableReader(segment("status"))
        cause = Cause()
        row = self.instance.process_row
        self.link = VenueLink(
            name="binance",
            code=int(Venue.BINANCE),
            mds=ShmMDSAdapter(
                "binance",
                BroadcastReader(segment("binance.market")),
                TableReader(segment("binance.books")),
                TableReader(segment("binance.tickers")),
                TableReader(segment("binance.instruments")),
                status,
                row("market_server.binance"),
                2_000_000_000,
            ),
            oms=ShmOMSAdapter(
                "binance",
                int(Venue.BINANCE),
                LosslessWriter(segment("binance.requests")),
                LosslessReader(segment("binance.events")),
                cause,
                500_000_000,
            ),
            pms=ShmPMSAdapter(
                "binance",
                TableReader(segment("binance.positions")),
                TableReader(segment("binance.balances")),
                status,
                row("position_server.binance"),
            ),
            session=VenueSession(2_000_000_000),
            status=status,
            engine_row=row("trading_engine.binance"),
            resync_word=int(Word.RESYNC_BINANCE),
            ids={symbol: self.ids.id(symbol) for symbol in SYMBOLS},
        )
        container = self.container = StrategyContainer(
            INSTANCE_NUMBER,
            [self.link],
            self.words,
            self.take_epoch,
            cause,
            logging.getLogger("test"),
            clock=self.clock,
            **options,
        )
        for kind, settings in strategies:
            settings.module = f"{kind.__module__}:{kind.__name__}"
            container.load(settings)
        return container

    def runner(self, number: int = 1) -> StrategyRunner:
        assert self.container is not None
        return self.container.runners[number]

    def turn(self, seconds: float = 0.006) -> None:
        """Let time pass, with heartbeats, until every check has run and every ring is empty."""
        assert self.container is not None
        for _ in range(3):
            self.now_ns += int(seconds * 1e9 / 3)
            self.utc_ns += int(seconds * 1e9 / 3)
            self.beat()
            while self.container.turn():
                pass

    def wait(self, seconds: float) -> None:
        """Let a long time pass in small steps."""
        for _ in range(int(seconds / 0.25)):
            self.turn(0.25)

    # --- other processes --------------------------------------------------------------------------------------------
    def set_process(self, process: str, state: ProcessState, **changes: Any) -> None:
        row = self.rows[process]
        row.state = state
        row.process = process.encode()
        for name, value in changes.items():
            setattr(row, name, value)
        self.beat(process)

    silent: tuple[str, ...] = ()

    def beat(self, *only: str) -> None:
        """Heartbeats of all processes but the `silent` ones."""
        for process, writer in self.status.items():
            if process in self.silent or process == "trader" or (only and process not in only):
                continue
            self.rows[process].heartbeat_time_ns = self.now_ns
            writer.write(self.instance.process_row(process), self.rows[process])

    def describe_instruments(self) -> None:
        for number, symbol in enumerate(SYMBOLS):
            row = make_instrument_row(number, symbol)
            if symbol == "ETHUSDT":
                row.base_currency, row.tick_size = b"ETH", 1
            self.instruments.write(number, row)

    def book(
        self, instrument_id: int | None = None, bid: float = 60000.0, ask: float = 60000.1, valid: int = 1
    ) -> None:
        identifier = self.btc if instrument_id is None else instrument_id
        row = BookRow()
        row.instrument_id, row.venue, row.valid, row.status = identifier, Venue.BINANCE, valid, InstrumentStatus.TRADING
        row.bid_count = row.ask_count = 1
        row.bid_prices[0], row.ask_prices[0] = bid, ask
        row.bid_quantities[0] = row.ask_quantities[0] = 1.0
        row.receive_time_ns = self.now_ns
        self.books.write(identifier & 0xFFFF, row)

    def quote(self, bid: float = 60000.0, ask: float = 60000.1, instrument_id: int | None = None) -> int:
        record = Quote()
        record.instrument_id = self.btc if instrument_id is None else instrument_id
        record.venue = Venue.BINANCE
        record.bid_price, record.ask_price, record.bid_quantity, record.ask_quantity = bid, ask, 1.0, 1.0
        record.receive_time_ns, record.exchange_time_ns = self.now_ns, self.utc_ns
        return self.market.publish(record)

    def trade(self, price: float, quantity: float = 0.01, aggressor: int = 1) -> int:
        record = Trade()
        record.instrument_id, record.venue = self.btc, Venue.BINANCE
        record.price, record.quantity, record.aggressor_side = price, quantity, aggressor
        record.receive_time_ns, record.exchange_time_ns = self.now_ns, self.utc_ns
        return self.market.publish(record)

    def ticker(self, mark: str) -> int:
        record = Ticker()
        record.instrument_id, record.venue = self.btc, Venue.BINANCE
        record.mark_price, record.mark_price_mantissa = float(mark), round(float(mark) * 10**8)
        record.receive_time_ns = self.now_ns
        return self.market.publish(record)

    def market_status(self, code: int) -> int:
        record = MarketStatus()
        record.instrument_id, record.venue, record.code = self.btc, Venue.BINANCE, code
        record.receive_time_ns = self.now_ns
        return self.market.publish(record)

    def book_top(self, bid: float, ask: float) -> int:
        record = BookTop()
        record.instrument_id, record.venue, record.bid_count, record.ask_count = self.btc, Venue.BINANCE, 1, 1
        record.bid_prices[0], record.ask_prices[0] = bid, ask
        record.receive_time_ns = self.now_ns
        return self.market.publish(record)

    def balance_row(self, row_number: int, currency: bytes, wallet_balance: int) -> None:
        row = BalanceRow()
        row.venue, row.valid, row.currency, row.wallet_balance = Venue.BINANCE, 1, currency, wallet_balance
        self.balances.write(row_number, row)

    def position_row(self, position: int, entry_price: float = 0.0, exchange_time_ns: int | None = None) -> None:
        row = PositionRow()
        row.instrument_id, row.venue, row.valid = self.btc, Venue.BINANCE, 1
        row.position, row.entry_price = position, entry_price
        row.exchange_time_ns = self.utc_ns if exchange_time_ns is None else exchange_time_ns
        self.positions.write(self.btc & 0xFFFF, row)

    # --- the engine's side of the rings -----------------------------------------------------------------------------
    def take_requests(self) -> list[OrderRequest]:
        """All requests that stand in the ring, as copies."""
        taken = []
        while (record := self.requests.poll()) is not None:
            taken.append(record.copy())
        self.requests.commit()
        return taken

    def send_event(self, event_type: EventType, request: OrderRequest | None = None, **fields: Any) -> None:
        event = OrderEvent()
        event.event_type, event.venue = event_type, Venue.BINANCE
        event.instrument_id = self.btc
        event.exchange_time_ns = self.utc_ns
        if request is not None:
            for name in ("instrument_id", "strategy_id", "epoch", "client_order_id", "side", "order_type",
                         "time_in_force", "exec_flags", "price", "quantity", "request_type", "request_id",
                         "cause_sequence", "cause_receive_time_ns"):  # fmt: skip
                setattr(event, name, getattr(request, name))
            event.request_sequence = request.sequence
        for name, value in fields.items():
            setattr(event, name, value)
        assert self.events.try_publish(event)

    def accept(self, request: OrderRequest) -> None:
        self.send_event(EventType.ACCEPTED, request, exchange_order_id=b"%d" % (request.client_order_id & 0xFFFFFF))

    def fill(
        self, request: OrderRequest, quantity: int, trade_id: bytes, price: int = 0, fee: int | None = 0, **more: Any
    ) -> None:
        """A trade; `fee` None: its quantity part only."""
        parts = FillPart.QUANTITY if fee is None else FillPart.QUANTITY | FillPart.FEE
        self.send_event(
            EventType.FILL, request, last_quantity=quantity, last_price=price or request.price, trade_id=trade_id,
            parts=parts, fee=fee or 0, fee_currency=b"USDT", request_type=0, **more,
        )  # fmt: skip

    def bracket(self, nonce: int, inside: Callable[[], None] | None = None) -> None:
        for phase in (RecoveryPhase.BEGIN, RecoveryPhase.END):
            record = Recovery()
            record.phase, record.nonce, record.venue = phase, nonce, Venue.BINANCE
            assert self.events.try_publish(record)
            if phase == RecoveryPhase.BEGIN and inside is not None:
                inside()

    def answer_recover(self, inside: Callable[[], None] | None = None) -> OrderRequest:
        """Accept the epoch of the newest RECOVER in the request ring and answer it with a bracket."""
        recovers = [one for one in self.take_requests() if one.request_type == RequestType.RECOVER]
        assert recovers, "no RECOVER was published"
        self.set_process("trading_engine.binance", ProcessState.READY, accepted_trader_epoch=recovers[-1].epoch)
        self.bracket(recovers[-1].request_id, inside)
        return recovers[-1]

    def make_ready(self, inside: Callable[[], None] | None = None) -> None:
        """From nothing to a venue that is Ready, with fresh data of BTCUSDT."""
        self.describe_instruments()
        self.turn()
        self.answer_recover(inside)
        self.book()
        self.book(self.eth, 3000.0, 3000.01)
        self.turn()
        self.quote()
        self.turn()

    def close(self) -> None:
        self.instance.close()
        self.instance.remove()
