# cython: language_level=3
"""A clock that compiled code reads without a call of Python where it is the real one.

The rule: what a test hands over (any callable) is asked each time; `shm.clock.monotonic_ns` is read straight from the
kernel's page, which is the same clock.

Who calls it: compiled classes that take a `clock` (order_engine, venue_clock).
"""

from libc.stdint cimport int64_t

from shm.atomics cimport cl_monotonic_ns

from shm.clock import monotonic_ns


cdef class HostClock:
    def __init__(self, clock):
        """clock: returns ns of CLOCK_MONOTONIC, or of a test's own time."""
        self._clock = None if clock is monotonic_ns else clock

    cdef int64_t now(self) except? -1:
        return cl_monotonic_ns() if self._clock is None else self._clock()

    def __call__(self):
        return self.now()
