"""The audit: what the venue holds against what we think, about once a minute, outside any recovery.

The rule: streams may lose a message without breaking, so everything that money depends on is compared with the venue's
own lists: what may still trade of each order, each own trade since the watermark, each position. A list and our books
are never of the same instant, so a difference counts only where a second look, CONFIRM_S later, finds the very same two
values. A difference that counts is told as a record with both sides (journal, event ring, log) before it is healed, and
it is healed by the venue's word alone: facts are merged, an order that is not listed is followed up by settlement, the
gate takes the venue's position.

Orders with an unknown outcome or a request in flight are not compared: somebody is asking about them already. An order
that the venue counts as filled further than our fills add up to is compared always.

Who calls it: processes/trading_engine.py, on its timer and for `corelane ctl ... audit`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_instruments import OrderInstruments
from exchanges.order_merger import CounterSink, OrderMerger
from exchanges.order_store import Order, OrderStore
from exchanges.recovery import Download, RecoveryBracket, RecoverySource
from exchanges.risk_gate import RiskGate
from shm.layout import TERMINAL_STATES, AuditSubject, OrderState
from shm.records import AuditDifference, OrderEvent

CONFIRM_S: Final = 2.0
"""Longer than a message is on its way, and than two replicas of the venue differ."""


class Subject(NamedTuple):
    """What two values are about."""

    kind: AuditSubject
    instrument_id: int
    client_order_id: int = 0
    trade_id: bytes = b""


class Sides(NamedTuple):
    """Mantissas in the instrument's quantity scale."""

    ours: int
    venue: int


@dataclass
class Look:
    """One comparison, and what was downloaded for it."""

    differences: dict[Subject, Sides] = field(default_factory=dict)
    download: Download = field(default_factory=Download)
    not_listed: dict[Subject, Order] = field(default_factory=dict)


class Audit:
    def __init__(
        self,
        *,
        bracket: RecoveryBracket,
        merger: OrderMerger,
        store: OrderStore,
        ledger: FillLedger,
        gate: RiskGate,
        events: EventLog,
        source: RecoverySource,
        instruments: OrderInstruments,
        venue_time_ns: Callable[[], int],
        clock: Callable[[], int],
        counters: CounterSink,
        log: logging.Logger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """clock: CLOCK_MONOTONIC ns. venue_time_ns: the venue's UTC as estimated here."""
        self._bracket, self._merger, self._store, self._ledger = bracket, merger, store, ledger
        self._gate, self._events, self._source, self._instruments = gate, events, source, instruments
        self._venue_time_ns, self._clock, self._sleep = venue_time_ns, clock, sleep
        self._count, self._log = counters.add, log

    async def run(self) -> dict[Subject, Sides]:
        """Compare, tell and heal; the differences that counted. Raises VenueUnavailable or VenueRefused, and then
        nothing was changed."""
        look = await self._look()
        found: dict[Subject, Sides] = {}
        if look.differences:
            first = look.differences
            await self._sleep(CONFIRM_S)
            look = await self._look()
            found = {subject: sides for subject, sides in look.differences.items() if first.get(subject) == sides}
        self._count("audits")
        for subject, sides in found.items():
            self._tell(subject, sides)
        await self._heal(look, found)
        return found

    # --- looking ----------------------------------------------------------------------------------------------------
    async def _look(self) -> Look:
        look = Look()
        thought_open = [order for order in self._store.open_orders() if _comparable(order)]
        for instrument in self._instruments:
            listed = await self._source.open_orders([instrument.symbol])
            look.download.open_orders += listed
            await self._bracket.download_trades(instrument, look.download)
        look.download.positions_time_ns = self._venue_time_ns()
        look.download.positions = await self._source.positions()
        # From here on nothing waits: our side is one instant.
        self._compare_orders(thought_open, look)
        self._compare_trades(look)
        self._compare_positions(look)
        return look

    def _compare_orders(self, thought_open: list[Order], look: Look) -> None:
        listed = {fact.client_order_id: fact for fact in look.download.open_orders}
        for fact in listed.values():
            order = self._store.get(fact.client_order_id)
            if order is not None and not order.closed and not _comparable(order):
                continue
            subject = Subject(AuditSubject.ORDER, fact.instrument_id, fact.client_order_id)
            ours = _remaining(order) if order is not None else 0
            self._put(look, subject, ours, fact.quantity - fact.cumulative_quantity)
        for order in thought_open:
            if order.client_order_id not in listed and not order.closed and _comparable(order):
                subject = Subject(AuditSubject.ORDER, order.instrument_id, order.client_order_id)
                self._put(look, subject, _remaining(order), 0)
                look.not_listed[subject] = order
        for order in (*self._store.open_orders(), *self._store.closed_orders()):
            if order.external or not (order.untold_quantity or (order.fills_missing and not order.closed)):
                continue
            subject = Subject(AuditSubject.ORDER, order.instrument_id, order.client_order_id)
            told = order.cumulative_quantity - order.untold_quantity
            filled = max(order.cumulative_quantity, order.venue_cumulative)
            self._put(look, subject, order.quantity - told, order.quantity - filled)

    def _compare_trades(self, look: Look) -> None:
        for instrument_id, trades in look.download.trades.items():
            if self._ledger.watermark(instrument_id) is None:
                continue  # never read before: all of them are older than this instance
            for trade in trades:
                if not self._ledger.knows(instrument_id, int(trade.trade_id)):
                    order = self._order_of(instrument_id, trade, look)
                    subject = Subject(AuditSubject.TRADE, instrument_id, order, trade.trade_id)
                    self._put(look, subject, 0, trade.last_quantity)

    def _order_of(self, instrument_id: int, trade: OrderEvent, look: Look) -> int:
        """Client order id behind a trade, which names its order by the venue's id."""
        order = self._store.by_exchange_id(instrument_id, trade.exchange_order_id)
        if order is not None:
            return order.client_order_id
        for fact in (*look.download.strangers, *look.download.open_orders):
            if fact.exchange_order_id == trade.exchange_order_id and fact.instrument_id == instrument_id:
                return int(fact.client_order_id)
        return 0

    def _compare_positions(self, look: Look) -> None:
        rows = {row.instrument_id: row for row in look.download.positions}
        for instrument in self._instruments:
            row = rows.get(instrument.id)
            subject = Subject(AuditSubject.POSITION, instrument.id)
            self._put(look, subject, self._gate.net_position(instrument.id), row.position if row is not None else 0)

    @staticmethod
    def _put(look: Look, subject: Subject, ours: int, venue: int) -> None:
        if ours != venue:
            look.differences[subject] = Sides(ours, venue)

    # --- telling and healing ----------------------------------------------------------------------------------------
    def _tell(self, subject: Subject, sides: Sides) -> None:
        self._count("audit_differences")
        record = AuditDifference()
        record.subject, record.instrument_id = subject.kind, subject.instrument_id
        record.venue = subject.instrument_id >> 16
        record.client_order_id, record.trade_id = subject.client_order_id, subject.trade_id
        record.ours, record.theirs = sides
        record.receive_time_ns = self._clock()
        self._events.emit(record)
        self._log.error("audit: %s", self.describe(subject, sides))

    def describe(self, subject: Subject, sides: Sides) -> str:
        """One sentence with both sides, in the instrument's own units."""
        instrument = self._instruments.by_id(subject.instrument_id)
        name, scale = (instrument.symbol, instrument.quantity_scale) if instrument is not None else ("?", 0)
        ours, venue = (f"{value / 10**scale:.{scale}f}" for value in sides)
        what = {
            AuditSubject.ORDER: f"open quantity of order {subject.client_order_id}",
            AuditSubject.TRADE: f"trade {subject.trade_id.decode()} of order {subject.client_order_id}",
            AuditSubject.POSITION: "position",
        }[subject.kind]
        return f"{name}: {what} is {ours} here and {venue} at the venue"

    async def _heal(self, look: Look, found: dict[Subject, Sides]) -> None:
        for fact in (*look.download.open_orders, *look.download.strangers):
            self._merger.on_fact(fact)
        for instrument_id, trades in look.download.trades.items():
            await self._bracket.merge_trades(instrument_id, trades, 0)
        for subject in found:
            order = self._store.get(subject.client_order_id)
            if subject.kind == AuditSubject.ORDER and order is not None:
                order.untold_quantity = 0
        for subject, order in look.not_listed.items():
            if subject in found and not order.closed:
                self._merger.doubt(order)
        if any(subject.kind == AuditSubject.POSITION for subject in found):
            self._bracket.seed(look.download.positions, look.download.positions_time_ns)


def _comparable(order: Order) -> bool:
    """Confirmed by the venue, and nothing about it is under way."""
    return (
        order.accepted
        and not order.requests
        and order.ended_by is None
        and order.state != OrderState.UNKNOWN
        and order.state not in TERMINAL_STATES
    )


def _remaining(order: Order) -> int:
    return 0 if order.closed else order.quantity - order.cumulative_quantity
