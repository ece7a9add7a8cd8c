"""The engine's own picture of every order it answers for, bounded in memory.

The rule: an order is indexed by its client order id before the first byte leaves, so that no event can come for an
order that is not there. Open orders are never forgotten. A closed one stays for CLOSED_KEPT_NS, so that late duplicates
and fills still find it, and at most CLOSED_KEPT of them.

Who calls it: order_engine.py (the only writer), settlement, recovery and the risk gate (readers).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from shm.layout import TERMINAL_STATES, OrderState, Reason, RequestType, Side
from shm.records import OrderEvent, OrderRequest

CLOSED_KEPT_NS: Final = 15 * 60 * 10**9
CLOSED_KEPT: Final = 20_000


class InFlight:
    """A request that was accepted for sending and has not had its final answer; the ids and times that answer needs."""

    __slots__ = (
        "answered", "cause_receive_time_ns", "cause_sequence", "epoch", "order_id", "poll_time_ns", "price",
        "publish_time_ns", "quantity", "request_id", "request_type", "send_time_ns", "sequence", "sign_time_ns",
        "strategy_id", "unknown",
    )  # fmt: skip

    def __init__(self, request: OrderRequest, poll_time_ns: int) -> None:
        self.request_type: int = request.request_type
        self.sequence = request.sequence
        self.request_id = request.request_id
        self.epoch = request.epoch
        self.strategy_id = request.strategy_id
        self.order_id = request.client_order_id
        self.price = request.price
        self.quantity = request.quantity
        self.cause_sequence = request.cause_sequence
        self.cause_receive_time_ns = request.cause_receive_time_ns
        self.publish_time_ns = request.publish_time_ns
        self.poll_time_ns = poll_time_ns
        self.sign_time_ns = self.send_time_ns = 0
        self.answered = False
        self.unknown = False

    def stamp(self, event: OrderEvent) -> None:
        """Make `event` the answer to this request."""
        event.request_type = self.request_type
        event.request_sequence = self.sequence
        event.request_id = self.request_id
        event.epoch = self.epoch
        event.cause_sequence = self.cause_sequence
        event.cause_receive_time_ns = self.cause_receive_time_ns
        event.request_publish_time_ns = self.publish_time_ns
        event.request_poll_time_ns = self.poll_time_ns
        event.sign_time_ns = self.sign_time_ns
        event.send_time_ns = self.send_time_ns


class Order:
    """One order. `cumulative_quantity` sums the fills we hold, `venue_cumulative` is the most the venue claimed."""

    __slots__ = (
        "accepted", "account", "client_order_id", "closed_time_ns", "counted", "counted_side", "cumulative_quantity",
        "ended_by", "ending_reason", "epoch", "exchange_order_id",
        "exchange_time_ns", "exec_flags", "external", "final_cumulative", "instrument_id", "missing_since_ns", "new",
        "order_type", "price", "quantity", "replaces", "requests", "side", "state", "strategy_id",
        "terms_time_ns", "time_in_force", "untold_quantity", "venue_cumulative",
    )  # fmt: skip

    def __init__(self, client_order_id: int, instrument_id: int) -> None:
        self.client_order_id = client_order_id
        self.instrument_id = instrument_id
        self.exchange_order_id = b""
        self.strategy_id = self.epoch = self.account = 0
        self.side = self.order_type = self.time_in_force = self.exec_flags = 0
        self.price = self.quantity = 0
        self.cumulative_quantity = self.venue_cumulative = 0
        self.untold_quantity = 0
        """What the venue counts as filled and no FILL of ours told, although we saw this order from its first byte on.
        The audit tells it and sets it back."""
        self.state = OrderState.PENDING_NEW
        self.external = False
        self.accepted = False
        self.ended_by: OrderState | None = None
        """How the venue says it ended; it closes when the fills add up to `final_cumulative`."""
        self.final_cumulative = 0
        self.ending_reason: int = Reason.NONE
        self.exchange_time_ns = self.terms_time_ns = 0
        self.missing_since_ns = 0
        self.closed_time_ns = 0
        self.new: InFlight | None = None
        self.requests: list[InFlight] = []
        """Cancels and replaces without their final answer, oldest first."""
        self.replaces = 0
        self.counted = 0
        self.counted_side = 0

    @classmethod
    def from_request(cls, request: OrderRequest, in_flight: InFlight | None) -> Order:
        order = cls(request.client_order_id, request.instrument_id)
        order.strategy_id, order.epoch, order.account = request.strategy_id, request.epoch, request.account
        order.side, order.order_type = request.side, request.order_type
        order.time_in_force, order.exec_flags = request.time_in_force, request.exec_flags
        order.price, order.quantity = request.price, request.quantity
        order.new = in_flight
        return order

    @classmethod
    def from_fact(cls, fact: OrderEvent, *, external: bool) -> Order:
        order = cls(fact.client_order_id, fact.instrument_id)
        order.strategy_id, order.epoch, order.account = fact.strategy_id, fact.epoch, fact.account
        order.side, order.order_type = fact.side, fact.order_type
        order.time_in_force, order.exec_flags = fact.time_in_force, fact.exec_flags
        order.price, order.quantity = fact.price, fact.quantity
        order.exchange_order_id = fact.exchange_order_id
        order.venue_cumulative = fact.cumulative_quantity
        order.state = OrderState.OPEN
        order.accepted = True
        order.external = external
        return order

    @property
    def closed(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def remaining_quantity(self) -> int:
        """What may still trade, with every replace in flight counted at the larger quantity."""
        if self.closed:
            return 0
        largest = self.quantity
        if self.replaces:
            for request in self.requests:
                if request.request_type == RequestType.REPLACE and request.quantity > largest:
                    largest = request.quantity
        return max(0, largest - self.cumulative_quantity)

    @property
    def fills_missing(self) -> bool:
        """The venue has said of more than our fills add up to."""
        return self.venue_cumulative > self.cumulative_quantity

    def working_state(self) -> OrderState:
        return OrderState.PARTIALLY_FILLED if self.cumulative_quantity else OrderState.OPEN

    def describe(self, event: OrderEvent) -> None:
        """Copy what the order is into `event`."""
        event.instrument_id, event.venue = self.instrument_id, self.instrument_id >> 16
        event.strategy_id, event.epoch, event.account = self.strategy_id, self.epoch, self.account
        event.client_order_id, event.exchange_order_id = self.client_order_id, self.exchange_order_id
        event.side, event.order_type = self.side, self.order_type
        event.time_in_force, event.exec_flags = self.time_in_force, self.exec_flags
        event.price, event.quantity = self.price, self.quantity
        event.cumulative_quantity = self.cumulative_quantity
        event.order_state = self.state


class OpenTotals:
    """What stands open in one instrument."""

    __slots__ = ("buy", "orders", "sell")

    def __init__(self) -> None:
        self.buy = self.sell = self.orders = 0


class OrderStore:
    def __init__(self, closed_kept: int = CLOSED_KEPT, closed_kept_ns: int = CLOSED_KEPT_NS) -> None:
        self._orders: dict[int, Order] = {}
        self._by_exchange_id: dict[tuple[int, bytes], Order] = {}
        self._open: dict[int, Order] = {}
        self._closed: deque[Order] = deque()
        self._totals: dict[int, OpenTotals] = {}
        self._closed_kept, self._closed_kept_ns = closed_kept, closed_kept_ns

    def add(self, order: Order) -> None:
        self._orders[order.client_order_id] = order
        if order.exchange_order_id:
            self._by_exchange_id[order.instrument_id, order.exchange_order_id] = order
        if order.closed:
            self._closed.append(order)
        else:
            self._open[order.client_order_id] = order
        self.changed(order)

    def get(self, client_order_id: int) -> Order | None:
        return self._orders.get(client_order_id)

    def by_exchange_id(self, instrument_id: int, exchange_order_id: bytes) -> Order | None:
        return self._by_exchange_id.get((instrument_id, exchange_order_id))

    def learn_exchange_id(self, order: Order, exchange_order_id: bytes) -> None:
        if exchange_order_id and order.exchange_order_id != exchange_order_id:
            order.exchange_order_id = exchange_order_id
            self._by_exchange_id[order.instrument_id, exchange_order_id] = order

    def changed(self, order: Order) -> None:
        """Call after any change of quantities or state: keeps the totals of the instrument right."""
        if order.external:
            return
        totals = self._totals.get(order.instrument_id)
        if totals is None:
            totals = self._totals[order.instrument_id] = OpenTotals()
        was_counted = order.counted_side != 0
        delta = order.remaining_quantity - order.counted
        side = order.side
        if side == Side.BUY:
            totals.buy += delta
        else:
            totals.sell += delta
        order.counted += delta
        is_open = not order.closed
        if is_open and not was_counted:
            totals.orders += 1
            order.counted_side = side or Side.SELL
        elif was_counted and not is_open:
            totals.orders -= 1
            order.counted_side = 0

    def closed(self, order: Order, now_ns: int) -> None:
        """The order reached a terminal state: it may be forgotten later."""
        if self._open.pop(order.client_order_id, None) is None:
            return
        order.closed_time_ns = now_ns
        self._closed.append(order)
        self.changed(order)
        self.age_out(now_ns)

    def reopened(self, order: Order) -> None:
        """The venue shows an order alive that was taken for absent."""
        if order in self._closed:
            self._closed.remove(order)
        self._open[order.client_order_id] = order
        self.changed(order)

    def age_out(self, now_ns: int) -> None:
        """Forget what has been closed for long enough."""
        closed = self._closed
        while closed and (len(closed) > self._closed_kept or now_ns - closed[0].closed_time_ns > self._closed_kept_ns):
            order = closed.popleft()
            self._orders.pop(order.client_order_id, None)
            self._by_exchange_id.pop((order.instrument_id, order.exchange_order_id), None)

    def totals(self, instrument_id: int) -> OpenTotals:
        """Open own quantity by side and number of open own orders of one instrument."""
        totals = self._totals.get(instrument_id)
        if totals is None:
            totals = self._totals[instrument_id] = OpenTotals()
        return totals

    @property
    def open_count(self) -> int:
        """Own open orders of all instruments."""
        return sum(totals.orders for totals in self._totals.values())

    def open_orders(self) -> list[Order]:
        """A list of its own: the caller may change orders while it goes through."""
        return list(self._open.values())

    def closed_orders(self) -> Iterator[Order]:
        return iter(self._closed)

    def __len__(self) -> int:
        return len(self._orders)
