"""Requests and their replies over one kept-up WebSocket: who waits for what, and what a lost line means.

The rules
- A request belongs to the line (one connection) that carried it. Its reply is found by its id, in whatever order the
  venue answers. When the line is lost, everything that still hangs on it is OutcomeUnknown at once: nothing is sent
  again by itself, here or on another path.
- No reply within `timeout_s` is OutcomeUnknown too. The id is remembered: a reply that comes after all is handed over
  as a late one, because it is the venue's word. A line that said nothing at all for that long is given up.
- A line on which the oldest request hangs for `suspect_after_s` without any word since is not `usable`: what comes now
  should go another way if there is one. Likewise one whose peer reads so slowly that bytes would wait here.
- A frame that cannot be read may have been the answer to any of them: the line is given up.
- Renewal is make-before-break: the new line logs in, takes what comes from then on, and the old one is closed when
  nothing hangs on it any more.

Venue-free: `read` splits a frame into the id that it answers and what it says, and `log_in` makes a new line fit for
use (an authentication, or any question that proves that the line works).

Who calls it: the order paths of the venues. Everything runs in the caller's event loop; no callback may block.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import picows

from exchanges.adapter import ConnectionHealth
from exchanges.frame_listener import FrameListener
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.websocket import WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

POLICY: Final = WebSocketPolicy(first_message_timeout_s=None, ping_idle_s=3.0, ping_reply_s=3.0)
"""Nobody promises data here, so pings alone tell a dead line while nothing is asked."""
REMEMBERED: Final = 1024
"""Overdue requests of a line whose reply would still be known."""
_TEXT: Final = picows.WSMsgType.TEXT


class UnreadableReply(ValueError):
    """For `read`: the frame has another shape than documented; `str()` says what, in one sentence."""


class Waiter(Protocol[R_contra]):
    """Who sent a request. Exactly one of `replied` and `lost` is called, `replied_late` at most once after `lost`.

    None of them may raise: the others on the line must hear of their own."""

    def replied(self, reply: R_contra, receive_time_ns: int) -> None: ...
    def lost(self, failure: OutcomeUnknown) -> None: ...
    def replied_late(self, reply: R_contra, receive_time_ns: int) -> None: ...


@dataclass
class RequestCounters:
    """Totals since the start; the owner publishes them."""

    sent: int = 0
    replies: int = 0
    timeouts: int = 0
    lost: int = 0
    """Requests that hung on a line when it was lost."""
    late: int = 0
    strangers: int = 0
    """Replies with an id that nobody waits for."""
    malformed: int = 0


class RequestSocket(Generic[R]):
    """`run()` keeps it up until `close()`.

    read        frame -> (id that it answers, or None where it answers nothing; what it says); raises UnreadableReply
    log_in      asked for each new line before it is used; raises exchanges.websocket.ConnectionFailed
    on_unasked  frames without an id
    on_up, on_down  a line can be used; the last one is gone (the text says why)
    headers     asked for each new line: what goes with its handshake
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], Awaitable[str]],
        read: Callable[[bytes], tuple[int | None, R]],
        *,
        log_in: Callable[[Line[R]], Awaitable[None]],
        log: logging.Logger,
        on_unasked: Callable[[R, int], None] = lambda reply, receive_time_ns: None,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda why: None,
        on_retry: Callable[[str], None] = lambda text: None,
        headers: Callable[[], Mapping[str, str]] = dict,
        timeout_s: float = 5.0,
        suspect_after_s: float = 1.0,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        self.read, self.on_unasked, self.log = read, on_unasked, log
        self.timeout_ns, self.suspect_ns = int(timeout_s * 1e9), int(suspect_after_s * 1e9)
        self.counters = RequestCounters()
        self._identity = 0
        self._connection = WebSocketConnection(
            name,
            url,
            lambda: Line(self),
            policy=policy,
            log=log,
            on_connected=on_up,
            on_disconnected=on_down,
            on_retry=on_retry,
            log_in=log_in,  # type: ignore[arg-type]  # every listener of this connection is a Line
            retire=lambda line: line.drained(),  # type: ignore[attr-defined]
            headers=headers,
        )

    # --- seen from outside ------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        return self._connection.name

    @property
    def line(self) -> Line[R] | None:
        """The line that requests go out on now."""
        return self._connection.listener  # type: ignore[return-value]

    @property
    def usable(self) -> bool:
        """A request sent now goes out at once, on a line that nothing speaks against."""
        line = self.line
        return line is not None and line.usable

    @property
    def pending(self) -> int:
        """Requests that hang on the present line."""
        line = self.line
        return line.pending if line is not None else 0

    @property
    def connects(self) -> int:
        return self._connection.counters.connects

    def health(self) -> ConnectionHealth:
        return ConnectionHealth(
            self.name, self._connection.state, self._connection.receive_time_ns, self._connection.is_stuck()
        )

    # --- requests ---------------------------------------------------------------------------------------------------
    def next_identity(self) -> int:
        """An id for one request, never used before on any line of this socket."""
        self._identity += 1
        return self._identity

    def send(self, identity: int, message: bytes, waiter: Waiter[R]) -> bool:
        """Hand a request with that id to the socket. False: no byte left and `waiter` will not hear of it."""
        line = self.line
        return line is not None and line.send(identity, message, waiter)

    async def ask(self, identity: int, message: bytes) -> R:
        """Send and wait for the reply. Raises NotSent or OutcomeUnknown."""
        line = self.line
        if line is None:
            raise NotSent(f"{self.name}: not connected")
        return await line.ask(identity, message)

    def tell(self, message: bytes) -> bool:
        """Send what has no reply. False: not connected."""
        return self._connection.send(message)

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        await self._connection.run()

    def renew(self) -> None:
        """Make before break, soon: the venue said that it is about to close the line."""
        self._connection.renew()

    def drop(self, reason: str) -> None:
        """Give the present line up; what hangs on it is unknown. run() opens another."""
        if (line := self.line) is not None:
            line.give_up(reason)

    def close(self) -> None:
        self._connection.close()

    async def drained(self, limit_s: float) -> None:
        """Until nothing hangs on the present line, or that time has passed."""
        line = self.line
        if line is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(line.drained(), limit_s)

    def lose(self, line: Line[R], reason: str) -> None:
        """For lines: this one is to be closed, whether it is the present one or retires."""
        if line is self.line:
            self._connection.disconnect(reason)
        else:
            line.abort()


class Line(FrameListener, Generic[R]):
    """One connection and the requests that hang on it."""

    def __init__(self, socket: RequestSocket[R]) -> None:
        super().__init__()
        self._socket = socket
        self._counters = socket.counters
        self._loop = asyncio.get_running_loop()
        self._transport: picows.WSTransport | None = None
        self.session = False
        """For the owner: whether its log-in bound a session to this line."""
        self._closed = self._full = False
        self._waiting: dict[int, tuple[Waiter[R], int]] = {}
        """id -> who waits, when it was sent; the oldest first, because all wait equally long."""
        self._overdue: dict[int, Waiter[R]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def pending(self) -> int:
        return len(self._waiting)

    @property
    def open(self) -> bool:
        """Bytes would leave now. (picows drops what is sent after a close frame without a word.)"""
        return not (self._closed or self._full or self.close_text is not None or self._transport is None)

    @property
    def usable(self) -> bool:
        if not self.open:
            return False
        if not self._waiting:
            return True
        sent_ns = next(iter(self._waiting.values()))[1]
        return self.receive_time_ns >= sent_ns or monotonic_ns() - sent_ns < self._socket.suspect_ns

    # --- requests ---------------------------------------------------------------------------------------------------
    def send(self, identity: int, message: bytes, waiter: Waiter[R]) -> bool:
        """Hand a request to the socket; it waits for its reply from here on. False: nothing left."""
        transport = self._transport
        if transport is None or not self.open:
            return False
        self._waiting[identity] = (waiter, monotonic_ns())
        self._counters.sent += 1
        transport.send(_TEXT, message)
        if self._timer is None:
            self._timer = self._loop.call_later(self._socket.timeout_ns / 1e9, self._look)
        return True

    async def ask(self, identity: int, message: bytes) -> R:
        """Send and wait for the reply. Raises NotSent or OutcomeUnknown."""
        answer: _Answer[R] = _Answer(self._loop.create_future())
        if not self.send(identity, message, answer):
            raise NotSent(f"{self._socket.name}: not connected")
        return await answer.future

    async def drained(self) -> None:
        """Returns when nothing hangs here: at the latest one timeout after the last request."""
        if self._waiting:
            if self._empty is None:
                self._empty = self._loop.create_future()
            await asyncio.shield(self._empty)

    def give_up(self, reason: str) -> None:
        """Close at once; what hangs here is told unknown when the transport is gone, in the loop's next turn."""
        self._closed = True
        self._socket.lose(self, reason)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # --- frames -----------------------------------------------------------------------------------------------------
    def on_message(self, payload: bytes, receive_time_ns: int) -> None:
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
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        self._overdue.clear()
        self._counters.lost += len(waiting)
        for waiter, _ in waiting.values():
            waiter.lost(OutcomeUnknown(f"{self._socket.name}: the connection was lost before the reply"))
        self._tell_empty()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    # --- time -------------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        """The oldest request is due."""
        self._timer = None
        now, timeout_ns = monotonic_ns(), self._socket.timeout_ns
        overdue = []
        for identity, (_, sent_ns) in self._waiting.items():
            if now - sent_ns < timeout_ns:
                break
            overdue.append(identity)
        silent = False
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
        if self._waiting and self._timer is None:
            sent_ns = next(iter(self._waiting.values()))[1]
            self._timer = self._loop.call_later(max(0.0, (sent_ns + timeout_ns - now) / 1e9), self._look)
        self._tell_empty()

    def _remember(self, identity: int, waiter: Waiter[R]) -> None:
        self._overdue[identity] = waiter
        if len(self._overdue) > REMEMBERED:
            del self._overdue[next(iter(self._overdue))]

    def _tell_empty(self) -> None:
        if self._empty is not None and not self._waiting:
            empty, self._empty = self._empty, None
            if not empty.done():
                empty.set_result(None)


class _Answer(Generic[R]):
    """A waiter that somebody awaits."""

    def __init__(self, future: asyncio.Future[R]) -> None:
        self.future = future

    def replied(self, reply: R, receive_time_ns: int) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def lost(self, failure: OutcomeUnknown) -> None:
        if not self.future.done():
            self.future.set_exception(failure)

    def replied_late(self, reply: R, receive_time_ns: int) -> None:
        """Who asked has been told that there is none."""
