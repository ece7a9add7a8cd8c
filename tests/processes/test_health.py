"""Problems begin, stand and end as their rules say; every rule is found in the set that it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.health import MOMENT_S, Health, Problem
from processes.health_rules import LEVEL_RULES, MOMENT_RULES, SEVERITIES, Severity
from processes.snapshot import BudgetLine, ConnectionLine, KillSwitchLine, RingLine, Snapshot
from tests.processes.snapshots import market, order, process, snapshot, strategy, venue

LONG_S = 100.0
"""Longer than any rule holds."""


def rules(problems: list[Problem]) -> list[str]:
    return [problem.rule for problem in problems]


def standing(**fields: Any) -> list[Problem]:
    """What is wrong with a set that has been so for long."""
    health = Health()
    health.update(snapshot(0.0, **fields))
    return health.update(snapshot(LONG_S, **fields))


def without_processes(*lines: Any) -> dict[str, Any]:
    return {"processes": [*lines], "strategies": []}


def test_a_good_set_has_no_problems() -> None:
    assert standing() == []


PROCESSES = [process("market_server.binance"), process("trading_engine.binance")]
QUIET = [process("market_server.binance", connections=(ConnectionLine("UP", 9_000.0),)), process("trader")]


@pytest.mark.parametrize(
    ("rule", "fields", "words"),
    [
        ("dead_process", {"processes": [*PROCESSES, process("trader", age_ms=2_500.0)]}, "no heartbeat for 2 s"),
        ("dead_process", {"processes": [process("trader", "FAILED", text="a bug")]}, "not running: FAILED: a bug"),
        ("dead_process", {"processes": [process("trader", "STOPPED", age_ms=1e6)]}, "not running: STOPPED"),
        ("process_not_started", {"processes": [process("trader", "NONE", pid=0)]}, "trader has never started"),
        ("unhealthy_process", {"processes": [process("trader", "UNHEALTHY", text="disk full")]}, "disk full"),
        ("process_not_ready", {"processes": [process("trader", "RECOVERING", text="why")]}, "RECOVERING: why"),
        ("process_not_ready", {"processes": [process("trader", "RESTARTING", age_ms=9e4)]}, "not ready: RESTARTING"),
        (
            "disconnected",
            {"processes": [process("trader", connections=(ConnectionLine("UP", 1.0), ConnectionLine("DOWN", None)))]},
            "trader: connection 2 is DOWN",
        ),
        ("stale_data", {"venues": [venue(markets=[market(valid=False, status="STALE")])]}, "no good book: STALE"),
        (
            "stale_data",
            {"venues": [venue(markets=[market(age_ms=9_000.0)])], "processes": QUIET},
            "no market data for longer than 2 s",
        ),
        ("no_data", {"venues": [venue(markets=[market(valid=False, status="NONE")])]}, "never had a good book"),
        ("unknown_order", {"venues": [venue(orders=[order(unknown=True)])]}, "1 requests; orders 9223372036854775809"),
        ("strategy_failed", {"strategies": [strategy(state="FAILED", text="line 7")]}, "mm has failed: line 7"),
        ("strategy_stale", {"strategies": [strategy(stale=True)]}, "its market data is not fresh"),
        ("only_reducing", {"strategies": [strategy(text="limit of 50 reached")]}, "mm may only reduce: limit of 50"),
        (
            "only_reducing",
            {"processes": [process("trading_engine.binance", text="no risk limits")]},
            "trading_engine.binance lets only reduce: no risk limits",
        ),
        (
            "orders_refused",
            {"strategies": [strategy(text="refused: too large")]},
            "orders of mm are refused: too large",
        ),
        ("own_quotes_cross", {"strategies": [strategy(bid=100.2)]}, "own quotes cross, bid 100.2 and ask 100.2"),
        (
            "own_quotes_cross",
            {"strategies": [strategy(ask=None), strategy(name="b", bid=None, ask=99.0)]},
            "bid 99.9 and ask 99",
        ),
        (
            "position_differs",
            {"strategies": [strategy(position_mantissa=30, position=0.03)]},
            "mm holds 0.03, the venue",
        ),
        ("kill_switch", {"kill_switch": KillSwitchLine(True, 3, {"e": True})}, "no order is sent"),
        ("kill_switch", {"kill_switch": KillSwitchLine(True, 3, {"e": False})}, "not yet obeyed by e"),
        ("ring_nearly_full", {"venues": [venue(rings=[RingLine("r", 9, 48, 64)])]}, "48 of 64 slots"),
        ("rate_budget_low", {"venues": [venue(budgets=[BudgetLine("w", 90, 100, 0, 0)])]}, "90 of 100 are used"),
        ("rate_budget_shut", {"venues": [venue(budgets=[BudgetLine("w", 0, 100, 7.0, 0)])]}, "another 7 s"),
        ("rate_budget_shut", {"venues": [venue(budgets=[BudgetLine("w", 0, 100, 0, 5.0)])]}, "only cancels go for 5 s"),
        ("rate_budget_unreadable", {"venues": [venue(budgets=None)]}, "request limits cannot be read"),
    ],
)
def test_each_level_rule_finds_what_it_is_about(rule: str, fields: dict[str, Any], words: str) -> None:
    problems = standing(**fields)
    assert rules(problems) == [rule]
    assert words in problems[0].text
    assert problems[0].severity is SEVERITIES[rule]


def test_every_level_rule_is_tried_above() -> None:
    tried = {case[0] for case in test_each_level_rule_finds_what_it_is_about.pytestmark[0].args[1]}
    assert tried == {rule.name for rule in LEVEL_RULES}


@pytest.mark.parametrize(
    "fields",
    [
        {"venues": [venue(markets=[market(age_ms=9_000.0)])]},  # a quiet book while its link speaks
        {"strategies": [strategy(bid=100.2, age_ms=1e6)]},  # rows of a trader that is gone say nothing of now
        {"strategies": [strategy(position_mantissa=1), strategy(name="b", position_mantissa=2)]},  # whose is the rest?
        {"venues": [venue(markets=[market(position=None, position_mantissa=None)])]},  # the venue has not said
        {"venues": [venue(budgets=[BudgetLine("credits", 0, 0, 0, 0)])]},  # a limit that the venue has not told
        {"processes": [process("trader", "STARTING", age_ms=9_000.0, uptime_s=0.0)]},
        {"processes": [process("trading_engine.grvt", text="no risk limits")]},  # where nobody trades
    ],
)
def test_what_only_looks_wrong_is_none(fields: dict[str, Any]) -> None:
    health = Health()
    health.update(snapshot(0.0, **fields))
    assert health.update(snapshot(20.0, **fields)) == []


def test_a_problem_begins_only_when_it_has_lasted_as_long_as_its_rule_says() -> None:
    health, late = Health(), {"venues": [venue(markets=[market(valid=False, status="GAP")])]}
    assert health.update(snapshot(0.0, **late)) == []
    assert health.update(snapshot(1.9, **late)) == []
    assert rules(health.update(snapshot(2.0, **late))) == ["stale_data"]
    assert health.update(snapshot(3.0)) == []
    assert health.update(snapshot(4.0, **late)) == []  # a new one, from its own beginning


def test_since_is_the_first_sight_of_it() -> None:
    health, on = Health(), {"kill_switch": KillSwitchLine(True, 1, {})}
    health.update(snapshot(5.0, **on))
    assert health.update(snapshot(9.0, **on))[0].since.startswith("2026-01-01T00:00:05")


def counted(second: float, name: str, value: int, process: str = "trading_engine.binance") -> Snapshot:
    return snapshot(second, counters={process: {name: value}})


def roles(rule: str) -> str:
    found = next(one for one in MOMENT_RULES if one.name == rule)
    return {"": "trader", "trader": "trader", "monitor": "monitor", "logger": "logger", "recorder": "recorder"}.get(
        found.role, f"{found.role}.binance"
    )


@pytest.mark.parametrize("rule", [rule for rule in MOMENT_RULES if rule.counter], ids=lambda rule: rule.name)
def test_each_moment_rule_sees_its_counter_rise_and_forgets_it(rule: Any) -> None:
    health, name = Health(), roles(rule.name)
    assert health.update(counted(0.0, rule.counter, 5, name)) == []
    problems = health.update(counted(1.0, rule.counter, 7, name))
    assert rules(problems) == [rule.name]
    assert problems[0].text.startswith(f"{name}: 2 ")
    assert rules(health.update(counted(1.0 + MOMENT_S - 0.1, rule.counter, 7, name))) == [rule.name]
    assert health.update(counted(1.0 + MOMENT_S, rule.counter, 7, name)) == []


def test_a_counter_that_began_anew_has_risen_by_what_it_is() -> None:
    health = Health()
    health.update(counted(0.0, "contradictions", 9))
    assert health.update(counted(1.0, "contradictions", 2))[0].text.startswith("trading_engine.binance: 2 ")


def test_a_process_with_another_pid_was_started_anew() -> None:
    health = Health()
    health.update(snapshot(0.0, processes=[process("trader")]))
    problems = health.update(snapshot(1.0, processes=[process("trader", pid=2000)]))
    assert [(one.rule, one.text) for one in problems] == [("process_restarted", "trader: 1 times started anew")]
    health.update(snapshot(2.0, processes=[process("trader", "NONE", pid=0)]))
    assert rules(health.update(snapshot(3.0, processes=[process("trader", pid=2000)]))) == ["process_restarted"]


def test_the_worst_come_first_and_then_the_oldest() -> None:
    health = Health()
    low = venue(budgets=[BudgetLine("w", 95, 100, 0, 0)])
    health.update(snapshot(0.0, venues=[low]))
    on = KillSwitchLine(True, 1, {})
    problems = health.update(snapshot(1.0, venues=[low], kill_switch=on))
    assert rules(problems) == ["kill_switch", "rate_budget_low"]
    assert [one.severity for one in problems] == [Severity.CRITICAL, Severity.WARNING]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 5.0)), min_size=1, max_size=30))
def test_a_level_stands_exactly_while_it_has_been_so_for_its_time(steps: list[tuple[bool, float]]) -> None:
    health, now, began = Health(), 0.0, None
    hold_s = next(rule.hold_s for rule in LEVEL_RULES if rule.name == "position_differs")
    for differs, seconds in steps:
        now += seconds
        began = (now if began is None else began) if differs else None
        lines = [strategy(position_mantissa=21 if differs else 20)]
        whole = replace(snapshot(now, strategies=lines), monotonic_ns=round(now * 1e9))
        found = rules(health.update(whole)) == ["position_differs"]
        assert found == (began is not None and round(now * 1e9) - round(began * 1e9) >= hold_s * 1e9)
