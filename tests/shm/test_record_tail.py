from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm.record_tail import RecordTail
from shm.records import OrderEvent, Trade


def event(price: int) -> OrderEvent:
    one = OrderEvent()
    one.price, one.trade_id = price, b"%d" % price
    return one


@given(st.integers(1, 9), st.lists(st.integers(0, 1 << 60), max_size=40))
def test_it_holds_the_last_ones_in_their_order(size: int, prices: list[int]) -> None:
    tail = RecordTail(OrderEvent, size)
    for count, price in enumerate(prices, 1):
        tail.append(event(price))
        kept = prices[max(0, count - size) : count]
        assert len(tail) == len(kept)
        assert [(one.price, one.trade_id) for one in tail] == [(price, b"%d" % price) for price in kept]


def test_what_is_taken_out_is_nobody_elses() -> None:
    tail = RecordTail(OrderEvent, 2)
    given_in = event(1)
    tail.extend([given_in, event(2)])
    given_in.price = 9
    first, second = tail
    tail.extend([event(3), event(4)])
    assert (first.price, second.price) == (1, 2)
    first.price = 7
    assert [one.price for one in tail] == [3, 4]


def test_a_record_of_another_kind_is_refused() -> None:
    tail: RecordTail[OrderEvent] = RecordTail(OrderEvent, 2)
    with pytest.raises(TypeError, match="Trade found, OrderEvent was expected"):
        tail.append(Trade())  # type: ignore[arg-type]
    assert list(tail) == []
