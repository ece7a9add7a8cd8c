from libc.stdint cimport uint64_t

from shm.records cimport LimitBucket


cdef class _Limited:
    cdef readonly object table
    cdef readonly str name
    cdef LimitBucket* bucket

    cpdef uint64_t take(self, uint64_t cost, uint64_t share, bint urgent, uint64_t now_ns) except? 1
    cdef int attach(self, object table, str name, object limit) except -1
    cdef uint64_t shut_until(self, bint urgent, uint64_t now_ns)
    cdef uint64_t allowed(self, uint64_t share)
