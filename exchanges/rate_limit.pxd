from libc.stdint cimport int64_t


cdef class RateBudget:
    cdef readonly dict buckets          # name -> Bucket


cdef class TokenBucket:
    cdef double _burst, _per_ns, _tokens
    cdef int64_t _time_ns

    cpdef bint available(self, int64_t now_ns)
    cpdef take(self)
