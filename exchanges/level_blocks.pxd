from libc.stdint cimport int64_t


cdef enum:
    BLOCK_LEVELS = 128


cdef enum Outcome:
    NO_MEMORY = 0
    UNKNOWN = 1                 # a level was to be removed that is not there
    CHANGED = 2


cdef struct Block:
    int64_t keys[BLOCK_LEVELS]
    int64_t quantities[BLOCK_LEVELS]


cdef struct Blocks:
    # Ascending by key over all blocks, so the best level is the last of the last block.
    Block** blocks
    int64_t* lows               # lowest key of each block
    int* counts                 # levels of each block, never 0
    Py_ssize_t block_count
    Py_ssize_t capacity         # of the three arrays above
    Py_ssize_t count            # levels of all blocks
    Py_ssize_t recent           # block of the last change: updates come in the order of prices, the next is mostly there
    Block* spare                # blocks to use again, linked by their first word


cdef inline int64_t best_key(const Blocks* side) noexcept nogil:
    """Of blocks that are not empty."""
    return side.blocks[side.block_count - 1].keys[side.counts[side.block_count - 1] - 1]


cdef inline int64_t best_quantity(const Blocks* side) noexcept nogil:
    """Of blocks that are not empty."""
    return side.blocks[side.block_count - 1].quantities[side.counts[side.block_count - 1] - 1]


cdef Outcome set_in_blocks(Blocks* side, int64_t key, int64_t quantity) noexcept nogil
cdef void remove_farthest(Blocks* side) noexcept nogil
cdef void remove_best(Blocks* side) noexcept nogil
cdef void clear_blocks(Blocks* side) noexcept nogil
cdef void free_blocks(Blocks* side) noexcept nogil
