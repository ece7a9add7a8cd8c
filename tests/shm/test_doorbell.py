"""shm/doorbell.py: a sleeper is woken, whatever moment the writer chooses."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shm.doorbell import Doorbell
from shm.layout import RecordKind, SegmentKind
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.segment import Segment
from tests.shm.children import children

LONG_S = 20.0


@pytest.fixture
def ring(make_segment: Callable[..., Segment], tmp_path: Path) -> Segment:
    segment = make_segment(SegmentKind.BROADCAST_RING, 1024, RecordKind.QUOTE)
    segment.bell_folder = str(tmp_path)
    return segment


def armed(segment: Segment) -> int:
    return int(segment.header["armed"][0])


def test_nothing_is_written_to_a_bell_whose_reader_is_awake(ring: Segment, tmp_path: Path) -> None:
    writer, reader = BroadcastWriter(ring), BroadcastReader(ring)
    bell = Doorbell(tmp_path, 3, [reader])
    writer.publish(Quote())
    with pytest.raises(BlockingIOError):
        os.read(bell.fileno(), 1)
    bell.close()


def test_arm_refuses_where_something_is_there_to_read(ring: Segment, tmp_path: Path) -> None:
    writer, reader = BroadcastWriter(ring), BroadcastReader(ring)
    bell = Doorbell(tmp_path, 3, [reader])
    assert bell.arm()
    assert armed(ring) == 1 << 3
    bell.disarm()
    writer.publish(Quote())
    assert not bell.arm()
    assert armed(ring) == 0
    assert bell.wait(LONG_S), "returns at once"
    reader.poll()
    assert not bell.wait(0.0)
    bell.close()


def test_an_armed_bell_rings_once_for_a_burst(ring: Segment, tmp_path: Path) -> None:
    writer, reader = BroadcastWriter(ring), BroadcastReader(ring)
    bell = Doorbell(tmp_path, 63, [reader])
    assert bell.arm()
    for _ in range(10):
        writer.publish(Quote())
    assert os.read(bell.fileno(), 100) == b"\0"
    assert armed(ring) == 0
    bell.close()


def test_each_bell_of_a_ring_is_rung(ring: Segment, tmp_path: Path) -> None:
    writer = BroadcastWriter(ring)
    bells = [Doorbell(tmp_path, bell_id, [BroadcastReader(ring)]) for bell_id in (0, 5, 63)]
    assert all(bell.arm() for bell in bells)
    writer.publish(Quote())
    assert [os.read(bell.fileno(), 9) for bell in bells] == [b"\0"] * 3
    for bell in bells:
        bell.close()


def test_a_bell_of_several_rings_is_rung_by_each(
    make_segment: Callable[..., Segment], ring: Segment, tmp_path: Path
) -> None:
    events = make_segment(SegmentKind.LOSSLESS_RING, 8, RecordKind.QUOTE)
    events.bell_folder = str(tmp_path)
    bell = Doorbell(tmp_path, 2, [BroadcastReader(ring)])
    bell.add(LosslessReader(events))
    for publish in (BroadcastWriter(ring).publish, LosslessWriter(events).try_publish):
        bell.disarm()
        for segment in (ring, events):
            segment.header["armed"] = 1 << 2
        publish(Quote())
        assert os.read(bell.fileno(), 9) == b"\0"
    bell.close()


def test_a_writer_survives_a_dead_sleeper_and_rings_its_successor(ring: Segment, tmp_path: Path) -> None:
    writer = BroadcastWriter(ring)
    for turn in range(3):
        bell = Doorbell(tmp_path, 4, [reader := BroadcastReader(ring)])
        assert bell.arm()
        writer.publish(Quote())
        assert os.read(bell.fileno(), 9) == b"\0", turn
        reader.poll()
        assert bell.arm()
        os.close(bell.fileno())  # killed: nobody reads the FIFO, its bit stays set
        bell._fd = -1
        assert armed(ring) == 1 << 4
        writer.publish(Quote())
        assert armed(ring) == 0
        bell.path.unlink()
        ring.header["armed"] = 1 << 4
        writer.publish(Quote())


def test_a_writer_without_a_bell_folder_rings_nobody(make_segment: Callable[..., Segment], tmp_path: Path) -> None:
    segment = make_segment(SegmentKind.BROADCAST_RING, 8, RecordKind.QUOTE)
    bell = Doorbell(tmp_path, 4, [BroadcastReader(segment)])
    assert bell.arm()
    assert BroadcastWriter(segment).publish(Quote()) == 1
    assert not bell.wait(0.0) or BroadcastReader(segment, from_sequence=1).has_next()
    bell.close()


def test_a_full_fifo_does_not_hold_the_writer_up(ring: Segment, tmp_path: Path) -> None:
    writer = BroadcastWriter(ring)
    bell = Doorbell(tmp_path, 4, [BroadcastReader(ring)])
    with pytest.raises(BlockingIOError):
        while True:
            os.write(bell.fileno(), b"\0" * 4096)
    ring.header["armed"] = 1 << 4
    assert writer.publish(Quote()) == 1
    bell.close()


def test_what_stands_under_the_name_and_is_no_fifo_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "7.bell").write_text("x")
    bell = Doorbell(tmp_path, 7)
    assert bell.path.is_fifo()
    bell.close()
    bell.close()
    assert not bell.path.exists()


@pytest.mark.parametrize("bell_id", [-1, 64])
def test_an_id_outside_the_word_is_refused(tmp_path: Path, bell_id: int) -> None:
    with pytest.raises(ValueError, match=f"doorbell id {bell_id} is not within"):
        Doorbell(tmp_path, bell_id)


def answer(forth: str, back: str, bells: str, count: int, bell_id: int) -> int:
    """Sleeps for each record and sends it back. Returns how often a sleep ended by its bound alone."""
    segments = [Segment.attach(name) for name in (forth, back)]
    for segment in segments:
        segment.bell_folder = bells
    reader, writer = BroadcastReader(segments[0], from_sequence=1), BroadcastWriter(segments[1])
    bell = Doorbell(bells, bell_id, [reader])
    missed = answered = 0
    while answered < count:
        record = reader.poll()
        if record is None:
            missed += not bell.wait(LONG_S)
            continue
        writer.publish(record)
        answered += 1
    return missed


def test_no_wake_up_is_missed_between_two_sleepers(make_segment: Callable[..., Segment], tmp_path: Path) -> None:
    """Ping and pong, both asleep between: a missed wake-up would cost its whole bound of 20 s and fail the count."""
    count = 4000
    forth, back = (make_segment(SegmentKind.BROADCAST_RING, 8, RecordKind.QUOTE) for _ in range(2))
    forth.bell_folder = back.bell_folder = str(tmp_path)
    with children() as start:
        peer = start(answer, forth.name, back.name, str(tmp_path), count, 1)
        writer, reader = BroadcastWriter(forth), BroadcastReader(back, from_sequence=1)
        bell = Doorbell(tmp_path, 0, [reader])
        missed = 0
        for number in range(count):
            record = Quote()
            record.update_id = number
            writer.publish(record)
            while (found := reader.poll()) is None:
                missed += not bell.wait(LONG_S)
            assert found.update_id == number
        assert (missed, peer.result()) == (0, 0)
        bell.close()


def sleep_until(name: str, bells: str, last: int) -> int:
    """A reader that attaches while the writer runs. Returns sleeps that ended by their bound alone."""
    reader = BroadcastReader(Segment.attach(name))
    bell = Doorbell(bells, 9, [reader])
    missed, newest = 0, 0
    while newest < last:
        record = reader.poll()
        if record is None:
            missed += not bell.wait(LONG_S)
        else:
            newest = record.update_id
    return missed


def test_a_reader_that_attaches_while_the_writer_runs_is_woken_too(ring: Segment, tmp_path: Path) -> None:
    writer = BroadcastWriter(ring)
    last, number = 1 << 62, 0
    with children() as start:
        sleepers = [start(sleep_until, ring.name, str(tmp_path), last)]
        record = Quote()
        deadline = time.monotonic() + 30
        bells_seen = 0
        while bells_seen < 200:
            assert time.monotonic() < deadline, "the sleeper sleeps and is woken again and again"
            if armed(ring):
                bells_seen += 1
                number += 1
                record.update_id = number
                writer.publish(record)
        record.update_id = last
        while sleepers[0].running:
            writer.publish(record)
            time.sleep(0.001)
        assert sleepers[0].result() == 0


def publish_each(name: str, bells: str, count: int) -> None:
    segment = Segment.attach(name)
    segment.bell_folder = bells
    writer = BroadcastWriter(segment)
    for _ in range(count):
        writer.publish(Quote())
        time.sleep(0.0002)


async def test_a_bell_serves_an_event_loop(ring: Segment, tmp_path: Path) -> None:
    reader = BroadcastReader(ring)
    bell = Doorbell(tmp_path, 8, [reader])
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    polled = 0

    def rang() -> None:
        nonlocal polled
        bell.clear()
        while True:
            while reader.poll() is not None:
                polled += 1
            if polled >= 200:
                if not done.done():
                    done.set_result(None)
                return
            if bell.arm():
                return

    asyncio.get_running_loop().add_reader(bell.fileno(), rang)
    assert bell.arm()
    with children() as start:
        start(publish_each, ring.name, str(tmp_path), 200)
        await asyncio.wait_for(done, LONG_S)
    asyncio.get_running_loop().remove_reader(bell.fileno())
    assert polled == 200
    bell.close()
