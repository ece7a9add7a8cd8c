from libc.stdint cimport int64_t, uint64_t

cdef extern from "atomics.h" nogil:
    uint64_t cl_load_relaxed(const void* p)
    uint64_t cl_load_acquire(const void* p)
    void cl_store_relaxed(void* p, uint64_t v)
    void cl_store_release(void* p, uint64_t v)
    uint64_t cl_fetch_add(void* p, uint64_t v)
    uint64_t cl_fetch_or(void* p, uint64_t v)
    uint64_t cl_fetch_and(void* p, uint64_t v)
    int cl_compare_and_swap(void* p, uint64_t expected, uint64_t desired)
    void cl_fence_acquire()
    void cl_fence_release()
    void cl_fence_full()
    void cl_copy_in(void* shared, const void* own, size_t bytes)
    void cl_copy_out(void* own, const void* shared, size_t bytes)
    void cl_pause()
    int64_t cl_monotonic_ns()
