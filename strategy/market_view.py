"""The freshness contract: is this instrument fit to be quoted, and if not, why, in one sentence.

The rule: fit only while all of this holds, checked against state and never against the memory of an event:
the market server's heartbeat is young and none of its connections is known to be down or silent; the instrument's row
of the books table is stable, valid, not crossed, and written by the market server that runs now; the best quote has two
sides and is not crossed; quotes do not come later than they did (receive time minus the venue's time, over its own
minimum); the newest data is younger than the venue's limit, which is also the limit of that growth. A gap withdraws the
row before anything else happens, so a quote that is still in the ring behind it finds the row's version changed and is
not handed on.

Owned by ShmMDSAdapter, read by the container (once per quote: one version load) and by strategies.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shm.clock import DelayBaseline
from shm.layout import ROW_MASK, MarketStatusCode
from shm.records import BookRow

if TYPE_CHECKING:
    from shm.records import Quote
    from shm.table import TableReader
    from strategy.instrument import Instrument


class MarketView:
    """Best prices (floats) and freshness of one instrument."""

    __slots__ = (
        "_age_limit_ns", "_book", "_book_problem", "_books", "_delay", "_quote_problem", "_row", "_version",
        "_writer_start_ns", "ask_price", "ask_quantity", "bid_price", "bid_quantity", "fresh", "instrument", "mid",
        "reason", "receive_time_ns",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, books: TableReader, age_limit_ns: int) -> None:
        self.instrument = instrument
        self._books = books
        self._row = instrument.id & ROW_MASK
        self._age_limit_ns = age_limit_ns
        self._delay = DelayBaseline(age_limit_ns)
        self._book = BookRow()
        self._version = -1
        self._writer_start_ns = 0
        self._book_problem = "no book yet"
        self._quote_problem = "no quote yet"
        self.bid_price = self.ask_price = self.mid = math.nan
        self.bid_quantity = self.ask_quantity = 0.0
        self.receive_time_ns = 0
        self.fresh = False
        self.reason = "no book yet"

    def on_quote(self, quote: Quote, now_ns: int, server_problem: str) -> bool:
        """Take a quote; True where it may be handed to strategies."""
        bid, ask = quote.bid_price, quote.ask_price
        self.bid_price, self.ask_price = bid, ask
        self.bid_quantity, self.ask_quantity = quote.bid_quantity, quote.ask_quantity
        self.receive_time_ns = quote.receive_time_ns
        if bid < ask:  # false for NaN too
            self.mid = 0.5 * (bid + ask)
            self._quote_problem = ""
        else:
            self.mid = math.nan
            self._quote_problem = (
                f"the best quote is crossed ({bid} bid, {ask} ask)" if bid >= ask else "one side is empty"
            )
        if quote.exchange_time_ns:
            grown_ns = self._delay.growth(quote.receive_time_ns - quote.exchange_time_ns, now_ns)
            if grown_ns > self._age_limit_ns:
                self._quote_problem = f"quotes come {grown_ns / 1e9:.1f} s later than they did"
        return self.check(now_ns, server_problem)

    def check(self, now_ns: int, server_problem: str) -> bool:
        """Bring `fresh` and `reason` up to date."""
        if self._books.version(self._row) != self._version:
            self._read_book()
        if server_problem:
            self._delay.reset()  # what comes after an interruption may come on another path
        reason = server_problem or self._book_problem or self._quote_problem
        if not reason and now_ns - self.receive_time_ns > self._age_limit_ns:
            reason = f"the newest data is {(now_ns - self.receive_time_ns) / 1e6:.0f} ms old"
        self.reason = reason
        self.fresh = not reason
        return self.fresh

    def writer_began(self, start_time_ns: int) -> None:
        """Another market server runs since then: what it has not written yet is of one that is gone."""
        self._writer_start_ns = start_time_ns
        self._quote_problem = "no quote yet"
        self._version = -1
        self._delay.reset()

    def _read_book(self) -> None:
        version = self._books.version(self._row)
        book = self._book
        if not self._books.read(self._row, book):
            self._book_problem = "the book row is not readable"
            self._version = -1  # look again at the next check
            return
        self._version = version
        if not book.valid:
            self._book_problem = f"the book is withdrawn ({_book_status(book.status)})"
        elif book.receive_time_ns < self._writer_start_ns:
            self._book_problem = "the book is of a market server that is gone"
        elif not book.bid_count or not book.ask_count:
            self._book_problem = "one side of the book is empty"
        elif book.bid_prices[0] >= book.ask_prices[0]:
            self._book_problem = "the book is crossed"
        else:
            self._book_problem = ""
            if book.receive_time_ns > self.receive_time_ns:
                self.receive_time_ns = book.receive_time_ns


def _book_status(code: int) -> str:
    """The word for a BookRow's status; a number where this build has no word for it."""
    try:
        return MarketStatusCode(code).name.lower()
    except ValueError:
        return str(code)
