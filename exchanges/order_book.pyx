# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""An order book of price levels in exact integers.

The rule: a level is (price mantissa, quantity mantissa); a quantity is absolute and 0 removes the level. The book knows
nothing of update ids, gaps or validity: the venue's sequencer decides what is applied, here it only is.

Each side has two parts. Near the touch a ladder (price_ladder.pxd) has a slot for every price step, so that a change is
a store and two bits, without a search: a recorded frame of 34 levels takes 0.8 us less than in sorted blocks alone. What
lies below its window stands in sorted blocks (level_blocks.pyx). The step is the greatest common divisor of all prices
seen, so it is the venue's tick size or a multiple of it without anybody saying so; the window moves when the best level
leaves its upper three quarters, which moves the levels between the parts.

A side holds at most `cap` levels; beyond it the levels farthest from the touch are forgotten and counted, so memory is
bounded whatever a venue sends.

Who calls it: sequencers and instrument feeds; `fill_row` writes straight into a record. One thread.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from exchanges.decimal_text cimport MAX_SCALE, cl_powers_of_ten
from exchanges.level_blocks cimport (
    NO_MEMORY, UNKNOWN, Block, Blocks, Outcome, best_key, best_quantity, clear_blocks, free_blocks, remove_best,
    remove_farthest, set_in_blocks,
)
from exchanges.price_ladder cimport (
    LADDER_SLOTS, LADDER_STEP_LIMIT, Ladder, ladder_best, ladder_clear, ladder_farthest, ladder_fill, ladder_key,
    ladder_place, ladder_set, ladder_slot,
)
from shm.records cimport BookRowRecord

DEFAULT_CAP = 20_000  # levels a side; the largest recorded book has about 5,000

cdef enum:
    BEST_SLOT = LADDER_SLOTS * 3 // 4   # where the best level stands after a move: room for better ones above
    LOW_SLOT = LADDER_SLOTS // 4        # the window moves after the best level when that falls below

cdef int64_t _MAX_PRICE = 10**18        # beyond every mantissa of a venue, and far from where keys would overflow


# --- one side ---------------------------------------------------------------------------------------------------------
cdef inline Py_ssize_t _count(const BookSide* side) noexcept nogil:
    return side.near.count + side.far.count


cdef inline int64_t _best_key(const BookSide* side) noexcept nogil:
    """Of a side that is not empty."""
    return ladder_key(&side.near, ladder_best(&side.near)) if side.near.words else best_key(&side.far)


cdef inline int64_t _best_quantity(const BookSide* side) noexcept nogil:
    """Of a side that is not empty."""
    return side.near.quantities[ladder_best(&side.near)] if side.near.words else best_quantity(&side.far)


cdef int64_t _common_step(int64_t step, int64_t key) noexcept nogil:
    """A step that divides both, as large as a ladder may have."""
    cdef int64_t rest
    key = key if key >= 0 else -key
    while key:
        rest = step % key
        step = key
        key = rest
    while step >= LADDER_STEP_LIMIT:
        if step % 10 == 0:
            step //= 10
        elif step % 2 == 0:
            step //= 2
        else:
            return 1
    return step if step else 1


cdef bint _move_window(BookSide* side, int64_t best, int64_t step) noexcept nogil:
    """Put the window where `best`, a multiple of `step` and not below any key of the side, has BEST_SLOT. False: no
    memory, and levels may be lost."""
    cdef Ladder* near = &side.near
    cdef uint64_t none = 0
    cdef int64_t slot, key
    if near.quantities == NULL:
        near.quantities = <int64_t*> malloc(LADDER_SLOTS * sizeof(int64_t))
        if near.quantities == NULL:
            return False
    while near.words:
        slot = ladder_farthest(near)
        if set_in_blocks(&side.far, ladder_key(near, slot), near.quantities[slot]) == NO_MEMORY:
            return False
        ladder_set(near, slot, 0, &none)
    ladder_place(near, best - BEST_SLOT * step, step)
    while side.far.count and best_key(&side.far) >= near.base:
        key = best_key(&side.far)
        ladder_set(near, ladder_slot(near, key), best_quantity(&side.far), &none)
        remove_best(&side.far)
    return True


cdef void _remove_farthest(BookSide* side) noexcept nogil:
    """Of a side that is not empty."""
    cdef uint64_t none = 0
    if side.far.count:
        remove_farthest(&side.far)
    else:
        ladder_set(&side.near, ladder_farthest(&side.near), 0, &none)


cdef void _clear(BookSide* side) noexcept nogil:
    ladder_clear(&side.near)
    clear_blocks(&side.far)


cdef void _free(BookSide* side) noexcept nogil:
    free(side.near.quantities)
    free_blocks(&side.far)


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
        _free(&self.bid_side)
        _free(&self.ask_side)

    cdef bint _set_outside(self, BookSide* side, int64_t key, int64_t quantity) noexcept nogil:
        """A level that has no slot. False: no memory."""
        cdef Ladder* near = &side.near
        cdef int64_t step = near.step
        cdef int64_t slot
        cdef Outcome outcome
        if near.span == 0 or key % step != 0 or key > near.base:
            # The first level, one between two steps, or one above the window: no such level can be there.
            if quantity == 0:
                self.unknown_removals += 1
                return True
            step = _common_step(step, key)
            if not _move_window(side, max(key, _best_key(side)) if _count(side) else key, step):
                return False
            slot = ladder_slot(near, key)
            if slot >= 0:
                ladder_set(near, slot, quantity, &self.unknown_removals)
                return True
        outcome = set_in_blocks(&side.far, key, quantity)
        self.unknown_removals += outcome == UNKNOWN
        return outcome != NO_MEMORY

    cdef bint _set_levels(self, BookSide* side, const Level* levels, Py_ssize_t count) noexcept nogil:
        """False: no memory."""
        cdef Ladder* near = &side.near
        cdef int64_t sign = side.sign, key, slot
        cdef Py_ssize_t i
        for i in range(count):
            key = sign * levels[i].price
            slot = ladder_slot(near, key)
            if slot >= 0:
                ladder_set(near, slot, levels[i].quantity, &self.unknown_removals)
            elif not self._set_outside(side, key, levels[i].quantity):
                return False
            if _count(side) > self.cap:
                self.dropped_levels += 1
                _remove_farthest(side)      # perhaps the new one itself
        if side.far.count and (near.words == 0 or ladder_best(near) < LOW_SLOT):
            return _move_window(side, _best_key(side), near.step)
        return True

    cdef int apply(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count) except -1:
        """Absolute quantities, in any order of prices; the last word on a repeated price counts.

        MemoryError leaves an empty book, never half an update.
        """
        if not (self._set_levels(&self.bid_side, bids, bid_count) and self._set_levels(&self.ask_side, asks, ask_count)):
            self.empty()
            raise MemoryError
        return 0

    cdef void empty(self) noexcept nogil:
        _clear(&self.bid_side)
        _clear(&self.ask_side)

    cdef bint is_crossed(self) noexcept nogil:
        return (
            _count(&self.bid_side) > 0 and _count(&self.ask_side) > 0
            and _best_key(&self.bid_side) >= -_best_key(&self.ask_side)
        )

    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil:
        return (
            _count(&self.bid_side) > 0 and _count(&self.ask_side) > 0
            and _best_key(&self.bid_side) == bid_price and _best_quantity(&self.bid_side) == bid_quantity
            and -_best_key(&self.ask_side) == ask_price and _best_quantity(&self.ask_side) == ask_quantity
        )

    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t n,
                          Py_ssize_t depth) noexcept nogil:
        """Levels n to depth, n = 0 being the best; NaN and 0 where there are none. How many there are up to depth."""
        # Quotient of two exactly represented numbers, so the double is the one that the decimal text means.
        cdef double price_unit = self.price_unit * <double> side.sign, quantity_unit = self.quantity_unit
        cdef Py_ssize_t at = side.far.block_count, skipped
        cdef int index
        cdef const Block* block
        if n < side.near.count:
            n = ladder_fill(&side.near, price_unit, quantity_unit, prices, quantities, n, depth)
        skipped = n - side.near.count
        while at > 0 and n < depth:
            at -= 1
            block = side.far.blocks[at]
            index = side.far.counts[at]
            if skipped >= index:
                skipped -= index
                continue
            index -= <int> skipped
            skipped = 0
            while index > 0 and n < depth:
                index -= 1
                prices[n] = <double> block.keys[index] / price_unit
                quantities[n] = <double> block.quantities[index] / quantity_unit
                n += 1
        for at in range(n, depth):
            prices[at] = NAN
            quantities[at] = 0.0
        return min(_count(side), depth)

    cdef void fill_row(self, BookRowRecord* record, Py_ssize_t begin, Py_ssize_t depth) noexcept nogil:
        """The levels from `begin` up to `depth`, with the counts up to there."""
        record.bid_count = self._fill(&self.bid_side, record.bid_prices, record.bid_quantities, begin, depth)
        record.ask_count = self._fill(&self.ask_side, record.ask_prices, record.ask_quantities, begin, depth)

    # --- from Python: snapshots, tests, tools ------------------------------------------------------------------------
    def apply_delta(self, list bids, list asks):
        """Apply (price, quantity) mantissa pairs; all of them or, where one is no pair of int64, none."""
        self._apply_lists(bids, asks, False)

    def apply_snapshot(self, list bids, list asks):
        """Replace the whole book, or change nothing where a pair is bad."""
        # Snapshots come best first: from the far end each level is an append.
        self._apply_lists(bids[::-1], asks[::-1], True)

    def _apply_lists(self, list bids, list asks, bint replace):
        cdef Py_ssize_t bid_count = len(bids), ask_count = len(asks), i
        cdef Level* levels = <Level*> malloc((bid_count + ask_count + 1) * sizeof(Level))
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
                if not -_MAX_PRICE <= levels[i].price <= _MAX_PRICE:
                    raise ValueError(f"price {levels[i].price} is beyond the {_MAX_PRICE} that a mantissa may be")
            if replace:
                self.empty()
            self.apply(levels, bid_count, levels + bid_count, ask_count)
        finally:
            free(levels)

    def clear(self):
        self.empty()

    @property
    def crossed(self):
        """Best bid at or above best ask. An empty side crosses nothing."""
        return self.is_crossed()

    @property
    def best_bid(self):
        """(price, quantity) mantissas, or None for an empty side."""
        return (_best_key(&self.bid_side), _best_quantity(&self.bid_side)) if _count(&self.bid_side) else None

    @property
    def best_ask(self):
        return (-_best_key(&self.ask_side), _best_quantity(&self.ask_side)) if _count(&self.ask_side) else None

    def bids(self, depth=None):
        """(price, quantity) mantissas, best first."""
        return _levels(&self.bid_side, _count(&self.bid_side) if depth is None else depth)

    def asks(self, depth=None):
        return _levels(&self.ask_side, _count(&self.ask_side) if depth is None else depth)

    def __len__(self):
        return _count(&self.bid_side) + _count(&self.ask_side)


cdef list _levels(const BookSide* side, Py_ssize_t depth):
    cdef list result = []
    cdef int64_t slot
    cdef Py_ssize_t at
    cdef int index
    for slot in range(LADDER_SLOTS - 1, -1, -1):
        if side.near.bits[slot >> 6] >> (slot & 63) & 1:
            if len(result) >= depth:
                return result
            result.append((side.sign * ladder_key(&side.near, slot), side.near.quantities[slot]))
    for at in range(side.far.block_count - 1, -1, -1):
        for index in range(side.far.counts[at] - 1, -1, -1):
            if len(result) >= depth:
                return result
            result.append((side.sign * side.far.blocks[at].keys[index], side.far.blocks[at].quantities[index]))
    return result
