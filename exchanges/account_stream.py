"""What the private streams of an account do in the same way: one kept-up connection, its state, and its silence.

The rules
- The stream does not replay: `on_up` is called after each (re)connect and its owner must recover over REST, `on_down`
  when the connection is gone.
- A frame that cannot be read may have been the only word about a fill: the connection is renewed, the owner recovers.
- Quiet for hours is normal here; a dead link is found by pings. A link that is open and says nothing is found by what
  it must have said: its owner calls `expect_word` when the venue confirmed a change another way.

Who calls it: user_stream.py of the venues whose orders have another way than this stream derive from it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

from exchanges.adapter import ConnectionHealth
from exchanges.echo_watch import EchoWatch
from exchanges.frame_listener import FrameListener
from exchanges.websocket import WebSocketConnection, WebSocketPolicy

POLICY: Final = WebSocketPolicy(first_message_timeout_s=None, stale_after_s=None)
"""No first message and no data are promised on a private stream; pings alone tell a dead link."""
COMPLAINTS: Final = 100
"""Kinds of unreadable frames that are logged; a venue that changed its format would fill the disk."""


class _Listener(FrameListener):
    """Hands each text frame's bytes to the stream."""

    def __init__(self, on_frame: Callable[[bytes, int], None]) -> None:
        super().__init__()
        self._on_frame = on_frame

    def on_message(self, payload: bytes, receive_time_ns: int) -> None:
        self._on_frame(payload, receive_time_ns)


class AccountStream(ABC):
    """Make it inside the running event loop. `run()` keeps it up until `close()`."""

    def __init__(
        self,
        name: str,
        *,
        log: logging.Logger,
        on_connected: Callable[[], None],
        on_disconnected: Callable[[str], None],
        on_malformed: Callable[[], None],
        on_retry: Callable[[str], None],
        echo_s: float,
        policy: WebSocketPolicy,
    ) -> None:
        """echo_s: how long the stream may be silent about what another way has told."""
        self._log, self._on_malformed = log, on_malformed
        self._echo = EchoWatch(self._silent, echo_s)
        self._complained: set[str] = set()
        self._connection = WebSocketConnection(
            name,
            self._url,
            lambda: _Listener(self._on_frame),
            policy=policy,
            log=log,
            on_connected=on_connected,
            on_disconnected=on_disconnected,
            on_retry=on_retry,
            headers=self._headers,
        )

    # --- what a venue supplies --------------------------------------------------------------------------------------
    @abstractmethod
    async def _url(self) -> str:
        """Where to connect. Raises ConnectionFailed."""

    def _headers(self) -> Mapping[str, str]:
        """What goes with the handshake."""
        return {}

    @abstractmethod
    def _on_frame(self, payload: bytes, receive_time_ns: int) -> None:
        """A text frame; `_malformed` for one that cannot be read."""

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._connection.connected

    @property
    def connects(self) -> int:
        """Connections made since the start."""
        return self._connection.counters.connects

    def health(self) -> ConnectionHealth:
        return ConnectionHealth(
            self._connection.name, self._connection.state, self._connection.receive_time_ns, self._connection.is_stuck()
        )

    def expect_word(self, since_ns: int) -> None:
        """The account changed since then (CLOCK_MONOTONIC ns): this stream has spoken since, or does so soon, or is
        dead though open and is given up."""
        if self.up:
            self._echo.expect(since_ns)

    def _silent(self, why: str) -> None:
        if self.up:
            self.reconnect(why)

    # --- life -------------------------------------------------------------------------------------------------------
    def reconnect(self, reason: str) -> None:
        """Give the present connection up and open another."""
        self._connection.disconnect(reason)

    async def run(self) -> None:
        """Raises VenueRefused where the key is wrong."""
        await self._connection.run()

    def close(self) -> None:
        self._echo.forget()
        self._connection.close()

    def _malformed(self, failure: Exception, payload: bytes) -> None:
        """A frame that cannot be read: said once for each kind, and what it said is asked for anew."""
        self._on_malformed()
        text = str(failure)
        if text[:60] not in self._complained and len(self._complained) < COMPLAINTS:
            self._complained.add(text[:60])
            self._log.error("%s; frame begins %r", text, payload[:200])
        self.reconnect("a frame could not be read: what it said is asked for anew")
