"""`exchanges/simulator/book.py`: two sources of one book, newest wins."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from exchanges.simulator.book import MarketBook
from tests.exchanges.simulator.market import levels

D = Decimal


def book() -> MarketBook:
    made = MarketBook()
    made.load(levels("9.8:1 9.9:2"), levels("10.1:3 10.2:4"), 10)
    return made


def test_a_newer_best_level_hides_older_levels_before_it() -> None:
    made = book()
    assert made.set_top(D("9.7"), D("5"), D("10.2"), D("6"), 11)
    assert list(made.levels(True)) == [(D("9.7"), D("5"))]
    assert list(made.levels(False)) == [(D("10.2"), D("6"))]
    assert made.quantity_at(True, D("9.9")) == 0


def test_a_best_level_older_than_the_last_delta_is_ignored() -> None:
    made = book()
    made.apply_delta(levels("9.9:7"), [], 20)
    assert not made.set_top(D("9.5"), D("1"), D("10.5"), D("1"), 19)
    assert made.best_bid_quantity == 7


def test_a_delta_older_than_the_best_level_changes_levels_but_not_the_best() -> None:
    made = book()
    made.set_top(D("9.9"), D("9"), D("10.1"), D("3"), 30)
    made.apply_delta(levels("9.9:2 9.8:8"), [], 25)
    assert made.best_bid_quantity == 9
    assert made.quantity_at(True, D("9.8")) == 8
    assert made.top_levels(True, 2) == levels("9.9:2 9.8:8")


def test_a_removed_level_that_was_never_there_is_harmless() -> None:
    made = book()
    made.apply_delta(levels("5:0"), levels("50:0"), 20)
    assert made.top_levels(True, 5) == levels("9.9:2 9.8:1")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20), st.integers(0, 3)), max_size=60))
def test_the_sides_equal_a_plain_dictionary(changes: list[tuple[bool, int, int]]) -> None:
    made = MarketBook()
    plain: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
    for number, (is_bid, price, quantity) in enumerate(changes, start=1):
        level = [(D(price), D(quantity))]
        made.apply_delta(level if is_bid else [], [] if is_bid else level, number)
        plain[is_bid][D(price)] = D(quantity)
        plain[is_bid] = {p: q for p, q in plain[is_bid].items() if q}
        assert made.top_levels(True, 100) == sorted(plain[True].items(), reverse=True)
        assert made.top_levels(False, 100) == sorted(plain[False].items())
        assert list(made.levels(True)) == made.top_levels(True, 100)
        assert list(made.levels(False)) == made.top_levels(False, 100)
