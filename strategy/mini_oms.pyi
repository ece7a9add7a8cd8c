import logging
from collections import OrderedDict
from enum import IntEnum
from typing import Final, Protocol

from shm.layout import OrderState
from shm.records import OrderEvent
from strategy.instrument import Instrument
from strategy.order import Fill, Order, Working

class Input(IntEnum):
    """Everything that can happen to an order."""

    ASK_CANCEL = 0
    ASK_REPLACE = 1
    SENT = 2
    ACCEPTED = 3
    FILL = 4
    FILL_FEE = 5
    CANCELED = 6
    EXPIRED = 7
    REJECTED = 8
    CANCEL_REJECTED = 9
    REPLACED = 10
    REPLACE_REJECTED = 11
    UNKNOWN = 12
    STATUS_WORKING = 13
    """Read from the venue by the engine: open there."""
    STATUS_FILLED = 14
    STATUS_CANCELED = 15
    STATUS_EXPIRED = 16
    STATUS_REJECTED = 17
    STATUS_SILENT = 18
    """A status without a word about the state (the engine does not know either)."""
    CONFIRMED_WORKING = 19
    """As STATUS_WORKING, but the answer to our own question: newer than anything that stood before it."""
    ENGINE_LOST = 20
    """The engine died or was replaced: what was in flight is unknown."""
    ABSENT = 21
    """A recovery bracket ended and did not mention this live order."""

class Step(IntEnum):
    """What the table says where it does not simply name the next state (values beyond any OrderState)."""

    SAME = 100
    RESUME = 101
    """The state it would have without the request just answered (theory, 2)."""
    WORKING = 102
    """OPEN, PARTIALLY_FILLED or FILLED by its fills; nothing of ours is in flight any more."""
    IF_COMPLETE = 103
    """FILLED when the fills reach the quantity, otherwise no change."""
    IF_NEVER_ACCEPTED = 104
    """REJECTED, but illegal for an order that the venue has confirmed."""
    REVIVE = 105
    """WORKING, and counted as illegal."""
    ILLEGAL = 106

STATES: Final[tuple[OrderState, ...]]
TRANSITIONS: Final[dict[tuple[int, int], int]]
CLOSED_KEPT: Final[int]
AGED_KEPT: Final[int]

class OrderListener(Protocol):
    """Who is told. Called while the event is being applied, after the order carries the news."""

    def on_order(self, order: Order) -> None:
        """State, price, quantity or a refusal changed."""

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Quantity and price of a trade, once per trade id."""

    def on_fee(self, order: Order, fill: Fill) -> None:
        """Fee of a trade, once per trade id; may come before or after its quantity."""

class MiniOMS:
    """All orders of this trader. `orders` holds what is not closed; counters are plain ints read by the trader."""

    instance: int
    listener: OrderListener
    log: logging.Logger
    orders: dict[int, Order]
    closed: OrderedDict[int, Order]
    created: int
    illegal_transitions: int
    duplicate_fills: int
    overfills: int
    fill_mismatches: int
    late_events: int
    external_orders: int
    final_states: dict[int, int]
    def __init__(self, instance: int, listener: OrderListener, logger: logging.Logger | None = None) -> None: ...
    def working(self, strategy_id: int, instrument_id: int) -> Working: ...
    def orders_of(self, strategy_id: int) -> list[Order]: ...
    def open_count(self, strategy_id: int) -> int: ...
    def create(
        self,
        client_order_id: int,
        strategy_id: int,
        instrument: Instrument,
        side: int,
        price_mantissa: int,
        quantity_mantissa: int,
        now_ns: int,
        working: Working | None = None,
    ) -> Order: ...
    def ask_cancel(self, order: Order, now_ns: int) -> bool: ...
    def ask_replace(self, order: Order, price_mantissa: int, quantity_mantissa: int, now_ns: int) -> bool: ...
    def not_published(self, order: Order, request_type: int, reason: int, text: str, now_ns: int) -> None: ...
    def apply(self, event: OrderEvent, instrument: Instrument | None, now_ns: int) -> Order | None: ...
    def engine_lost(self, venue: int, now_ns: int) -> None: ...
    def begin_recovery(self, venue: int) -> None: ...
    def end_recovery(self, venue: int, now_ns: int) -> list[Order]: ...
    def questionable(self, now_ns: int, patience_ns: int) -> list[Order]: ...
