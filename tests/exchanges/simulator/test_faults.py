"""`exchanges/simulator/faults.py`: filters, counts, and what was in flight."""

from __future__ import annotations

import pytest

from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.faults import FRAME_KINDS, FaultRegistry


def test_a_fault_strikes_as_often_as_armed_and_is_then_gone() -> None:
    faults = FaultRegistry()
    faults.arm({"kind": "duplicate", "count": 2})
    assert faults.active
    assert [bool(faults.strike(("duplicate",))) for _ in range(4)] == [True, True, False, False]
    assert not faults.active
    assert faults.report() == {"duplicate": {"injected": 2, "with_order_in_flight": 0}}


def test_filters_and_skips_decide_where_it_strikes() -> None:
    faults = FaultRegistry()
    faults.arm({"kind": "sequence_gap", "stream": "btcusdt@depth", "route": "public", "skip": 1})
    assert not faults.strike(("duplicate",), stream="btcusdt@depth", route="public")
    assert not faults.strike(("sequence_gap",), stream="ethusdt@depth", route="public")
    assert not faults.strike(("sequence_gap",), stream="btcusdt@depth", route="market")
    assert not faults.strike(("sequence_gap",), stream="btcusdt@depth", route="public")  # skipped
    assert faults.strike(("sequence_gap",), stream="btcusdt@depth", route="public")


def test_a_fault_that_waits_for_an_order_strikes_only_while_one_is_in_flight() -> None:
    faults = FaultRegistry()
    faults.arm({"kind": "disconnect", "with_order": True})
    assert not faults.strike(("disconnect",))
    faults.orders_in_flight = 1
    assert faults.strike(("disconnect",))
    assert faults.report() == {"disconnect": {"injected": 1, "with_order_in_flight": 1}}


def test_what_waits_for_an_order_is_told_until_it_struck() -> None:
    faults = FaultRegistry()
    faults.arm({"kind": "delay"})
    faults.arm({"kind": "reorder", "with_order": True})
    assert faults.awaits_order(FRAME_KINDS)
    assert not faults.awaits_order(("delay",))
    faults.orders_in_flight = 1
    assert faults.strike(("reorder",))
    assert not faults.awaits_order(FRAME_KINDS)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "delay", "count": 0},
        {"kind": "delay", "count": "3"},
        {"kind": "delay", "delay_ms": -1},
        {"kind": "delay", "count": True},
        {"kind": "delay", "with_order": 1},
        {"kind": "delay", "armed": 3},
        {"kind": "delay", "stream": 5},
    ],
)
def test_a_wrong_description_is_one_sentence(description: dict[str, object]) -> None:
    faults = FaultRegistry()
    with pytest.raises(SimulatorError) as error:
        faults.arm(description)
    assert "\n" not in str(error.value)
    assert not faults.active


def test_clearing_disarms_and_keeps_the_counts() -> None:
    faults = FaultRegistry()
    faults.arm({"kind": "delay", "count": 5})
    faults.strike(("delay",))
    faults.clear()
    assert not faults.strike(("delay",))
    assert faults.report()["delay"]["injected"] == 1
