"""What an observer sees of one venue: its instruments, books, positions, balances, rings and request limits.

The rule: it reads shared memory only and can hold nobody up. A row that is being written, or never was, is "not known".
Called by `set_view.py` and the demo; one thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from processes.demo_books import OwnBooks
from processes.snapshot import BalanceLine, BudgetLine, Level, MarketLine, RingLine
from shm.clock import monotonic_ns, realtime_offset_ns
from shm.instance import Instance
from shm.layout import LIMIT_USED_BITS, MONEY_SCALE, ROW_MASK, MarketStatusCode
from shm.records import BalanceRow, BookRow, InstrumentRow, PositionRow, TickerRow
from shm.ring import BroadcastReader
from shm.table import TableReader
from strategy.instrument import Instrument

LEVELS: Final = 5
"""Of each side of a book, for the eye."""
MONEY: Final = 10.0**MONEY_SCALE


class VenueView:
    """One venue: its tables, its rings, and (by `poll`, for the demo) all our orders since it was made."""

    def __init__(self, instance: Instance, venue: str, symbols: Iterable[str]) -> None:
        """Attach at the newest event: make it before the trader starts. Raises SegmentError."""
        self.venue = venue
        self._instance = instance
        ids = instance.instruments(venue)
        self._ids = {symbol: ids.id(symbol) for symbol in symbols}
        self._symbols = {identifier: symbol for symbol, identifier in self._ids.items()}
        self._tables = {
            name: TableReader(instance.segment(f"{venue}.{name}"))
            for name in ("instruments", "books", "tickers", "positions", "balances")
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

    def symbol_of(self, identifier: int) -> str | None:
        """None: not a configured instrument of this venue."""
        return self._symbols.get(identifier)

    # --- all our orders, for the demo -------------------------------------------------------------------------------
    def poll(self) -> None:
        """Take in the newest order events. Call it several times a second; it keeps every order for the comparison."""
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

    # --- instruments ------------------------------------------------------------------------------------------------
    def instruments(self) -> list[Instrument]:
        """The configured instruments; [] until the market server wrote all their rows."""
        found = []
        for symbol, identifier in self._ids.items():
            row = self.instrument_row(identifier)
            if row is None:
                return []
            found.append(Instrument(f"{self.venue}:{symbol}", row))
        return found

    def instrument_row(self, identifier: int) -> InstrumentRow | None:
        """None until the market server wrote it."""
        row = InstrumentRow()
        return row if self._tables["instruments"].read(identifier & ROW_MASK, row) else None

    # --- markets ----------------------------------------------------------------------------------------------------
    def markets(self) -> list[MarketLine]:
        return [self._market(symbol, identifier) for symbol, identifier in self._ids.items()]

    def _market(self, symbol: str, identifier: int) -> MarketLine:
        number, instrument = identifier & ROW_MASK, self.instrument_row(identifier)
        book, ticker, position = BookRow(), TickerRow(), PositionRow()
        has_book = self._tables["books"].read(number, book)
        valid = has_book and bool(book.valid) and book.bid_count > 0 and book.ask_count > 0
        has_mark = self._tables["tickers"].read(number, ticker) and ticker.mark_price_mantissa != 0
        has_position = self._tables["positions"].read(number, position) and bool(position.valid)
        held = has_position and position.position != 0
        quantity_unit = None if instrument is None else 10.0**instrument.quantity_scale
        now = monotonic_ns()
        return MarketLine(
            symbol=symbol,
            valid=valid,
            status=MarketStatusCode(book.status).name if has_book else MarketStatusCode.NONE.name,
            age_ms=(now - book.receive_time_ns) / 1e6 if has_book and book.receive_time_ns else None,
            bids=_levels(book.bid_prices, book.bid_quantities, book.bid_count) if valid else [],
            asks=_levels(book.ask_prices, book.ask_quantities, book.ask_count) if valid else [],
            mark=ticker.mark_price_mantissa / MONEY if has_mark else None,
            mark_mantissa=ticker.mark_price_mantissa if has_mark else 0,
            position=position.position / quantity_unit if has_position and quantity_unit else None,
            position_mantissa=position.position if has_position else None,
            entry_price=position.entry_price if held else None,
            unrealized_pnl=position.unrealized_pnl / MONEY if held else None,
            position_age_ms=(now - position.receive_time_ns) / 1e6 if has_position else None,
            price_decimals=2 if instrument is None else _decimals(instrument.tick_size, instrument.price_scale),
            quantity_decimals=3 if instrument is None else _decimals(instrument.lot_size, instrument.quantity_scale),
            currency="" if instrument is None else text(instrument.settle_currency),
        )

    def marks(self) -> dict[int, int]:
        """Mark price mantissa (MONEY_SCALE) by instrument id, of the instruments that have one."""
        lines = zip(self._ids.values(), self.markets(), strict=True)
        return {identifier: line.mark_mantissa for identifier, line in lines if line.mark_mantissa}

    def balances(self) -> list[BalanceLine]:
        """The currencies that the position server has reported."""
        table, lines, now = self._tables["balances"], [], monotonic_ns()
        for number in range(table.capacity):
            row = BalanceRow()
            if not table.read(number, row) or not row.valid:
                continue
            figures = (row.wallet_balance / MONEY, row.available_balance / MONEY, row.unrealized_pnl / MONEY)
            lines.append(BalanceLine(text(row.currency), *figures, (now - row.receive_time_ns) / 1e6))
        return lines

    # --- how full things are ----------------------------------------------------------------------------------------
    def rings(self) -> list[RingLine]:
        lines = []
        for name, ring in self._rings.items():
            depth = None if name == "market" else max(ring.cursor - ring.tail, 0)
            lines.append(RingLine(f"{self.venue}.{name}", ring.cursor, depth, ring.capacity))
        return lines

    def budgets(self, environment: str, url: str | None) -> list[BudgetLine]:
        """The venue's request limits. Raises SegmentError where they cannot be attached."""
        now = monotonic_ns() + realtime_offset_ns()
        return [_budget(row, now) for row in self._instance.limits(self.venue, environment, url).rows()]


def _levels(prices: Any, quantities: Any, count: int) -> list[Level]:
    return [(float(prices[index]), float(quantities[index])) for index in range(min(count, LEVELS))]


def _decimals(step: int, scale: int) -> int:
    """Decimal places that a price or quantity on this grid needs: a tick of 50 in scale 2 is 0.5, so one."""
    while scale and step and step % 10 == 0:
        step, scale = step // 10, scale - 1
    return scale


def _budget(row: dict[str, Any], now_ns: int) -> BudgetLine:
    """`row` as shm/layout.py pictures it, at a UTC time: a window's count ends with it, credits come back singly."""
    if row["window_ns"]:
        number, used = row["state"] >> LIMIT_USED_BITS, row["state"] & (1 << LIMIT_USED_BITS) - 1
        used = used if number >= now_ns // row["window_ns"] else 0
    else:
        used = -(-max(row["state"] - now_ns, 0) // row["unit_ns"]) if row["unit_ns"] else 0
    closed_s, quiet_s = (max(row[key] - now_ns, 0) / 1e9 for key in ("closed_until_ns", "quiet_until_ns"))
    return BudgetLine(row["name"].rstrip("\0"), int(used), int(row["limit"]), closed_s, quiet_s)


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
