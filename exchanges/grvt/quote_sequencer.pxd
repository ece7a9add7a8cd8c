from libc.stdint cimport int64_t, uint64_t

cdef enum Change:               # bits: which of the four a mini ticker carries
    BID_PRICE = 1
    BID_QUANTITY = 2
    ASK_PRICE = 4
    ASK_QUANTITY = 8

cdef enum QuoteStep:
    QUOTE_GOOD = 0              # the quote is whole and newer
    QUOTE_REPEATED = 1
    QUOTE_WAITING = 2           # no full mini ticker yet
    QUOTE_GAP = 3


cdef class QuoteSequencer:
    cdef readonly int64_t bid_price, bid_quantity, ask_price, ask_quantity
    cdef readonly uint64_t unchecked    # changes that did not follow and were applied all the same
    cdef readonly bint known            # a full mini ticker came, and nothing was missed since
    cdef uint64_t sequence
    cdef bint fresh, check

    cdef QuoteStep change(self, uint64_t sequence, uint64_t previous, int bits, int64_t bid_price, int64_t bid_quantity,
                          int64_t ask_price, int64_t ask_quantity) noexcept nogil
