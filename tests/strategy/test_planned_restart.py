"""A planned restart leaves a note that counts once, and measures how long nobody quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shm.layout import EventType, OrderState, RequestType
from strategy import planned_restart
from strategy.planned_restart import RestartMeasure, RestartNote, take_note
from strategy.strategy_runner import RunnerState
from tests.strategy.test_container import Probe, buy
from tests.strategy.world import Limits, Settings, World

SECOND = 1_000_000_000


def make_note(**changes: Any) -> RestartNote:
    values = {"stopped_ns": 5 * SECOND, "orders": "keep", "kept": {1: 2}, "paused": [], "open_orders": 2} | changes
    return RestartNote(**values)


def test_a_note_is_taken_once_and_only_within_the_limit_and_the_boot(tmp_path: Path, monkeypatch: Any) -> None:
    make_note().write(tmp_path)
    found = take_note(tmp_path, 6 * SECOND, 2 * SECOND)
    assert found is not None and (found.kept, found.orders, found.open_orders) == ({1: 2}, "keep", 2)
    assert take_note(tmp_path, 6 * SECOND, 2 * SECOND) is None
    for now_ns in (5 * SECOND - 1, 7 * SECOND + 1):
        make_note().write(tmp_path)
        assert take_note(tmp_path, now_ns, 2 * SECOND) is None
        assert list(tmp_path.iterdir()) == [], "an old note is removed, too"
    make_note().write(tmp_path)
    (tmp_path / "boot").write_text("another boot\n")
    monkeypatch.setattr(planned_restart, "BOOT_ID", tmp_path / "boot")
    assert take_note(tmp_path, 6 * SECOND, 2 * SECOND) is None


@pytest.mark.parametrize("text", ["", "{", '{"stopped_ns": 1}', "[]"])
def test_a_file_that_is_no_note_is_no_note(tmp_path: Path, text: str) -> None:
    (tmp_path / planned_restart.FILE).write_text(text)
    assert take_note(tmp_path, 1, SECOND) is None


def test_kept_orders_mean_that_the_market_never_was_without_quotes() -> None:
    measure = RestartMeasure(make_note())
    assert not measure.is_over and measure.describe()["stood_still_ms"] is None
    measure.on_running(6 * SECOND, adopted=1)
    assert measure.is_over and (measure.stood_still_ms, measure.without_quotes_ms) == (1000.0, 0.0)


def test_without_kept_orders_the_first_working_one_ends_the_pause() -> None:
    measure = RestartMeasure(make_note(kept={}))
    measure.on_running(6 * SECOND, adopted=0)
    assert not measure.is_over and "no order works" in str(measure)
    measure.on_working(8 * SECOND)
    measure.on_working(9 * SECOND)
    assert measure.is_over and measure.without_quotes_ms == 3000.0
    assert "0 of 2 orders were kept; strategies stood still for 1.00 s" in str(measure)


def test_where_no_order_was_open_it_is_over_when_the_strategies_run() -> None:
    measure = RestartMeasure(make_note(kept={}, open_orders=0))
    measure.on_running(6 * SECOND, adopted=0)
    assert measure.is_over and measure.describe()["without_quotes_ms"] is None


@pytest.fixture
def handed_on(world: World) -> tuple[World, RestartNote]:
    """Two strategies with an order each, both accepted; the first one's is kept, the second is paused."""
    Probe.made.clear()
    settings = [Settings(limits=Limits()), Settings(id=2, name="two", limits=Limits())]
    container = world.start(*((Probe, one) for one in settings))
    world.make_ready()
    for probe in Probe.made:
        buy(probe)
    requests = world.take_requests()
    for request in requests:
        world.accept(request)
    world.turn()
    world.runner(2).pause()
    stay = container.stop_all(kept=[1, 2])
    world.turn()
    [cancel] = world.take_requests()
    assert stay == {1: 1} and cancel.client_order_id == requests[1].client_order_id
    assert container.unsettled_orders() == 1, "the paused strategy's order is waited for, the kept one is not"
    world.send_event(EventType.CANCELED, cancel)
    world.turn()
    assert container.unsettled_orders() == 0 and container.open_orders() == 1
    note = make_note(stopped_ns=world.now_ns, kept=stay, paused=[2], open_orders=2)
    world.kept = requests[0]  # type: ignore[attr-defined]
    return world, note


def test_a_strategy_that_is_handed_on_hears_nothing_more_and_its_order_is_left_alone(
    handed_on: tuple[World, RestartNote],
) -> None:
    world, _ = handed_on
    told = len(Probe.made[0].told)
    world.wait(1.5)
    world.quote()
    world.turn()
    assert len(Probe.made[0].told) == told and Probe.made[0].count("stop") == 0
    assert world.take_requests() == [] and world.runner(1).state == RunnerState.HANDED_ON


def test_the_next_trader_adopts_what_was_kept_although_strays_are_canceled_otherwise(
    handed_on: tuple[World, RestartNote],
) -> None:
    world, note = handed_on
    kept = world.kept  # type: ignore[attr-defined]
    Probe.made.clear()
    container = world.start(
        (Probe, Settings(limits=Limits(), on_start="cancel")), (Probe, Settings(id=2, name="two", limits=Limits()))
    )
    container.go_on_from(note)
    world.now_ns += SECOND
    world.beat()
    world.turn()
    world.answer_recover(
        lambda: world.send_event(EventType.STATUS, kept, order_state=OrderState.OPEN, exchange_order_id=b"7")
    )
    world.turn()
    assert [one.client_order_id for one in world.runner(1).open_orders()] == [kept.client_order_id]
    assert [one for one in world.take_requests() if one.request_type == RequestType.CANCEL] == []
    assert world.runner(2).state == RunnerState.PAUSED, "what a person halted stays halted"
    measured = container.status()["restart"]
    assert measured["over"] and measured["without_quotes_ms"] == 0.0
    assert 1000.0 < measured["stood_still_ms"] < 1100.0


def test_what_was_changed_live_is_named_before_it_goes_back_to_the_config(world: World) -> None:
    container = world.start()
    spec = "strategy.market_making:MarketMakingStrategy"
    container.load(Settings(module=spec, limits=Limits(), parameters={"order_quantity": 0.01}))
    world.make_ready()
    assert container.differs_from_config() == {}
    container.set_parameters("one", {"requote_ticks": 7.0})
    assert container.differs_from_config() == {"one": ["requote_ticks"]}
