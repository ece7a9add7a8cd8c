"""Each way of being red, one at a time, and a table that shows every process."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.soak.process_sample import ProcessSample
from tests.soak.verdict import SetSeen, Watched, problems, table

TIMES = [index / 12 for index in range(120)]
GOOD = SetSeen({"binance": 30, "grvt": 4}, {"records missed by the recorder": 0}, (), 0.4, 0)


def watched(name: str = "trader", kb_min: float = 0.0, files: int = 0, **changed: Any) -> Watched:
    """A process over ten minutes, its memory and files growing so."""
    samples = [
        ProcessSample(40_000 + round(kb_min * time), 50_000, 60_000, 17 + int(files * time / 10), 3) for time in TIMES
    ]
    return Watched(name, 2_000.0, list(TIMES), samples, **{"heartbeat_ms": 180.0, **changed})


def test_a_steady_set_that_trades_is_green() -> None:
    assert problems([watched(), watched("trading_engine.grvt", kb_min=20)], GOOD) == []


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (watched(kb_min=300), "trader: memory grows by 300 ± 0 kB/min"),
        (watched(files=3), "trader: open files grew, 17 to 19"),
        (watched(heartbeat_ms=2_001.0), "trader: a heartbeat was 2,001 ms old, its limit is 2,000"),
        (watched(restarts=1), "trader: was started again 1 times"),
    ],
)
def test_a_process_is_red_for_each_fault_of_its_own(one: Watched, sentence: str) -> None:
    assert problems([one], GOOD) == [sentence]


def test_the_venues_own_memory_is_not_judged_and_its_files_are() -> None:
    assert problems([watched("simulator.binance", kb_min=5_000)], GOOD) == []
    assert problems([watched("simulator.binance", files=3)], GOOD) == ["simulator.binance: open files grew, 17 to 19"]


def test_too_short_a_run_is_red_not_green() -> None:
    short = watched()
    short.samples, short.times_min = short.samples[:5], short.times_min[:5]
    assert problems([short], GOOD) == ["trader: 5 samples say nothing of its memory, run for longer"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fills": {"binance": 3, "grvt": 0}}, "grvt: no fill, so nothing was shown"),
        ({"lost": {"records missed by the recorder": 12}}, "12 records missed by the recorder"),
        ({"critical": ("grvt:X has no good book",)}, "grvt:X has no good book"),
        ({"exit_code": 9}, "the set ended with exit code 9"),
    ],
)
def test_the_set_is_red_for_each_fault_of_the_whole(change: dict[str, Any], sentence: str) -> None:
    assert problems([watched()], dataclasses.replace(GOOD, **change)) == [sentence]


def test_the_table_has_a_line_a_process_with_slope_and_noise() -> None:
    heading, trader, venue = table([watched(kb_min=120), watched("simulator.grvt")])
    assert "kB/min" in heading
    assert trader.split()[:6] == ["trader", "39.1", "→", "40.2", "120.0", "0.0"]
    assert venue.endswith("the venue")
