"""A mid price, or nothing at all."""

from __future__ import annotations

import pytest

from exchanges.book_reference import BookReference
from shm.records import BookRow, ProcessRow
from tests.exchanges.order_world import BTC, SECOND


class Tables:
    def __init__(self) -> None:
        self.book = BookRow()
        self.book.valid, self.book.bid_count, self.book.ask_count = 1, 1, 1
        self.book.bid_prices[0], self.book.ask_prices[0] = 100.0, 102.0
        self.heartbeat_ns = 50 * SECOND
        self.now = 50 * SECOND
        self.written = True
        self.reference = BookReference(self, self, 7, SECOND, lambda: self.now)
        self.reference.refresh()

    def read(self, row: int, record: BookRow | ProcessRow) -> bool:
        if isinstance(record, ProcessRow):
            assert row == 7
            record.heartbeat_time_ns = self.heartbeat_ns
            return True
        assert row == BTC.row
        record.copy_from(self.book)
        return self.written


def test_the_middle_of_a_good_book() -> None:
    assert Tables().reference.mid(BTC.id) == 101.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("valid", 0), ("bid_count", 0), ("ask_count", 0)],
)
def test_a_withdrawn_or_one_sided_book_is_none(field: str, value: int) -> None:
    tables = Tables()
    setattr(tables.book, field, value)
    assert tables.reference.mid(BTC.id) is None


@pytest.mark.parametrize(("bid", "ask"), [(102.0, 101.0), (101.0, 101.0), (0.0, 5.0), (float("nan"), 5.0)])
def test_a_crossed_or_senseless_book_is_none(bid: float, ask: float) -> None:
    tables = Tables()
    tables.book.bid_prices[0], tables.book.ask_prices[0] = bid, ask
    assert tables.reference.mid(BTC.id) is None


def test_a_row_that_was_never_written_is_none() -> None:
    tables = Tables()
    tables.written = False
    assert tables.reference.mid(BTC.id) is None


def test_a_silent_market_server_makes_every_book_none() -> None:
    tables = Tables()
    tables.now += SECOND + 1
    assert tables.reference.mid(BTC.id) == 101.0, "nobody has looked yet"
    tables.reference.refresh()
    assert tables.reference.mid(BTC.id) is None
    tables.heartbeat_ns = tables.now
    tables.reference.refresh()
    assert tables.reference.mid(BTC.id) == 101.0
