# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Every order's way as one trace: stamps of four processes put together, hop by hop, into histograms.

The trader begins a trace when it publishes a request that a market record led to, and ends it when the answer of the
venue has reached MiniOMS: the event brings the engine's stamps, the market record brought the market server's. All
stamps are CLOCK_MONOTONIC of one host, so the difference of two is a duration wherever they were taken.

The rule: a trace counts whole or not at all. Its hops are the differences of neighbouring stamps, so they add up to its
total where no stamp is missing and none is out of order; one with such a stamp is counted as broken and recorded
nowhere. Always on: beginning is six stores, ending about twenty clock-free histogram entries.

Who calls it: ShmOMSAdapter begins (one Trace per venue), the container ends.
"""

from libc.stdint cimport int64_t, uint64_t

from shm.atomics cimport cl_monotonic_ns
from shm.counters cimport Counter, Histogram
from shm.record cimport Record
from shm.records cimport OrderEventRecord

from shm import hops
from shm.layout import EventType, RequestType

cdef int _SENT = EventType.SENT, _UNKNOWN = EventType.UNKNOWN, _FILL = EventType.FILL
cdef int _NEW = RequestType.NEW, _REPLACE = RequestType.REPLACE

assert (TICK_HOPS, FILL_HOPS) == (len(hops.TICK_HOPS), len(hops.FILL_HOPS))


cdef class Trace:
    """The traces of one venue. `counters`: the process's block, in which the hops are declared."""

    def __init__(self, str venue not None, counters):
        counters.declare(hops.COUNTERS, [hops.histogram(venue, name) for name in hops.NAMES])
        cdef dict of = {name: counters.histogram(hops.histogram(venue, name)) for name in hops.NAMES}
        self.tick_hops = [of[name] for name, _ in hops.TICK_HOPS]
        self.fill_hops = [of[name] for name, _ in hops.FILL_HOPS]
        self.tick_to_trade, self.tick_to_answer = [of[name] for name, _ in hops.TICK_TOTALS]
        self.fill_to_position, = [of[name] for name, _ in hops.FILL_TOTALS]
        self.complete = counters.counter("traces")
        self.broken = counters.counter("traces_broken")
        self.unanswered = counters.counter("traces_unanswered")

    cpdef void begin(self, uint64_t request_id, int64_t receive_time_ns, int64_t decode_time_ns,
                     int64_t publish_time_ns, int64_t poll_time_ns, int64_t create_time_ns) noexcept:
        """A request was published: the stamps of the market record that led to it, and when the strategy decided."""
        cdef Begun* one = &self.begun[request_id & (PENDING - 1)]
        if one.request_id:
            self.unanswered.bump(1)
        one.request_id = request_id
        one.receive_time_ns, one.decode_time_ns, one.publish_time_ns = receive_time_ns, decode_time_ns, publish_time_ns
        one.poll_time_ns, one.create_time_ns = poll_time_ns, create_time_ns

    def applied(self):
        """MiniOMS has taken over what the event says; what the strategy does with it is no part of the trace."""
        if self.apply_time_ns == 0:
            self.apply_time_ns = cl_monotonic_ns()

    def moved(self):
        """The position has moved by the fill of the event."""
        self.position_time_ns = cl_monotonic_ns()

    def end(self, Record record not None, int64_t poll_time_ns):
        """The order event `record`, polled at `poll_time_ns`, is dealt with."""
        cdef OrderEventRecord* event = <OrderEventRecord*> record.data
        cdef int64_t apply_time_ns = self.apply_time_ns, position_time_ns = self.position_time_ns
        cdef int64_t stamps[TICK_HOPS + 1]
        cdef Begun* one
        self.apply_time_ns = self.position_time_ns = 0
        if event.event_type == _FILL and position_time_ns:
            stamps[0], stamps[1], stamps[2] = event.receive_time_ns, event.publish_time_ns, poll_time_ns
            stamps[3], stamps[4] = apply_time_ns, position_time_ns
            self._fill(stamps)
        if event.request_id == 0 or event.event_type == _SENT:
            return
        one = &self.begun[event.request_id & (PENDING - 1)]
        if one.request_id != event.request_id:
            return
        one.request_id = 0
        if event.event_type == _UNKNOWN or event.send_time_ns == 0:
            return  # no answer of the venue: refused on this host, or not known
        stamps[0], stamps[1], stamps[2] = one.receive_time_ns, one.decode_time_ns, one.publish_time_ns
        stamps[3], stamps[4] = one.poll_time_ns, one.create_time_ns
        stamps[5], stamps[6] = event.request_publish_time_ns, event.request_poll_time_ns
        stamps[7], stamps[8] = event.sign_time_ns, event.send_time_ns
        stamps[9], stamps[10] = event.receive_time_ns, event.publish_time_ns
        stamps[11], stamps[12] = poll_time_ns, apply_time_ns if apply_time_ns else cl_monotonic_ns()
        self._tick(stamps)

    cdef void _tick(self, const int64_t* stamps) noexcept:
        cdef int i
        for i in range(TICK_HOPS):
            if stamps[i] <= 0 or stamps[i + 1] < stamps[i]:
                self.broken.bump(1)
                return
        for i in range(TICK_HOPS):
            (<Histogram> self.tick_hops[i]).note(<uint64_t> (stamps[i + 1] - stamps[i]))
        self.tick_to_trade.note(<uint64_t> (stamps[8] - stamps[0]))
        self.tick_to_answer.note(<uint64_t> (stamps[TICK_HOPS] - stamps[0]))
        self.complete.bump(1)

    cdef void _fill(self, const int64_t* stamps) noexcept:
        cdef int i
        for i in range(FILL_HOPS):
            if stamps[i] <= 0 or stamps[i + 1] < stamps[i]:
                self.broken.bump(1)
                return
        for i in range(FILL_HOPS):
            (<Histogram> self.fill_hops[i]).note(<uint64_t> (stamps[i + 1] - stamps[i]))
        self.fill_to_position.note(<uint64_t> (stamps[FILL_HOPS] - stamps[0]))
        self.complete.bump(1)
