"""shm/ring.pyx: the two contracts, against a plain list, across two processes, and through kill -9 in every window."""

from __future__ import annotations

import os
import signal
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shm.layout import BUSY_BIT, EVENT_RING_KINDS, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.records import BookTop, MarketStatus, OrderEvent, OrderRequest, Quote, Recovery, Ticker, TickerRow, Trade
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter, Poller, drain_dtype
from shm.segment import Segment, SegmentError
from shm.stall import StallPoint
from shm.table import TableReader, TableWriter
from tests.shm.children import children

MakeSegment = Callable[..., Segment]
BROADCAST, LOSSLESS = SegmentKind.BROADCAST_RING, SegmentKind.LOSSLESS_RING
WRITER_POINTS = [
    StallPoint.INVALIDATED,
    StallPoint.COPYING,
    StallPoint.COPIED,
    StallPoint.PUBLISHED,
    StallPoint.CURSOR,
]


def quote(number: int) -> Quote:
    record = Quote()
    record.update_id = number
    record.bid_price = number * 0.5
    return record


def request(number: int) -> OrderRequest:
    record = OrderRequest()
    record.request_id = number
    return record


# --- broadcast ------------------------------------------------------------------------------------------------------
def test_records_come_out_as_they_went_in_and_in_order(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    top, status = BookTop(), MarketStatus()
    top.bid_prices[:] = np.arange(10)
    status.code = 3
    published = [quote(1), top, status, quote(2)]
    assert [writer.publish(record) for record in published] == [1, 2, 3, 4]
    for sequence, record in enumerate(published, 1):
        found = reader.poll()
        assert found == record
        assert found.sequence == sequence
    assert reader.poll() is None


def test_publish_stamps_the_time_unless_asked_not_to(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, *MARKET_RING_KINDS)
    writer = BroadcastWriter(segment)
    record = quote(1)
    writer.publish(record, stamp=False)
    assert record.publish_time_ns == 0
    writer.publish(record)
    assert record.publish_time_ns > 0


def test_the_same_object_is_used_again_for_the_next_record_of_its_kind(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for number in (1, 2):
        writer.publish(quote(number))
    writer.publish(Trade())
    first = reader.poll()
    kept = first.copy()
    assert reader.poll() is first
    assert (kept.update_id, first.update_id) == (1, 2)
    assert reader.poll() is not first


def test_a_reader_attaches_at_the_newest(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, *MARKET_RING_KINDS)
    writer = BroadcastWriter(segment)
    for number in range(5):
        writer.publish(quote(number))
    reader = BroadcastReader(segment)
    assert reader.poll() is None
    writer.publish(quote(99))
    assert reader.poll().update_id == 99


@pytest.mark.parametrize("behind", [1, 15, 16, 17, 18, 31, 32, 33, 100])
def test_a_lapped_reader_is_told_the_exact_number_and_goes_on_at_the_newest(
    make_segment: MakeSegment, behind: int
) -> None:
    segment = make_segment(BROADCAST, 16, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for number in range(behind):
        writer.publish(quote(number))
    polled = []
    while (record := reader.poll()) is not None:
        polled.append(record.update_id)
    if behind <= 16:
        assert (polled, reader.lost, reader.laps) == (list(range(behind)), 0, 0)
    else:
        assert (polled, reader.lost, reader.laps) == ([behind - 1], behind - 1, 1)


def test_a_record_too_large_for_the_slots_is_refused_and_publishes_nothing(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, RecordKind.QUOTE)
    writer = BroadcastWriter(segment)
    with pytest.raises(ValueError, match="a BookTop does not fit the slots of"):
        writer.publish(BookTop())
    assert writer.published == 0
    lossless = LosslessWriter(make_segment(LOSSLESS, 8, RecordKind.QUOTE))
    for publish in (lossless.try_publish, lossless.try_publish_reserved):
        with pytest.raises(ValueError, match="does not fit"):
            publish(BookTop())


def test_a_busy_slot_is_never_readable_and_nobody_waits_for_it(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    writer.publish(quote(1))
    np.frombuffer(segment.buffer, "<u8")[4096 // 8 + slot_stride(RecordKind.QUOTE) // 8] = BUSY_BIT | 2
    assert reader.poll().update_id == 1
    assert reader.poll() is None
    assert not reader.has_next()
    assert len(reader.drain(5)) == 0


def test_a_record_of_an_unknown_kind_is_told_once_and_passed(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, RecordKind.QUOTE)
    writer = BroadcastWriter(segment)
    readers = [BroadcastReader(segment) for _ in range(2)]
    for number in (1, 2, 3):
        writer.publish(quote(number))
    np.frombuffer(segment.buffer, "<u2")[(4096 + slot_stride(RecordKind.QUOTE) + 8) // 2] = 50
    assert readers[0].poll().update_id == 1
    assert readers[1].drain(9)["update_id"].tolist() == [1]
    for read in (readers[0].poll, lambda: readers[1].drain(9)):
        with pytest.raises(SegmentError, match="record 2 is of unknown kind 50"):
            read()
    assert readers[0].poll().update_id == 3
    assert readers[1].drain(9)["update_id"].tolist() == [3]


def test_at_looks_without_moving(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for number in range(1, 11):
        writer.publish(quote(number))
    assert reader.at(10).update_id == 10
    assert reader.at(3).update_id == 3
    assert reader.at(2) is None, "overwritten"
    assert reader.at(11) is None
    assert reader.at(0) is None
    assert reader.next_sequence == 1


# --- lossless -------------------------------------------------------------------------------------------------------
def test_a_full_ring_is_refused_and_nothing_is_overwritten(make_segment: MakeSegment) -> None:
    segment = make_segment(LOSSLESS, 16, RecordKind.ORDER_REQUEST)
    writer, reader = LosslessWriter(segment, reserve=False), LosslessReader(segment)
    assert [writer.try_publish(request(number)) for number in range(20)] == [True] * 16 + [False] * 4
    before = bytes(segment.buffer[4096:])
    assert not writer.try_publish(request(99))
    assert bytes(segment.buffer[4096:]) == before
    assert writer.free == 0
    assert [reader.poll().request_id for _ in range(16)] == list(range(16))
    assert reader.poll() is None
    assert not writer.try_publish(request(16)), "polled but not committed"
    reader.commit()
    assert writer.free == 16
    assert writer.try_publish(request(16))
    assert reader.poll().request_id == 16


@pytest.mark.parametrize("capacity", [8, 16, 64])
def test_the_last_eighth_is_kept_for_cancels(make_segment: MakeSegment, capacity: int) -> None:
    segment = make_segment(LOSSLESS, capacity, RecordKind.ORDER_REQUEST)
    writer, reader = LosslessWriter(segment), LosslessReader(segment)
    kept = capacity // 8
    ordinary = sum(writer.try_publish(request(1)) for _ in range(2 * capacity))
    assert ordinary == capacity - kept
    assert sum(writer.try_publish_reserved(request(2)) for _ in range(2 * capacity)) == kept
    for _ in range(kept):
        assert reader.poll() is not None
    reader.commit()
    assert not writer.try_publish(request(3)), "the freed slots are the reserve again"
    assert writer.try_publish_reserved(request(4))


def test_a_restarted_consumer_begins_after_the_committed_tail(make_segment: MakeSegment) -> None:
    segment = make_segment(LOSSLESS, 16, RecordKind.ORDER_REQUEST)
    writer, reader = LosslessWriter(segment), LosslessReader(segment)
    for number in range(1, 7):
        writer.try_publish(request(number))
    for _ in range(4):
        reader.poll()
    reader.commit()
    reader.poll()
    assert reader.uncommitted == 1
    again = LosslessReader(segment)
    assert [again.poll().request_id for _ in range(2)] == [5, 6]
    assert again.poll() is None


def test_observers_of_a_lossless_ring_hold_nobody_up(make_segment: MakeSegment) -> None:
    segment = make_segment(LOSSLESS, 8, RecordKind.ORDER_REQUEST)
    writer, reader, observer = LosslessWriter(segment), LosslessReader(segment), BroadcastReader(segment)
    for number in range(1, 31):
        assert writer.try_publish(request(number))
        assert reader.poll().request_id == number
        reader.commit()
    assert observer.poll().request_id == 30
    assert observer.lost == 29
    assert segment.header["tail"][0] == 30, "an observer owns no tail"


def test_a_second_writer_without_a_tail_check_is_found_out(make_segment: MakeSegment) -> None:
    segment = make_segment(LOSSLESS, 8, RecordKind.ORDER_REQUEST)
    reader = LosslessReader(segment)
    rogue = BroadcastWriter(segment)
    for number in range(9):
        rogue.publish(request(number))
    with pytest.raises(SegmentError, match="record 1 was overwritten before it was consumed"):
        reader.poll()
    with pytest.raises(SegmentError, match="record 1 was overwritten before it was consumed"):
        reader.drain(5)


def test_a_tail_that_does_not_fit_the_slots_is_refused_to_the_writer(make_segment: MakeSegment) -> None:
    segment = make_segment(LOSSLESS, 8, RecordKind.ORDER_REQUEST)
    segment.header["tail"] = 5
    with pytest.raises(SegmentError, match="tail 5 does not fit the last published 0"):
        LosslessWriter(segment)


def test_only_a_lossless_ring_has_a_consumer(make_segment: MakeSegment) -> None:
    with pytest.raises(SegmentError, match="a LOSSLESS_RING has a consumer"):
        LosslessReader(make_segment(BROADCAST, 8, RecordKind.QUOTE))


@pytest.mark.parametrize("cls", [BroadcastWriter, LosslessWriter, BroadcastReader, LosslessReader])
def test_only_a_ring_segment_makes_a_ring(make_segment: MakeSegment, cls: Any) -> None:
    with pytest.raises(SegmentError, match="is a TABLE"):
        cls(make_segment(SegmentKind.TABLE, 8, RecordKind.TICKER_ROW))


# --- against a plain list, whatever the order of calls --------------------------------------------------------------
CAPACITY = 8


class BroadcastMachine(RuleBasedStateMachine):
    """The model: a list of everything published; a reader is an index into it."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"/corelane.model{os.getpid()}"

    @initialize()
    def make(self) -> None:
        Segment.remove(self.name)
        self.segment = Segment.create(self.name, BROADCAST, CAPACITY, slot_stride(RecordKind.QUOTE))
        self.writer = BroadcastWriter(self.segment)
        self.published: list[int] = []
        self.readers: list[tuple[BroadcastReader, list[int]]] = []  # reader, [next index, lost]

    @rule(count=st.integers(1, 20))
    def publish(self, count: int) -> None:
        for _ in range(count):
            number = len(self.published) + 1
            assert self.writer.publish(quote(number * 7)) == number
            self.published.append(number * 7)

    @rule()
    def attach(self) -> None:
        self.readers.append((BroadcastReader(self.segment), [len(self.published), 0]))

    @rule()
    def restart_writer(self) -> None:
        self.segment.header["cursor"] = max(0, len(self.published) - 1)  # as a writer killed before its store leaves it
        self.writer = BroadcastWriter(self.segment)
        assert self.writer.published == len(self.published)

    def expect(self, state: list[int]) -> int | None:
        """Where the model says the reader's next record is, after a lap has been settled."""
        if state[0] == len(self.published):
            return None
        if len(self.published) - state[0] > CAPACITY:
            state[1] += len(self.published) - 1 - state[0]
            state[0] = len(self.published) - 1
        return self.published[state[0]]

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), count=st.integers(1, 12))
    def poll(self, data: st.DataObject, count: int) -> None:
        reader, state = data.draw(st.sampled_from(self.readers))
        for _ in range(count):
            expected = self.expect(state)
            record = reader.poll()
            if expected is None:
                assert record is None
            else:
                assert (record.update_id, record.sequence) == (expected, state[0] + 1)
                state[0] += 1

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), limit=st.integers(1, 12), filtered=st.booleans())
    def drain(self, data: st.DataObject, limit: int, filtered: bool) -> None:
        reader, state = data.draw(st.sampled_from(self.readers))
        expected: list[int] = []
        while len(expected) < limit and (value := self.expect(state)) is not None:
            expected.append(value)
            state[0] += 1
        found = reader.drain(limit, RecordKind.QUOTE if filtered else None)
        if expected:
            assert found["update_id"].tolist() == expected
            assert found["sequence"].tolist() == list(range(state[0] - len(expected) + 1, state[0] + 1))
        else:
            assert len(found) == 0

    @invariant()
    def lost_is_exact(self) -> None:
        for reader, state in getattr(self, "readers", []):
            assert reader.lost == state[1]
            assert reader.next_sequence == state[0] + 1

    def teardown(self) -> None:
        Segment.remove(self.name)


class LosslessMachine(RuleBasedStateMachine):
    """The model: a queue of bounded length, and how much of it the consumer gave back."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"/corelane.model{os.getpid()}"

    @initialize()
    def make(self) -> None:
        Segment.remove(self.name)
        self.segment = Segment.create(self.name, LOSSLESS, CAPACITY, slot_stride(*EVENT_RING_KINDS))
        self.writer, self.reader = LosslessWriter(self.segment), LosslessReader(self.segment)
        self.observer = BroadcastReader(self.segment)
        self.published: list[int] = []
        self.polled = self.committed = 0

    @rule(count=st.integers(1, 10), reserved=st.booleans())
    def publish(self, count: int, reserved: bool) -> None:
        for _ in range(count):
            record = OrderEvent() if len(self.published) % 3 else Recovery()
            record.epoch = len(self.published) + 1
            room = CAPACITY - (0 if reserved else CAPACITY // 8) - (len(self.published) - self.committed)
            publish = self.writer.try_publish_reserved if reserved else self.writer.try_publish
            assert publish(record) == (room > 0)
            if room > 0:
                self.published.append(record.epoch)

    @rule(count=st.integers(1, 10))
    def poll(self, count: int) -> None:
        for _ in range(count):
            record = self.reader.poll()
            if self.polled == len(self.published):
                assert record is None
            else:
                assert record.epoch == self.published[self.polled]
                self.polled += 1

    @rule(limit=st.integers(1, 10))
    def drain(self, limit: int) -> None:
        found = self.reader.drain(limit)
        # A run of one kind: it ends where the kind changes.
        assert (
            found["epoch" if len(found) else "sequence"].tolist()
            == self.published[self.polled : self.polled + len(found)]
        )
        waiting = len(self.published) - self.polled
        assert len(found) <= limit
        assert (len(found) > 0) == (waiting > 0)
        if 0 < len(found) < min(limit, waiting):
            assert ((self.polled + len(found)) % 3 == 0) != ((self.polled + len(found) - 1) % 3 == 0)
        self.polled += len(found)

    @rule()
    def commit(self) -> None:
        self.reader.commit()
        self.committed = self.polled

    @rule()
    def restart_consumer(self) -> None:
        self.reader = LosslessReader(self.segment)
        self.polled = self.committed

    @rule()
    def restart_writer(self) -> None:
        self.segment.header["cursor"] = max(0, len(self.published) - 1)
        self.writer = LosslessWriter(self.segment)

    @rule()
    def observe(self) -> None:
        while (record := self.observer.poll()) is not None:
            assert record.epoch == self.published[record.sequence - 1]

    @invariant()
    def tail_is_what_was_committed(self) -> None:
        if hasattr(self, "reader"):
            assert self.reader.tail == self.committed
            assert self.reader.uncommitted == self.polled - self.committed
            assert self.writer.free == CAPACITY - (len(self.published) - self.committed)

    def teardown(self) -> None:
        Segment.remove(self.name)


TestBroadcastAgainstAList: Any = BroadcastMachine.TestCase
TestBroadcastAgainstAList.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


TestLosslessAgainstAList: Any = LosslessMachine.TestCase
TestLosslessAgainstAList.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# --- drain, slots ---------------------------------------------------------------------------------------------------
def test_drain_gives_the_fields_of_layout_and_the_sequence(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 64, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for number in range(1, 41):
        writer.publish(quote(number))
    array = reader.drain(30)
    assert array.dtype == drain_dtype(RecordKind.QUOTE)
    assert array["sequence"].tolist() == array["update_id"].tolist() == list(range(1, 31))
    assert array["bid_price"].tolist() == [number * 0.5 for number in range(1, 31)]
    assert len(reader.drain(30)) == 10
    assert len(reader.drain(30)) == 0
    writer.publish(quote(0))
    assert array["update_id"][0] == 1, "its own memory"


def test_drain_of_a_mixed_ring_gives_runs_of_one_kind_and_everything_in_order(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 64, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    kinds = [Quote, Quote, Trade, Quote, Ticker, Ticker, Ticker, BookTop]
    for kind in kinds:
        writer.publish(kind())
    runs = []
    while len(array := reader.drain(100)):
        runs.append((int(array["kind"][0]), array["sequence"].tolist()))
    assert runs == [
        (RecordKind.QUOTE, [1, 2]),
        (RecordKind.TRADE, [3]),
        (RecordKind.QUOTE, [4]),
        (RecordKind.TICKER, [5, 6, 7]),
        (RecordKind.BOOK_TOP, [8]),
    ]


def test_drain_of_one_kind_passes_over_the_others_and_counts_them(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 64, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for index in range(30):
        writer.publish(Trade() if index % 3 == 0 else quote(index))
    array = reader.drain(100, RecordKind.TRADE)
    assert array["sequence"].tolist() == list(range(1, 31, 3))
    assert array.dtype == drain_dtype(RecordKind.TRADE)
    assert reader.passed_over == 20
    assert len(reader.drain(5, RecordKind.TRADE)) == 0
    assert reader.drain(5, RecordKind.TRADE).dtype == drain_dtype(RecordKind.TRADE)


def test_drain_after_a_lap_tells_what_was_lost(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    for number in range(1, 101):
        writer.publish(quote(number))
    assert reader.drain(1000)["sequence"].tolist() == [100]
    assert (reader.lost, reader.laps) == (99, 1)


@pytest.mark.parametrize("arguments", [(0,), (-1,), (5, 99), (5, RecordKind.NONE), (5, RecordKind.BOOK_TOP)])
def test_drain_refuses_what_makes_no_sense(make_segment: MakeSegment, arguments: tuple[int, ...]) -> None:
    reader = BroadcastReader(make_segment(BROADCAST, 16, RecordKind.QUOTE))
    with pytest.raises(ValueError, match=r"expected|no kind of record|does not fit"):
        reader.drain(*arguments)


def test_drain_sees_a_record_whose_writer_died_before_the_cursor(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 16, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    writer.publish(quote(5))
    segment.header["cursor"] = 0
    assert reader.drain(9)["update_id"].tolist() == [5]


def test_slots_are_a_read_only_window_on_the_shared_bytes(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    slots, quotes = reader.slots, reader.slots_of(RecordKind.QUOTE)
    writer.publish(quote(6))
    assert slots["sequence"].tolist() == [1] + [0] * 7
    assert quotes["update_id"][0] == 6
    for view in (slots, quotes):
        with pytest.raises(ValueError, match="read-only"):
            view["sequence"][0] = 1


# --- poller ---------------------------------------------------------------------------------------------------------
def test_a_poller_tells_which_sources_have_something(make_segment: MakeSegment) -> None:
    rings = [make_segment(BROADCAST, 8, RecordKind.QUOTE) for _ in range(3)]
    table = make_segment(SegmentKind.TABLE, 4, RecordKind.TICKER_ROW)
    writers = [BroadcastWriter(ring) for ring in rings]
    rows = TableWriter(table)
    readers = [BroadcastReader(ring) for ring in rings]
    poller = Poller([*readers[:2], TableReader(table), readers[2]])
    assert poller.poll() == 0
    writers[1].publish(quote(1))
    assert poller.poll() == poller.poll() == 0b0010, "a ring's bit is a level"
    rows.write(2, TickerRow())
    assert poller.poll() == 0b0110
    assert poller.poll() == 0b0010, "a table's bit is the change since the poll before"
    readers[1].poll()
    for _ in range(20):
        writers[2].publish(quote(2))
    assert poller.poll() == 0b1000, "a lap is something to read too"


def test_a_poller_hands_out_records_of_all_rings_in_turn(make_segment: MakeSegment) -> None:
    rings = [make_segment(BROADCAST, 64, RecordKind.QUOTE) for _ in range(3)]
    writers = [BroadcastWriter(ring) for ring in rings]
    poller = Poller([BroadcastReader(ring) for ring in rings])
    for _ in range(30):
        writers[0].publish(quote(0))
    writers[1].publish(quote(1))
    writers[2].publish(quote(2))
    order = []
    while (record := poller.next()) is not None:
        assert record.update_id == poller.source
        order.append(poller.source)
    assert order == [0, 1, 2] + [0] * 29


def test_a_poller_refuses_what_it_cannot_watch(make_segment: MakeSegment) -> None:
    with pytest.raises(TypeError, match="source 0 of a poller is a int"):
        Poller([3])  # type: ignore[list-item]
    reader = BroadcastReader(make_segment(BROADCAST, 8, RecordKind.QUOTE))
    with pytest.raises(ValueError, match="64 at most"):
        Poller([reader] * 65)
    assert Poller([]).poll() == 0
    assert Poller([]).next() is None


# --- a writer killed in each window ---------------------------------------------------------------------------------
def die_at(point: StallPoint, sequence: int) -> Callable[[StallPoint, int], None]:
    def hook(found: StallPoint, at: int) -> None:
        if (found, at) == (point, sequence):
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def publish_until_killed(name: str, point: StallPoint, sequence: int, lossless: bool) -> None:
    segment = Segment.attach(name)
    writer = LosslessWriter(segment) if lossless else BroadcastWriter(segment)
    writer.stall_hook = die_at(point, sequence)
    for number in range(1, sequence + 5):
        record = quote(number)
        if isinstance(writer, LosslessWriter):
            assert writer.try_publish(record)
        else:
            writer.publish(record)


@pytest.mark.parametrize("point", WRITER_POINTS)
@pytest.mark.parametrize(
    ("lossless", "sequence"),
    # Nobody consumes here, so a lossless ring of eight is full at seven.
    [(False, 1), (False, 8), (False, 9), (False, 13), (True, 1), (True, 4), (True, 7)],
)
def test_a_killed_writer_leaves_no_half_record_and_its_successor_loses_none(
    make_segment: MakeSegment, point: StallPoint, sequence: int, lossless: bool
) -> None:
    segment = make_segment(LOSSLESS if lossless else BROADCAST, 8, RecordKind.QUOTE)
    reader = LosslessReader(segment) if lossless else BroadcastReader(segment, from_sequence=max(1, sequence - 6))
    with children() as start:
        start(publish_until_killed, segment.name, point, sequence, lossless).wait_killed()
    whole = sequence if point >= StallPoint.PUBLISHED else sequence - 1
    found: list[int] = []
    while (record := reader.poll()) is not None:
        assert record.bid_price == record.update_id * 0.5
        found.append(record.update_id)
    assert found == list(range(max(1, sequence - 6), whole + 1)), "published is readable, half written is not"
    writer = LosslessWriter(segment) if lossless else BroadcastWriter(segment)
    assert writer.published == whole == writer.cursor
    if isinstance(writer, LosslessWriter):
        assert writer.try_publish_reserved(quote(whole + 1))
    else:
        assert writer.publish(quote(whole + 1)) == whole + 1
    record = reader.poll()
    assert (record.update_id, record.sequence) == (whole + 1, whole + 1)


def consume_until_killed(name: str, point: StallPoint, sequence: int) -> None:
    reader = LosslessReader(Segment.attach(name))
    reader.stall_hook = die_at(point, sequence)
    while True:
        if reader.poll() is not None:
            reader.commit()


@pytest.mark.parametrize(
    ("point", "seen_again"),
    [
        (StallPoint.READING, True),
        (StallPoint.READ, True),
        (StallPoint.COMMITTING, True),
        (StallPoint.COMMITTED, False),
    ],
)
def test_a_killed_consumer_commits_all_or_nothing_of_a_record(
    make_segment: MakeSegment, point: StallPoint, seen_again: bool
) -> None:
    segment = make_segment(LOSSLESS, 8, RecordKind.QUOTE)
    writer = LosslessWriter(segment)
    for number in range(1, 6):
        writer.try_publish(quote(number))
    with children() as start:
        start(consume_until_killed, segment.name, point, 3).wait_killed()
    first = 3 if seen_again else 4
    assert [LosslessReader(segment).poll().update_id, writer.free] == [first, 8 - (6 - first)]


def test_the_stall_hook_is_off_unless_set(make_segment: MakeSegment) -> None:
    segment = make_segment(BROADCAST, 8, RecordKind.QUOTE)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    seen: list[tuple[StallPoint, int]] = []
    assert writer.stall_hook is None
    writer.stall_hook = reader.stall_hook = lambda point, sequence: seen.append((point, sequence))
    writer.publish(quote(1))
    reader.poll()
    assert seen == [*((point, 1) for point in WRITER_POINTS), (StallPoint.READING, 1), (StallPoint.READ, 1)]
    writer.stall_hook = reader.stall_hook = None
    writer.publish(quote(2))
    reader.poll()
    assert len(seen) == 7


# --- two processes --------------------------------------------------------------------------------------------------
def checked_quote(number: int) -> Quote:
    record = Quote()
    record.update_id = number
    record.bid_price, record.ask_price = float(number), -float(number)
    record.bid_quantity = float(zlib.crc32(number.to_bytes(8, "little")))
    return record


def is_whole(record: Quote) -> bool:
    number = record.update_id
    return (
        record.bid_price == number
        and record.ask_price == -number
        and record.bid_quantity == zlib.crc32(number.to_bytes(8, "little"))
    )


def read_broadcast(name: str, last: int, drain: bool) -> tuple[int, int, int]:
    """Polled, lost, torn; until the record numbered `last` was seen."""
    reader = BroadcastReader(Segment.attach(name), from_sequence=1)
    polled = torn = newest = 0
    while newest < last:
        if drain:
            array = reader.drain(64)
            for row in array:
                good = row["bid_price"] == row["update_id"] == -row["ask_price"]
                torn += not (good and row["sequence"] == row["update_id"] > newest)
                newest = int(row["update_id"])
            polled += len(array)
        elif (record := reader.poll()) is not None:
            torn += not (is_whole(record) and record.sequence == record.update_id > newest)
            newest = record.update_id
            polled += 1
    return polled, reader.lost, torn


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("capacity", [4, 1024])
def test_two_readers_in_other_processes_get_every_record_whole_or_counted(
    make_segment: MakeSegment, capacity: int, drain: bool
) -> None:
    segment = make_segment(BROADCAST, capacity, RecordKind.QUOTE)
    last = 30_000
    with children() as start:
        readers = [start(read_broadcast, segment.name, last, drain) for _ in range(2)]
        writer = BroadcastWriter(segment)
        for number in range(1, last + 1):
            writer.publish(checked_quote(number))
        for reader in readers:
            polled, lost, torn = reader.result()
            assert torn == 0
            assert polled + lost == last


def read_lossless(name: str, last: int) -> list[int]:
    """Numbers in the order in which they came, and -1 for each that was not whole."""
    reader = LosslessReader(Segment.attach(name))
    found: list[int] = []
    while len(found) < last:
        record = reader.poll()
        if record is None:
            os.sched_yield()
            continue
        found.append(record.update_id if is_whole(record) else -1)
        if record.sequence % 3 == 0 or not reader.has_next():
            reader.commit()
    reader.commit()
    return found


@pytest.mark.parametrize("capacity", [8, 256])
def test_a_lossless_ring_gives_another_process_each_record_once_and_in_order(
    make_segment: MakeSegment, capacity: int
) -> None:
    segment = make_segment(LOSSLESS, capacity, RecordKind.QUOTE)
    last = 10_000
    with children() as start:
        consumer = start(read_lossless, segment.name, last)
        writer = LosslessWriter(segment)
        refused = 0
        for number in range(1, last + 1):
            record = checked_quote(number)
            while not writer.try_publish(record):
                refused += 1
                os.sched_yield()
        assert consumer.result() == list(range(1, last + 1))
    assert refused > 0, "the ring was full at times"
    assert writer.free == capacity


# --- memory ---------------------------------------------------------------------------------------------------------
def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_a_million_publishes_and_polls_leave_memory_as_it_was(make_segment: MakeSegment) -> None:
    count = int(os.environ.get("CORELANE_MEMORY_RECORDS", 1_000_000))
    segment = make_segment(BROADCAST, 1024, *MARKET_RING_KINDS)
    writer, reader = BroadcastWriter(segment), BroadcastReader(segment)
    record = quote(1)

    def run(turns: int) -> float:
        total = 0.0
        for number in range(turns):
            record.update_id = number
            writer.publish(record)
            total += reader.poll().bid_price
        return total

    run(50_000)
    resident = resident_bytes()
    run(count)
    assert resident_bytes() - resident < 1 << 20
    tracemalloc.start()
    run(1000)
    before = tracemalloc.get_traced_memory()[0]
    run(20_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1024
