# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Typed objects over the bytes of one record.

A record class has one attribute per dtype field of `layout.py` (see `records.py`), read and written in place by the C
descriptors below: no dict, no tuple, no allocation beyond the Python number itself. Rings copy a whole record into
such an object (poll) or out of it (publish); the object's bytes are its own and never shared.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np


cdef class Record:
    """Base of all record classes. Subclasses are made from a dtype by `make_record_class`, never by hand."""

    def __cinit__(self):
        cls = type(self)
        self.nbytes = cls.dtype.itemsize
        self.kind_code = cls.record_code
        self.data = <uint8_t*> PyMem_Calloc(1, self.nbytes)
        if self.data == NULL:
            raise MemoryError
        (<uint16_t*> self.data)[0] = self.kind_code
        (<uint16_t*> self.data)[1] = self.nbytes

    def __dealloc__(self):
        PyMem_Free(self.data)

    def clear(self):
        """Zero everything but kind and size."""
        memset(self.data + 4, 0, self.nbytes - 4)
        self.sequence = 0

    def copy(self):
        """A new record with the same bytes and sequence."""
        cdef Record other = type(self)()
        memcpy(other.data, self.data, self.nbytes)
        other.sequence = self.sequence
        return other

    def copy_from(self, Record other not None):
        """Take over the bytes of a record of the same kind (or the same dtype, as Ticker and TickerRow). Keeps own kind."""
        if other.nbytes != self.nbytes:
            raise TypeError(f"cannot copy {type(other).__name__} into {type(self).__name__}: sizes differ")
        memcpy(self.data, other.data, self.nbytes)
        (<uint16_t*> self.data)[0] = self.kind_code
        self.sequence = other.sequence

    def load(self, bytes data not None):
        """Take over raw bytes, for instance from a recording. ValueError where kind or size are not this class's."""
        if len(data) != self.nbytes:
            raise ValueError(f"{type(self).__name__}: {len(data)} bytes found, {self.nbytes} expected")
        cdef const char* source = data
        if (<const uint16_t*> source)[0] != self.kind_code:
            raise ValueError(f"{type(self).__name__}: kind {(<const uint16_t*> source)[0]} found, {self.kind_code} expected")
        memcpy(self.data, source, self.nbytes)

    def to_dict(self):
        """Plain Python values by field name, text fields as str; for logs, dumps and tests, never on the hot path."""
        result = {}
        for name in type(self).dtype.names:
            if name.startswith("pad") or name in ("kind", "size"):
                continue
            value = getattr(self, name)
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif isinstance(value, np.ndarray):
                value = value.tolist()
            result[name] = value
        return result

    def __bytes__(self):
        return PyBytes_FromStringAndSize(<char*> self.data, self.nbytes)

    def __eq__(self, other):
        return type(self) is type(other) and bytes(self) == bytes(other)

    __hash__ = None

    def __reduce__(self):
        return _restore, (type(self), bytes(self), self.sequence)

    def __repr__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if value not in (0, "", 0.0))
        return f"{type(self).__name__}({fields})"

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.nbytes, 0, flags)

    def __releasebuffer__(self, Py_buffer* buffer):
        pass


def _restore(cls, data, sequence):
    record = cls()
    record.load(data)
    record.sequence = sequence
    return record


cdef inline uint8_t* _at(object instance, Py_ssize_t offset) except NULL:
    if not isinstance(instance, Record):
        raise TypeError("this field belongs to a record")
    return (<Record> instance).data + offset


cdef class _Field:
    """Descriptor of one field: one subclass per machine type, so that an access is one C load or store.

    Integer fields take integers only (PyNumber_Index): a float price would otherwise lose its decimals in silence.
    """

    cdef Py_ssize_t offset

    def __cinit__(self, Py_ssize_t offset, *args):
        self.offset = offset


cdef class _U8(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else _at(instance, self.offset)[0]

    def __set__(self, instance, value):
        cdef uint8_t number = PyNumber_Index(value)
        _at(instance, self.offset)[0] = number


cdef class _U16(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<uint16_t*> _at(instance, self.offset))[0]

    def __set__(self, instance, value):
        cdef uint16_t number = PyNumber_Index(value)
        (<uint16_t*> _at(instance, self.offset))[0] = number


cdef class _U32(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<uint32_t*> _at(instance, self.offset))[0]

    def __set__(self, instance, value):
        cdef uint32_t number = PyNumber_Index(value)
        (<uint32_t*> _at(instance, self.offset))[0] = number


cdef class _U64(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<uint64_t*> _at(instance, self.offset))[0]

    def __set__(self, instance, value):
        cdef uint64_t number = PyNumber_Index(value)
        (<uint64_t*> _at(instance, self.offset))[0] = number


cdef class _I32(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<int32_t*> _at(instance, self.offset))[0]

    def __set__(self, instance, value):
        cdef int32_t number = PyNumber_Index(value)
        (<int32_t*> _at(instance, self.offset))[0] = number


cdef class _I64(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<int64_t*> _at(instance, self.offset))[0]

    def __set__(self, instance, value):
        cdef int64_t number = PyNumber_Index(value)
        (<int64_t*> _at(instance, self.offset))[0] = number


cdef class _F64(_Field):
    def __get__(self, instance, owner):
        return self if instance is None else (<double*> _at(instance, self.offset))[0]

    def __set__(self, instance, double value):
        (<double*> _at(instance, self.offset))[0] = value


cdef class _Bytes(_Field):
    """Fixed text: NUL-padded in memory, without trailing NULs in Python. Longer text is cut, the record cannot grow."""

    cdef Py_ssize_t width

    def __cinit__(self, Py_ssize_t offset, Py_ssize_t width):
        self.width = width

    def __get__(self, instance, owner):
        if instance is None:
            return self
        cdef uint8_t* start = _at(instance, self.offset)
        cdef Py_ssize_t length = self.width
        while length > 0 and start[length - 1] == 0:
            length -= 1
        return PyBytes_FromStringAndSize(<char*> start, length)

    def __set__(self, instance, bytes value not None):
        cdef uint8_t* start = _at(instance, self.offset)
        cdef Py_ssize_t length = len(value)
        if length > self.width:
            length = self.width
        memcpy(start, <const char*> value, length)
        memset(start + length, 0, self.width - length)


cdef class _Array(_Field):
    """A numpy view onto the record's own bytes, made at each access.

    It is not kept: a record that owned a view of itself would be a cycle that Python's collector cannot see, because
    numpy arrays take no part in collection. A hot loop binds the view once and keeps it beside the record.
    """

    cdef object dtype
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t offset, dtype, Py_ssize_t count):
        self.dtype, self.count = dtype, count

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return np.frombuffer(instance, dtype=self.dtype, count=self.count, offset=self.offset)

    def __set__(self, instance, value):
        self.__get__(instance, None)[:] = value


cdef dict _SCALARS = {
    ("u", 1): _U8, ("u", 2): _U16, ("u", 4): _U32, ("u", 8): _U64, ("i", 4): _I32, ("i", 8): _I64, ("f", 8): _F64,
}


def make_record_class(str name, int code, dtype):
    """The record class of one dtype: a subclass of Record with a C descriptor for every field."""
    namespace = {"__slots__": (), "__module__": "shm.records", "dtype": dtype, "record_code": code, "__doc__": f"Record {name} of layout.py."}
    for field in dtype.names:
        kind, offset = dtype.fields[field][:2]
        if kind.shape:
            namespace[field] = _Array(offset, kind.base, kind.shape[0])
        elif kind.kind == "S":
            namespace[field] = _Bytes(offset, kind.itemsize)
        else:
            namespace[field] = _SCALARS[kind.kind, kind.itemsize](offset)
    return type(name, (Record,), namespace)
