# cython: language_level=3, annotation_typing=False
"""What a request must be before anybody looks at limits: codes that exist, a deadline that comes, an id of its sender.

The rule: the ring is written by a process that runs strategies, so no field of a record is believed because our own
code would never write it so. Quantity and price against lots, ticks and limits are the risk gate's.

Called by the order engine for each NEW and REPLACE; compiled because each goes through here.
"""

from libc.stdint cimport int64_t

from shm.record cimport Record
from shm.records cimport OrderRequestRecord

from shm.layout import ExecFlag, OrderType, Side, TimeInForce
from shm.records import OrderRequest

LONGEST_DEADLINE_NS = 61_000_000_000
"""The config allows at most 60 s from the strategy's wish; what is farther away is no deadline."""

cdef int64_t _LONGEST_NS = LONGEST_DEADLINE_NS
cdef int _BUY = Side.BUY, _SELL = Side.SELL, _LIMIT = OrderType.LIMIT, _MARKET = OrderType.MARKET
cdef int _LAST_TIME_IN_FORCE = max(TimeInForce), _NO_SUCH_FLAG = ~sum(map(int, ExecFlag))

assert sorted(TimeInForce) == list(range(_LAST_TIME_IN_FORCE + 1)), "one comparison stands for the whole enumeration"


def flaw_of_new(Record request not None, int64_t now_ns):
    """What is wrong with a new order's form, in a few words; empty: nothing. `now_ns`: CLOCK_MONOTONIC."""
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    cdef OrderRequestRecord* asked = <OrderRequestRecord*> request.data
    if asked.side != _BUY and asked.side != _SELL:
        return f"side {asked.side} is not known"
    if asked.order_type != _LIMIT and asked.order_type != _MARKET:
        return f"order type {asked.order_type} is not known"
    if asked.client_order_id >> 48 & 0xFF != asked.strategy_id:
        return "client order id is not of this strategy"
    return flaw_of_replace(request, now_ns)


def flaw_of_replace(Record request not None, int64_t now_ns):
    """As above; side and order type of a replace are those of its order."""
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    cdef OrderRequestRecord* asked = <OrderRequestRecord*> request.data
    if asked.time_in_force > _LAST_TIME_IN_FORCE:
        return f"time in force {asked.time_in_force} is not known"
    if asked.exec_flags & _NO_SUCH_FLAG:
        return f"execution flags {asked.exec_flags} are not known"
    if asked.deadline_ns > now_ns and asked.deadline_ns - now_ns > _LONGEST_NS:
        return "the deadline is too far away"
    return ""
