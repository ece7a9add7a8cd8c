"""The mid price of the books table, as the engine's risk gate wants it: a number, or nothing at all.

The rule: a book that was withdrawn, is crossed or one-sided, or whose market server is silent gives None, and so the
gate refuses what it would have to measure against it. A quiet book is not a stale one: the row says by `valid` whether
its server stands behind it, and the server says by its heartbeat whether it is alive.

Who calls it: risk_gate.py through `mid`; the engine's timer through `refresh`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from shm.layout import ROW_MASK
from shm.records import BookRow, ProcessRow


class BookSource(Protocol):
    """TableReader of the books table."""

    def read(self, row: int, record: BookRow) -> bool: ...


class ProcessSource(Protocol):
    """TableReader of the status table."""

    def read(self, row: int, record: ProcessRow) -> bool: ...


class BookReference:
    def __init__(
        self,
        books: BookSource,
        processes: ProcessSource,
        market_server_row: int,
        stale_after_ns: int,
        clock: Callable[[], int],
    ) -> None:
        self._books, self._processes = books, processes
        self._row, self._stale_after_ns, self._clock = market_server_row, stale_after_ns, clock
        self._process = ProcessRow()
        self._book = BookRow()
        # Views of the record's own bytes, bound once: they show each row that is read into it.
        self._bids, self._asks = self._book.bid_prices, self._book.ask_prices
        self._alive = False

    def refresh(self) -> None:
        """Look at the market server's heartbeat; call it some ten times a second."""
        row = self._process
        self._alive = (
            self._processes.read(self._row, row) and self._clock() - row.heartbeat_time_ns <= self._stale_after_ns
        )

    def mid(self, instrument_id: int) -> float | None:
        book = self._book
        if not self._alive or not self._books.read(instrument_id & ROW_MASK, book):
            return None
        if not book.valid or not book.bid_count or not book.ask_count:
            return None
        bid, ask = float(self._bids[0]), float(self._asks[0])
        return (bid + ask) / 2 if 0.0 < bid < ask else None
