from libc.stdint cimport uint8_t, uint16_t, uint64_t

cdef class Record:
    cdef uint8_t* data              # this object's own bytes, 8-byte aligned
    cdef readonly uint16_t kind_code
    cdef readonly uint16_t nbytes
    cdef public uint64_t sequence   # of the ring slot or journal entry it was copied from
