from libc.stdint cimport int64_t

from shm.host_clock cimport HostClock


cdef class VenueClock:
    cdef HostClock _clock
    cdef int64_t _error_ns, _measured_ns
    cdef public int64_t offset_ns
    cdef public bint measured
    cdef public int steps
    cdef public object on_step

    cpdef int64_t error_at(self, int64_t now_ns)
    cpdef int64_t now_ns(self) except? -1
    cpdef take(self, int64_t offset_ns, int64_t error_ns)
    cdef int64_t _error_now(self, int64_t now_ns) noexcept
