"""Prometheus reads what we write, names follow its conventions, and labels stay bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes import metrics
from processes.health import Problem
from processes.health_rules import SEVERITIES, Severity
from processes.snapshot import BalanceLine, BudgetLine, Snapshot
from tests.processes.snapshots import fill, market, order, process, snapshot, strategy, venue

PROBLEM = Problem("stale_data", Severity.CRITICAL, "binance:BTCUSDT", "text", "2026-01-01T00:00:00.000+00:00")


def samples(of: Snapshot, *problems: Problem) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition(of, problems).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(of: Snapshot, name: str, *problems: Problem, **labels: str) -> float | None:
    return samples(of, *problems).get((name, tuple(sorted(labels.items()))))


def full() -> Snapshot:
    return snapshot(
        venues=[
            venue(
                budgets=[BudgetLine("weight", 30, 100, 0.0, 0.0)], orders=[order(), order(unknown=True)],
                balances=[BalanceLine("USDT", 10.0, 9.0, 0.0, 5.0)],
            )
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("corelane_kill_switch_on", {}, 0.0),
        ("corelane_process_heartbeat_age_seconds", {"process": "trader"}, 0.05),
        ("corelane_process_state", {"process": "trader", "state": "READY"}, 1.0),
        ("corelane_process_state", {"process": "trader", "state": "FAILED"}, 0.0),
        ("corelane_process_restarts_total", {"process": "trader"}, 0.0),
        ("corelane_connection_up", {"process": "trader", "connection": "1"}, 1.0),
        ("corelane_book_valid", {"venue": "binance", "instrument": "BTCUSDT"}, 1.0),
        ("corelane_best_bid_price", {"venue": "binance", "instrument": "BTCUSDT"}, 100.0),
        ("corelane_venue_position", {"venue": "binance", "instrument": "BTCUSDT"}, 0.02),
        ("corelane_venue_position_age_seconds", {"venue": "binance", "instrument": "BTCUSDT"}, 0.75),
        ("corelane_balance_age_seconds", {"venue": "binance", "currency": "USDT"}, 0.005),
        ("corelane_wallet_balance", {"venue": "binance", "currency": "USDT"}, 10.0),
        ("corelane_open_orders", {"venue": "binance"}, 2.0),
        ("corelane_unknown_orders", {"venue": "binance"}, 1.0),
        ("corelane_ring_records_total", {"ring": "binance.market"}, 1000.0),
        ("corelane_ring_depth_records", {"ring": "binance.events"}, 0.0),
        ("corelane_rate_limit_used", {"venue": "binance", "limit": "weight"}, 30.0),
        ("corelane_strategy_state", {"strategy": "mm", "instrument": "binance:BTCUSDT", "state": "RUNNING"}, 1.0),
        ("corelane_strategy_realized_pnl", {"strategy": "mm", "instrument": "binance:BTCUSDT"}, 4.0),
        ("corelane_strategy_fills_total", {"strategy": "mm", "instrument": "binance:BTCUSDT"}, 3.0),
        ("corelane_fills_total", {"process": "trader"}, 3.0),
        ("corelane_tick_to_request_seconds_count", {"process": "trader"}, 10.0),
        ("corelane_tick_to_request_seconds_sum", {"process": "trader"}, 6e-05),
        ("corelane_tick_to_request_seconds_bucket", {"process": "trader", "le": "5e-06"}, 2.0),
        ("corelane_tick_to_request_seconds_bucket", {"process": "trader", "le": "+Inf"}, 10.0),
    ],
)
def test_a_figure_of_the_snapshot_is_a_metric(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(full(), name, **labels) == pytest.approx(expected)


def test_problems_are_counted_by_rule_and_those_that_do_not_stand_are_0() -> None:
    found = value(full(), "corelane_problems", PROBLEM, rule="stale_data", severity="critical")
    assert found == 1.0
    assert value(full(), "corelane_problems", rule="stale_data", severity="critical") == 0.0
    told = {labels for name, labels in samples(full()) if name == "corelane_problems"}
    assert len(told) == len(SEVERITIES)


def test_what_is_not_known_is_left_out() -> None:
    unknown = snapshot(
        processes=[process("trader", "NONE", pid=0)],
        venues=[venue(budgets=None, markets=[market(valid=False, bids=[], asks=[], mark=None, position=None)])],
        strategies=[strategy(unrealized_pnl=None)],
    )
    names = {name for name, _ in samples(unknown)}
    left_out = {
        "corelane_process_heartbeat_age_seconds", "corelane_best_bid_price", "corelane_mark_price",
        "corelane_venue_position", "corelane_rate_limit_used", "corelane_strategy_unrealized_pnl",
    }  # fmt: skip
    assert not names & left_out
    assert "corelane_strategy_realized_pnl" in names


def test_names_follow_the_conventions() -> None:
    text = metrics.exposition(full(), [PROBLEM]).decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("corelane_")
        assert family.documentation
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")
            assert not sample.name.endswith(("_ms", "_ns", "_us"))


def test_orders_fills_and_texts_never_make_a_series() -> None:
    few, many = full(), full()
    crowd = [order(client_order_id=str(number), price=float(number)) for number in range(500)]
    trades = [fill(trade_id=str(number)) for number in range(50)]
    many = replace(many, venues=[replace(many.venues[0], orders=crowd, fills=trades)])
    many = replace(many, processes=[replace(line, text=f"text {number}") for number, line in enumerate(many.processes)])
    problems = [replace(PROBLEM, subject=str(number), text=str(number)) for number in range(50)]
    assert set(samples(few)) == set(samples(many, *problems))


def test_a_counter_with_a_name_that_prometheus_does_not_take_is_left_out() -> None:
    odd = snapshot(counters={"trader": {"good": 1, "Böse": 2, "": 3, "1st": 4}})
    names = {name for name, _ in samples(odd)}
    assert "corelane_good_total" in names
    assert not {name for name in names if "1st" in name or "B" in name}


def test_stages_of_whole_orders_are_told_by_venue() -> None:
    line = snapshot().histograms[0]
    lines = [replace(line, name="binance.fill.apply"), replace(line, name="deribit.fill.apply")]
    for venue_name in ("binance", "deribit"):
        found = value(
            snapshot(histograms=lines), "corelane_trace_fill_apply_seconds_count", process="trader", venue=venue_name
        )
        assert found == 10.0
