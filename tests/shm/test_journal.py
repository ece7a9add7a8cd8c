"""shm/journal.py: what append() returned for survives kill -9, and parts that a power cut left are never believed."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm.journal import JournalError, JournalWriter, read_journal
from shm.layout import HEADER_SIZE, JOURNAL_STRIDE, RecordKind
from shm.record import Record
from shm.records import OrderEvent, OrderRequest, Recovery
from shm.ring import BroadcastReader
from shm.stall import StallPoint
from tests.shm.children import children


def request(number: int) -> OrderRequest:
    record = OrderRequest()
    record.request_id = record.client_order_id = number
    return record


def numbers(path: Path) -> list[int]:
    found = list(read_journal(path))
    assert [record.request_id for record in found] == [record.client_order_id for record in found]
    return [record.request_id for record in found]


def test_records_come_back_as_they_were_with_their_place_in_the_series(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "binance"
    writer = JournalWriter(path, slots_per_file=4)
    event, recovery = OrderEvent(), Recovery()
    event.text, recovery.nonce = b"filled", 7
    records: list[Record] = [request(1), event, recovery, request(2), event, request(3)]
    assert [writer.append(record) for record in records] == [1, 2, 3, 4, 5, 6]
    found = list(read_journal(path))
    assert found == records
    assert [record.sequence for record in found] == [1, 2, 3, 4, 5, 6]
    assert len({id(record) for record in found}) == 6
    assert request(1).publish_time_ns == found[0].publish_time_ns == 0, "nothing is stamped"


def test_a_journal_that_never_was_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "none")) == []


def test_a_restarted_writer_goes_on_behind_the_last_record(tmp_path: Path) -> None:
    path = tmp_path / "binance"
    for start in range(0, 30, 3):
        writer = JournalWriter(path, slots_per_file=8)
        for number in range(start, start + 3):
            assert writer.append(request(number)) == number + 1
        writer.close()
    assert numbers(path) == list(range(30))


def test_the_newest_records_may_be_read_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=8)
    for number in range(20):
        writer.append(request(number))
        assert numbers(path) == list(range(number + 1))


def append_until_killed(path: Path, point: StallPoint, nth: int) -> None:
    writer = JournalWriter(path, slots_per_file=8)

    def hook(found: StallPoint, sequence: int) -> None:
        if found == point and sequence == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    writer._file.ring.stall_hook = hook
    for number in range(1, 20):
        writer.append(request(number))


@pytest.mark.parametrize("nth", [1, 5, 8])
@pytest.mark.parametrize(
    "point",
    [StallPoint.INVALIDATED, StallPoint.COPYING, StallPoint.COPIED, StallPoint.PUBLISHED, StallPoint.CURSOR],
)
def test_kill_9_in_any_window_of_append_leaves_whole_records_only(tmp_path: Path, point: StallPoint, nth: int) -> None:
    path = tmp_path / "binance"
    with children() as start:
        start(append_until_killed, path, point, nth).wait_killed()
    whole = nth if point >= StallPoint.PUBLISHED else nth - 1
    assert numbers(path) == list(range(1, whole + 1))
    writer = JournalWriter(path, slots_per_file=8)
    assert writer.append(request(whole + 1)) == whole + 1
    assert numbers(path) == list(range(1, whole + 2))


def append_and_tell(path: Path, write_end: int) -> None:
    writer = JournalWriter(path, slots_per_file=64)
    number = len(numbers(path))
    while True:
        number = writer.append(request(number + 1))
        os.write(write_end, number.to_bytes(8, "little"))
        if number % 50 == 0:
            writer.flush()


def test_kill_9_at_any_moment_loses_nothing_that_append_returned_for(tmp_path: Path) -> None:
    path = tmp_path / "binance"
    with children() as start:
        for turn in range(8):
            read_end, write_end = os.pipe()
            before = len(numbers(path))
            child = start(append_and_tell, path, write_end)
            os.close(write_end)
            told = 0
            while told < before + 100 + 137 * turn:
                told = int.from_bytes(os.read(read_end, 8), "little")
            child.kill()
            while chunk := os.read(read_end, 8):
                told = int.from_bytes(chunk, "little")
            os.close(read_end)
            found = numbers(path)
            assert found == list(range(1, len(found) + 1))
            assert told <= len(found) <= told + 1


@pytest.mark.parametrize("left", ["empty file", "space without header", "header without magic"])
def test_a_writer_killed_while_it_made_a_file_is_no_obstacle(tmp_path: Path, left: str) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=4)
    for number in range(1, 5):
        writer.append(request(number))
    following = tmp_path / "binance.000002"
    following.touch()
    if left != "empty file":
        with following.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, HEADER_SIZE + 4 * JOURNAL_STRIDE)
            if left == "header without magic":
                os.pwrite(stream.fileno(), b"\x07" * 100, 8)
    assert numbers(path) == [1, 2, 3, 4]
    assert JournalWriter(path, slots_per_file=4).append(request(5)) == 5
    assert numbers(path) == [1, 2, 3, 4, 5]


def test_a_file_that_was_made_ahead_and_not_begun_is_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=8)
    for number in range(1, 6):
        writer.append(request(number))
    writer.flush()
    assert (tmp_path / "binance.000002").exists(), "more than half full: the next is made beside the path"
    assert JournalWriter(path, slots_per_file=8).append(request(6)) == 6
    for number in range(6, 12):
        writer = JournalWriter(path, slots_per_file=8)
        assert writer.append(request(number + 1)) == number + 1
    assert numbers(path) == list(range(1, 13))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lost=st.sets(st.integers(0, 7)), cut=st.integers(0, 8 * 512))
def test_whatever_a_power_cut_left_only_whole_records_are_believed(tmp_path: Path, lost: set[int], cut: int) -> None:
    """Parts of 512 bytes of the unflushed file never reached the disk: zeros stand there."""
    path = tmp_path / "cut" / "binance"
    for old in path.parent.glob("*"):
        old.unlink()
    writer = JournalWriter(path, slots_per_file=16)
    originals = [request(number) for number in range(1, 11)]
    for record in originals:
        writer.append(record)
    writer.close()
    file = path.with_name("binance.000001")
    data = bytearray(file.read_bytes())
    for part in lost:
        start = HEADER_SIZE + part * 512
        data[start : start + 512] = bytes(512)
    file.write_bytes(data)
    touched = {
        slot
        for slot in range(1, 11)
        for part in lost
        if part * 512 < slot * JOURNAL_STRIDE and (slot - 1) * JOURNAL_STRIDE < (part + 1) * 512
    }
    found = list(read_journal(path))
    assert {record.sequence for record in found} >= set(range(1, 11)) - touched
    for record in found:
        assert record == originals[record.sequence - 1], "whole or not at all"
    place = JournalWriter(path, slots_per_file=16).append(request(99))
    assert [record.request_id for record in read_journal(path) if record.sequence == place] == [99]


def test_a_damaged_record_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=8)
    for number in range(1, 5):
        writer.append(request(number))
    writer.close()
    file = path.with_name("binance.000001")
    data = bytearray(file.read_bytes())
    data[HEADER_SIZE + 1 * JOURNAL_STRIDE + 40] ^= 1
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert numbers(path) == [1, 3, 4]
    assert "records 2 to 2 are damaged and skipped" in caplog.text


def test_what_is_appended_while_it_is_read_is_neither_damaged_nor_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=8)
    writer.append(request(1))
    found = []
    with caplog.at_level(logging.WARNING):
        for record in read_journal(path):
            found.append(record.request_id)
            if len(found) < 5:
                writer.append(request(len(found) + 1))
    assert found == [1, 2, 3, 4, 5]
    assert "damaged" not in caplog.text


def test_a_hole_that_a_writer_fills_while_the_slot_after_it_is_looked_at_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=8)
    writer.append(request(1))
    seen: list[int] = []

    class Slow(BroadcastReader):
        """The writer gets two records in between the looks at slots 2 and 3."""

        def at(self, slot: int) -> Any:
            if slot == 3 and 3 not in seen:
                writer.append(request(2))
                writer.append(request(3))
            seen.append(slot)
            return super().at(slot)

    monkeypatch.setattr("shm.journal.BroadcastReader", Slow)
    with caplog.at_level(logging.WARNING):
        assert numbers(path) == [1, 2, 3]
    assert "damaged" not in caplog.text


def test_the_size_is_bounded_and_the_removal_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=4, keep_files=3)
    with caplog.at_level(logging.WARNING):
        for number in range(1, 41):
            assert writer.append(request(number)) == number
            if number % 7 == 0:
                writer.flush()
            assert len(list(tmp_path.iterdir())) <= 3
    found = list(read_journal(path))
    assert [record.sequence for record in found] == [record.request_id for record in found]
    assert found[-1].request_id == 40
    assert len(found) >= 8
    assert "binance.000001 is removed, 3 files are kept" in caplog.text
    assert JournalWriter(path, slots_per_file=4, keep_files=3).append(request(41)) == 41


def test_flush_from_another_thread_never_costs_or_doubles_a_record(tmp_path: Path) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=16)
    stop = threading.Event()

    def flushing() -> None:
        while not stop.is_set():
            writer.flush()

    thread = threading.Thread(target=flushing)
    thread.start()
    try:
        for number in range(1, 2001):
            assert writer.append(request(number)) == number
    finally:
        stop.set()
        thread.join()
    assert numbers(path) == list(range(1, 2001))


def test_descriptors_do_not_pile_up_where_nobody_flushes(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "binance", slots_per_file=2)
    for number in range(20):
        writer.append(request(number))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(100):
        writer.append(request(number))
    assert len(os.listdir("/proc/self/fd")) <= before + 8  # noqa: PTH208


@pytest.mark.parametrize(("slots", "keep"), [(0, 5), (1, 5), (12, 5), (8, 1)])
def test_sizes_that_make_no_journal_are_refused(tmp_path: Path, slots: int, keep: int) -> None:
    with pytest.raises(JournalError, match="expected"):
        JournalWriter(tmp_path / "binance", slots_per_file=slots, keep_files=keep)


def test_a_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binance.000001").write_bytes(b"not a journal, but some text " * 1000)
    for call in (lambda: JournalWriter(tmp_path / "binance"), lambda: list(read_journal(tmp_path / "binance"))):
        with pytest.raises(JournalError, match="is not corelane's") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_truncated_file_is_one_sentence(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "binance", slots_per_file=8)
    writer.append(request(1))
    writer.close()
    os.truncate(tmp_path / "binance.000001", HEADER_SIZE + 100)
    for call in (lambda: JournalWriter(tmp_path / "binance"), lambda: list(read_journal(tmp_path / "binance"))):
        with pytest.raises(JournalError, match="its header describes"):
            call()


def test_a_full_disk_is_one_sentence_and_nothing_was_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "binance"
    writer = JournalWriter(path, slots_per_file=4)
    for number in range(1, 5):
        writer.append(request(number))

    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(JournalError, match=r"binance\.000002 cannot be written: No space left on device"):
            writer.append(request(5))
    assert writer.append(request(5)) == 5, "and it goes on once there is room"
    assert numbers(path) == [1, 2, 3, 4, 5]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be made"):
        JournalWriter(tmp_path / "file" / "binance")


def test_the_rate_leaves_a_trading_engine_room(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "binance")
    record = OrderEvent()
    assert record.kind == RecordKind.ORDER_EVENT
    before = time.perf_counter()
    for _ in range(20_000):
        writer.append(record)
    rate = 20_000 / (time.perf_counter() - before)
    assert rate > 50_000, f"{rate:,.0f} appends a second, a new file among them"
