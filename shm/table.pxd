from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from shm.record cimport Record
from shm.records cimport SegmentHeader

cdef enum:
    READ_WORDS = 8

cdef class _MappedTable:
    cdef readonly object segment
    cdef object _buffer             # keeps the mapping alive
    cdef SegmentHeader* header
    cdef uint8_t* rows_start
    cdef uint64_t stride
    cdef readonly uint64_t capacity
    cdef uint8_t* row_at(self, uint64_t row) except NULL

cdef class TableWriter(_MappedTable):
    cdef int64_t only_row
    cdef object _stall_hook
    cdef bint hooked                # one branch per row; see stall.py
    cdef void stall(self, int point, uint64_t version) noexcept with gil
    cdef void _void(self, uint8_t* start) noexcept
    # For compiled producers: `record` is a packed struct of layout.py with kind and size set.
    cdef int write_raw(self, uint64_t row, const void* record, uint64_t nbytes) except -1
    cpdef write(self, uint64_t row, Record record)

cdef class Level:
    cdef object _words              # keeps the mapping alive
    cdef uint64_t* word
    cdef uint64_t load(self) noexcept

cdef class TableReader(_MappedTable):
    cdef uint64_t scratch[256]      # room for the largest record; a test compares
    cpdef bint read(self, uint64_t row, Record record) except -1
    cdef bint read_words(self, uint64_t row, Record record, const uint16_t* offsets, int count) except -1
    cdef int _fits(self, Record record) except -1
