from libc.stdint cimport int64_t, uint8_t, uint64_t

from exchanges.venue_clock cimport VenueClock
from shm.record cimport Record
from shm.records cimport OrderRequestRecord

cdef class Terms:
    cdef readonly bytes symbol
    cdef readonly int price_scale, quantity_scale

cdef class RequestEncoder:
    cdef object _instruments
    cdef VenueClock _clock
    cdef dict _terms
    cdef int64_t _widest_ns
    cdef char text[2048]                # longer than any request: a signature of 100 is its longest part

    cdef Terms terms(self, unsigned int instrument_id)
    cdef int64_t left_ns(self, OrderRequestRecord* asked, int64_t now_ns) except -1
    cdef bytes write(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns, bint session)
    cpdef bytes encode(self, Record request, uint64_t identity, int64_t now_ns, bint session)

cdef bint is_plain(const char* text, Py_ssize_t size) noexcept nogil
