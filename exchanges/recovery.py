"""The recovery bracket: what the venue holds, downloaded and told between BEGIN and END.

The steps
1. BEGIN(nonce) at once. The trader has dropped, or will drop, everything before it.
2. Wait for the private stream: what happens from here on comes as facts of its own, and merging makes order irrelevant.
3. Download open orders, own trades since the watermark, the end of each order that we thought open and the venue does
   not list, the orders behind trades that name unknown ones, positions. Any failure: pause, and all of it again.
4. Merge all that, tell STATUS of every open order and of every order that ended, seed the risk gate. Live facts may
   come in between: merging knows no order.
5. For a trader that asked (nonce not 0): tell again what it may have dropped while it asked, or missed to a full ring:
   fills and ends of its own epoch. It knows fills by trade id, so twice does no harm.
6. END(nonce). From here on the engine takes orders.
A new request while one runs replaces it: END comes for the newest nonce only. A bracket may be longer than the ring:
for a trader that asked, and so drains it, it waits for room. One that nobody asked for (nonce 0) never waits: with no
trader there, what does not fit is an overflow, and the next trader's own bracket makes up for it.

Who calls it: order_engine for RECOVER (nonce of the trader), processes/trading_engine.py at the start and after each
reconnect of the private stream (nonce 0). `download_trades`, `merge_trades` and `seed` serve audit.py as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_merger import CounterSink, OrderMerger
from exchanges.order_store import Order, OrderStore
from exchanges.risk_gate import RiskGate
from exchanges.settlement import AccountSource
from shm.layout import TERMINAL_STATES, OrderState, Reason, RecoveryPhase
from shm.records import OrderEvent, PositionRow, Recovery

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
RING_PAUSE_S: Final = 0.002
ROOM: Final = 16
"""Free slots that are left for live events while a bracket is told."""
LOSS_MARGIN_NS: Final = 5_000_000_000
"""How far a trader may have been behind when it asked: what was told within this time before is told again."""
REPLICA_LAG_NS: Final = 10_000_000_000
"""Trades younger than this do not move the watermark: a replica that lags may show a later one before an earlier."""


class RecoverySource(AccountSource, Protocol):
    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]: ...
    async def positions(self) -> list[PositionRow]: ...


@dataclass
class Download:
    """What step 3 brought."""

    open_orders: list[OrderEvent] = field(default_factory=list)
    ended: list[OrderEvent] = field(default_factory=list)
    doubtful: list[Order] = field(default_factory=list)
    """Thought open, not listed, and the order query does not know them either."""
    strangers: list[OrderEvent] = field(default_factory=list)
    trades: dict[int, list[OrderEvent]] = field(default_factory=dict)
    positions: list[PositionRow] = field(default_factory=list)
    positions_time_ns: int = 0
    answered: dict[object, OrderEvent | None] = field(default_factory=dict)
    """What the venue said of single orders (by what they were asked for) and need not be asked again when a later call
    of this bracket fails, as it does where the rate limit lets only some through at once: an end is an end, and who is
    not known is in doubt whenever that was said."""


class RecoveryBracket:
    def __init__(
        self,
        *,
        merger: OrderMerger,
        store: OrderStore,
        ledger: FillLedger,
        gate: RiskGate,
        events: EventLog,
        source: RecoverySource,
        instruments: OrderInstruments,
        stream_up: Callable[[], Awaitable[None]],
        set_ready: Callable[[bool], None],
        venue_time_ns: Callable[[], int],
        clock: Callable[[], int],
        counters: CounterSink,
        log: logging.Logger,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ring_sequence: Callable[[], int] = lambda: 0,
        ring_free: Callable[[], int] = lambda: ROOM,
    ) -> None:
        """stream_up: returns when the private stream delivers. set_ready: opens and closes the engine for new orders.
        ring_sequence, ring_free: last sequence and free slots of the event ring."""
        self._merger, self._store, self._ledger, self._gate = merger, store, ledger, gate
        self._events, self._source, self._instruments = events, source, instruments
        self._stream_up, self._set_ready = stream_up, set_ready
        self._venue_time_ns, self._clock, self._count = venue_time_ns, clock, counters.add
        self._log, self._spawn, self._sleep, self._ring_sequence = log, spawn, sleep, ring_sequence
        self._ring_free = ring_free
        self._task: asyncio.Task[None] | None = None
        self._present = (0, 0, 0)
        self.lost_before_ns = clock()
        """What was told since then may have reached no trader: this engine's start, or the crash before it. 0 when the
        first bracket that a trader asked for has ended."""
        self.running = False

    def request(self, nonce: int, epoch: int, asked_time_ns: int) -> None:
        """Begin a bracket now, in place of one that runs. asked_time_ns: when the trader asked."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            if not nonce:
                nonce, epoch, asked_time_ns = self._present  # the trader waits for that nonce's END
        self._present = (nonce, epoch, asked_time_ns)
        self.running = True
        self._set_ready(False)
        self._task = self._spawn(self._run(nonce, epoch, asked_time_ns))

    async def _run(self, nonce: int, epoch: int, asked_time_ns: int) -> None:
        loss_since_ns = asked_time_ns - LOSS_MARGIN_NS
        for earlier in (self.lost_before_ns, self._events.overflowed_since_ns):
            if earlier:
                loss_since_ns = min(loss_since_ns, earlier - LOSS_MARGIN_NS)
        await self._tell(self._record(RecoveryPhase.BEGIN, nonce, epoch), nonce)
        # Nothing is told between BEGIN's publication and these copies: they are what stands before it.
        fills_before, closed_before = list(self._merger.recent_fills), list(self._store.closed_orders())
        refused_before = list(self._merger.lost_refusals)
        if nonce:
            self._events.start_over()
        download = await self._download_until_complete()
        told, fills = await self._apply(download, nonce)
        if nonce:
            fills += await self._tell_again(epoch, loss_since_ns, fills_before, closed_before)
            await self._tell_refusals(epoch, refused_before)
        end = self._record(RecoveryPhase.END, nonce, epoch)
        end.open_orders, end.fills = told, fills
        end.watermark = self._ring_sequence() + 1
        await self._tell(end, nonce)
        if nonce:
            self.lost_before_ns = 0
            self._events.whole_again()
        self.running = False
        self._count("recoveries")
        self._set_ready(True)
        self._log.info("recovered: %d orders, %d fills (nonce %d)", told, fills, nonce)

    def _record(self, phase: RecoveryPhase, nonce: int, epoch: int) -> Recovery:
        record = Recovery()
        record.phase, record.nonce, record.epoch = phase, nonce, epoch
        for instrument in self._instruments:
            record.venue = instrument.venue
            break
        record.receive_time_ns = self._clock()
        return record

    async def _tell(self, record: Recovery, nonce: int) -> None:
        """Both ends must reach a trader that asked: a full ring is waited for, not given up."""
        if self._events.emit(record) or not nonce:
            return
        while not self._events.republish(record):
            await self._sleep(RING_PAUSE_S)

    async def _room(self, nonce: int) -> None:
        """Until the ring has room for some more events, where somebody drains it."""
        while nonce and self._ring_free() < ROOM:
            await self._sleep(RING_PAUSE_S)

    # --- step 3 -----------------------------------------------------------------------------------------------------
    async def _download_until_complete(self) -> Download:
        pause, answered = FIRST_PAUSE_S, dict[object, OrderEvent | None]()
        while True:
            await self._stream_up()
            try:
                return await self._download(answered)
            except VenueUnavailable as failure:
                self._log.warning("recovery: %s", failure)
            except VenueRefused as failure:
                if failure.reason == Reason.VENUE_SIGNATURE:
                    raise
                self._log.warning("recovery: %s", failure)
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _download(self, answered: dict[object, OrderEvent | None]) -> Download:
        result = Download(answered=answered)
        thought_open = [
            order for order in self._store.open_orders() if order.accepted or order.state == OrderState.UNKNOWN
        ]
        symbols = [instrument.symbol for instrument in self._instruments]
        result.open_orders = await self._source.open_orders(symbols)
        listed = {fact.client_order_id for fact in result.open_orders}
        for instrument in self._instruments:
            await self.download_trades(instrument, result)
        for order in thought_open:
            if order.client_order_id in listed or order.closed:
                continue
            symbol = self._symbol(order)
            fact = await self._ask(symbol, order.exchange_order_id if order.external else order.client_order_id, result)
            if fact is not None:
                result.ended.append(fact)
            else:
                result.doubtful.append(order)
        result.positions_time_ns = self._venue_time_ns()
        result.positions = await self._source.positions()
        return result

    async def download_trades(self, instrument: OrderInstrument, result: Download) -> None:
        """Own trades since the watermark, and the orders behind those that name unknown ones."""
        watermark = self._ledger.watermark(instrument.id)
        trades = await self._source.own_trades(instrument.symbol, None if watermark is None else watermark + 1)
        result.trades[instrument.id] = trades
        if watermark is None:
            return  # the first read of all: trades of unknown orders are older than this instance
        known = {fact.exchange_order_id for fact in (*result.open_orders, *result.strangers)}
        for trade in trades:
            exchange_id = trade.exchange_order_id
            if exchange_id in known or self._store.by_exchange_id(instrument.id, exchange_id) is not None:
                continue
            known.add(exchange_id)
            fact = await self._ask(instrument.symbol, exchange_id, result)
            if fact is not None:
                result.strangers.append(fact)

    async def _ask(self, symbol: str, order_id: int | bytes, result: Download) -> OrderEvent | None:
        """One order by our id, or by the venue's; None: not known there."""
        if order_id in result.answered:
            return result.answered[order_id]
        if isinstance(order_id, bytes):
            fact = await self._source.order_by_exchange_id(symbol, order_id)
        else:
            fact = await self._source.order(symbol, order_id)
        if fact is None or fact.order_state in TERMINAL_STATES:
            result.answered[order_id] = fact
        return fact

    # --- step 4 -----------------------------------------------------------------------------------------------------
    async def _apply(self, download: Download, nonce: int) -> tuple[int, int]:
        """Merge and tell; (orders told, fills that were news)."""
        told: dict[int, Order] = {}
        adopted: set[int] = set()
        for fact in (*download.open_orders, *download.ended, *download.strangers):
            await self._room(nonce)
            if self._store.get(fact.client_order_id) is None:
                adopted.add(fact.client_order_id)  # merging tells its STATUS
            self._merger.on_fact(fact)
            order = self._store.get(fact.client_order_id)
            if order is not None:
                told[order.client_order_id] = order
        fills = 0
        for instrument_id, trades in download.trades.items():
            fills += await self.merge_trades(instrument_id, trades, nonce)
        for order in told.values():
            await self._room(nonce)
            if order.client_order_id not in adopted or order.closed:
                self._merger.tell_status(order, Reason.NONE)
        for order in self._store.open_orders():
            await self._room(nonce)
            if order.client_order_id in told or order.external or order.closed:
                continue
            if order.accepted:
                self._merger.tell_status(order, Reason.NONE)
            else:
                self._merger.tell_unanswered(order)
        for order in download.doubtful:
            if not order.closed:
                self._merger.doubt(order)
        self.seed(download.positions, download.positions_time_ns)
        return len(told), fills

    def seed(self, rows: Sequence[PositionRow], asked_time_ns: int) -> None:
        """Give the gate the venue's positions. An instrument that is not listed has none, as of when it was asked."""
        listed = {row.instrument_id: row for row in rows}
        for instrument in self._instruments:
            row = listed.get(instrument.id)
            if row is not None and row.exchange_time_ns:
                self._gate.seed(instrument.id, row.position, row.exchange_time_ns)
            else:
                self._gate.seed(instrument.id, row.position if row is not None else 0, asked_time_ns)

    async def merge_trades(self, instrument_id: int, trades: list[OrderEvent], nonce: int) -> int:
        """Merge a complete read of own trades since the watermark and move it; how many were news. Waits for nothing
        where `nonce` is 0."""
        first_read = self._ledger.watermark(instrument_id) is None
        fresh = 0
        settled_ns = self._venue_time_ns() - REPLICA_LAG_NS
        watermark = 0 if first_read else -1
        for trade in sorted(trades, key=lambda fact: int(fact.trade_id)):
            await self._room(nonce)
            trade_id = int(trade.trade_id)
            order = self._store.by_exchange_id(instrument_id, trade.exchange_order_id)
            if order is not None:
                trade.client_order_id = order.client_order_id
                fresh += not self._ledger.knows(instrument_id, trade_id)
                self._merger.on_fact(trade)
            if trade.exchange_time_ns <= settled_ns or (first_read and order is None):
                watermark = trade_id
        if watermark >= 0 and self._ledger.advance(instrument_id, watermark):
            self._events.watermark(instrument_id, watermark)
        return fresh

    # --- step 5 -----------------------------------------------------------------------------------------------------
    async def _tell_refusals(self, epoch: int, refused: list[OrderEvent]) -> None:
        """Refusals that the full ring swallowed: told now, or of a trader that is gone and asks no more."""
        for event in refused:
            if event.epoch == epoch:
                await self._room(1)
                self._events.republish(event)
            if self._merger.lost_refusals and self._merger.lost_refusals[0] is event:
                self._merger.lost_refusals.popleft()

    async def _tell_again(self, epoch: int, since_ns: int, fills: list[OrderEvent], closed: list[Order]) -> int:
        """Those of the trader's own epoch that were told since then; how many fills."""
        repeated = 0
        for event in fills:
            if event.publish_time_ns >= since_ns and event.client_order_id >> 32 & 0xFFFF == epoch & 0xFFFF:
                await self._room(1)
                self._events.republish(event)
                repeated += 1
        for order in closed:
            if order.closed_time_ns >= since_ns and order.client_order_id >> 32 & 0xFFFF == epoch & 0xFFFF:
                await self._room(1)
                self._merger.tell_status(order, Reason.NONE)
        return repeated

    def _symbol(self, order: Order) -> str:
        instrument = self._instruments.by_id(order.instrument_id)
        assert instrument is not None
        return instrument.symbol
