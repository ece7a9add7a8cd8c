"""A sample of both tables with real processes; `make chaos` runs them whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.fault_plan import ROLES
from tests.chaos.cells import INJECTED, MOMENTS, PATHS, STATES, VICTIMS, WAYS, all_cells
from tests.chaos.run import Runner, run_all, summary

STOP_S = 1.6
"""Just over the heartbeat limit of the sets here."""
SAMPLE = (
    "websocket/death/trading_engine/kill/committed",
    "websocket/death/trading_engine/kill/sent",
    "websocket/death/trading_engine/stop/partially_filled",
    "websocket/death/trader/kill/published",
    "websocket/death/connection/kill/cancel_in_flight",
    "websocket/wire/unknown_not_executed/new",
    "websocket/answer/malformed_frame/modify",
    "rest/death/trading_engine/kill/sent",
    "rest/wire/drop_reply/modify",
    "rest/wire/malformed_frame/partial_fill",
)
CELLS = {cell.name: cell for cell in all_cells(1)}


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner(seed=1, stop_s=STOP_S)
    yield made
    made.close()


@pytest.mark.parametrize("name", SAMPLE)
def test_books_agree_after(name: str, runner: Runner) -> None:
    result = runner.run(CELLS[name])
    assert result["green"], result["problem"]


def test_a_tail_that_is_committed_after_the_send_is_noticed() -> None:
    """The others of INJECTED are proven by `make chaos`."""
    broken = Runner(seed=1, stop_s=STOP_S, broken="commit_after_send", say=lambda text: None, patience_s=10.0)
    try:
        assert not broken.run(CELLS[INJECTED["commit_after_send"]])["green"]
    finally:
        broken.close()


def test_the_tables_are_whole_and_every_cell_has_a_name_of_its_own() -> None:
    cells = all_cells(3)
    names = [cell.name for cell in cells]
    assert len(names) == len(set(names))
    deaths = [name for name in names if "/death/" in name]
    assert len(deaths) == len(VICTIMS) * len(WAYS) * len(MOMENTS) * len(PATHS)
    assert set(VICTIMS) == {*ROLES, "connection"}
    for path in PATHS:
        assert len([name for name in names if name.startswith(f"{path}/wire/drop_reply/")]) == len(STATES)
    assert set(INJECTED.values()) <= set(names)


def test_cells_that_are_green_in_the_results_file_are_not_run_again(tmp_path: Path) -> None:
    results = tmp_path / "chaos.jsonl"
    results.write_text('{"cell": "rest/fence/trader", "seed": 1, "green": true, "seconds": 2.0, "settled_absent": 3}\n')
    told = run_all([CELLS["rest/fence/trader"]], Runner(seed=1, stop_s=STOP_S), results)
    assert [one["cell"] for one in told] == ["rest/fence/trader"]
    assert "1 cells, 1 green, 0 red" in summary(told) and "3 as absent" in summary(told)
