"""What every venue's order socket does in the same way: one RequestSocket, its state, frames read by the codec.

The rule: a venue's order socket (exchanges/<venue>/order_socket.py) says where to connect, what makes a line fit for
use and what frames without an id mean; who waits for what, and what a lost line means, stands in request_socket.py.

Who calls it: order_socket.py of every venue derives from it; oms.py uses what it offers.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from exchanges.adapter import ConnectionHealth
from exchanges.order_wire import MalformedMessage
from exchanges.request_failure import UnreadableReply
from exchanges.request_line import Line
from exchanges.request_socket import RequestCounters, RequestSocket, Waiter
from exchanges.websocket import WebSocketPolicy

R = TypeVar("R")


class VenueOrderSocket(ABC, Generic[R]):
    """Make it inside the running event loop. `run()` keeps it up until `close()`."""

    def __init__(
        self,
        name: str,
        *,
        log: logging.Logger,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        timeout_s: float,
        policy: WebSocketPolicy,
    ) -> None:
        """timeout_s: how long a request waits for its reply."""
        self._log = log
        self._socket: RequestSocket[R] = RequestSocket(
            name,
            self._url,
            self._read,
            log_in=self._log_in,
            log=log,
            on_unasked=self._on_unasked,
            on_up=on_up,
            on_down=on_down,
            headers=self._headers,
            timeout_s=timeout_s,
            policy=policy,
        )

    # --- what a venue supplies --------------------------------------------------------------------------------------
    @abstractmethod
    async def _url(self) -> str:
        """Where to connect. Raises ConnectionFailed."""

    def _headers(self) -> Mapping[str, str]:
        """What goes with the handshake."""
        return {}

    @abstractmethod
    async def _log_in(self, line: Line[R]) -> None:
        """Make a new line fit for use. Raises ConnectionFailed."""

    @abstractmethod
    def _decode(self, payload: bytes) -> tuple[int | None, R]:
        """The id that a frame answers, None where it answers nothing, and what it says. Raises MalformedMessage."""

    @abstractmethod
    def _on_unasked(self, reply: R, receive_time_ns: int) -> None:
        """A frame that answers no request."""

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def usable(self) -> bool:
        return self._socket.usable

    @property
    def counters(self) -> RequestCounters:
        return self._socket.counters

    @property
    def connects(self) -> int:
        return self._socket.connects

    def health(self) -> ConnectionHealth:
        return self._socket.health()

    @property
    def requests(self) -> RequestSocket[R]:
        """What the orders go over."""
        return self._socket

    # --- requests and life ------------------------------------------------------------------------------------------
    def send(self, identity: int, message: bytes, waiter: Waiter[R]) -> bool:
        """Hand a request to the socket. False: no byte left."""
        return self._socket.send(identity, message, waiter)

    async def run(self) -> None:
        """Keep it up until close(). Raises VenueRefused where the key is wrong."""
        await self._socket.run()

    async def drained(self, limit_s: float) -> None:
        await self._socket.drained(limit_s)

    def close(self) -> None:
        self._socket.close()

    def _read(self, payload: bytes) -> tuple[int | None, R]:
        try:
            return self._decode(payload)
        except MalformedMessage as failure:
            raise UnreadableReply(str(failure)) from None
