# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""An order book of price levels in exact integers.

The rule: a level is (price mantissa, quantity mantissa); a quantity is absolute and 0 removes the level. The book knows
nothing of update ids, gaps or validity: the venue's sequencer decides what is applied, here it only is.

Each side is a sorted sequence of levels cut into blocks of at most 128, the best level last. Updates come in the order
of prices and crowd near the touch, so the block is mostly that of the update before, else it is found by galloping from
the best end. An insertion or removal moves levels of its own block only, half a kilobyte or so, however deep the book
is; one array a side would move 8 KB in the mean of a recorded BTCUSDT book, and 70 KB for its far levels (measured: 4.7
against 7.5 us for a recorded frame of 68 levels, scanned, applied and published). A full block splits in two, a thin
one joins its neighbour.

A side holds at most `cap` levels; beyond it the levels farthest from the touch are forgotten and counted, so memory is
bounded whatever a venue sends.

Who calls it: sequencers and instrument feeds; `fill_top` and `fill_row` write straight into shared records. One thread.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from exchanges.decimal_text cimport MAX_SCALE, cl_powers_of_ten
from shm.records cimport CL_BOOK_TABLE_DEPTH, CL_BOOK_TOP_DEPTH, BookRowRecord, BookTopRecord

DEFAULT_CAP = 20_000  # levels a side; the largest recorded book has about 5,000

cdef enum:
    HALF = BLOCK_LEVELS // 2
    THIN = BLOCK_LEVELS // 4            # below it a block looks for a neighbour to join
    JOINED = BLOCK_LEVELS * 3 // 4      # what joining may leave: room, so that the next insertion does not split again


# --- blocks of one side -----------------------------------------------------------------------------------------------
cdef inline Py_ssize_t _block_of(const BookSide* side, int64_t key) noexcept nogil:
    """The last block whose lowest key is not above `key`; the first where all are. There is at least one block."""
    cdef const int64_t* lows = side.lows
    cdef Py_ssize_t high = side.block_count, low, step = 1, middle
    low = high - 1
    while low > 0 and lows[low] > key:
        high = low
        low = high - step
        step <<= 1
    if low < 0:
        low = 0
    while high - low > 1:               # lows[low] <= key, or low is the first; lows[high] > key, or high is behind the last
        middle = (low + high) >> 1
        if lows[middle] <= key:
            low = middle
        else:
            high = middle
    return low


cdef inline int _place(const int64_t* keys, int count, int64_t key) noexcept nogil:
    """Index of the first key not below `key`, without a branch to mispredict."""
    cdef const int64_t* base = keys
    cdef Py_ssize_t half
    while count > 1:
        half = count >> 1
        base += half & -<Py_ssize_t> (base[half - 1] < key)     # a mask: compilers make a branch of anything else
        count -= half
    return <int> (base - keys) + (base[0] < key)


cdef Block* _take_block(BookSide* side) noexcept nogil:
    cdef Block* block = side.spare
    if block == NULL:
        return <Block*> malloc(sizeof(Block))
    side.spare = (<Block**> block)[0]
    return block


cdef bint _open_block(BookSide* side, Py_ssize_t at) noexcept nogil:
    """Room for one more block at `at`, its count and low unset. False: no memory, nothing changed."""
    cdef Py_ssize_t capacity, behind = side.block_count - at
    cdef void* grown
    cdef Block* block
    if side.block_count == side.capacity:
        capacity = side.capacity * 2 if side.capacity else 32
        grown = realloc(side.blocks, capacity * sizeof(Block*))
        if grown == NULL:
            return False
        side.blocks = <Block**> grown
        grown = realloc(side.lows, capacity * sizeof(int64_t))
        if grown == NULL:
            return False
        side.lows = <int64_t*> grown
        grown = realloc(side.counts, capacity * sizeof(int))
        if grown == NULL:
            return False
        side.counts = <int*> grown
        side.capacity = capacity
    block = _take_block(side)
    if block == NULL:
        return False
    memmove(side.blocks + at + 1, side.blocks + at, behind * sizeof(Block*))
    memmove(side.lows + at + 1, side.lows + at, behind * sizeof(int64_t))
    memmove(side.counts + at + 1, side.counts + at, behind * sizeof(int))
    side.blocks[at] = block
    side.block_count += 1
    return True


cdef void _close_block(BookSide* side, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t behind = side.block_count - at - 1
    (<Block**> side.blocks[at])[0] = side.spare
    side.spare = side.blocks[at]
    memmove(side.blocks + at, side.blocks + at + 1, behind * sizeof(Block*))
    memmove(side.lows + at, side.lows + at + 1, behind * sizeof(int64_t))
    memmove(side.counts + at, side.counts + at + 1, behind * sizeof(int))
    side.block_count -= 1


cdef bint _split(BookSide* side, Py_ssize_t at) noexcept nogil:
    """The upper half of a full block becomes the next block."""
    cdef Block* lower
    cdef Block* upper
    if not _open_block(side, at + 1):
        return False
    lower, upper = side.blocks[at], side.blocks[at + 1]
    memcpy(upper.keys, lower.keys + HALF, HALF * sizeof(int64_t))
    memcpy(upper.quantities, lower.quantities + HALF, HALF * sizeof(int64_t))
    side.counts[at] = side.counts[at + 1] = HALF
    side.lows[at + 1] = upper.keys[0]
    return True


cdef void _join(BookSide* side, Py_ssize_t at) noexcept nogil:
    """Append the block behind `at` to it."""
    cdef Block* lower = side.blocks[at]
    cdef Block* upper = side.blocks[at + 1]
    cdef int have = side.counts[at], more = side.counts[at + 1]
    memcpy(lower.keys + have, upper.keys, more * sizeof(int64_t))
    memcpy(lower.quantities + have, upper.quantities, more * sizeof(int64_t))
    side.counts[at] = have + more
    _close_block(side, at + 1)


cdef void _remove(BookSide* side, Py_ssize_t at, int index) noexcept nogil:
    cdef Block* block = side.blocks[at]
    cdef int count = side.counts[at] - 1
    side.count -= 1
    side.counts[at] = count
    if count == 0:
        _close_block(side, at)
        return
    memmove(block.keys + index, block.keys + index + 1, (count - index) * sizeof(int64_t))
    memmove(block.quantities + index, block.quantities + index + 1, (count - index) * sizeof(int64_t))
    side.lows[at] = block.keys[0]
    if count < THIN:
        if at + 1 < side.block_count and count + side.counts[at + 1] <= JOINED:
            _join(side, at)
        elif at > 0 and count + side.counts[at - 1] <= JOINED:
            _join(side, at - 1)


cdef bint _insert(BookSide* side, Py_ssize_t at, int index, int64_t key, int64_t quantity) noexcept nogil:
    cdef Block* block
    cdef int count = side.counts[at]
    if count == BLOCK_LEVELS:
        if not _split(side, at):
            return False
        if index > HALF:
            at += 1
            index -= HALF
        count = HALF
    block = side.blocks[at]
    memmove(block.keys + index + 1, block.keys + index, (count - index) * sizeof(int64_t))
    memmove(block.quantities + index + 1, block.quantities + index, (count - index) * sizeof(int64_t))
    block.keys[index] = key
    block.quantities[index] = quantity
    side.counts[at] = count + 1
    side.lows[at] = block.keys[0]
    side.count += 1
    return True


cdef void _clear(BookSide* side) noexcept nogil:
    while side.block_count:
        _close_block(side, side.block_count - 1)
    side.count = 0


cdef void _free(BookSide* side) noexcept nogil:
    cdef Block* block
    _clear(side)
    while side.spare != NULL:
        block = side.spare
        side.spare = (<Block**> block)[0]
        free(block)
    free(side.blocks)
    free(side.lows)
    free(side.counts)


cdef inline int64_t _best_key(const BookSide* side) noexcept nogil:
    """Of a side that is not empty."""
    return side.blocks[side.block_count - 1].keys[side.counts[side.block_count - 1] - 1]


cdef inline int64_t _best_quantity(const BookSide* side) noexcept nogil:
    return side.blocks[side.block_count - 1].quantities[side.counts[side.block_count - 1] - 1]


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

    cdef bint _set_level(self, BookSide* side, int64_t price, int64_t quantity) noexcept nogil:
        """False: no memory for the insertion."""
        cdef int64_t key = side.sign * price
        cdef Py_ssize_t at
        cdef int index
        cdef Block* block
        if side.block_count == 0:
            if quantity == 0:
                self.unknown_removals += 1
                return True
            if not _open_block(side, 0):
                return False
            side.counts[0] = 0
            return _insert(side, 0, 0, key, quantity)
        at = side.recent
        if not (at < side.block_count and side.lows[at] <= key
                and (at + 1 == side.block_count or key < side.lows[at + 1])):
            at = side.recent = _block_of(side, key)
        block = side.blocks[at]
        index = _place(block.keys, side.counts[at], key)
        if index < side.counts[at] and block.keys[index] == key:
            if quantity:
                block.quantities[index] = quantity
            else:
                _remove(side, at, index)
            return True
        if quantity == 0:
            self.unknown_removals += 1
            return True
        if not _insert(side, at, index, key, quantity):
            return False
        if side.count > self.cap:
            self.dropped_levels += 1
            _remove(side, 0, 0)         # the farthest, perhaps the new one itself
        return True

    cdef int apply(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count) except -1:
        """Absolute quantities, in any order of prices; the last word on a repeated price counts.

        MemoryError leaves an empty book, never half an update.
        """
        cdef Py_ssize_t i
        for i in range(bid_count):
            if not self._set_level(&self.bid_side, bids[i].price, bids[i].quantity):
                self.empty()
                raise MemoryError
        for i in range(ask_count):
            if not self._set_level(&self.ask_side, asks[i].price, asks[i].quantity):
                self.empty()
                raise MemoryError
        return 0

    cdef void empty(self) noexcept nogil:
        _clear(&self.bid_side)
        _clear(&self.ask_side)

    cdef bint is_crossed(self) noexcept nogil:
        return (
            self.bid_side.count > 0 and self.ask_side.count > 0
            and _best_key(&self.bid_side) >= -_best_key(&self.ask_side)
        )

    cdef bint best_equals(self, int64_t bid_price, int64_t bid_quantity, int64_t ask_price, int64_t ask_quantity) noexcept nogil:
        return (
            self.bid_side.count > 0 and self.ask_side.count > 0
            and _best_key(&self.bid_side) == bid_price and _best_quantity(&self.bid_side) == bid_quantity
            and -_best_key(&self.ask_side) == ask_price and _best_quantity(&self.ask_side) == ask_quantity
        )

    cdef Py_ssize_t _fill(self, const BookSide* side, double* prices, double* quantities, Py_ssize_t depth) noexcept nogil:
        # Quotient of two exactly represented numbers, so the double is the one that the decimal text means.
        cdef Py_ssize_t at = side.block_count, n = 0
        cdef int index
        cdef const Block* block
        cdef double price_unit = self.price_unit * <double> side.sign, quantity_unit = self.quantity_unit
        while at > 0 and n < depth:
            at -= 1
            block = side.blocks[at]
            index = side.counts[at]
            while index > 0 and n < depth:
                index -= 1
                prices[n] = <double> block.keys[index] / price_unit
                quantities[n] = <double> block.quantities[index] / quantity_unit
                n += 1
        for at in range(n, depth):
            prices[at] = NAN
            quantities[at] = 0.0
        return n

    cdef void fill_top(self, BookTopRecord* record) noexcept nogil:
        record.bid_count = self._fill(&self.bid_side, record.bid_prices, record.bid_quantities, CL_BOOK_TOP_DEPTH)
        record.ask_count = self._fill(&self.ask_side, record.ask_prices, record.ask_quantities, CL_BOOK_TOP_DEPTH)

    cdef void fill_row(self, BookRowRecord* record) noexcept nogil:
        record.bid_count = self._fill(&self.bid_side, record.bid_prices, record.bid_quantities, CL_BOOK_TABLE_DEPTH)
        record.ask_count = self._fill(&self.ask_side, record.ask_prices, record.ask_quantities, CL_BOOK_TABLE_DEPTH)

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
        return (_best_key(&self.bid_side), _best_quantity(&self.bid_side)) if self.bid_side.count else None

    @property
    def best_ask(self):
        return (-_best_key(&self.ask_side), _best_quantity(&self.ask_side)) if self.ask_side.count else None

    def bids(self, depth=None):
        """(price, quantity) mantissas, best first."""
        return _levels(&self.bid_side, self.bid_side.count if depth is None else depth)

    def asks(self, depth=None):
        return _levels(&self.ask_side, self.ask_side.count if depth is None else depth)

    def __len__(self):
        return self.bid_side.count + self.ask_side.count


cdef list _levels(const BookSide* side, Py_ssize_t depth):
    cdef list result = []
    cdef Py_ssize_t at
    cdef int index
    for at in range(side.block_count - 1, -1, -1):
        for index in range(side.counts[at] - 1, -1, -1):
            if len(result) >= depth:
                return result
            result.append((side.sign * side.blocks[at].keys[index], side.blocks[at].quantities[index]))
    return result
