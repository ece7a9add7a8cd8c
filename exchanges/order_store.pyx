# cython: language_level=3, annotation_typing=False
"""The engine's own picture of every order it answers for, bounded in memory.

The rule: an order is indexed by its client order id before the first byte leaves, so that no event can come for an
order that is not there. Open orders are never forgotten. A closed one stays for CLOSED_KEPT_NS, so that late duplicates
and fills still find it, and at most CLOSED_KEPT of them.

Compiled because every request makes an order and an in-flight entry and every event is described from them: some
forty fields, each of which cost a call of Python.

Who calls it: order_engine (the only writer), settlement, recovery and the risk gate (readers).
"""

from libc.stdint cimport int64_t, uint64_t

from shm.record cimport Record
from shm.records cimport OrderEventRecord, OrderRequestRecord

from collections import deque

from shm.layout import TERMINAL_STATES, OrderState, Reason, RequestType, Side
from shm.records import OrderEvent, OrderRequest

CLOSED_KEPT_NS = 15 * 60 * 10**9
CLOSED_KEPT = 20_000

cdef int _BUY = Side.BUY, _SELL = Side.SELL, _REPLACE = RequestType.REPLACE
cdef object _PENDING_NEW = OrderState.PENDING_NEW, _OPEN = OrderState.OPEN
cdef object _PARTIALLY_FILLED = OrderState.PARTIALLY_FILLED


cdef OrderRequestRecord* _request(Record record) except NULL:
    """The bytes of a request. TypeError for any other record."""
    if not isinstance(record, OrderRequest):
        raise TypeError(f"{type(record).__name__} found, an OrderRequest was expected")
    return <OrderRequestRecord*> record.data


cdef OrderEventRecord* _event(Record record) except NULL:
    if not isinstance(record, OrderEvent):
        raise TypeError(f"{type(record).__name__} found, an OrderEvent was expected")
    return <OrderEventRecord*> record.data


cdef class InFlight:
    """A request that was accepted for sending and has not had its final answer; the ids and times that answer needs."""

    def __init__(self, Record request not None, int64_t poll_time_ns):
        cdef OrderRequestRecord* asked = _request(request)
        self.request_type = asked.request_type
        self.sequence = request.sequence
        self.request_id = asked.request_id
        self.epoch = asked.epoch
        self.strategy_id = asked.strategy_id
        self.order_id = asked.client_order_id
        self.price = asked.price
        self.quantity = asked.quantity
        self.cause_sequence = asked.cause_sequence
        self.cause_receive_time_ns = asked.cause_receive_time_ns
        self.publish_time_ns = asked.publish_time_ns
        self.poll_time_ns = poll_time_ns

    cpdef stamp(self, Record event):
        """Make `event` the answer to this request."""
        cdef OrderEventRecord* told = _event(event)
        told.request_type = self.request_type
        told.request_sequence = self.sequence
        told.request_id = self.request_id
        told.epoch = self.epoch
        told.cause_sequence = self.cause_sequence
        told.cause_receive_time_ns = self.cause_receive_time_ns
        told.request_publish_time_ns = self.publish_time_ns
        told.request_poll_time_ns = self.poll_time_ns
        told.sign_time_ns = self.sign_time_ns
        told.send_time_ns = self.send_time_ns


cdef class Order:
    """One order. `cumulative_quantity` sums the fills we hold, `venue_cumulative` is the most the venue claimed."""

    def __init__(self, uint64_t client_order_id, unsigned int instrument_id):
        self.client_order_id = client_order_id
        self.instrument_id = instrument_id
        self.exchange_order_id = b""
        self.state = _PENDING_NEW
        self.requests = []

    @staticmethod
    def from_request(Record request not None, InFlight in_flight):
        cdef OrderRequestRecord* asked = _request(request)
        cdef Order order = Order(asked.client_order_id, asked.instrument_id)
        order.strategy_id, order.epoch, order.account = asked.strategy_id, asked.epoch, asked.account
        order.side, order.order_type = asked.side, asked.order_type
        order.time_in_force, order.exec_flags = asked.time_in_force, asked.exec_flags
        order.price, order.quantity = asked.price, asked.quantity
        order.new = in_flight
        return order

    @staticmethod
    def from_fact(fact, *, external):
        cdef Order order = Order(fact.client_order_id, fact.instrument_id)
        order.strategy_id, order.epoch, order.account = fact.strategy_id, fact.epoch, fact.account
        order.side, order.order_type = fact.side, fact.order_type
        order.time_in_force, order.exec_flags = fact.time_in_force, fact.exec_flags
        order.price, order.quantity = fact.price, fact.quantity
        order.exchange_order_id = fact.exchange_order_id
        order.venue_cumulative = fact.cumulative_quantity
        order.state = _OPEN
        order.accepted = True
        order.external = external
        return order

    cdef bint is_closed(self) except -1:
        return self.state in TERMINAL_STATES

    cdef int64_t remaining(self) except -1:
        cdef InFlight request
        cdef int64_t largest = self.quantity
        if self.is_closed():
            return 0
        if self.replaces:
            for request in self.requests:
                if request.request_type == _REPLACE and request.quantity > largest:
                    largest = request.quantity
        return max(0, largest - self.cumulative_quantity)

    @property
    def closed(self):
        return self.is_closed()

    @property
    def remaining_quantity(self):
        """What may still trade, with every replace in flight counted at the larger quantity."""
        return self.remaining()

    @property
    def fills_missing(self):
        """The venue has said of more than our fills add up to."""
        return self.venue_cumulative > self.cumulative_quantity

    def working_state(self):
        return _PARTIALLY_FILLED if self.cumulative_quantity else _OPEN

    cpdef describe(self, Record event):
        """Copy what the order is into `event`."""
        cdef OrderEventRecord* told = _event(event)
        told.instrument_id, told.venue = self.instrument_id, self.instrument_id >> 16
        told.strategy_id, told.epoch, told.account = self.strategy_id, self.epoch, self.account
        told.client_order_id = self.client_order_id
        event.exchange_order_id = self.exchange_order_id
        told.side, told.order_type = self.side, self.order_type
        told.time_in_force, told.exec_flags = self.time_in_force, self.exec_flags
        told.price, told.quantity = self.price, self.quantity
        told.cumulative_quantity = self.cumulative_quantity
        told.order_state = self.state


cdef class OpenTotals:
    """What stands open in one instrument."""


cdef class OrderStore:
    def __init__(self, closed_kept=CLOSED_KEPT, closed_kept_ns=CLOSED_KEPT_NS):
        self._orders = {}
        self._by_exchange_id = {}
        self._open = {}
        self._closed = deque()
        self._totals = {}
        self._closed_kept, self._closed_kept_ns = closed_kept, closed_kept_ns

    cpdef add(self, Order order):
        self._orders[order.client_order_id] = order
        if order.exchange_order_id:
            self._by_exchange_id[order.instrument_id, order.exchange_order_id] = order
        if order.is_closed():
            self._closed.append(order)
        else:
            self._open[order.client_order_id] = order
        self.changed(order)

    cpdef Order get(self, client_order_id):
        return self._orders.get(client_order_id)

    def by_exchange_id(self, instrument_id, exchange_order_id):
        return self._by_exchange_id.get((instrument_id, exchange_order_id))

    def learn_exchange_id(self, Order order not None, bytes exchange_order_id not None):
        """A venue without amend has an order under one id after another: all find it, the newest is its own."""
        if not exchange_order_id or exchange_order_id == order.exchange_order_id:
            return
        if order.exchange_order_id:
            if order.earlier_exchange_ids is None:
                order.earlier_exchange_ids = []
            if exchange_order_id in order.earlier_exchange_ids:
                return
            order.earlier_exchange_ids.append(order.exchange_order_id)
        order.exchange_order_id = exchange_order_id
        self._by_exchange_id[order.instrument_id, exchange_order_id] = order

    cpdef changed(self, Order order):
        """Call after any change of quantities or state: keeps the totals of the instrument right."""
        cdef OpenTotals totals
        cdef int64_t delta
        cdef bint is_open, was_counted
        if order.external:
            return
        totals = self.totals(order.instrument_id)
        was_counted = order.counted_side != 0
        delta = order.remaining() - order.counted
        if order.side == _BUY:
            totals.buy += delta
        else:
            totals.sell += delta
        order.counted += delta
        is_open = not order.is_closed()
        if is_open and not was_counted:
            totals.orders += 1
            order.counted_side = order.side or _SELL
            self._open_count += 1
        elif was_counted and not is_open:
            totals.orders -= 1
            order.counted_side = 0
            self._open_count -= 1

    def closed(self, Order order not None, int64_t now_ns):
        """The order reached a terminal state: it may be forgotten later."""
        if self._open.pop(order.client_order_id, None) is None:
            return
        order.closed_time_ns = now_ns
        self._closed.append(order)
        self.changed(order)
        self.age_out(now_ns)

    def reopened(self, Order order not None):
        """The venue shows an order alive that was taken for absent."""
        if order in self._closed:
            self._closed.remove(order)
        self._open[order.client_order_id] = order
        self.changed(order)

    def age_out(self, int64_t now_ns):
        """Forget what has been closed for long enough."""
        cdef Order order
        closed = self._closed
        while closed and (len(closed) > self._closed_kept or now_ns - closed[0].closed_time_ns > self._closed_kept_ns):
            order = closed.popleft()
            self._orders.pop(order.client_order_id, None)
            self._by_exchange_id.pop((order.instrument_id, order.exchange_order_id), None)
            for exchange_id in order.earlier_exchange_ids or ():
                self._by_exchange_id.pop((order.instrument_id, exchange_id), None)

    cpdef OpenTotals totals(self, instrument_id):
        """Open own quantity by side and number of open own orders of one instrument."""
        cdef OpenTotals totals = self._totals.get(instrument_id)
        if totals is None:
            totals = self._totals[instrument_id] = OpenTotals()
        return totals

    @property
    def open_count(self):
        """Own open orders of all instruments."""
        return self._open_count

    def open_orders(self):
        """A list of its own: the caller may change orders while it goes through."""
        return list(self._open.values())

    def closed_orders(self):
        return iter(self._closed)

    def __len__(self):
        return len(self._orders)
