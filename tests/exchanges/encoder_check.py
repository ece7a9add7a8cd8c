"""What the compiled encoders of all venues are held to: every request they word, the general encoder words the same.

Called by tests/exchanges/<venue>/test_fast_encode.py.
"""

from __future__ import annotations

from hypothesis import strategies as st

from exchanges.order_instruments import OrderInstrument
from exchanges.venue_clock import VenueClock
from shm.layout import ExecFlag, OrderType, RequestType, Side, TimeInForce, client_order_id
from shm.records import OrderRequest

NOW_NS = 5_000_000_000_123
OWN = client_order_id(6, 2, 3, 17)
FLAGS = sum(map(int, ExecFlag))


def clock_at(offset_ns: int) -> VenueClock:
    """Measured, with an error of 1.5 ms at NOW_NS."""
    clock = VenueClock(lambda: NOW_NS)
    clock.take(offset_ns, 1_500_000)
    return clock


@st.composite
def requests(
    draw: st.DrawFn, instruments: tuple[OrderInstrument, ...], exchange_ids: tuple[bytes, ...]
) -> OrderRequest:
    """Of all kinds, good and bad alike: codes that do not exist, values that do not fit, unknown instruments."""
    one = OrderRequest()
    kinds = st.sampled_from(
        [RequestType.NEW, RequestType.NEW, RequestType.CANCEL, RequestType.REPLACE, RequestType.QUERY]
    )
    one.request_type = draw(kinds)
    one.client_order_id = draw(st.sampled_from([OWN, OWN + 1]) | st.integers(0, (1 << 64) - 1))
    one.instrument_id = draw(st.sampled_from([one.id for one in instruments] * 8 + [1]))
    one.side = draw(st.sampled_from([Side.BUY, Side.SELL] * 4 + [0, 3]))
    one.order_type = draw(st.sampled_from([OrderType.LIMIT] * 4 + [OrderType.MARKET] * 2 + [0, 9]))
    one.time_in_force = draw(st.sampled_from([*TimeInForce, *[TimeInForce.GTC] * 4, 250]))
    one.exec_flags = draw(st.sampled_from([0, ExecFlag.POST_ONLY]) | st.integers(0, FLAGS))
    amounts = st.integers(0, 10**6) | st.integers(-(10**18), 10**18)
    one.price, one.quantity = draw(amounts), draw(amounts)
    deadlines = st.sampled_from([0, NOW_NS - 10**12, NOW_NS, NOW_NS + 1_000_000]) | st.integers(0, NOW_NS + 10**11)
    one.deadline_ns = draw(deadlines)
    one.expire_time_ns = draw(st.sampled_from([0, 1_767_000_123_456_789_000]))
    one.exchange_order_id = draw(st.sampled_from([b"", *exchange_ids]))
    return one
