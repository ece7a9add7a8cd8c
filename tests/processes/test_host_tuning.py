"""Tuning changes only what is wrong, knows what was there before it changes it, and puts all of it back."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from processes.exit_codes import Failure
from processes.host_reading import Host
from processes.host_tuning import apply, hold, restore, wanted

SWAPPINESS = "proc/sys/vm/swappiness"
THP = "sys/kernel/mm/transparent_hugepage/enabled"
GOVERNOR = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"
BUSY = "proc/sys/net/core/busy_poll"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    root = tmp_path / "root"
    for name, text in {
        SWAPPINESS: "60",
        THP: "[always] madvise never",
        GOVERNOR: "powersave",
        BUSY: "50",
        "dev/cpu_dma_latency": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Host(root)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "before.json"


def now(host: Host) -> list[str | None]:
    return [host.text(name) for name in (SWAPPINESS, THP, GOVERNOR, BUSY)]


def test_only_what_is_wrong_is_changed_and_each_change_is_told(host: Host, record: Path) -> None:
    lines = list(apply(host, record))
    assert now(host) == ["10", "madvise", "performance", "50"]
    assert f"/{SWAPPINESS}: 60 -> 10" in lines and len(lines) == 3
    assert wanted(host) == {}


def test_everything_goes_back_to_what_was_found(host: Host, record: Path) -> None:
    list(apply(host, record))
    assert len(list(restore(host, record))) == 3
    assert now(host) == ["60", "always", "powersave", "50"]
    assert list(restore(host, record)) == ["nothing to put back"]


def test_a_run_after_a_kill_keeps_the_first_values(host: Host, record: Path) -> None:
    list(apply(host, record))
    host.path(SWAPPINESS).write_text("30")
    list(apply(host, record))
    list(restore(host, record))
    assert now(host)[0] == "60"


def test_nothing_is_changed_where_nothing_can_be_recorded(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="expected to be run by root"):
        list(apply(host, tmp_path / "file" / "before.json"))
    assert now(host)[0] == "60"


def test_it_holds_until_a_signal_and_leaves_no_trace(host: Host, record: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    held: list[list[str | None]] = []
    try:
        for line in hold(host, record):
            if "cpu_dma_latency" in line:
                held.append(now(host))
                signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # pending: hold() waits for it next
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert held == [["10", "madvise", "performance", "50"]]
    assert now(host) == ["60", "always", "powersave", "50"]
    assert (host.root / "dev/cpu_dma_latency").read_bytes() == bytes(4)
    assert not record.exists()
