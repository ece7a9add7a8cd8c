# cython: language_level=3
"""One connection and the requests that hang on it; the rules stand in request_socket.py, which owns the lines.

Compiled because every order leaves through here and every reply comes back through here.

Who calls it: request_socket.py makes one for each connection; socket_path.pyx hands orders to the present one.
"""

import asyncio

from libc.stdint cimport int64_t, uint64_t

import picows

from exchanges.frame_listener cimport FrameListener
from picows.picows cimport WSTransport
from shm.atomics cimport cl_monotonic_ns

from exchanges.request_failure import NotSent, OutcomeUnknown, UnreadableReply

REMEMBERED = 1024
"""Overdue requests of a line whose reply would still be known."""

cdef object _TEXT = picows.WSMsgType.TEXT


cdef class Line(FrameListener):
    """Made inside the running event loop, when its connection is being opened."""

    def __init__(self, socket):
        """socket: RequestSocket."""
        super().__init__()
        self._socket, self._counters = socket, socket.counters
        self._suspect_ns = socket.suspect_ns
        self._loop = asyncio.get_running_loop()
        self._waiting = {}
        """id -> who waits, when it was sent; the oldest first, because all wait equally long."""
        self._overdue = {}

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def pending(self):
        return len(self._waiting)

    @property
    def open(self):
        """Bytes would leave now. (picows drops what is sent after a close frame without a word.)"""
        return self.is_open()

    @property
    def usable(self):
        """A request sent now goes out at once, and nothing speaks against this line."""
        return self.is_usable(cl_monotonic_ns())

    cdef bint is_open(self):
        return not (self._closed or self._full or self.close_text is not None or self.transport is None)

    cdef bint is_usable(self, int64_t now_ns) except -1:
        cdef int64_t sent_ns
        if self.withheld or not self.is_open():
            return False
        if not self._waiting:
            return True
        sent_ns = next(iter(self._waiting.values()))[1]
        return self.receive_time_ns >= sent_ns or now_ns - sent_ns < self._suspect_ns

    # --- requests ---------------------------------------------------------------------------------------------------
    def send(self, uint64_t identity, bytes message not None, waiter not None):
        """Hand a request to the socket; it waits for its reply from here on. False: nothing left."""
        return self.hand(identity, message, waiter, cl_monotonic_ns())

    cdef bint hand(self, uint64_t identity, bytes message, object waiter, int64_t now_ns) except -1:
        if not self.is_open():
            return False
        self._waiting[identity] = (waiter, now_ns)
        self.transport.send(_TEXT, message)
        self._counters.sent += 1
        if self.timer is None:
            self.timer = self._loop.call_later(self._socket.timeout_ns / 1e9, self._look)
        return True

    async def ask(self, uint64_t identity, bytes message not None):
        """Send and wait for the reply. Raises NotSent or OutcomeUnknown."""
        answer = _Answer(self._loop.create_future())
        if not self.send(identity, message, answer):
            raise NotSent(f"{self._socket.name}: not connected")
        return await answer.future

    async def drained(self):
        """Returns when nothing hangs here: at the latest one timeout after the last request."""
        if self._waiting:
            if self._empty is None:
                self._empty = self._loop.create_future()
            await asyncio.shield(self._empty)

    def give_up(self, str reason):
        """Close at once; what hangs here is told unknown when the transport is gone, in the loop's next turn."""
        self._closed = True
        self._socket.lose(self, reason)

    def abort(self):
        if self.transport is not None:
            self.transport.disconnect(graceful=False)

    # --- frames -----------------------------------------------------------------------------------------------------
    def on_message(self, bytes payload, int64_t receive_time_ns):
        try:
            identity, reply = self._socket.read(payload)
        except UnreadableReply as failure:
            self._counters.malformed += 1
            self._socket.log.error("%s: %s; frame begins %r", self._socket.name, failure, payload[:200])
            self.give_up("a frame could not be read: it may have answered anything")
            return
        if identity is None:
            self._socket.on_unasked(reply, receive_time_ns)
            return
        waiting = self._waiting.pop(identity, None)
        if waiting is not None:
            self._counters.replies += 1
            waiting[0].replied(reply, receive_time_ns)
            if self._empty is not None:
                self._tell_empty()
            return
        overdue = self._overdue.pop(identity, None)
        if overdue is not None:
            self._counters.late += 1
            overdue.replied_late(reply, receive_time_ns)
        else:
            self._counters.strangers += 1
            self._socket.log.warning("%s: a reply to id %d, which nobody waits for", self._socket.name, identity)

    # --- picows -----------------------------------------------------------------------------------------------------
    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._closed = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        waiting, self._waiting = self._waiting, {}
        self._overdue.clear()
        self._counters.lost += len(waiting)
        for waiter, _ in waiting.values():
            waiter.lost(OutcomeUnknown(f"{self._socket.name}: the connection was lost before the reply"))
        self._tell_empty()

    cpdef pause_writing(self):
        self._full = True

    cpdef resume_writing(self):
        self._full = False

    # --- time -------------------------------------------------------------------------------------------------------
    def _look(self):
        """The oldest request is due."""
        self.timer = None
        cdef int64_t now = cl_monotonic_ns(), timeout_ns = self._socket.timeout_ns, sent_ns
        cdef bint silent = False
        overdue = []
        for identity, (_, sent_ns) in self._waiting.items():
            if now - sent_ns < timeout_ns:
                break
            overdue.append(identity)
        for identity in overdue:
            waiter, sent_ns = self._waiting.pop(identity)
            silent |= self.receive_time_ns < sent_ns
            self._remember(identity, waiter)
            self._counters.timeouts += 1
            failure = OutcomeUnknown(f"{self._socket.name}: no reply within {timeout_ns / 1e9:g} s")
            failure.__cause__ = TimeoutError()
            waiter.lost(failure)
        if silent:
            self.give_up(f"open, and silent for {timeout_ns / 1e9:g} s while a request waited")
        if self._waiting and self.timer is None:
            sent_ns = next(iter(self._waiting.values()))[1]
            self.timer = self._loop.call_later(max(0.0, (sent_ns + timeout_ns - now) / 1e9), self._look)
        self._tell_empty()

    def _remember(self, identity, waiter):
        self._overdue[identity] = waiter
        if len(self._overdue) > REMEMBERED:
            del self._overdue[next(iter(self._overdue))]

    def _tell_empty(self):
        if self._empty is not None and not self._waiting:
            empty, self._empty = self._empty, None
            if not empty.done():
                empty.set_result(None)


cdef class _Answer:
    """A waiter that somebody awaits."""

    cdef readonly object future

    def __init__(self, future):
        self.future = future

    def replied(self, reply, receive_time_ns):
        if not self.future.done():
            self.future.set_result(reply)

    def lost(self, failure):
        if not self.future.done():
            self.future.set_exception(failure)

    def replied_late(self, reply, receive_time_ns):
        """Who asked has been told that there is none."""
