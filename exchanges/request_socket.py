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

from exchanges.adapter import ConnectionHealth
from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.request_line import Line
from exchanges.websocket import WebSocketConnection, WebSocketPolicy

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

POLICY: Final = WebSocketPolicy(first_message_timeout_s=None, ping_idle_s=3.0, ping_reply_s=3.0)
"""Nobody promises data here, so pings alone tell a dead line while nothing is asked."""


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
