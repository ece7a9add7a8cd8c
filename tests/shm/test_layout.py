"""shm/layout.py: every byte declared once, and the C side agreeing with it."""

from __future__ import annotations

import enum
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm import layout
from shm.records import RECORD_CLASSES

SOURCE = Path(layout.__file__)


def load_changed(tmp_path: Path, old: str, new: str) -> ModuleType:
    """layout.py with one text replaced, as a module of its own."""
    text = SOURCE.read_text()
    assert old in text
    path = tmp_path / "changed_layout.py"
    path.write_text(text.replace(old, new, 1))
    spec = importlib.util.spec_from_file_location("changed_layout", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["changed_layout"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["changed_layout"]
    return module


def test_the_hash_is_the_same_for_the_same_contents(tmp_path: Path) -> None:
    assert load_changed(tmp_path, "import hashlib", "import  hashlib").LAYOUT_HASH == layout.LAYOUT_HASH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('("fee", "<i8")', '("fee", "<u8")'),  # a type
        (
            '("last_price", "<i8"), ("last_quantity", "<i8")',
            '("last_quantity", "<i8"), ("last_price", "<i8")',
        ),  # an order
        ("RISK_LOSS = 12", "RISK_LOSS = 22"),  # a code
        ("BOOK_TABLE_DEPTH: Final = 50", "BOOK_TABLE_DEPTH: Final = 40"),
        ("LAYOUT_VERSION: Final = 3", "LAYOUT_VERSION: Final = 4"),
        ('"created_time_ns", "cursor", "tail"', '"created_time_ns", "tail", "cursor"'),  # the header
        ("HISTOGRAM_SUB_BITS: Final = 6", "HISTOGRAM_SUB_BITS: Final = 5"),
        ("WORD_COUNT: Final = 64", "WORD_COUNT: Final = 128"),
        ("JOURNAL_CHECK_SIZE: Final = 8", "JOURNAL_CHECK_SIZE: Final = 64"),
    ],
)
def test_any_change_of_a_shared_byte_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert load_changed(tmp_path, old, new).LAYOUT_HASH != layout.LAYOUT_HASH


def test_a_misaligned_field_is_refused_at_import(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not aligned"):
        load_changed(tmp_path, '("trade_id", "<u8"), ', '("odd", "u1"), ("trade_id", "<u8"), ("pad9", "V7"), ')


def test_a_record_that_is_no_multiple_of_a_word_is_refused_at_import(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not a multiple of 8"):
        load_changed(tmp_path, '("code", "<u2"), ("pad0", "<u2"), ("pad1", "<u4"),', '("code", "<u2"),')


def test_codes_are_unique_and_begin_with_none_where_a_zeroed_record_must_mean_nothing() -> None:
    enums = [
        value
        for value in vars(layout).values()
        if isinstance(value, type) and issubclass(value, enum.Enum) and value.__module__ == layout.__name__
    ]
    assert len(enums) >= 20
    for codes in enums:
        assert len({member.value for member in codes.__members__.values()}) == len(codes.__members__), codes
        if codes is not layout.Word:
            assert codes.__members__["NONE"].value == 0, codes


def test_every_record_begins_with_the_same_sixteen_bytes() -> None:
    head = [
        ("kind", 0),
        ("size", 2),
        ("instrument_id", 4),
        ("venue", 8),
        ("flags", 9),
        ("strategy_id", 10),
        ("epoch", 12),
    ]
    for kind, dtype in layout.RECORD_DTYPES.items():
        assert dtype.fields is not None
        assert [(name, dtype.fields[name][1]) for name, _ in head] == head, kind


def test_field_names_are_unique_within_a_record_and_leave_no_gap() -> None:
    for kind, dtype in layout.RECORD_DTYPES.items():
        assert dtype.names is not None
        assert dtype.fields is not None
        assert len(set(dtype.names)) == len(dtype.names)
        end = 0
        for name in dtype.names:
            assert dtype.fields[name][1] == end, f"{kind.name}.{name}"
            end += dtype.fields[name][0].itemsize
        assert end == dtype.itemsize


def test_a_record_fits_the_size_field_and_the_kinds_fit_the_compiled_tables() -> None:
    assert layout.MAX_RECORD_SIZE < 1 << 16
    assert layout.MAX_RECORD_SIZE <= 256 * 8, "scratch in ring.pxd and table.pxd"
    assert max(layout.RECORD_DTYPES) < 64, "CL_RECORD_SIZES and RingReader.records"
    assert set(RECORD_CLASSES) == {int(kind) for kind in layout.RECORD_DTYPES}


def test_slots_are_whole_cache_lines_that_hold_the_largest_of_their_records() -> None:
    for kinds in (layout.MARKET_RING_KINDS, layout.REQUEST_RING_KINDS, layout.EVENT_RING_KINDS, layout.LOG_RING_KINDS):
        stride = layout.slot_stride(*kinds)
        largest = max(layout.RECORD_DTYPES[kind].itemsize for kind in kinds)
        assert stride % layout.CACHE_LINE == 0
        assert layout.SLOT_HEADER_SIZE + largest <= stride < layout.SLOT_HEADER_SIZE + largest + layout.CACHE_LINE


def test_a_journal_slot_has_room_for_its_check_behind_every_record() -> None:
    largest = max(layout.RECORD_DTYPES[kind].itemsize for kind in layout.JOURNAL_KINDS)
    assert layout.SLOT_HEADER_SIZE + largest + layout.JOURNAL_CHECK_SIZE <= layout.JOURNAL_STRIDE
    assert layout.JOURNAL_STRIDE % layout.CACHE_LINE == 0


def test_writer_consumer_and_sleepers_have_cache_lines_of_their_own() -> None:
    fields = layout.SEGMENT_HEADER.fields
    assert fields is not None
    lines = [fields[name][1] // layout.CACHE_LINE for name in ("writer_pid", "cursor", "tail", "armed")]
    assert len(set(lines)) == 4


@given(st.integers(0, 127), st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_a_client_order_id_gives_its_parts_back(instance: int, strategy: int, epoch: int, counter: int) -> None:
    identifier = layout.client_order_id(instance, strategy, epoch, counter)
    assert identifier >> 63 == 1
    assert identifier < 1 << 64
    assert layout.instance_of(identifier) == instance
    assert layout.strategy_of(identifier) == strategy
    assert layout.epoch_of(identifier) == epoch
    assert identifier & 0xFFFFFFFF == counter


@pytest.mark.parametrize(
    "parts", [(128, 0, 0, 0), (0, 256, 0, 0), (0, 0, 1 << 16, 0), (0, 0, 0, 1 << 32), (-1, 0, 0, 0)]
)
def test_a_part_that_does_not_fit_a_client_order_id_is_refused(parts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        layout.client_order_id(*parts)


def test_an_id_without_the_top_bit_is_not_ours() -> None:
    assert layout.instance_of(5 << 56) == -1


def test_an_instrument_id_is_venue_and_row() -> None:
    identifier = layout.instrument_id(layout.Venue.GRVT, 513)
    assert identifier >> layout.VENUE_SHIFT == layout.Venue.GRVT
    assert identifier & layout.ROW_MASK == 513
