# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Counters and latency histograms of a process, in a segment that anyone may read at no cost to the writer.

One process writes its block, with one relaxed store per count; readers take the words as they are, so a snapshot of a
running histogram may be a few counts apart between its buckets and its total, never wrong by more.
Histograms have fixed memory and at most 0.8 % relative error from 0 to 137 s (buckets: see layout.py); longer values
stand in the last bucket and in the maximum, negative ones (clocks of two cores never differ that way here) count as 0.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from shm.layout import (
    COUNTER_LIMIT, COUNTER_NAME_SIZE, COUNTERS_STRIDE, HISTOGRAM_BUCKETS, HISTOGRAM_LIMIT, HISTOGRAM_SUB_BITS, SegmentKind,
)
from shm.segment import SegmentError

from shm.mapped cimport address_of
from shm.atomics cimport cl_load_relaxed, cl_store_relaxed
from shm.records cimport (
    CL_COUNTER_LIMIT, CL_COUNTER_NAME_SIZE, CL_HEADER_SIZE, CL_HISTOGRAM_BUCKETS, CL_HISTOGRAM_LIMIT,
    CL_HISTOGRAM_SIZE, CL_HISTOGRAM_SUB_BITS, CL_HISTOGRAM_TOP_BIT,
)

cdef extern from *:
    """
    static inline int cl_highest_bit(unsigned long long v) { return 63 - __builtin_clzll(v); }
    """
    int cl_highest_bit(unsigned long long v) nogil


cdef inline uint64_t bucket_of(uint64_t value) noexcept nogil:
    cdef int shift
    if value < <uint64_t> 2 << CL_HISTOGRAM_SUB_BITS:
        return value
    if value >> (CL_HISTOGRAM_TOP_BIT + 1):
        return CL_HISTOGRAM_BUCKETS - 1
    shift = cl_highest_bit(value) - CL_HISTOGRAM_SUB_BITS
    return (<uint64_t> shift << CL_HISTOGRAM_SUB_BITS) + (value >> shift)


def bucket_middles():
    """float64[HISTOGRAM_BUCKETS]: the value that stands for each bucket, in ns."""
    index = np.arange(HISTOGRAM_BUCKETS, dtype=np.int64)
    shift = np.maximum((index >> HISTOGRAM_SUB_BITS) - 1, 0)
    low = (index - (shift << HISTOGRAM_SUB_BITS)) << shift
    return low + ((1 << shift) - 1) / 2.0


cdef class Counter:
    """One named uint64. add() is one load and one store; only the owning process may call it."""

    cdef void bump(self, uint64_t amount) noexcept nogil:
        cl_store_relaxed(self.word, cl_load_relaxed(self.word) + amount)

    cpdef add(self, uint64_t amount=1):
        self.bump(amount)

    @property
    def value(self):
        return cl_load_relaxed(self.word)


cdef class Histogram:
    """Durations in ns. Words: count, sum, minimum, maximum, then the buckets."""

    cdef void note(self, uint64_t value) noexcept nogil:
        cdef uint64_t* bucket = self.words + 4 + bucket_of(value)
        cl_store_relaxed(bucket, cl_load_relaxed(bucket) + 1)
        cl_store_relaxed(self.words + 1, cl_load_relaxed(self.words + 1) + value)
        if cl_load_relaxed(self.words) == 0 or value < cl_load_relaxed(self.words + 2):
            cl_store_relaxed(self.words + 2, value)
        if value > cl_load_relaxed(self.words + 3):
            cl_store_relaxed(self.words + 3, value)
        cl_store_relaxed(self.words, cl_load_relaxed(self.words) + 1)

    cpdef record(self, long long value):
        self.note(<uint64_t> value if value > 0 else 0)


cdef class _Block:
    cdef readonly object segment
    cdef object _buffer             # keeps the mapping alive
    cdef uint8_t* start

    def __cinit__(self, segment, *args, **kwargs):
        if segment.kind != SegmentKind.COUNTERS:
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, counters were expected")
        self._buffer = memoryview(segment.buffer)
        if len(self._buffer) < CL_HEADER_SIZE + COUNTERS_STRIDE:
            raise SegmentError(f"segment {segment.name} has {len(self._buffer):,} bytes, which hold no counters")
        self.segment = segment
        self.start = address_of(self._buffer) + CL_HEADER_SIZE

    cdef uint8_t* name_at(self, int index) noexcept:
        return self.start + index * CL_COUNTER_NAME_SIZE

    cdef uint64_t* counter_at(self, int index) noexcept:
        return <uint64_t*> self.name_at(CL_COUNTER_LIMIT + CL_HISTOGRAM_LIMIT) + index

    cdef uint64_t* histogram_at(self, int index) noexcept:
        return <uint64_t*> (<uint8_t*> self.counter_at(CL_COUNTER_LIMIT) + index * CL_HISTOGRAM_SIZE)

    cdef str name(self, int index):
        cdef const char* text = <const char*> self.name_at(index)
        return text[:CL_COUNTER_NAME_SIZE].rstrip(b"\0").decode("ascii", "replace")


cdef class Counters(_Block):
    """The writer's side: names the block and hands out its counters and histograms.

    A restarted process that declares a name again goes on counting where it stood, whatever it declares beside it.
    """

    cdef dict _counters, _histograms
    cdef set _counter_places, _histogram_places

    def __init__(self, segment, counters=(), histograms=()):
        self._counters, self._histograms = {}, {}
        self._counter_places, self._histogram_places = set(), set()
        self.declare(counters, histograms)

    def declare(self, counters=(), histograms=()):
        """Add names. ValueError where a name is too long or the block is full."""
        cdef Counter counter
        cdef Histogram histogram
        cdef int index
        for name in counters:
            if name in self._counters:
                continue
            index = self._place(name, self._counter_places, CL_COUNTER_LIMIT, 0)
            if self.name(index) != name:
                self.counter_at(index)[0] = 0
                self._write_name(index, name)
            self._counter_places.add(index)
            counter = Counter.__new__(Counter)
            counter._buffer, counter.word = self._buffer, self.counter_at(index)
            self._counters[name] = counter
        for name in histograms:
            if name in self._histograms:
                continue
            index = self._place(name, self._histogram_places, CL_HISTOGRAM_LIMIT, CL_COUNTER_LIMIT)
            if self.name(CL_COUNTER_LIMIT + index) != name:
                memset(self.histogram_at(index), 0, CL_HISTOGRAM_SIZE)
                self._write_name(CL_COUNTER_LIMIT + index, name)
            self._histogram_places.add(index)
            histogram = Histogram.__new__(Histogram)
            histogram._buffer, histogram.words = self._buffer, self.histogram_at(index)
            self._histograms[name] = histogram

    cdef int _place(self, str name, set taken, int limit, int offset) except -1:
        """Where the name stood before a restart; else the first empty place; else one whose name nobody declared."""
        data = name.encode("ascii")
        if not 0 < len(data) < COUNTER_NAME_SIZE:
            raise ValueError(f"counter name {name!r}: 1 to {COUNTER_NAME_SIZE - 1} characters were expected")
        free = [index for index in range(limit) if index not in taken]
        names = {index: self.name(offset + index) for index in free}
        for wanted in (name, ""):
            for index in free:
                if names[index] == wanted:
                    return index
        if not free:
            raise ValueError(f"segment {self.segment.name} has no room for {name!r}: {limit} names at most")
        return max(free)

    cdef int _write_name(self, int place, str name) except -1:
        data = name.encode("ascii")
        cdef uint8_t* start = self.name_at(place)
        memset(start, 0, CL_COUNTER_NAME_SIZE)
        memcpy(start, <const char*> data, len(data))
        return 0

    def counter(self, name):
        return self._counters[name]

    def histogram(self, name):
        return self._histograms[name]

    def add(self, name, amount=1):
        (<Counter> self._counters[name]).add(amount)


cdef class CountersReader(_Block):
    def counters(self):
        """{name: value}."""
        return {self.name(i): self.counter_at(i)[0] for i in range(COUNTER_LIMIT) if self.name_at(i)[0]}

    def histogram_words(self):
        """{name: uint64[4 + HISTOGRAM_BUCKETS]}: count, sum, minimum, maximum, buckets; copies."""
        cdef int index
        result = {}
        for index in range(HISTOGRAM_LIMIT):
            if self.name_at(COUNTER_LIMIT + index)[0]:
                words = np.empty(4 + HISTOGRAM_BUCKETS, dtype=np.uint64)
                memcpy(<void*> <uint64_t> words.ctypes.data, self.histogram_at(index), CL_HISTOGRAM_SIZE)
                result[self.name(COUNTER_LIMIT + index)] = words
        return result

    def snapshot(self):
        """{"counters": {name: int}, "histograms": {name: {count, p50, p90, p99, p999, max}}}, durations in ns."""
        return {
            "counters": self.counters(),
            "histograms": {name: percentiles(words) for name, words in self.histogram_words().items()},
        }


def percentiles(words):
    """Summary of one histogram's words, or of the sum of several (counts add up; see `merge`)."""
    total = int(words[4:].sum())
    result = {"count": total}
    cumulative = np.cumsum(words[4:].astype(np.int64))
    middles = bucket_middles()
    for label, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        if total == 0:
            result[label] = 0
            continue
        index = int(np.searchsorted(cumulative, max(1, np.ceil(share * total - 1e-9))))
        result[label] = int(min(max(middles[index], int(words[2])), int(words[3])))
    result["max"] = int(words[3])
    return result


def merge(blocks):
    """Words of several histograms of the same hop as one."""
    blocks = [words for words in blocks if int(words[0])]
    if not blocks:
        return np.zeros(4 + HISTOGRAM_BUCKETS, dtype=np.uint64)
    result = np.sum(blocks, axis=0, dtype=np.uint64)
    result[2] = min(int(words[2]) for words in blocks)
    result[3] = max(int(words[3]) for words in blocks)
    return result


def difference(newer, older):
    """Words of what was recorded between two snapshots of one histogram: an interval. Its extremes are to the bucket."""
    result = newer - older
    filled = np.flatnonzero(result[4:])
    middles = bucket_middles()
    result[2] = max(int(newer[2]), int(middles[filled[0]])) if len(filled) else 0
    result[3] = min(int(newer[3]), int(middles[filled[len(filled) - 1]])) if len(filled) else 0
    return result
