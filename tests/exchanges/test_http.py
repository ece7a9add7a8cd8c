"""Which failures prove that nothing was sent, and that nothing is ever sent twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from exchanges.http import HttpHandler, NotSent, OutcomeUnknown

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]


class RawServer:
    """Answers each request with the next of `answers`; records what arrived, byte for byte."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answers: list[Answer] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
                self.requests.append(head + await reader.readexactly(length))
                if not await self.answers.pop(0)(self.requests[-1], writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def ok(_request: bytes, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nX-MBX-Used-Weight-1m: 7\r\nContent-Length: 2\r\n\r\n{}")
    return True


async def hang_up(_request: bytes, _writer: asyncio.StreamWriter) -> bool:
    return False


async def stop_half_way(_request: bytes, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    return False


async def say_nothing(_request: bytes, _writer: asyncio.StreamWriter) -> bool:
    await asyncio.Event().wait()
    return False


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    raw = RawServer()
    listening = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield raw
    listening.close()


@pytest.fixture
async def http(server: RawServer) -> AsyncIterator[HttpHandler]:
    handler = HttpHandler(server.url, timeout_s=5.0)
    yield handler
    await handler.close()


async def test_path_and_query_leave_exactly_as_they_were_signed(server: RawServer, http: HttpHandler) -> None:
    server.answers = [ok]
    query = "symbol=BTCUSDT&x=%41%2f%2F+a'b&signature=AbC%3D%3D"
    reply = await http.request("GET", "/fapi/v1/order", query, {"X-MBX-APIKEY": "key"})
    assert server.requests[0].startswith(b"GET /fapi/v1/order?" + query.encode() + b" HTTP/1.1\r\n")
    assert b"X-MBX-APIKEY: key" in server.requests[0]
    assert reply.status == 200
    assert reply.body == b"{}"
    assert reply.headers["x-mbx-used-weight-1m"] == "7"


async def test_a_warm_connection_is_used_again(server: RawServer, http: HttpHandler) -> None:
    server.answers = [ok, ok, ok]
    await http.warm("/ping")
    await http.request("POST", "/order", body=b"a=1")
    await http.request("GET", "/ping")
    assert server.connections == 1
    assert server.requests[1].endswith(b"\r\n\r\na=1")


async def test_an_error_status_is_a_reply_and_no_failure(server: RawServer, http: HttpHandler) -> None:
    async def refuse(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad")
        return True

    server.answers = [refuse]
    reply = await http.request("POST", "/order")
    assert (reply.status, reply.body) == (503, b"bad")


@pytest.mark.parametrize("answer", [hang_up, stop_half_way])
async def test_a_connection_lost_after_the_request_left_is_unknown(
    server: RawServer, http: HttpHandler, answer: Answer
) -> None:
    server.answers = [answer]
    with pytest.raises(OutcomeUnknown, match="POST http"):
        await http.request("POST", "/order")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_sent_twice_when_a_warm_connection_drops(
    server: RawServer, http: HttpHandler, method: str
) -> None:
    server.answers = [ok, hang_up, ok]
    await http.warm("/ping")
    with pytest.raises(OutcomeUnknown):
        await http.request(method, "/order")
    assert [request.split()[0] for request in server.requests] == [b"GET", method.encode()]


async def test_no_reply_in_time_is_unknown(server: RawServer, http: HttpHandler) -> None:
    server.answers = [ok, say_nothing]
    await http.warm("/ping")
    with pytest.raises(OutcomeUnknown, match="Timeout"):
        await http.request("POST", "/order", timeout_s=0.05)


async def test_a_refused_connection_is_surely_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    handler = HttpHandler(f"http://127.0.0.1:{port}")
    with pytest.raises(NotSent, match=f"POST http://127.0.0.1:{port}/order"):
        await handler.request("POST", "/order")
    await handler.close()


async def test_waiting_in_vain_for_a_free_connection_is_surely_not_sent(server: RawServer) -> None:
    handler = HttpHandler(server.url, timeout_s=5.0, connections=1)
    server.answers = [say_nothing]
    first = asyncio.ensure_future(handler.request("GET", "/slow"))
    while not server.requests:
        await asyncio.sleep(0)
    with pytest.raises(NotSent):
        await handler.request("POST", "/order", timeout_s=0.05)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await handler.close()
    assert len(server.requests) == 1


async def test_a_redirect_is_not_followed(server: RawServer, http: HttpHandler) -> None:
    async def redirect(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        return True

    server.answers = [redirect]
    assert (await http.request("POST", "/order")).status == 302
    assert len(server.requests) == 1


async def test_a_closed_handler_sends_nothing(server: RawServer) -> None:
    handler = HttpHandler(server.url)
    await handler.close()
    with pytest.raises(NotSent, match="closed here"):
        await handler.request("GET", "/ping")
    assert server.connections == 0
