# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""An order book of price levels in exact integers.

The rule: a level is (price mantissa, quantity mantissa); a quantity is absolute and 0 removes the level. The book knows
nothing of update ids, gaps or validity: the venue's sequencer decides what is applied, here it only is.

Each side is a pair of sorted arrays with the best level last. Updates crowd near the touch, so the place of a level is
found by galloping from the best end, and an insertion moves only the levels that are better. A side holds at most `cap`
levels; beyond it the levels farthest from the touch are forgotten and counted, so memory is bounded whatever a venue sends.

Who calls it: sequencers and instrument feeds; `fill_top` and `fill_row` write straight into shared records.
One thread. About 40 ns a level near the touch (bench/).
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove

from exchanges.decimal_text cimport MAX_SCALE, cl_powers_of_ten
from shm.records cimport CL_BOOK_TABLE_DEPTH, CL_BOOK_TOP_DEPTH, BookRowRecord, BookTopRecord

DEFAULT_CAP = 20_000  # levels a side; the largest recorded book has about 5,000
cdef Py_ssize_t _FIRST_CAPACITY = 1024


cdef inline Py_ssize_t _find(const BookSide* side, int64_t key) noexcept nogil:
    """Index of the first level whose key is not below `key`; count where all are."""
    cdef const int64_t* keys = side.keys
    cdef Py_ssize_t high = side.count, low, step = 1, middle
    if high == 0 or keys[high - 1] < key:
        return high
    high -= 1                                   # keys[high] >= key
    low = high - step
    while low >= 0 and keys[low] >= key:
        high = low
        step <<= 1
        low = high - step
    if low < -1:
        low = -1                                # below: keys[low] < key, or low is before the array
    while high - low > 1:
        middle = (low + high) >> 1
        if keys[middle] >= key:
            high = middle
        else:
            low = middle
    return high


cdef int _reserve(BookSide* side, Py_ssize_t more, Py_ssize_t cap) except -1:
    """Room for `more` insertions, before any of them: running out of memory must not leave half an update."""
    if side.count + more <= side.capacity or side.capacity >= cap:
        return 0
    cdef Py_ssize_t capacity = min(max(side.capacity * 2, side.count + more, _FIRST_CAPACITY), cap)
    cdef int64_t* keys = <int64_t*> realloc(side.keys, capacity * sizeof(int64_t))
    if keys == NULL:
        raise MemoryError
    side.keys = keys
    cdef int64_t* quantities = <int64_t*> realloc(side.quantities, capacity * sizeof(int64_t))
    if quantities == NULL:
        raise MemoryError
    side.quantities = quantities
    side.capacity = capacity
    return 0


cdef inline void _remove(BookSide* side, Py_ssize_t at) noexcept nogil:
    side.count -= 1
    memmove(side.keys + at, side.keys + at + 1, (side.count - at) * sizeof(int64_t))
    memmove(side.quantities + at, side.quantities + at + 1, (side.count - at) * sizeof(int64_t))


cdef class OrderBook:
    """Levels of one instrument. Scales are those of its instrument row: value = mantissa / 10**scale."""

    def __cinit__(self, int price_scale, int quantity_scale, Py_ssize_t cap=DEFAULT_CAP):
        if not (0 <= price_scale <= MAX_SCALE and 0 <= quantity_scale <= MAX_SCALE):
            raise ValueError(f"scales {price_scale} and {quantity_scale} must be within 0..{MAX_SCALE}")
        if cap < 1:
            raise ValueError(f"cap {cap} must be at least 1")
        self.price_scale, self.quantity_scale, self.cap = price_scale, quantity_scale, cap
        self.price_unit = <double> cl_powers_of_ten[price_scale]
        self.quantity_unit = <double> cl_powers_of_ten[quantity_scale]
        self.bid_side.sign = 1
        self.ask_side.sign = -1

    def __dealloc__(self):
        free(self.bid_side.keys)
        free(self.bid_side.quantities)
        free(self.ask_side.keys)
        free(self.ask_side.quantities)

    cdef void _set_level(self, BookSide* side, int64_t price, int64_t quantity) noexcept nogil:
        cdef int64_t key = side.sign * price
        cdef Py_ssize_t at = _find(side, key)
        if at < side.count and side.keys[at] == key:
            if quantity:
                side.quantities[at] = quantity
            else:
                _remove(side, at)
            return
        if quantity == 0:
            self.unknown_removals += 1
            return
        if side.count >= self.cap:
            self.dropped_levels += 1
            if at == 0:
                return                          # the new level is itself the farthest
            _remove(side, 0)
            at -= 1
        memmove(side.keys + at + 1, side.keys + at, (side.count - at) * sizeof(int64_t))
        memmove(side.quantities + at + 1, side.quantities + at, (side.count - at) * sizeof(int64_t))
        side.keys[at] = key
        side.quantities[at] = quantity
        side.count += 1

    cdef int apply(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count) except -1:
        """Absolute quantities, in any order of prices; the last word on a repeated price counts."""
        cdef Py_ssize_t i
        _reserve(&self.bid_side, bid_count, self.cap)
        _reserve(&self.ask_side, ask_count, self.cap)
        for i in range(bid_count):
            self._set_level(&self.bid_side, bids[i].price, bids[i].quantity)
        for i in range(ask_count):
            self._set_level(&self.ask_side, asks[i].price, asks[i].quantity)
        return 0

    cdef void empty(self) noexcept nogil:
        self.bid_side.count = 0
        self.ask_side.count = 0

    cdef bint is_crossed(self) noexcept nogil:
        cdef Py_ssize_t bids = self.bid_side.count, asks = self.ask_side.count
        return bids > 0 and asks > 0 and self.bid_side.keys[bids - 1] >= -self.ask_side.keys[asks - 1]

    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil:
        cdef Py_ssize_t bids = self.bid_side.count - 1, asks = self.ask_side.count - 1
        return (
            bids >= 0 and asks >= 0
            and self.bid_side.keys[bids] == bid_price and self.bid_side.quantities[bids] == bid_quantity
            and -self.ask_side.keys[asks] == ask_price and self.ask_side.quantities[asks] == ask_quantity
        )

    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t depth) noexcept nogil:
        # Quotient of two exactly represented numbers, so the double is the one that the decimal text means.
        cdef Py_ssize_t count = min(depth, side.count), last = side.count - 1, i
        cdef double price_unit = self.price_unit * <double> side.sign, quantity_unit = self.quantity_unit
        for i in range(count):
            prices[i] = <double> side.keys[last - i] / price_unit
            quantities[i] = <double> side.quantities[last - i] / quantity_unit
        for i in range(count, depth):
            prices[i] = NAN
            quantities[i] = 0.0
        return count

    cdef void fill_top(self, BookTopRecord* record) noexcept nogil:
        record.bid_count = self._fill(&self.bid_side, record.bid_prices, record.bid_quantities, CL_BOOK_TOP_DEPTH)
        record.ask_count = self._fill(&self.ask_side, record.ask_prices, record.ask_quantities, CL_BOOK_TOP_DEPTH)

    cdef void fill_row(self, BookRowRecord* record) noexcept nogil:
        record.bid_count = self._fill(&self.bid_side, record.bid_prices, record.bid_quantities, CL_BOOK_TABLE_DEPTH)
        record.ask_count = self._fill(&self.ask_side, record.ask_prices, record.ask_quantities, CL_BOOK_TABLE_DEPTH)

    # --- from Python: snapshots, tests, tools ------------------------------------------------------------------------
    def apply_delta(self, list bids, list asks):
        """Apply (price, quantity) mantissa pairs; all of them or, where one is no pair of int64, none."""
        cdef Level* levels = NULL
        cdef Py_ssize_t bid_count = len(bids), ask_count = len(asks), i
        levels = <Level*> malloc((bid_count + ask_count + 1) * sizeof(Level))
        if levels == NULL:
            raise MemoryError
        try:
            for i in range(bid_count):
                levels[i].price, levels[i].quantity = bids[i]
            for i in range(ask_count):
                levels[bid_count + i].price, levels[bid_count + i].quantity = asks[i]
            for i in range(bid_count + ask_count):
                if levels[i].quantity < 0:
                    raise ValueError(f"quantity {levels[i].quantity} of price {levels[i].price} is below 0")
            self.apply(levels, bid_count, levels + bid_count, ask_count)
        finally:
            free(levels)

    def apply_snapshot(self, list bids, list asks):
        """Replace the whole book."""
        cdef BookSide old_bids = self.bid_side, old_asks = self.ask_side
        self.empty()
        try:
            # Snapshots come best first: from the far end each level is an append.
            self.apply_delta(bids[::-1], asks[::-1])
        except (TypeError, ValueError, OverflowError):
            self.bid_side.count, self.ask_side.count = old_bids.count, old_asks.count  # nothing was applied yet
            raise

    def clear(self):
        self.empty()

    @property
    def crossed(self):
        """Best bid at or above best ask. An empty side crosses nothing."""
        return self.is_crossed()

    @property
    def best_bid(self):
        """(price, quantity) mantissas, or None for an empty side."""
        cdef Py_ssize_t last = self.bid_side.count - 1
        return (self.bid_side.keys[last], self.bid_side.quantities[last]) if last >= 0 else None

    @property
    def best_ask(self):
        cdef Py_ssize_t last = self.ask_side.count - 1
        return (-self.ask_side.keys[last], self.ask_side.quantities[last]) if last >= 0 else None

    def bids(self, depth=None):
        """(price, quantity) mantissas, best first."""
        return _levels(&self.bid_side, depth)

    def asks(self, depth=None):
        return _levels(&self.ask_side, depth)

    def __len__(self):
        return self.bid_side.count + self.ask_side.count


cdef list _levels(const BookSide* side, depth):
    cdef Py_ssize_t count = side.count if depth is None else min(<Py_ssize_t> depth, side.count), last = side.count - 1, i
    return [(side.sign * side.keys[last - i], side.quantities[last - i]) for i in range(count)]
