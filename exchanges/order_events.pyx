# cython: language_level=3, annotation_typing=False
"""Facts about orders: what a venue said, in the one record that the whole system uses for it.

The rule: between a venue's package and the engine core a fact is an `OrderEvent` record, and it says no more than the
message said. The same truth may come as several facts (a REST reply, a user-stream event, a query), in any order and
any number; `order_engine.py` merges them into one consistent stream. A field that the message did not carry is zero:
`cumulative_quantity` counts only where `flags` has CUMULATIVE_KNOWN, price and quantity of the order where it has
TERMS_KNOWN. Both flags are for use between those two only and never leave the engine.

Who calls it: codecs of the venues (make facts), order_engine, settlement and recovery (merge them).
"""

from libc.string cimport memcpy

from shm.record cimport Record
from shm.records cimport OrderEventRecord, OrderRequestRecord

from shm.layout import REASON_TEXT_SIZE, EventType, OrderState, Reason, RequestType
from shm.records import OrderEvent, OrderRequest


class FactFlag:
    """Which of the fields that every message seems to have were really in it (head field `flags`).

    Plain integers: an IntFlag costs a microsecond at every test of a bit, and there are several a fact.
    """

    NONE = 0
    CUMULATIVE_KNOWN = 1
    """`cumulative_quantity` is the venue's own sum after this fact."""
    TERMS_KNOWN = 2
    """`price` and `quantity` are the order's, as the venue has them at `exchange_time_ns`."""
    STREAM = 4
    """Came over the private stream, not as a reply."""


REFUSAL_OF = {
    RequestType.NEW: EventType.REJECTED,
    RequestType.CANCEL: EventType.CANCEL_REJECTED,
    RequestType.REPLACE: EventType.REPLACE_REJECTED,
    RequestType.CANCEL_ALL: EventType.CANCEL_REJECTED,
    RequestType.QUERY: EventType.REJECTED,
    RequestType.RECOVER: EventType.REJECTED,
}
"""How each kind of request is refused. For QUERY and RECOVER the event names no order's end: `request_type` tells."""

END_OF_STATE = {
    OrderState.FILLED: EventType.FILL,
    OrderState.CANCELED: EventType.CANCELED,
    OrderState.REJECTED: EventType.REJECTED,
    OrderState.EXPIRED: EventType.EXPIRED,
}


def fact_of_request(Record request not None, int event_type, int reason=0):
    """A fact that answers `request`: its ids and times are copied, nothing else is known yet."""
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    cdef OrderRequestRecord* asked = <OrderRequestRecord*> request.data
    cdef Record event = OrderEvent()
    cdef OrderEventRecord* told = <OrderEventRecord*> event.data
    told.instrument_id = asked.instrument_id
    told.venue = asked.venue
    told.strategy_id = asked.strategy_id
    told.epoch = asked.epoch
    told.account = asked.account
    told.client_order_id = asked.client_order_id
    memcpy(told.exchange_order_id, asked.exchange_order_id, sizeof(asked.exchange_order_id))
    told.event_type = event_type
    told.reason = reason
    told.request_type = asked.request_type
    told.request_sequence = request.sequence
    told.request_id = asked.request_id
    told.request_publish_time_ns = asked.publish_time_ns
    told.cause_sequence = asked.cause_sequence
    told.cause_receive_time_ns = asked.cause_receive_time_ns
    return event


def refusal(request, int reason, text=""):
    """The answer to a request that is not carried out: REJECTED, CANCEL_REJECTED or REPLACE_REJECTED by its kind."""
    event = fact_of_request(request, REFUSAL_OF.get(request.request_type, EventType.REJECTED), reason)
    if text:
        event.text = cut_text(text)
    return event


def copy_request(Record request not None):
    """A request that lives on after the ring's next poll; `sequence` goes with it."""
    return request.copy()


def cut_text(text, size=REASON_TEXT_SIZE):
    """UTF-8 of `text`, cut to `size` bytes without leaving half a character."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(raw) <= size:
        return raw
    return raw[:size].decode("utf-8", "ignore").encode("utf-8")
