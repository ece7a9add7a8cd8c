"""Pings and the end of a connection's life, the same for streams and the WebSocket API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The venue: a ping every 3 minutes, 10 minutes for a pong, 24 hours of life."""

    ping_interval_s: float = 180.0
    pong_timeout_s: float = 600.0
    life_s: float = 24 * 3600.0

    @contextlib.asynccontextmanager
    async def guard(self, socket: web.WebSocketResponse) -> AsyncIterator[Pulse]:
        """Ping `socket` while the block runs, and close it when its pongs stay away or its life is over."""
        pulse = Pulse(time.monotonic())
        keeper = asyncio.get_running_loop().create_task(self._keep(socket, pulse), name="socket keeper")
        try:
            yield pulse
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self, socket: web.WebSocketResponse, pulse: Pulse) -> None:
        ends = time.monotonic() + self.life_s
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(max(min(self.ping_interval_s, ends - time.monotonic()), 0))
                now = time.monotonic()
                if now >= ends or now - pulse.last_pong > self.pong_timeout_s:
                    await socket.close(code=1001)
                    return
                await socket.ping(str(time.time_ns() // 1_000_000).encode())


@dataclass(slots=True)
class Pulse:
    """When the client last answered a ping, or sent a pong of its own."""

    last_pong: float

    def beat(self) -> None:
        self.last_pong = time.monotonic()
