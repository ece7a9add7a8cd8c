# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Tables: state in seqlocked rows. Levels, not edges: whoever looks sees the newest, nothing queues, nothing is lost.

A row is a version word and a record; the order of stores and the argument are those of a ring slot (ring.pyx), with the
row's version in place of the sequence: BUSY | v+1, fence, copy, v+1. A reader tries a bounded number of times and then
says that it has no stable row, which its caller treats as stale data; it never spins on a writer that was stopped or
killed in mid-row. A restarted writer finds the rows left busy and voids them: half a row is no state.
A row that was written whole stays readable after its writer died; `writer_alive` tells that it is dead.

Also here: words, single atomic uint64 levels (kill switch, generations, resync flags).
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from shm.layout import SegmentKind
from shm.segment import SegmentError
from shm.stall import StallPoint

from shm.mapped cimport address_of
from shm.atomics cimport (
    cl_compare_and_swap, cl_copy_in, cl_copy_out, cl_fence_acquire, cl_fence_release, cl_fetch_add, cl_load_acquire,
    cl_load_relaxed, cl_monotonic_ns, cl_pause, cl_store_relaxed, cl_store_release,
)
from shm.record cimport Record
from shm.records cimport (
    CL_BUSY_BIT, CL_HEADER_SIZE, CL_PUBLISH_TIME_OFFSETS, CL_SLOT_HEADER_SIZE, SegmentHeader,
)

cdef enum:                          # as in stall.py; a test compares them
    INVALIDATED = 1
    COPYING = 2
    COPIED = 3
    PUBLISHED = 4
    CURSOR = 5

cdef int READ_ATTEMPTS = 128  # a row of 1.7 KB is copied in some 200 ns: far longer than any live writer holds it


cdef class _MappedTable:
    def __cinit__(self, segment, *args, **kwargs):
        if segment.kind != SegmentKind.TABLE:
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, not a table")
        self._buffer = memoryview(segment.buffer)
        cdef uint8_t* start = address_of(self._buffer)
        self.segment = segment
        self.header = <SegmentHeader*> start
        self.rows_start = start + CL_HEADER_SIZE
        self.capacity = self.header.capacity
        self.stride = self.header.stride
        if self.capacity == 0 or self.stride == 0 or self.stride % 64 \
                or CL_HEADER_SIZE + self.capacity * self.stride > <uint64_t> len(self._buffer):
            raise SegmentError(f"segment {segment.name}: {self.capacity} rows of {self.stride} bytes are not a table")

    cdef uint8_t* row_at(self, uint64_t row) except NULL:
        if row >= self.capacity:
            raise IndexError(f"segment {self.segment.name}: row {row} of {self.capacity}")
        return self.rows_start + row * self.stride

    @property
    def changes(self):
        """Row writes since the segment was made: one look tells whether anything in the table moved."""
        return cl_load_acquire(&self.header.cursor)

    def version(self, uint64_t row):
        """Number of times this row was written; its low bits move with every write."""
        return cl_load_acquire(self.row_at(row)) & ~CL_BUSY_BIT

    @property
    def writer_pid(self):
        """Process id of the last writer of the whole table, 0 if none ever attached."""
        return self.header.writer_pid

    @property
    def writer_alive(self):
        """False where no process has that id any more: its rows are what it knew last. A system call; not each turn.

        An id that the kernel gave to another process reads as alive: heartbeats and row ages are the second look.
        """
        if self.header.writer_pid == 0:
            return False
        try:
            os.kill(self.header.writer_pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


cdef inline void _write_steps(TableWriter table, uint8_t* start, const void* record, uint64_t nbytes,
                              bint hooked) noexcept nogil:
    """W1 to W4 of ring.pyx for a row. `hooked` is a constant at both calls: the usual one compiles without any hook."""
    cdef uint64_t version = (cl_load_relaxed(start) & ~CL_BUSY_BIT) + 1
    cdef uint64_t half = nbytes // 16 * 8
    cl_store_relaxed(start, CL_BUSY_BIT | version)                  # W1
    cl_fence_release()                                              # W2
    if hooked:
        table.stall(INVALIDATED, version)
        cl_copy_in(start + CL_SLOT_HEADER_SIZE, record, half)
        table.stall(COPYING, version)
        cl_copy_in(start + CL_SLOT_HEADER_SIZE + half, <const uint8_t*> record + half, nbytes - half)
        table.stall(COPIED, version)
    else:
        cl_copy_in(start + CL_SLOT_HEADER_SIZE, record, nbytes)     # W3
    cl_store_release(start, version)                                # W4 publish:
    if hooked:
        table.stall(PUBLISHED, version)
    cl_fetch_add(&table.header.cursor, 1)
    if hooked:
        table.stall(CURSOR, version)


cdef class TableWriter(_MappedTable):
    """The one writer of a table, or of one row of it where each process owns a row (`row`)."""

    def __init__(self, segment, epoch=0, row=None):
        cdef uint64_t index
        cdef uint8_t* start
        if row is not None:
            self.row_at(row)                                        # IndexError where there is no such row
        self.only_row = -1 if row is None else row
        if row is None:
            self.header.writer_pid = os.getpid()
            self.header.writer_epoch = epoch
        for index in range(self.capacity):
            if row is not None and index != <uint64_t> row:
                continue
            start = self.row_at(index)
            if cl_load_acquire(start) & CL_BUSY_BIT:
                self._void(start)

    cdef void _void(self, uint8_t* start) noexcept:
        """A predecessor was killed in mid-row: publish an empty record, which readers report as no row."""
        cdef uint64_t version = cl_load_relaxed(start) & ~CL_BUSY_BIT
        cl_fence_release()
        cl_store_relaxed(start + CL_SLOT_HEADER_SIZE, 0)
        cl_store_release(start, version)
        cl_fetch_add(&self.header.cursor, 1)

    cdef void stall(self, int point, uint64_t version) noexcept with gil:
        self._stall_hook(StallPoint(point), version)

    @property
    def stall_hook(self):
        """A test's function that is called in every window of the protocol (stall.py); None, as always outside of tests."""
        return self._stall_hook

    @stall_hook.setter
    def stall_hook(self, hook):
        self._stall_hook = hook
        self.hooked = hook is not None

    cdef int write_raw(self, uint64_t row, const void* record, uint64_t nbytes) except -1:
        if self.only_row >= 0 and row != <uint64_t> self.only_row:
            raise ValueError(f"segment {self.segment.name}: this process owns row {self.only_row}, not {row}")
        if nbytes + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"segment {self.segment.name}: a record of {nbytes} bytes does not fit a row of {self.stride}")
        cdef uint8_t* start = self.row_at(row)
        if self.hooked:
            _write_steps(self, start, record, nbytes, True)
        else:
            _write_steps(self, start, record, nbytes, False)
        return 0

    cpdef write(self, uint64_t row, Record record):
        """Replace the row by this record, publish_time_ns stamped where the record has one."""
        cdef int offset = CL_PUBLISH_TIME_OFFSETS[record.kind_code]
        if offset >= 0:
            (<int64_t*> (record.data + offset))[0] = cl_monotonic_ns()
        self.write_raw(row, record.data, record.nbytes)


cdef class TableReader(_MappedTable):
    cpdef bint read(self, uint64_t row, Record record) except -1:
        """Copy a stable row into `record`. False: never written, voided, of another kind, or not stable in bounded tries.

        After False `record` is as it was: a torn copy never leaves this method.
        """
        cdef uint8_t* start = self.row_at(row)
        cdef uint64_t version
        cdef int attempt
        self._fits(record)
        for attempt in range(READ_ATTEMPTS):
            version = cl_load_acquire(start)                        # R1 acquire:
            if version == 0:
                return False
            if not version & CL_BUSY_BIT:
                cl_copy_out(self.scratch, start + CL_SLOT_HEADER_SIZE, record.nbytes)       # R2
                cl_fence_acquire()                                  # R3
                if cl_load_relaxed(start) == version:               # R4
                    if (<uint16_t*> self.scratch)[0] != record.kind_code:
                        return False
                    memcpy(record.data, self.scratch, record.nbytes)
                    record.sequence = version
                    return True
            cl_pause()
        return False

    cdef bint read_words(self, uint64_t row, Record record, const uint16_t* offsets, int count) except -1:
        """`read` of the 8-byte words at these offsets alone; the record's others stay as they were. For compiled readers
        that want little of a long row, which another core keeps writing: its other cache lines are not fetched. The
        offsets are multiples of 8 within the record, at most READ_WORDS of them."""
        cdef uint8_t* start = self.row_at(row)
        cdef uint64_t words[READ_WORDS]
        cdef uint64_t version, head
        cdef int attempt, i
        self._fits(record)
        for attempt in range(READ_ATTEMPTS):
            version = cl_load_acquire(start)                        # R1 to R4 as in `read`
            if version == 0:
                return False
            if not version & CL_BUSY_BIT:
                head = cl_load_relaxed(start + CL_SLOT_HEADER_SIZE)
                for i in range(count):
                    words[i] = cl_load_relaxed(start + CL_SLOT_HEADER_SIZE + offsets[i])
                cl_fence_acquire()
                if cl_load_relaxed(start) == version:
                    if (<uint16_t*> &head)[0] != record.kind_code:
                        return False
                    for i in range(count):
                        (<uint64_t*> (record.data + offsets[i]))[0] = words[i]
                    record.sequence = version
                    return True
            cl_pause()
        return False

    cdef int _fits(self, Record record) except -1:
        if record.nbytes + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"segment {self.segment.name}: a {type(record).__name__} is larger than its rows")
        return 0


cdef class Level:
    """One word of a segment of words; calling it gives its value."""

    cdef uint64_t load(self) noexcept:
        return cl_load_acquire(self.word)

    def __call__(self):
        return self.load()


cdef class Words:
    """Atomic uint64 levels by index (layout.Word). Any process may write; each word says who does."""

    cdef readonly object segment
    cdef object _buffer             # keeps the mapping alive
    cdef uint64_t* words
    cdef uint64_t count

    def __cinit__(self, segment):
        if segment.kind != SegmentKind.WORDS:
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, words were expected")
        self._buffer = memoryview(segment.buffer)
        cdef uint8_t* start = address_of(self._buffer)
        self.segment = segment
        self.words = <uint64_t*> (start + CL_HEADER_SIZE)
        self.count = (<SegmentHeader*> start).capacity
        if CL_HEADER_SIZE + 8 * self.count > <uint64_t> len(self._buffer):
            raise SegmentError(f"segment {segment.name}: {self.count} words do not fit its {len(self._buffer):,} bytes")

    cdef uint64_t* at(self, uint64_t index) except NULL:
        if index >= self.count:
            raise IndexError(f"segment {self.segment.name}: word {index} of {self.count}")
        return self.words + index

    def load(self, uint64_t index):
        return cl_load_acquire(self.at(index))

    def level(self, uint64_t index):
        """That word alone, for who looks at it often."""
        cdef Level level = Level.__new__(Level)
        level._words, level.word = self, self.at(index)
        return level

    def store(self, uint64_t index, uint64_t value):
        cl_store_release(self.at(index), value)

    def add(self, uint64_t index, uint64_t amount):
        """Add and return the value before."""
        return cl_fetch_add(self.at(index), amount)

    def compare_and_swap(self, uint64_t index, uint64_t expected, uint64_t desired):
        """True where the word was `expected` and is `desired` now."""
        return cl_compare_and_swap(self.at(index), expected, desired) != 0
