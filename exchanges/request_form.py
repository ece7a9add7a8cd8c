"""What a request must be before anybody looks at limits: codes that exist, a deadline that comes, an id of its sender.

The rule: the ring is written by a process that runs strategies, so no field of a record is believed because our own
code would never write it so. Quantity and price against lots, ticks and limits are the risk gate's.

Called by order_engine.py for each NEW and REPLACE.
"""

from __future__ import annotations

from typing import Final

from shm.layout import ExecFlag, OrderType, Side, TimeInForce, strategy_of
from shm.records import OrderRequest

LONGEST_DEADLINE_NS: Final = 61_000_000_000
"""The config allows at most 60 s from the strategy's wish; what is farther away is no deadline."""

_SIDES: Final = frozenset({int(Side.BUY), int(Side.SELL)})
_ORDER_TYPES: Final = frozenset({int(OrderType.LIMIT), int(OrderType.MARKET)})
_TIMES_IN_FORCE: Final = frozenset(map(int, TimeInForce))
_NO_SUCH_FLAG: Final = ~sum(map(int, ExecFlag))


def flaw_of_new(request: OrderRequest, now_ns: int) -> str:
    """What is wrong with a new order's form, in a few words; empty: nothing. `now_ns`: CLOCK_MONOTONIC."""
    if request.side not in _SIDES:
        return f"side {request.side} is not known"
    if request.order_type not in _ORDER_TYPES:
        return f"order type {request.order_type} is not known"
    if strategy_of(request.client_order_id) != request.strategy_id:
        return "client order id is not of this strategy"
    return flaw_of_replace(request, now_ns)


def flaw_of_replace(request: OrderRequest, now_ns: int) -> str:
    """As above; side and order type of a replace are those of its order."""
    if request.time_in_force not in _TIMES_IN_FORCE:
        return f"time in force {request.time_in_force} is not known"
    if request.exec_flags & _NO_SUCH_FLAG:
        return f"execution flags {request.exec_flags} are not known"
    if request.deadline_ns - now_ns > LONGEST_DEADLINE_NS:
        return "the deadline is too far away"
    return ""
