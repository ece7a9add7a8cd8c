from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from shm.record cimport Record
from shm.records cimport SegmentHeader

cdef class _Mapped:
    cdef readonly object segment
    cdef object _buffer             # keeps the mapping alive
    cdef SegmentHeader* header
    cdef uint8_t* slots_start
    cdef uint64_t mask
    cdef uint64_t stride
    cdef readonly uint64_t capacity
    cdef object _stall_hook
    cdef bint hooked                # one branch per record; see stall.py
    cdef uint8_t* slot(self, uint64_t sequence) noexcept nogil
    cdef void stall(self, int point, uint64_t sequence) noexcept with gil
    cdef uint16_t _fitting(self, kind) except 0

cdef class RingWriter(_Mapped):
    cdef uint64_t next_sequence
    cdef uint64_t scratch[256]      # room for the largest record; a test compares
    cdef int bells[64]
    cdef object bell_folder

    # For compiled producers: fill the record that begin() returns (zeroed, kind and size set), then end(), which is the
    # sequence, or 0 where nothing was written: the record is larger than a slot, or a lossless ring is full.
    cdef void* begin(self, uint16_t kind) noexcept nogil
    cdef uint64_t end(self) noexcept
    cdef uint64_t _write(self, const void* record, uint64_t nbytes) noexcept nogil
    cdef int _check_size(self, Record record) except -1
    cdef void _wake(self) noexcept
    cdef void _ring_bells(self) noexcept
    cdef void _open_bell(self, int bell) noexcept

cdef class BroadcastWriter(RingWriter):
    cpdef uint64_t publish(self, Record record, bint stamp=*) except 0

cdef class LosslessWriter(RingWriter):
    cdef uint64_t known_tail
    cdef uint64_t reserve
    cdef bint _has_room(self, uint64_t reserved) noexcept nogil
    cdef bint _try(self, Record record, uint64_t reserved) except -1
    cpdef bint try_publish(self, Record record) except -1
    cpdef bint try_publish_reserved(self, Record record) except -1

cdef class RingReader(_Mapped):
    cdef readonly uint64_t next_sequence
    cdef readonly uint64_t passed_over      # records of other kinds that drain(kind=...) went past
    cdef list records
    cdef int overtaken              # last _copy found a later sequence in the slot
    cdef Record by_kind(self, uint16_t kind)
    cdef Record _copy(self, uint64_t sequence)
    cdef bint _overrun(self) except -1
    cpdef Record poll(self)
    cpdef drain(self, Py_ssize_t limit, kind=*)
    cpdef bint has_next(self) noexcept

cdef class BroadcastReader(RingReader):
    cdef readonly uint64_t lost
    cdef readonly uint64_t laps

cdef class LosslessReader(RingReader):
    cpdef commit(self)

cdef struct Watched:                # one source of a poller, its pointers at hand
    uint64_t* next_sequence         # of the ring reader
    uint8_t* slots_start
    uint64_t mask
    uint64_t stride
    void* reader                    # NULL: a table
    uint64_t* changes               # NULL: a ring
    uint64_t seen

cdef class Poller:
    cdef readonly tuple sources     # keeps every pointer below alive
    cdef readonly int source        # index of the ring that next() took its last record from
    cdef int count
    cdef Watched watched[64]
    cpdef uint64_t poll(self) noexcept
    cpdef Record next(self)
