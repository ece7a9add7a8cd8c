"""StrategyRig: a strategy in a test, without any venue, process or config.

The rule: everything on the trader's side is the real thing (container, risk, MiniOMS, MiniPMS, rings and tables in
shared memory); everything beyond the rings is played here, on a clock that only the test moves. So what passes here is
rounded, refused and counted as it will be in the trader. There is no matching: the test says what market and venue do.

    with StrategyRig(MyStrategy, {"order_quantity": 0.01}) as rig:
        rig.quote(60_000.0, 60_000.1)
        rig.fill(rig.orders[0])
        assert rig.position().position == 0.01

An exception in a callback comes out of the rig's call as StrategyFailed, a failed assertion. For tests of strategies,
ours and those that `corelane new-strategy` begins.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from shm.instance import VENUE_CODES, Instance, VenueSegments
from shm.layout import (
    MONEY_SCALE,
    ContractKind,
    EventType,
    FillPart,
    InstrumentStatus,
    ProcessState,
    Reason,
    RecoveryPhase,
    RequestType,
    Word,
)
from shm.records import BookRow, InstrumentRow, OrderEvent, OrderRequest, ProcessRow, Quote, Recovery, Ticker, Trade
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.table import TableReader, TableWriter, Words
from strategy.container import StrategyContainer
from strategy.loader import load_strategy_class
from strategy.measures import Measures
from strategy.refusal import Refusal
from strategy.shm_mds_adapter import ShmMDSAdapter
from strategy.shm_oms_adapter import Cause, ShmOMSAdapter
from strategy.shm_pms_adapter import ShmPMSAdapter
from strategy.strategy_runner import RunnerState, StrategyRunner
from strategy.venue_link import VenueLink
from strategy.venue_session import VenueSession

if TYPE_CHECKING:
    from strategy.abstract_strategy import AbstractStrategy
    from strategy.instrument import Instrument
    from strategy.mini_pms import Position
    from strategy.order import Order

INSTANCE_NUMBER: Final = 102
STALE_AFTER_S: Final = 2.0
"""Data of this age is stale, as with the config's default."""
BEGIN_NS: Final = 1_000_000_000_000
STEP_S: Final = 0.25
"""`wait` moves the clock by this much at once."""
_serial = itertools.count()


class StrategyFailed(AssertionError):
    """A callback of the strategy raised; the text says where."""


@dataclass(frozen=True)
class Listing:
    """An instrument of the rig: a perpetual with 1.0 contracts. Sizes as decimal text, of an inverse one in dollars."""

    name: str = "binance:BTCUSDT"
    tick: str = "0.1"
    lot: str = "0.001"
    minimum_notional: str = "5"

    def row(self, identifier: int, venue: int) -> InstrumentRow:
        """As a market server would write it."""
        return _instrument_row(self, self.name.partition(":")[2], identifier, venue)

    inverse: bool = False


@dataclass(frozen=True)
class RigLimits:
    """Wide risk limits; give your own to see an order refused. Units as in the config's [strategies.limits]."""

    max_order_quantity: str = "1000"
    max_order_notional: str = "10000000"
    max_position: str = "1000"
    price_band: float = 0.1
    max_orders_per_second: float = 1000.0
    max_open_orders: int = 100
    max_loss: str = "1000000"


@dataclass(frozen=True)
class _Settings:
    """Stands for the config's StrategyConfig."""

    module: str
    instruments: list[str]
    parameters: dict[str, Any]
    limits: RigLimits
    id: int = 1
    name: str = "rig"
    on_start: str = "cancel"


class _RecordingContainer(StrategyContainer):
    """Also keeps what it refused, in words."""

    refused: list[str]

    def later(self, runner: StrategyRunner, name: str, arguments: tuple[Any, ...]) -> None:
        told = arguments[0] if arguments else None
        if isinstance(told, Refusal) or (name == "on_order" and told is not None and told.client_order_id == 0):
            self.refused.append(told.text)
        super().later(runner, name, arguments)


class VenueSide:
    """What a market server and a trading engine of one venue would do. `answers` False: the engine stays silent."""

    def __init__(self, rig: StrategyRig, name: str, listings: list[Listing]) -> None:
        segment = rig.instance.segment
        self._rig = rig
        self.name = name
        self.code = int(VENUE_CODES[name])
        self.answers = True
        self.market = BroadcastWriter(segment(f"{name}.market"))
        self.books = TableWriter(segment(f"{name}.books"))
        self.events = LosslessWriter(segment(f"{name}.events"), reserve=False)
        self.requests = LosslessReader(segment(f"{name}.requests"))
        self.taken: dict[int, OrderRequest] = {}
        """Newest request for each order that is not over here."""
        self.filled: dict[int, int] = {}
        table = TableWriter(segment(f"{name}.instruments"))
        ids = rig.instance.instruments(name)
        for listing in listings:
            symbol = listing.name.partition(":")[2]
            table.write(ids.row(symbol), listing.row(ids.id(symbol), self.code))

    def answer(self) -> None:
        """Take every request that stands in the ring, and answer as a venue that accepts everything."""
        while (request := self.requests.poll()) is not None:
            self.requests.commit()
            kind = request.request_type
            if kind == RequestType.RECOVER:
                self._rig.beat(f"trading_engine.{self.name}", accepted_trader_epoch=request.epoch)
                self._bracket(request.request_id)
            elif kind == RequestType.NEW:
                self.taken[request.client_order_id] = request.copy()
                self.filled[request.client_order_id] = 0
                self._rig.all_orders.append(self._rig.container.oms.orders[request.client_order_id])
                if self.answers:
                    self.accept(request)
            elif self.answers and request.client_order_id not in self.taken:
                refusal = EventType.CANCEL_REJECTED if kind == RequestType.CANCEL else EventType.REPLACE_REJECTED
                if kind in (RequestType.CANCEL, RequestType.REPLACE):
                    self.send(refusal, request, reason=Reason.VENUE_UNKNOWN_ORDER)
            elif self.answers and kind == RequestType.CANCEL:
                self.end(EventType.CANCELED, request)
            elif self.answers and kind == RequestType.REPLACE:
                self.taken[request.client_order_id] = request.copy()
                self.send(EventType.REPLACED, request)

    def accept(self, request: OrderRequest) -> None:
        self.send(EventType.ACCEPTED, request, exchange_order_id=b"%d" % (request.client_order_id & 0xFFFFFF))

    def end(self, kind: EventType, request: OrderRequest, **fields: Any) -> None:
        """The venue's last word on an order."""
        filled = self.filled.pop(request.client_order_id, 0)
        self.taken.pop(request.client_order_id, None)
        self.send(kind, request, cumulative_quantity=filled, **fields)

    def send(self, kind: EventType, request: OrderRequest, **fields: Any) -> None:
        event = OrderEvent()
        event.event_type, event.venue, event.exchange_time_ns = kind, self.code, self._rig.utc_ns
        for name in ("instrument_id", "strategy_id", "epoch", "client_order_id", "side", "order_type", "time_in_force",
                     "exec_flags", "price", "quantity", "request_type", "request_id", "cause_sequence",
                     "cause_receive_time_ns"):  # fmt: skip
            setattr(event, name, getattr(request, name))
        event.request_sequence = request.sequence
        for name, value in fields.items():
            setattr(event, name, value)
        assert self.events.try_publish(event), "the event ring of the rig is full: let the strategy run"

    def _bracket(self, nonce: int) -> None:
        for phase in (RecoveryPhase.BEGIN, RecoveryPhase.END):
            record = Recovery()
            record.phase, record.nonce, record.venue = phase, nonce, self.code
            assert self.events.try_publish(record)


class StrategyRig:
    """One strategy, Ready and with fresh data once each instrument had a quote. A context manager; one thread.

    `strategy`: the class, or "file.py:Class" as the config names it. `parameters`: those of the config, checked alike.
    `instruments`: "venue:SYMBOL" or Listing, in the order in which the strategy gets them.
    """

    def __init__(
        self, strategy: type[AbstractStrategy] | str, parameters: Mapping[str, Any] | None = None, *,
        instruments: Sequence[str | Listing] = ("binance:BTCUSDT",), limits: RigLimits | None = None,
        clock: Callable[[], int] | None = None, measures: Measures | None = None, begin_ns: int = BEGIN_NS,
    ) -> None:  # fmt: skip
        """`clock` (ns) and `measures`: real ones, for benches; the test's own, from `begin_ns`, otherwise. Raises
        StrategyLoadError."""
        kind = load_strategy_class(strategy) if isinstance(strategy, str) else strategy
        listings = [one if isinstance(one, Listing) else Listing(one) for one in instruments]
        by_venue: dict[str, list[Listing]] = {}
        for listing in listings:
            venue, _, symbol = listing.name.partition(":")
            if venue not in VENUE_CODES or not symbol:
                known = ", ".join(VENUE_CODES)
                raise ValueError(f"instrument {listing.name!r}: expected venue:SYMBOL with a venue of: {known}")
            by_venue.setdefault(venue, []).append(listing)
        self.now_ns, self.utc_ns = begin_ns, 1_700_000_000_000_000_000
        self._real_clock = clock
        self._measures = measures
        self._quotes: dict[str, tuple[float, float]] = {}
        self.all_orders: list[Order] = []
        """Every order that reached a venue, closed ones too, oldest first."""
        self._trade_ids = itertools.count(1)
        self._epoch = 0
        self._folder = Path(tempfile.mkdtemp(prefix="corelane-rig-"))
        self.instance = Instance(
            f"rig-{os.getpid()}-{next(_serial)}", INSTANCE_NUMBER, self._folder / "run", self._folder / "state"
        )
        try:
            self._build(kind, listings, by_venue, dict(parameters or {}), limits or RigLimits())
        except BaseException:
            self.close()
            raise

    def _build(
        self, kind: type[AbstractStrategy], listings: list[Listing], by_venue: dict[str, list[Listing]],
        parameters: dict[str, Any], limits: RigLimits,
    ) -> None:  # fmt: skip
        roles = ("market_server", "trading_engine", "position_server")
        processes = [f"{role}.{venue}" for venue in by_venue for role in roles]
        segments = {
            venue: VenueSegments([one.name.partition(":")[2] for one in listed], 1024, 1024, 1024)
            for venue, listed in by_venue.items()
        }
        self.instance.create(segments, [*processes, "trader"])
        segment = self.instance.segment
        self._rows = {process: ProcessRow() for process in processes}
        self._status = {
            process: TableWriter(segment("status"), row=self.instance.process_row(process)) for process in processes
        }
        for process, row in self._rows.items():
            row.state, row.process, row.pid = ProcessState.READY, process.encode(), os.getpid()
        self.beat()
        self.venues = {venue: self.make_side(venue, listed) for venue, listed in by_venue.items()}
        cause = Cause()
        log = logging.getLogger("strategy.testing")
        links = [self._link(side, segments[side.name].symbols, cause) for side in self.venues.values()]
        self.container = _RecordingContainer(
            INSTANCE_NUMBER,
            links,
            Words(segment("words")),
            self._take_epoch,
            cause,
            log,
            self._measures,
            clock=self._real_clock or self._clock,
        )
        self.container.refused = []
        # The class itself is given: the container finds it under the name of its module.
        settings = _Settings(f"{kind.__module__}:{kind.__name__}", [one.name for one in listings], parameters, limits)
        self.container.load(settings)
        self.turn()
        self.strategy = self.runner.strategy

    def _link(self, side: VenueSide, symbols: list[str], cause: Cause) -> VenueLink:
        segment, row, name = self.instance.segment, self.instance.process_row, side.name
        status, ids = TableReader(segment("status")), self.instance.instruments(name)

        def table(what: str) -> TableReader:
            return TableReader(segment(f"{name}.{what}"))

        return VenueLink(
            name=name,
            code=side.code,
            mds=ShmMDSAdapter(
                name, BroadcastReader(segment(f"{name}.market")), table("books"), table("tickers"),
                table("instruments"), status, row(f"market_server.{name}"), round(STALE_AFTER_S * 1e9),
            ),
            oms=self.make_oms(side, cause),
            pms=ShmPMSAdapter(name, table("positions"), table("balances"), status, row(f"position_server.{name}")),
            session=VenueSession(2_000_000_000),
            status=status,
            engine_row=row(f"trading_engine.{name}"),
            resync_word=int(Word[f"RESYNC_{name.upper()}"]),
            ids={symbol: ids.id(symbol) for symbol in symbols},
        )  # fmt: skip

    def make_side(self, venue: str, listings: list[Listing]) -> VenueSide:
        """Who plays a venue; for rigs that play it in another way."""
        return VenueSide(self, venue, listings)

    def make_oms(self, side: VenueSide, cause: Cause) -> ShmOMSAdapter:
        """What the trader sends orders with; for rigs that measure it."""
        segment, name = self.instance.segment, side.name
        return ShmOMSAdapter(
            name, side.code, LosslessWriter(segment(f"{name}.requests")), LosslessReader(segment(f"{name}.events")),
            cause, 500_000_000,
        )  # fmt: skip

    # --- the market -------------------------------------------------------------------------------------------------
    def quote(self, bid: float, ask: float, instrument: str = "", quantity: float = 1.0) -> None:
        """A new best bid and ask, of the first instrument if none is named; the strategy runs on it."""
        name = instrument or self.instrument().name
        self._quotes[name] = (bid, ask)
        self._publish_quote(name, quantity)
        self.turn()

    def trade(self, price: float, quantity: float, aggressor: int = 1, instrument: str = "") -> None:
        """A public trade; `aggressor` as shm.layout.Side."""
        record = Trade()
        self._address(record, instrument)
        record.price, record.quantity, record.aggressor_side = price, quantity, aggressor
        self._side(instrument).market.publish(record)
        self.turn()

    def mark(self, price: float, instrument: str = "") -> None:
        """A mark price, which values positions."""
        record = Ticker()
        self._address(record, instrument)
        record.mark_price, record.mark_price_mantissa = price, round(price * 10**MONEY_SCALE)
        self._side(instrument).market.publish(record)
        self.turn()

    def wait(self, seconds: float, *, quiet: bool = False) -> None:
        """Let time pass: timers run, the last quotes are repeated. `quiet`: no data comes, so it becomes stale."""
        end = self._clock() + round(seconds * 1e9)
        while self._clock() < end:
            self._pass(min(STEP_S, (end - self._clock()) / 1e9))
            if not quiet:
                for name in self._quotes:
                    self._publish_quote(name, 1.0)
            self.turn()

    # --- the venue's word on orders ---------------------------------------------------------------------------------
    def fill(
        self, order: Order, quantity: float | None = None, price: float | None = None, *, fee: str = "0"
    ) -> None:  # fmt: skip
        """A trade of an order: all that remains at its own price, if not said otherwise. `fee` in settle currency.

        A market order needs a price.
        """
        side, request = self._known(order)
        instrument = order.instrument
        mantissa = order.remaining_mantissa if quantity is None else instrument.quantity_mantissa(quantity)
        paid = order.price_mantissa if price is None else instrument.price_mantissa(price, order.side, False)
        if not paid:
            raise ValueError(f"{order!r} is a market order: fill it with a price")
        if mantissa > order.remaining_mantissa:
            raise ValueError(f"{order!r} has {order.remaining_quantity} left, a fill of {quantity} is more")
        side.filled[order.client_order_id] += mantissa
        if side.filled[order.client_order_id] >= order.quantity_mantissa:
            del side.taken[order.client_order_id]
        side.send(
            EventType.FILL, request, last_quantity=mantissa, last_price=paid, parts=FillPart.QUANTITY | FillPart.FEE,
            trade_id=b"%d" % next(self._trade_ids), fee=int(Decimal(fee).scaleb(MONEY_SCALE)), request_type=0,
            fee_currency=instrument.settle_currency.encode(), cumulative_quantity=side.filled[order.client_order_id],
        )  # fmt: skip
        self.turn()

    def accept(self, order: Order) -> None:
        """The venue has it; only needed where the venue's `answers` is False."""
        side, request = self._known(order)
        side.accept(request)
        self.turn()

    def reject(self, order: Order, text: str = "refused by the test") -> None:
        """The venue refuses a new order; possible only while the venue's `answers` is False, else it is accepted."""
        side, request = self._known(order)
        if order.accepted:
            raise ValueError(f"{order!r} is accepted: set `rig.venues[...].answers = False` before it is sent")
        side.end(EventType.REJECTED, request, reason=Reason.VENUE_REJECTED, text=text.encode())
        self.turn()

    def expire(self, order: Order) -> None:
        """The venue ends what remains, as it does with an IOC order that finds no (more) counterpart."""
        side, request = self._known(order)
        side.end(EventType.EXPIRED, request)
        self.turn()

    def cancel(self, order: Order) -> None:
        """The venue ends it without having been asked."""
        side, request = self._known(order)
        side.end(EventType.CANCELED, request)
        self.turn()

    # --- what the strategy did --------------------------------------------------------------------------------------
    @property
    def runner(self) -> StrategyRunner:
        return self.container.runners[1]

    @property
    def orders(self) -> list[Order]:
        """Its orders that are not closed, oldest first."""
        return self.runner.open_orders()

    @property
    def refused(self) -> list[str]:
        """One sentence for each order or replace that never left: rounding, staleness, risk."""
        return self.container.refused

    def instrument(self, name: str = "") -> Instrument:
        """By name, or the first."""
        instruments = self.runner.instruments
        if not name:
            return instruments[0]
        found = next((one for one in instruments if one.name == name), None)
        if found is None:
            raise ValueError(f"instrument {name!r}: expected one of: {', '.join(one.name for one in instruments)}")
        return found

    def position(self, instrument: str = "") -> Position:
        """What the strategy holds."""
        return self.runner.position(self.instrument(instrument))

    def set_parameters(self, **changes: Any) -> None:
        """As `corelane ctl trader set-param` does. Raises ParameterError."""
        self.container.set_parameters("rig", changes)

    def stop(self) -> None:
        """The trader ends: on_stop, then its orders are canceled."""
        self.container.stop_all()
        self.turn()

    # --- time -------------------------------------------------------------------------------------------------------
    def turn(self) -> None:
        """A few ms in which everything that is on its way arrives. Raises StrategyFailed."""
        for _ in range(4):
            self._pass(0.006)
            self.beat()
            for side in self.venues.values():
                side.answer()
            while self.container.turn():
                for side in self.venues.values():
                    side.answer()
        runner = self.container.runners.get(1)
        if runner is not None and runner.state == RunnerState.FAILED:
            raise StrategyFailed(runner.text)

    def beat(self, *only: str, **fields: int) -> None:
        """Heartbeats of the played processes, or of some, with changed fields of their status rows."""
        for process, row in self._rows.items():
            if not only or process in only:
                for name, value in fields.items():
                    setattr(row, name, value)
                row.heartbeat_time_ns = self._clock()
                self._status[process].write(self.instance.process_row(process), row)

    def close(self) -> None:
        """Remove its shared memory and files."""
        self.instance.close()
        self.instance.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # --- inside -----------------------------------------------------------------------------------------------------
    def _clock(self) -> int:
        return self.now_ns if self._real_clock is None else self._real_clock()

    def _pass(self, seconds: float) -> None:
        if self._real_clock is not None:
            time.sleep(seconds)
        self.now_ns += round(seconds * 1e9)
        self.utc_ns += round(seconds * 1e9)

    def _take_epoch(self, at_least: int) -> int:
        self._epoch = max(self._epoch + 1, at_least)
        return self._epoch

    def _side(self, instrument: str = "") -> VenueSide:
        return self.venues[self.instrument(instrument).name.partition(":")[0]]

    def _address(self, record: Quote | Trade | Ticker | BookRow, instrument: str) -> None:
        found = self.instrument(instrument)
        record.instrument_id, record.venue, record.receive_time_ns = found.id, found.venue, self._clock()
        record.exchange_time_ns = self.utc_ns

    def _publish_quote(self, name: str, quantity: float) -> None:
        """The book row first, as a market server does: a quote counts only beside a valid book."""
        bid, ask = self._quotes[name]
        side, row, record = self._side(name), BookRow(), Quote()
        self._address(row, name)
        row.valid, row.status, row.bid_count, row.ask_count = 1, InstrumentStatus.TRADING, 1, 1
        row.bid_prices[0], row.ask_prices[0] = bid, ask
        row.bid_quantities[0] = row.ask_quantities[0] = quantity
        side.books.write(self.instrument(name).id & 0xFFFF, row)
        self._address(record, name)
        record.bid_price, record.ask_price, record.bid_quantity, record.ask_quantity = bid, ask, quantity, quantity
        side.market.publish(record)

    def _known(self, order: Order) -> tuple[VenueSide, OrderRequest]:
        side = self._side(order.instrument.name)
        request = side.taken.get(order.client_order_id)
        if request is None:
            raise ValueError(f"{order!r} is not at the venue: it never left, or it is over")
        return side, request


def _instrument_row(listing: Listing, symbol: str, identifier: int, venue: int) -> InstrumentRow:
    tick, lot = Decimal(listing.tick), Decimal(listing.lot)
    row = InstrumentRow()
    row.instrument_id, row.venue, row.symbol = identifier, venue, symbol.encode()
    row.status, row.contract_kind = InstrumentStatus.TRADING, ContractKind.LINEAR_PERPETUAL
    row.price_scale, row.quantity_scale = _scale(tick), _scale(lot)
    row.tick_size, row.lot_size = int(tick.scaleb(row.price_scale)), int(lot.scaleb(row.quantity_scale))
    row.minimum_quantity, row.minimum_price = row.lot_size, row.tick_size
    row.minimum_notional = int(Decimal(listing.minimum_notional).scaleb(MONEY_SCALE))
    row.contract_size, row.inverse = 10**MONEY_SCALE, int(listing.inverse)
    row.quote_currency = row.settle_currency = b"USDT"
    row.base_currency = symbol.removesuffix("USDT").encode()[:8]
    return row


def _scale(step: Decimal) -> int:
    """Decimals of a tick or lot size."""
    exponent = step.as_tuple().exponent
    return max(0, -int(exponent))
