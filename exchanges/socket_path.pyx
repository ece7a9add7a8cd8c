# cython: language_level=3
"""The last steps of a request over the order socket: worded, checked once more, its bytes handed over.

The rules are those of venue_oms.py: `guard` is asked when the bytes are ready, and nothing is awaited between it and
the hand-over; outcomes are told in the loop's next turn at the earliest, because whoever sends has not finished.

Compiled: this is all that lies between the engine's gates and the socket, once an order. No coroutine, no task, no
dictionary of parameters: a request that the venue's encoder words (request_encoder.pyx) goes straight through, any
other is worded by the venue's Python and joins at `hand_over`.

Who calls it: venue_oms.py, which owns one where the venue has an order socket.
"""

import asyncio

from libc.stdint cimport int64_t, uint64_t

from exchanges.request_encoder cimport RequestEncoder
from exchanges.request_line cimport Line
from shm.atomics cimport cl_monotonic_ns
from shm.record cimport Record
from shm.records cimport OrderRequestRecord

from exchanges.order_events import refusal
from shm.layout import Reason
from shm.records import OrderRequest


cdef class OnSocket:
    """Who waits on the order socket for the reply to one request."""

    cdef object _oms, _request
    cdef int64_t _sent_ns

    def __cinit__(self, oms, request, int64_t sent_ns):
        self._oms, self._request, self._sent_ns = oms, request, sent_ns

    def replied(self, reply, int64_t receive_time_ns):
        oms = self._oms
        oms.guarded(oms.on_socket_reply, self._request, reply, receive_time_ns, self._sent_ns)

    def lost(self, failure):
        self._oms.guarded(self._oms.on_socket_lost, self._request, failure)

    def replied_late(self, reply, int64_t receive_time_ns):
        oms = self._oms
        oms.guarded(oms.on_socket_late, self._request, reply, receive_time_ns, self._sent_ns)


cdef class SocketPath:
    cdef object _oms, _socket, _guard, _call_soon
    cdef RequestEncoder _encoder

    def __init__(self, oms, socket, guard, RequestEncoder encoder):
        """oms: VenueOMS. socket: RequestSocket. encoder: None where the venue words everything in Python."""
        self._oms, self._socket, self._guard, self._encoder = oms, socket, guard, encoder
        self._call_soon = asyncio.get_running_loop().call_soon

    cpdef bint quick(self, Record request) except -1:
        """Word, check and send in one go; what comes of it is told. False: nothing was done."""
        cdef Line line
        cdef int64_t now
        cdef uint64_t identity
        cdef bytes text
        if self._encoder is None:
            return False
        line = self._socket.line
        if line is None:
            return False
        now = cl_monotonic_ns()
        if not line.is_usable(now):
            return False
        if not isinstance(request, OrderRequest):
            raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
        identity = self._socket.next_identity()
        text = self._encoder.write(<OrderRequestRecord*> request.data, identity, now, line.session)
        if text is None:
            return False
        self._leave(line, request, identity, text)
        return True

    def hand_over(self, Record request not None, uint64_t identity, bytes text not None):
        """The last check of a request that the venue's own code worded, and its bytes to the socket."""
        self._leave(self._socket.line, request, identity, text)

    cdef int _leave(self, Line line, Record request, uint64_t identity, bytes text) except -1:
        cdef int64_t signed_ns = cl_monotonic_ns()
        oms = self._oms
        reason = self._guard(request)
        if reason:
            oms.tell_soon(refusal(request, reason))
        elif line is not None and line.hand(identity, text, OnSocket(oms, request, signed_ns), signed_ns):
            self._call_soon(oms.tell_sent, request, signed_ns)
        else:
            oms.tell_soon(refusal(request, Reason.NOT_SENT, "the order socket closed just now"))
        return 0
