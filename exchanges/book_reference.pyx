# cython: language_level=3, annotation_typing=False
"""The mid price of the books table, as the engine's risk gate wants it: a number, or nothing at all.

The rule: a book that was withdrawn, is crossed or one-sided, or whose market server is silent gives None, and so the
gate refuses what it would have to measure against it. A quiet book is not a stale one: the row says by `valid` whether
its server stands behind it, and the server says by its heartbeat whether it is alive.

Who calls it: risk_gate.pyx through `mid`, once an order (hence compiled); the engine's timer through `refresh`.
"""

from libc.stdint cimport uint16_t

from shm.record cimport Record
from shm.records cimport BookRowRecord, ProcessRowRecord
from shm.table cimport TableReader

from shm.layout import ROW_MASK
from shm.records import BookRow, ProcessRow

cdef unsigned int _ROW_MASK = ROW_MASK

# All that is wanted of a row of 1.7 KB: `valid` and the counts (one word), best bid and best ask.
cdef uint16_t[3] _WANTED
cdef BookRowRecord _shape
_WANTED[0] = <char*> &_shape.valid - <char*> &_shape
_WANTED[1] = <char*> &_shape.bid_prices - <char*> &_shape
_WANTED[2] = <char*> &_shape.ask_prices - <char*> &_shape


cdef class BookReference:
    cdef TableReader _table         # None: a test's own books
    cdef object _books, _processes, _row, _stale_after_ns, _clock
    cdef Record _book, _process
    cdef bint _alive

    def __init__(self, books, processes, market_server_row, stale_after_ns, clock):
        """books, processes: readers of the two tables. clock: CLOCK_MONOTONIC ns."""
        self._books, self._processes = books, processes
        self._table = books if isinstance(books, TableReader) else None
        self._row, self._stale_after_ns, self._clock = market_server_row, stale_after_ns, clock
        self._process = ProcessRow()
        self._book = BookRow()

    def refresh(self):
        """Look at the market server's heartbeat; call it some ten times a second."""
        cdef Record row = self._process
        self._alive = (
            self._processes.read(self._row, row)
            and self._clock() - (<ProcessRowRecord*> row.data).heartbeat_time_ns <= self._stale_after_ns
        )

    def mid(self, unsigned int instrument_id):
        """Half of best bid and best ask together, in the quote currency; None where nothing may be measured by it."""
        cdef Record book = self._book
        cdef BookRowRecord* row = <BookRowRecord*> book.data
        cdef double bid, ask
        if not self._alive:
            return None
        if self._table is not None:
            if not self._table.read_words(instrument_id & _ROW_MASK, book, _WANTED, 3):
                return None
        elif not self._books.read(instrument_id & _ROW_MASK, book):
            return None
        if not row.valid or not row.bid_count or not row.ask_count:
            return None
        bid, ask = row.bid_prices[0], row.ask_prices[0]
        return (bid + ask) / 2 if 0.0 < bid < ask else None
