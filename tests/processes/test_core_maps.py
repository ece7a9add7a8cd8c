"""The core maps of systemd/cores pass the rules of a config, and keep what they say in their first lines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from processes.config import Config, load_config
from processes.host_reading import Host
from processes.systemd_units import UNIT_FOLDER

MAPS = sorted((UNIT_FOLDER / "cores").glob("*.toml"), key=lambda file: int(file.stem))
VENUE = '[venues.{0}]\nsymbols = ["BTC"]\nenvironment = "testnet"\n'


def included(file: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config of the venues that the map names, on a machine of its size."""
    cores = int(file.stem)
    monkeypatch.setattr(Host, "cores", property(lambda _: set(range(cores))))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    text = file.read_text()
    venues = sorted(set(re.findall(r"^\w+\.(\w+) =", text, re.MULTILINE)))
    path = directory / "corelane.toml"
    path.write_text("".join(VENUE.format(venue) for venue in venues) + text)
    return load_config(path)


def test_there_is_a_map_for_each_usual_size() -> None:
    assert [file.stem for file in MAPS] == ["2", "8", "16", "32"]


@pytest.mark.parametrize("file", MAPS, ids=lambda file: file.stem)
def test_a_map_passes_the_rules_and_places_every_process(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = included(file, tmp_path, monkeypatch)
    assert set(config.cores) == set(config.processes())


@pytest.mark.parametrize("file", MAPS, ids=lambda file: file.stem)
def test_a_spinner_is_alone_off_core_0_and_isolated_by_the_line_that_the_map_gives(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = included(file, tmp_path, monkeypatch)
    spinning = [placed.core for placed in config.cores.values() if placed.wait == "spin"]
    pinned = [placed.core for placed in config.cores.values() if placed.core is not None]
    assert 0 not in spinning
    assert all(pinned.count(core) == 1 for core in spinning)
    if spinning:
        line = re.search(r"isolcpus=managed_irq,domain,(\d+)-(\d+)", file.read_text())
        assert line is not None
        assert {core for core in pinned if core is not None} <= set(range(int(line[1]), int(line[2]) + 1))


def test_no_two_processes_share_a_physical_core_of_the_largest_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = included(MAPS[-1], tmp_path, monkeypatch)
    physical = [placed.core % 16 for placed in config.cores.values() if placed.core is not None]
    assert len(set(physical)) == len(physical)
