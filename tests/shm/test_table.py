"""shm/table.pyx: the newest state of a row, whole or not at all, and words that are one atomic access."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shm.layout import BUSY_BIT, HEADER_SIZE, WORD_COUNT, RecordKind, SegmentKind, slot_stride
from shm.records import BookRow, PositionRow, TickerRow
from shm.segment import Segment, SegmentError
from shm.stall import StallPoint
from shm.table import TableReader, TableWriter, Words
from tests.shm.children import children

MakeSegment = Callable[..., Segment]
TABLE = SegmentKind.TABLE


def ticker(number: int) -> TickerRow:
    row = TickerRow()
    row.instrument_id = number
    row.mark_price = number * 2.0
    row.mark_price_mantissa = number
    return row


def book(number: int) -> BookRow:
    row = BookRow()
    row.update_id = number
    for levels in (row.bid_prices, row.bid_quantities, row.ask_prices, row.ask_quantities):
        levels[:] = number
    return row


def is_whole(row: BookRow) -> bool:
    arrays = (row.bid_prices, row.bid_quantities, row.ask_prices, row.ask_quantities)
    return all(bool((levels == row.update_id).all()) for levels in arrays)


def test_a_row_reads_as_it_was_written_last(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 4, RecordKind.TICKER_ROW)
    writer, reader = TableWriter(segment), TableReader(segment)
    row = TickerRow()
    assert not reader.read(2, row)
    assert (reader.version(2), reader.changes) == (0, 0)
    for number in (1, 2, 3):
        writer.write(2, ticker(number))
        assert reader.read(2, row)
        assert (row.mark_price_mantissa, row.sequence) == (number, number)
        assert row.publish_time_ns > 0
        assert (reader.version(2), reader.changes) == (number, number)
    assert not reader.read(1, row)
    assert row.mark_price_mantissa == 3, "a failed read leaves the record as it was"


def test_a_busy_row_is_reported_within_a_bound_and_leaves_the_record_alone(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 2, RecordKind.TICKER_ROW)
    TableWriter(segment).write(0, ticker(5))
    row = ticker(9)
    np.frombuffer(segment.buffer, "<u8")[HEADER_SIZE // 8] = BUSY_BIT | 2
    assert not TableReader(segment).read(0, row)
    assert row == ticker(9)
    assert TableReader(segment).version(0) == 2


def test_a_row_of_another_kind_is_no_row(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 2, RecordKind.POSITION_ROW, RecordKind.TICKER_ROW)
    TableWriter(segment).write(0, ticker(5))
    assert not TableReader(segment).read(0, PositionRow())


def test_rows_outside_the_table_are_index_errors(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 4, RecordKind.TICKER_ROW)
    with pytest.raises(IndexError, match="row 4 of 4"):
        TableReader(segment).read(4, TickerRow())
    with pytest.raises(IndexError, match="row 4 of 4"):
        TableWriter(segment).write(4, TickerRow())
    with pytest.raises(IndexError, match="row 9 of 4"):
        TableWriter(segment, row=9)
    with pytest.raises(OverflowError):
        TableReader(segment).version(-1)


def test_a_record_larger_than_a_row_is_refused(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 4, RecordKind.TICKER_ROW)
    with pytest.raises(ValueError, match="does not fit a row"):
        TableWriter(segment).write(0, BookRow())
    with pytest.raises(ValueError, match="is larger than its rows"):
        TableReader(segment).read(0, BookRow())


def test_a_writer_of_one_row_writes_no_other(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 4, RecordKind.TICKER_ROW)
    writer = TableWriter(segment, row=2)
    writer.write(2, ticker(1))
    with pytest.raises(ValueError, match="owns row 2, not 1"):
        writer.write(1, ticker(1))
    assert segment.writer_pid == 0, "such a table has no one writer"


def test_only_a_table_segment_makes_a_table(make_segment: MakeSegment) -> None:
    segment = make_segment(SegmentKind.WORDS, 4, stride=8)
    for cls in (TableReader, TableWriter):
        with pytest.raises(SegmentError, match="is a WORDS, not a table"):
            cls(segment)
    with pytest.raises(SegmentError, match="words were expected"):
        Words(make_segment(TABLE, 4, RecordKind.TICKER_ROW))


def write_nothing(name: str) -> int:
    TableWriter(Segment.attach(name))
    return os.getpid()


def alive(reader: TableReader) -> bool:
    """A call, so that a type checker does not take one answer for the next."""
    return reader.writer_alive


def test_a_dead_writer_is_told(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 4, RecordKind.TICKER_ROW)
    reader = TableReader(segment)
    assert alive(reader) is False, "none ever attached"
    TableWriter(segment).write(0, ticker(1))
    assert alive(reader) is True
    with children() as start:
        child = start(write_nothing, segment.name)
        assert child.result() == reader.writer_pid
    assert alive(reader) is False
    assert reader.read(0, TickerRow()), "what was whole stays readable"


class TableMachine(RuleBasedStateMachine):
    """The model: a dict of the newest value by row, and how often each was written."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"/corelane.model{os.getpid()}"

    @initialize()
    def make(self) -> None:
        Segment.remove(self.name)
        self.segment = Segment.create(self.name, TABLE, 4, slot_stride(RecordKind.TICKER_ROW))
        self.writer, self.reader = TableWriter(self.segment), TableReader(self.segment)
        self.rows: dict[int, int] = {}
        self.versions = [0] * 4

    @rule(row=st.integers(0, 3), number=st.integers(0, 2**32 - 1))
    def write(self, row: int, number: int) -> None:
        self.writer.write(row, ticker(number))
        self.rows[row] = number
        self.versions[row] += 1

    @rule(row=st.integers(0, 3))
    def killed_in_mid_row(self, row: int) -> None:
        word = HEADER_SIZE // 8 + row * self.segment.stride // 8
        words = np.frombuffer(self.segment.buffer, "<u8")
        words[word] = BUSY_BIT | (self.versions[row] + 1)
        words[word + 4] = 0xDEAD
        assert not self.reader.read(row, TickerRow())
        self.writer = TableWriter(self.segment)
        self.rows.pop(row, None)
        self.versions[row] += 1

    @invariant()
    def every_row_is_the_newest(self) -> None:
        if not hasattr(self, "reader"):
            return
        for row in range(4):
            record = TickerRow()
            assert self.reader.read(row, record) == (row in self.rows)
            assert self.reader.version(row) == self.versions[row]
            if row in self.rows:
                assert (record.instrument_id, record.mark_price) == (self.rows[row], self.rows[row] * 2.0)
        assert self.reader.changes == sum(self.versions)

    def teardown(self) -> None:
        Segment.remove(self.name)


TestTableAgainstADict: Any = TableMachine.TestCase
TestTableAgainstADict.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def write_until_killed(name: str, point: StallPoint) -> None:
    writer = TableWriter(Segment.attach(name))

    def hook(found: StallPoint, version: int) -> None:
        if (found, version) == (point, 3):
            os.kill(os.getpid(), signal.SIGKILL)

    writer.stall_hook = hook
    for number in range(1, 6):
        writer.write(1, book(number))


@pytest.mark.parametrize(
    "point",
    [StallPoint.INVALIDATED, StallPoint.COPYING, StallPoint.COPIED, StallPoint.PUBLISHED, StallPoint.CURSOR],
)
def test_half_a_row_of_a_killed_writer_is_never_readable(make_segment: MakeSegment, point: StallPoint) -> None:
    segment = make_segment(TABLE, 2, RecordKind.BOOK_ROW)
    reader, row = TableReader(segment), BookRow()
    with children() as start:
        start(write_until_killed, segment.name, point).wait_killed()
    whole = point >= StallPoint.PUBLISHED
    assert reader.read(1, row) == whole
    changes = reader.changes
    writer = TableWriter(segment)
    assert reader.read(1, row) == whole, "the successor voids what was left busy"
    if not whole:
        assert reader.changes == changes + 1, "and says that something changed"
    writer.write(1, book(7))
    assert reader.read(1, row)
    assert row.update_id == 7
    assert is_whole(row)
    assert reader.version(1) == 4


def read_rows(name: str, last: int) -> tuple[int, int, int]:
    """Rows read, torn ones, ones older than the one before."""
    reader, row = TableReader(Segment.attach(name)), BookRow()
    read = torn = older = newest = 0
    while newest < last:
        if reader.read(0, row):
            read += 1
            torn += not is_whole(row)
            older += row.update_id < newest
            newest = row.update_id
    return read, torn, older


def test_readers_in_other_processes_never_see_half_a_row(make_segment: MakeSegment) -> None:
    segment = make_segment(TABLE, 1, RecordKind.BOOK_ROW)
    last = 20_000
    with children() as start:
        readers = [start(read_rows, segment.name, last) for _ in range(2)]
        writer = TableWriter(segment)
        record = book(0)
        levels = [record.bid_prices, record.bid_quantities, record.ask_prices, record.ask_quantities]
        for number in range(1, last + 1):
            record.update_id = number
            for array in levels:
                array[:] = number
            writer.write(0, record)
        for reader in readers:
            read, torn, older = reader.result()
            assert read > 0
            assert (torn, older) == (0, 0)


# --- words ----------------------------------------------------------------------------------------------------------
def test_words_load_store_add_and_swap(make_segment: MakeSegment) -> None:
    words = Words(make_segment(SegmentKind.WORDS, WORD_COUNT, stride=8))
    assert words.load(5) == 0
    words.store(5, 2**64 - 1)
    assert words.load(5) == 2**64 - 1
    assert words.add(5, 2) == 2**64 - 1
    assert words.load(5) == 1
    assert not words.compare_and_swap(5, 7, 8)
    assert words.compare_and_swap(5, 1, 8)
    assert words.load(5) == 8
    assert words.load(4) == words.load(6) == 0
    for call in (lambda: words.load(WORD_COUNT), lambda: words.store(WORD_COUNT, 1), lambda: words.add(WORD_COUNT, 1)):
        with pytest.raises(IndexError, match=f"word {WORD_COUNT} of {WORD_COUNT}"):
            call()


def add_and_swap(name: str, count: int) -> None:
    words = Words(Segment.attach(name))
    for _ in range(count):
        words.add(0, 1)
        while not words.compare_and_swap(1, value := words.load(1), value + 1):
            pass


def test_words_of_several_processes_lose_no_count(make_segment: MakeSegment) -> None:
    segment = make_segment(SegmentKind.WORDS, WORD_COUNT, stride=8)
    with children() as start:
        for child in [start(add_and_swap, segment.name, 20_000) for _ in range(3)]:
            child.result()
    assert [Words(segment).load(index) for index in (0, 1)] == [60_000, 60_000]
