# cython: language_level=3, annotation_typing=False
"""The venue-free core of a trading engine: requests in, gates, sends.

Requests pass, in this order: epoch fence, readiness and resync, kill switch, deadline, what the request itself says,
dead-man's switch, risk gate, rate limit. What passes is journaled, the ring's tail is committed, and only then it
goes to the gateway, which asks `guard` once more just before the bytes leave. What does not pass is answered with the
reason. What the venue says to all that is merged by `order_merger.py`.

Compiled: between the ring and the socket every request passes all of it, and as Python that was two thirds of the way.
What a test replaces to put an error into one step (`on_request`, `guard`, `_send`) is looked up by name, in a subclass.

Who calls it: processes/trading_engine.py (requests, timer). One thread, no waiting, no I/O: everything slow is behind
the gateway, the settler and the recovery.
"""

from libc.stdint cimport int64_t, uint64_t

from exchanges.order_merger cimport OrderMerger
from exchanges.order_store cimport InFlight, Order, OrderStore
from shm.counters cimport Histogram
from shm.host_clock cimport HostClock
from shm.record cimport Record
from shm.records cimport OrderRequestRecord
from shm.table cimport Level

from typing import Protocol

from exchanges.order_events import copy_request, fact_of_request, refusal
from exchanges.request_form import flaw_of_new, flaw_of_replace
from shm.layout import EventType, OrderState, Reason, RequestType
from shm.records import OrderRequest

cdef int _NEW = RequestType.NEW, _CANCEL = RequestType.CANCEL, _REPLACE = RequestType.REPLACE
cdef int _CANCEL_ALL = RequestType.CANCEL_ALL, _QUERY = RequestType.QUERY, _RECOVER = RequestType.RECOVER
cdef object _NO_REASON = Reason.NONE

COUNTERS = (
    "requests", "accepted", "rejected", "filled", "canceled", "expired", "replaced", "fills", "unknown",
    "unknown_settled_executed", "unknown_settled_absent", "stale_epoch", "risk_rejected", "deadline_passed",
    "rate_limited", "kill_switch_refused", "ring_full", "reconnects", "duplicate_facts", "late_fills", "contradictions",
    "late_replies", "fills_fetched", "external_orders", "malformed", "not_sent", "heartbeat_lost", "recoveries",
    "requests_found_by_tick", "audits", "audit_differences",
)  # fmt: skip
HISTOGRAMS = ("request_to_poll", "poll_to_send", "send_to_reply", "event_publish")


class Gateway(Protocol):
    """The sending half of a venue's OMS. None of these waits; outcomes come back as facts with the request's ids."""

    def admit(self, request):
        """Take the request's cost from the venue's budget: 0, or the venue time (ns) from which it may be tried."""
        ...

    def new(self, request): ...
    def cancel(self, request): ...
    def replace(self, request): ...
    def query(self, request): ...
    def cancel_all(self, request): ...


class Recoverer(Protocol):
    """recovery.RecoveryBracket."""

    def request(self, nonce, epoch, asked_time_ns): ...


cdef class OrderEngine:
    """`merger` is its other half: give the venue's facts to `merger.on_fact`."""

    cdef int _instance
    cdef OrderStore _store
    cdef object _instruments, _gate, _fence, _gateway
    cdef HostClock _clock
    cdef Level _switch_word                     # None: a test's own kill switch
    cdef Histogram _waited                      # None: a test's own histogram
    cdef object _kill_switch, _armed, _commit, _count, _log, _request_to_poll
    cdef readonly object _events
    cdef readonly OrderMerger merger
    cdef public object recoverer
    cdef public bint ready

    def __init__(
        self,
        *,
        instance_number,
        instruments,
        store,
        ledger,
        gate,
        fence,
        events,
        gateway,
        clock,
        kill_switch,
        armed,
        commit,
        counters,
        histogram,
        log,
    ):
        """clock: CLOCK_MONOTONIC ns. kill_switch: the present generation, odd = on. armed: whether the venue's
        dead-man's switch stands for an instrument id. commit: moves the request ring's tail past what was polled."""
        self._instance = instance_number
        self._instruments, self._store = instruments, store
        self._gate, self._fence, self._events, self._gateway = gate, fence, events, gateway
        self._clock, self._kill_switch, self._armed, self._commit = HostClock(clock), kill_switch, armed, commit
        self._switch_word = kill_switch if isinstance(kill_switch, Level) else None
        self._count, self._log = counters.add, log
        self._request_to_poll = histogram("request_to_poll")
        self._waited = self._request_to_poll if isinstance(self._request_to_poll, Histogram) else None
        self.merger = OrderMerger(
            instance_number=instance_number,
            store=store,
            ledger=ledger,
            gate=gate,
            events=events,
            clock=clock,
            send_cancel=gateway.cancel,
            counters=counters,
            histogram=histogram,
            log=log,
        )
        self.recoverer = None
        self.ready = False
        """The private stream is up and its state was recovered. Until then only cancels, queries and RECOVER pass."""

    def on_request(self, Record request not None):
        """Carry out or refuse one record of the request ring. `request` is the reader's: copied where it is kept."""
        cdef OrderRequestRecord* asked = _asked(request)
        cdef int64_t now = self._clock.now(), waited
        cdef int kind = asked.request_type
        self._count("requests")
        if asked.publish_time_ns:
            waited = now - asked.publish_time_ns
            if self._waited is not None:
                self._waited.note(waited if waited > 0 else 0)
            else:
                self._request_to_poll.record(waited if waited > 0 else 0)
        if kind == _RECOVER:
            self._recover(request)
        elif asked.epoch != self._fence.accepted:
            self._count("stale_epoch")
            self.refuse(request, Reason.STALE_EPOCH, f"engine serves epoch {self._fence.accepted}")
        elif not asked.request_id or self.merger.awaits(request):
            self.refuse(request, Reason.BAD_REQUEST, "request id is 0 or in flight already")
        elif kind == _NEW:
            self._new(request, now)
        elif kind == _CANCEL:
            self._cancel(request, now)
        elif kind == _REPLACE:
            self._replace(request, now)
        elif kind == _CANCEL_ALL:
            self._cancel_all(request, now)
        elif kind == _QUERY:
            self._query(request, now)
        else:
            self.refuse(request, Reason.BAD_REQUEST, f"request type {kind} is not known")

    def refuse(self, request, reason, text=""):
        """Answer a request that will not be sent."""
        event = refusal(request, reason, text)
        cdef Order order = self._store.get(request.client_order_id) if request.client_order_id else None
        if request.request_type == RequestType.QUERY:
            event.event_type, event.order_state = EventType.STATUS, OrderState.NONE
        elif order is not None and request.request_type != RequestType.NEW:
            order.describe(event)
            event.epoch = request.epoch
        elif request.request_type == RequestType.NEW:
            self._count("rejected")
            event.order_state = OrderState.REJECTED
            event.side, event.order_type = request.side, request.order_type
            event.price, event.quantity = request.price, request.quantity
            event.time_in_force, event.exec_flags = request.time_in_force, request.exec_flags
        event.request_poll_time_ns = self._clock.now()
        if not self._events.emit(event):
            self.merger.lost_refusals.append(event)

    def refuse_not_sent(self, request):
        """A request that stood in the ring when this engine started: it was never sent, and is not any more.

        RECOVER is the exception: it asks for the present, so it is as good now as it was then.
        """
        if request.request_type == RequestType.RECOVER:
            self._recover(request)
            return
        self._count("not_sent")
        self.merger.never_sent(request)
        self.refuse(request, Reason.NOT_SENT, "stood in the ring when the engine started")

    def guard(self, Record request not None):
        """Asked by the gateway just before the bytes leave; NONE counts as the moment of sending."""
        reason = self._refusal_now(request)
        if not reason:
            self.merger.leaving(request, self._clock.now())
        return reason

    cdef object _refusal_now(self, Record request):
        """What may have changed since the request was made; cancels and queries always pass."""
        cdef OrderRequestRecord* asked = _asked(request)
        cdef int64_t now
        if asked.request_type != _NEW and asked.request_type != _REPLACE:
            return _NO_REASON
        if (self._switch_word.load() if self._switch_word is not None else <uint64_t> self._kill_switch()) & 1:
            self._count("kill_switch_refused")
            return Reason.KILL_SWITCH
        now = self._clock.now()
        if now > asked.deadline_ns:
            self._count("deadline_passed")
            return Reason.DEADLINE_PASSED
        if asked.epoch != self._fence.accepted:
            self._count("stale_epoch")
            return Reason.STALE_EPOCH
        return _NO_REASON

    cdef int _recover(self, request) except -1:
        if not self._fence.accept(request.epoch):
            self._count("stale_epoch")
            self.refuse(request, Reason.STALE_EPOCH, f"engine serves epoch {self._fence.accepted}")
            return 0
        assert self.recoverer is not None
        self.recoverer.request(request.request_id, request.epoch, request.publish_time_ns)

    cdef object _blocked(self, Record request):
        """Why no request that adds risk may go now, before its contents are looked at."""
        if not self.ready:
            return Reason.NOT_READY
        if self._events.overflowed_since_ns:
            return Reason.RESYNC
        return self._refusal_now(request)

    cdef object _new(self, Record request, int64_t now):
        cdef OrderRequestRecord* asked = _asked(request)
        cdef uint64_t order_id = asked.client_order_id
        cdef InFlight in_flight
        if reason := self._blocked(request):
            self.refuse(request, reason)
            return
        if _instance_of(order_id) != self._instance or (order_id >> 32 & 0xFFFF) != (asked.epoch & 0xFFFF):
            self.refuse(request, Reason.BAD_REQUEST, "client order id is not of this instance and epoch")
            return
        if flaw := flaw_of_new(request, now):
            self.refuse(request, Reason.BAD_REQUEST, flaw)
            return
        if self._store.get(order_id) is not None:
            self.refuse_duplicate(request)
            return
        instrument = self._instruments.by_id(asked.instrument_id)
        if instrument is None:
            self.refuse(request, Reason.BAD_REQUEST, f"instrument id {asked.instrument_id} is not traded here")
            return
        if not self._armed(instrument.id):
            self.refuse(request, Reason.NOT_READY, "the venue's dead-man's switch is not armed")
            return
        if reason := self._gate.check_new(request, instrument, now):
            self._count("risk_rejected")
            self.refuse(request, reason)
            return
        if not self._admit(request):
            return
        in_flight = self.merger.register(request, now)
        self._store.add(Order.from_request(request, in_flight))
        self._send(request, self._gateway.new)

    def refuse_duplicate(self, request):
        """A second NEW under a known id. REJECTED would end the first order for the trader, so its state is told."""
        cdef Order order = self._store.get(request.client_order_id)
        assert order is not None
        self._log.error("order %d was asked for twice; the second request is ignored", request.client_order_id)
        self._count("contradictions")
        event = fact_of_request(request, EventType.STATUS, Reason.BAD_REQUEST)
        order.describe(event)
        event.text = b"client order id was used before"
        self._events.emit(event)

    cdef object _cancel(self, request, int64_t now):
        order_id = request.client_order_id
        if _instance_of(order_id) != self._instance:
            self.refuse(request, Reason.BAD_REQUEST, "only orders of this instance are canceled")
            return
        cdef Order order = self._store.get(order_id)
        if order is None and self.ready:
            self.refuse(request, Reason.UNKNOWN_ORDER_HERE)
            return
        if order is not None and order.closed:
            self.refuse(request, Reason.UNKNOWN_ORDER_HERE, f"order is {order.state.name}")
            return
        addressed = self._addressed(request, order)
        if addressed is None:
            return
        request = addressed
        if not self._admit(request):
            return
        in_flight = self.merger.register(request, now)
        if order is None:
            self._send(request, self._gateway.cancel)
            return
        order.requests.append(in_flight)
        if order.state == OrderState.PENDING_NEW:
            # On another connection the cancel could overtake the order and find nothing to cancel.
            self._events.request(request)
            self._commit()
            self.merger.hold(request)
            return
        self._send(request, self._gateway.cancel)

    cdef object _replace(self, request, int64_t now):
        if reason := self._blocked(request):
            self.refuse(request, reason)
            return
        cdef Order order = self._store.get(request.client_order_id)
        if order is None or order.external or order.closed or order.ended_by is not None:
            self.refuse(request, Reason.UNKNOWN_ORDER_HERE)
            return
        instrument = self._instruments.by_id(order.instrument_id)
        if not order.accepted or order.replaces or instrument is None:
            self.refuse(request, Reason.BAD_REQUEST, "the order is not confirmed yet, or another replace is in flight")
            return
        if flaw := flaw_of_replace(request, now):
            self.refuse(request, Reason.BAD_REQUEST, flaw)
            return
        wanted = copy_request(request)
        wanted.exchange_order_id = order.exchange_order_id
        wanted.instrument_id, wanted.side, wanted.order_type = order.instrument_id, order.side, order.order_type
        if reason := self._gate.check_replace(wanted, order, instrument, now):
            self._count("risk_rejected")
            self.refuse(request, reason)
            return
        if not self._admit(wanted):
            return
        order.requests.append(self.merger.register(wanted, now))
        order.replaces += 1
        self._store.changed(order)
        self._send(wanted, self._gateway.replace)

    cdef object _cancel_all(self, request, int64_t now):
        self.merger.register(request, now)
        self._send(request, self._gateway.cancel_all)

    cdef object _query(self, request, int64_t now):
        order_id = request.client_order_id
        if _instance_of(order_id) != self._instance:
            self.refuse(request, Reason.BAD_REQUEST, "only orders of this instance are asked for")
            return
        addressed = self._addressed(request, self._store.get(order_id))
        if addressed is None:
            return
        request = addressed
        if not self._admit(request):
            return
        self.merger.register(request, now)
        self._send(request, self._gateway.query)

    cdef object _addressed(self, request, Order order):
        """The cancel or query as it may go to the venue; None: refused.

        Instrument and exchange order id are those of the order: at another symbol the venue would truthfully say that
        there is no such order, and a foreign exchange order id would end somebody else's. Of an order that is not known
        here (yet) only the client order id counts.
        """
        if order is None and self._instruments.by_id(request.instrument_id) is None:
            self.refuse(request, Reason.BAD_REQUEST, f"instrument id {request.instrument_id} is not traded here")
            return None
        instrument_id = request.instrument_id if order is None else order.instrument_id
        exchange_order_id = b"" if order is None else order.exchange_order_id
        if (request.instrument_id, request.exchange_order_id) == (instrument_id, exchange_order_id):
            return request
        addressed = copy_request(request)
        addressed.instrument_id, addressed.exchange_order_id = instrument_id, exchange_order_id
        return addressed

    cdef bint _admit(self, request) except -1:
        until = self._gateway.admit(request)
        if until == 0:
            return True
        self._count("rate_limited")
        self.refuse(request, Reason.RATE_LIMIT, f"until {until // 1_000_000} ms of the venue's clock")
        return False

    def _send(self, request, send):
        """Journal, commit the tail, hand over: else a crash could send a request twice or lose its trace."""
        self._events.request(request)
        self._commit()
        send(copy_request(request))


cdef OrderRequestRecord* _asked(Record request) except NULL:
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    return <OrderRequestRecord*> request.data


cdef int _instance_of(uint64_t order_id) noexcept:
    """Instance number, or -1 for an id that this system cannot have made (shm/layout.py)."""
    return order_id >> 56 & 0x7F if order_id >> 63 == 1 else -1
