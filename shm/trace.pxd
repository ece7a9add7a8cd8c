from libc.stdint cimport int64_t, uint64_t

from shm.counters cimport Counter, Histogram

cdef enum:
    TICK_HOPS = 12
    FILL_HOPS = 4
    PENDING = 1024              # a power of two: requests of one venue whose answer is awaited


cdef struct Begun:
    uint64_t request_id         # 0: free
    int64_t receive_time_ns
    int64_t decode_time_ns
    int64_t publish_time_ns
    int64_t poll_time_ns
    int64_t create_time_ns


cdef class Trace:
    cdef Begun begun[PENDING]
    cdef list tick_hops, fill_hops          # of Histogram
    cdef Histogram tick_to_trade, tick_to_answer, fill_to_position
    cdef Counter complete, broken, unanswered
    cdef int64_t apply_time_ns, position_time_ns

    cpdef void begin(self, uint64_t request_id, int64_t receive_time_ns, int64_t decode_time_ns,
                     int64_t publish_time_ns, int64_t poll_time_ns, int64_t create_time_ns) noexcept
    cdef void _tick(self, const int64_t* stamps) noexcept
    cdef void _fill(self, const int64_t* stamps) noexcept
