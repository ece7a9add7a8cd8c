"""One client socket of a simulator: what waits to be sent, and what faults do to it.

Rule: sending never waits. Frames go to a queue and a task writes it out, so that a market event costs the same however
many clients read slowly; one that falls too far behind is cut off, as venues do. A venue's connection adds what it
subscribes and how it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

from exchanges.simulator.faults import STREAM_KINDS, Fault, FaultRegistry

MAX_QUEUED_FRAMES: Final = 50_000
"""A client this far behind is cut off, as the venues do with slow readers."""
REORDER_LIMIT_S: Final = 1.0
"""A frame that is to change places with the next of its stream goes out alone where none comes for so long."""


_NO_GAP: Final = tuple(kind for kind in STREAM_KINDS if kind != "sequence_gap")


def frame_kinds(is_delta: bool) -> tuple[str, ...]:
    """Faults of a frame. Only a chain of deltas can have a gap; of other streams a lost frame is never known."""
    return STREAM_KINDS if is_delta else _NO_GAP


class ClientConnection:
    """The sending half. A number in the queue is a pause in seconds."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.queue: deque[bytes | float] = deque()
        self._wake = asyncio.Event()
        self._held: dict[str, tuple[bytes, asyncio.TimerHandle]] = {}
        self._silent_until = 0.0
        self._request: web.Request | None = None
        self._closing: set[asyncio.Task[bool]] = set()

    # --- sending ---------------------------------------------------------------------------------------------------
    def push(self, item: bytes | float, stream: str = "") -> None:
        """Queue a frame of a stream; dropped while silent. `stream` brings the frame of it that is held back along,
        behind this one."""
        if self._silent_until and time.monotonic() < self._silent_until:
            return
        self.queue.append(item)
        if stream in self._held:
            frame, timer = self._held.pop(stream)
            timer.cancel()
            self.queue.append(frame)
        self._wake.set()
        if len(self.queue) > MAX_QUEUED_FRAMES:
            self.fell_behind()

    def reply(self, frame: bytes) -> None:
        """Queue an answer, past silence: it is not a stream frame."""
        self.queue.append(frame)
        self._wake.set()

    def hold(self, frame: bytes, stream: str) -> None:
        """Send this one after the next of its stream."""
        timer = asyncio.get_running_loop().call_later(REORDER_LIMIT_S, self._let_go, stream)
        self._held[stream] = (frame, timer)

    def holds(self, stream: str) -> bool:
        return stream in self._held

    def _let_go(self, stream: str) -> None:
        frame, _ = self._held.pop(stream)
        self.push(frame)

    def silence(self, milliseconds: int) -> None:
        """Drop all frames for a time, for good when 0; the socket stays open and answers pings."""
        self._silent_until = time.monotonic() + milliseconds / 1000 if milliseconds else float("inf")

    def end_silence(self) -> None:
        """Speak again where the silence was for a time."""
        if self._silent_until != float("inf"):
            self._silent_until = 0.0

    def abort(self) -> None:
        """Cut the connection without a close frame, as a lost line does."""
        self.queue.clear()
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()

    def fell_behind(self) -> None:
        """The queue is too long."""
        self.abort()

    def go_away(self, code: int = 1001, reason: bytes = b"") -> None:
        """Close in order, as a server does that is taken down."""
        task = asyncio.get_running_loop().create_task(self.socket.close(code=code, message=reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def drained(self) -> None:
        """Until all that was queued is written."""
        while self.queue and not self.socket.closed:
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def sending(self, request: web.Request) -> AsyncIterator[None]:
        """Write the queue out while the block runs."""
        self._request = request
        sender = asyncio.get_running_loop().create_task(self._send(), name="stream sender")
        try:
            yield
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self) -> None:
        with contextlib.suppress(ClientConnectionResetError, ConnectionError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self.queue:
                    item = self.queue[0]
                    if isinstance(item, float):
                        await asyncio.sleep(item)
                    else:
                        await self.socket.send_frame(item, WSMsgType.TEXT)
                    if self.queue:
                        self.queue.popleft()

    def forget_held(self) -> None:
        """The connection ends: nothing held back will be sent."""
        for _, timer in self._held.values():
            timer.cancel()
        self._held.clear()

    # --- faults ----------------------------------------------------------------------------------------------------
    def push_faulty(
        self, faults: FaultRegistry, frame: bytes, stream: str, kinds: tuple[str, ...], route: str = ""
    ) -> None:
        """Queue `frame` of `stream`, or what an armed fault of these kinds makes of it."""
        if self.holds(stream):  # it changes places with this one, which is fault enough
            self.push(frame, stream)
            return
        fault = faults.strike(kinds, stream=stream, route=route)
        if fault is None:
            self.push(frame)
        elif fault.kind == "delay":
            self.push(fault.delay_ms / 1000)
            self.push(frame)
        elif fault.kind == "duplicate":
            self.push(frame)
            self.push(frame)
        elif fault.kind == "reorder":
            self.hold(frame, stream)
        elif fault.kind == "malformed_frame":
            self.push(frame[: len(frame) // 2])
        elif fault.kind != "sequence_gap":  # which loses it
            self.strike(fault)

    def strike(self, fault: Fault) -> None:
        """A disconnect or a silence, which need no frame."""
        if fault.kind == "disconnect":
            self.abort()
        else:
            self.silence(fault.delay_ms)
