"""shm/record.pyx and records.py: typed fields over the bytes that layout.py declares."""

from __future__ import annotations

import copy
import pickle
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.layout import RECORD_DTYPES, RecordKind
from shm.record import Record
from shm.records import RECORD_CLASSES, BookTop, OrderEvent, OrderRequest, Quote, Ticker, TickerRow, Trade

ALL = [pytest.param(cls, id=cls.__name__) for cls in RECORD_CLASSES.values()]


def value_for(dtype: np.dtype[Any], draw: Any) -> Any:
    base = dtype.base
    if base.kind == "S":
        return draw(st.binary(max_size=base.itemsize)).rstrip(b"\0")
    if base.kind == "f":
        return draw(st.floats(allow_nan=False))
    bits = 8 * base.itemsize
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if base.kind == "i" else (0, (1 << bits) - 1)
    return draw(st.integers(low, high))


@pytest.mark.parametrize("cls", ALL)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_each_field_reads_what_numpy_reads_in_the_same_bytes(cls: type[Record], data: st.DataObject) -> None:
    record = cls()
    written = {}
    assert cls.dtype.fields is not None
    for name in cls.dtype.names or ():
        dtype = cls.dtype.fields[name][0]
        if name in ("kind", "size"):
            continue
        if dtype.shape:
            value: Any = [value_for(dtype, data.draw) for _ in range(dtype.shape[0])]
        else:
            value = value_for(dtype, data.draw)
        setattr(record, name, value)
        written[name] = value
    seen = np.frombuffer(bytes(record), dtype=cls.dtype)[0]
    for name, value in written.items():
        if isinstance(value, list):
            assert seen[name].tolist() == value
            assert getattr(record, name).tolist() == value
        else:
            assert seen[name] == value
            assert getattr(record, name) == value
            assert type(getattr(record, name)) is type(value)
    assert seen["kind"] == cls.record_code
    assert seen["size"] == cls.dtype.itemsize


@pytest.mark.parametrize("cls", ALL)
def test_a_new_record_is_zero_but_for_kind_and_size(cls: type[Record]) -> None:
    record = cls()
    assert (record.kind, record.size) == (cls.record_code, cls.dtype.itemsize)
    assert not any(bytes(record)[4:])
    assert record.sequence == 0


@pytest.mark.parametrize("cls", ALL)
def test_clear_zeroes_all_but_kind_and_size(cls: type[Record]) -> None:
    record = cls()
    np.asarray(memoryview(record))[4:] = 255
    record.sequence = 9
    record.clear()
    assert record == cls()
    assert record.sequence == 0


@pytest.mark.parametrize(
    ("field", "value"), [("price", 1 << 63), ("venue", 256), ("epoch", -1), ("side", 1.5), ("price", 2.0)]
)
def test_a_value_that_does_not_fit_is_an_error_and_changes_nothing(field: str, value: object) -> None:
    record = OrderRequest()
    with pytest.raises((OverflowError, TypeError)):
        setattr(record, field, value)
    assert record == OrderRequest()


def test_text_is_cut_to_its_field_and_padded_with_zeros() -> None:
    event = OrderEvent()
    event.trade_id = b"x" * 100
    assert event.trade_id == b"x" * 40
    assert event.text == b"", "the next field is untouched"
    event.trade_id = b"ab"
    assert event.trade_id == b"ab"


def test_text_must_be_bytes() -> None:
    with pytest.raises(TypeError):
        OrderEvent().text = "text"  # type: ignore[assignment]


def test_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(AttributeError):
        OrderEvent().pricee = 1  # type: ignore[attr-defined]


def test_an_array_field_is_a_view_that_keeps_its_record_alive() -> None:
    top = BookTop()
    view = top.bid_prices
    view[3] = 7.5
    assert top.bid_prices[3] == 7.5
    references = sys.getrefcount(top)
    del view
    assert sys.getrefcount(top) == references - 1
    alone = BookTop().ask_prices
    alone[:] = 1.0
    assert alone.sum() == 10.0


def test_a_copy_has_its_own_bytes_and_the_sequence() -> None:
    quote = Quote()
    quote.bid_price, quote.sequence = 1.5, 12
    other = quote.copy()
    quote.bid_price = 2.5
    assert (other.bid_price, other.sequence) == (1.5, 12)


def test_pickle_and_deepcopy_keep_bytes_and_sequence() -> None:
    quote = Quote()
    quote.ask_quantity, quote.sequence = 3.0, 5
    for other in (pickle.loads(pickle.dumps(quote)), copy.deepcopy(quote)):
        assert other == quote
        assert other.sequence == 5


def test_copy_from_takes_the_same_shape_and_keeps_the_own_kind() -> None:
    ticker = Ticker()
    ticker.mark_price = 5.0
    row = TickerRow()
    row.copy_from(ticker)
    assert (row.mark_price, row.kind) == (5.0, RecordKind.TICKER_ROW)
    with pytest.raises(TypeError, match="sizes differ"):
        row.copy_from(Trade())


def test_load_refuses_other_lengths_and_other_kinds() -> None:
    with pytest.raises(ValueError, match="80 bytes found, 88 expected"):
        Quote().load(bytes(Trade()))
    with pytest.raises(ValueError, match="kind 4 found, 34 expected"):
        TickerRow().load(bytes(Ticker()))
    trade = Trade()
    trade.trade_id = 7
    other = Trade()
    other.load(bytes(trade))
    assert other == trade


def test_records_of_different_kinds_are_never_equal() -> None:
    different: Record = TickerRow()
    assert Ticker() != different
    assert Quote() == Quote()


def test_to_dict_has_plain_values_and_neither_padding_nor_kind() -> None:
    event = OrderEvent()
    event.text = "ünï".encode()
    result = event.to_dict()
    assert result["text"] == "ünï"
    assert "pad0" not in BookTop().to_dict()
    assert "kind" not in result
    assert BookTop().to_dict()["bid_prices"] == [0.0] * 10


def test_repr_shows_what_is_set() -> None:
    trade = Trade()
    trade.price = 2.5
    assert repr(trade) == "Trade(price=2.5)"
    assert repr(BookTop()).startswith("BookTop(")


def test_a_field_of_one_class_does_not_work_on_other_objects() -> None:
    with pytest.raises(TypeError):
        Quote.__dict__["bid_price"].__get__(object(), object)


def test_scalar_access_keeps_no_memory() -> None:
    record = Quote()

    def turn() -> None:
        for index in range(2000):
            record.bid_price = index * 0.5
            record.update_id = index + 1_000_000
            record.ask_price = record.bid_price + record.update_id

    turn()
    tracemalloc.start()
    turn()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        turn()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 512


def test_every_kind_has_a_class_named_after_it() -> None:
    assert {int(kind) for kind in RECORD_DTYPES} == set(RECORD_CLASSES)
    assert RECORD_CLASSES[RecordKind.ORDER_EVENT] is OrderEvent
