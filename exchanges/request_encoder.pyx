# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Requests as text for an order socket, worded in one go: what all venues' compiled encoders have in common.

The rule: an encoder words the requests that a trader sends all the time, byte for byte as the venue's OrderCodec and
order socket would, and leaves every other one to them by returning None: it refuses nothing and it repairs nothing. A
test compares the two for all kinds of requests.

Who calls it: socket_path.pyx, once a request; exchanges/<venue>/fast_encode.pyx derive from it.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from shm.record cimport Record
from shm.records cimport OrderRequestRecord

from shm.records import OrderRequest

cdef int64_t NS_PER_MS = 1_000_000
cdef int MOST_DECIMALS = 18


cdef bint is_plain(const char* text, Py_ssize_t size) noexcept nogil:
    """Whether the text stands in JSON as it is."""
    cdef Py_ssize_t index
    for index in range(size):
        if text[index] < 0x20 or text[index] > 0x7E or text[index] == c'"' or text[index] == c"\\":
            return False
    return size > 0


cdef class Terms:
    """What of an instrument stands in a request. Never changes while a process lives (order_instruments.py)."""

    def __cinit__(self, bytes symbol not None, int price_scale, int quantity_scale):
        self.symbol, self.price_scale, self.quantity_scale = symbol, price_scale, quantity_scale


cdef class RequestEncoder:
    """Of one account and one thread."""

    def __init__(self, instruments, clock, receive_window_ms):
        """clock: VenueClock. receive_window_ms: the longest that the venue may take to begin with a request."""
        self._instruments, self._clock = instruments, clock
        self._widest_ns = receive_window_ms * NS_PER_MS
        self._terms = {}

    cpdef bytes encode(self, Record request, uint64_t identity, int64_t now_ns, bint session):
        """The finished text of `request` under that id; None: the general encoder has to word or refuse it. now_ns:
        CLOCK_MONOTONIC. session: the line has one, which stands for key and signature."""
        if not isinstance(request, OrderRequest):
            raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
        return self.write(<OrderRequestRecord*> request.data, identity, now_ns, session)

    cdef bytes write(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns, bint session):
        raise NotImplementedError

    cdef Terms terms(self, unsigned int instrument_id):
        """None where the general encoder has to look at the instrument."""
        cdef Terms known = self._terms.get(instrument_id)
        if known is not None:
            return known
        instrument = self._instruments.by_id(instrument_id)
        if instrument is None:
            return None
        symbol = instrument.symbol.encode()
        scales = (instrument.price_scale, instrument.quantity_scale)
        if not is_plain(symbol, len(symbol)) or min(scales) < 0 or max(scales) > MOST_DECIMALS:
            return None
        known = self._terms[instrument_id] = Terms(symbol, scales[0], scales[1])
        return known

    cdef int64_t left_ns(self, OrderRequestRecord* asked, int64_t now_ns) except -1:
        """VenueOMS._left_ns: how long from now on the venue may carry it out."""
        cdef int64_t left
        if asked.deadline_ns == 0 or asked.deadline_ns - now_ns >= self._widest_ns:
            return self._widest_ns
        left = asked.deadline_ns - now_ns + self._clock.error_at(now_ns)
        return 0 if left < 0 else left if left < self._widest_ns else self._widest_ns
