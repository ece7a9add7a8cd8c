"""Pinning, housekeeping cores, and what the host refuses."""

from __future__ import annotations

import os

from processes import placement
from processes.config import load_config
from processes.host_reading import Host


def test_a_process_without_a_place_is_left_where_it_is(config):
    before = os.sched_getaffinity(0)
    assert placement.place(config, "trader") == []
    assert os.sched_getaffinity(0) == before


def test_housekeeping_stays_off_the_cores_that_spin(write_config):
    last = (os.cpu_count() or 1) - 1
    spinning = load_config(write_config(f'[cores]\ntrader = {{ core = {last}, wait = "spin" }}\n'))
    others = set(range(last)) or {0}
    assert placement.housekeeping_cores(spinning) == others


def test_housekeeping_stays_off_what_the_boot_isolated_and_what_is_offline(write_config, tmp_path):
    """Hardware threads that were taken offline leave holes in the numbers."""
    for name, text in {"online": "0,2,4,6\n", "isolated": "4-7\n"}.items():
        file = tmp_path / "sys/devices/system/cpu" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    config = load_config(write_config('[cores]\ntrader = { core = 0, wait = "spin" }\n'))
    assert placement.housekeeping_cores(config, Host(tmp_path)) == {2}


def test_housekeeping_is_never_nowhere(write_config):
    lines = "".join(
        f'"{name}" = {{ core = {core}, wait = "spin" }}\n'
        for core, name in zip(range(os.cpu_count() or 1), ["trader", "market_server.binance"], strict=False)
    )
    assert placement.housekeeping_cores(load_config(write_config("[cores]\n" + lines)))


def test_what_the_host_refuses_is_a_sentence(write_config, monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(placement, "_lock_memory", list)
    config = load_config(write_config('[cores]\ntrader = { core = 0, scheduling = "fifo", priority = 7 }\n'))
    assert placement.place(config, "trader") == [
        "not pinned to core 0: Operation not permitted",
        "no SCHED_FIFO priority 7: Operation not permitted",
    ]


def test_without_a_supervisor_no_parent_is_missed(monkeypatch):
    monkeypatch.delenv(placement.PARENT_VARIABLE, raising=False)
    assert placement.die_with_parent()
