# cython: language_level=3, annotation_typing=False
"""Facts in, one consistent stream of events out: what the venue said in any order and any number, told once.

The promises of the stream
1. ACCEPTED at most once per order, and before anything else that shows it alive.
2. Each part of each fill once. `cumulative_quantity` is the sum of the fills told so far.
3. CANCELED, EXPIRED and the last FILL of an order come once, and only when the fills add up to what the venue says was
   traded; fills that do not come are fetched.
4. A request gets an answer that carries its ids. UNKNOWN is an answer, never an end: `settlement.py` follows it up.
5. A request that the venue has taken (a fact with PENDING_NEW or PENDING_CANCEL) has no answer yet: what becomes of it
   comes over the stream, and where that does not come within TAKEN_NS, it is asked for.
6. No order is ended here. REJECTED comes from the venue's refusal, from a refusal on this host before anything was
   sent, or from settlement when the venue's word is complete.

A fact can only add: an older one that comes late changes nothing that a newer one said (terms by the venue's time,
quantities by their maximum, ends for good).

Compiled: the answer to every request and every fill goes through here.

Who calls it: order_engine.pyx owns it; the venue's OMS, settlement.py and recovery.py bring facts. One thread, no I/O.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from exchanges.order_store cimport InFlight, Order, OrderStore
from shm.counters cimport Histogram
from shm.record cimport Record
from shm.record_tail cimport RecordTail
from shm.records cimport OrderEventRecord, OrderRequestRecord

from collections import deque
from typing import Protocol

from exchanges.fill_ledger import FEE, QUANTITY
from exchanges.order_events import REFUSAL_OF, FactFlag, copy_request, fact_of_request, refusal
from shm.layout import (
    TERMINAL_STATES,
    EventType,
    OrderState,
    Reason,
    RequestType,
    instance_of,
)
from shm.records import OrderEvent, OrderRequest

cdef int _NEW = RequestType.NEW, _REPLACE = RequestType.REPLACE, _STATUS = EventType.STATUS

MISSING_FILL_NS = 500_000_000
"""How long a fill that the venue counts may be missing before it is fetched: the stream is rarely later."""

TAKEN_NS = 1_000_000_000
"""How long the stream may be quiet about a request that the venue has taken; live it is tens of ms."""

RECENT_FILLS = 4096
LOST_REFUSALS = 4096

_TAKEN = frozenset({OrderState.PENDING_NEW, OrderState.PENDING_CANCEL})

_ENDED = {
    OrderState.CANCELED: (EventType.CANCELED, "canceled"),
    OrderState.EXPIRED: (EventType.EXPIRED, "expired"),
    OrderState.REJECTED: (EventType.REJECTED, "rejected"),
}


cdef OrderEventRecord* _event(Record fact) except NULL:
    if not isinstance(fact, OrderEvent):
        raise TypeError(f"{type(fact).__name__} found, an OrderEvent was expected")
    return <OrderEventRecord*> fact.data


cdef OrderRequestRecord* _asked(Record request) except NULL:
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    return <OrderRequestRecord*> request.data


class Settler(Protocol):
    """settlement.Settlement."""

    def settle(self, Order order not None, InFlight request):
        """An outcome is unknown (of `request`, None: of the order itself): ask until the venue's word is complete."""
        ...

    def fetch_fills(self, Order order not None):
        """The venue counts more than our fills add up to."""
        ...


class CounterSink(Protocol):
    """shm.counters.Counters."""

    def add(self, name, amount=1): ...


class HistogramSink(Protocol):
    """shm.counters.Histogram."""

    def record(self, value): ...


cdef class OrderMerger:
    def __init__(self, *, instance_number, store, ledger, gate, events, clock, send_cancel, counters, histogram, log):
        """clock: CLOCK_MONOTONIC ns. send_cancel: the gateway's, for cancels that waited for their order."""
        self._instance = instance_number
        self._store, self._ledger, self._gate, self._events = store, ledger, gate, events
        self._clock, self._send_cancel = clock, send_cancel
        self._count, self._log = counters.add, log
        self._poll_to_send = histogram("poll_to_send")
        self._waited = self._poll_to_send if isinstance(self._poll_to_send, Histogram) else None
        self._send_to_reply = histogram("send_to_reply")
        self._event_publish = histogram("event_publish")
        self._in_flight = {}
        self._unsent = set()
        self._held = {}
        self._missing = {}
        self._taken = {}
        """(order, request type, request id) -> order, request, when it is asked for."""
        self._event = OrderEvent()
        self.settler = None
        self.recent_fills = RecordTail(OrderEvent, RECENT_FILLS)
        """Fills as they were told, for a trader that may have dropped them while it asked for recovery."""
        self.lost_refusals = deque(maxlen=LOST_REFUSALS)
        """Refusals on this host that found the event ring full. They concern orders that nobody else knows, so only the
        bracket that follows can tell them."""

    # --- requests in flight -----------------------------------------------------------------------------------------
    cpdef InFlight register(self, Record request, int64_t poll_time_ns):
        """A request is about to be handed to the gateway: its facts will find it here."""
        cdef InFlight in_flight = InFlight(request, poll_time_ns)
        cdef tuple key = (in_flight.epoch, in_flight.request_id)
        self._in_flight[key] = in_flight
        if in_flight.request_type == _NEW or in_flight.request_type == _REPLACE:
            self._unsent.add(key)
        return in_flight

    cpdef bint awaits(self, Record request) except -1:
        """Whether a request of this epoch and id is registered: its facts could not be told from a second one's."""
        cdef OrderRequestRecord* asked = _asked(request)
        return (asked.epoch, asked.request_id) in self._in_flight

    cpdef leaving(self, Record request, int64_t now):
        """The last check has passed and the bytes go to the socket now. SENT is told later, off the path, but whatever
        the venue says before that already carries the time."""
        cdef OrderRequestRecord* asked = _asked(request)
        cdef tuple key = (asked.epoch, asked.request_id)
        cdef int64_t took
        self._unsent.discard(key)
        cdef InFlight in_flight = self._in_flight.get(key)
        if in_flight is not None and asked.request_id:
            in_flight.send_time_ns = now
            took = now - in_flight.poll_time_ns
            if self._waited is not None:
                self._waited.note(took if took > 0 else 0)
            else:
                self._poll_to_send.record(took if took > 0 else 0)

    def hold(self, request):
        """A cancel of an order that the venue has not confirmed: it goes out when the order's reply has come."""
        self._held.setdefault(request.client_order_id, []).append(copy_request(request))

    @property
    def unsent(self):
        """New orders and replaces that are with the gateway and neither left nor were refused: what the echo of the
        kill switch waits for."""
        return len(self._unsent)

    @property
    def awaiting_replies(self):
        """Requests that have no reply yet."""
        return len(self._in_flight)

    def after_restart(self, unanswered):
        """Requests that the journal holds without an answer: told as UNKNOWN and followed up."""
        for request in unanswered:
            order = self._store.get(request.client_order_id) if request.client_order_id else None
            fact = fact_of_request(request, EventType.UNKNOWN, Reason.DISCONNECTED)
            fact.request_sequence = 0  # the ring's sequence is not in the journal
            fact.text = b"the engine ended before the answer came"
            if order is not None and order.closed:
                continue
            if request.request_type == RequestType.NEW:
                if order is not None and not order.accepted:
                    self._unknown(order, fact, order.new)
            elif order is not None and request.request_type in (RequestType.CANCEL, RequestType.REPLACE):
                in_flight = InFlight(request, 0)
                in_flight.sequence = 0
                order.requests.append(in_flight)
                order.replaces += request.request_type == RequestType.REPLACE
                self._unknown(order, fact, in_flight)
                self._store.changed(order)
        for order in self._store.open_orders():
            if order.state == OrderState.UNKNOWN:
                self.doubt(order)

    def never_sent(self, request):
        """A request that the ring's tail proves unsent although the journal holds it: the order never was."""
        order = self._store.get(request.client_order_id)
        if order is not None and request.request_type == RequestType.NEW and not order.accepted and not order.closed:
            order.state = OrderState.REJECTED
            self._store.closed(order, self._clock())

    # --- facts ------------------------------------------------------------------------------------------------------
    def on_fact(self, fact):
        """Merge one fact. It belongs to the caller: nothing of it is kept."""
        in_flight = self._in_flight.get((fact.epoch, fact.request_id)) if fact.request_type else None
        kind = fact.event_type
        if kind == EventType.SENT:
            self._sent(fact, in_flight)
            return
        if in_flight is not None:
            self._reply_came(fact, in_flight)
        if fact.request_type == RequestType.CANCEL_ALL:
            self._cancel_all_done(fact, in_flight)
            return
        order = self._find(fact)
        if order is None:
            self._stranger(fact, in_flight)
            return
        if in_flight is None and fact.request_id:
            in_flight = self._overdue(order, fact)
        if order.external:
            self._external(order, fact)
            return
        if fact.exchange_order_id:
            self._store.learn_exchange_id(order, fact.exchange_order_id)
        if fact.exchange_time_ns > order.exchange_time_ns:
            order.exchange_time_ns = fact.exchange_time_ns
        _FACTS[kind](self, order, fact, in_flight)
        self._store.changed(order)

    def _sent(self, fact, InFlight in_flight):
        if in_flight is None:
            return
        in_flight.sign_time_ns = fact.sign_time_ns
        if in_flight.answered:
            return
        order = self._store.get(in_flight.order_id) if in_flight.order_id else None
        event = self._event
        event.clear()
        if order is not None:
            order.describe(event)
        else:
            event.venue, event.instrument_id = fact.venue, fact.instrument_id
            event.client_order_id, event.strategy_id = in_flight.order_id, in_flight.strategy_id
        event.event_type = EventType.SENT
        in_flight.stamp(event)
        self._events.emit(event)

    def _reply_came(self, fact, InFlight in_flight not None):
        """The one reply of a request: it leaves the table unless its outcome is unknown."""
        if in_flight.send_time_ns and fact.receive_time_ns:
            self._send_to_reply.record(max(0, fact.receive_time_ns - in_flight.send_time_ns))
        self._unsent.discard((fact.epoch, fact.request_id))
        del self._in_flight[fact.epoch, fact.request_id]
        in_flight.unknown = fact.event_type == EventType.UNKNOWN

    def _overdue(self, Order order not None, fact):
        """The request that `fact` answers late: it was told as unknown and is being settled."""
        for request in order.requests:
            if request.unknown and (request.request_id, request.epoch) == (fact.request_id, fact.epoch):
                return request
        return None

    def _find(self, fact):
        order = self._store.get(fact.client_order_id) if fact.client_order_id else None
        if order is None and fact.exchange_order_id:
            order = self._store.by_exchange_id(fact.instrument_id, fact.exchange_order_id)
        return order

    def _stranger(self, fact, InFlight in_flight):
        """A fact of an order that is not in the store: another client's, or our own from before this engine's time."""
        ours = instance_of(fact.client_order_id) == self._instance
        if in_flight is not None and fact.event_type in (
            EventType.CANCEL_REJECTED, EventType.UNKNOWN, EventType.STATUS,
        ) and not fact.flags & FactFlag.TERMS_KNOWN:  # fmt: skip
            self._answer_stranger(fact, in_flight, ours)
            return
        if not fact.flags & FactFlag.TERMS_KNOWN or not fact.client_order_id:
            self._count("duplicate_facts")
            return
        order = Order.from_fact(fact, external=not ours)
        order.terms_time_ns = fact.exchange_time_ns
        if not ours:
            self._count("external_orders")
            order.state = OrderState.NONE
            self._store.add(order)
            self._external(order, fact)
            return
        self._log.warning("order %d of this instance was not known here: adopted", fact.client_order_id)
        self._store.add(order)
        self.tell_status(order, Reason.NONE, fact)
        _FACTS[fact.event_type](self, order, fact, in_flight)
        self._store.changed(order)

    def _answer_stranger(self, fact, InFlight in_flight not None, ours):
        """Cancel or query of an id that the engine does not know: the venue does not know it either, or may not."""
        event = self._event
        event.copy_from(fact)
        event.flags = 0
        in_flight.stamp(event)
        in_flight.answered = True
        if in_flight.request_type == RequestType.QUERY or event.order_state in _TAKEN:
            # A cancel that the venue has taken says nothing about the order: it takes one for an order it never had.
            event.event_type, event.order_state = EventType.STATUS, OrderState.NONE
        self._events.emit(event)
        if ours and in_flight.request_type == RequestType.QUERY:
            # The trader has an order that nobody here sent: it is followed up like any unknown one.
            ghost = Order(fact.client_order_id, fact.instrument_id)
            ghost.strategy_id, ghost.epoch = in_flight.strategy_id, in_flight.epoch
            ghost.state = OrderState.UNKNOWN
            self._store.add(ghost)
            self._settle(ghost, None)

    # --- facts that show the order alive ----------------------------------------------------------------------------
    def _exists(self, Order order not None, fact):
        """The venue has this order: ACCEPTED goes out the first time."""
        if order.state == OrderState.REJECTED:
            # Only the venue can say so: what settlement or a refusal took for absent is alive after all.
            self._count("contradictions")
            self._log.error("order %d lives at the venue although it was taken for rejected", order.client_order_id)
            order.state = order.working_state()
            order.accepted = True
            self._store.reopened(order)
            self.tell_status(order, Reason.SETTLED_EXECUTED, fact)
            return
        if order.accepted:
            return
        was_unknown = order.state == OrderState.UNKNOWN
        order.accepted = True
        order.state = order.working_state()
        if fact.flags & FactFlag.TERMS_KNOWN and not order.quantity:
            order.price, order.quantity, order.side = fact.price, fact.quantity, fact.side
            order.order_type, order.time_in_force, order.exec_flags = (
                fact.order_type, fact.time_in_force, fact.exec_flags,
            )  # fmt: skip
        self._count("accepted")
        if was_unknown:
            self._count("unknown_settled_executed")
        reason = Reason.SETTLED_EXECUTED if was_unknown else Reason.NONE
        self._tell(order, EventType.ACCEPTED, fact, order.new, reason)
        if order.new is not None:
            order.new.answered = True
        self._release_held(order)

    def _accepted(self, Order order not None, fact, InFlight in_flight):
        if order.accepted and order.state != OrderState.REJECTED:
            self._count("duplicate_facts")
        self._exists(order, fact)
        self._note(order, fact)
        self._finish(order, fact)

    def _status(self, Order order not None, fact, InFlight in_flight):
        """A state read from the venue. It may be older than what the stream has told since, so it only ever adds."""
        if fact.flags & FactFlag.TERMS_KNOWN:
            if fact.order_state == OrderState.REJECTED and not order.accepted:
                fact.reason = fact.reason or Reason.VENUE_REJECTED
                self._rejected(order, fact, in_flight)
                return
            self._exists(order, fact)
            if (
                fact.exchange_time_ns > order.terms_time_ns
                and order.terms_time_ns
                and not order.closed
                and (fact.price, fact.quantity) != (order.price, order.quantity)
                and fact.quantity
            ):
                self._replaced(order, fact, None)
            self._note(order, fact)
            self._finish(order, fact)
        if in_flight is not None and in_flight.request_type == RequestType.QUERY:
            in_flight.answered = True
            if not fact.flags & FactFlag.TERMS_KNOWN:
                self._tell_silence(order, fact, in_flight)
            else:
                self._tell(order, EventType.STATUS, fact, in_flight, fact.reason)
        elif fact.order_state in _TAKEN and not fact.flags & FactFlag.TERMS_KNOWN:
            self._wait_for(order, in_flight)
        elif in_flight is not None and in_flight.request_type in (RequestType.CANCEL, RequestType.REPLACE):
            self._answered_otherwise(order, fact, in_flight)

    def _wait_for(self, Order order not None, InFlight in_flight):
        """The venue has taken this request and decided nothing."""
        if in_flight is None or in_flight.answered or order.closed:
            return
        key = order.client_order_id, in_flight.request_type, in_flight.request_id
        self._taken[key] = order, in_flight, self._clock() + TAKEN_NS

    def _tell_silence(self, Order order not None, fact, InFlight in_flight not None):
        """A query that brought no state: STATUS without one. Where the venue knows no such order, it is followed up."""
        event = self._event
        event.clear()
        order.describe(event)
        event.event_type, event.order_state, event.reason = EventType.STATUS, OrderState.NONE, fact.reason
        event.error_code, event.text = fact.error_code, fact.text
        in_flight.stamp(event)
        self._events.emit(event)
        if not order.closed and fact.reason == Reason.VENUE_UNKNOWN_ORDER:
            self._settle(order, None)

    def _answered_otherwise(self, Order order not None, fact, InFlight in_flight not None):
        """The reply to a cancel or replace shows an order that is over in another way (or still open)."""
        self._drop_request(order, in_flight)
        if in_flight.answered:
            return
        in_flight.answered = True
        kind = REFUSAL_OF[in_flight.request_type]
        self._tell(order, kind, fact, in_flight, Reason.VENUE_UNKNOWN_ORDER)
        self._finish(order, fact)

    def _fill(self, Order order not None, fact, InFlight in_flight):
        news = self._ledger.merge(order.instrument_id, int(fact.trade_id), fact.parts)
        if not news:
            self._count("duplicate_facts")
        self._exists(order, fact)
        if news & QUANTITY:
            order.cumulative_quantity += fact.last_quantity
            self._gate.on_fill(order.instrument_id, order.side, fact.last_quantity, fact.exchange_time_ns)
            self._count("fills")
            if order.closed:
                self._count("late_fills")
                self._log.warning("order %d: fill %r after its end", order.client_order_id, fact.trade_id)
            else:
                order.state = OrderState.PARTIALLY_FILLED
        self._note(order, fact)
        filled = not order.closed and self._is_filled(order)
        if filled:
            order.state = OrderState.FILLED
        if news:
            kind = EventType.FILL if news & QUANTITY else EventType.FILL_FEE
            self._tell(order, kind, fact, None, Reason.NONE, parts=news)
        if filled:
            self._closed(order, OrderState.FILLED, fact, told=bool(news))
        else:
            self._finish(order, fact)

    def _replaced(self, Order order not None, fact, InFlight in_flight):
        self._exists(order, fact)
        changed = (fact.price, fact.quantity) != (order.price, order.quantity)
        if in_flight is None:
            in_flight = next(
                (
                    request
                    for request in order.requests
                    if request.request_type == RequestType.REPLACE
                    and not request.answered
                    and (request.price, request.quantity) == (fact.price, fact.quantity)
                ),
                None,
            )
            matched = in_flight is not None
        else:
            matched = not in_flight.answered
        if fact.exchange_time_ns >= order.terms_time_ns:
            order.price, order.quantity = fact.price, fact.quantity
            order.terms_time_ns = fact.exchange_time_ns
        elif not matched:
            self._count("duplicate_facts")
            return
        if in_flight is not None:
            self._drop_request(order, in_flight)
        if not order.closed:
            order.state = order.working_state()
        self._note(order, fact)
        if matched and in_flight is not None:
            settled = in_flight.unknown
            in_flight.answered = True
            self._count("replaced")
            if settled:
                self._count("unknown_settled_executed")
            self._tell(order, EventType.REPLACED, fact, in_flight, Reason.SETTLED_EXECUTED if settled else Reason.NONE)
        elif changed:
            self._count("replaced")
            self._tell(order, EventType.REPLACED, fact, None, Reason.NONE)
        else:
            self._count("duplicate_facts")
        self._finish(order, fact)

    # --- facts that end the order -----------------------------------------------------------------------------------
    def _ended(self, Order order not None, fact, InFlight in_flight):
        self._exists(order, fact)
        if order.closed or order.ended_by is not None:
            self._count("duplicate_facts")
        self._note(order, fact)
        if order.ended_by is None:
            order.ended_by = OrderState.CANCELED if fact.event_type == EventType.CANCELED else OrderState.EXPIRED
            order.final_cumulative = max(order.venue_cumulative, order.cumulative_quantity)
            order.ending_reason = fact.reason
        self._finish(order, fact)
        if in_flight is not None:
            self._drop_request(order, in_flight)
            if not in_flight.answered and order.closed:
                # Another request (or nobody) had the end told as its answer.
                in_flight.answered = True
                self._tell(order, REFUSAL_OF[in_flight.request_type], fact, in_flight, Reason.UNKNOWN_ORDER_HERE)
            elif not in_flight.answered:
                order.requests.insert(0, in_flight)  # its answer is the CANCELED that waits for the last fills

    def _rejected(self, Order order not None, fact, InFlight in_flight):
        if fact.reason == Reason.VENUE_DUPLICATE_ID and not order.accepted:
            # An open order has our id: it can only be this one.
            self._unknown(order, fact, in_flight)
            return
        if order.state == OrderState.REJECTED:
            self._count("duplicate_facts")  # a late reply says what settlement has found out
            return
        if order.accepted or order.closed:
            self._count("contradictions")
            self._log.error(
                "order %d was refused (%d %s) but lives, or is over: settled by query",
                order.client_order_id, fact.error_code, fact.text.decode("utf-8", "replace"),
            )  # fmt: skip
            if not order.closed:
                self._settle(order, None)
            return
        if order.state == OrderState.UNKNOWN:
            self._count("unknown_settled_absent")
        order.state = OrderState.REJECTED
        self._count("rejected")
        if fact.reason == Reason.NOT_SENT:
            self._count("not_sent")
        self._tell(order, EventType.REJECTED, fact, in_flight or order.new, fact.reason)
        self._store.closed(order, self._clock())
        self._missing.pop(order.client_order_id, None)
        self._drop_held(order)

    def settled_absent(self, Order order not None):
        """Settlement: the venue's word is complete, it never had this order."""
        if order.accepted or order.closed:
            return
        self._count("unknown_settled_absent")
        fact = OrderEvent()
        fact.reason = Reason.SETTLED_ABSENT
        fact.receive_time_ns = self._clock()
        order.state = OrderState.REJECTED
        self._count("rejected")
        self._tell(order, EventType.REJECTED, fact, order.new, Reason.SETTLED_ABSENT)
        self._store.closed(order, self._clock())
        self._store.changed(order)
        self._drop_held(order)

    def settled_request(self, Order order not None, InFlight in_flight not None):
        """Settlement: the venue's word is complete, this cancel or replace was not carried out (or came too late)."""
        self._drop_request(order, in_flight)
        if not in_flight.answered:
            in_flight.answered = True
            self._count("unknown_settled_absent")
            fact = OrderEvent()
            fact.receive_time_ns = self._clock()
            self._tell(order, REFUSAL_OF[in_flight.request_type], fact, in_flight, Reason.SETTLED_ABSENT)
            self._finish(order, fact)
        self._store.changed(order)

    def settled_gone(self, Order order not None):
        """Settlement: the venue knows this once confirmed order no more, it is not open, and its trades are here."""
        if order.closed:
            return
        fact = OrderEvent()
        fact.event_type, fact.reason = EventType.CANCELED, Reason.VENUE_UNKNOWN_ORDER
        fact.flags, fact.cumulative_quantity = FactFlag.CUMULATIVE_KNOWN, order.cumulative_quantity
        fact.receive_time_ns = self._clock()
        self._ended(order, fact, None)
        self._store.changed(order)

    def doubt(self, Order order not None):
        """A list of the venue does not agree with what is known here: ask for this order."""
        if not order.external:
            self._settle(order, None)

    def fills_known(self, Order order not None, total):
        """The venue's list of this order's trades is complete and sums up to `total`. Where that is more than was
        counted here, the rest was told in an earlier life of this engine (below the watermark). Of an order whose
        request we have that cannot be: the venue's ids went backwards, and the audit tells it with both sides."""
        if total > order.cumulative_quantity:
            if order.new is not None:
                order.untold_quantity += total - order.cumulative_quantity
                self._count("contradictions")
                self._log.error(
                    "order %d: the venue filled %d of it in trades that count as told before this order",
                    order.client_order_id, order.untold_quantity,
                )  # fmt: skip
            order.cumulative_quantity = total
            self._finish(order, OrderEvent())
            self._store.changed(order)

    # --- facts about requests that failed ---------------------------------------------------------------------------
    def _request_rejected(self, Order order not None, fact, InFlight in_flight):
        """CANCEL_REJECTED, REPLACE_REJECTED."""
        if in_flight is not None:
            self._drop_request(order, in_flight)
            if not in_flight.answered:
                in_flight.answered = True
                if in_flight.unknown:
                    self._count("unknown_settled_absent")
                self._tell(order, fact.event_type, fact, in_flight, fact.reason)
        self._finish(order, fact)
        if fact.reason == Reason.VENUE_UNKNOWN_ORDER and not order.closed:
            self._settle(order, None)  # it raced with its end: ask how it ended

    def _unknown(self, Order order not None, fact, InFlight in_flight):
        request_type = in_flight.request_type if in_flight is not None else fact.request_type
        if request_type == RequestType.NEW:
            if order.accepted or order.closed:
                return  # the stream was quicker than the failing reply
            order.state = OrderState.UNKNOWN
            self._count("unknown")
            self._tell(order, EventType.UNKNOWN, fact, in_flight or order.new, fact.reason)
            self._settle(order, None)
            self._release_held(order)
            return
        if in_flight is None:
            if not order.closed:
                self._settle(order, None)  # a cancel of the engine's own
            return
        if request_type == RequestType.QUERY:
            in_flight.answered = True
            self._tell_silence(order, fact, in_flight)
            return
        if in_flight.answered:
            self._drop_request(order, in_flight)
            return
        if order.closed:
            in_flight.answered = True
            self._drop_request(order, in_flight)
            self._tell(order, REFUSAL_OF[in_flight.request_type], fact, in_flight, Reason.UNKNOWN_ORDER_HERE)
            return
        in_flight.unknown = True
        self._count("unknown")
        self._tell(order, EventType.UNKNOWN, fact, in_flight, fact.reason)
        self._settle(order, in_flight)

    def _cancel_all_done(self, fact, InFlight in_flight):
        """Nothing of ours is listed any more, or could not be canceled: what is open here is asked for one by one."""
        for order in self._store.open_orders():
            if order.accepted:
                self.doubt(order)
        if in_flight is None or in_flight.answered:
            return
        in_flight.answered = True
        event = self._event
        event.copy_from(fact)
        event.flags, event.client_order_id = 0, 0
        in_flight.stamp(event)
        self._events.emit(event)

    # --- shared steps -----------------------------------------------------------------------------------------------
    def _note(self, Order order not None, fact):
        """Cumulative quantity and end, where the fact carries them."""
        if fact.flags & FactFlag.CUMULATIVE_KNOWN and fact.cumulative_quantity > order.venue_cumulative:
            order.venue_cumulative = fact.cumulative_quantity
        if fact.flags & FactFlag.TERMS_KNOWN and not order.terms_time_ns:
            order.terms_time_ns = fact.exchange_time_ns
        state = fact.order_state
        if state in TERMINAL_STATES and fact.flags & FactFlag.CUMULATIVE_KNOWN and not order.closed:
            if order.ended_by is None:
                order.ended_by = OrderState(state)
                order.ending_reason = fact.reason
            order.final_cumulative = max(order.final_cumulative, fact.cumulative_quantity, order.cumulative_quantity)

    def _is_filled(self, Order order not None):
        """FILLED is an equality: with the venue's final word, or with the quantity if no replace can have raised it."""
        if order.ended_by is not None:
            return order.ended_by == OrderState.FILLED and order.cumulative_quantity >= order.final_cumulative
        return 0 < order.quantity <= order.cumulative_quantity and not order.replaces

    def _finish(self, Order order not None, fact):
        """Close the order if its end and its fills are complete; otherwise note that fills are missing."""
        if order.closed:
            return
        if self._is_filled(order):
            order.state = OrderState.FILLED
            self._closed(order, OrderState.FILLED, fact, told=False)
        elif order.ended_by is not None and order.cumulative_quantity >= order.final_cumulative:
            ended_by = order.ended_by
            order.state = ended_by
            self._closed(order, ended_by, fact, told=False)
        elif order.fills_missing or order.ended_by is not None:
            if order.client_order_id not in self._missing:
                order.missing_since_ns = self._clock()
                self._missing[order.client_order_id] = order
        else:
            self._missing.pop(order.client_order_id, None)

    def _closed(self, Order order not None, state, fact, *, told):
        """`order.state` is terminal now. told: the event that says so is out."""
        self._missing.pop(order.client_order_id, None)
        if state == OrderState.FILLED:
            self._count("filled")
            if not told:
                self._tell(order, EventType.STATUS, fact, None, Reason.NONE)
        else:
            kind, counter = _ENDED[state]
            self._count(counter)
            cancel = next((r for r in order.requests if r.request_type != RequestType.REPLACE and not r.answered), None)
            reason = order.ending_reason
            if not reason:
                asked = cancel is not None or kind == EventType.CANCELED
                reason = Reason.VENUE_USER_CANCEL if asked else Reason.VENUE_EXPIRED
            if cancel is not None and cancel.unknown:
                self._count("unknown_settled_executed")
            self._tell(order, kind, fact, cancel, reason)
            if cancel is not None:
                cancel.answered = True
                self._drop_request(order, cancel)
        self._store.closed(order, self._clock())
        self._drop_held(order)

    def _drop_request(self, Order order not None, InFlight in_flight not None):
        if in_flight in order.requests:
            order.requests.remove(in_flight)
            if in_flight.request_type == RequestType.REPLACE:
                order.replaces -= 1

    def _release_held(self, Order order not None):
        """Cancels that waited for the order's confirmation go now."""
        for request in self._held.pop(order.client_order_id, ()):
            self._send_cancel(request)

    def _drop_held(self, Order order not None):
        """The order ended before its cancel was sent: there is nothing to cancel."""
        for request in self._held.pop(order.client_order_id, ()):
            in_flight = self._in_flight.pop((request.epoch, request.request_id), None)
            if in_flight is not None:
                self._drop_request(order, in_flight)
                if not in_flight.answered:
                    in_flight.answered = True
                    event = refusal(request, Reason.UNKNOWN_ORDER_HERE, f"order is {order.state.name}")
                    order.describe(event)
                    event.epoch = request.epoch
                    self._events.emit(event)

    def _settle(self, Order order not None, InFlight in_flight):
        assert self.settler is not None
        self.settler.settle(order, in_flight)

    # --- orders of others -------------------------------------------------------------------------------------------
    def _external(self, Order order not None, fact):
        """Tracked and told as STATUS, never touched. Its fills move the account's position: the gate hears of them."""
        if fact.event_type == EventType.FILL:
            news = self._ledger.merge(order.instrument_id, int(fact.trade_id), fact.parts)
            if news & QUANTITY:
                self._gate.on_fill(order.instrument_id, fact.side, fact.last_quantity, fact.exchange_time_ns)
        if not fact.flags & FactFlag.TERMS_KNOWN or order.closed:
            return
        state = OrderState(fact.order_state)
        before = (order.state, order.cumulative_quantity, order.price, order.quantity)
        order.cumulative_quantity = max(order.cumulative_quantity, fact.cumulative_quantity)
        if fact.exchange_time_ns >= order.terms_time_ns:
            order.price, order.quantity, order.terms_time_ns = fact.price, fact.quantity, fact.exchange_time_ns
            order.state = state
        elif state in TERMINAL_STATES:
            order.state = state
        if before != (order.state, order.cumulative_quantity, order.price, order.quantity):
            self.tell_status(order, Reason.NONE, fact)
        if order.state in TERMINAL_STATES:
            self._store.closed(order, self._clock())

    # --- telling ----------------------------------------------------------------------------------------------------
    def _tell(self, Order order not None, kind, fact, InFlight in_flight, reason, parts=0):
        cdef Record event = self._event
        cdef OrderEventRecord* told = <OrderEventRecord*> event.data
        cdef OrderEventRecord* said = _event(fact)
        event.clear()
        order.describe(event)
        told.event_type = kind
        told.reason = reason
        told.error_code = said.error_code
        memcpy(told.text, said.text, sizeof(said.text))
        told.exchange_time_ns, told.receive_time_ns = said.exchange_time_ns, said.receive_time_ns
        if told.event_type == _STATUS and order.venue_cumulative > order.cumulative_quantity:
            told.cumulative_quantity = order.venue_cumulative
        if parts:
            event.parts = parts
            event.trade_id = fact.trade_id
            event.last_price, event.last_quantity = fact.last_price, fact.last_quantity
            event.liquidity = fact.liquidity
            if parts & FEE:
                event.fee, event.fee_currency = fact.fee, fact.fee_currency
        if in_flight is not None:
            in_flight.stamp(event)
        self._events.emit(event)
        if parts:
            self.recent_fills.append(event)
        if said.receive_time_ns:
            self._event_publish.record(max(0, told.publish_time_ns - said.receive_time_ns))

    def tell_status(self, Order order not None, reason, fact=None):
        """STATUS of an order as it is known here now."""
        self._tell(order, EventType.STATUS, fact if fact is not None else OrderEvent(), None, reason)

    def tell_unanswered(self, Order order not None):
        """Within a bracket: an order that the venue has not confirmed. SENT while its reply may come, else UNKNOWN."""
        kind = EventType.UNKNOWN if order.state == OrderState.UNKNOWN else EventType.SENT
        reason = Reason.VENUE_STATUS_UNKNOWN if kind == EventType.UNKNOWN else Reason.NONE
        self._tell(order, kind, OrderEvent(), order.new, reason)

    # --- timer ------------------------------------------------------------------------------------------------------
    def on_timer(self):
        """Some tens of times a second: overdue fills, forgetting."""
        now = self._clock()
        if self._missing:
            assert self.settler is not None
            for order in list(self._missing.values()):
                if order.closed or (not order.fills_missing and order.ended_by is None):
                    self._missing.pop(order.client_order_id, None)
                elif now - order.missing_since_ns >= MISSING_FILL_NS:
                    order.missing_since_ns = now
                    self.settler.fetch_fills(order)
        if self._taken:
            self._ask_for_taken(now)
        self._store.age_out(now)

    def _ask_for_taken(self, now):
        for key, (order, request, due) in list(self._taken.items()):
            if order.closed or request.answered:
                del self._taken[key]
            elif now >= due:
                del self._taken[key]
                if request.request_type == RequestType.NEW:
                    if not order.accepted:
                        self._settle(order, None)
                else:
                    self._settle(order, request)


_FACTS = {
    EventType.ACCEPTED: OrderMerger._accepted,
    EventType.STATUS: OrderMerger._status,
    EventType.FILL: OrderMerger._fill,
    EventType.REPLACED: OrderMerger._replaced,
    EventType.CANCELED: OrderMerger._ended,
    EventType.EXPIRED: OrderMerger._ended,
    EventType.REJECTED: OrderMerger._rejected,
    EventType.CANCEL_REJECTED: OrderMerger._request_rejected,
    EventType.REPLACE_REJECTED: OrderMerger._request_rejected,
    EventType.UNKNOWN: OrderMerger._unknown,
}
