"""What an engine knew when it ended: its journal read back into store and ledger.

The rule: only what the journal says is taken for true. An order whose request stands there without a final answer is
UNKNOWN, whatever is likely: the bytes may have left. What the ring's tail says was never sent is refused by the engine
before this result is used (`unanswered` then loses it).

Who calls it: processes/trading_engine.py, once, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from exchanges.fill_ledger import FillLedger
from exchanges.order_store import InFlight, Order, OrderStore
from shm.layout import TERMINAL_STATES, EventType, FillPart, OrderState, Reason, RecordKind, RecoveryPhase, RequestType
from shm.records import OrderEvent, OrderRequest, Recovery

_ALIVE_EVENTS = frozenset({
    EventType.ACCEPTED, EventType.FILL, EventType.FILL_FEE, EventType.CANCELED, EventType.EXPIRED, EventType.REPLACED,
    EventType.STATUS,
})  # fmt: skip


class Replay:
    """Reads records in the order in which they were written; call `finish` after the last."""

    def __init__(self, store: OrderStore, ledger: FillLedger) -> None:
        self._store, self._ledger = store, ledger
        self.unanswered: dict[tuple[int, int], OrderRequest] = {}
        """Requests by (epoch, request id) that were about to be sent and have no final answer."""
        self.last_event_time_ns = 0
        self.overflowed_since_ns = 0
        self.records = 0
        self.recent_fills: list[OrderEvent] = []

    def read(self, records: Iterable[Any]) -> None:
        for record in records:
            self.records += 1
            if record.kind == RecordKind.ORDER_REQUEST:
                self._request(record)
            elif record.kind == RecordKind.ORDER_EVENT:
                self._event(record)
            elif record.kind == RecordKind.RECOVERY:
                self._recovery(record)

    def _request(self, request: OrderRequest) -> None:
        self.unanswered[request.epoch, request.request_id] = request
        if request.request_type == RequestType.NEW and self._store.get(request.client_order_id) is None:
            in_flight = InFlight(request, 0)
            in_flight.sequence = 0  # the journal's own sequence is not the ring's
            self._store.add(Order.from_request(request, in_flight))

    def _event(self, event: OrderEvent) -> None:
        self.last_event_time_ns = max(self.last_event_time_ns, event.publish_time_ns)
        kind = event.event_type
        if event.request_type and kind not in (EventType.SENT, EventType.UNKNOWN):
            self.unanswered.pop((event.epoch, event.request_id), None)
        if event.parts:
            self._ledger.merge(event.instrument_id, int(event.trade_id or b"0"), event.parts)
            self.recent_fills.append(event)
            del self.recent_fills[:-256]
        if not event.client_order_id:
            return
        order = self._store.get(event.client_order_id)
        if order is None:
            if kind == EventType.STATUS and event.order_state not in (OrderState.NONE, OrderState.UNKNOWN):
                self._adopt(event)
            return
        self._apply(order, event)

    def _adopt(self, event: OrderEvent) -> None:
        """An order that recovery had found at the venue: of an earlier life, or not ours."""
        external = event.client_order_id >> 63 == 0
        order = Order.from_fact(event, external=external)
        order.state = OrderState(event.order_state)
        order.cumulative_quantity = event.cumulative_quantity
        if order.closed:
            order.closed_time_ns = event.publish_time_ns
        self._store.add(order)

    def _apply(self, order: Order, event: OrderEvent) -> None:
        kind = event.event_type
        refused = kind in (EventType.CANCEL_REJECTED, EventType.REPLACE_REJECTED, EventType.SENT)
        state = OrderState(event.order_state)
        if kind in _ALIVE_EVENTS and state != OrderState.NONE:
            order.accepted = True
            if order.new is not None:
                order.new.answered = True
        self._store.learn_exchange_id(order, event.exchange_order_id)
        if kind in (EventType.ACCEPTED, EventType.REPLACED, EventType.STATUS) and event.quantity:
            order.price, order.quantity = event.price, event.quantity
            order.terms_time_ns = max(order.terms_time_ns, event.exchange_time_ns)
        if event.parts & FillPart.QUANTITY:
            order.cumulative_quantity = max(order.cumulative_quantity, event.cumulative_quantity)
        order.venue_cumulative = max(order.venue_cumulative, event.cumulative_quantity)
        if state == OrderState.NONE or (refused and state not in TERMINAL_STATES) or order.closed:
            self._store.changed(order)
            return
        # An UNKNOWN that answers a cancel or replace is about that request: the order lives on as it was.
        if kind == EventType.UNKNOWN and event.request_type == RequestType.NEW:
            state = OrderState.UNKNOWN
        order.state = state
        self._store.changed(order)
        if state in TERMINAL_STATES:
            self._store.closed(order, event.publish_time_ns)

    def _recovery(self, record: Recovery) -> None:
        if record.phase == RecoveryPhase.NONE and record.instrument_id:
            self._ledger.advance(record.instrument_id, record.watermark)
        elif record.phase == RecoveryPhase.NONE and record.reason == Reason.RING_FULL:
            self.overflowed_since_ns = record.publish_time_ns
        elif record.phase == RecoveryPhase.END and record.nonce:
            self.overflowed_since_ns = 0
