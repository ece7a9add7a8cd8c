# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rings: one writer, fixed slots, a sequence in each slot. Two promises, two names.

broadcast   any number of readers, the writer never waits; a reader that falls a whole ring behind is told exactly how
            many records it lost and goes on at the newest
lossless    one consumer owns the tail; a full ring is refused to the writer, nothing unread is ever overwritten;
            observers may read along with the broadcast reader

Slot n (sequences begin at 1) stands at index (n - 1) & mask. Its first word is the sequence, the record follows.

Why a reader never accepts a torn record
    The writer of n                              A reader of n
    W1  word := BUSY | n         release         R1  a := word            acquire   (go on only if a == n)
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
      W1 is a release store for this: were it seen before W4 of n - 1, a kill between could leave a ring of two slots
      without any whole one to find the place by. (On x86 the store is the same instruction.)
    * The cursor (last published) is a hint for readers that attach or were lapped; correctness never depends on it.
    * The consumer of a lossless ring commits its tail by itself: before the first byte of a request leaves (at most
      once), after the effect of an event is applied (at least once; the receiver drops duplicates).

Evidence: tests/shm/ring_model.py visits every state of a small ring under all reorderings that these orders permit, a
kill at any moment included, and finds the failure that each of them prevents once it is removed. There the tail's
release and acquire turn out to be backed by R3 and W2: they are what C11 asks for, and a second line of defence.

Waking sleepers: after W4 the writer does a full fence and looks at the ring's `armed` word; the other half, and why no
wake-up is missed, stands in doorbell.py.
"""

import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport close as close_descriptor

import numpy as np

from shm.layout import RECORD_DTYPES, SLOT_HEADER_SIZE, RecordKind, SegmentKind
from shm.records import RECORD_CLASSES
from shm.segment import SegmentError
from shm.stall import StallPoint

from shm.mapped cimport address_of
from shm.atomics cimport (
    cl_copy_in, cl_copy_out, cl_fence_acquire, cl_fence_full, cl_fence_release, cl_fetch_and, cl_fetch_or,
    cl_load_acquire, cl_load_relaxed, cl_monotonic_ns, cl_store_relaxed, cl_store_release,
)
from shm.record cimport Record
from shm.records cimport (
    CL_BUSY_BIT, CL_CANCEL_RESERVE_SHIFT, CL_HEADER_SIZE, CL_PUBLISH_TIME_OFFSETS, CL_RECORD_SIZES,
    CL_SLOT_HEADER_SIZE, SegmentHeader,
)
from shm.table cimport TableReader

cdef enum:                          # as in stall.py; a test compares them
    INVALIDATED = 1
    COPYING = 2
    COPIED = 3
    PUBLISHED = 4
    CURSOR = 5
    READING = 6
    READ = 7
    COMMITTING = 8
    COMMITTED = 9

cdef int CATCH_UP_ATTEMPTS = 4      # laps one poll() may suffer in a row before it lets its caller have a turn


cdef class _Mapped:
    """The pointers into a segment. Holds its buffer, so the mapping outlives every ring made from it."""

    def __cinit__(self, segment, *args, **kwargs):
        if segment.kind not in (SegmentKind.BROADCAST_RING, SegmentKind.LOSSLESS_RING, SegmentKind.JOURNAL):
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, not a ring")
        self._buffer = memoryview(segment.buffer)
        cdef uint8_t* start = address_of(self._buffer)
        self.segment = segment
        self.header = <SegmentHeader*> start
        self.slots_start = start + CL_HEADER_SIZE
        self.capacity = self.header.capacity
        self.stride = self.header.stride
        self.mask = self.capacity - 1
        if self.capacity < 2 or self.capacity & self.mask or self.stride == 0 or self.stride % 64 \
                or CL_HEADER_SIZE + self.capacity * self.stride > <uint64_t> len(self._buffer):
            raise SegmentError(f"segment {segment.name}: {self.capacity} slots of {self.stride} bytes are not a ring")

    cdef uint8_t* slot(self, uint64_t sequence) noexcept nogil:
        return self.slots_start + ((sequence - 1) & self.mask) * self.stride

    cdef void stall(self, int point, uint64_t sequence) noexcept with gil:
        self._stall_hook(StallPoint(point), sequence)

    @property
    def stall_hook(self):
        """A test's function that is called in every window of the protocol (stall.py); None, as always outside of tests."""
        return self._stall_hook

    @stall_hook.setter
    def stall_hook(self, hook):
        self._stall_hook = hook
        self.hooked = hook is not None

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

    def slots_of(self, kind):
        """The same view with the fields of one record kind beside `sequence`; meaningful where a slot holds that kind."""
        cdef uint16_t code = self._fitting(kind)
        base = drain_dtype(code)
        dtype = np.dtype({
            "names": list(base.names), "formats": [base.fields[name][0] for name in base.names],
            "offsets": [base.fields[name][1] for name in base.names], "itemsize": self.stride,
        })
        view = np.frombuffer(self.segment.buffer, dtype=dtype, count=self.capacity, offset=CL_HEADER_SIZE)
        view.flags.writeable = False
        return view

    cdef uint16_t _fitting(self, kind) except 0:
        """The code of a kind whose records fit these slots; ValueError otherwise."""
        cdef uint16_t code = int(kind)
        if code == 0 or code >= 64 or CL_RECORD_SIZES[code] == 0:
            raise ValueError(f"{kind!r} is no kind of record")
        if CL_RECORD_SIZES[code] + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"a {RecordKind(code).name} does not fit the slots of {self.segment.name}")
        return code


cdef dict _drain_dtypes = {}


def drain_dtype(kind):
    """dtype of a drained record: `sequence`, then the fields of layout.py, as they stand in a slot."""
    code = int(kind)
    dtype = _drain_dtypes.get(code)
    if dtype is None:
        record = RECORD_DTYPES[RecordKind(code)]
        dtype = np.dtype({
            "names": ["sequence", *record.names],
            "formats": ["<u8", *(record.fields[name][0] for name in record.names)],
            "offsets": [0, *(SLOT_HEADER_SIZE + record.fields[name][1] for name in record.names)],
            "itemsize": SLOT_HEADER_SIZE + record.itemsize,
        })
        _drain_dtypes[code] = dtype
    return dtype


cdef inline uint64_t _publish_steps(RingWriter ring, const void* record, uint64_t nbytes, bint hooked) noexcept nogil:
    """W1 to W4 and the cursor. `hooked` is a constant at both calls, so the usual one compiles without any hook."""
    cdef uint64_t sequence = ring.next_sequence
    cdef uint8_t* slot = ring.slots_start + ((sequence - 1) & ring.mask) * ring.stride
    cdef uint64_t half = nbytes // 16 * 8
    cl_store_release(slot, CL_BUSY_BIT | sequence)                  # W1
    cl_fence_release()                                              # W2
    if hooked:
        ring.stall(INVALIDATED, sequence)
        cl_copy_in(slot + CL_SLOT_HEADER_SIZE, record, half)
        ring.stall(COPYING, sequence)
        cl_copy_in(slot + CL_SLOT_HEADER_SIZE + half, <const uint8_t*> record + half, nbytes - half)
        ring.stall(COPIED, sequence)
    else:
        cl_copy_in(slot + CL_SLOT_HEADER_SIZE, record, nbytes)      # W3
    cl_store_release(slot, sequence)                                # W4 publish:
    if hooked:
        ring.stall(PUBLISHED, sequence)
    cl_store_release(&ring.header.cursor, sequence)
    ring.next_sequence = sequence + 1
    if hooked:
        ring.stall(CURSOR, sequence)
    return sequence


cdef extern from *:
    """
    #include <errno.h>
    #include <unistd.h>
    static inline int cl_lowest_bit(unsigned long long v) { return __builtin_ctzll(v); }
    /* Ask for the cache lines of a slot. Changes nothing and cannot fail. */
    static inline void cl_prefetch(const void *slot, unsigned long long bytes) {
        for (unsigned long long at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)slot + at, 1, 3);
    }
    /* Python ignores SIGPIPE, so a FIFO that nobody reads is EPIPE. */
    static int cl_ring(int fd) { return write(fd, "", 1) == 1 || errno == EAGAIN; }
    """
    int cl_lowest_bit(unsigned long long v) nogil
    bint cl_ring(int fd) nogil
    void cl_prefetch(const void* slot, unsigned long long nbytes) noexcept nogil


cdef class RingWriter(_Mapped):
    """What both writers share: finding the place after a crash, writing a slot, waking sleepers."""

    def __cinit__(self, segment, *args, **kwargs):
        cdef int i
        for i in range(64):
            self.bells[i] = -1

    def __init__(self, segment, epoch=0):
        cdef uint64_t index, word, highest = 0
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
                close_descriptor(self.bells[i])

    cdef void* begin(self, uint16_t kind) noexcept nogil:
        kind &= 63
        memset(self.scratch, 0, CL_RECORD_SIZES[kind])
        (<uint16_t*> self.scratch)[0] = kind
        (<uint16_t*> self.scratch)[1] = CL_RECORD_SIZES[kind]
        return self.scratch

    cdef uint64_t end(self) noexcept:
        cdef uint16_t kind = (<uint16_t*> self.scratch)[0] & 63
        if CL_RECORD_SIZES[kind] + CL_SLOT_HEADER_SIZE > self.stride:
            return 0
        cdef int offset = CL_PUBLISH_TIME_OFFSETS[kind]
        if offset >= 0:
            (<int64_t*> (<uint8_t*> self.scratch + offset))[0] = cl_monotonic_ns()
        cdef uint64_t sequence = self._write(self.scratch, CL_RECORD_SIZES[kind])
        self._wake()
        # A slot comes round again only after the whole ring: its lines are far from this core by then, and the fence of
        # the next publish would wait for them.
        cl_prefetch(self.slots_start + (sequence & self.mask) * self.stride, self.stride)
        return sequence

    cdef uint64_t _write(self, const void* record, uint64_t nbytes) noexcept nogil:
        if self.hooked:
            return _publish_steps(self, record, nbytes, True)
        return _publish_steps(self, record, nbytes, False)

    cdef int _check_size(self, Record record) except -1:
        if record.nbytes + CL_SLOT_HEADER_SIZE > self.stride:
            raise ValueError(f"a {type(record).__name__} does not fit the slots of {self.segment.name}")
        return 0

    cdef void _wake(self) noexcept:
        cl_fence_full()
        if cl_load_relaxed(&self.header.armed) != 0:
            self._ring_bells()

    cdef void _ring_bells(self) noexcept:
        """The rare half: somebody said that it sleeps. Its bit is ours to clear, then one byte goes into its FIFO."""
        if self.bell_folder is None:
            return
        cdef uint64_t armed = cl_fetch_and(&self.header.armed, 0)
        cdef int bell
        while armed:
            bell = cl_lowest_bit(armed)
            armed &= armed - 1
            # Full of unread rings (EAGAIN) is as good: the sleeper is being woken anyway. Any other failure: no reader
            # any more, so it died or was replaced; open the FIFO that stands there now and try once more.
            if self.bells[bell] >= 0 and cl_ring(self.bells[bell]):
                continue
            self._open_bell(bell)
            if self.bells[bell] >= 0:
                cl_ring(self.bells[bell])

    cdef void _open_bell(self, int bell) noexcept:
        if self.bells[bell] >= 0:
            close_descriptor(self.bells[bell])
        try:
            path = f"{self.bell_folder}/{bell}.bell"
            self.bells[bell] = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:                     # no FIFO, or nobody reads it
            self.bells[bell] = -1

    @property
    def published(self):
        """Sequence of the last record this ring holds."""
        return self.next_sequence - 1


cdef inline void _stamp(Record record) noexcept nogil:
    cdef int offset = CL_PUBLISH_TIME_OFFSETS[record.kind_code]
    if offset >= 0:
        (<int64_t*> (record.data + offset))[0] = cl_monotonic_ns()


cdef class BroadcastWriter(RingWriter):
    """Publishes without ever waiting. One per ring; `publish` costs a copy and a fence."""

    cpdef uint64_t publish(self, Record record, bint stamp=True) except 0:
        """Publish and return the sequence. `stamp`: set publish_time_ns first, where the record has one."""
        self._check_size(record)
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

    cdef uint64_t end(self) noexcept:
        """For compiled producers: 0 where the ring is full beyond the reserve, nothing was written then."""
        return RingWriter.end(self) if self._has_room(self.reserve) else 0

    cpdef bint try_publish(self, Record record) except -1:
        """True: published. False: no room beyond the reserve, nothing was written."""
        return self._try(record, self.reserve)

    cpdef bint try_publish_reserved(self, Record record) except -1:
        """The same, but the reserved slots count as room: for cancels."""
        return self._try(record, 0)

    cdef bint _try(self, Record record, uint64_t reserved) except -1:
        self._check_size(record)
        if not self._has_room(reserved):
            return False
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
    """What both readers share: copying slots out, one by one into a reusable record object per kind, or in bulk."""

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
        cdef uint64_t half
        self.overtaken = 0
        if word != sequence:
            self.overtaken = (word & ~CL_BUSY_BIT) > sequence
            return None
        cdef uint16_t kind = <uint16_t> cl_load_relaxed(slot + CL_SLOT_HEADER_SIZE)
        cdef Record record = self.by_kind(kind)
        if record is not None:
            if self.hooked:
                half = record.nbytes // 16 * 8
                cl_copy_out(record.data, slot + CL_SLOT_HEADER_SIZE, half)
                self.stall(READING, sequence)
                cl_copy_out(record.data + half, slot + CL_SLOT_HEADER_SIZE + half, record.nbytes - half)
                self.stall(READ, sequence)
            else:
                cl_copy_out(record.data, slot + CL_SLOT_HEADER_SIZE, record.nbytes)     # R2
        cl_fence_acquire()                                          # R3
        if cl_load_relaxed(slot) != sequence:                       # R4
            self.overtaken = 1
            return None
        if record is None:
            raise SegmentError(f"segment {self.segment.name}: record {sequence} is of unknown kind {kind}")
        record.sequence = sequence
        return record

    cdef bint _overrun(self) except -1:
        """The slot of the next sequence belongs to a later record. True: the reader moved on and may try again."""
        raise NotImplementedError

    cpdef Record poll(self):
        """The next record, or None. The same object is used again for the next record of its kind: copy() to keep it.

        Raises SegmentError for a record of a kind this build does not know; the reader has moved past it then.
        """
        cdef Record record
        cdef int attempt
        for attempt in range(CATCH_UP_ATTEMPTS):
            try:
                record = self._copy(self.next_sequence)
            except SegmentError:
                self.next_sequence += 1
                raise
            if record is not None:
                self.next_sequence += 1
                return record
            if not self.overtaken or not self._overrun():
                return None
        return None                                     # lapped while catching up, again and again: the next poll goes on

    def at(self, uint64_t sequence):
        """The record of that sequence if its slot still (or already) holds it, else None; the reader's place stays.

        The object is the one that poll() reuses.
        """
        return self._copy(sequence) if sequence else None

    cpdef drain(self, Py_ssize_t limit, kind=None):
        """Up to `limit` next records at once, as a numpy array of its own memory with the fields of `drain_dtype(kind)`.

        Without `kind` the array ends before the first record of another kind than its first one's, so on a ring of one
        kind it is everything there is, and on a mixed ring call after call gives every record in order. With `kind`
        records of other kinds are passed over, and counted in `passed_over`. Empty where nothing is there to read.
        A lap inside the array shows as a jump of `sequence`, and in `lost`.
        """
        if limit < 1:
            raise ValueError(f"drain: a limit of {limit} records was asked for, at least 1 is expected")
        cdef uint16_t wanted = 0 if kind is None else self._fitting(kind)
        cdef uint16_t found = 0
        cdef uint64_t cursor = cl_load_acquire(&self.header.cursor)
        cdef uint64_t available = cursor + 1 - self.next_sequence if cursor >= self.next_sequence else 0
        if available > self.capacity:
            available = self.capacity
        if available == 0:
            # The cursor may be one behind: of a writer between W4 and its store, or killed there.
            available = 1 if cl_load_acquire(self.slot(self.next_sequence)) == self.next_sequence else 0
        if available == 0 and not self.has_next():
            return np.empty(0, dtype=drain_dtype(wanted) if wanted else _EMPTY)
        cdef Py_ssize_t count = 0, room = min(<uint64_t> limit, available if available else 1)
        cdef uint8_t* out = NULL
        cdef uint8_t* slot
        cdef uint64_t word, nbytes = 0, looked = 0
        cdef int attempts = 0
        array = None
        while count < room and looked <= self.capacity:
            slot = self.slot(self.next_sequence)
            word = cl_load_acquire(slot)                            # R1 acquire:
            if word == self.next_sequence:
                found = <uint16_t> cl_load_relaxed(slot + CL_SLOT_HEADER_SIZE)
                if wanted == 0 and found < 64 and CL_RECORD_SIZES[found] \
                        and CL_RECORD_SIZES[found] + CL_SLOT_HEADER_SIZE <= self.stride:
                    # A kind that turns out torn below was of a slot being overwritten: nothing was counted yet.
                    wanted = found
                if found == wanted and wanted != 0:
                    if array is None:
                        array = np.empty(room, dtype=drain_dtype(wanted))
                        out = address_of(array)
                        nbytes = CL_RECORD_SIZES[wanted]
                    (<uint64_t*> out)[0] = word
                    cl_copy_out(out + CL_SLOT_HEADER_SIZE, slot + CL_SLOT_HEADER_SIZE, nbytes)      # R2
                cl_fence_acquire()                                  # R3
                if cl_load_relaxed(slot) == word:                   # R4
                    if found == wanted and wanted != 0:
                        count += 1
                        out += CL_SLOT_HEADER_SIZE + nbytes
                    elif found >= 64 or CL_RECORD_SIZES[found] == 0 \
                            or CL_RECORD_SIZES[found] + CL_SLOT_HEADER_SIZE > self.stride:
                        if count == 0:
                            self.next_sequence += 1
                            raise SegmentError(f"segment {self.segment.name}: record {word} is of unknown kind {found}")
                        break                                       # hand over what is whole, raise at the next call
                    elif kind is None:
                        break                                       # the next call's run begins here
                    else:
                        self.passed_over += 1
                    self.next_sequence += 1
                    looked += 1
                    continue
            elif (word & ~CL_BUSY_BIT) <= self.next_sequence:
                break                                               # not published yet
            attempts += 1
            if kind is None and count == 0:
                wanted, array = 0, None
            if attempts > CATCH_UP_ATTEMPTS or not self._overrun():
                break
        if array is None:
            return np.empty(0, dtype=drain_dtype(wanted) if kind is not None else _EMPTY)
        return array[:count]

    @property
    def lag(self):
        """Published records that this reader has not polled yet."""
        cdef uint64_t cursor = cl_load_acquire(&self.header.cursor)
        return cursor + 1 - self.next_sequence if cursor >= self.next_sequence else 0

    def arm(self, uint64_t bit):
        """Ask to be rung at the next publish: this doorbell's bit into the header, then a full fence; see doorbell.py."""
        cl_fetch_or(&self.header.armed, bit)
        cl_fence_full()

    def disarm(self, uint64_t bit):
        cl_fetch_and(&self.header.armed, ~bit)

    cpdef bint has_next(self) noexcept:
        """True where poll() would return a record or report a lap, without consuming it."""
        cdef uint64_t word = cl_load_acquire(self.slot(self.next_sequence))
        return word == self.next_sequence or (word & ~CL_BUSY_BIT) > self.next_sequence


_EMPTY = np.dtype([("sequence", "<u8")])


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <poll.h>
    #include <time.h>
    #include <unistd.h>
    /* 1: readable, 0: the time is over, -1: a signal came. */
    static int cl_wait_readable(int fd, double timeout_s) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        struct timespec t = {.tv_sec = (time_t)timeout_s};
        t.tv_nsec = (long)((timeout_s - (double)t.tv_sec) * 1e9);
        return ppoll(&one, 1, &t, NULL);
    }
    static void cl_take_all(int fd) { char bytes[256]; while (read(fd, bytes, sizeof bytes) == sizeof bytes) {} }
    """
    int cl_wait_readable(int fd, double timeout_s) nogil
    void cl_take_all(int fd) nogil


def sleep_on(list readers, uint64_t bit, int fd, double timeout_s, bint take_first):
    """The sleeping half of doorbell.py, in one compiled call: arm, look again, wait for the FIFO `fd`.

    `take_first`: empty the FIFO before. 1: it rang; 0: the time is over (or a signal came, whose handler has run);
    2: there was something to read, it did not sleep.
    """
    cdef RingReader reader
    cdef int result
    if take_first:
        cl_take_all(fd)
    for reader in readers:
        cl_fetch_or(&reader.header.armed, bit)
    cl_fence_full()
    for reader in readers:
        if reader.has_next():
            for reader in readers:
                cl_fetch_and(&reader.header.armed, ~bit)
            return 2
    with nogil:
        result = cl_wait_readable(fd, timeout_s)
    if result <= 0 or len(readers) > 1:         # the writer that rang has cleared our bit in its own ring
        for reader in readers:
            cl_fetch_and(&reader.header.armed, ~bit)
    if result < 0:
        PyErr_CheckSignals()
    return 1 if result > 0 else 0


cdef class BroadcastReader(RingReader):
    """Reads along without being able to hold the writer up. Attaches at the newest: only later records are seen.

    lost    records this reader was too slow for, exact: polled + lost = published since it attached
    laps    how often that happened
    """

    def __init__(self, segment, from_sequence=None):
        super().__init__(segment)
        self.next_sequence = cl_load_acquire(&self.header.cursor) + 1 if from_sequence is None else max(from_sequence, 1)

    cdef bint _overrun(self) except -1:
        cdef uint64_t newest = cl_load_acquire(&self.header.cursor)
        if newest > self.next_sequence:
            self.laps += 1
            self.lost += newest - self.next_sequence
            self.next_sequence = newest
        return True


cdef class LosslessReader(RingReader):
    """The consumer of a lossless ring. Begins after the committed tail, so a restart sees what was not taken yet."""

    def __init__(self, segment):
        if segment.kind != SegmentKind.LOSSLESS_RING:
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, a LOSSLESS_RING has a consumer")
        super().__init__(segment)
        self.next_sequence = cl_load_acquire(&self.header.tail) + 1
        self.header.consumer_pid = os.getpid()

    cdef bint _overrun(self) except -1:
        raise SegmentError(
            f"segment {self.segment.name}: record {self.next_sequence} was overwritten before it was consumed; "
            "a second consumer or a writer without a tail check is at work")

    cpdef commit(self):
        """Give the slots of all polled records back to the writer."""
        if self.hooked:
            self.stall(COMMITTING, self.next_sequence - 1)
        cl_store_release(&self.header.tail, self.next_sequence - 1)  # release: after our copies out
        if self.hooked:
            self.stall(COMMITTED, self.next_sequence - 1)

    @property
    def uncommitted(self):
        """Records polled since the last commit."""
        return self.next_sequence - 1 - cl_load_relaxed(&self.header.tail)


cdef inline bint _has_next(Watched* ring) noexcept nogil:
    """RingReader.has_next without going through the object."""
    cdef uint64_t wanted = ring.next_sequence[0]
    cdef uint64_t word = cl_load_acquire(ring.slots_start + ((wanted - 1) & ring.mask) * ring.stride)
    return word == wanted or (word & ~CL_BUSY_BIT) > wanted


cdef class Poller:
    """Many rings and tables in one compiled call: what an idle turn of a hot loop looks at.

    Sources are readers of rings and tables, in the order of the bits that poll() answers with; up to 64. The readers
    stay usable on their own: a bit of a ring is a level, it stays until the ring was polled empty.
    """

    def __init__(self, sources):
        sources = list(sources)
        if len(sources) > 64:
            raise ValueError(f"{len(sources)} sources were given to a poller, 64 at most are possible")
        self.sources = tuple(sources)
        self.count = len(sources)
        self.source = -1
        cdef int index
        cdef Watched* watched
        cdef RingReader reader
        for index, source in enumerate(sources):
            watched = &self.watched[index]
            if isinstance(source, RingReader):
                reader = source
                watched.next_sequence = &reader.next_sequence
                watched.slots_start, watched.mask, watched.stride = reader.slots_start, reader.mask, reader.stride
                watched.reader = <void*> reader
            elif isinstance(source, TableReader):
                watched.changes = &(<TableReader> source).header.cursor
                watched.seen = cl_load_acquire(watched.changes)
            else:
                raise TypeError(f"source {index} of a poller is a {type(source).__name__}, a ring or table reader was expected")

    cpdef uint64_t poll(self) noexcept:
        """Bit i set: ring i has something to poll, or a row of table i was written since the poll before. 0: idle."""
        cdef uint64_t ready = 0, word
        cdef Watched* watched = self.watched
        cdef int index
        for index in range(self.count):
            if watched.changes == NULL:
                if _has_next(watched):
                    ready |= <uint64_t> 1 << index
            else:
                word = cl_load_acquire(watched.changes)
                if word != watched.seen:
                    # Taken note of before the caller reads the rows: a write that comes between is seen then, and
                    # told once more; none is missed.
                    watched.seen = word
                    ready |= <uint64_t> 1 << index
            watched += 1
        return ready

    cpdef Record next(self):
        """The next record of any of the rings, taking turns; `source` is its index then. None: all are empty."""
        cdef Record record
        cdef int turn, index = self.source
        for turn in range(self.count):
            index += 1
            if index >= self.count:
                index = 0
            if self.watched[index].reader != NULL and _has_next(&self.watched[index]):
                record = (<RingReader> self.watched[index].reader).poll()
                if record is not None:
                    self.source = index
                    return record
        return None
