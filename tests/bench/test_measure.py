"""bench/_measure.py and the ring benches: the shape of the report, and a small run of each script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FEW = ["--samples", "400", "--blocks", "2"]
SMALL = {"tick_to_trade": ["--samples", "40", "--blocks", "1", "--venues", "binance"]}
EVERY_VENUE = ["--samples", "40", "--blocks", "1", "--ways", "spin", "--venues", "binance,deribit,grvt"]
RESULT_KEYS = {"name", "unit", "count", "p50", "p90", "p99", "p999", "max", "rate_per_s"}


@pytest.mark.parametrize(
    ("script", "competitors"),
    [
        ("ring_one_to_one", {"corelane", "c_floor", "pyzmq_ipc", "multiprocessing_pipe", "multiprocessing_queue"}),
        ("ring_broadcast", {"corelane", "c_floor", "pyzmq_pub_sub", "publish_0_observers", "publish_4_observers"}),
        ("doorbell", {"corelane", "os_pipe", "publish_nobody_sleeps", "publish_and_ring"}),
        ("tick_to_trade", {f"binance.{way}" for way in ("spin", "doorbell", "pyzmq_spin", "pyzmq_block", "untraced")}),
    ],
)
def test_a_small_run_reports_every_competitor_in_the_common_shape(
    tmp_path: Path, script: str, competitors: set[str]
) -> None:
    content = run(script, SMALL.get(script, FEW), tmp_path / "result.json")
    assert {"cpu", "cores", "kernel", "python"} <= set(content["host"])
    assert content["date"].endswith("+00:00")
    results = {result["name"]: result for result in content["results"]}
    assert competitors <= set(results)
    for result in results.values():
        assert set(result) == RESULT_KEYS
        assert 0 < result["p50"] <= result["p90"] <= result["p99"] <= result["p999"] <= result["max"]
    assert content["bounds"]
    for bound in content["bounds"]:
        assert bound["met"] == (bound["found"] <= bound["bound"])


def test_a_tick_of_every_venue_is_followed_to_its_answer_and_to_the_position_that_its_fill_moves(
    tmp_path: Path,
) -> None:
    content = run("tick_to_trade", EVERY_VENUE, tmp_path / "result.json")
    assert set(content["tables"]) == {"binance", "deribit", "grvt"}
    for venue, ways in content["tables"].items():
        found = ways["spin"]
        assert found["sign"]["p50"] > 0
        assert found["tick_to_answer"]["count"] >= 40
        assert found["fill.position"]["count"] == found["fill_to_position"]["count"] >= 20
        assert any(note.startswith(f"{venue}: ") and "add up" in note for note in content["notes"])
        assert any(note.startswith(f"{venue}: ") and ", 0 broken or unanswered" in note for note in content["notes"])


def test_a_way_that_does_not_exist_is_named_with_those_that_do() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "tick_to_trade.py", "--ways", "spin,carrier_pigeon"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "carrier_pigeon: expected some of spin,yield" in done.stderr
    assert "Traceback" not in done.stderr


def run(script: str, arguments: list[str], file: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / f"{script}.py", *arguments, "--json", file],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(file.read_text())
    assert content["bench"] == script
    return content
