# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The far part of one side of a book: a sorted sequence of levels cut into blocks of at most 128, the best level last.

The rule: ascending by key over all blocks, no block empty. An insertion or removal moves levels of its own block only,
half a kilobyte or so, however many there are; a full block splits in two, a thin one joins its neighbour. Updates come
in the order of prices, so the block is mostly that of the update before, else it is found by galloping from the best end.

Who calls it: order_book.pyx, for levels that its ladder has no slot for. One thread.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

cdef enum:
    HALF = BLOCK_LEVELS // 2
    THIN = BLOCK_LEVELS // 4            # below it a block looks for a neighbour to join
    JOINED = BLOCK_LEVELS * 3 // 4      # what joining may leave: room, so that the next insertion does not split again


cdef inline Py_ssize_t _block_of(const Blocks* side, int64_t key) noexcept nogil:
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


cdef Block* _take_block(Blocks* side) noexcept nogil:
    cdef Block* block = side.spare
    if block == NULL:
        return <Block*> malloc(sizeof(Block))
    side.spare = (<Block**> block)[0]
    return block


cdef bint _open_block(Blocks* side, Py_ssize_t at) noexcept nogil:
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


cdef void _close_block(Blocks* side, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t behind = side.block_count - at - 1
    (<Block**> side.blocks[at])[0] = side.spare
    side.spare = side.blocks[at]
    memmove(side.blocks + at, side.blocks + at + 1, behind * sizeof(Block*))
    memmove(side.lows + at, side.lows + at + 1, behind * sizeof(int64_t))
    memmove(side.counts + at, side.counts + at + 1, behind * sizeof(int))
    side.block_count -= 1


cdef bint _split(Blocks* side, Py_ssize_t at) noexcept nogil:
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


cdef void _join(Blocks* side, Py_ssize_t at) noexcept nogil:
    """Append the block behind `at` to it."""
    cdef Block* lower = side.blocks[at]
    cdef Block* upper = side.blocks[at + 1]
    cdef int have = side.counts[at], more = side.counts[at + 1]
    memcpy(lower.keys + have, upper.keys, more * sizeof(int64_t))
    memcpy(lower.quantities + have, upper.quantities, more * sizeof(int64_t))
    side.counts[at] = have + more
    _close_block(side, at + 1)


cdef void _remove_at(Blocks* side, Py_ssize_t at, int index) noexcept nogil:
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


cdef bint _insert(Blocks* side, Py_ssize_t at, int index, int64_t key, int64_t quantity) noexcept nogil:
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


cdef Outcome set_in_blocks(Blocks* side, int64_t key, int64_t quantity) noexcept nogil:
    """Set the level's quantity, 0 to remove it. NO_MEMORY changes nothing."""
    cdef Py_ssize_t at
    cdef int index
    cdef Block* block
    if side.block_count == 0:
        if quantity == 0:
            return UNKNOWN
        if not _open_block(side, 0):
            return NO_MEMORY
        side.counts[0] = 0
        return CHANGED if _insert(side, 0, 0, key, quantity) else NO_MEMORY
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
            _remove_at(side, at, index)
        return CHANGED
    if quantity == 0:
        return UNKNOWN
    return CHANGED if _insert(side, at, index, key, quantity) else NO_MEMORY


cdef void remove_farthest(Blocks* side) noexcept nogil:
    """Of blocks that are not empty."""
    _remove_at(side, 0, 0)


cdef void remove_best(Blocks* side) noexcept nogil:
    """Of blocks that are not empty."""
    _remove_at(side, side.block_count - 1, side.counts[side.block_count - 1] - 1)


cdef void clear_blocks(Blocks* side) noexcept nogil:
    while side.block_count:
        _close_block(side, side.block_count - 1)
    side.count = 0


cdef void free_blocks(Blocks* side) noexcept nogil:
    cdef Block* block
    clear_blocks(side)
    while side.spare != NULL:
        block = side.spare
        side.spare = (<Block**> block)[0]
        free(block)
    free(side.blocks)
    free(side.lows)
    free(side.counts)
