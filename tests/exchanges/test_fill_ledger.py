"""Each part of each trade once, and never below the watermark."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchanges.fill_ledger import ALL_PARTS, FillLedger
from shm.layout import FillPart

QUANTITY, FEE, NONE = FillPart.QUANTITY, FillPart.FEE, FillPart.NONE


def test_parts_merge_in_any_order() -> None:
    ledger = FillLedger()
    assert ledger.merge(1, 10, QUANTITY) == QUANTITY
    assert ledger.merge(1, 10, ALL_PARTS) == FEE
    assert ledger.merge(1, 10, ALL_PARTS) == NONE
    assert ledger.merge(1, 11, FEE) == FEE
    assert ledger.merge(1, 11, QUANTITY) == QUANTITY
    assert ledger.merge(2, 10, ALL_PARTS) == ALL_PARTS, "trade ids are per instrument"


def test_at_and_below_the_watermark_everything_is_a_replay() -> None:
    ledger = FillLedger()
    assert ledger.watermark(1) is None
    assert ledger.advance(1, 100)
    assert not ledger.advance(1, 100)
    assert not ledger.advance(1, 99), "it never moves back"
    assert ledger.merge(1, 100, ALL_PARTS) == NONE
    assert ledger.merge(1, 101, ALL_PARTS) == ALL_PARTS
    assert ledger.knows(1, 50)
    assert ledger.knows(1, 101)
    assert not ledger.knows(1, 102)


def test_a_later_trade_does_not_move_the_watermark_over_a_lost_one() -> None:
    ledger = FillLedger()
    ledger.advance(1, 100)
    ledger.merge(1, 120, ALL_PARTS)
    assert ledger.merge(1, 110, ALL_PARTS) == ALL_PARTS


def test_memory_holds_only_what_is_above_the_watermark() -> None:
    ledger = FillLedger()
    for trade_id in range(1, 1_001):
        ledger.merge(1, trade_id, QUANTITY)
    ledger.advance(1, 990)
    assert len(ledger) == 10


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([QUANTITY, FEE, ALL_PARTS])), max_size=40))
def test_whatever_comes_each_part_is_news_once(facts: list[tuple[int, FillPart]]) -> None:
    ledger = FillLedger()
    told: list[tuple[int, FillPart]] = []
    for trade_id, parts in facts:
        news = ledger.merge(1, trade_id, parts)
        told += [(trade_id, part) for part in (QUANTITY, FEE) if news & part]
    assert len(told) == len(set(told))
    assert set(told) == {(trade_id, part) for trade_id, parts in facts for part in (QUANTITY, FEE) if parts & part}
