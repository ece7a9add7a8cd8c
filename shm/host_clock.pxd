from libc.stdint cimport int64_t


cdef class HostClock:
    cdef object _clock              # None: CLOCK_MONOTONIC itself

    cdef int64_t now(self) except? -1
