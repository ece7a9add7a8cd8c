"""The venue's numbered steps, one table each, and any order of events against a plain replay."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.binance.sequencer import BookSequencer
from exchanges.book_step import Step
from exchanges.market_events import BookDelta, BookSnapshot
from exchanges.order_book import OrderBook


@dataclass
class Target:
    book: OrderBook = field(default_factory=lambda: OrderBook(0, 0))
    live: bool = False
    update_id: int = 0


def delta(first: int, last: int, previous: int, price: int | None = None) -> BookDelta:
    """Bid at `price`, by default the update id: an applied delta shows in the book."""
    return BookDelta("S", first, last, previous, 0, [(price or last, last)], [])


def snapshot(update_id: int) -> BookSnapshot:
    return BookSnapshot("S", update_id, 0, [(1, update_id)], [(10**9, 1)])


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def sequencer(target: Target) -> BookSequencer:
    return BookSequencer(target)


def prices(target: Target) -> list[int]:
    return sorted(price for price, _ in target.book.bids())


def test_step_1_deltas_are_kept_until_there_is_a_snapshot(sequencer: BookSequencer, target: Target) -> None:
    assert sequencer.needs_snapshot
    assert sequencer.on_delta(delta(10, 20, 9)) is Step.BUFFERED
    assert sequencer.on_delta(delta(25, 30, 20)) is Step.BUFFERED
    assert sequencer.buffered == 2
    assert not target.live
    assert len(target.book) == 0


# buffered deltas as (U, u, pu); L; what comes of it; what the book holds then
STEPS_3_AND_4 = [
    ("L inside the first", [(10, 20, 9)], 15, Step.LIVE, [1, 20]),
    ("L inside the second, the first is dropped", [(10, 20, 9), (25, 30, 20)], 27, Step.LIVE, [1, 30]),
    ("L is u of the first: it is still applied", [(10, 20, 9), (25, 30, 20)], 20, Step.LIVE, [1, 20, 30]),
    ("L is U of the first", [(10, 20, 9)], 10, Step.LIVE, [1, 20]),
    ("L before all", [(10, 20, 9)], 9, Step.TOO_OLD, []),
    ("L between two: no delta reaches it", [(10, 20, 9), (25, 30, 20)], 22, Step.TOO_OLD, []),
    ("L behind all", [(10, 20, 9)], 21, Step.WAITING, []),
    ("nothing buffered", [], 5, Step.WAITING, []),
]


@pytest.mark.parametrize(("deltas", "last", "step", "book"), [row[1:] for row in STEPS_3_AND_4], ids=lambda v: str(v))
def test_steps_3_and_4_the_snapshot_meets_the_buffer(
    sequencer: BookSequencer, target: Target, deltas: list[tuple[int, int, int]], last: int, step: Step, book: list[int]
) -> None:
    for one in deltas:
        sequencer.on_delta(delta(*one))
    assert sequencer.on_snapshot(snapshot(last)) is step
    assert target.live == (step is Step.LIVE)
    assert prices(target) == book
    if step is Step.LIVE:
        assert target.update_id == deltas[-1][1]
    assert sequencer.needs_snapshot == (step is Step.TOO_OLD)


def test_step_4_a_snapshot_ahead_of_the_stream_waits_for_the_delta_that_reaches_it(
    sequencer: BookSequencer, target: Target
) -> None:
    sequencer.on_delta(delta(10, 20, 9))
    assert sequencer.on_snapshot(snapshot(35)) is Step.WAITING
    assert not sequencer.needs_snapshot
    assert sequencer.on_delta(delta(21, 30, 20)) is Step.WAITING
    assert sequencer.on_delta(delta(31, 40, 30)) is Step.LIVE
    assert prices(target) == [1, 40]


def test_step_4_a_waiting_snapshot_that_no_delta_reaches_is_too_old(sequencer: BookSequencer) -> None:
    sequencer.on_snapshot(snapshot(35))
    assert sequencer.on_delta(delta(40, 50, 30)) is Step.TOO_OLD
    assert sequencer.needs_snapshot
    assert sequencer.on_snapshot(snapshot(45)) is Step.LIVE


def live(sequencer: BookSequencer) -> None:
    sequencer.on_delta(delta(10, 20, 9))
    sequencer.on_snapshot(snapshot(15))


def test_step_5_a_delta_that_names_the_last_one_is_applied_whatever_its_first_id(
    sequencer: BookSequencer, target: Target
) -> None:
    live(sequencer)
    assert sequencer.on_delta(delta(5_000, 6_000, 20)) is Step.APPLIED
    assert target.update_id == 6_000


@pytest.mark.parametrize("previous", [19, 21, 0])
def test_step_5_any_other_delta_is_a_gap_and_begins_the_next_buffer(
    sequencer: BookSequencer, target: Target, previous: int
) -> None:
    live(sequencer)
    assert sequencer.on_delta(delta(25, 30, previous)) is Step.GAP
    assert not target.live
    assert prices(target) == [1, 20]  # untouched: it is the caller's to withdraw
    assert sequencer.needs_snapshot
    assert sequencer.on_delta(delta(31, 40, 30)) is Step.BUFFERED
    assert sequencer.on_snapshot(snapshot(28)) is Step.LIVE
    assert prices(target) == [1, 30, 40]


def test_the_last_delta_sent_again_is_no_gap(sequencer: BookSequencer, target: Target) -> None:
    live(sequencer)
    assert sequencer.on_delta(delta(10, 20, 9)) is Step.REPEATED
    assert target.live
    assert sequencer.on_delta(delta(21, 30, 20)) is Step.APPLIED
    assert sequencer.on_delta(delta(10, 20, 9)) is Step.GAP  # an older one: something is out of order


def test_while_two_connections_overlap_everything_older_is_a_repetition(
    sequencer: BookSequencer, target: Target
) -> None:
    live(sequencer)
    sequencer.on_delta(delta(21, 30, 20))
    sequencer.overlapping = True
    assert sequencer.on_delta(delta(10, 20, 9)) is Step.REPEATED
    assert sequencer.on_delta(delta(31, 40, 30)) is Step.APPLIED


def test_while_two_connections_overlap_the_faster_one_waits_for_the_slower(
    sequencer: BookSequencer, target: Target
) -> None:
    live(sequencer)
    sequencer.overlapping = True
    assert sequencer.on_delta(delta(31, 40, 30)) is Step.AHEAD
    assert sequencer.on_delta(delta(41, 50, 40)) is Step.AHEAD
    assert target.update_id == 20
    assert sequencer.on_delta(delta(21, 30, 20)) is Step.APPLIED
    assert sequencer.on_delta(delta(31, 40, 30)) is Step.APPLIED  # the slower one's copy finds both applied
    assert (target.update_id, prices(target)) == (50, [1, 20, 30, 40, 50])


def test_what_came_ahead_is_not_lost_when_the_slower_connection_ends(sequencer: BookSequencer, target: Target) -> None:
    live(sequencer)
    sequencer.overlapping = True
    sequencer.on_delta(delta(31, 40, 30))
    target.book.apply_delta([(30, 30)], [])  # the compiled path takes the slower one's delta by itself
    target.update_id = 30
    sequencer.overlapping = False
    assert sequencer.on_delta(delta(41, 50, 40)) is Step.APPLIED
    assert prices(target) == [1, 20, 30, 40, 50]


def test_what_stays_missing_after_an_overlap_is_a_gap(sequencer: BookSequencer, target: Target) -> None:
    live(sequencer)
    sequencer.overlapping = True
    assert sequencer.on_delta(delta(45, 50, 44)) is Step.AHEAD
    sequencer.overlapping = False
    assert sequencer.on_delta(delta(51, 60, 50)) is Step.GAP
    assert sequencer.on_snapshot(snapshot(55)) is Step.LIVE
    assert prices(target) == [1, 60]


@settings(max_examples=300)
@given(order=st.lists(st.booleans(), min_size=40, max_size=60), compiled=st.booleans())
def test_two_overlapping_connections_in_any_interleaving_make_one_book(order: list[bool], compiled: bool) -> None:
    """Both deliver batches 1..20 in order; `order` says whose turn it is. The compiled path applies what follows."""
    target = Target()
    sequencer = BookSequencer(target)
    live(sequencer)
    sequencer.overlapping = True
    at = [0, 0]
    for turn in order + [False] * 20 + [True] * 20:
        if at[turn] == 20:
            continue
        at[turn] += 1
        last = 20 + at[turn] * 10
        one = delta(last - 9, last, last - 10)
        if compiled and one.previous_update_id == target.update_id:
            target.book.apply_delta(one.bids, one.asks)
            target.update_id = last
        else:
            assert sequencer.on_delta(one) is not Step.GAP
        assert prices(target) == [1, *range(20, target.update_id + 1, 10)]
    sequencer.overlapping = False
    assert sequencer.on_delta(delta(221, 230, 220)) is Step.APPLIED


def test_a_gap_inside_the_buffer_begins_it_anew(sequencer: BookSequencer, target: Target) -> None:
    sequencer.on_delta(delta(10, 20, 9))
    sequencer.on_delta(delta(10, 20, 9))
    sequencer.on_delta(delta(35, 40, 30))
    assert sequencer.buffered == 1
    assert sequencer.on_snapshot(snapshot(15)) is Step.TOO_OLD
    assert sequencer.on_snapshot(snapshot(36)) is Step.LIVE
    assert prices(target) == [1, 40]


def test_a_reset_forgets_buffer_and_snapshot(sequencer: BookSequencer, target: Target) -> None:
    live(sequencer)
    sequencer.reset()
    assert not target.live
    assert sequencer.needs_snapshot
    assert sequencer.buffered == 0
    assert sequencer.resets == 1


def test_a_snapshot_that_nobody_waits_for_changes_nothing(sequencer: BookSequencer, target: Target) -> None:
    live(sequencer)
    assert sequencer.on_snapshot(snapshot(500)) is Step.REPEATED
    assert target.update_id == 20


def test_the_buffer_is_bounded_and_keeps_the_newest(target: Target) -> None:
    sequencer = BookSequencer(target, buffer_limit=3)
    for number in range(10):
        sequencer.on_delta(delta(number * 10 + 1, number * 10 + 10, number * 10))
    assert sequencer.buffered == 3
    assert sequencer.on_snapshot(snapshot(75)) is Step.LIVE
    assert target.update_id == 100


@settings(max_examples=300)
@given(
    lost=st.sets(st.integers(0, 39), max_size=6),
    doubled=st.sets(st.integers(0, 39), max_size=6),
    delay=st.integers(0, 6),
    start=st.integers(0, 10),
)
def test_whatever_is_lost_a_live_book_is_the_venues(lost: set[int], doubled: set[int], delay: int, start: int) -> None:
    """A venue of 40 batches that move one bid up; the client sees some, and gets snapshots late. Whenever its book is
    live, it is the venue's book as of its own update id."""
    target = Target()
    sequencer = BookSequencer(target)
    due: int | None = None
    taken = 0
    for number in range(start, 40):
        first, last = number * 10 + 1, number * 10 + 10
        if number not in lost:
            for _ in range(1 + (number in doubled)):
                sequencer.on_delta(BookDelta("S", first, last, number * 10, 0, [(last, 1), (last - 10, 0)], []))
                if target.live:
                    assert target.book.bids() == [(target.update_id, 1)]
        if sequencer.needs_snapshot and due is None:
            due, taken = number + delay, last - 5  # as of the middle of this batch, delivered later
        if due is not None and number >= due:
            due = None
            sequencer.on_snapshot(BookSnapshot("S", taken, 0, [(taken - 5, 1)], []))
            if target.live:
                assert target.book.bids() == [(target.update_id, 1)]
