"""Requests over a kept-up WebSocket against a server that answers late, twice, never, nonsense, or goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.request_failure import NotSent, OutcomeUnknown, UnreadableReply
from exchanges.request_line import Line
from exchanges.request_socket import POLICY, RequestSocket
from exchanges.websocket import ConnectionFailed
from shm.layout import ConnectionState
from tests.exchanges.socket_server import Peer, Server, serve

FAST = replace(POLICY, connect_timeout_s=2.0, backoff_first_s=0.001, backoff_limit_s=0.002)
Message = dict[str, Any]


def read(payload: bytes) -> tuple[int | None, Message]:
    try:
        message = orjson.loads(payload)
        return message.get("id"), message
    except (orjson.JSONDecodeError, AttributeError):
        raise UnreadableReply("not an object of JSON") from None


def words(identity: int, text: str) -> bytes:
    return orjson.dumps({"id": identity, "text": text})


class Asker:
    """Waits for one reply, and writes down what it hears."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[str] = []
        self.failure: OutcomeUnknown | None = None

    def _note(self, what: str) -> None:
        self.heard.append(what)
        self.client.changed.set()

    def replied(self, reply: Message, receive_time_ns: int) -> None:
        assert receive_time_ns > 0
        self._note(f"reply {reply['text']}")

    def lost(self, failure: OutcomeUnknown) -> None:
        self.failure = failure
        self._note("timeout" if failure.timed_out else "lost")

    def replied_late(self, reply: Message, receive_time_ns: int) -> None:
        self._note(f"late {reply['text']}")


class Client:
    """A socket under test, what it said, and a way to wait for that without sleeping."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.server, self.changed = server, asyncio.Event()
        self.said: list[str] = []
        self.unasked: list[Message] = []
        self.refuse_log_in = 0

        async def url() -> str:
            return server.url

        self.socket: RequestSocket[Message] = RequestSocket(
            "orders",
            url,
            read,
            log_in=self.log_in,
            log=logging.getLogger("test.request_socket"),
            on_unasked=lambda message, receive_time_ns: self._note_unasked(message),
            on_up=lambda: self._say("up"),
            on_down=lambda why: self._say(f"down {why}"),
            policy=options.pop("policy", FAST),
            **options,
        )
        self.task = asyncio.ensure_future(self.socket.run())

    async def log_in(self, line: Line[Message]) -> None:
        try:
            reply = await line.ask(identity := self.socket.next_identity(), words(identity, "log in"))
        except (OutcomeUnknown, NotSent) as failure:
            raise ConnectionFailed(str(failure)) from failure
        if self.refuse_log_in:
            self.refuse_log_in -= 1
            raise ConnectionFailed(f"log in refused: {reply['text']}")

    def usable(self) -> bool:
        return self.socket.usable

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.changed.set()

    def _note_unasked(self, message: Message) -> None:
        self.unasked.append(message)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def up(self) -> None:
        await self.until(lambda: self.socket.usable)

    def send(self, text: str) -> Asker:
        asker = Asker(self)
        identity = self.socket.next_identity()
        assert self.socket.send(identity, words(identity, text), asker)
        return asker

    async def close(self) -> None:
        self.socket.close()
        async with asyncio.timeout(60):
            await self.task
        assert self.socket.health().state is ConnectionState.DOWN


def answer_log_in(peer: Peer, payload: bytes) -> None:
    if orjson.loads(payload)["text"] == "log in":
        peer.say(payload)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Answers log-ins and nothing else by itself."""
    async with serve() as state:
        state.on_message = answer_log_in
        yield state


@pytest.fixture
async def start(server: Server) -> AsyncIterator[Callable[..., Client]]:
    clients: list[Client] = []

    def begin(**options: Any) -> Client:
        clients.append(Client(server, **options))
        return clients[-1]

    yield begin
    for client in clients:
        await client.close()


Start = Callable[..., Client]


def asked(peer: Peer) -> list[Message]:
    return [message for message in map(orjson.loads, peer.received) if message["text"] != "log in"]


async def test_each_reply_finds_its_request_in_whatever_order_they_come(server: Server, start: Start) -> None:
    client = start()
    await client.up()
    askers = {text: client.send(text) for text in ("a", "b", "c")}
    assert client.socket.pending == 3
    await server.until(lambda: len(asked(server.peers[0])) == 3)
    for message in reversed(asked(server.peers[0])):
        server.peers[0].say(orjson.dumps(message))
    await client.until(lambda: client.socket.pending == 0)
    assert {text: asker.heard for text, asker in askers.items()} == {text: [f"reply {text}"] for text in askers}
    assert client.socket.counters.replies == 3 + 1, "the log-in is a request like any other"


async def test_a_lost_line_makes_everything_on_it_unknown_at_once_and_sends_nothing_again(
    server: Server, start: Start
) -> None:
    client = start()
    await client.up()
    askers = [client.send("a"), client.send("b")]
    await server.until(lambda: len(asked(server.peers[0])) == 2)
    server.peers[0].transport.disconnect(graceful=False)
    await client.until(lambda: all(asker.heard for asker in askers))
    assert [asker.heard for asker in askers] == [["lost"], ["lost"]]
    await client.until(lambda: len(server.peers) == 2 and client.usable())
    assert asked(server.peers[1]) == []
    assert client.socket.counters.lost == 2
    assert client.socket.connects == 2


async def test_no_reply_in_time_is_unknown_and_the_reply_that_comes_after_all_is_a_late_one(
    server: Server, start: Start
) -> None:
    client = start(timeout_s=0.05)
    await client.up()
    slow = client.send("slow")
    await server.until(lambda: len(asked(server.peers[0])) == 1)
    server.peers[0].say(orjson.dumps({"id": None, "note": "the line lives"}))
    await client.until(lambda: slow.heard)
    assert slow.heard == ["timeout"]
    assert "no reply within 0.05 s" in str(slow.failure)
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[0]))
    await client.until(lambda: len(slow.heard) == 2)
    assert slow.heard == ["timeout", "late slow"]
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[0]))
    other = client.send("other")
    await server.until(lambda: len(asked(server.peers[0])) == 2)
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[1]))
    await client.until(lambda: other.heard)
    assert (slow.heard[2:], other.heard) == ([], ["reply other"]), "a second copy is nobody's"
    counters = client.socket.counters
    assert (counters.timeouts, counters.late, counters.strangers) == (1, 1, 1)
    assert len(server.peers) == 1


async def test_a_line_that_says_nothing_for_a_whole_timeout_is_given_up(server: Server, start: Start) -> None:
    client = start(timeout_s=0.05)
    await client.up()
    first = client.send("first")
    await client.until(lambda: len(client.said) >= 2)
    assert first.heard == ["timeout"]
    assert client.said[1] == "down open, and silent for 0.05 s while a request waited"
    await client.until(lambda: client.socket.connects == 2)


async def test_a_line_on_which_a_request_hangs_is_not_usable_until_it_speaks(server: Server, start: Start) -> None:
    client = start(suspect_after_s=0.0)
    await client.up()
    hanging = client.send("hanging")
    assert not client.usable()
    await server.until(lambda: len(asked(server.peers[0])) == 1)
    server.peers[0].say(orjson.dumps({"id": None}))
    await client.until(lambda: client.unasked)
    assert client.usable(), "whatever it says shows that it lives"
    assert hanging.heard == []


async def test_a_frame_that_cannot_be_read_costs_the_line(server: Server, start: Start) -> None:
    client = start()
    await client.up()
    asker = client.send("a")
    server.peers[0].say(b"\xff nonsense")
    await client.until(lambda: asker.heard)
    assert asker.heard == ["lost"]
    assert client.socket.counters.malformed == 1
    await client.until(lambda: client.socket.connects == 2)


async def test_nothing_is_sent_without_a_line_or_on_one_that_is_closing(server: Server, start: Start) -> None:
    client = start()
    asker = Asker(client)
    assert not client.usable()
    assert not client.socket.send(1, b"{}", asker)
    with pytest.raises(NotSent, match="not connected"):
        await client.socket.ask(2, b"{}")
    await client.up()
    client.socket.drop("for the test")
    assert not client.usable()
    assert not client.socket.send(3, b"{}", asker)
    assert asker.heard == []


async def test_a_line_counts_only_after_its_log_in_and_a_refused_one_is_tried_again(
    server: Server, start: Start
) -> None:
    held: list[tuple[Peer, bytes]] = []
    server.on_message = lambda peer, payload: held.append((peer, payload))
    client = start()
    client.refuse_log_in = 1
    await server.until(lambda: len(held) == 1)
    assert not client.usable()
    held[0][0].say(held[0][1])
    await server.until(lambda: len(held) == 2)
    assert client.said == []
    held[1][0].say(held[1][1])
    await client.up()
    assert client.said == ["up"]
    assert server.peers[0] is not held[1][0]


async def test_a_line_that_goes_away_during_its_log_in_is_a_failed_attempt(server: Server, start: Start) -> None:
    def hang_up_once(peer: Peer, payload: bytes) -> None:
        if len(server.peers) == 1:
            peer.transport.disconnect(graceful=False)
        else:
            answer_log_in(peer, payload)

    server.on_message = hang_up_once
    client = start()
    await client.up()
    assert len(server.peers) == 2
    assert client.said == ["up"]


async def test_renewal_lets_what_hangs_on_the_old_line_end_there(server: Server, start: Start) -> None:
    client = start(policy=replace(FAST, stale_after_s=None, first_message_timeout_s=None))
    await client.up()
    old = client.send("old")
    await server.until(lambda: len(asked(server.peers[0])) == 1)
    client.socket.renew()
    await server.until(lambda: len(server.peers) == 2)
    first = client.socket.line
    async with asyncio.timeout(60):
        while client.socket.line is first:
            await asyncio.sleep(0.001)
    new = client.send("new")
    await server.until(lambda: len(asked(server.peers[1])) == 1)
    server.peers[1].say(orjson.dumps(asked(server.peers[1])[0]))
    await client.until(lambda: new.heard)
    assert not server.peers[0].transport.is_disconnected
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[0]))
    await client.until(lambda: old.heard)
    assert (old.heard, new.heard) == (["reply old"], ["reply new"])
    async with asyncio.timeout(60):
        await server.peers[0].transport.wait_disconnected()
    assert client.usable()
    assert client.said == ["up"], "nobody saw it down"


async def test_a_renewal_whose_log_in_fails_leaves_the_old_line_in_place(server: Server, start: Start) -> None:
    client = start()
    await client.up()
    client.refuse_log_in = 1
    client.socket.renew()
    await server.until(lambda: len(server.peers) == 2)
    async with asyncio.timeout(60):
        await server.peers[1].transport.wait_disconnected()
    asker = client.send("still here")
    await server.until(lambda: len(asked(server.peers[0])) == 1)
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[0]))
    await client.until(lambda: asker.heard)
    assert asker.heard == ["reply still here"]


async def test_close_waits_for_nobody_but_drained_does(server: Server, start: Start) -> None:
    client = start()
    await client.up()
    asker = client.send("a")
    await client.socket.drained(0.001)
    assert asker.heard == []
    await server.until(lambda: len(asked(server.peers[0])) == 1)
    server.peers[0].say(orjson.dumps(asked(server.peers[0])[0]))
    await client.socket.drained(5.0)
    assert asker.heard == ["reply a"]


# --- any order of sends, replies, timeouts and losses -----------------------------------------------------------------
class Transport:
    """A WebSocket that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, _type: Any, message: bytes) -> None:
        self.sent.append(message)

    def disconnect(self, graceful: bool = True) -> None:
        pass


@given(steps=st.lists(st.tuples(st.sampled_from(["send", "reply", "again", "time", "lose"]), st.integers(0, 9))))
def test_every_request_hears_exactly_one_outcome(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            client = Client.__new__(Client)
            client.changed = asyncio.Event()

            async def nowhere() -> str:
                raise AssertionError

            async def no_log_in(line: Line[Message]) -> None:
                raise AssertionError

            socket: RequestSocket[Message] = RequestSocket(
                "orders", nowhere, read, log_in=no_log_in, log=logging.getLogger("test.request_socket")
            )
            line: Line[Message] = Line(socket)
            transport: Any = Transport()
            line.transport = transport
            askers: list[Asker] = []
            for step, which in steps:
                if step == "send":
                    asker = Asker(client)
                    if line.send(len(askers), words(len(askers), "x"), asker):
                        askers.append(asker)
                elif step in ("reply", "again") and which < len(askers):
                    line.on_message(words(which, "x"), 1)
                elif step == "time":
                    socket.timeout_ns = 0
                    line._look()
                    socket.timeout_ns = 5_000_000_000
                elif step == "lose":
                    line.on_ws_disconnected(None)  # type: ignore[arg-type]
            line.on_ws_disconnected(None)  # type: ignore[arg-type]
            assert line.pending == 0
            for asker in askers:
                assert asker.heard[0] in ("reply x", "timeout", "lost")
                assert asker.heard[1:] in ([], ["late x"])
                assert asker.heard[1:] == [] or asker.heard[0] == "timeout"

    asyncio.run(run())
