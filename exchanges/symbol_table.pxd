cdef enum:
    MAX_SYMBOL = 32             # as SYMBOL_SIZE of shm/layout.py
    TABLE_SIZE = 4096           # a power of two, at least twice the instruments of a venue's tables


cdef struct SymbolEntry:
    char symbol[MAX_SYMBOL]
    char stream[MAX_SYMBOL]     # the symbol as stream names spell it
    Py_ssize_t size             # 0 = free
    Py_ssize_t stream_size
    int price_scale
    int quantity_scale
    void* feed                  # borrowed from the table's list


cdef class SymbolTable:
    cdef SymbolEntry* entries
    cdef list feeds

    cdef SymbolEntry* find(self, const char* name, Py_ssize_t size) noexcept nogil
