from libc.stdint cimport int64_t, uint64_t

from exchanges.frame_listener cimport FrameListener

cdef class Line(FrameListener):
    cdef public bint session            # for the owner: its log-in bound a session to this line
    cdef public bint withheld           # for the owner: nothing new is to go out on it
    cdef public object transport        # picows'; None before the handshake
    cdef public object timer            # runs until the oldest request is due; None while nothing waits
    cdef object _socket, _counters, _loop, _empty
    cdef bint _closed, _full
    cdef int64_t _suspect_ns
    cdef dict _waiting, _overdue

    cdef bint is_open(self)
    cdef bint is_usable(self, int64_t now_ns) except -1
    cdef bint hand(self, uint64_t identity, bytes message, object waiter, int64_t now_ns) except -1
