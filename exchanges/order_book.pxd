from libc.stdint cimport int64_t, uint64_t

from shm.records cimport BookRowRecord, BookTopRecord


cdef struct Level:
    int64_t price
    int64_t quantity


cdef struct BookSide:
    # Sorted ascending by key, so the best level is the last one. key = price for bids, -price for asks.
    int64_t* keys
    int64_t* quantities
    Py_ssize_t count
    Py_ssize_t capacity
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

    cdef void _set_level(self, BookSide* side, int64_t price, int64_t quantity) noexcept nogil
    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t depth) noexcept nogil
    cdef int apply(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count) except -1
    cdef void empty(self) noexcept nogil
    cdef bint is_crossed(self) noexcept nogil
    cdef void fill_top(self, BookTopRecord* record) noexcept nogil
    cdef void fill_row(self, BookRowRecord* record) noexcept nogil
    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil
