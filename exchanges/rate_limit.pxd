from libc.stdint cimport int64_t, uint64_t

from shm.record cimport Record


cdef class RateBudget:
    cdef readonly dict buckets          # name -> Bucket
    cdef dict _costs

    cpdef admit_request(self, Record request, uint64_t now_ns)
    cpdef admit(self, int lane, dict costs, uint64_t now_ns)


cdef class TokenBucket:
    cdef double _burst, _per_ns, _tokens
    cdef int64_t _time_ns

    cpdef bint available(self, int64_t now_ns)
    cpdef take(self)
