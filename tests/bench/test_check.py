"""`make bench-check`: red on what became worse beyond noise, on nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


def result(**ratios: tuple[float, float]) -> dict[str, Any]:
    found = {what: {"value": value, "spread": spread} for what, (value, spread) in ratios.items()}
    return {
        "name": "box",
        "benches": {"ring": {"bench": "ring", "ratios": found}, "broken": {"error": "took too long"}},
    }


@pytest.mark.parametrize(
    ("before", "after", "status", "said"),
    [
        ({"a": (0.01, 0.01)}, {"a": (0.01, 0.01)}, 0, "0 of 1 ratios are worse"),
        ({"a": (0.010, 0.01)}, {"a": (0.0109, 0.01)}, 0, "+9.0%, noise 10.0%"),
        ({"a": (0.010, 0.01)}, {"a": (0.0112, 0.01)}, 1, "WORSE ring: a: 0.0100 -> 0.0112 (+12.0%, noise 10.0%)"),
        ({"a": (0.010, 0.05)}, {"a": (0.0125, 0.05)}, 0, "+25.0%, noise 30.0%"),
        ({"a": (0.010, 0.05)}, {"a": (0.0140, 0.05)}, 1, "+40.0%, noise 30.0%"),
        ({"a": (0.020, 0.01)}, {"a": (0.0100, 0.01)}, 0, "-50.0%"),
        ({"a": (0.020, 0.01)}, {"b": (0.0100, 0.01)}, 1, "ring: a: not measured any more, was 0.0200"),
        ({}, {"b": (0.0100, 0.01)}, 0, "b: 0.0100, new"),
    ],
)
def test_a_ratio_is_worse_when_it_grew_beyond_the_noise_of_both_runs(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], status: int, said: str
) -> None:
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file, ratios in zip(files, (before, after), strict=True):
        file.write_text(json.dumps(result(**ratios)))
    ended = check(*files)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert said in ended.stdout


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    for text in ("{}", "[", '"benches"'):
        file.write_text(text)
        ended = check(file, file)
        assert ended.returncode == 2
        assert str(file) in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert "Traceback" not in ended.stderr


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "bench" / "_check.py", *files], capture_output=True, text=True, timeout=60, check=False
    )
