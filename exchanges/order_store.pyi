from collections.abc import Iterator
from typing import Final

from shm.layout import OrderState
from shm.records import OrderEvent, OrderRequest

CLOSED_KEPT_NS: Final[int]
CLOSED_KEPT: Final[int]

class InFlight:
    """A request that was accepted for sending and has not had its final answer; the ids and times that answer needs."""

    request_type: int
    sequence: int
    request_id: int
    epoch: int
    strategy_id: int
    order_id: int
    price: int
    quantity: int
    cause_sequence: int
    cause_receive_time_ns: int
    publish_time_ns: int
    poll_time_ns: int
    sign_time_ns: int
    send_time_ns: int
    answered: bool
    unknown: bool
    def __init__(self, request: OrderRequest, poll_time_ns: int) -> None: ...
    def stamp(self, event: OrderEvent) -> None: ...

class Order:
    """One order. `cumulative_quantity` sums the fills we hold, `venue_cumulative` is the most the venue claimed."""

    client_order_id: int
    instrument_id: int
    strategy_id: int
    epoch: int
    account: int
    exchange_order_id: bytes
    earlier_exchange_ids: list[bytes] | None
    side: int
    order_type: int
    time_in_force: int
    exec_flags: int
    price: int
    quantity: int
    cumulative_quantity: int
    venue_cumulative: int
    untold_quantity: int
    """What the venue counts as filled and no FILL of ours told, although we saw this order from its first byte on. The
    audit tells it and sets it back."""
    state: OrderState
    external: bool
    accepted: bool
    ended_by: OrderState | None
    """How the venue says it ended; it closes when the fills add up to `final_cumulative`."""
    final_cumulative: int
    ending_reason: int
    exchange_time_ns: int
    terms_time_ns: int
    missing_since_ns: int
    closed_time_ns: int
    new: InFlight | None
    requests: list[InFlight]
    """Cancels and replaces without their final answer, oldest first."""
    replaces: int
    counted: int
    counted_side: int
    def __init__(self, client_order_id: int, instrument_id: int) -> None: ...
    @staticmethod
    def from_request(request: OrderRequest, in_flight: InFlight | None) -> Order: ...
    @staticmethod
    def from_fact(fact: OrderEvent, *, external: bool) -> Order: ...
    @property
    def closed(self) -> bool: ...
    @property
    def remaining_quantity(self) -> int: ...
    @property
    def fills_missing(self) -> bool: ...
    def working_state(self) -> OrderState: ...
    def describe(self, event: OrderEvent) -> None: ...

class OpenTotals:
    """What stands open in one instrument."""

    buy: int
    sell: int
    orders: int

class OrderStore:
    def __init__(self, closed_kept: int = ..., closed_kept_ns: int = ...) -> None: ...
    def add(self, order: Order) -> None: ...
    def get(self, client_order_id: int) -> Order | None: ...
    def by_exchange_id(self, instrument_id: int, exchange_order_id: bytes) -> Order | None: ...
    def learn_exchange_id(self, order: Order, exchange_order_id: bytes) -> None: ...
    def changed(self, order: Order) -> None: ...
    def closed(self, order: Order, now_ns: int) -> None: ...
    def reopened(self, order: Order) -> None: ...
    def age_out(self, now_ns: int) -> None: ...
    def totals(self, instrument_id: int) -> OpenTotals: ...
    @property
    def open_count(self) -> int: ...
    def open_orders(self) -> list[Order]: ...
    def closed_orders(self) -> Iterator[Order]: ...
    def __len__(self) -> int: ...
