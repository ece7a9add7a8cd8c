"""bench/_targets.py: the table of what is to be reached, from the result of a run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))

from _targets import TARGETS, rows, table


def bound(what: str, found: float, limit: float) -> dict[str, object]:
    return {"what": what, "found": found, "bound": limit, "met": found <= limit}


def test_every_target_names_a_bench_that_exists() -> None:
    for target in TARGETS:
        assert (Path(__file__).parent.parent.parent / "bench" / f"{target.bench}.py").exists()


def test_a_target_is_met_missed_or_not_measured_with_the_reason() -> None:
    content = {
        "trader_path": {"bounds": [bound("strategy -> request published, p50 in us", 5.0, 6.0)]},
        "decode_binance": {"bounds": [bound("depth / orjson + float, p50", 0.2, 0.1)]},
        "tick_to_trade": {"error": "took longer than 300 s"},
        "order_path_grvt": {"bounds": []},
    }
    found = {row.work: row for row in rows(content)}
    assert found["strategy to request published"].verdict == "met"
    assert found["depth frames to book and records, Binance"].verdict == "MISSED"
    assert found["the two hops of tick-to-trade"].verdict == "not measured"
    assert "300 s" in found["the two hops of tick-to-trade"].what
    assert found["request to signed bytes, GRVT"].verdict == "not measured"
    assert found["ring round trip"].verdict == "not measured"


def test_the_table_counts_what_it_shows() -> None:
    content = {"trader_path": {"bounds": [bound("strategy -> request published, p50 in us", 7.0, 6.0)]}}
    shown = table(list(rows(content)))
    assert "MISSED" in shown
    assert f"0 bounds met, 1 missed, {len(TARGETS) - 1} not measured" in shown
