# cython: language_level=3
"""The receiving end of a WebSocket: stamps, puts split messages together, and hands over whole payloads.

The rule: the time is taken first, before anything looks at the frame. A payload is valid only inside the call (picows
reuses its buffer), so a compiled subclass overrides `on_payload` and decodes in place, and a Python subclass gets its
own bytes through `on_message`. An exception from either ends the connection, which the owner then opens anew.

Who calls it: exchanges/websocket.py makes one per connection; the venues' listeners inherit from it.
"""

from libc.stdint cimport int64_t

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from shm.atomics cimport cl_monotonic_ns

cdef Py_ssize_t _MAX_MESSAGE = 16 * 1024 * 1024  # split messages together; a whole frame is bounded by picows


cdef class FrameListener(WSListener):
    """Subclass and override `on_message` (Python) or `on_payload` (Cython)."""

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef int64_t now = cl_monotonic_ns()
        if frame.msg_type == WSMsgType.TEXT and frame.fin and self._parts is None:
            self.receive_time_ns = now
            self.frames += 1
            self.on_payload(frame.payload_ptr, frame.payload_size, now)
        else:
            self._on_rare(transport, frame, now)

    cdef int _on_rare(self, WSTransport transport, WSFrame frame, int64_t receive_time_ns) except -1:
        """Split and binary messages, and the control frames that picows does not answer by itself."""
        cdef bytes whole
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_text = f"{int(frame.get_close_code())} {frame.get_close_reason() or ''}".strip()
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return 0
        if frame.msg_type == WSMsgType.PING or frame.msg_type == WSMsgType.PONG:
            return 0
        self.receive_time_ns = receive_time_ns
        if self._parts is None:
            self._parts = bytearray()
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > _MAX_MESSAGE:
            raise ValueError(f"a message of more than {_MAX_MESSAGE} bytes in parts")
        if not frame.fin:
            return 0
        whole = bytes(self._parts)
        self._parts = None
        self.frames += 1
        self.on_payload(whole, len(whole), receive_time_ns)
        return 0

    cdef int on_payload(self, const char* data, Py_ssize_t size, int64_t receive_time_ns) except -1:
        self.on_message(data[:size], receive_time_ns)
        return 0

    def on_message(self, bytes payload, int64_t receive_time_ns):
        """One whole message. Called in the event loop, in order."""
        raise NotImplementedError

    def feed_frame(self, frame, int64_t receive_time_ns=0):
        """What a frame from the socket does, for replays, tests and bench. `frame` is any buffer; 0: received now."""
        cdef Py_buffer view
        if receive_time_ns == 0:
            receive_time_ns = cl_monotonic_ns()
        self.receive_time_ns = receive_time_ns
        self.frames += 1
        PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
        try:
            self.on_payload(<const char*> view.buf, view.len, receive_time_ns)
        finally:
            PyBuffer_Release(&view)
