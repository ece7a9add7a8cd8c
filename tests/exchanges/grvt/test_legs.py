"""Legs in client order ids: nothing of the order's own id is lost, and what a watch holds back is kept."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.grvt.legs import (
    ENDED_ORDERS,
    LARGEST_COUNTER,
    MOST_LEGS,
    REMEMBERED,
    Legs,
    LegWatch,
    leg_of,
    order_of,
    wire_id,
)
from shm.layout import EventType, OrderState, Reason, client_order_id, epoch_of, instance_of, strategy_of
from shm.records import OrderEvent

OWN = client_order_id(6, 2, 3, 77)


@given(
    st.integers(0, 127), st.integers(0, 255), st.integers(0, 65535), st.integers(0, LARGEST_COUNTER),
    st.integers(0, MOST_LEGS - 1),
)  # fmt: skip
def test_a_leg_keeps_the_order_and_its_owner(instance: int, strategy: int, epoch: int, counter: int, leg: int) -> None:
    own = client_order_id(instance, strategy, epoch, counter)
    wire = wire_id(own, leg)
    assert (order_of(wire), leg_of(wire)) == (own, leg)
    assert (instance_of(wire), strategy_of(wire), epoch_of(wire)) == (instance, strategy, epoch)
    assert wire >> 63 == 1  # the venue's own wish for ids of the API
    assert (wire == own) == (leg == 0)


def test_a_counter_that_needs_the_legs_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="start the trader anew"):
        wire_id(client_order_id(6, 2, 3, LARGEST_COUNTER + 1), 0)


def test_the_present_leg_is_the_one_that_is_addressed() -> None:
    legs = Legs()
    assert (legs.wire_id(OWN), legs.known(OWN)) == (OWN, False)
    legs.stand(OWN, 3, 250)
    assert (leg_of(legs.wire_id(OWN)), legs.standing(OWN)) == (3, (3, 250))


def test_what_is_remembered_is_bounded() -> None:
    legs = Legs()
    for number in range(REMEMBERED + 10):
        legs.stand(number, 1, 0)
        legs.cancel(number)
    assert (legs.known(9), legs.known(10)) == (False, True)
    assert (legs.is_canceled(9), legs.is_canceled(10)) == (False, True)


def fact(state: OrderState, cumulative: int = 0) -> OrderEvent:
    made = OrderEvent()
    made.event_type, made.order_state, made.cumulative_quantity = EventType.STATUS, state, cumulative
    made.reason = Reason.VENUE_USER_CANCEL if state == OrderState.CANCELED else Reason.NONE
    return made


@pytest.mark.parametrize(("traded", "shown"), [(0, OrderState.OPEN), (40, OrderState.PARTIALLY_FILLED)])
async def test_the_end_of_the_leg_that_goes_is_not_the_orders(traded: int, shown: OrderState) -> None:
    watch = LegWatch(1, asyncio.get_running_loop())
    told = fact(OrderState.CANCELED, traded)
    watch.see(told, 1, 5)
    assert (told.order_state, told.reason) == (shown, Reason.NONE)
    held = watch.ended.result()
    assert (held.order_state, held.reason, held.cumulative_quantity) == (
        OrderState.CANCELED, Reason.VENUE_USER_CANCEL, traded,
    )  # fmt: skip
    assert watch.expiration_ns == 5
    watch.see(fact(OrderState.CANCELED, traded), 1, 5)  # heard twice
    assert not watch.begun.done()


async def test_a_leg_that_was_filled_is_the_end_of_the_order() -> None:
    watch = LegWatch(0, asyncio.get_running_loop())
    told = fact(OrderState.FILLED, 100)
    watch.see(told, 0, 5)
    assert told.order_state == OrderState.FILLED
    assert watch.ended.result().order_state == OrderState.FILLED


async def test_the_first_word_on_the_next_leg_is_kept() -> None:
    watch = LegWatch(0, asyncio.get_running_loop())
    watch.see(fact(OrderState.OPEN), 0, 5)
    assert not watch.begun.done()
    watch.see(fact(OrderState.OPEN, 7), 1, 5)
    watch.see(fact(OrderState.FILLED, 9), 1, 5)
    assert watch.begun.result().cumulative_quantity == 7


async def test_a_watch_that_is_over_does_not_take_the_next_ones_place() -> None:
    legs, loop = Legs(), asyncio.get_running_loop()
    first, second = legs.watch(OWN, 0, loop), legs.watch(OWN, 1, loop)
    legs.forget_watch(OWN, first)
    assert legs.watch_of(OWN) is second
    legs.cancel(OWN)
    assert (first.canceled, second.canceled) == (False, True)
    legs.forget_watch(OWN, second)
    assert legs.watch_of(OWN) is None


def test_of_ended_orders_only_the_last_are_remembered() -> None:
    legs = Legs()
    orders = [OWN + number for number in range(ENDED_ORDERS + 10)]
    for order in orders:
        legs.cancel(order)
        legs.stand(order, 1, 5)
    legs.end(OWN - 1)  # of one leg and never canceled: there is nothing to forget
    for order in orders:
        legs.end(order)
        legs.end(order)  # heard twice
    assert [legs.known(order) for order in orders] == [False] * 10 + [True] * ENDED_ORDERS
    assert [legs.is_canceled(order) for order in orders] == [False] * 10 + [True] * ENDED_ORDERS
