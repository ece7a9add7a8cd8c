from libc.stdint cimport int64_t, uint64_t

from shm.records cimport BookRowRecord, BookTopRecord


cdef enum:
    BLOCK_LEVELS = 128


cdef struct Level:
    int64_t price
    int64_t quantity


cdef struct Block:
    int64_t keys[BLOCK_LEVELS]
    int64_t quantities[BLOCK_LEVELS]


cdef struct BookSide:
    # Ascending by key over all blocks, so the best level is the last of the last block.
    # key = price for bids, -price for asks.
    Block** blocks
    int64_t* lows               # lowest key of each block
    int* counts                 # levels of each block, never 0
    Py_ssize_t block_count
    Py_ssize_t capacity         # of the three arrays above
    Py_ssize_t count            # levels of all blocks
    Py_ssize_t recent           # block of the last change: updates come in the order of prices, the next is mostly there
    Block* spare                # blocks to use again, linked by their first word
    int64_t sign


cdef class OrderBook:
    cdef BookSide bid_side
    cdef BookSide ask_side
    cdef Py_ssize_t cap
    cdef readonly int price_scale
    cdef readonly int quantity_scale
    cdef readonly uint64_t dropped_levels       # far levels that the cap cost
    cdef readonly uint64_t unknown_removals     # deletions of levels that were not there: normal, counted
    cdef double price_unit, quantity_unit

    cdef int apply(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count) except -1
    cdef void empty(self) noexcept nogil
    cdef bint is_crossed(self) noexcept nogil
    cdef void fill_top(self, BookTopRecord* record) noexcept nogil
    cdef void fill_row(self, BookRowRecord* record) noexcept nogil
    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil
    cdef bint _set_level(self, BookSide* side, int64_t price, int64_t quantity) noexcept nogil
    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t depth) noexcept nogil
