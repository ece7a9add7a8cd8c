"""A kept-up connection against a small server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import picows
import pytest

from exchanges import websocket
from exchanges.frame_listener import FrameListener
from exchanges.websocket import ConnectionFailed, SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.layout import ConnectionState
from tests.exchanges.socket_server import Server, serve

LOG = logging.getLogger("test.websocket")
FAST = WebSocketPolicy(
    connect_timeout_s=2.0, first_message_timeout_s=None, backoff_first_s=0.001, backoff_limit_s=0.002
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve() as state:
        yield state


class Heard(FrameListener):
    def __init__(self, client: Client) -> None:
        self.client = client

    def on_message(self, payload: bytes, receive_time_ns: int) -> None:
        if payload == b"raise":
            raise ValueError("cannot take this")
        self.client.messages.append((payload, receive_time_ns))
        self.client.changed.set()


class Client:
    """A connection under test, what it said, and a way to wait for that without sleeping."""

    def __init__(self, url: str, policy: WebSocketPolicy = FAST, **options: Any) -> None:
        self.messages: list[tuple[bytes, int]] = []
        self.said: list[str] = []
        self.changed = asyncio.Event()
        self.url = url

        async def where() -> str:
            return self.url

        def note(kind: str) -> Callable[..., None]:
            def said(text: object = "") -> None:
                self.said.append(f"{kind} {text}".strip())
                self.changed.set()

            return said

        self.connection = WebSocketConnection(
            "test stream",
            options.pop("where", where),
            lambda: Heard(self),
            policy=policy,
            log=LOG,
            on_connected=note("up"),
            on_disconnected=note("down"),
            on_retry=note("retry"),
            on_overlap=note("overlap"),
            **options,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def times(self, kind: str) -> int:
        return sum(line.startswith(kind) for line in self.said)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Client]]:
    running: list[tuple[Client, asyncio.Task[None]]] = []

    def begin(*arguments: Any, **options: Any) -> Client:
        client = Client(*arguments, **options)
        running.append((client, asyncio.ensure_future(client.connection.run())))
        return client

    yield begin
    for client, task in running:
        client.connection.close()
        async with asyncio.timeout(60):
            await task
        assert client.connection.state is ConnectionState.DOWN


Start = Callable[..., Client]


async def test_messages_arrive_whole_and_stamped(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    assert client.connection.state is ConnectionState.UP
    server.peers[0].say(b"one")
    server.peers[0].say(b"")
    await client.until(lambda: len(client.messages) == 2)
    assert [payload for payload, _ in client.messages] == [b"one", b""]
    assert client.messages[1][1] == client.connection.receive_time_ns > 0


async def test_split_messages_are_put_together(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    peer = server.peers[0]
    peer.say(b"a", fin=False)
    peer.transport.send(picows.WSMsgType.PING, b"between")
    peer.transport.send(picows.WSMsgType.CONTINUATION, b"b", fin=False)
    peer.transport.send(picows.WSMsgType.CONTINUATION, b"c")
    peer.say(b"next")
    await client.until(lambda: len(client.messages) == 2)
    assert [payload for payload, _ in client.messages] == [b"abc", b"next"]


async def test_a_lost_connection_comes_back(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    server.peers[0].transport.disconnect(graceful=False)
    await client.until(lambda: client.times("up") == 2)
    assert client.said[:3] == ["up", "down closed by the venue", client.said[2]]
    assert client.said[2].startswith("retry test stream was lost after 0.0 s (closed by the venue), next try in")
    assert client.connection.counters.connects == 2


async def test_the_venues_words_of_farewell_are_told(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    server.peers[0].transport.send_close(picows.WSCloseCode.POLICY_VIOLATION, b"too many messages")
    await client.until(lambda: client.times("down") == 1)
    assert client.said[1] == "down closed by the venue: 1008 too many messages"


async def test_an_exception_of_the_listener_ends_the_connection_and_is_told(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    server.peers[0].say(b"raise")
    await client.until(lambda: client.times("up") == 2)
    assert "ValueError: cannot take this" in client.said[1]


async def test_an_unreachable_venue_is_tried_again_and_again_with_growing_pauses(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    policy = WebSocketPolicy(backoff_first_s=0.001, backoff_limit_s=0.016)
    client = start(f"ws://127.0.0.1:{port}/", policy)
    await client.until(lambda: client.times("retry") == 7)
    assert client.times("up") == 0
    assert "cannot be reached" in client.said[0]
    assert client.connection.state is ConnectionState.CONNECTING
    assert client.connection.counters.failures == 7
    assert not client.connection.send(b"x")


async def test_an_address_that_cannot_be_had_is_a_failure_like_another(server: Server, start: Start) -> None:
    attempts = 0

    async def where() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionFailed("no listen key")
        return server.url

    client = start(server.url, where=where)
    await client.until(lambda: client.times("up") == 1)
    assert client.said[0].startswith("retry test stream cannot be reached (no listen key)")


@pytest.mark.parametrize(
    ("head", "least", "most"),
    [
        ("429 Too Many Requests\r\nRetry-After: 7", 7.0, 7.7),
        ("429 Too Many Requests", 10.0, 11.0),
        ("418 I'm a teapot", 120.0, 132.0),
        ("429 Too Many Requests\r\nRetry-After: soon", 10.0, 11.0),
        ("503 Service Unavailable\r\nRetry-After: 7", 0.0, 0.002),
    ],
)
async def test_a_venue_that_was_asked_too_much_is_left_alone_for_as_long_as_it_says(
    start: Start, head: str, least: float, most: float
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as venue:
        client = start(f"ws://127.0.0.1:{venue.sockets[0].getsockname()[1]}/")
        await client.until(lambda: client.times("retry") > 0)
        named = re.search(r"next try in ([\d.]+) s", client.said[0])
        assert named is not None
        assert least - 0.05 <= float(named[1]) <= most + 0.05
        client.connection.close()


async def test_a_silent_connection_is_closed_and_opened_anew(server: Server, start: Start) -> None:
    client = start(server.url, WebSocketPolicy(stale_after_s=0.05, backoff_first_s=0.001))
    await client.until(lambda: client.times("up") == 2)
    assert client.said[1].startswith("down no data for 0.")
    assert client.connection.counters.stale == 1


async def test_a_required_stream_without_first_message_is_named_and_the_connection_given_up(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(
        server.url,
        WebSocketPolicy(first_message_timeout_s=0.02, backoff_first_s=0.001),
        silent_streams=lambda: SilentStreams(["btcusdt@depth@100ms"], ["btcusdt@trade"]),
    )
    await client.until(lambda: client.times("up") == 2)
    assert client.said[1] == "down no first message on btcusdt@depth@100ms"
    assert "no message yet on btcusdt@trade" in caplog.text
    assert client.connection.counters.silent == 1


async def test_streams_that_spoke_are_left_alone(server: Server, start: Start) -> None:
    asked = asyncio.Event()

    def none_silent() -> SilentStreams:
        asked.set()
        return SilentStreams([], [])

    client = start(server.url, WebSocketPolicy(first_message_timeout_s=0.01), silent_streams=none_silent)
    async with asyncio.timeout(60):
        await asked.wait()
    assert client.connection.connected
    assert client.times("down") == 0


async def test_renewal_makes_the_new_connection_before_it_breaks_the_old(server: Server, start: Start) -> None:
    server.on_peer = lambda peer: peer.say(b"hello %d" % len(server.peers))
    client = start(server.url, WebSocketPolicy(renew_after_s=0.02, overlap_s=0.02, first_message_timeout_s=None))
    await client.until(lambda: client.connection.counters.renewals >= 1)
    assert client.said[:3] == ["up", "overlap True", "overlap False"]
    assert client.times("down") == 0
    assert [payload for payload, _ in client.messages[:2]] == [b"hello 1", b"hello 2"]
    assert client.connection.connected


async def test_a_renewal_that_delivers_nothing_leaves_the_old_connection_in_place(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server.on_peer = lambda peer: peer.say(b"hello") if len(server.peers) == 1 else None
    client = start(server.url, WebSocketPolicy(renew_after_s=0.02, overlap_s=0.02, first_message_timeout_s=None))
    await client.until(lambda: client.times("overlap False") >= 1)
    assert client.connection.counters.renewals == 0
    assert "the new connection delivered nothing" in caplog.text
    server.peers[0].say(b"still here")
    await client.until(lambda: len(client.messages) == 2)


async def test_what_is_sent_arrives(server: Server, start: Start) -> None:
    client = start(server.url)
    await client.until(lambda: client.times("up") == 1)
    assert client.connection.send(b'{"id":1}')
    async with asyncio.timeout(60):
        while not server.peers[0].received:
            server.changed.clear()
            await server.changed.wait()
    assert server.peers[0].received == [b'{"id":1}']


async def test_close_ends_run_at_once_even_in_a_pause() -> None:
    client = Client("ws://127.0.0.1:1/", WebSocketPolicy(backoff_first_s=60.0, backoff_limit_s=60.0))
    task = asyncio.ensure_future(client.connection.run())
    await client.until(lambda: client.times("retry") == 1)
    client.connection.close()
    async with asyncio.timeout(60):
        await task


async def test_attempts_that_do_not_go_on_are_seen_and_a_venue_that_is_away_is_not_that(
    server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, may_go_on = asyncio.Event(), asyncio.Event()

    async def where() -> str:
        hangs.set()
        await may_go_on.wait()
        return server.url

    away = start("ws://127.0.0.1:1")
    await away.until(lambda: away.times("retry") >= 3)
    assert not away.connection.is_stuck()
    monkeypatch.setattr(websocket, "STEP_SLACK_S", -1_000.0)  # each step should have been over long ago
    hanging = start(server.url, where=where)
    await hangs.wait()
    assert hanging.connection.is_stuck()
    may_go_on.set()
    await hanging.until(lambda: hanging.times("up") == 1)
    assert not hanging.connection.is_stuck(), "one that is up is on its way to nothing"
