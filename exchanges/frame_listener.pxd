from libc.stdint cimport int64_t, uint64_t

from picows.picows cimport WSFrame, WSListener, WSTransport


cdef class FrameListener(WSListener):
    cdef readonly int64_t receive_time_ns       # CLOCK_MONOTONIC of the last data frame, 0 before the first
    cdef readonly uint64_t frames               # complete messages
    cdef readonly str close_text                # the venue's words in its close frame
    cdef bytearray _parts

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame)
    cdef int on_payload(self, const char* data, Py_ssize_t size, int64_t receive_time_ns) except -1
    cdef int _on_rare(self, WSTransport transport, WSFrame frame, int64_t receive_time_ns) except -1
