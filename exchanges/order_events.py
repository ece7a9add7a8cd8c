"""Facts about orders: what a venue said, in the one record that the whole system uses for it.

The rule: between a venue's package and the engine core a fact is an `OrderEvent` record, and it says no more than the
message said. The same truth may come as several facts (a REST reply, a user-stream event, a query), in any order and
any number; `order_engine.py` merges them into one consistent stream. A field that the message did not carry is zero:
`cumulative_quantity` counts only where `flags` has CUMULATIVE_KNOWN, price and quantity of the order where it has
TERMS_KNOWN. Both flags are for use between those two only and never leave the engine.

Who calls it: codecs of the venues (make facts), order_engine, settlement and recovery (merge them).
"""

from __future__ import annotations

from typing import Final

from shm.layout import REASON_TEXT_SIZE, EventType, OrderState, Reason, RequestType
from shm.records import OrderEvent, OrderRequest


class FactFlag:
    """Which of the fields that every message seems to have were really in it (head field `flags`).

    Plain integers: an IntFlag costs a microsecond at every test of a bit, and there are several a fact.
    """

    NONE: Final = 0
    CUMULATIVE_KNOWN: Final = 1
    """`cumulative_quantity` is the venue's own sum after this fact."""
    TERMS_KNOWN: Final = 2
    """`price` and `quantity` are the order's, as the venue has them at `exchange_time_ns`."""
    STREAM: Final = 4
    """Came over the private stream, not as a reply."""


REFUSAL_OF: Final[dict[int, EventType]] = {
    RequestType.NEW: EventType.REJECTED,
    RequestType.CANCEL: EventType.CANCEL_REJECTED,
    RequestType.REPLACE: EventType.REPLACE_REJECTED,
    RequestType.CANCEL_ALL: EventType.CANCEL_REJECTED,
    RequestType.QUERY: EventType.REJECTED,
    RequestType.RECOVER: EventType.REJECTED,
}
"""How each kind of request is refused. For QUERY and RECOVER the event names no order's end: `request_type` tells."""

END_OF_STATE: Final = {
    OrderState.FILLED: EventType.FILL,
    OrderState.CANCELED: EventType.CANCELED,
    OrderState.REJECTED: EventType.REJECTED,
    OrderState.EXPIRED: EventType.EXPIRED,
}


def fact_of_request(request: OrderRequest, event_type: int, reason: int = Reason.NONE) -> OrderEvent:
    """A fact that answers `request`: its ids and times are copied, nothing else is known yet."""
    event = OrderEvent()
    event.instrument_id = request.instrument_id
    event.venue = request.venue
    event.strategy_id = request.strategy_id
    event.epoch = request.epoch
    event.account = request.account
    event.client_order_id = request.client_order_id
    event.exchange_order_id = request.exchange_order_id
    event.event_type = event_type
    event.reason = reason
    event.request_type = request.request_type
    event.request_sequence = request.sequence
    event.request_id = request.request_id
    event.request_publish_time_ns = request.publish_time_ns
    event.cause_sequence = request.cause_sequence
    event.cause_receive_time_ns = request.cause_receive_time_ns
    return event


def refusal(request: OrderRequest, reason: int, text: str = "") -> OrderEvent:
    """The answer to a request that is not carried out: REJECTED, CANCEL_REJECTED or REPLACE_REJECTED by its kind."""
    event = fact_of_request(request, REFUSAL_OF.get(request.request_type, EventType.REJECTED), reason)
    if text:
        event.text = cut_text(text)
    return event


def copy_request(request: OrderRequest) -> OrderRequest:
    """A request that lives on after the ring's next poll; `sequence` goes with it."""
    copied = request.copy()
    copied.sequence = request.sequence
    return copied


def cut_text(text: str | bytes, size: int = REASON_TEXT_SIZE) -> bytes:
    """UTF-8 of `text`, cut to `size` bytes without leaving half a character."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(raw) <= size:
        return raw
    return raw[:size].decode("utf-8", "ignore").encode("utf-8")
