"""bench/_measure.py and the ring benches: the shape of the report, and a small run of each script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FEW = ["--samples", "400", "--blocks", "2"]
SMALL = {"tick_to_trade": ["--samples", "40", "--blocks", "1", "--venues", "binance"]}
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
    file = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / f"{script}.py", *SMALL.get(script, FEW), "--json", file],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(file.read_text())
    assert content["bench"] == script
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
