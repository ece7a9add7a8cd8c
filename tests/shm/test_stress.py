"""A short run of stress.py, and the proof that the same harness catches a broken protocol."""

from __future__ import annotations

import pytest

from tests.shm.stress import run


@pytest.mark.parametrize("contract", ["broadcast", "lossless"])
@pytest.mark.parametrize("processes", [2, 4])
def test_kill_9_and_stalls_in_every_window_lose_tear_and_double_nothing(contract: str, processes: int) -> None:
    outcome = run(100_000, contract, processes, seed=processes, kills=12)
    assert outcome.problems == []
    assert outcome.kills >= 12


@pytest.mark.parametrize("fault", ["skip the invalidate", "publish before copy"])
def test_a_broken_protocol_is_caught_by_the_same_harness(fault: str) -> None:
    for seed in range(20):  # a reader must be in the slot at the wrong moment: nearly always in the first run
        outcome = run(30_000, "broadcast", 2, seed, capacity=2, fault=fault)
        if outcome.problems:
            assert "torn" in outcome.problems[0] or "of unknown kind 0" in outcome.problems[0]
            return
    raise AssertionError("the harness saw nothing")


def test_the_same_slow_writer_without_a_fault_is_no_problem() -> None:
    assert run(30_000, "broadcast", 2, seed=1, capacity=2, fault="none").problems == []
