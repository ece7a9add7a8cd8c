# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Buckets with limits that many processes fill together: one compare-and-swap word each, nothing that can be left held.

The argument
- What was used and what it counts for stand in one word, so taking is one compare-and-swap: it either counted, and then
  every other process sees it, or it failed and looks again. A process killed anywhere leaves a word that is true.
- A window: number | used. Whoever comes with a later window starts it at 0; whoever comes with an earlier one (clocks of
  two processes differ by some ms) counts into the one that stands. So no window ever takes more than its limit. A word
  two or more windows ahead is that of a clock that was wrong, and would shut everybody out: it is started anew.
- Credits: the time at which all are there again. Taking moves it on by the time that the cost needs to come back.
- `closed` shuts a bucket until a time; `hush` shuts it for all but urgent requests, which then pass one at a time, with
  pauses that double. Both only ever move on.

Times are one clock that all users agree on (the venue's UTC as each estimates it), in ns. Shares are thousandths of the
limit: what is kept free for others. Used by exchanges/rate_limit.py, which knows what the buckets mean.
"""

import hashlib

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from shm.layout import LIMIT_BUCKET, LIMIT_BUCKETS, SegmentKind
from shm.segment import SegmentError

from shm.mapped cimport address_of
from shm.atomics cimport cl_compare_and_swap, cl_load_acquire, cl_store_release
from shm.records cimport CL_HEADER_SIZE, CL_LIMIT_BUCKETS, CL_LIMIT_NAME_SIZE, CL_LIMIT_USED_BITS, LimitBucket

cdef uint64_t USED_MASK = (<uint64_t> 1 << CL_LIMIT_USED_BITS) - 1
cdef uint64_t MS = 1_000_000
cdef uint64_t PROBE_PAUSE_MS = 1_000    # to the first urgent request after a refusal; doubles with each that passes
cdef uint64_t PROBE_DOUBLINGS = 4       # so at most 16 s between two
cdef uint64_t FREE = 255                # the venue has served one of them since: they pass as they come

LARGEST_LIMIT = USED_MASK
SHORTEST_WINDOW_NS = 10_000_000         # numbers of shorter ones would not fit beside the count, the clock being UTC


cdef class LimitTable:
    """The buckets of one limits segment, or of this process alone where there is none."""

    cdef readonly object segment
    cdef object _buffer                 # keeps the mapping alive
    cdef LimitBucket* buckets

    def __cinit__(self, segment=None):
        self.segment = segment
        cdef uint8_t* start
        if segment is None:
            self._buffer = memoryview(bytearray(CL_LIMIT_BUCKETS * sizeof(LimitBucket)))
            start = address_of(self._buffer)
        else:
            if segment.kind != SegmentKind.LIMITS:
                raise SegmentError(f"segment {segment.name} is a {segment.kind.name}, limits were expected")
            self._buffer = memoryview(segment.buffer)
            start = address_of(self._buffer) + CL_HEADER_SIZE
        self.buckets = <LimitBucket*> start

    cdef LimitBucket* claim(self, str name) except NULL:
        """The bucket of that name, claimed now where nobody has it yet."""
        text = name.encode()
        cdef uint64_t key = int.from_bytes(hashlib.sha256(text).digest()[:8], "little") | 1
        cdef uint64_t found
        cdef Py_ssize_t index, length
        cdef LimitBucket* bucket
        for index in range(CL_LIMIT_BUCKETS):
            bucket = self.buckets + index
            found = cl_load_acquire(&bucket.key)
            if found == 0:
                if cl_compare_and_swap(&bucket.key, 0, key):
                    length = min(len(text), CL_LIMIT_NAME_SIZE)
                    memcpy(bucket.name, <const char*> text, length)
                    return bucket
                found = cl_load_acquire(&bucket.key)    # another process was faster, perhaps for the same name
            if found == key:
                return bucket
        where = "" if self.segment is None else f"segment {self.segment.name}: "
        raise SegmentError(f"{where}all {CL_LIMIT_BUCKETS} limit buckets are taken, {name!r} finds none")

    def rows(self):
        """[{field: value}] of every claimed bucket, for people and for clean-up."""
        import numpy as np

        offset = 0 if self.segment is None else CL_HEADER_SIZE
        table = np.frombuffer(self._buffer, dtype=LIMIT_BUCKET, count=LIMIT_BUCKETS, offset=offset)
        result = []
        for row in table:
            if row["key"]:
                fields = {name: row[name].item() for name in LIMIT_BUCKET.names if name != "key"}
                fields["name"] = fields["name"].decode("utf-8", "replace")
                result.append(fields)
        return result


cdef class _Limited:
    """What windows and credits share. Not for use by itself."""

    cdef int attach(self, object table, str name, object limit) except -1:
        if not 1 <= limit <= LARGEST_LIMIT:
            raise ValueError(f"bucket {name}: limit {limit} must be from 1 to {LARGEST_LIMIT}")
        self.table, self.name = table, name
        self.bucket = (<LimitTable?> table).claim(name)
        cl_compare_and_swap(&self.bucket.limit, 0, limit)   # until the venue tells its own
        return 0

    @property
    def limit(self):
        return cl_load_acquire(&self.bucket.limit)

    @limit.setter
    def limit(self, object value):
        """The venue's word, for all processes."""
        if not 1 <= value <= LARGEST_LIMIT:
            raise ValueError(f"bucket {self.name}: limit {value} must be from 1 to {LARGEST_LIMIT}")
        cl_store_release(&self.bucket.limit, value)

    @property
    def closed_until_ns(self):
        return cl_load_acquire(&self.bucket.closed_until_ns)

    @property
    def quiet_until_ns(self):
        return cl_load_acquire(&self.bucket.quiet_until_ns)

    def close(self, uint64_t until_ns):
        """Nothing passes before that time, for anybody."""
        raise_to(&self.bucket.closed_until_ns, until_ns)

    def hush(self, uint64_t now_ns, uint64_t quiet_ns):
        """Refused without a time: quiet for so long from now. A refusal while it is quiet only prolongs that."""
        cdef uint64_t before = cl_load_acquire(&self.bucket.quiet_until_ns)
        cdef uint64_t probe = cl_load_acquire(&self.bucket.probe)
        if now_ns >= before or probe & 0xFF == FREE:
            cl_compare_and_swap(&self.bucket.probe, probe, (now_ns // MS + PROBE_PAUSE_MS) << 8)
        raise_to(&self.bucket.quiet_until_ns, now_ns + quiet_ns)

    def served(self, uint64_t asked_ns, uint64_t quiet_ns):
        """A request that left at asked_ns was carried out: urgent ones pass again, if that was after the refusal."""
        cdef uint64_t until = cl_load_acquire(&self.bucket.quiet_until_ns)
        cdef uint64_t probe = cl_load_acquire(&self.bucket.probe)
        if asked_ns < until and asked_ns + quiet_ns >= until:
            cl_compare_and_swap(&self.bucket.probe, probe, probe | FREE)

    cpdef uint64_t take(self, uint64_t cost, uint64_t share, bint urgent, uint64_t now_ns) except? 1:
        """0: taken. Otherwise nothing was, and the time (ns) from which it may be tried."""
        raise NotImplementedError

    cdef uint64_t shut_until(self, bint urgent, uint64_t now_ns):
        """0, or the time before which this request may not go whatever is left. A probe that may go is taken."""
        cdef uint64_t until = cl_load_acquire(&self.bucket.closed_until_ns)
        if now_ns < until:
            return until
        until = cl_load_acquire(&self.bucket.quiet_until_ns)
        if now_ns >= until:
            return 0
        if not urgent:
            return until
        cdef uint64_t probe = cl_load_acquire(&self.bucket.probe)
        cdef uint64_t passed = probe & 0xFF
        if passed == FREE:
            return 0
        if now_ns < (probe >> 8) * MS:
            return (probe >> 8) * MS
        passed = passed + 1 if passed < PROBE_DOUBLINGS else PROBE_DOUBLINGS
        cdef uint64_t next_ms = now_ns // MS + (PROBE_PAUSE_MS << passed)
        if cl_compare_and_swap(&self.bucket.probe, probe, next_ms << 8 | passed):
            return 0
        return next_ms * MS     # another process took it just now

    cdef uint64_t allowed(self, uint64_t share):
        """Units that this share may fill the bucket to; at least one, or a tiny limit would shut it out for ever."""
        cdef uint64_t units = cl_load_acquire(&self.bucket.limit) * share // 1000
        return units if units else 1


cdef class LimitWindow(_Limited):
    """`limit` units per window of `window_ns`, windows counted from time 0 as venues do."""

    cdef readonly uint64_t window_ns

    def __cinit__(self, LimitTable table not None, str name not None, object limit, object window_ns):
        if not SHORTEST_WINDOW_NS <= window_ns < 1 << 62:
            raise ValueError(f"bucket {name}: a window of {window_ns} ns is shorter than {SHORTEST_WINDOW_NS}")
        self.window_ns = window_ns
        self.attach(table, f"{name} / {window_ns // MS} ms", limit)
        cl_store_release(&self.bucket.window_ns, self.window_ns)

    cdef uint64_t standing(self, uint64_t state, uint64_t now_ns):
        """The state word to count on at this time: that of its window, or the next one with nothing used."""
        cdef uint64_t window = now_ns // self.window_ns
        cdef uint64_t known = state >> CL_LIMIT_USED_BITS
        return state if window <= known <= window + 1 else window << CL_LIMIT_USED_BITS

    cpdef uint64_t take(self, uint64_t cost, uint64_t share, bint urgent, uint64_t now_ns) except? 1:
        cdef uint64_t until = self.shut_until(urgent, now_ns)
        if until:
            return until
        cdef uint64_t most = self.allowed(share)
        cdef uint64_t state, standing
        while cost:
            state = cl_load_acquire(&self.bucket.state)
            standing = self.standing(state, now_ns)
            if (standing & USED_MASK) + cost > most:
                return ((standing >> CL_LIMIT_USED_BITS) + 1) * self.window_ns
            if cl_compare_and_swap(&self.bucket.state, state, standing + cost):
                break
        return 0

    def give_back(self, uint64_t cost, uint64_t now_ns):
        """Undo a `take` of this moment whose request does not go after all."""
        cdef uint64_t state
        while True:
            state = cl_load_acquire(&self.bucket.state)
            if self.standing(state, now_ns) != state or state & USED_MASK < cost:
                return
            if cl_compare_and_swap(&self.bucket.state, state, state - cost):
                return

    def reported(self, uint64_t used, uint64_t now_ns):
        """The venue's own count of the present window; a lower one is ignored."""
        cdef uint64_t state, standing
        if used > USED_MASK:
            used = USED_MASK
        while True:
            state = cl_load_acquire(&self.bucket.state)
            standing = self.standing(state, now_ns)
            if standing & USED_MASK >= used:
                return
            if cl_compare_and_swap(&self.bucket.state, state, standing & ~USED_MASK | used):
                return

    def used(self, uint64_t now_ns):
        return self.standing(cl_load_acquire(&self.bucket.state), now_ns) & USED_MASK


cdef class LimitCredits(_Limited):
    """`limit` credits when full, one of which comes back every `unit_ns`."""

    cdef readonly uint64_t unit_ns

    def __cinit__(self, LimitTable table not None, str name not None, object limit, object unit_ns):
        if not 1 <= unit_ns < 1 << 38:
            raise ValueError(f"bucket {name}: {unit_ns} ns for one credit is no rate")
        self.unit_ns = unit_ns
        self.attach(table, name, limit)
        cl_store_release(&self.bucket.unit_ns, self.unit_ns)

    cdef uint64_t full_at(self, uint64_t state, uint64_t now_ns):
        """When all credits are there again; never later than an empty bucket needs, whatever clock wrote the word."""
        cdef uint64_t latest = now_ns + cl_load_acquire(&self.bucket.limit) * self.unit_ns
        return now_ns if state < now_ns else latest if state > latest else state

    cpdef uint64_t take(self, uint64_t cost, uint64_t share, bint urgent, uint64_t now_ns) except? 1:
        cdef uint64_t until = self.shut_until(urgent, now_ns)
        if until:
            return until
        cdef uint64_t most_ns = self.allowed(share) * self.unit_ns
        cdef uint64_t state, full_at
        while cost:
            state = cl_load_acquire(&self.bucket.state)
            full_at = self.full_at(state, now_ns) + cost * self.unit_ns
            if full_at - now_ns > most_ns:
                return full_at - most_ns
            if cl_compare_and_swap(&self.bucket.state, state, full_at):
                break
        return 0

    def give_back(self, uint64_t cost, uint64_t now_ns):
        """Undo a `take` of this moment whose request does not go after all."""
        cdef uint64_t state, back = cost * self.unit_ns
        while True:
            state = cl_load_acquire(&self.bucket.state)
            if state < now_ns + back:
                return
            if cl_compare_and_swap(&self.bucket.state, state, state - back):
                return

    def reported(self, uint64_t used, uint64_t now_ns):
        """The venue's own word on how many are gone; fewer than we know of are ignored."""
        cdef uint64_t limit = cl_load_acquire(&self.bucket.limit)
        raise_to(&self.bucket.state, now_ns + (used if used < limit else limit) * self.unit_ns)

    def used(self, uint64_t now_ns):
        """Credits that are gone, a begun one counted."""
        cdef uint64_t gone_ns = self.full_at(cl_load_acquire(&self.bucket.state), now_ns) - now_ns
        return (gone_ns + self.unit_ns - 1) // self.unit_ns


cdef void raise_to(void* word, uint64_t value) noexcept:
    cdef uint64_t known
    while True:
        known = cl_load_acquire(word)
        if known >= value or cl_compare_and_swap(word, known, value):
            return
