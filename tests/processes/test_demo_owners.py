"""Every order at the venue has an owner, and none came from a trader that was dead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processes.demo_owners import Owners, VenueOrder, check, served_epochs
from shm.layout import RecoveryPhase, client_order_id
from shm.records import OrderEvent, Recovery

SERVED = {3: 1_000, 4: 2_000}


def order(number: int, epoch: int, create_ms: int, *, instance: int = 101, strategy: int = 1) -> VenueOrder:
    return VenueOrder(number, str(client_order_id(instance, strategy, epoch, number)), create_ms)


def check_all(*orders: VenueOrder) -> Owners:
    return check(orders, 101, [1, 2], SERVED)


def test_orders_of_living_traders_are_counted_by_epoch():
    found = check_all(order(1, 3, 1_500), order(2, 3, 2_000), order(4, 4, 2_500), order(3, 4, 2_001, strategy=2))
    assert found.good and (found.orders, found.by_epoch) == (4, {3: 2, 4: 2})
    assert found.in_words() == [
        "  owners: 4 orders at the venue, 0 without an owner; 2 trader epochs, 0 orders of a dead epoch executed"
    ]


def test_an_order_of_nobody_here_is_without_an_owner():
    strangers = [
        VenueOrder(1, "web_123", 1_500),
        VenueOrder(2, "17", 1_500),
        order(3, 3, 1_500, instance=7),
        order(4, 3, 1_500, strategy=9),
        order(5, 8, 1_500),
    ]
    found = check_all(*strangers)
    assert not found.good and found.without_owner == [one.client_order_id for one in strangers]
    assert "    without an owner: web_123, 17, " in found.in_words()[1]


@given(st.integers(min_value=1, max_value=100_000))
def test_an_order_that_came_after_the_next_epoch_was_served_is_of_a_dead_one(late_ms):
    dead = order(2, 3, 2_000 + late_ms)
    found = check_all(order(1, 3, 1_500), dead)
    assert found.of_dead_epochs == [dead.client_order_id] and not found.good


def test_an_order_that_the_venue_took_behind_one_of_a_later_epoch_is_of_a_dead_one():
    dead = order(3, 3, 2_000)
    found = check_all(order(1, 3, 1_500), order(2, 4, 2_000), dead)
    assert found.of_dead_epochs == [dead.client_order_id]


def test_an_epoch_is_served_from_its_first_bracket_on_and_brackets_of_the_engine_name_none():
    def bracket(nonce: int, time_ns: int, phase: RecoveryPhase = RecoveryPhase.BEGIN) -> Recovery:
        record = Recovery()
        record.phase, record.nonce, record.publish_time_ns = phase, nonce, time_ns
        return record

    records = [
        OrderEvent(),
        bracket(0, 1),
        bracket(3 << 32 | 1, 5_000_000),
        bracket(3 << 32 | 1, 6_000_000, RecoveryPhase.END),
        bracket(3 << 32 | 9, 9_000_000),
        bracket(4 << 32 | 1, 12_000_000),
    ]
    assert served_epochs(records, utc_offset_ns=1_000_000_000) == {3: 1_005, 4: 1_012}
