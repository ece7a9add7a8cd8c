"""Own open orders as events tell them: bounded, healed by brackets, honest about what was missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.config import load_config
from processes.order_watch import FILLS_KEPT, OrderWatch
from shm.layout import EventType, OrderState, RecoveryPhase, RequestType
from tests.processes.observed_set import ObservedSet

BRACKET = (RecoveryPhase.BEGIN, RecoveryPhase.END)


@pytest.fixture
def observed(write_config: Callable[..., Path]) -> Iterator[ObservedSet]:
    path = write_config()
    path.write_text(path.read_text().replace("market_ring_slots", "event_ring_slots = 128\nmarket_ring_slots"))
    made = ObservedSet(load_config(path))
    yield made
    made.close()


def watch_of(observed: ObservedSet) -> OrderWatch:
    places = {observed.identifier: ("binance:BTCUSDT", 100.0, 1000.0)}
    return OrderWatch(observed.instance.segment("binance.events"), observed.instance.number, {1: "mm"}, places.get)


@pytest.fixture
def watch(observed: ObservedSet) -> OrderWatch:
    return watch_of(observed)


def test_an_order_is_what_its_newest_event_says(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.SENT, OrderState.PENDING_NEW)
    watch.poll()
    assert watch.orders()[0].state == "PENDING_NEW"
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.fill(1, b"t1")
    watch.poll()
    (line,) = watch.orders()
    assert (line.strategy, line.instrument, line.side, line.price, line.quantity) == (
        "mm", "binance:BTCUSDT", "BUY", 100.0, 0.02,
    )  # fmt: skip
    assert (line.state, line.unknown) == ("PARTIALLY_FILLED", False)
    (fill,) = watch.fills()
    assert (fill.price, fill.quantity, fill.liquidity, fill.trade_id) == (100.1, 0.005, "MAKER", "t1")
    assert fill.time == "2023-11-14T22:13:20.000+00:00"


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (EventType.CANCELED, OrderState.CANCELED),
        (EventType.EXPIRED, OrderState.EXPIRED),
        (EventType.REJECTED, OrderState.REJECTED),
        (EventType.STATUS, OrderState.FILLED),
        (EventType.FILL, OrderState.FILLED),
    ],
)
def test_what_is_over_is_forgotten(
    observed: ObservedSet, watch: OrderWatch, kind: EventType, state: OrderState
) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.event(1, kind, state)
    watch.poll()
    assert watch.orders() == []
    assert watch._orders == {}


def test_an_unknown_outcome_stands_until_the_next_word(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.UNKNOWN, OrderState.UNKNOWN)
    observed.event(2, EventType.ACCEPTED, OrderState.OPEN)
    observed.event(2, EventType.UNKNOWN, OrderState.OPEN, request_type=int(RequestType.CANCEL))
    watch.poll()
    assert [line.unknown for line in watch.orders()] == [True, True]
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.event(2, EventType.CANCELED, OrderState.CANCELED)
    watch.poll()
    assert [line.unknown for line in watch.orders()] == [False]


def test_a_refused_query_ends_no_order_and_a_refusal_begins_none(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.event(1, EventType.REJECTED, OrderState.OPEN, request_type=int(RequestType.QUERY))
    observed.event(2, EventType.CANCEL_REJECTED, OrderState.NONE, request_type=int(RequestType.CANCEL))
    watch.poll()
    assert len(watch.orders()) == 1


def test_orders_of_others_are_not_ours(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.STATUS, OrderState.OPEN, client_order_id=17)
    watch.poll()
    assert watch.orders() == []


def test_a_bracket_ends_what_it_does_not_name_and_tells_no_fill_twice(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.event(2, EventType.ACCEPTED, OrderState.OPEN)
    observed.fill(1, b"t1")
    observed.bracket(RecoveryPhase.BEGIN)
    observed.event(1, EventType.STATUS, OrderState.PARTIALLY_FILLED)
    observed.fill(1, b"t1")
    watch.poll()
    assert len(watch.orders()) == 2  # until the bracket is whole
    observed.bracket(RecoveryPhase.END)
    watch.poll()
    assert [line.state for line in watch.orders()] == ["PARTIALLY_FILLED"]
    assert len(watch.fills()) == 1


def test_one_that_comes_later_sees_what_the_ring_still_holds(observed: ObservedSet) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    watch = watch_of(observed)
    watch.poll()
    assert (len(watch.orders()), watch.complete) == (1, True)


def lap(observed: ObservedSet) -> None:
    for _ in range(300):
        observed.event(7, EventType.ACCEPTED, OrderState.OPEN)
        assert observed.trader.poll() is not None
        observed.trader.commit()


def test_missed_events_are_said_until_a_bracket_has_told_all(observed: ObservedSet, watch: OrderWatch) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    watch.poll()
    assert observed.trader.poll() is not None
    observed.trader.commit()
    lap(observed)
    watch.poll()
    assert not watch.complete
    assert not watch_of(observed).complete
    for phase in BRACKET:
        observed.bracket(phase)
    watch.poll()
    assert (watch.complete, watch.orders()) == (True, [])


def test_only_the_last_fills_are_kept(observed: ObservedSet, watch: OrderWatch) -> None:
    for number in range(FILLS_KEPT + 5):
        observed.fill(1, f"t{number}".encode())
        watch.poll()
    assert [fill.trade_id for fill in watch.fills()] == [f"t{FILLS_KEPT + 4 - place}" for place in range(FILLS_KEPT)]


LIVE = [OrderState.PENDING_NEW, OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.UNKNOWN]
ENDS = [OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED]


def test_open_orders_are_those_whose_last_event_left_them_open(observed: ObservedSet) -> None:
    watch = watch_of(observed)
    told: dict[int, OrderState] = {}

    @given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(LIVE + ENDS)), max_size=20))
    def run(events: list[tuple[int, OrderState]]) -> None:
        for number, state in events:
            observed.event(number, EventType.STATUS, state)
            assert observed.trader.poll() is not None
            observed.trader.commit()
            watch.poll()
            told[number] = state
        expected = sorted(state.name for state in told.values() if state in LIVE)
        assert sorted(line.state for line in watch.orders()) == expected

    run()
