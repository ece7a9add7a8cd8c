"""Segments of one test's own, as a market server would attach to them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.records import BookRow, InstrumentRow, TickerRow
from shm.ring import BroadcastReader
from shm.segment import Segment
from shm.table import TableReader

_number = itertools.count()


@dataclass
class MarketSegments:
    """One venue's market segments and the process's counters."""

    by_name: dict[str, Segment]
    counters: Counters

    def segment(self, logical: str) -> Segment:
        return self.by_name[logical.partition(".")[2]]

    def reader(self) -> BroadcastReader:
        return BroadcastReader(self.by_name["market"])

    def book(self, row: int) -> BookRow | None:
        return _read(self.by_name["books"], row, BookRow())

    def ticker(self, row: int) -> TickerRow | None:
        return _read(self.by_name["tickers"], row, TickerRow())

    def instrument(self, row: int) -> InstrumentRow | None:
        return _read(self.by_name["instruments"], row, InstrumentRow())


def _read(segment, row, record):  # type: ignore[no-untyped-def]
    return record if TableReader(segment).read(row, record) else None


@pytest.fixture
def market() -> Iterator[MarketSegments]:
    prefix = f"/corelane.test-{os.getpid()}-{next(_number)}."
    shapes = {
        "market": (SegmentKind.BROADCAST_RING, 1 << 14, slot_stride(*MARKET_RING_KINDS)),
        "books": (SegmentKind.TABLE, 8, slot_stride(RecordKind.BOOK_ROW)),
        "tickers": (SegmentKind.TABLE, 8, slot_stride(RecordKind.TICKER_ROW)),
        "instruments": (SegmentKind.TABLE, 8, slot_stride(RecordKind.INSTRUMENT_ROW)),
        "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    }
    made = {name: Segment.create(prefix + name, *shape) for name, shape in shapes.items()}
    try:
        yield MarketSegments(made, Counters(made["counters"]))
    finally:
        for segment in made.values():
            Segment.remove(segment.name)
