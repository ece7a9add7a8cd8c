"""A running set as an observer sees it: status rows, books, rings, counters, strategies and own orders.

The rule: it reads shared memory only and can hold nobody up (rings are followed with broadcast semantics), so what is
shown costs the traders nothing. Called by the demo (screen, counters of the report), `corelane top` and the monitor;
one thread.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from processes import kill_switch
from processes.config import Config
from processes.hop_view import HopView
from processes.order_watch import OrderWatch
from processes.snapshot import (
    BudgetLine,
    ConnectionLine,
    KillSwitchLine,
    ProcessLine,
    Snapshot,
    StrategyLine,
    VenueSnapshot,
)
from processes.strategy_table import rows as strategy_rows
from processes.venue_view import VenueView, text
from shm.clock import monotonic_ns
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import CONNECTIONS_PER_PROCESS, ConnectionState, ProcessState, Word
from shm.records import ProcessRow, StrategyRow
from shm.segment import SegmentError
from shm.table import TableReader, Words
from strategy.strategy_runner import RunnerState

UNKNOWN_SCALE = 1.0


class SetView:
    """All processes and venues of one instance."""

    def __init__(self, config: Config, instance: Instance) -> None:
        """`instance`: attached segments are shared with its owner. Raises SegmentError."""
        self.config = config
        self._instance = instance
        self._status = TableReader(instance.segment("status"))
        rows = instance.processes()
        self._rows = {name: rows[name] for name in config.processes() if name in rows}
        self._words = Words(instance.segment("words"))
        self._hops = HopView()
        self.venues = {name: VenueView(instance, name, venue.symbols) for name, venue in config.venues.items()}
        names = {strategy.id: strategy.name for strategy in config.strategies}
        self._orders = {
            name: OrderWatch(instance.segment(f"{name}.events"), instance.number, names, self._place)
            for name in config.venues
        }

    # --- all our orders, for the demo -------------------------------------------------------------------------------
    def poll(self) -> None:
        for venue in self.venues.values():
            venue.poll()

    # --- one picture ------------------------------------------------------------------------------------------------
    def follow_orders(self) -> None:
        """Take in the newest order events. Call it several times a second, so that none is missed."""
        for watch in self._orders.values():
            watch.poll()

    def take(self) -> Snapshot:
        """How the set is now."""
        self.follow_orders()
        processes = self.processes()
        hops, histograms = self._hops.look(self._readers())
        return Snapshot(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            monotonic_ns=monotonic_ns(),
            instance=self.config.instance.name,
            kill_switch=_kill_switch(self._words.load(Word.KILL_SWITCH), processes),
            processes=processes,
            venues=[self._venue(name) for name in self.venues],
            strategies=self.strategies(),
            hops=hops,
            counters={process: dict(reader.counters()) for process, reader in self._readers()},
            histograms=histograms,
        )

    def processes(self) -> list[ProcessLine]:
        now = monotonic_ns()
        return [self._process(name, now) for name in self.config.processes()]

    def _process(self, name: str, now: int) -> ProcessLine:
        row = ProcessRow()
        if name not in self._rows or not self._status.read(self._rows[name], row) or not row.pid:
            return ProcessLine(name, 0, -1, ProcessState.NONE.name, 0.0, 0, "")
        age_ms = max(now - row.heartbeat_time_ns, 0) / 1e6  # it may have beaten since `now`
        return ProcessLine(
            name, row.pid, row.core, ProcessState(row.state).name, age_ms, row.restarts, text(row.text),
            (row.heartbeat_time_ns - row.start_time_ns) / 1e9, row.kill_switch_echo,
            tuple(_connections(row, now)),
        )  # fmt: skip

    def strategies(self) -> list[StrategyLine]:
        """What the trader last wrote of each of its strategies; as old as `age_ms` says."""
        now = monotonic_ns()
        return [self._strategy(row, now) for row in strategy_rows(self._instance.segment("strategies"))]

    def _strategy(self, row: StrategyRow, now: int) -> StrategyLine:
        name = text(row.instrument)
        venue = self.venues.get(name.partition(":")[0])
        instrument = venue.instrument_row(row.instrument_id) if venue is not None else None
        unit = UNKNOWN_SCALE if instrument is None else 10.0**instrument.quantity_scale
        unrealized = _number(row.unrealized_pnl)
        profit = None if unrealized is None else row.realized_pnl + unrealized - row.fees
        return StrategyLine(
            text(row.name), name, RunnerState(row.state).name, bool(row.stale), row.open_orders, row.fills,
            row.position / unit, row.lowest / unit, row.highest / unit, row.average_price,
            row.realized_pnl, unrealized, row.fees, profit,
            "" if instrument is None else text(instrument.settle_currency),
            _number(row.bid_price), row.bid_quantity, _number(row.ask_price), row.ask_quantity,
            text(row.text), (now - row.publish_time_ns) / 1e6, row.position,
        )  # fmt: skip

    def _venue(self, name: str) -> VenueSnapshot:
        view, watch, settings = self.venues[name], self._orders[name], self.config.venues[name]
        budgets: list[BudgetLine] | None = None
        with contextlib.suppress(SegmentError):  # another user's, or another build's: the rest is worth showing
            budgets = view.budgets(settings.environment, settings.rest_url)
        return VenueSnapshot(
            name, settings.environment, settings.stale_after_ms, view.markets(), view.rings(), budgets,
            view.balances(), watch.orders(), watch.complete, watch.fills(),
        )  # fmt: skip

    def _place(self, identifier: int) -> tuple[str, float, float] | None:
        """What order_watch asks: name and units of an instrument."""
        for name, view in self.venues.items():
            symbol = view.symbol_of(identifier)
            row = view.instrument_row(identifier) if symbol is not None else None
            if row is not None:
                return f"{name}:{symbol}", 10.0**row.price_scale, 10.0**row.quantity_scale
        return None

    # --- counters ---------------------------------------------------------------------------------------------------
    def counter(self, name: str, venue: str | None = None) -> int:
        """Sum of a counter over the processes of a venue (of all, and the trader, where None)."""
        total = 0
        for process, reader in self._readers():
            if venue is None or process.endswith(f".{venue}"):
                total += int(reader.counters().get(name, 0))
        return total

    def latency(self) -> dict[str, dict[str, int]]:
        """Summary of every hop that was recorded, ns; hops of the same name in several processes are merged."""
        return self._hops.summaries(self._readers())

    def _readers(self) -> Iterator[tuple[str, CountersReader]]:
        for process in self.config.processes():
            with contextlib.suppress(SegmentError):
                yield process, CountersReader(self._instance.segment(f"counters.{process}"))


def _kill_switch(generation: int, processes: list[ProcessLine]) -> KillSwitchLine:
    engines = [line for line in processes if line.role == "trading_engine" and line.pid]
    obeyed = {line.name: line.kill_switch_echo >= generation for line in engines}
    return KillSwitchLine(kill_switch.is_on(generation), generation, obeyed)


def _connections(row: ProcessRow, now: int) -> Iterable[ConnectionLine]:
    for index in range(CONNECTIONS_PER_PROCESS):
        state, heard_ns = ConnectionState(row.connection_states[index]), int(row.connection_receive_time_ns[index])
        if state is not ConnectionState.NONE:
            yield ConnectionLine(state.name, max(now - heard_ns, 0) / 1e6 if heard_ns else None)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
