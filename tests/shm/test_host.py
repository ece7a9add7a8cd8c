"""Segments of the host: made by whoever comes first, kept while they are used or true, removed afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import host
from shm.host import HostLimits, discard, limits_name, sweep
from shm.instance import Instance
from shm.layout import SegmentKind
from shm.limits import LimitCredits, LimitWindow
from shm.segment import Segment, SegmentError

SECOND = 10**9


@pytest.fixture
def name() -> Iterator[str]:
    """A place of a venue that nobody else asks."""
    made = limits_name("binance", "testnet", f"http://test-{os.getpid()}-{uuid.uuid4().hex[:8]}:1")
    yield made
    Segment.remove(made)


def test_a_name_tells_venue_environment_and_place() -> None:
    assert limits_name("binance", "live") == "/corelane.host.binance.live"
    assert (
        limits_name("binance", "simulator", "http://127.0.0.1:5000/")
        == "/corelane.host.binance.simulator.127-0-0-1-5000"
    )
    assert limits_name("grvt", "testnet", "https://a.b/c d?e") == "/corelane.host.grvt.testnet.a-b-c-d-e"
    assert len(limits_name("binance", "testnet", "https://" + "x" * 500)) < 100


def test_whoever_comes_first_makes_it_and_the_others_find_what_stands_there(name: str) -> None:
    first = HostLimits(name)
    LimitWindow(first.table, "w", 10, SECOND).take(7, 1000, True, 5)
    second = HostLimits(name)
    assert LimitWindow(second.table, "w", 10, SECOND).used(5) == 7
    assert Path(f"/dev/shm{name}").stat().st_mode & 0o777 == 0o600
    first.close()
    first.close()
    second.close()


def test_another_segment_under_the_name_is_refused_in_a_sentence(name: str) -> None:
    Segment.create(name, SegmentKind.WORDS, 64, 8).close()
    with pytest.raises(SegmentError, match="exists as WORDS of 64"):
        HostLimits(name)


def test_what_is_used_stays_whatever_it_holds(name: str) -> None:
    limits = HostLimits(name)
    assert name not in sweep()
    assert not discard(name)
    limits.close()
    assert name in sweep()
    assert not Segment.names(name)


def test_a_ban_and_a_present_count_outlive_every_process(name: str) -> None:
    now = time.time_ns()
    for fill in (
        lambda table: LimitWindow(table, "w", 10, 3_600 * SECOND).take(1, 1000, True, now),
        lambda table: LimitWindow(table, "w", 10, SECOND).close(now + 3_600 * SECOND),
        lambda table: LimitWindow(table, "w", 10, SECOND).hush(now, 3_600 * SECOND),
        lambda table: LimitCredits(table, "c", 10, 200 * SECOND).take(1, 1000, True, now),
    ):
        limits = HostLimits(name)
        fill(limits.table)
        limits.close()
        assert name not in sweep()
        assert name in sweep(now + 2 * 3_600 * SECOND)


def test_discarding_asks_only_whether_anybody_uses_it(name: str) -> None:
    limits = HostLimits(name)
    LimitWindow(limits.table, "w", 10, SECOND).close(time.time_ns() + 3_600 * SECOND)
    limits.close()
    assert discard(name)
    assert not discard(name)


def test_limits_of_a_simulator_are_kept_for_nobody() -> None:
    name = limits_name("binance", "simulator", f"http://test-{uuid.uuid4().hex[:8]}")
    limits = HostLimits(name)
    LimitWindow(limits.table, "w", 10, SECOND).close(time.time_ns() + 3_600 * SECOND)
    limits.close()
    assert name in sweep()


def test_a_process_that_was_killed_uses_nothing_any_more(name: str) -> None:
    code = (
        f"import time; from shm.host import HostLimits; h = HostLimits({name!r}); print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            assert not discard(name)
        finally:
            process.kill()
    assert discard(name)


def test_a_folder_that_stays_locked_is_said_in_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LOCK_PATIENCE_S", 0.02)
    with host._folder_lock(), pytest.raises(SegmentError, match="was locked by another process"):
        HostLimits(name)


def test_an_instance_attaches_once_and_lets_go_at_its_end(instance: Instance, tmp_path: Path) -> None:
    url = f"http://test-{uuid.uuid4().hex[:8]}"
    table = instance.limits("binance", "simulator", url)
    assert instance.limits("binance", "simulator", url) is table
    name = limits_name("binance", "simulator", url)
    assert name not in sweep()
    instance.close()
    instance.remove()
    assert not Segment.names(name)
    with pytest.raises(SegmentError, match="is taken"):
        Instance("host", 1, tmp_path, tmp_path)
