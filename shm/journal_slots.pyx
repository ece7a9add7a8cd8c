# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The slots of one journal file: a ring that is never lapped, each slot with the check of its record at its end.

The rule: the check is in the slot before the record is published, so the release store that publishes carries it along.
A file that is full takes nothing, and says so.

Compiled because a request waits for its journal entry before it may leave. Called by shm/journal.py, which makes the
files and says what they promise.
"""

from zlib import crc32

from libc.stdint cimport uint64_t

from shm.record cimport Record
from shm.ring cimport BroadcastWriter

from shm.layout import JOURNAL_CHECK_SIZE, SegmentKind
from shm.segment import SegmentError

cdef uint64_t _CHECK_SIZE = JOURNAL_CHECK_SIZE
cdef object _crc32 = crc32

assert JOURNAL_CHECK_SIZE == sizeof(uint64_t), "the check is written as one word"


cdef class JournalSlots:
    cdef readonly BroadcastWriter ring
    cdef uint64_t _base

    def __init__(self, segment, uint64_t base):
        """segment: the mapped file. base: how many records stand in the files before it. Raises SegmentError."""
        if segment.kind != SegmentKind.JOURNAL:
            raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, a journal was expected")
        self.ring = BroadcastWriter(segment)
        self._base = base

    def append(self, Record record not None):
        """Append as it is; its place in the series, from 1. 0: the file is full and nothing was appended."""
        cdef BroadcastWriter ring = self.ring
        cdef uint64_t sequence = ring.next_sequence
        if sequence > ring.capacity:
            return 0
        (<uint64_t*> (ring.slot(sequence) + ring.stride - _CHECK_SIZE))[0] = _crc32(record)
        return self._base + ring.publish(record, False)
