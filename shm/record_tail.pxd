from libc.stdint cimport uint8_t, uint64_t

from shm.record cimport Record


cdef class RecordTail:
    cdef object _make
    cdef uint8_t* _bytes
    cdef uint64_t _nbytes, _size, _count

    cpdef append(self, Record record)
