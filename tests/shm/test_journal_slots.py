"""shm/journal_slots.pyx: one record a slot, its check behind it, and nothing once the file is full."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm.journal import JournalWriter
from shm.journal_slots import JournalSlots
from shm.layout import HEADER_SIZE, JOURNAL_CHECK_SIZE, JOURNAL_STRIDE, SLOT_HEADER_SIZE, SegmentKind
from shm.records import OrderEvent, OrderRequest
from shm.segment import Segment, SegmentError


@pytest.fixture
def ring(segment_name: str) -> Iterator[Segment]:
    segment = Segment.create(segment_name, SegmentKind.LOSSLESS_RING, 4, JOURNAL_STRIDE)
    yield segment
    Segment.remove(segment_name)


def test_a_segment_of_another_kind_is_refused(ring: Segment) -> None:
    with pytest.raises(SegmentError, match="a journal was expected"):
        JournalSlots(ring, 0)


def test_every_slot_ends_with_the_check_of_its_record(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "binance", slots_per_file=4)
    records: list[OrderRequest | OrderEvent] = [OrderRequest(), OrderEvent(), OrderRequest()]
    for number, record in enumerate(records, 1):
        record.client_order_id = number
        assert writer._file.append(record) == number
    content = (tmp_path / "binance.000001").read_bytes()
    for slot, record in enumerate(records, 1):
        end = HEADER_SIZE + slot * JOURNAL_STRIDE
        start = end - JOURNAL_STRIDE + SLOT_HEADER_SIZE
        raw = bytes(record)
        assert content[start : start + len(raw)] == raw
        assert int.from_bytes(content[end - JOURNAL_CHECK_SIZE : end], "little") == zlib.crc32(raw)


def test_a_full_file_takes_nothing_and_says_so(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "binance", slots_per_file=2)
    record = OrderRequest()
    assert [writer._file.append(record) for _ in range(4)] == [1, 2, 0, 0]
    before = (tmp_path / "binance.000001").read_bytes()
    record.client_order_id = 7
    assert writer._file.append(record) == 0
    assert (tmp_path / "binance.000001").read_bytes() == before
    assert writer.append(record) == 3, "the next file goes on"
