"""bench/_all.py, _page.py and _readme.py: a bench that fails costs no other's result; the files say what there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))

import _all
from _page import page
from _readme import markdown

from shm import hops

BENCH = Path(_all.__file__).parent
BOUND = {"what": "strategy -> request published, p50 in us", "found": 5.0, "bound": 6.0, "met": True}
SUMMARY = {"count": 9, "p50": 1500.0, "p90": 2e3, "p99": 3e6, "p999": 4e6, "max": 5e9}


def bench(**more: Any) -> dict[str, Any]:
    series = {"name": "ours", "unit": "ns", "rate_per_s": 10.0, **SUMMARY}
    return {"results": [series], "bounds": [], "ratios": {}, "tables": {}, "notes": [], "command": "python bench/x.py",
            "seconds": 1.0, **more}  # fmt: skip


def content(**benches: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "A <CPU>", "cores": 2, "kernel": "6.1", "python": "3.11.7", "load": 0.1}
    return {
        "name": "box", "quick": False, "host": machine, "date": "2026-01-02T03:04:05+00:00", "seconds": 2.0,
        "benches": benches,
    }  # fmt: skip


def test_what_failed_and_what_was_measured_are_both_in_the_files(tmp_path: Path) -> None:
    made = content(trader_path=bench(bounds=[BOUND], plot="AAAA"), throughput={"error": "ended with 1: it broke"})
    _all.write(made, tmp_path)
    stored = json.loads((tmp_path / "box.json").read_text())
    assert stored["benches"]["throughput"] == {"error": "ended with 1: it broke"}
    assert stored["benches"]["trader_path"]["bounds"] == [BOUND]
    assert "plot" not in stored["benches"]["trader_path"]
    shown = (tmp_path / "box.html").read_text()
    for words in ("ended with 1: it broke", "data:image/png;base64,AAAA", "A &lt;CPU&gt;", "1.5 µs", "3 ms", "5 s"):
        assert words in shown


def test_a_bench_that_ends_badly_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "bad.py").write_text("import sys\nsys.exit('bad: it broke')\n")
    monkeypatch.setattr(_all, "ROOT", tmp_path)
    assert _all.run("bad", tmp_path, 60.0, False) == {"error": "ended with 1: bad: it broke"}


def test_a_bench_that_takes_too_long_is_asked_to_end_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "slow.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(tmp_path)!r}, 'cleaned').touch(), sys.exit(1)))\n"
        f"pathlib.Path({str(tmp_path)!r}, 'begun').touch()\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(_all, "ROOT", tmp_path)
    real = subprocess.Popen.wait

    def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout == 60.0:  # the bench's own limit: it is over as soon as the bench listens
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            raise subprocess.TimeoutExpired("slow", timeout)
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    assert _all.run("slow", tmp_path, 60.0, False) == {"error": "took longer than 60 s"}
    assert (tmp_path / "cleaned").exists()


def test_a_bench_that_finds_no_time_left_is_not_begun(tmp_path: Path) -> None:
    assert "not begun" in _all.run("throughput", tmp_path, 0.5, False)["error"]


def test_a_bench_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    done = call("_all.py", "--only", "throughput,nothing", "--results", str(tmp_path))
    assert done.returncode == 2
    assert "no bench nothing; there are tick_to_trade" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_page_and_the_readme_show_the_hops_of_each_way() -> None:
    found = dict.fromkeys(hops.NAMES, SUMMARY)
    ways = {"spin": found, "doorbell": found}
    made = content(tick_to_trade=bench(tables={"grvt": ways}, notes=["grvt, p50 in us  spin", "decode   1.0", "told"]))
    made["targets"] = []
    shown = page(made)
    assert shown.count("<rect") == 8 * 3
    assert "<pre>told</pre>" in shown
    lines = markdown(made).splitlines()
    assert "`make bench` on 2026-01-02" in lines[0]
    assert "| grvt | 1.5 (3000) | 1.5 (3000) |" in lines


def test_the_readmes_table_says_of_each_bound_whether_it_was_met_and_why_not_where_it_was_not_measured() -> None:
    lines = markdown(content(trader_path=bench(bounds=[BOUND]), throughput={"error": "no"})).splitlines()
    assert "| strategy to request published: strategy -> request published, p50 in us | 6 | 5 | met |" in lines
    assert "| memory after 10^7 events | | | not measured: bench/memory.py was not run |" in lines


def test_a_quick_run_makes_no_table(tmp_path: Path) -> None:
    file = tmp_path / "box-quick.json"
    file.write_text(json.dumps(content() | {"quick": True}))
    done = call("_readme.py", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--quick run" in done.stderr


def call(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCH / script, *arguments], capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PYTHONPATH": str(BENCH.parent)},
    )  # fmt: skip
