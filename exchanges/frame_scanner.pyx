# cython: language_level=3, boundscheck=False, wraparound=False
"""What the compiled scanners of the venues' hot public frames have in common: the symbols, room for one frame's levels,
and the same frame as Python objects.

The rule: `scan` reads nothing behind the frame's end and says SURPRISE at the first byte that is not as expected; what
it found stands in the subclass until the next call. `event` makes of it what the venue's declared decoder would.

Who calls it: fast_decode.pyx of every venue inherits from it; `decode` and `recognises` are for tests, bench and fuzz.
"""

from libc.stdlib cimport free, malloc

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef class Scanner:
    def __cinit__(self):
        self.symbols = SymbolTable()
        self.bids = <Level*> malloc(MAX_LEVELS * sizeof(Level))
        self.asks = <Level*> malloc(MAX_LEVELS * sizeof(Level))
        if self.bids == NULL or self.asks == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.bids)
        free(self.asks)

    cdef int scan(self, const char* data, Py_ssize_t size) noexcept nogil:
        """What the frame is: SURPRISE, or a kind of the subclass."""
        return SURPRISE

    cdef object event(self, int kind):
        """The event of the last scan, which said `kind`, never SURPRISE."""
        raise NotImplementedError

    cdef object symbol_of(self, SymbolEntry* entry):
        return entry.symbol[:entry.size].decode()

    def decode(self, frame):
        """The event that the venue's MarketCodec.decode gives, or None for a surprise. `frame` is any buffer."""
        cdef Py_buffer view
        cdef int kind
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            kind = self.scan(<const char*> view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return None if kind == SURPRISE else self.event(kind)

    def recognises(self, frame):
        """Whether the scan takes the frame: `decode` without the objects, for bench."""
        cdef Py_buffer view
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            return self.scan(<const char*> view.buf, view.len) != SURPRISE
        finally:
            PyBuffer_Release(&view)


cdef list pairs(Level* levels, Py_ssize_t count):
    """(price, quantity) mantissas of one side."""
    return [(levels[i].price, levels[i].quantity) for i in range(count)]
