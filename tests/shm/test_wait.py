"""shm/wait.py: one suite over every way to spend an idle turn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shm.doorbell import Doorbell
from shm.layout import RecordKind, SegmentKind
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter
from shm.segment import Segment
from shm.wait import Backoff, BusySpin, DoorbellWait, WaitStrategy, Yielding
from tests.shm.children import children

NAMES = ["BusySpin", "Yielding", "Backoff", "DoorbellWait"]


@pytest.fixture
def ring(make_segment: Callable[..., Segment], tmp_path: Path) -> Segment:
    segment = make_segment(SegmentKind.BROADCAST_RING, 64, RecordKind.QUOTE)
    segment.bell_folder = str(tmp_path)
    return segment


@pytest.fixture(params=NAMES)
def waiting(
    request: pytest.FixtureRequest, ring: Segment, tmp_path: Path
) -> Iterator[tuple[WaitStrategy, BroadcastReader]]:
    reader = BroadcastReader(ring)
    bell = Doorbell(tmp_path, 1, [reader])
    made: dict[str, WaitStrategy] = {
        "BusySpin": BusySpin(),
        "Yielding": Yielding(spins=3),
        "Backoff": Backoff(spins=3, first_s=1e-6, longest_s=1e-4),
        "DoorbellWait": DoorbellWait(bell, longest_s=0.5),
    }
    yield made[request.param], reader
    bell.close()


def publish_slowly(name: str, bells: str, count: int) -> None:
    segment = Segment.attach(name)
    segment.bell_folder = bells
    writer = BroadcastWriter(segment)
    for _ in range(count):
        time.sleep(0.0005)
        writer.publish(Quote())


def test_a_loop_gets_every_record_with_any_strategy(
    waiting: tuple[WaitStrategy, BroadcastReader], ring: Segment, tmp_path: Path
) -> None:
    strategy, reader = waiting
    with children() as start:
        start(publish_slowly, ring.name, str(tmp_path), 50)
        polled = 0
        deadline = time.monotonic() + 20
        while polled < 50:
            assert time.monotonic() < deadline
            work = 0
            while reader.poll() is not None:
                work += 1
            polled += work
            strategy.idle(work)
    assert reader.lost == 0


def test_work_is_never_followed_by_a_sleep(
    waiting: tuple[WaitStrategy, BroadcastReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy, _ = waiting

    def forbidden(*_: object) -> None:
        raise AssertionError("slept after work")

    monkeypatch.setattr(time, "sleep", forbidden)
    monkeypatch.setattr(os, "sched_yield", forbidden)
    monkeypatch.setattr(Doorbell, "wait", forbidden)
    for _ in range(10):
        strategy.idle(1)
    strategy.reset()


def test_yielding_spins_first_and_again_after_work(monkeypatch: pytest.MonkeyPatch) -> None:
    yields: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(1))
    strategy = Yielding(spins=3)
    for _ in range(5):
        strategy.idle(0)
    assert len(yields) == 2
    strategy.idle(1)
    for _ in range(3):
        strategy.idle(0)
    assert len(yields) == 2
    strategy.reset()
    for _ in range(4):
        strategy.idle(0)
    assert len(yields) == 3


def test_backoff_sleeps_twice_as_long_each_time_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    strategy = Backoff(spins=2, first_s=1e-3, longest_s=3e-3)
    for _ in range(6):
        strategy.idle(0)
    assert slept == [1e-3, 2e-3, 3e-3, 3e-3]
    strategy.idle(1)
    for _ in range(3):
        strategy.idle(0)
    assert slept[-1] == 1e-3


def test_a_doorbell_sleep_is_bounded(ring: Segment, tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, 1, [BroadcastReader(ring)])
    before = time.monotonic()
    DoorbellWait(bell, longest_s=0.01).idle(0)
    assert 0.009 < time.monotonic() - before < 5
    bell.close()
