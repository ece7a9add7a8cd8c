from libc.stdint cimport uint64_t

cdef class Counter:
    cdef object _buffer             # keeps the mapping alive
    cdef uint64_t* word
    cdef void bump(self, uint64_t amount) noexcept nogil
    cpdef add(self, uint64_t amount=*)

cdef class Histogram:
    cdef object _buffer             # keeps the mapping alive
    cdef uint64_t* words
    cdef void note(self, uint64_t value) noexcept nogil
    cpdef record(self, long long value)
