"""The address of a mapped segment, for the compiled parts.

A part keeps its own memoryview of the segment's buffer for as long as it holds pointers into it: that view keeps the
mapping alive, whatever the Segment object that made it does meanwhile.
"""
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t


cdef inline uint8_t* address_of(object view) except NULL:
    cdef Py_buffer buffer
    PyObject_GetBuffer(view, &buffer, PyBUF_WRITABLE)
    cdef uint8_t* address = <uint8_t*> buffer.buf
    PyBuffer_Release(&buffer)
    return address
