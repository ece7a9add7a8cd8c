"""The random fault plan: repeatable, complete, and carried out as planned."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.simulator_faults import KINDS as DERIBIT_KINDS
from exchanges.grvt.simulator_venue import KINDS as GRVT_KINDS
from exchanges.simulator.faults import KINDS, FaultRegistry
from processes.fault_plan import QUIET_AT_END, ROLES, Death, FaultRunner, WireFault, at_venue, plan


@given(st.integers(min_value=0, max_value=2**32), st.floats(min_value=1.0, max_value=300.0))
def test_a_seed_repeats_its_plan_in_time_order_and_the_end_is_quiet(seed, seconds):
    planned = plan(seed, seconds)
    assert planned == plan(seed, seconds)
    times = [one.at_s for one in planned]
    assert times == sorted(times)
    assert all(at_s < seconds * (1 - QUIET_AT_END) for at_s in times)


@given(st.integers(min_value=0, max_value=2**32))
def test_every_wire_fault_is_one_that_the_simulator_takes(seed):
    registry = FaultRegistry()
    for one in plan(seed, 60.0):
        if isinstance(one, WireFault):
            registry.arm(one.fault)


def test_every_fault_of_the_simulator_is_planned_in_every_minute_and_mostly_with_an_order():
    for seed in range(10):
        kinds = [one.fault["kind"] for one in plan(seed, 60.0) if isinstance(one, WireFault)]
        assert set(kinds) == set(KINDS)
    faults = [one.fault for seed in range(10) for one in plan(seed, 60.0) if isinstance(one, WireFault)]
    with_order = Counter(fault["kind"] for fault in faults if "path" in fault or fault.get("with_order"))
    assert min(with_order[kind] for kind in KINDS) >= 5


@pytest.mark.parametrize("seed", range(10))
def test_a_minute_kills_each_of_the_four_processes_and_breaks_the_wire_often(seed):
    planned = plan(seed, 60.0)
    deaths = Counter(one.role for one in planned if isinstance(one, Death))
    assert set(deaths) == set(ROLES)
    assert sum(isinstance(one, WireFault) for one in planned) >= 30


@pytest.mark.parametrize("seed", range(10))
def test_the_plan_of_the_trader_kills_it_twice_and_nobody_else_and_breaks_the_wire_as_ever(seed):
    planned = plan(seed, 60.0, "trader")
    deaths = [one for one in planned if isinstance(one, Death)]
    assert [one.role for one in deaths] == ["trader", "trader"]
    assert deaths[1].at_s - deaths[0].at_s >= 9.0 and deaths[1].at_s <= 45.0
    assert [one for one in planned if isinstance(one, WireFault)] == [
        one for one in plan(seed, 60.0) if isinstance(one, WireFault)
    ]


def runner(planned: list[WireFault | Death], *, in_flight: bool = False) -> tuple[FaultRunner, list[Any]]:
    done: list[Any] = []
    return (
        FaultRunner(
            planned,
            arm=done.append,
            disarm=lambda: done.append("disarm"),
            pids=lambda role: [17] if role == "trader" else [],
            order_in_flight=lambda: in_flight,
            kill=lambda pid, number: done.append((pid, number)),
        ),
        done,
    )


def test_what_is_due_is_done_once_and_the_rest_waits():
    made, done = runner([WireFault(1.0, {"kind": "delay"}), Death(2.0, "trader"), WireFault(9.0, {"kind": "x"})])
    made.poll(0.5)
    assert done == []
    made.poll(2.5)
    made.poll(2.6)
    assert done == [{"kind": "delay"}, (17, signal.SIGKILL)]
    assert made.deaths() == {"kill_trader": {"injected": 1, "with_order_in_flight": 0}}


def test_a_death_with_an_order_in_flight_is_counted_so_and_a_process_that_is_down_does_not_die_again():
    made, _ = runner([Death(1.0, "trader"), Death(1.0, "trading_engine")], in_flight=True)
    made.poll(2.0)
    assert made.deaths() == {"kill_trader": {"injected": 1, "with_order_in_flight": 1}}


def test_after_the_stop_nothing_strikes():
    made, done = runner([Death(1.0, "trader")])
    made.stop()
    made.poll(5.0)
    assert done == ["disarm"]


def test_every_fault_of_a_plan_is_one_that_the_venues_simulator_knows() -> None:
    planned = [one.fault for seed in range(20) for one in plan(seed, 60.0) if isinstance(one, WireFault)]
    for venue, kinds in (("binance", KINDS), ("deribit", DERIBIT_KINDS), ("grvt", GRVT_KINDS)):
        registry = FaultRegistry(kinds=kinds)
        for fault in planned:
            registry.arm(at_venue(venue, fault))
    on_orders = [at_venue("deribit", fault) for fault in planned if "method" in fault]
    assert {fault["path"] for fault in on_orders if "path" in fault} == {"private/", "private/cancel"}
    assert not any("method" in fault for fault in on_orders)
    on_orders = [at_venue("grvt", fault) for fault in planned if "method" in fault]
    assert {fault["path"] for fault in on_orders} == {"v1/create_order", "v1/cancel_order"}
    assert not any("method" in fault for fault in on_orders)
