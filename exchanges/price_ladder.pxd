# The near part of one side of a book: a slot for every price step, so that a change is a store and two bits.
#
# The rule: slot s stands for key base + s * step; it holds a level where its bit is set, and its quantity means nothing
# where it is not. A word of `bits` that is not 0 has its bit in `words`, so the best and the farthest level are two
# counts of zeros away. Keys that are no slot (outside of the window, or between two steps) are the caller's.
# No branch here depends on what an update says: whether a level comes, goes or changes is not to be foretold, and a
# wrong guess costs as much as a dozen changes.
#
# Who calls it: order_book.pyx, which moves the window and keeps the rest of the levels in blocks.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define CL_LADDER_SLOTS 4096  /* steps: 410 dollars of BTCUSDT; `words` is one word long, so not more */
    #define CL_LADDER_STEP_LIMIT (INT64_C(1) << 24)  /* below it the reciprocal is exact over the whole window */

    typedef struct {
        int64_t *quantities;    /* CL_LADDER_SLOTS of them, or NULL: no window yet */
        uint64_t bits[CL_LADDER_SLOTS / 64];
        uint64_t words;
        int64_t base, step;     /* base is a multiple of step, as every key of the side */
        uint64_t span;          /* CL_LADDER_SLOTS * step; 0: no window yet, so no key is inside */
        uint64_t reciprocal;    /* of 2 * step, in units of 2**-64, rounded up */
        int64_t count;
    } cl_ladder;

    static inline void cl_ladder_clear(cl_ladder *l) {
        memset(l->bits, 0, sizeof l->bits);
        l->words = 0;
        l->count = 0;
    }

    /* Put the window, which must be empty: its lowest key is `base`. */
    static inline void cl_ladder_place(cl_ladder *l, int64_t base, int64_t step) {
        l->base = base;
        l->step = step;
        l->span = (uint64_t)CL_LADDER_SLOTS * (uint64_t)step;
        l->reciprocal = UINT64_MAX / (2 * (uint64_t)step) + 1;
    }

    /* The slot of a key, or -1: it has none. With the doubled offset and step a step of 1 has a reciprocal too. */
    static inline int64_t cl_ladder_slot(const cl_ladder *l, int64_t key) {
        uint64_t offset = (uint64_t)key - (uint64_t)l->base;
        int64_t slot;
        if (offset >= l->span) return -1;
        slot = (int64_t)(((unsigned __int128)(2 * offset) * l->reciprocal) >> 64);
        return (uint64_t)slot * (uint64_t)l->step == offset ? slot : -1;
    }

    static inline int64_t cl_ladder_key(const cl_ladder *l, int64_t slot) { return l->base + slot * l->step; }

    /* Set a slot's quantity, 0 to remove the level. Returns by how much the count grew; `unknown` grows by 1 where a
     * level is removed that was not there. */
    static inline int64_t cl_ladder_set(cl_ladder *l, int64_t slot, int64_t quantity, uint64_t *unknown) {
        uint64_t *word = &l->bits[slot >> 6], had = *word >> (slot & 63) & 1, has = quantity != 0;
        int64_t growth = (int64_t)has - (int64_t)had;
        *word ^= (had ^ has) << (slot & 63);
        l->words = (l->words & ~(UINT64_C(1) << (slot >> 6))) | (uint64_t)(*word != 0) << (slot >> 6);
        l->quantities[slot] = quantity;
        l->count += growth;
        *unknown += (had | has) ^ 1;
        return growth;
    }

    /* Of a ladder that is not empty. */
    static inline int64_t cl_ladder_best(const cl_ladder *l) {
        int word = 63 - __builtin_clzll(l->words);
        return (int64_t)word * 64 + 63 - __builtin_clzll(l->bits[word]);
    }
    static inline int64_t cl_ladder_farthest(const cl_ladder *l) {
        int word = __builtin_ctzll(l->words);
        return (int64_t)word * 64 + __builtin_ctzll(l->bits[word]);
    }

    /* Levels as doubles, best first, from the `n`th (0: the best) up to the `depth`th; returns behind which it ended. A
     * quotient of two exactly represented numbers, so the double is the one that the decimal text means; both of a level
     * in one division. */
    static inline int64_t cl_ladder_fill(const cl_ladder *l, double price_unit, double quantity_unit, double *prices,
                                         double *quantities, int64_t n, int64_t depth) {
        typedef double pair __attribute__((vector_size(16)));
        const pair units = {price_unit, quantity_unit};
        uint64_t words = l->words;
        int64_t skipped = n;
        if (depth > l->count) depth = l->count;
        while (n < depth) {
            int word = 63 - __builtin_clzll(words);
            int64_t key = l->base + (int64_t)word * 64 * l->step;
            const int64_t *of_word = l->quantities + (int64_t)word * 64;
            uint64_t bits = l->bits[word];
            words ^= UINT64_C(1) << word;
            for (; bits != 0 && skipped > 0; skipped--) bits ^= UINT64_C(1) << (63 - __builtin_clzll(bits));
            for (; bits != 0 && n < depth; n++) {
                int bit = 63 - __builtin_clzll(bits);
                pair level = {(double)(key + bit * l->step), (double)of_word[bit]};
                bits ^= UINT64_C(1) << bit;
                level /= units;
                prices[n] = level[0];
                quantities[n] = level[1];
            }
        }
        return n;
    }
    """
    enum:
        LADDER_SLOTS "CL_LADDER_SLOTS"
    const int64_t LADDER_STEP_LIMIT "CL_LADDER_STEP_LIMIT"
    ctypedef struct Ladder "cl_ladder":
        int64_t* quantities
        uint64_t* bits
        uint64_t words
        int64_t base
        int64_t step
        uint64_t span
        int64_t count
    void ladder_clear "cl_ladder_clear"(Ladder* ladder) noexcept nogil
    void ladder_place "cl_ladder_place"(Ladder* ladder, int64_t base, int64_t step) noexcept nogil
    int64_t ladder_slot "cl_ladder_slot"(const Ladder* ladder, int64_t key) noexcept nogil
    int64_t ladder_key "cl_ladder_key"(const Ladder* ladder, int64_t slot) noexcept nogil
    int64_t ladder_set "cl_ladder_set"(Ladder* ladder, int64_t slot, int64_t quantity, uint64_t* unknown) noexcept nogil
    int64_t ladder_best "cl_ladder_best"(const Ladder* ladder) noexcept nogil
    int64_t ladder_farthest "cl_ladder_farthest"(const Ladder* ladder) noexcept nogil
    int64_t ladder_fill "cl_ladder_fill"(const Ladder* ladder, double price_unit, double quantity_unit, double* prices,
                                         double* quantities, int64_t n, int64_t depth) noexcept nogil
