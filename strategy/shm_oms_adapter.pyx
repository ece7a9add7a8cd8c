# cython: language_level=3, annotation_typing=False
"""ShmOMSAdapter: requests to one trading engine and its events, through the venue's two lossless rings.

The rule: a request is complete when it is published: identity, epoch, deadline, and the market record that led to it.
`publish` never waits; a full ring is an answer (False), and cancels may use the part that is kept for them. Request ids
rise by one within an epoch and begin at epoch << 32, so the nonce of a recovery (its request id) is never met twice in
an event ring that survived several traders. Used by the container and its runners.
Compiled: a new order's seventeen fields are stores into the record, where each was a call from Python.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from shm.record cimport Record
from shm.records cimport OrderRequestRecord, QuoteRecord
from shm.trace cimport Trace
from strategy.order cimport Order

from shm.layout import RequestType
from shm.records import OrderRequest

cdef uint8_t _CANCEL = RequestType.CANCEL, _REPLACE = RequestType.REPLACE, _QUERY = RequestType.QUERY
cdef uint8_t _CANCEL_ALL = RequestType.CANCEL_ALL, _RECOVER = RequestType.RECOVER


cdef class Cause:
    """The market record that the trader is acting on now; zeros where there is none (a timer, a command)."""

    cdef public uint64_t sequence
    cdef public int64_t receive_time_ns, poll_time_ns
    cdef readonly int64_t decode_time_ns, publish_time_ns
    cdef readonly uint8_t venue
    cdef public bint is_market

    def clear(self):
        self.sequence = self.receive_time_ns = self.poll_time_ns = self.decode_time_ns = self.publish_time_ns = 0
        self.venue = 0
        self.is_market = False

    def take(self, Record record not None, int64_t now_ns):
        """A market record was polled at `now_ns`; all kinds of them begin alike."""
        cdef QuoteRecord* market = <QuoteRecord*> record.data
        self.sequence, self.venue = record.sequence, market.venue
        self.receive_time_ns, self.decode_time_ns = market.receive_time_ns, market.decode_time_ns
        self.publish_time_ns, self.poll_time_ns = market.publish_time_ns, now_ns
        self.is_market = True


cdef class ShmOMSAdapter:
    """Writer of the request ring and reader of the event ring of one venue. One thread."""

    cdef readonly str venue
    cdef readonly int venue_code
    cdef readonly object requests, events, poll, commit
    cdef readonly uint32_t epoch
    cdef readonly long published
    cdef readonly long refused                  # requests that found the ring full
    cdef Cause _cause
    cdef int64_t _deadline_ns
    cdef uint64_t _last_request_id
    cdef Record _request
    cdef Record _new                            # the hot one: what every new order has in common is written once
    cdef object _try_publish
    cdef readonly Trace trace

    def __init__(self, venue, venue_code, requests, events, Cause cause not None, deadline_ns, Trace trace=None):
        """`deadline_ns`: how long after its creation the engine may still send a request. `trace`: of this venue."""
        self.trace = trace
        self.venue = venue
        self.venue_code = venue_code
        self.requests = requests
        self.events = events
        self.poll = events.poll
        self.commit = events.commit
        self._cause = cause
        self._deadline_ns = deadline_ns
        self._request = OrderRequest()
        self._new = OrderRequest()
        self._new.venue = venue_code
        self._new.request_type = RequestType.NEW
        self._try_publish = requests.try_publish

    def begin_epoch(self, uint32_t epoch):
        """Every request from now on belongs to this epoch."""
        self.epoch = epoch
        (<OrderRequestRecord*> self._new.data).epoch = epoch
        self._last_request_id = (<uint64_t> epoch) << 32

    # --- requests ---------------------------------------------------------------------------------------------------
    def new(self, Order order not None, int64_t now_ns):
        """Publish a new order; False: the ring is full, nothing happened."""
        cdef Record record = self._new
        cdef OrderRequestRecord* request = <OrderRequestRecord*> record.data
        cdef Cause cause = self._cause
        self._last_request_id += 1
        request.request_id = self._last_request_id
        request.instrument_id = order.instrument.id
        request.strategy_id = order.strategy_id
        request.client_order_id = order.client_order_id
        request.side = order.side
        request.order_type = order.order_type
        request.time_in_force = order.time_in_force
        request.exec_flags = order.exec_flags
        request.price = order.price_mantissa
        request.quantity = order.quantity_mantissa
        request.deadline_ns = now_ns + self._deadline_ns
        request.create_time_ns = now_ns
        request.cause_venue = cause.venue
        request.cause_sequence = cause.sequence
        request.cause_receive_time_ns = cause.receive_time_ns
        request.cause_poll_time_ns = cause.poll_time_ns
        return self._end(self._try_publish(record), self._last_request_id, now_ns)

    def cancel(self, Order order not None, int64_t now_ns):
        """Publish a cancel, into the reserved part of the ring if need be. No deadline: late is better than never."""
        cdef OrderRequestRecord* request = self._begin(_CANCEL, now_ns)
        self._identify(request, order)
        return self._end(self.requests.try_publish_reserved(self._request))

    def replace(self, Order order not None, price_mantissa, quantity_mantissa, int64_t now_ns):
        """Publish a replace; the quantity is the new total."""
        cdef OrderRequestRecord* request = self._begin(_REPLACE, now_ns)
        self._identify(request, order)
        request.order_type = order.order_type
        request.time_in_force = order.time_in_force
        request.exec_flags = order.exec_flags
        request.price = price_mantissa
        request.quantity = quantity_mantissa
        request.deadline_ns = now_ns + self._deadline_ns
        return self._end(self.requests.try_publish(self._request), self._last_request_id, now_ns)

    def query(self, Order order not None, int64_t now_ns):
        """Ask for the venue's word about an order."""
        cdef OrderRequestRecord* request = self._begin(_QUERY, now_ns)
        self._identify(request, order)
        return self._end(self.requests.try_publish(self._request))

    def cancel_all(self, int64_t now_ns):
        """Ask for the end of every order of this instance at the venue, also of those that are not known here."""
        self._begin(_CANCEL_ALL, now_ns)
        return self._end(self.requests.try_publish_reserved(self._request))

    def recover(self, int64_t now_ns):
        """Ask for a recovery bracket; its nonce, or 0 where the ring is full."""
        cdef OrderRequestRecord* request = self._begin(_RECOVER, now_ns)
        return request.request_id if self._end(self.requests.try_publish_reserved(self._request)) else 0

    # --- the one record they all use --------------------------------------------------------------------------------
    cdef OrderRequestRecord* _begin(self, uint8_t request_type, int64_t now_ns) except NULL:
        cdef Cause cause = self._cause
        self._request.clear()
        cdef OrderRequestRecord* request = <OrderRequestRecord*> self._request.data
        self._last_request_id += 1
        request.venue = self.venue_code
        request.epoch = self.epoch
        request.request_type = request_type
        request.request_id = self._last_request_id
        request.create_time_ns = now_ns
        request.cause_venue = cause.venue
        request.cause_sequence = cause.sequence
        request.cause_receive_time_ns = cause.receive_time_ns
        request.cause_poll_time_ns = cause.poll_time_ns
        return request

    cdef int _identify(self, OrderRequestRecord* request, Order order) except -1:
        request.instrument_id = order.instrument.id
        request.strategy_id = order.strategy_id
        request.client_order_id = order.client_order_id
        request.side = order.side
        if order.exchange_order_id:
            self._request.exchange_order_id = order.exchange_order_id

    cdef bint _end(self, bint published, uint64_t traced=0, int64_t now_ns=0) except -1:
        """`traced`: id of a request whose trace begins here, where a market record led to it."""
        cdef Cause cause = self._cause
        if published:
            self.published += 1
            if traced and cause.is_market and self.trace is not None:
                self.trace.begin(traced, cause.receive_time_ns, cause.decode_time_ns, cause.publish_time_ns,
                                 cause.poll_time_ns, now_ns)
        else:
            self.refused += 1
        return published
