"""Our side of the demo's comparison: orders, trades and money from the records of the trading engine alone.

The rule: what stands here comes from the fills that the engine received, fed in as OrderEvent records from its journal
(for the report) or its event ring (for the screen); never from a venue's snapshot. Money is MiniPMS's own rule, applied
in the order of the venue's trade ids. Exact integers inside, Decimals out. Called by the demo.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from shm.layout import (
    MONEY_SCALE,
    TERMINAL_STATES,
    EventType,
    FillPart,
    OrderState,
    Reason,
    RecordKind,
    RequestType,
    Side,
    instance_of,
)
from strategy.mini_pms import Position
from strategy.order import Working

if TYPE_CHECKING:
    from shm.records import OrderEvent, OrderRequest
    from strategy.instrument import Instrument

ENDS = {EventType.CANCELED: OrderState.CANCELED, EventType.EXPIRED: OrderState.EXPIRED}


@dataclass
class OwnOrder:
    """One order of ours as the engine's records tell it. Mantissas."""

    client_order_id: int
    instrument_id: int
    side: int
    price: int
    quantity: int
    exchange_order_id: str = ""
    state: OrderState = OrderState.PENDING_NEW
    filled: int = 0
    was_sent: bool = False

    @property
    def is_open(self) -> bool:
        return self.state not in TERMINAL_STATES


@dataclass
class OwnTrade:
    """One fill of ours; the fee may be told later than the quantity."""

    instrument_id: int
    trade_id: str
    side: int
    price: int = 0
    quantity: int = 0
    fee: int = 0
    has_quantity: bool = False
    has_fee: bool = False


@dataclass
class OrderCounts:
    """What became of the orders, by number."""

    sent: int = 0
    accepted: int = 0
    filled: int = 0
    canceled: int = 0
    rejected: int = 0
    unknown_settled_executed: int = 0
    unknown_settled_absent: int = 0


@dataclass
class Money:
    """The sums that are compared, exact."""

    position: dict[str, Decimal] = field(default_factory=dict)
    fees: Decimal = Decimal(0)
    realized_pnl: Decimal = Decimal(0)
    unrealized_pnl: Decimal = Decimal(0)


class OwnBooks:
    """Orders, trades and money of one venue. Feed records in the order in which the engine wrote them."""

    def __init__(self, instance_number: int, instruments: Iterable[Instrument]) -> None:
        self._number = instance_number
        self.instruments = {instrument.id: instrument for instrument in instruments}
        self.orders: dict[int, OwnOrder] = {}
        self.trades: dict[tuple[int, str], OwnTrade] = {}
        self.counts = OrderCounts()
        self._fees = 0
        self._held: dict[int, Position] = {}
        self._last_applied: dict[int, tuple[int, str]] = {}
        self._replay_all()

    def feed(self, record: OrderRequest | OrderEvent) -> None:
        """Take in one record of the journal or the event ring; others than requests and events are passed over."""
        if record.kind == RecordKind.ORDER_REQUEST:
            self._request(cast("OrderRequest", record))
        elif record.kind == RecordKind.ORDER_EVENT and instance_of(record.client_order_id) == self._number:
            self._event(cast("OrderEvent", record))

    def _request(self, request: OrderRequest) -> None:
        if request.request_type == RequestType.NEW:
            self.orders.setdefault(
                request.client_order_id,
                OwnOrder(request.client_order_id, request.instrument_id, request.side, request.price, request.quantity),
            )

    def _event(self, event: OrderEvent) -> None:
        kind = event.event_type
        order = self.orders.get(event.client_order_id)
        if order is None:
            order = self.orders[event.client_order_id] = OwnOrder(
                event.client_order_id, event.instrument_id, event.side, event.price, event.quantity
            )
        if event.exchange_order_id:
            order.exchange_order_id = event.exchange_order_id.decode("ascii")
        self._count(order, event)
        if kind in (EventType.FILL, EventType.FILL_FEE):
            self._fill(order, event)
        elif kind in (EventType.ACCEPTED, EventType.REPLACED, EventType.STATUS):
            self._working(order, event)
        elif kind in ENDS:
            order.state = ENDS[EventType(kind)]
        elif kind == EventType.REJECTED:
            order.state = OrderState.REJECTED
        elif kind == EventType.UNKNOWN and order.is_open:
            order.state = OrderState.UNKNOWN
        self._close_if_filled(order)

    def _working(self, order: OwnOrder, event: OrderEvent) -> None:
        """The venue's word on an order that may be open; it never opens one again that has ended."""
        if not order.is_open:
            return
        if event.price:
            order.price = event.price
        if event.quantity:
            order.quantity = event.quantity
        stated = OrderState(event.order_state)
        if event.event_type == EventType.STATUS and stated in TERMINAL_STATES and stated is not OrderState.FILLED:
            order.state = stated  # FILLED is reached by fills alone
        elif order.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN):
            order.state = OrderState.PARTIALLY_FILLED if order.filled else OrderState.OPEN

    def _fill(self, order: OwnOrder, event: OrderEvent) -> None:
        key = (event.instrument_id, event.trade_id.decode("ascii"))
        trade = self.trades.get(key)
        if trade is None:
            trade = self.trades[key] = OwnTrade(event.instrument_id, key[1], event.side or order.side)
        if event.parts & FillPart.QUANTITY and not trade.has_quantity:
            trade.has_quantity = True
            trade.price, trade.quantity = event.last_price, event.last_quantity
            order.filled += event.last_quantity
            self._apply(trade)
            if order.is_open:
                order.state = OrderState.PARTIALLY_FILLED
        if event.parts & FillPart.FEE and not trade.has_fee:
            trade.has_fee = True
            trade.fee = event.fee
            self._fees += event.fee

    def _close_if_filled(self, order: OwnOrder) -> None:
        if order.quantity and order.filled == order.quantity:
            order.state = OrderState.FILLED

    def _count(self, order: OwnOrder, event: OrderEvent) -> None:
        counts = self.counts
        if _shows_that_it_left(event):
            order.was_sent = True
        if event.event_type == EventType.ACCEPTED:
            counts.accepted += 1
        if event.reason == Reason.SETTLED_EXECUTED:
            counts.unknown_settled_executed += 1
        if event.reason == Reason.SETTLED_ABSENT:
            counts.unknown_settled_absent += 1

    def _apply(self, trade: OwnTrade) -> None:
        """Move the position; a trade that comes after one with a higher id makes all be applied again in order."""
        key = _trade_order(trade)
        if key > self._last_applied.get(trade.instrument_id, (0, "")):
            self._last_applied[trade.instrument_id] = key
            self._held[trade.instrument_id].apply(trade.side, trade.price, trade.quantity)
        else:
            self._replay_all()

    def _replay_all(self) -> None:
        self._held = {
            identifier: Position(0, instrument, Working()) for identifier, instrument in self.instruments.items()
        }
        self._last_applied = {}
        for trade in sorted(self.trades.values(), key=_trade_order):
            if trade.has_quantity:
                self._last_applied[trade.instrument_id] = _trade_order(trade)
                self._held[trade.instrument_id].apply(trade.side, trade.price, trade.quantity)

    # --- results ----------------------------------------------------------------------------------------------------
    def final_counts(self) -> OrderCounts:
        """The counts, with those of final states as they are now."""
        states = [order.state for order in self.orders.values()]
        self.counts.sent = sum(order.was_sent for order in self.orders.values())
        self.counts.filled = states.count(OrderState.FILLED)
        self.counts.canceled = states.count(OrderState.CANCELED)
        self.counts.rejected = states.count(OrderState.REJECTED)
        return self.counts

    def open_orders(self) -> list[OwnOrder]:
        return [order for order in self.orders.values() if order.is_open]

    def order_set(self) -> set[tuple[str, str, Decimal]]:
        """(venue's order id, final state, filled quantity) of every order that the venue may know.

        One that was refused has no id at the venue and is not in it; one whose fate we do not know stands with our own
        id, so that it shows as a difference.
        """
        return {
            (
                order.exchange_order_id or f"client:{order.client_order_id}",
                order.state.name,
                self._quantity(order.instrument_id, order.filled),
            )
            for order in self.orders.values()
            if order.state is not OrderState.REJECTED or order.filled
        }

    def trade_set(self) -> set[tuple[str, str]]:
        """(symbol, trade id) of every fill whose quantity is known."""
        return {
            (self.instruments[trade.instrument_id].symbol, trade.trade_id)
            for trade in self.trades.values()
            if trade.has_quantity
        }

    def money(self, marks: dict[int, int]) -> Money:
        """Sums over all instruments; `marks`: mark price mantissa (MONEY_SCALE) by instrument id. What has no mark yet
        has no unrealized profit."""
        result = Money(fees=_money(self._fees))
        for identifier, position in self._held.items():
            instrument = self.instruments[identifier]
            result.position[instrument.symbol] = self._quantity(identifier, position.position_mantissa)
            result.realized_pnl += _money(position.realized_mantissa)
            if position.position_mantissa and (mark := marks.get(identifier, 0)):
                result.unrealized_pnl += _money(position.unrealized_mantissa(mark))
        return result

    def _quantity(self, instrument_id: int, mantissa: int) -> Decimal:
        return Decimal(mantissa).scaleb(-self.instruments[instrument_id].quantity_scale)

    def quotes(self, instrument_id: int) -> dict[int, tuple[Decimal, Decimal]]:
        """Best own open order a side: {Side: (price, remaining)}."""
        best: dict[int, OwnOrder] = {}
        for order in self.open_orders():
            if order.instrument_id != instrument_id or order.state is OrderState.PENDING_NEW:
                continue
            known = best.get(order.side)
            better = known is None or (order.price > known.price) == (order.side == Side.BUY)
            if better:
                best[order.side] = order
        scale = self.instruments[instrument_id].price_scale
        return {
            side: (Decimal(order.price).scaleb(-scale), self._quantity(instrument_id, order.quantity - order.filled))
            for side, order in best.items()
        }


def _money(mantissa: int) -> Decimal:
    return Decimal(mantissa).scaleb(-MONEY_SCALE)


def _shows_that_it_left(event: OrderEvent) -> bool:
    """An order left this host if we saw it go or anything came back; refusals made here have reasons below 64."""
    if event.event_type == EventType.REJECTED:
        return event.reason >= Reason.VENUE_REJECTED
    return event.event_type not in (EventType.CANCEL_REJECTED, EventType.REPLACE_REJECTED)


def _trade_order(trade: OwnTrade) -> tuple[int, str]:
    """Numeric order of the venue's trade ids, which are texts of digits."""
    return len(trade.trade_id), trade.trade_id
