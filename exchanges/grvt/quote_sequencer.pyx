# cython: language_level=3
"""The best bid and ask that the mini tickers of one instrument add up to: the first is whole, the others say what changed.

The rule is that of sequencer.py: sequence number 0 is whole, the first change after it is taken, every later one must
name its predecessor, the same number again is a repetition, anything else is a gap, and after a gap nothing is known
until a whole one comes. `check_gaps=False` applies what does not follow, and counts it.

A side whose price or quantity is zero is empty; it is told as quantity 0.

Who calls it: fast_decode.pyx (`change`), subscriber.py for what the declared decoder understood. One thread.
"""

from libc.stdint cimport int64_t, uint64_t

from exchanges.book_step import Step
from exchanges.market_events import BestQuote

_STEPS = {QUOTE_GOOD: Step.APPLIED, QUOTE_REPEATED: Step.REPEATED, QUOTE_WAITING: Step.WAITING, QUOTE_GAP: Step.GAP}


cdef class QuoteSequencer:
    def __init__(self, bint check_gaps=True):
        self.check = check_gaps

    def reset(self):
        """The stream was interrupted."""
        self.known = False

    cdef QuoteStep change(self, uint64_t sequence, uint64_t previous, int bits, int64_t bid_price, int64_t bid_quantity,
                          int64_t ask_price, int64_t ask_quantity) noexcept nogil:
        """Take one mini ticker in; only the values whose bits are set count. QUOTE_GOOD: the fields hold the quote."""
        if sequence == 0:
            self.bid_price = self.bid_quantity = self.ask_price = self.ask_quantity = 0
        elif not self.known:
            return QUOTE_WAITING
        elif sequence == self.sequence:
            return QUOTE_REPEATED
        elif not self.fresh and previous != self.sequence:
            if self.check:
                self.known = False
                return QUOTE_GAP
            self.unchecked += 1
        if bits & BID_PRICE:
            self.bid_price = bid_price
        if bits & BID_QUANTITY:
            self.bid_quantity = bid_quantity
        if bits & ASK_PRICE:
            self.ask_price = ask_price
        if bits & ASK_QUANTITY:
            self.ask_quantity = ask_quantity
        self.sequence = sequence
        self.fresh = sequence == 0
        self.known = True
        return QUOTE_GOOD

    def on_change(self, event):
        """A QuoteChange; the Step that it was."""
        cdef int bits = 0
        cdef int64_t values[4]
        cdef int i
        for i, value in enumerate((event.bid_price, event.bid_quantity, event.ask_price, event.ask_quantity)):
            values[i] = value or 0
            bits |= (value is not None) << i
        return _STEPS[self.change(event.sequence, event.previous_sequence, bits, values[0], values[1], values[2], values[3])]

    def quote(self, str symbol not None, int64_t exchange_time_ns):
        """The quote as it is now, a BestQuote without an id."""
        return BestQuote(symbol, 0, exchange_time_ns,
                         self.bid_price, self.bid_quantity if self.bid_price else 0,
                         self.ask_price, self.ask_quantity if self.ask_price else 0)
