"""Changes of a mini ticker add up to the venue's best bid and ask, or nothing is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchanges.book_step import Step
from exchanges.grvt.quote_sequencer import QuoteSequencer
from exchanges.market_events import QuoteChange

NAMES = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")


def change(sequence: int, previous: int | None = None, **values: int) -> QuoteChange:
    before = max(sequence - 1, 0) if previous is None else previous
    return QuoteChange("X", sequence, before, 1, *(values.get(name) for name in NAMES))


WHOLE = change(0, bid_price=100, bid_quantity=5, ask_price=101, ask_quantity=6)


def now(quotes: QuoteSequencer) -> tuple[int, ...]:
    quote = quotes.quote("X", 9)
    assert (quote.update_id, quote.exchange_time_ns) == (0, 9)
    return quote.bid_price, quote.bid_quantity, quote.ask_price, quote.ask_quantity


def test_nothing_is_known_before_a_whole_one() -> None:
    quotes = QuoteSequencer()
    assert quotes.on_change(change(5, bid_price=1)) is Step.WAITING
    assert not quotes.known
    assert quotes.on_change(WHOLE) is Step.APPLIED
    assert quotes.known
    assert now(quotes) == (100, 5, 101, 6)


def test_changes_follow_and_a_missing_one_is_a_gap() -> None:
    quotes = QuoteSequencer()
    quotes.on_change(WHOLE)
    assert quotes.on_change(change(70, ask_quantity=7)) is Step.APPLIED
    assert quotes.on_change(change(71, bid_price=99)) is Step.APPLIED
    assert now(quotes) == (99, 5, 101, 7)
    assert quotes.on_change(change(71, bid_price=98)) is Step.REPEATED
    assert now(quotes) == (99, 5, 101, 7)
    assert quotes.on_change(change(73, bid_price=98)) is Step.GAP
    assert quotes.on_change(change(74, bid_price=98)) is Step.WAITING
    assert quotes.on_change(WHOLE) is Step.APPLIED
    assert now(quotes) == (100, 5, 101, 6)


def test_a_whole_one_empties_what_it_does_not_name_and_a_side_without_price_is_empty() -> None:
    quotes = QuoteSequencer()
    quotes.on_change(WHOLE)
    quotes.on_change(change(1, bid_price=0))
    assert now(quotes) == (0, 0, 101, 6)
    quotes.on_change(change(0, ask_price=101, ask_quantity=1))
    assert now(quotes) == (0, 0, 101, 1)


def test_without_the_check_a_gap_is_counted_only() -> None:
    quotes = QuoteSequencer(check_gaps=False)
    quotes.on_change(WHOLE)
    assert quotes.on_change(change(5)) is Step.APPLIED
    assert quotes.on_change(change(9, bid_quantity=2)) is Step.APPLIED
    assert quotes.unchecked == 1
    assert now(quotes)[1] == 2


values = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9))


@given(st.lists(st.tuples(values, st.booleans()), max_size=40))
def test_a_known_quote_is_the_venues(steps) -> None:
    truth = dict.fromkeys(NAMES, 1)
    quotes = QuoteSequencer()
    quotes.on_change(change(0, **truth))
    for sequence, (changed, lost) in enumerate(steps, start=1):
        truth |= changed
        if lost and sequence > 1:  # the first of a subscription cannot be known to be missing
            continue
        if quotes.on_change(change(sequence, **changed)) is Step.GAP:
            assert not quotes.known
            quotes.on_change(change(0, **truth))
            quotes.on_change(change(sequence))
        assert now(quotes) == tuple(truth[name] for name in NAMES)
