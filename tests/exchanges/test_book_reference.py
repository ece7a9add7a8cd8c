"""A mid price, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from exchanges.book_reference import BookReference
from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import BookRow, ProcessRow, TickerRow
from shm.segment import Segment
from shm.stall import StallPoint
from shm.table import TableReader, TableWriter
from tests.exchanges.order_world import BTC, SECOND
from tests.shm.children import children


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


# --- the real table, of which no more is read than is wanted ----------------------------------------------------------
class Alive:
    """A processes table whose market server is well."""

    def read(self, row: int, record: ProcessRow) -> bool:
        record.heartbeat_time_ns = SECOND
        return True


@pytest.fixture
def books() -> Iterator[Segment]:
    segment = Segment.create(
        f"/corelane.test{uuid4().hex[:8]}.books", SegmentKind.TABLE, BTC.row + 1, slot_stride(RecordKind.BOOK_ROW)
    )
    yield segment
    Segment.remove(segment.name)


def reference_of(books: Segment) -> BookReference:
    reference = BookReference(TableReader(books), Alive(), 0, SECOND, lambda: SECOND)
    reference.refresh()
    return reference


def book(bid: float, ask: float) -> BookRow:
    row = BookRow()
    row.valid, row.bid_count, row.ask_count = 1, 1, 1
    row.bid_prices[0], row.ask_prices[0] = bid, ask
    return row


def test_of_a_table_the_middle_is_that_of_its_newest_row(books: Segment) -> None:
    reference, writer = reference_of(books), TableWriter(books)
    assert reference.mid(BTC.id) is None, "never written"
    for bid, ask, expected in ((100.0, 102.0, 101.0), (200.0, 204.0, 202.0), (5.0, 4.0, None), (1.0, 2.0, 1.5)):
        writer.write(BTC.row, book(bid, ask))
        assert reference.mid(BTC.id) == expected
    for field in ("valid", "bid_count", "ask_count"):
        row = book(1.0, 2.0)
        setattr(row, field, 0)
        writer.write(BTC.row, row)
        assert reference.mid(BTC.id) is None, field
    writer.write(BTC.row, TickerRow())
    assert reference.mid(BTC.id) is None, "a record of another kind"


def test_half_a_row_is_no_middle(books: Segment) -> None:
    reference, writer = reference_of(books), TableWriter(books)
    writer.write(BTC.row, book(1.0, 2.0))
    seen: dict[StallPoint, float | None] = {}
    writer.stall_hook = lambda point, version: seen.setdefault(point, reference.mid(BTC.id))
    writer.write(BTC.row, book(3.0, 4.0))
    assert {seen[point] for point in (StallPoint.INVALIDATED, StallPoint.COPYING, StallPoint.COPIED)} == {None}
    assert seen[StallPoint.PUBLISHED] == 3.5


def middles(name: str, last: int) -> tuple[int, int]:
    """How many were read, and how many were of two rows."""
    reference = reference_of(Segment.attach(name))
    read = torn = 0
    middle = 0.0
    while middle < last + 0.5:
        found = reference.mid(BTC.id)
        if found is not None:
            read += 1
            middle = found
            torn += middle % 1.0 != 0.5
    return read, torn


def test_another_process_never_sees_the_bid_of_one_row_and_the_ask_of_another(books: Segment) -> None:
    last = 20_000
    with children() as start:
        reader = start(middles, books.name, last)
        writer, row = TableWriter(books), book(0.0, 1.0)
        for number in range(1, last + 1):
            # Bid and ask rise by one each: those of two neighbouring rows have a whole number in their middle.
            row.bid_prices[0], row.ask_prices[0] = number, number + 1
            writer.write(BTC.row, row)
        read, torn = reader.result()
    assert read > 0
    assert torn == 0
