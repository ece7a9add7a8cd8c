"""What an observer sees of a running set: status rows, books, rings, counters and our own orders.

The rule: it reads shared memory only and can hold nobody up (rings are followed with broadcast semantics), so what is
shown costs the traders nothing. Called by the demo (screen, counters of the report), `corelane top` and the monitor;
one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from processes.config import Config
from processes.demo_books import OwnBooks
from shm.clock import monotonic_ns
from shm.counters import CountersReader, merge, percentiles
from shm.instance import Instance
from shm.layout import ROW_MASK, ProcessState
from shm.records import BookRow, InstrumentRow, PositionRow, ProcessRow, TickerRow
from shm.ring import BroadcastReader
from shm.segment import SegmentError
from shm.table import TableReader
from strategy.instrument import Instrument

PATH = (
    "frame_to_publish", "publish_to_poll", "poll_to_request", "request_build", "tick_to_request", "request_to_poll",
    "poll_to_send", "send_to_reply", "event_publish", "event_to_poll",
)  # fmt: skip
"""Hops in the order in which a tick passes them; what is not named here follows."""
NOT_HOPS = frozenset({"heartbeat_delay", "book_age", "book_delay_growth"})
"""Histograms of a process's own life and of data age: no hop of an order."""


@dataclass(frozen=True)
class ProcessLine:
    """One process as its own row tells it."""

    name: str
    pid: int
    core: int
    state: str
    age_ms: float
    restarts: int
    text: str


@dataclass(frozen=True)
class RingLine:
    """Fill of one ring: records so far, and how many its consumer has not taken (None: it has no one consumer)."""

    name: str
    published: int
    depth: int | None
    capacity: int


@dataclass(frozen=True)
class MarketLine:
    """Best bid and ask of one instrument from the books table; `valid` False: withdrawn."""

    symbol: str
    valid: bool
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float
    mark_mantissa: int
    position_mantissa: int | None


class VenueView:
    """One venue: its tables, its rings, and our orders as its engine reports them."""

    def __init__(self, instance: Instance, venue: str, symbols: Iterable[str]) -> None:
        """Attach at the newest event: make it before the trader starts. Raises SegmentError."""
        self.venue = venue
        self._instance = instance
        self._ids = {symbol: instance.instruments(venue).id(symbol) for symbol in symbols}
        self._tables = {
            name: TableReader(instance.segment(f"{venue}.{name}"))
            for name in ("instruments", "books", "tickers", "positions")
        }
        self._events = BroadcastReader(instance.segment(f"{venue}.events"))
        self._rings = {
            name: BroadcastReader(instance.segment(f"{venue}.{name}")) for name in ("market", "requests", "events")
        }
        self.books: OwnBooks | None = None

    @property
    def identifiers(self) -> list[int]:
        """Instrument ids, in the order of the symbols."""
        return list(self._ids.values())

    def instruments(self) -> list[Instrument]:
        """The configured instruments; [] until the market server wrote all their rows."""
        found = []
        for symbol, identifier in self._ids.items():
            row = InstrumentRow()
            if not self._tables["instruments"].read(identifier & ROW_MASK, row):
                return []
            found.append(Instrument(f"{self.venue}:{symbol}", row))
        return found

    def poll(self) -> None:
        """Take in the newest order events. Call it several times a second."""
        if self.books is None:
            instruments = self.instruments()
            if not instruments:
                return
            self.books = OwnBooks(self._instance.number, instruments)
        while (record := self._events.poll()) is not None:
            self.books.feed(record)

    @property
    def lost_events(self) -> int:
        return self._events.lost

    def markets(self) -> list[MarketLine]:
        return [self._market(symbol, identifier & ROW_MASK) for symbol, identifier in self._ids.items()]

    def _market(self, symbol: str, row: int) -> MarketLine:
        book, ticker, position = BookRow(), TickerRow(), PositionRow()
        known = self._tables["books"].read(row, book) and bool(book.valid) and book.bid_count and book.ask_count
        has_mark = self._tables["tickers"].read(row, ticker)
        has_position = self._tables["positions"].read(row, position) and bool(position.valid)
        return MarketLine(
            symbol,
            bool(known),
            float(book.bid_prices[0]),
            float(book.bid_quantities[0]),
            float(book.ask_prices[0]),
            float(book.ask_quantities[0]),
            ticker.mark_price_mantissa if has_mark else 0,
            position.position if has_position else None,
        )

    def marks(self) -> dict[int, int]:
        """Mark price mantissa (MONEY_SCALE) by instrument id, of the instruments that have one."""
        lines = zip(self._ids.values(), self.markets(), strict=True)
        return {identifier: line.mark_mantissa for identifier, line in lines if line.mark_mantissa}

    def rings(self) -> list[RingLine]:
        lines = []
        for name, ring in self._rings.items():
            depth = None if name == "market" else max(ring.cursor - ring.tail, 0)
            lines.append(RingLine(f"{self.venue}.{name}", ring.cursor, depth, ring.capacity))
        return lines


class SetView:
    """All processes and venues of one instance."""

    def __init__(self, config: Config, instance: Instance) -> None:
        """`instance`: attached segments are shared with its owner. Raises SegmentError."""
        self.config = config
        self._instance = instance
        self._status = TableReader(instance.segment("status"))
        self.venues = {name: VenueView(instance, name, venue.symbols) for name, venue in config.venues.items()}

    def poll(self) -> None:
        for venue in self.venues.values():
            venue.poll()

    def processes(self) -> list[ProcessLine]:
        now = monotonic_ns()
        lines = []
        for name in self.config.processes():
            row = ProcessRow()
            if not self._status.read(self._instance.process_row(name), row):
                lines.append(ProcessLine(name, 0, -1, ProcessState.NONE.name, 0.0, 0, ""))
                continue
            age_ms = (now - row.heartbeat_time_ns) / 1e6
            state, text = ProcessState(row.state).name, row.text.decode("utf-8", "replace")
            lines.append(ProcessLine(name, row.pid, row.core, state, age_ms, row.restarts, text))
        return lines

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
        words: dict[str, list[Any]] = {}
        for _, reader in self._readers():
            for hop, block in reader.histogram_words().items():
                if hop not in NOT_HOPS:
                    words.setdefault(hop, []).append(block)
        order = {hop: place for place, hop in enumerate(PATH)}
        hops = sorted(words, key=lambda hop: (order.get(hop, len(PATH)), hop))
        summaries = {hop: percentiles(merge(words[hop])) for hop in hops}
        return {
            hop: {key: int(value) for key, value in summary.items()}  # type: ignore[call-overload]
            for hop, summary in summaries.items()
            if summary["count"]
        }

    def _readers(self) -> Iterable[tuple[str, CountersReader]]:
        for process in self.config.processes():
            with contextlib.suppress(SegmentError):
                yield process, CountersReader(self._instance.segment(f"counters.{process}"))
