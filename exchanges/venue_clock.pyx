# cython: language_level=3, annotation_typing=False
"""The venue's UTC clock as this host estimates it.

The rules
- A sample is the venue's time read over REST; its error is at most half of the round trip, and the venue's resolution.
  Of several samples the one with the shortest round trip counts.
- Between measurements the estimate moves with CLOCK_MONOTONIC, so a step of this host's own UTC changes nothing. Its
  error grows by DRIFT_PPM meanwhile: two good clocks run apart by no more.
- A new measurement that agrees with the estimate and is less exact than it (a slow moment of the network) changes
  nothing. One that contradicts it is a step: of the venue's clock, or the estimate was wrong. It is taken, and said.
- Until the first measurement the estimate is this host's own UTC, with an unknown error.

Compiled because every order asks for the venue's time twice on its way.

Who calls it: request signing (timestamp), rate limits (the venue's windows), settlement and recovery (trade times).
"""

from libc.stdint cimport int64_t

from shm.host_clock cimport HostClock

from shm.clock import monotonic_ns, realtime_offset_ns

SAMPLES = 5
NS_PER_MS = 1_000_000
DRIFT_PPM = 100
"""Of the venue's clock against ours. Quartz is within 50 ppm, and both may be off, each in its own direction."""

cdef int64_t _NS_PER_MS = NS_PER_MS, _DRIFT_PPM = DRIFT_PPM


cdef class VenueClock:
    """offset_ns: venue UTC minus CLOCK_MONOTONIC. steps: measurements that contradicted the estimate. on_step: told by how
    much (ns) the estimate was corrected."""

    def __init__(self, clock=monotonic_ns):
        self._clock = HostClock(clock)
        self.offset_ns = realtime_offset_ns()
        self.on_step = lambda step_ns: None

    @property
    def error_ns(self):
        """Largest error of the estimate by now."""
        return self.error_at(self._clock.now())

    cpdef int64_t error_at(self, int64_t now_ns):
        """The same at a time (CLOCK_MONOTONIC) that the caller has at hand."""
        return self._error_now(now_ns) if self.measured else 0

    cdef int64_t _error_now(self, int64_t now_ns) noexcept:
        return self._error_ns + (now_ns - self._measured_ns) * _DRIFT_PPM // 1_000_000

    async def measure(self, server_time, samples=SAMPLES):
        """Take samples of `server_time` (ns UTC; it raises what the caller's fetcher raises) and keep the best."""
        best = None
        for _ in range(samples):
            asked = self._clock.now()
            venue_ns = await server_time()
            answered = self._clock.now()
            sample = (answered - asked, venue_ns - (asked + answered) // 2)
            best = min(best, sample) if best is not None else sample
        if best is not None:
            self.take(best[1], best[0] // 2 + _NS_PER_MS)

    cpdef take(self, int64_t offset_ns, int64_t error_ns):
        """A measurement and its largest error."""
        cdef int64_t now = self._clock.now()
        cdef int64_t step = offset_ns - self.offset_ns, known_error = self._error_now(now)
        if self.measured and abs(step) <= error_ns + known_error:
            if error_ns >= known_error:
                return
        elif self.measured:
            self.steps += 1
            self.on_step(step)
        self.offset_ns, self._error_ns, self._measured_ns, self.measured = offset_ns, error_ns, now, True

    def in_words(self):
        """For a log."""
        return (
            f"venue clock is {self.offset_ns / 1e6:+.1f} ms from this host's monotonic zero, "
            f"known to {self.error_ns / 1e6:.1f} ms"
        )

    cpdef int64_t now_ns(self) except? -1:
        """Venue UTC, ns."""
        return self._clock.now() + self.offset_ns

    def now_ms(self):
        return (self._clock.now() + self.offset_ns) // _NS_PER_MS
