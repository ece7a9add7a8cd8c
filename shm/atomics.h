/* The only place where this project touches C11 atomics and the clock.
 *
 * Payload is copied in and out with relaxed 64-bit atomic accesses, word by word: a reader may race with a writer (that
 * is what a seqlock is for), and racing plain accesses would be undefined behaviour in C11. Order comes from the fences
 * and from the release/acquire accesses to the sequence word around the copy; see the argument in ring.pyx.
 */
#ifndef CORELANE_ATOMICS_H
#define CORELANE_ATOMICS_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

_Static_assert(sizeof(_Atomic uint64_t) == 8, "64-bit atomics must have no lock beside them");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock free: they are shared between processes");

typedef _Atomic uint64_t cl_word;

static inline uint64_t cl_load_relaxed(const void *p) {
    return atomic_load_explicit((const cl_word *)p, memory_order_relaxed);
}
static inline uint64_t cl_load_acquire(const void *p) {
    return atomic_load_explicit((const cl_word *)p, memory_order_acquire);
}
static inline void cl_store_relaxed(void *p, uint64_t v) {
    atomic_store_explicit((cl_word *)p, v, memory_order_relaxed);
}
static inline void cl_store_release(void *p, uint64_t v) {
    atomic_store_explicit((cl_word *)p, v, memory_order_release);
}
static inline uint64_t cl_fetch_add(void *p, uint64_t v) {
    return atomic_fetch_add_explicit((cl_word *)p, v, memory_order_seq_cst);
}
static inline uint64_t cl_fetch_or(void *p, uint64_t v) {
    return atomic_fetch_or_explicit((cl_word *)p, v, memory_order_seq_cst);
}
static inline uint64_t cl_fetch_and(void *p, uint64_t v) {
    return atomic_fetch_and_explicit((cl_word *)p, v, memory_order_seq_cst);
}
static inline int cl_compare_and_swap(void *p, uint64_t expected, uint64_t desired) {
    return atomic_compare_exchange_strong_explicit((cl_word *)p, &expected, desired, memory_order_seq_cst,
                                                   memory_order_seq_cst);
}
static inline void cl_fence_acquire(void) { atomic_thread_fence(memory_order_acquire); }
static inline void cl_fence_release(void) { atomic_thread_fence(memory_order_release); }
static inline void cl_fence_full(void) { atomic_thread_fence(memory_order_seq_cst); }

/* Both copies take whole words; every record is a multiple of 8 bytes (layout.py asserts it). */
static inline void cl_copy_in(void *shared, const void *own, size_t bytes) {
    cl_word *to = (cl_word *)shared;
    const uint64_t *from = (const uint64_t *)own;
    for (size_t i = 0; i < bytes / 8; i++) atomic_store_explicit(to + i, from[i], memory_order_relaxed);
}
static inline void cl_copy_out(void *own, const void *shared, size_t bytes) {
    uint64_t *to = (uint64_t *)own;
    const cl_word *from = (const cl_word *)shared;
    for (size_t i = 0; i < bytes / 8; i++) to[i] = atomic_load_explicit(from + i, memory_order_relaxed);
}

static inline void cl_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline int64_t cl_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
#endif
