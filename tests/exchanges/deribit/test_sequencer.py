"""The venue's continuity rule, step by step, and against a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchanges.book_step import Step
from exchanges.deribit.sequencer import BookSequencer
from exchanges.market_events import BookDelta, BookSnapshot
from exchanges.order_book import OrderBook


class Target:
    def __init__(self) -> None:
        self.book = OrderBook(0, 0)
        self.live = False
        self.update_id = 0


def snapshot(update_id: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> BookSnapshot:
    return BookSnapshot("X", update_id, 1, bids, asks)


def change(previous: int, update_id: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> BookDelta:
    return BookDelta("X", update_id, update_id, previous, 1, bids, asks)


def begun(update_id: int = 100) -> tuple[Target, BookSequencer]:
    target = Target()
    sequencer = BookSequencer(target)
    assert sequencer.on_snapshot(snapshot(update_id, [(10, 5)], [(12, 5)])) is Step.LIVE
    return target, sequencer


def test_changes_before_the_snapshot_are_of_no_use() -> None:
    target = Target()
    sequencer = BookSequencer(target)
    assert sequencer.needs_snapshot
    assert sequencer.on_delta(change(1, 2, [(10, 1)], [])) is Step.WAITING
    assert sequencer.needs_snapshot
    assert sequencer.on_snapshot(snapshot(5, [(9, 1)], [])) is Step.LIVE
    assert target.live
    assert target.book.bids() == [(9, 1)]


def test_change_ids_jump_and_only_the_previous_one_counts() -> None:
    target, sequencer = begun()
    assert sequencer.on_delta(change(100, 39_906, [(10, 0), (9, 3)], [(12, 6)])) is Step.APPLIED
    assert sequencer.on_delta(change(39_906, 39_907, [], [(13, 1)])) is Step.APPLIED
    assert (target.update_id, target.book.bids(), target.book.asks()) == (39_907, [(9, 3)], [(12, 6), (13, 1)])


def test_a_gap_voids_the_book_until_the_next_snapshot() -> None:
    target, sequencer = begun()
    assert sequencer.on_delta(change(101, 102, [(9, 1)], [])) is Step.GAP
    assert sequencer.needs_snapshot
    assert sequencer.resets == 1
    assert target.book.bids() == [(10, 5)]  # nothing was applied
    assert sequencer.on_delta(change(100, 101, [], [])) is Step.WAITING  # also what would have followed
    assert sequencer.on_snapshot(snapshot(200, [(8, 1)], [(9, 1)])) is Step.LIVE
    assert sequencer.on_delta(change(200, 210, [], [(9, 2)])) is Step.APPLIED


def test_the_last_change_again_is_a_repetition_and_an_older_one_a_gap() -> None:
    target, sequencer = begun()
    first, second = change(100, 110, [(9, 1)], []), change(110, 120, [(9, 2)], [])
    assert [sequencer.on_delta(delta) for delta in (first, second, second)] == [
        Step.APPLIED, Step.APPLIED, Step.REPEATED,
    ]  # fmt: skip
    assert target.book.bids() == [(10, 5), (9, 2)]
    assert sequencer.on_delta(first) is Step.GAP


def test_a_snapshot_in_between_is_the_venues_word_on_the_whole_book() -> None:
    target, sequencer = begun()
    assert sequencer.on_snapshot(snapshot(500, [(7, 7)], [])) is Step.LIVE
    assert (target.update_id, target.book.bids(), target.book.asks()) == (500, [(7, 7)], [])


levels = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), max_size=6)


@given(
    st.lists(
        st.tuples(levels, st.integers(1, 9), st.sampled_from(["pass", "pass", "pass", "drop", "twice"])), max_size=40
    )
)
def test_a_live_book_is_always_the_venues(history: list[tuple[list[tuple[int, int]], int, str]]) -> None:
    """Messages are lost and doubled at will: the book is right or it is not live."""
    target, sequencer = begun()
    venue = {10: 5}
    update_id = 100
    for bids, jump, fate in history:
        previous, update_id = update_id, update_id + jump
        for price, quantity in bids:
            venue[price] = quantity
        delta = change(previous, update_id, bids, [])
        for _ in range({"pass": 1, "drop": 0, "twice": 2}[fate]):
            step = sequencer.on_delta(delta)
            assert (step is Step.GAP) == (sequencer.needs_snapshot and step is not Step.WAITING)
        if fate != "drop":
            expected = sorted(((p, q) for p, q in venue.items() if q), reverse=True)
            assert not target.live or target.book.bids() == expected
