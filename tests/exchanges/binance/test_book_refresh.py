"""A live book and a later snapshot of the venue: what is filled in, what is refused, what is told."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance import book_refresh
from exchanges.binance.book_refresh import ALL_PRICES, BookRefresh, Refresh
from exchanges.market_events import BookDelta, BookSnapshot, Levels
from exchanges.order_book import OrderBook

DEPTH = 5
"""Levels a side of a snapshot here."""


@pytest.fixture(autouse=True)
def _shallow_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_refresh, "SNAPSHOT_LIMIT", DEPTH)


@dataclass
class Target:
    book: OrderBook = field(default_factory=lambda: OrderBook(0, 0))
    live: bool = True
    update_id: int = 100
    tapped: bool = False


class Venue:
    """The venue's whole book; bids below 1000, asks above."""

    def __init__(self) -> None:
        self.bids = {1000 - n: 10 + n for n in range(1, 21)}
        self.asks = {1000 + n: 10 + n for n in range(1, 21)}
        self.update_id = 100

    def snapshot(self, update_id: int | None = None) -> BookSnapshot:
        bids = sorted(self.bids.items(), reverse=True)[:DEPTH]
        return BookSnapshot("S", update_id or self.update_id, 0, bids, sorted(self.asks.items())[:DEPTH])

    def change(self, bids: Levels, asks: Levels) -> BookDelta:
        before, self.update_id = self.update_id, self.update_id + 10
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                side[price] = quantity
                if not quantity:
                    del side[price]
        return BookDelta("S", before + 3, self.update_id, before, 0, bids, asks)


class Ours:
    """A book built from the venue's snapshot, and its refresh."""

    def __init__(self, venue: Venue) -> None:
        self.target = Target()
        self.refresh = BookRefresh(self.target)
        first = venue.snapshot()
        self.target.book.apply_snapshot(first.bids, first.asks)
        self.refresh.on_first_snapshot(first)

    def apply(self, delta: BookDelta) -> Refresh:
        self.target.book.apply_delta(delta.bids, delta.asks)
        self.target.update_id = delta.last_update_id
        return self.refresh.on_applied(delta) if self.target.tapped else self.refresh.state

    def prices(self) -> tuple[list[int], list[int]]:
        return [price for price, _ in self.target.book.bids()], [price for price, _ in self.target.book.asks()]


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def ours(venue: Venue) -> Ours:
    return Ours(venue)


def fall(venue: Venue, ours: Ours, levels: int) -> None:
    """The price falls by so many levels: bids go, and nobody tells of the old ones behind."""
    for _ in range(levels):
        ours.apply(venue.change([(max(venue.bids), 0)], []))


def test_levels_that_no_snapshot_told_of_are_filled_in(venue: Venue, ours: Ours) -> None:
    fall(venue, ours, 3)
    assert ours.prices()[0] == [996, 995]  # five were known, three are gone
    ours.refresh.begin()
    assert ours.target.tapped
    assert ours.refresh.on_snapshot(venue.snapshot()) is Refresh.DONE
    assert ours.prices()[0] == [996, 995, 994, 993, 992]
    assert not ours.target.tapped
    assert ours.refresh.newest_range == (992, 1005)


def test_deltas_that_come_before_and_after_the_snapshot_are_taken_into_account(venue: Venue, ours: Ours) -> None:
    fall(venue, ours, 3)
    ours.refresh.begin()
    assert ours.apply(venue.change([(994, 77)], [])) is Refresh.WAITING
    taken = venue.snapshot()
    assert ours.apply(venue.change([(993, 0), (992, 5)], [(1001, 0)])) is Refresh.WAITING
    assert ours.refresh.on_snapshot(taken) is Refresh.DONE
    assert dict(ours.target.book.bids())[994] == 77
    assert ours.prices() == ([996, 995, 994, 992], [1002, 1003, 1004, 1005])


def test_a_snapshot_ahead_of_the_book_waits_for_the_deltas_that_reach_it(venue: Venue, ours: Ours) -> None:
    ours.refresh.begin()
    late = [venue.change([(998, 5)], []), venue.change([(997, 0)], [])]
    assert ours.refresh.on_snapshot(venue.snapshot()) is Refresh.WAITING
    assert [ours.apply(delta) for delta in late] == [Refresh.WAITING, Refresh.DONE]


def test_a_snapshot_from_inside_a_delta_meets_it(venue: Venue, ours: Ours) -> None:
    ours.refresh.begin()
    ours.apply(venue.change([(998, 5)], []))
    assert ours.refresh.on_snapshot(venue.snapshot(update_id=105)) is Refresh.DONE


def test_a_snapshot_from_before_the_refresh_began_is_given_up(venue: Venue, ours: Ours) -> None:
    old = venue.snapshot()
    ours.apply(venue.change([(998, 5)], []))
    ours.refresh.begin()
    assert ours.refresh.on_snapshot(old) is Refresh.GIVEN_UP
    assert not ours.target.tapped


def test_a_delta_that_went_another_way_gives_the_refresh_up(venue: Venue, ours: Ours) -> None:
    ours.refresh.begin()
    venue.change([(998, 5)], [])  # applied by the declared decoder, so not told here
    assert ours.apply(venue.change([(998, 6)], [])) is Refresh.GIVEN_UP


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(999, 1)], []),  # another quantity
        ([(999, 0)], []),  # a level we lack in a range that we knew
        ([], [(1003, 0)]),
        ([], [(1002, 99)]),
    ],
)
def test_a_book_that_is_not_the_venues_is_told_and_left_as_it_is(
    venue: Venue, ours: Ours, bids: Levels, asks: Levels
) -> None:
    ours.target.book.apply_delta(bids, asks)
    before = ours.prices()
    ours.refresh.begin()
    assert ours.refresh.on_snapshot(venue.snapshot()) is Refresh.DIFFERENT
    assert ours.prices() == before


def test_a_level_that_the_venue_does_not_have_is_a_difference(venue: Venue, ours: Ours) -> None:
    del venue.bids[997]
    ours.refresh.begin()
    assert ours.refresh.on_snapshot(venue.snapshot()) is Refresh.DIFFERENT


def test_a_side_with_few_levels_is_known_to_its_end(venue: Venue) -> None:
    venue.bids = {999: 1}
    ours = Ours(venue)
    assert ours.refresh.newest_range == (0, 1005)
    ours.target.book.apply_delta([(500, 3)], [])
    ours.refresh.begin()
    assert ours.refresh.on_snapshot(venue.snapshot()) is Refresh.DIFFERENT
    assert ALL_PRICES > 1005


def test_without_a_snapshot_the_deltas_are_not_kept_for_ever(
    venue: Venue, ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_refresh, "KEPT_LIMIT", 2)
    ours.refresh.begin()
    states = [ours.apply(venue.change([(998, 20 + n)], [])) for n in range(3)]
    assert states == [Refresh.WAITING, Refresh.WAITING, Refresh.GIVEN_UP]


@given(st.integers(0, 2**32))
def test_a_book_that_missed_nothing_never_differs_and_is_whole_within_the_snapshots_range(seed: int) -> None:
    chance = random.Random(seed)
    venue = Venue()
    ours = Ours(venue)

    def move() -> None:
        side, low, high = chance.choice(((venue.bids, 960, 999), (venue.asks, 1001, 1040)))
        price = chance.choice(sorted(side)) if side and chance.random() < 0.6 else chance.randint(low, high)
        levels = [(price, 0 if price in side and len(side) > 6 and chance.random() < 0.7 else chance.randint(1, 99))]
        ours.apply(venue.change(levels if side is venue.bids else [], levels if side is venue.asks else []))

    for _ in range(6):
        for _ in range(chance.randint(0, 12)):
            move()
        ours.refresh.begin()
        for _ in range(chance.randint(0, 3)):
            move()
        snapshot = venue.snapshot()
        for _ in range(chance.randint(0, 3)):
            move()
        assert ours.refresh.on_snapshot(snapshot) is Refresh.DONE
        lowest, highest = ours.refresh.newest_range
        inside = {price: quantity for price, quantity in ours.target.book.bids() if price >= lowest}
        assert inside == {price: quantity for price, quantity in venue.bids.items() if price >= lowest}
        inside = {price: quantity for price, quantity in ours.target.book.asks() if price <= highest}
        assert inside == {price: quantity for price, quantity in venue.asks.items() if price <= highest}
