"""The venue's rule of when a book is right, against a plain book that is told the truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.book_step import Step
from exchanges.grvt.sequencer import BookSequencer
from exchanges.market_events import BookDelta, BookSnapshot
from exchanges.order_book import OrderBook


class Target:
    def __init__(self) -> None:
        self.book = OrderBook(1, 3)
        self.live = False
        self.update_id = 0


def snapshot(bids=((100, 5),), asks=((101, 5),)) -> BookSnapshot:
    return BookSnapshot("X", 0, 1, list(bids), list(asks))


def delta(sequence: int, previous: int | None = None, bids=(), asks=()) -> BookDelta:
    before = sequence - 1 if previous is None else previous
    return BookDelta("X", sequence, sequence, before, 1, list(bids), list(asks))


def begun(check_gaps: bool = True, first: int | None = None) -> tuple[Target, BookSequencer]:
    target = Target()
    sequencer = BookSequencer(target, check_gaps=check_gaps)
    if first is not None:
        sequencer.begins_at(first)
    assert sequencer.on_snapshot(snapshot()) is Step.LIVE
    return target, sequencer


def test_deltas_before_the_snapshot_are_of_no_use() -> None:
    target = Target()
    sequencer = BookSequencer(target)
    assert sequencer.needs_snapshot
    assert sequencer.on_delta(delta(7)) is Step.WAITING
    assert not target.live


def test_the_first_delta_is_taken_whatever_its_predecessor_and_then_they_must_follow() -> None:
    target, sequencer = begun()
    assert sequencer.on_delta(delta(36481, bids=[(100, 0), (99, 1)])) is Step.APPLIED
    assert target.book.best_bid == (99, 1)
    assert target.update_id == 36481
    assert sequencer.on_delta(delta(36482)) is Step.APPLIED
    assert sequencer.on_delta(delta(36482)) is Step.REPEATED
    assert sequencer.on_delta(delta(36484)) is Step.GAP
    assert not target.live
    assert sequencer.needs_snapshot
    assert sequencer.on_delta(delta(36485, 36484)) is Step.WAITING
    assert sequencer.on_snapshot(snapshot()) is Step.LIVE


def test_what_the_compiled_path_applied_counts_as_well() -> None:
    target, sequencer = begun(first=5)
    target.update_id = 6  # it took 5 and 6 by itself
    assert sequencer.on_delta(delta(8)) is Step.GAP
    target, sequencer = begun(first=5)
    target.update_id = 6
    assert sequencer.on_delta(delta(6)) is Step.REPEATED


def test_the_subscription_says_where_the_deltas_begin() -> None:
    target, sequencer = begun(first=36481)
    assert target.update_id == 36480, "so that the compiled path follows from the first delta on"
    assert sequencer.on_delta(delta(36481)) is Step.APPLIED
    _, late = begun(first=36481)
    assert late.on_delta(delta(36480)) in (Step.GAP, Step.REPEATED)


def test_a_lower_number_is_a_gateway_that_began_anew() -> None:
    _, sequencer = begun()
    sequencer.on_delta(delta(36481))
    assert sequencer.on_delta(delta(3)) is Step.GAP


def test_without_the_check_what_does_not_follow_is_applied_and_counted() -> None:
    target, sequencer = begun(check_gaps=False)
    for sequence, previous in ((10, 9), (15, 14), (15, 14), (17, 16)):
        sequencer.on_delta(delta(sequence, previous, bids=[(90 + sequence % 10, 1)]))
    assert target.live
    assert sequencer.unchecked == 2
    assert target.update_id == 17


def test_a_snapshot_of_a_live_book_begins_it_anew() -> None:
    target, sequencer = begun()
    sequencer.on_delta(delta(5))
    assert sequencer.on_snapshot(snapshot(bids=[(50, 1)])) is Step.LIVE
    assert target.book.bids() == [(50, 1)]
    assert sequencer.on_delta(delta(9)) is Step.APPLIED


def test_an_interruption_needs_a_snapshot() -> None:
    target, sequencer = begun()
    sequencer.reset()
    assert not target.live
    assert sequencer.on_delta(delta(1)) is Step.WAITING


changes = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=4)


@given(
    st.lists(st.tuples(changes, changes), min_size=1, max_size=30),
    st.lists(st.sampled_from(["keep", "drop", "repeat", "restart"]), min_size=30, max_size=30),
    st.integers(1, 10**6),
)
def test_a_live_book_is_always_the_venues_whatever_the_line_does(steps, faults, first) -> None:
    """The line loses, repeats and renumbers; at a gap the client subscribes, so it gets a snapshot."""
    venue, target = OrderBook(1, 3), Target()
    sequencer = BookSequencer(target)
    sequence = first

    def whole() -> BookSnapshot:
        return BookSnapshot("X", 0, 1, venue.bids(), venue.asks())

    assert sequencer.on_snapshot(whole()) is Step.LIVE
    for (bids, asks), fault in zip(steps, faults, strict=False):
        bids, asks = [(price, size) for price, size in bids], [(price + 100, size) for price, size in asks]
        venue.apply_delta(bids, asks)
        previous, sequence = sequence, sequence + 1
        if fault == "restart":
            previous, sequence = 0, 1
        if fault == "drop":
            sequencer.on_delta(delta(sequence + 1, sequence))  # the next one, which changes nothing
            sequence += 1
        else:
            for _ in range(2 if fault == "repeat" else 1):
                sequencer.on_delta(delta(sequence, previous, bids, asks))
        if target.live and fault in ("keep", "repeat"):
            assert target.book.bids() == venue.bids()
            assert target.book.asks() == venue.asks()
        if not target.live or target.book.bids() != venue.bids() or target.book.asks() != venue.asks():
            if target.live:  # only the very first delta of a subscription cannot be known to be missing
                sequencer.reset()
            assert sequencer.on_snapshot(whole()) is Step.LIVE


@pytest.mark.parametrize("first", [None, 5])
def test_a_repetition_of_the_snapshots_number_is_no_delta_before_it(first) -> None:
    target, sequencer = begun(first=first)
    assert target.live
    assert sequencer.on_delta(delta(5)) is Step.APPLIED
