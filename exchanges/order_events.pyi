from typing import Final

from shm.layout import EventType, OrderState
from shm.records import OrderEvent, OrderRequest

class FactFlag:
    """Which of the fields that every message seems to have were really in it (head field `flags`)."""

    NONE: Final = 0
    CUMULATIVE_KNOWN: Final = 1
    """`cumulative_quantity` is the venue's own sum after this fact."""
    TERMS_KNOWN: Final = 2
    """`price` and `quantity` are the order's, as the venue has them at `exchange_time_ns`."""
    STREAM: Final = 4
    """Came over the private stream, not as a reply."""

REFUSAL_OF: Final[dict[int, EventType]]
END_OF_STATE: Final[dict[OrderState, EventType]]

def fact_of_request(request: OrderRequest, event_type: int, reason: int = ...) -> OrderEvent: ...
def refusal(request: OrderRequest, reason: int, text: str = ...) -> OrderEvent: ...
def copy_request(request: OrderRequest) -> OrderRequest: ...
def cut_text(text: str | bytes, size: int = ...) -> bytes: ...
