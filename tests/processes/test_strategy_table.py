"""The strategies as rows: what those who watch see of positions, profit and own quotes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import pytest

from processes.strategy_table import StrategyTable, rows
from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.segment import Segment
from strategy.abstract_strategy import AbstractStrategy
from strategy.strategy_runner import RunnerState
from strategy.testing import StrategyRig

NAME = f"/corelane.test{os.getpid()}-strategies.x"


class Quiet(AbstractStrategy):
    """Does nothing by itself."""


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(NAME, SegmentKind.TABLE, 4, slot_stride(RecordKind.STRATEGY_ROW))
    yield made
    made.close()
    Segment.remove(NAME)


@pytest.fixture
def rig() -> Iterator[StrategyRig]:
    with StrategyRig(Quiet, instruments=("binance:BTCUSDT", "binance:ETHUSDT")) as made:
        made.quote(60_000.0, 60_000.1)
        made.quote(3_000.0, 3_000.1, "binance:ETHUSDT")
        yield made


def test_each_instrument_of_a_strategy_has_its_row(rig: StrategyRig, segment: Segment) -> None:
    btc = rig.instrument()
    rig.strategy.buy(btc, 59_990.0, 0.5)
    rig.strategy.buy(btc, 59_980.0, 0.25)
    rig.strategy.sell(btc, 60_010.0, 0.75)
    rig.turn()
    StrategyTable(segment).publish(rig.container)
    first, second = rows(segment)
    assert (first.name, first.instrument, first.state) == (b"rig", b"binance:BTCUSDT", RunnerState.RUNNING)
    assert (first.bid_price, first.bid_quantity, first.ask_price, first.ask_quantity) == (59_990.0, 0.5, 60_010.0, 0.75)
    assert (first.open_orders, first.position, first.lowest, first.highest) == (3, 0, -750, 750)
    assert (first.epoch, first.stale) == (rig.container.epoch, 0)
    assert (second.instrument, second.open_orders) == (b"binance:ETHUSDT", 0)
    assert math.isnan(second.bid_price)


def test_a_position_is_valued_at_the_newest_mark_price(rig: StrategyRig, segment: Segment) -> None:
    rig.strategy.buy(rig.instrument(), 60_000.1, 0.5)
    rig.turn()
    rig.fill(rig.orders[0], fee="0.25")
    table = StrategyTable(segment)
    table.publish(rig.container)
    row = next(rows(segment))
    assert (row.position, row.average_price, row.fees, row.fills) == (500, 60_000.1, 0.25, 1)
    rig.container.marks.clear()
    table.publish(rig.container)
    assert math.isnan(next(rows(segment)).unrealized_pnl)
    rig.mark(60_100.1)
    table.publish(rig.container)
    assert next(rows(segment)).unrealized_pnl == pytest.approx(50.0)


def test_what_a_killed_trader_left_is_gone_with_the_first_publication(rig: StrategyRig, segment: Segment) -> None:
    StrategyTable(segment).publish(rig.container)
    with StrategyRig(Quiet) as other:
        other.quote(1_000.0, 1_000.1)
        table = StrategyTable(segment)
        table.publish(other.container)
        assert [row.instrument for row in rows(segment)] == [b"binance:BTCUSDT"]


def test_a_stale_instrument_and_a_failed_strategy_show(rig: StrategyRig, segment: Segment) -> None:
    rig.wait(5.0, quiet=True)
    rig.runner.fail("on_quote", ValueError("boom"))
    StrategyTable(segment).publish(rig.container)
    row = next(rows(segment))
    assert (row.state, row.stale) == (RunnerState.FAILED, 1)
    assert b"ValueError in on_quote" in row.text


def test_why_only_reducing_orders_pass_is_said_until_a_person_resets_it(rig: StrategyRig, segment: Segment) -> None:
    rig.strategy.buy(rig.instrument(), 60_000.1, 0.5)
    rig.turn()
    rig.fill(rig.orders[0])
    rig.runner.set_limits({"max_loss": "10"})
    rig.mark(59_900.0)
    rig.wait(0.3)
    table = StrategyTable(segment)
    table.publish(rig.container)
    assert [(row.state, row.text) for row in rows(segment)] == [
        (RunnerState.RUNNING, b"the loss limit of 10 was reached: 50.05 at the worse end")
    ] * 2
    rig.runner.loss.reset()
    table.publish(rig.container)
    assert [row.text for row in rows(segment)] == [b"", b""]


def test_what_limits_refuse_is_said_as_long_as_it_goes_on(rig: StrategyRig, segment: Segment) -> None:
    table = StrategyTable(segment)
    rig.runner.set_limits({"max_order_quantity": "0.1"})
    rig.strategy.buy(rig.instrument(), 59_990.0, 0.5)
    table.publish(rig.container)
    assert next(rows(segment)).text == b"refused: quantity 0.5 is above the limit of 0.1"
    rig.wait(2.0)
    rig.strategy.buy(rig.instrument(), 59_990.0, 0.5)
    table.publish(rig.container)
    rig.wait(2.0)
    table.publish(rig.container)
    assert next(rows(segment)).text.startswith(b"refused: ")
    rig.wait(2.0)
    table.publish(rig.container)
    assert next(rows(segment)).text == b""


def test_a_table_that_is_full_keeps_the_first_rows(rig: StrategyRig, segment: Segment) -> None:
    small = Segment.create(NAME + "2", SegmentKind.TABLE, 1, slot_stride(RecordKind.STRATEGY_ROW))
    try:
        StrategyTable(small).publish(rig.container)
        assert [row.instrument for row in rows(small)] == [b"binance:BTCUSDT"]
    finally:
        small.close()
        Segment.remove(NAME + "2")
