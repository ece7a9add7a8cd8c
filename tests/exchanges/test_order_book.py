"""The fast book against a plain dictionary of prices, which is slow and plainly right."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exchanges.order_book import OrderBook

Levels = list[tuple[int, int]]


class PlainBook:
    """The oracle: two dictionaries, sorted when asked."""

    def __init__(self, cap: int) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.cap = cap
        self.dropped = 0
        self.unknown = 0

    def apply(self, bids: Levels, asks: Levels) -> None:
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                    if len(side) > self.cap:
                        del side[min(side) if side is self.sides[0] else max(side)]
                        self.dropped += 1
                elif side.pop(price, None) is None:
                    self.unknown += 1

    def snapshot(self, bids: Levels, asks: Levels) -> None:
        for side in self.sides:
            side.clear()
        self.apply(bids[::-1], asks[::-1])

    @property
    def bids(self) -> Levels:
        return sorted(self.sides[0].items(), reverse=True)

    @property
    def asks(self) -> Levels:
        return sorted(self.sides[1].items())


prices = st.integers(1, 60)
levels = st.lists(st.tuples(prices, st.integers(0, 3)), max_size=30)


class BookMachine(RuleBasedStateMachine):
    CAP = 12

    def __init__(self) -> None:
        super().__init__()
        self.book = OrderBook(2, 3, cap=self.CAP)
        self.plain = PlainBook(self.CAP)

    @rule(bids=levels, asks=levels)
    def delta(self, bids: Levels, asks: Levels) -> None:
        self.book.apply_delta(bids, asks)
        self.plain.apply(bids, asks)

    @rule(bids=levels, asks=levels)
    def snapshot(self, bids: Levels, asks: Levels) -> None:
        self.book.apply_snapshot(bids, asks)
        self.plain.snapshot(bids, asks)

    @rule()
    def clear(self) -> None:
        self.book.clear()
        self.plain.snapshot([], [])

    @invariant()
    def both_hold_the_same(self) -> None:
        bids, asks = self.plain.bids, self.plain.asks
        assert self.book.bids() == bids
        assert self.book.asks() == asks
        assert self.book.best_bid == (bids[0] if bids else None)
        assert self.book.best_ask == (asks[0] if asks else None)
        assert self.book.crossed == bool(bids and asks and bids[0][0] >= asks[0][0])
        assert len(self.book) == len(bids) + len(asks)
        assert self.book.dropped_levels == self.plain.dropped
        assert self.book.unknown_removals == self.plain.unknown


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    price_range=st.sampled_from([50, 1_000, 5_000, 10**12]),
    removals=st.sampled_from([0.1, 0.5, 0.9]),
    cap=st.sampled_from([130, 700, 20_000]),
)
def test_large_books_agree_with_the_plain_one(seed: int, price_range: int, removals: float, cap: int) -> None:
    """Large and wide enough that blocks fill, split, thin out and join, in price order and at random."""
    chance = random.Random(seed)
    book, plain = OrderBook(2, 3, cap=cap), PlainBook(cap)
    for turn in range(60):
        low = chance.randint(1, price_range)
        part = [
            (chance.randint(low, price_range), 0 if chance.random() < removals else chance.randint(1, 10**12))
            for _ in range(chance.randint(1, 120))
        ]
        if turn % 2:
            part.sort(reverse=turn % 4 == 1)
        book.apply_delta(part, part)
        plain.apply(part, part)
        assert len(book) == len(plain.sides[0]) + len(plain.sides[1])
    assert book.bids() == plain.bids
    assert book.asks() == plain.asks
    assert (book.dropped_levels, book.unknown_removals) == (plain.dropped, plain.unknown)
    for price in [*plain.sides[0], *plain.sides[1]]:
        book.apply_delta([(price, 0)], [(price, 0)])
    assert len(book) == 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    step=st.sampled_from([1, 7, 50, 10_000, 2**24, 10**9]),
    stray=st.sampled_from([0.0, 0.001, 0.05]),
    cap=st.sampled_from([40, 20_000]),
)
def test_a_market_that_wanders_far_and_back_agrees_with_the_plain_one(
    seed: int, step: int, stray: float, cap: int
) -> None:
    """Levels enter and leave the ladder at both ends, and now and then a price is finer than all before it."""
    chance = random.Random(seed)
    book, plain = OrderBook(2, 3, cap=cap), PlainBook(cap)
    touch = 100_000
    for _ in range(120):
        touch += chance.choice([-3_000, -200, -1, 0, 1, 200, 3_000])
        part = []
        for _ in range(chance.randint(0, 60)):
            spread = chance.choice([10, 300, 9_000])
            price = (touch + chance.randint(-spread, spread)) * step + (chance.random() < stray)
            part.append((price, chance.choice([0, 0, 1, 2, 10**12])))
        # What is known, so that removals find something.
        part += [(known, 0) for known in chance.sample(sorted(plain.sides[0]), min(5, len(plain.sides[0])))]
        book.apply_delta(part, part)
        plain.apply(part, part)
        assert book.best_bid == (plain.bids[0] if plain.sides[0] else None)
        assert book.best_ask == (plain.asks[0] if plain.sides[1] else None)
    assert book.bids() == plain.bids
    assert book.asks() == plain.asks
    assert book.bids(3) == plain.bids[:3]
    assert (book.dropped_levels, book.unknown_removals) == (plain.dropped, plain.unknown)


@pytest.mark.parametrize("step", [1, -1])
def test_a_book_filled_and_emptied_from_either_end_stays_in_order(step: int) -> None:
    book = OrderBook(0, 0)
    prices = range(1, 2001)[::step]
    for price in prices:
        book.apply_delta([(price, price)], [(price, price)])
    assert book.bids() == [(price, price) for price in range(2000, 0, -1)]
    assert book.asks(3) == [(1, 1), (2, 2), (3, 3)]
    for price in prices:
        assert book.best_bid == ((2000, 2000) if step == 1 else (price, price))
        book.apply_delta([(price, 0)], [(price, 0)])
    assert len(book) == 0
    assert (book.best_bid, book.best_ask) == (None, None)


def test_top_levels_come_best_first_on_both_sides() -> None:
    book = OrderBook(2, 3)
    book.apply_delta([(99, 1), (100, 2), (98, 3)], [(103, 1), (101, 2), (102, 3)])
    assert book.bids(2) == [(100, 2), (99, 1)]
    assert book.asks(2) == [(101, 2), (102, 3)]


def test_removing_an_unknown_level_is_normal_and_counted() -> None:
    book = OrderBook(2, 3)
    book.apply_delta([(100, 0)], [(101, 0), (102, 0)])
    assert len(book) == 0
    assert book.unknown_removals == 3


def test_the_far_levels_go_when_a_side_is_full() -> None:
    book = OrderBook(0, 0, cap=3)
    book.apply_delta([(10, 1), (11, 1), (12, 1)], [(20, 1), (21, 1), (22, 1)])
    book.apply_delta([(9, 1), (13, 1)], [(23, 1), (19, 1)])
    assert book.bids() == [(13, 1), (12, 1), (11, 1)]
    assert book.asks() == [(19, 1), (20, 1), (21, 1)]
    assert book.dropped_levels == 4


@pytest.mark.parametrize("bad", [("x", 1), (1, "x"), (1, 2, 3), (2**63, 1), (10**18 + 1, 1), (1, -1), 7])
def test_a_delta_with_a_bad_level_changes_nothing(bad: object) -> None:
    book = OrderBook(2, 3)
    book.apply_delta([(100, 1)], [(101, 1)])
    with pytest.raises((TypeError, ValueError, OverflowError)):
        book.apply_delta([(99, 5)], [bad])  # type: ignore[list-item]
    with pytest.raises((TypeError, ValueError, OverflowError)):
        book.apply_snapshot([bad], [(102, 5)])  # type: ignore[list-item]
    assert book.bids() == [(100, 1)]
    assert book.asks() == [(101, 1)]


def test_scales_and_caps_outside_their_range_are_refused() -> None:
    for arguments in ((19, 0), (0, -1), (0, 0, 0)):
        with pytest.raises(ValueError, match="must be"):
            OrderBook(*arguments)
