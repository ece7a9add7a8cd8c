# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The instruments that a compiled scanner knows, found by the bytes of their symbol. Open addressing.

The rule: filled before the first frame, only read after. A symbol that does not fit stays unknown here, and so with the
declared decoder.

Who calls it: fast_decode.pyx of every venue.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp


cdef extern from *:
    """
    /* Eight bytes at a time, the last ones perhaps twice: one multiplication for each eight, not for each one. */
    static inline uint64_t cl_symbol_hash(const char *name, size_t size) {
        const uint64_t prime = 0x9E3779B97F4A7C15ULL;      /* of the golden ratio; the upper bits are the good ones */
        uint64_t value = size, word = 0;
        if (size < 8) {
            for (size_t i = 0; i < size; i++) word = word << 8 | (unsigned char)name[i];
            return (value ^ word) * prime;
        }
        for (size_t i = 0; i + 8 < size; i += 8) {
            memcpy(&word, name + i, 8);
            value = (value ^ word) * prime;
            value ^= value >> 32;
        }
        memcpy(&word, name + size - 8, 8);
        return (value ^ word) * prime;
    }
    """
    uint64_t cl_symbol_hash(const char* name, size_t size) noexcept nogil


cdef class SymbolTable:
    def __cinit__(self):
        cdef Py_ssize_t i
        self.entries = <SymbolEntry*> malloc(TABLE_SIZE * sizeof(SymbolEntry))
        if self.entries == NULL:
            raise MemoryError
        for i in range(TABLE_SIZE):
            self.entries[i].size = 0
        self.feeds = []

    def __dealloc__(self):
        free(self.entries)

    def add(self, str symbol not None, int price_scale, int quantity_scale, feed=None, str stream=None):
        """Know this symbol; `stream`: how stream names spell it, where that differs. Too long ones are not taken."""
        cdef bytes name = symbol.encode(), spelled = (symbol if stream is None else stream).encode()
        cdef Py_ssize_t size = len(name), i
        cdef SymbolEntry* entry
        if size == 0 or size > MAX_SYMBOL or len(spelled) > MAX_SYMBOL or b'"' in name or b"\\" in name:
            return
        if len(self.feeds) >= TABLE_SIZE // 2:
            raise ValueError(f"more than {TABLE_SIZE // 2} instruments")
        if self.find(name, size) != NULL:
            raise ValueError(f"{symbol} was added before")
        self.feeds.append(feed)
        entry = &self.entries[_hash(name, size)]
        while entry.size != 0:
            entry += 1
            if entry == self.entries + TABLE_SIZE:
                entry = self.entries
        for i in range(size):
            entry.symbol[i] = name[i]
        for i in range(len(spelled)):
            entry.stream[i] = spelled[i]
        entry.size, entry.stream_size = size, len(spelled)
        entry.price_scale, entry.quantity_scale = price_scale, quantity_scale
        entry.feed = <void*> feed

    cdef SymbolEntry* find(self, const char* name, Py_ssize_t size) noexcept nogil:
        """NULL: not known."""
        cdef SymbolEntry* entry
        if size <= 0 or size > MAX_SYMBOL:
            return NULL
        entry = &self.entries[_hash(name, size)]
        while entry.size != 0:
            if entry.size == size and memcmp(entry.symbol, name, size) == 0:
                return entry
            entry += 1
            if entry == self.entries + TABLE_SIZE:
                entry = self.entries
        return NULL

    def __len__(self):
        return len(self.feeds)

    def __contains__(self, str symbol not None):
        cdef bytes name = symbol.encode()
        return self.find(name, len(name)) != NULL


cdef inline Py_ssize_t _hash(const char* name, Py_ssize_t size) noexcept nogil:
    return <Py_ssize_t> (cl_symbol_hash(name, size) >> 40 & (TABLE_SIZE - 1))
