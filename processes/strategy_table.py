"""The trader's strategies as rows, for those who watch: state, position and its range, profit, own best quotes.

The rule: floats for people; nothing that decides anything is read back from here. Rows of strategies that are gone, or
of a trader that was killed, are cleared with the first publication. A row's text says what failed, why only what
reduces may be sent, or what its limits refused in the last seconds; empty: nothing is wrong.

Written by processes/trader.py some ten times a second; read by `corelane top` and the monitor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from processes.snapshot import REFUSED
from shm.layout import MONEY_SCALE, REASON_TEXT_SIZE, Side
from shm.records import StrategyRow
from shm.segment import Segment
from shm.table import TableReader, TableWriter
from strategy.container import StrategyContainer
from strategy.mini_pms import Position
from strategy.order import Order
from strategy.strategy_runner import StrategyRunner

MONEY: Final = 10.0**MONEY_SCALE
NAN: Final = math.nan
REFUSED_NS: Final = 3_000_000_000
"""How long a refusal is told: one that asks again and again is told all the time."""


class StrategyTable:
    """The writing end; one per trader."""

    def __init__(self, segment: Segment) -> None:
        self._table, self._capacity = TableWriter(segment), segment.capacity
        self._row = StrategyRow()
        self._written = len(list(rows(segment)))
        self._refused: dict[int, tuple[int, int]] = {}
        """By strategy: refusals that were seen, and until when the last of them is told."""

    def publish(self, container: StrategyContainer) -> None:
        """Write every row anew. More than the table holds are left out, the first ones stay."""
        number, now_ns = 0, container.clock()
        for runner in container.runners.values():
            orders, says = runner.open_orders(), self._says(runner, now_ns)
            for position in runner.positions.values():
                if number == self._capacity:
                    return
                own = [order for order in orders if order.instrument is position.instrument]
                self._fill(runner, position, own, container)
                self._row.text = says.encode()[:REASON_TEXT_SIZE]
                self._row.epoch = container.epoch
                self._table.write(number, self._row)
                number += 1
        for gone in range(number, self._written):
            self._table.write(gone, StrategyRow())
        self._written = number

    def _says(self, runner: StrategyRunner, now_ns: int) -> str:
        counted, until_ns = self._refused.get(runner.id, (0, 0))
        if runner.risk.refusals != counted:
            until_ns = now_ns + REFUSED_NS
        self._refused[runner.id] = runner.risk.refusals, until_ns
        return runner.text or runner.loss.text or (f"{REFUSED}{runner.risk.text}" if now_ns < until_ns else "")

    def _fill(
        self, runner: StrategyRunner, position: Position, orders: list[Order], container: StrategyContainer
    ) -> None:
        row, instrument = self._row, position.instrument
        row.strategy_id, row.instrument_id, row.venue = runner.id, instrument.id, instrument.venue
        row.state, row.stale = int(runner.state), instrument.id in runner.stale
        row.open_orders, row.fills = len(orders), position.fills
        row.position, row.lowest, row.highest = (
            position.position_mantissa, position.lowest_mantissa, position.highest_mantissa,
        )  # fmt: skip
        row.average_price = position.average_price
        row.realized_pnl, row.fees = position.realized_pnl, position.fees_paid
        mark = container.marks.get(instrument.id)
        row.unrealized_pnl = NAN if mark is None else position.unrealized_mantissa(mark) / MONEY
        row.bid_price, row.bid_quantity = _best(orders, Side.BUY)
        row.ask_price, row.ask_quantity = _best(orders, Side.SELL)
        row.name, row.instrument = runner.name.encode(), instrument.name.encode()


def _best(orders: list[Order], side: Side) -> tuple[float, float]:
    """Own best price on that side and what is open there; NaN and 0 without an order."""
    prices = [order.price for order in orders if order.side == side]
    if not prices:
        return NAN, 0.0
    best = max(prices) if side == Side.BUY else min(prices)
    return best, sum(one.remaining_quantity for one in orders if one.side == side and one.price == best)


def rows(segment: Segment) -> Iterator[StrategyRow]:
    """What stands in the table now: a record of its own each."""
    table = TableReader(segment)
    for number in range(segment.capacity):
        row = StrategyRow()
        if not table.read(number, row) or not row.strategy_id:
            return
        yield row
