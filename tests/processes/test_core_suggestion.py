"""A suggested table gives spinners physical cores of their own, best ones first, and passes the rules of the config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from processes.config import load_config
from processes.core_suggestion import suggest
from processes.host_reading import Host

CPU = "sys/devices/system/cpu"
SET = ("simulator.binance", "market_server.binance", "trading_engine.binance", "position_server.binance", "trader")


def host(root: Path, cores: int, threads: int = 1, extra: dict[str, str] | None = None) -> Host:
    """`threads` 2: core N and N + cores / 2 are one physical core."""
    files = {f"{CPU}/online": f"0-{cores - 1}"}
    for core in range(cores):
        first = core % (cores // threads)
        siblings = ",".join(str(first + part * (cores // threads)) for part in range(threads))
        files[f"{CPU}/cpu{core}/topology/thread_siblings_list"] = siblings
    for name, text in (files | (extra or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Host(root)


def cores_of(text: str) -> dict[str, int]:
    pairs = (line.split(" = ", 1) for line in text.splitlines() if "core = " in line)
    return {name: int(rest.split("core = ")[1].split(",")[0]) for name, rest in pairs}


def test_each_spinner_has_a_physical_core_and_core_0_stays_free(tmp_path: Path) -> None:
    placed = cores_of(suggest(host(tmp_path, 8, threads=2), SET))
    assert placed == {"trader": 1, "trading_engine.binance": 2, "market_server.binance": 3}


def test_isolated_cores_come_first_then_the_node_of_the_network_card_then_quiet_ones(tmp_path: Path) -> None:
    extra = {
        f"{CPU}/isolated": "5",
        "sys/class/net/eth0/device/numa_node": "1",
        "proc/interrupts": "      CPU0 CPU1 CPU2 CPU3 CPU4 CPU5 CPU6 CPU7\n 24: 0 0 0 0 0 0 90000 0 nic\n",
    }
    for core in range(8):
        extra[f"{CPU}/cpu{core}/node{core // 4}/cpulist"] = "x"
    placed = cores_of(suggest(host(tmp_path, 8, extra=extra), SET))
    assert placed == {"trader": 5, "trading_engine.binance": 4, "market_server.binance": 7}


def test_what_finds_no_core_sleeps_and_is_told_so(tmp_path: Path) -> None:
    text = suggest(host(tmp_path, 2), SET)
    assert cores_of(text) == {"trader": 1}
    assert 'market_server.binance = { wait = "doorbell" }' in text
    assert "this host has fewer" in text


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 64])
def test_every_suggestion_passes_the_rules_of_the_config(
    tmp_path: Path, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(Host, "cores", property(lambda _: set(range(cores))))
    config = load_config(write_config(suggest(host(tmp_path, cores), SET)))
    assert set(config.cores) == set(SET)
