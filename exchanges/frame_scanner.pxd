from exchanges.frame_cursor cimport Cursor
from exchanges.order_book cimport Level
from exchanges.symbol_table cimport SymbolEntry, SymbolTable

cdef enum:
    SURPRISE = 0                # what scan() says of a frame that it leaves to the declared decoder
    MAX_LEVELS = 8192           # a side of one frame; the deepest recorded of any venue has 1000


cdef class Scanner:
    cdef SymbolTable symbols
    cdef Level* bids
    cdef Level* asks

    cdef int scan(self, const char* data, Py_ssize_t size) noexcept nogil
    cdef object event(self, int kind)
    cdef object symbol_of(self, SymbolEntry* entry)

cdef list pairs(Level* levels, Py_ssize_t count)
