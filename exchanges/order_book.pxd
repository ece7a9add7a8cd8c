from libc.stdint cimport int64_t, uint64_t

from exchanges.level_blocks cimport Blocks
from exchanges.price_ladder cimport Ladder
from shm.records cimport BookRowRecord


cdef struct Level:
    int64_t price
    int64_t quantity


cdef struct BookSide:
    # key = price for bids, -price for asks: the best level has the highest key. Every key of `far` is below every slot
    # of `near`.
    Ladder near
    Blocks far
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
    cdef void fill_row(self, BookRowRecord* record, Py_ssize_t begin, Py_ssize_t depth) noexcept nogil
    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil
    cdef bint _set_outside(self, BookSide* side, int64_t key, int64_t quantity) noexcept nogil
    cdef bint _set_levels(self, BookSide* side, const Level* levels, Py_ssize_t count) noexcept nogil
    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t n,
                          Py_ssize_t depth) noexcept nogil
