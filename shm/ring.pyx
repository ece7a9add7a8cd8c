# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rings: one writer, fixed slots, a sequence in each slot. Two promises, two names.

broadcast   any number of readers, the writer never waits; a reader that falls a whole ring behind is told exactly how
            many records it lost and goes on at the newest
lossless    one consumer owns the tail; a full ring is refused to the writer, nothing unread is ever overwritten;
            observers may read along with the broadcast reader

Slot n (sequences begin at 1) stands at index (n - 1) & mask. Its first word is the sequence, the record follows.

Why a reader never accepts a torn record
    The writer of n                              A reader of n
    W1  word := BUSY | n         relaxed         R1  a := word            acquire   (go on only if a == n)
    W2  release fence                            R2  copy the record      relaxed words
    W3  copy the record          relaxed words   R3  acquire fence
    W4  word := n                release         R4  b := word            relaxed   (accept only if b == n)

    Complete: R1 read n, so it synchronises with W4 of n and every store of W3 of n happens before R2.
    Not overwritten meanwhile: suppose R2 read one word of a later record m in this slot (m = n + k * capacity). That
    word was stored in W3 of m, after the release fence W2 of m, which follows W1 of m; R2 stands before the acquire
    fence R3. By the fence-to-fence rule (C11 7.17.4) W2 of m synchronises with R3, so R4 sees W1 of m or something
    newer and b != n: refused. All payload accesses are relaxed atomics (atomics.h), so there is no data race to make
    the program undefined. What this does not give: a copy that is itself atomic. Only the word is.

Why nothing is lost or half read when a process is killed
    * A writer killed between W1 and W4 leaves BUSY | n. No reader accepts it and none waits for it: poll() says None.
    * A new writer finds its place from the slots: the highest n whose word is n, not from the stored cursor, which may
      be one behind. Everything published stays, the half-written slot is written again under the same n.
    * The cursor (last published) is a hint for readers that attach or were lapped; correctness never depends on it.
    * The consumer of a lossless ring commits its tail by itself: before the first byte of a request leaves (at most
      once), after the effect of an event is applied (at least once; the receiver drops duplicates).

Waking sleepers: after W4 the writer does a full fence and looks at the ring's `armed` word; the other half, and why no
wake-up is missed, stands in doorbell.py.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from shm.layout import RECORD_DTYPES, SLOT_HEADER_SIZE, SegmentKind
from shm.records import RECORD_CLASSES
from shm.segment import SegmentError

from shm.mapped cimport address_of
from shm.atomics cimport (
    cl_copy_in, cl_copy_out, cl_fence_acquire, cl_fence_full, cl_fence_release, cl_fetch_and, cl_fetch_or,
    cl_load_acquire,
    cl_load_relaxed, cl_monotonic_ns, cl_store_relaxed, cl_store_release,
)
from shm.record cimport Record
from shm.records cimport (
    CL_BUSY_BIT, CL_CANCEL_RESERVE_SHIFT, CL_HEADER_SIZE, CL_PUBLISH_TIME_OFFSETS, CL_RECORD_SIZES,
    CL_SLOT_HEADER_SIZE, SegmentHeader,
)


cdef class _Mapped:
    """The pointers into a segment. Holds its buffer, so the mapping outlives every ring made from it."""

    def __cinit__(self, segment, *args, **kwargs):
        self._buffer = memoryview(segment.buffer)
        cdef uint8_t* start = address_of(self._buffer)
        self.segment = segment
        self.header = <SegmentHeader*> start
        self.slots_start = start + CL_HEADER_SIZE
        self.capacity = self.header.capacity
        self.stride = self.header.stride
        self.mask = self.capacity - 1
        if segment.kind not in (SegmentKind.BROADCAST_RING, SegmentKind.LOSSLESS_RING, SegmentKind.JOURNAL):
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, not a ring")
        if self.capacity == 0 or self.capacity & self.mask or self.stride % 64:
            raise SegmentError(f"segment {segment.name}: {self.capacity} slots of {self.stride} bytes are not a ring")

    cdef uint8_t* slot(self, uint64_t sequence) noexcept nogil:
        return self.slots_start + ((sequence - 1) & self.mask) * self.stride

    @property
    def cursor(self):
        """Sequence of the last published record, 0 before the first."""
        return cl_load_acquire(&self.header.cursor)

    @property
    def tail(self):
        """Sequence of the last record that the consumer of a lossless ring took."""
        return cl_load_acquire(&self.header.tail)

    @property
    def slots(self):
        """Zero-copy numpy view: field `sequence` and the raw bytes `record` of every slot. Racy by nature: to look at."""
        dtype = np.dtype([("sequence", "<u8"), ("record", "V", self.stride - SLOT_HEADER_SIZE)])
        view = np.frombuffer(self.segment.buffer, dtype=dtype, count=self.capacity, offset=CL_HEADER_SIZE)
        view.flags.writeable = False
        return view


cdef class RingWriter(_Mapped):
    """What both writers share: finding the place after a crash, writing a slot, waking sleepers."""

    def __init__(self, segment, epoch=0):
        cdef uint64_t index, word, highest = 0
        cdef int i
        for i in range(64):
            self.bells[i] = -1
        self.bell_folder = segment.bell_folder
        for index in range(self.capacity):
            word = cl_load_acquire(self.slots_start + index * self.stride)
            if word == 0 or word & CL_BUSY_BIT:
                continue
            if (word - 1) & self.mask != index:
                raise SegmentError(f"segment {segment.name}: slot {index} carries sequence {word}, which is not its own")
            if word > highest:
                highest = word
        self.next_sequence = highest + 1
        cl_store_release(&self.header.cursor, highest)
        self.header.writer_pid = os.getpid()
        self.header.writer_epoch = epoch

    def __dealloc__(self):
        cdef int i
        for i in range(64):
            if self.bells[i] >= 0:
                os.close(self.bells[i])

    cdef void* begin(self, uint16_t kind) noexcept nogil:
        memset(self.scratch, 0, CL_RECORD_SIZES[kind])
        (<uint16_t*> self.scratch)[0] = kind
        (<uint16_t*> self.scratch)[1] = CL_RECORD_SIZES[kind]
        return self.scratch

    cdef uint64_t end(self) noexcept:
        cdef uint16_t kind = (<uint16_t*> self.scratch)[0]
        cdef int offset = CL_PUBLISH_TIME_OFFSETS[kind]
        if offset >= 0:
            (<int64_t*> (<uint8_t*> self.scratch + offset))[0] = cl_monotonic_ns()
        cdef uint64_t sequence = self._write(self.scratch, CL_RECORD_SIZES[kind])
        self._wake()
        return sequence

    cdef uint64_t _write(self, const void* record, uint64_t nbytes) noexcept nogil:
        cdef uint64_t sequence = self.next_sequence
        cdef uint8_t* slot = self.slot(sequence)
        cl_store_relaxed(slot, CL_BUSY_BIT | sequence)              # W1
        cl_fence_release()                                          # W2
        cl_copy_in(slot + CL_SLOT_HEADER_SIZE, record, nbytes)      # W3
        cl_store_release(slot, sequence)                            # W4 publish:
        cl_store_release(&self.header.cursor, sequence)
        self.next_sequence = sequence + 1
        return sequence

    cdef void _wake(self) noexcept:
        cl_fence_full()
        if cl_load_relaxed(&self.header.armed) != 0:
            self._ring_bells()

    def _ring_bells(self):
        """The rare half: somebody said that it sleeps. One byte into its FIFO, then its bit is ours to clear."""
        if self.bell_folder is None:
            return
        cdef uint64_t armed = cl_fetch_and(&self.header.armed, 0)
        cdef int i
        for i in range(64):
            if armed >> i & 1:
                self._ring_bell(i)

    def _ring_bell(self, int bell):
        for _ in range(2):
            try:
                if self.bells[bell] < 0:
                    self.bells[bell] = os.open(f"{self.bell_folder}/{bell}.bell", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self.bells[bell], b"\0")
                return
            except BlockingIOError:
                return                      # full of unread rings: the sleeper is being woken anyway
            except OSError:                 # no reader (ENXIO, EPIPE) or no FIFO: it died or was replaced, try once anew
                if self.bells[bell] < 0:
                    return
                os.close(self.bells[bell])
                self.bells[bell] = -1

    @property
    def published(self):
        """Sequence of the last record this ring holds."""
        return self.next_sequence - 1


cdef void _stamp(Record record) noexcept:
    cdef int offset = CL_PUBLISH_TIME_OFFSETS[record.kind_code]
    if offset >= 0:
        (<int64_t*> (record.data + offset))[0] = cl_monotonic_ns()


cdef class BroadcastWriter(RingWriter):
    """Publishes without ever waiting. One per ring; `publish` costs a copy and a fence."""

    cpdef uint64_t publish(self, Record record, bint stamp=True):
        """Publish and return the sequence. `stamp`: set publish_time_ns first, where the record has one."""
        if record.nbytes + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"a {type(record).__name__} does not fit the slots of {self.segment.name}")
        if stamp:
            _stamp(record)
        cdef uint64_t sequence = self._write(record.data, record.nbytes)
        self._wake()
        return sequence


cdef class LosslessWriter(RingWriter):
    """Publishes only into free slots; a full ring is an answer, not a wait.

    The last eighth of the slots is kept for `try_publish_reserved`, so that cancels still pass when ordinary requests
    no longer do. A ring made with reserve=False gives all its slots to both.
    """

    def __init__(self, segment, epoch=0, reserve=True):
        super().__init__(segment, epoch)
        self.reserve = self.capacity >> CL_CANCEL_RESERVE_SHIFT if reserve else 0
        self.known_tail = cl_load_acquire(&self.header.tail)
        if self.known_tail >= self.next_sequence or self.next_sequence - 1 - self.known_tail > self.capacity:
            raise SegmentError(
                f"segment {segment.name}: tail {self.known_tail} does not fit the last published {self.next_sequence - 1}")

    cdef bint _has_room(self, uint64_t reserved) noexcept nogil:
        cdef uint64_t used = self.next_sequence - 1 - self.known_tail
        if used < self.capacity - reserved:
            return True
        self.known_tail = cl_load_acquire(&self.header.tail)        # acquire: the consumer's copy-out came before
        return self.next_sequence - 1 - self.known_tail < self.capacity - reserved

    cpdef bint try_publish(self, Record record):
        """True: published. False: no room beyond the reserve, nothing was written."""
        if not self._has_room(self.reserve):
            return False
        return self._publish(record)

    cpdef bint try_publish_reserved(self, Record record):
        """The same, but the reserved slots count as room: for cancels."""
        if not self._has_room(0):
            return False
        return self._publish(record)

    def _publish(self, Record record):
        if record.nbytes + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"a {type(record).__name__} does not fit the slots of {self.segment.name}")
        _stamp(record)
        self._write(record.data, record.nbytes)
        self._wake()
        return True

    @property
    def free(self):
        """Slots free now, the reserve included."""
        self.known_tail = cl_load_acquire(&self.header.tail)
        return self.capacity - (self.next_sequence - 1 - self.known_tail)


cdef class RingReader(_Mapped):
    """What both readers share: copying one slot out, and one reusable record object per kind."""

    def __init__(self, segment):
        self.records = [None] * 64
        for code, cls in RECORD_CLASSES.items():
            if cls.dtype.itemsize + CL_SLOT_HEADER_SIZE <= self.stride:
                self.records[code] = cls()

    cdef Record by_kind(self, uint16_t kind):
        return <Record> self.records[kind] if kind < 64 else None

    cdef Record _copy(self, uint64_t sequence):
        """The record of `sequence`, or None: not published yet, or (`overtaken`) its slot belongs to a later one."""
        cdef uint8_t* slot = self.slot(sequence)
        cdef uint64_t word = cl_load_acquire(slot)                  # R1 acquire:
        self.overtaken = 0
        if word != sequence:
            self.overtaken = (word & ~CL_BUSY_BIT) > sequence
            return None
        cdef uint16_t kind = <uint16_t> cl_load_relaxed(slot + CL_SLOT_HEADER_SIZE)
        cdef Record record = self.by_kind(kind)
        if record is not None:
            cl_copy_out(record.data, slot + CL_SLOT_HEADER_SIZE, record.nbytes)     # R2
        cl_fence_acquire()                                          # R3
        if cl_load_relaxed(slot) != sequence:                       # R4
            self.overtaken = 1
            return None
        if record is None:
            raise SegmentError(f"segment {self.segment.name}: record {sequence} is of unknown kind {kind}")
        record.sequence = sequence
        return record

    @property
    def lag(self):
        """Published records that this reader has not polled yet."""
        cdef uint64_t cursor = cl_load_acquire(&self.header.cursor)
        return cursor + 1 - self.next_sequence if cursor >= self.next_sequence else 0

    def arm(self, uint64_t bit):
        """Ask to be rung at the next publish: this doorbell's bit into the header. A full fence; see doorbell.py."""
        cl_fetch_or(&self.header.armed, bit)

    def disarm(self, uint64_t bit):
        cl_fetch_and(&self.header.armed, ~bit)

    def has_next(self):
        """True where poll() would return a record or report a lap, without consuming it."""
        return (cl_load_acquire(self.slot(self.next_sequence)) & ~CL_BUSY_BIT) >= self.next_sequence and \
            cl_load_acquire(self.slot(self.next_sequence)) != (CL_BUSY_BIT | self.next_sequence)


cdef class BroadcastReader(RingReader):
    """Reads along without being able to hold the writer up. Attaches at the newest: only later records are seen.

    lost    records this reader was too slow for, exact: polled + lost = published since it attached
    laps    how often that happened
    """

    def __init__(self, segment, from_sequence=None):
        super().__init__(segment)
        self.next_sequence = cl_load_acquire(&self.header.cursor) + 1 if from_sequence is None else from_sequence

    cpdef Record poll(self):
        """The next record, or None. The same object is used again for the next record of its kind: copy() to keep it."""
        cdef Record record
        cdef int attempt
        cdef uint64_t newest
        for attempt in range(4):
            record = self._copy(self.next_sequence)
            if record is not None:
                self.next_sequence += 1
                return record
            if not self.overtaken:
                return None
            newest = cl_load_acquire(&self.header.cursor)
            if newest > self.next_sequence:
                self.laps += 1
                self.lost += newest - self.next_sequence
                self.next_sequence = newest
        return None                                     # lapped while catching up, again and again: the next poll goes on


cdef class LosslessReader(RingReader):
    """The consumer of a lossless ring. Begins after the committed tail, so a restart sees what was not taken yet."""

    def __init__(self, segment):
        super().__init__(segment)
        self.next_sequence = cl_load_acquire(&self.header.tail) + 1
        self.header.consumer_pid = os.getpid()

    cpdef Record poll(self):
        """The next record, or None; the tail stays until commit(). The object is reused: copy() to keep it."""
        cdef Record record = self._copy(self.next_sequence)
        if record is not None:
            self.next_sequence += 1
        elif self.overtaken:
            raise SegmentError(
                f"segment {self.segment.name}: record {self.next_sequence} was overwritten before it was consumed; "
                "a second consumer or a writer without a tail check is at work")
        return record

    cpdef commit(self):
        """Give the slots of all polled records back to the writer."""
        cl_store_release(&self.header.tail, self.next_sequence - 1)  # release: after our copies out

    @property
    def uncommitted(self):
        """Records polled since the last commit."""
        return self.next_sequence - 1 - cl_load_relaxed(&self.header.tail)
