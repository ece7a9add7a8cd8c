"""Own open orders and last fills of one venue, as its engine's events tell an observer.

The rule: the newest event of an order says what it is now; what is over is forgotten, so memory is bounded by what is
open. It reads the event ring with broadcast semantics and begins with the oldest event that still stands there. Where
events were missed it says so until the engine has next told every open order (a recovery bracket): what that did not
name is gone. Called by `set_view.py` a few times a second; one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from processes.oldest_record import from_oldest
from processes.snapshot import FillLine, OrderLine
from shm.clock import monotonic_ns
from shm.layout import (
    TERMINAL_STATES,
    EventType,
    FillPart,
    Liquidity,
    OrderState,
    RecordKind,
    RecoveryPhase,
    RequestType,
    Side,
    instance_of,
    strategy_of,
)
from shm.records import OrderEvent, Recovery
from shm.segment import Segment

FILLS_KEPT: Final = 50
_ENDS: Final = frozenset({EventType.CANCELED, EventType.EXPIRED, EventType.REJECTED})
_NO_ORDER: Final = frozenset({RequestType.QUERY, RequestType.RECOVER, RequestType.CANCEL_ALL})
"""Requests whose refusal ends no order."""

Places = Callable[[int], tuple[str, float, float] | None]
"""Instrument id → ("venue:SYMBOL", price unit, quantity unit); None while its row is not written."""


@dataclass
class _Order:
    """Mantissas."""

    instrument_id: int
    side: int
    price: int
    quantity: int
    filled: int
    state: OrderState
    unknown: bool
    told_ns: int


@dataclass(frozen=True)
class _Fill:
    instrument_id: int
    trade_id: str
    strategy_id: int
    side: int
    price: int
    quantity: int
    liquidity: int
    time_ns: int


class OrderWatch:
    """One per venue and observer."""

    def __init__(self, segment: Segment, instance_number: int, names: dict[int, str], places: Places) -> None:
        """names: of the strategies, by id."""
        self._ring = from_oldest(segment)
        self.complete = self._ring.next_sequence == 1
        self._number, self._names, self._places = instance_number, names, places
        self._orders: dict[int, _Order] = {}
        self._fills: deque[_Fill] = deque(maxlen=FILLS_KEPT)
        self._lost = self._ring.lost
        self._not_told: set[int] | None = None
        """Inside a bracket: orders from before it that it has not named yet."""

    def poll(self) -> None:
        """Take in the newest events."""
        while (record := self._ring.poll()) is not None:
            if self._ring.lost != self._lost:
                self._lost, self.complete, self._not_told = self._ring.lost, False, None
            if record.kind == RecordKind.ORDER_EVENT:
                if instance_of(record.client_order_id) == self._number:
                    self._take(record)
            elif record.kind == RecordKind.RECOVERY:
                self._bracket(record)

    def orders(self) -> list[OrderLine]:
        """Those that are not over: the unknown first, then by instrument, side and price."""
        now = monotonic_ns()
        lines = [line for key, order in self._orders.items() if (line := self._order_line(key, order, now)) is not None]
        return sorted(lines, key=lambda one: (not one.unknown, one.instrument, one.side, -one.price))

    def fills(self) -> list[FillLine]:
        """The last ones, newest first."""
        return [line for fill in reversed(self._fills) if (line := self._fill_line(fill)) is not None]

    # --- events -----------------------------------------------------------------------------------------------------
    def _take(self, event: OrderEvent) -> None:
        key, kind, state = event.client_order_id, event.event_type, OrderState(event.order_state)
        if event.parts & FillPart.QUANTITY:
            self._fill(event)
        if self._not_told is not None:
            self._not_told.discard(key)
        if kind == EventType.REJECTED and event.request_type in _NO_ORDER:
            return
        if kind in _ENDS or state in TERMINAL_STATES:
            self._orders.pop(key, None)
            return
        if state is OrderState.NONE:  # the refusal of a request about an order that is not there
            return
        unknown = kind == EventType.UNKNOWN or state is OrderState.UNKNOWN
        self._orders[key] = _Order(
            event.instrument_id, event.side, event.price, event.quantity, event.cumulative_quantity, state, unknown,
            event.publish_time_ns,
        )  # fmt: skip

    def _fill(self, event: OrderEvent) -> None:
        fill = _Fill(
            event.instrument_id, event.trade_id.decode("ascii", "replace"), strategy_of(event.client_order_id),
            event.side, event.last_price, event.last_quantity, event.liquidity, event.exchange_time_ns,
        )  # fmt: skip
        known = any(one.trade_id == fill.trade_id and one.instrument_id == fill.instrument_id for one in self._fills)
        if not known:  # brackets tell fills again
            self._fills.append(fill)

    def _bracket(self, record: Recovery) -> None:
        if record.phase == RecoveryPhase.BEGIN:
            self._not_told = set(self._orders)
        elif record.phase == RecoveryPhase.END and self._not_told is not None:
            for key in self._not_told:
                del self._orders[key]
            self._not_told, self.complete = None, True

    # --- lines ------------------------------------------------------------------------------------------------------
    def _order_line(self, key: int, order: _Order, now: int) -> OrderLine | None:
        place = self._places(order.instrument_id)
        if place is None:
            return None
        name, price, quantity = place
        return OrderLine(
            str(key), self._strategy(strategy_of(key)), name, Side(order.side).name, order.price / price,
            order.quantity / quantity, order.filled / quantity, order.state.name, order.unknown,
            (now - order.told_ns) / 1e9,
        )  # fmt: skip

    def _fill_line(self, fill: _Fill) -> FillLine | None:
        place = self._places(fill.instrument_id)
        if place is None:
            return None
        name, price, quantity = place
        time = datetime.fromtimestamp(fill.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        return FillLine(
            time, self._strategy(fill.strategy_id), name, Side(fill.side).name, fill.price / price,
            fill.quantity / quantity, Liquidity(fill.liquidity).name, fill.trade_id,
        )  # fmt: skip

    def _strategy(self, identifier: int) -> str:
        return self._names.get(identifier, f"id {identifier}")
