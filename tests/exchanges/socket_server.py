"""A WebSocket server in the test's own loop that does what it is told, and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import picows


class Peer(picows.WSListener):
    """The server's side of one connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.received: list[bytes] = []

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self.server.peers.append(self)
        self.server.on_peer(self)
        self.server.changed.set()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        else:
            payload = frame.get_payload_as_bytes()
            self.received.append(payload)
            self.server.on_message(self, payload)
        self.server.changed.set()

    def say(self, text: bytes, **options: Any) -> None:
        self.transport.send(picows.WSMsgType.TEXT, text, **options)


class Server:
    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.changed = asyncio.Event()
        self.on_peer: Callable[[Peer], None] = lambda peer: None
        self.on_message: Callable[[Peer, bytes], None] = lambda peer, payload: None
        self.url = ""

    async def until(self, condition: Callable[[], object]) -> None:
        """Until that holds; looked at whenever a peer connects or speaks."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def serve() -> AsyncIterator[Server]:
    state = Server()
    listening = await picows.ws_create_server(lambda request: Peer(state), "127.0.0.1", 0)
    state.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    yield state
    listening.close()
