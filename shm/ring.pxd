from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from shm.record cimport Record
from shm.records cimport SegmentHeader

cdef class _Mapped:
    cdef readonly object segment
    cdef object _buffer             # keeps the mapping alive
    cdef SegmentHeader* header
    cdef uint8_t* slots_start
    cdef uint64_t mask
    cdef uint8_t* slot(self, uint64_t sequence) noexcept nogil
    cdef uint64_t stride
    cdef readonly uint64_t capacity

cdef class RingWriter(_Mapped):
    cdef uint64_t next_sequence
    cdef uint64_t scratch[256]
    cdef int bells[64]
    cdef object bell_folder

    # For compiled producers: fill the record that begin() returns (zeroed, kind and size set), then end().
    cdef void* begin(self, uint16_t kind) noexcept nogil
    cdef uint64_t end(self) noexcept
    cdef uint64_t _write(self, const void* record, uint64_t nbytes) noexcept nogil
    cdef void _wake(self) noexcept

cdef class BroadcastWriter(RingWriter):
    cpdef uint64_t publish(self, Record record, bint stamp=*)

cdef class LosslessWriter(RingWriter):
    cdef uint64_t known_tail
    cdef uint64_t reserve
    cdef bint _has_room(self, uint64_t reserved) noexcept nogil
    cpdef bint try_publish(self, Record record)
    cpdef bint try_publish_reserved(self, Record record)

cdef class RingReader(_Mapped):
    cdef readonly uint64_t next_sequence
    cdef list records
    cdef Record by_kind(self, uint16_t kind)
    cdef int overtaken              # last _copy found a later sequence in the slot
    cdef Record _copy(self, uint64_t sequence)

cdef class BroadcastReader(RingReader):
    cdef readonly uint64_t lost
    cdef readonly uint64_t laps
    cpdef Record poll(self)

cdef class LosslessReader(RingReader):
    cpdef Record poll(self)
    cpdef commit(self)
