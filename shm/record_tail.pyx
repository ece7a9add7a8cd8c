# cython: language_level=3
"""The last so many records of one kind, in memory that is taken whole at the start and never grows.

Records are copied in and copied out: nobody holds what is overwritten later.

Who calls it: exchanges/order_merger.pyx, for the fills that a recovery may have to tell again.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.string cimport memcpy, memset


cdef class RecordTail:
    def __cinit__(self, make, uint64_t size):
        """make: the record class. size: how many are kept."""
        cdef Record example = make()
        self._make, self._nbytes, self._size = make, example.nbytes, size
        self._bytes = <uint8_t*> PyMem_RawMalloc(max(1, size * self._nbytes))
        if self._bytes == NULL:
            raise MemoryError
        memset(self._bytes, 0, size * self._nbytes)     # or its pages would be taken one by one, as they are used

    def __dealloc__(self):
        PyMem_RawFree(self._bytes)

    cpdef append(self, Record record):
        """Keep a copy; where all places are taken the oldest goes. TypeError for a record of another kind."""
        if not isinstance(record, self._make):
            raise TypeError(f"{type(record).__name__} found, {self._make.__name__} was expected")
        memcpy(self._bytes + self._count % self._size * self._nbytes, record.data, self._nbytes)
        self._count += 1

    def extend(self, records):
        for record in records:
            self.append(record)

    def __len__(self):
        return min(self._count, self._size)

    def __iter__(self):
        """Copies as they are now, the oldest first; `sequence` is not kept."""
        cdef Record record
        cdef uint64_t index
        cdef list records = []
        for index in range(self._count - len(self), self._count):
            record = self._make()
            memcpy(record.data, self._bytes + index % self._size * self._nbytes, self._nbytes)
            records.append(record)
        return iter(records)
