"""`exchanges/simulator/server.py`: what every venue's server does alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exchanges.simulator import server as module
from exchanges.simulator.connection import ClientConnection
from exchanges.simulator.errors import PortBusy
from exchanges.simulator.faults import Fault, FaultRegistry
from exchanges.simulator.messages import MESSAGES_KEPT, MessageLog
from exchanges.simulator.server import LoopbackServer, json_response


class SmallServer(LoopbackServer):
    """A venue that says one word."""

    venue_name = "small"

    def __init__(self, port: int = 0) -> None:
        super().__init__("127.0.0.1", port, FaultRegistry(kinds=("delay",)), MessageLog())
        self.ticks = 0
        self.breaks = False
        self.marks = 0
        self.connections: list[ClientConnection] = []

    async def on_socket(self, request: web.Request, path: str) -> web.StreamResponse:
        return json_response({}, 404)

    async def on_rest(self, request: web.Request, path: str) -> web.StreamResponse:
        return json_response({"path": path}, 200)

    def clients(self) -> Iterable[ClientConnection]:
        return self.connections

    def on_timer(self) -> None:
        self.ticks += 1
        if self.breaks:
            raise RuntimeError("the timer broke")

    def on_armed(self, fault: Fault) -> None:
        self.messages.note("event", fault.kind)

    def on_frozen(self) -> None:
        self.marks += 1
        for connection in self.connections:
            connection.push(b"the last mark")

    def account_names(self) -> Iterable[str]:
        return ("a", "b")

    def account_truth(self, name: str) -> dict[str, Any]:
        return {"account": name}

    def counts(self) -> dict[str, Any]:
        return {"requests": {}}


async def ask(server: LoopbackServer, path: str, body: bytes | None = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session:
        method = "GET" if body is None else "POST"
        async with session.request(method, server.rest_url + path, data=body) as response:
            return response.status, await response.json()


async def test_a_timer_that_breaks_is_told_and_not_taken_for_a_quiet_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMER_S", 0.001)
    server = SmallServer()
    await server.start()
    try:
        assert (await ask(server, "/admin/health"))[1]["ok"] is True
        server.breaks, before = True, server.ticks
        while server.failure is None and server.ticks < before + 1000:
            assert (await ask(server, "/x"))[1] == {"path": "/x"}
        assert str(server.failure) == "the timer broke"
        assert (await ask(server, "/admin/health"))[1]["ok"] is False
    finally:
        await server.close()


async def test_a_taken_port_is_one_sentence() -> None:
    server = SmallServer()
    await server.start()
    try:
        with pytest.raises(PortBusy, match=f"127.0.0.1:{server.port} is busy"):
            await SmallServer(server.port).start()
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/admin/truth?account=c", None, 400, "expected one of a, b"),
        ("/admin/fault", b"[]", 400, "expected a JSON object"),
        ("/admin/fault", b"{", 400, "expected a JSON object"),
        ("/admin/fault", b'{"kind":"silence"}', 400, "expected one of delay"),
        ("/admin/flow", b'{"action":"stop"}', 400, "flow action"),
        ("/admin/connections", b"{}", 400, "connections action"),
        ("/admin/what", None, 404, "no such admin call"),
    ],
)
async def test_a_wrong_admin_call_is_one_sentence(path: str, body: bytes | None, status: int, words: str) -> None:
    server = SmallServer()
    await server.start()
    try:
        found, answer = await ask(server, path, body)
        assert found == status and words in answer["error"]
    finally:
        await server.close()


async def test_admin_calls_of_every_venue() -> None:
    server = SmallServer()
    await server.start()
    try:
        assert (await ask(server, "/admin/truth"))[1]["accounts"] == {"a": {"account": "a"}, "b": {"account": "b"}}
        assert (await ask(server, "/admin/fault", b'{"kind":"delay","delay_ms":5}'))[1] == {"armed": 1, "faults": {}}
        assert [m["text"] for m in (await ask(server, "/admin/messages?about=del"))[1]["messages"]] == ["delay"]
        for _ in range(2):
            assert (await ask(server, "/admin/flow", b'{"action":"freeze"}'))[1]["frozen"] is True
        assert server.marks == 1, "the last marks are sent once"
    finally:
        await server.close()


async def test_the_last_mark_gets_through_a_silence_for_a_time_but_not_through_one_for_good() -> None:
    server = SmallServer()
    server.connections = [ClientConnection(web.WebSocketResponse()) for _ in range(3)]
    _, for_a_time, for_good = server.connections
    for_a_time.silence(60_000)
    for_good.silence(0)
    server.freeze()
    assert [list(connection.queue) for connection in server.connections] == [[b"the last mark"], [b"the last mark"], []]


def test_the_oldest_messages_make_room() -> None:
    log = MessageLog()
    for number in range(MESSAGES_KEPT + 10):
        log.note("request", f"#{number}")
    kept = log.about("#")
    assert len(kept) == MESSAGES_KEPT and kept[0]["text"] == "#10"
