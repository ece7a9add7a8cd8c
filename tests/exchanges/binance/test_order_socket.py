"""The WebSocket API as an order path, against a venue by hand that answers as it is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.auth import RequestSigner
from exchanges.binance.order_budget import OrderBudget
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import SocketReply
from exchanges.binance.order_socket import BinanceOrderSocket
from exchanges.binance.simulator_auth import socket_payload
from exchanges.http import HttpReply
from exchanges.order_instruments import OrderInstruments
from exchanges.request_failure import OutcomeUnknown, UnreadableReply
from exchanges.request_socket import POLICY
from exchanges.venue_clock import VenueClock
from tests.exchanges.binance.test_auth import ED25519_PEM, KEY, SECRET
from tests.exchanges.socket_server import Peer, Server, serve

FAST = replace(POLICY, connect_timeout_s=2.0, backoff_first_s=0.001, backoff_limit_s=0.002)
LIMITS = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1}]
NOW_NS = 1_790_000_000_000_000_000


class Waiting:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.heard: list[Any] = []

    def _note(self, what: Any) -> None:
        self.heard.append(what)
        self.place.changed.set()

    def replied(self, reply: SocketReply, receive_time_ns: int) -> None:
        self._note(reply)

    def lost(self, failure: OutcomeUnknown) -> None:
        self._note("lost")

    def replied_late(self, reply: SocketReply, receive_time_ns: int) -> None:
        self._note("late")


class Place:
    """An order socket and its venue. `answers`: method -> the reply without its id, or None to keep silent."""

    def __init__(self, server: Server, secret: str) -> None:
        self.server, self.changed = server, asyncio.Event()
        self.answers: dict[str, dict[str, Any] | None] = {
            "session.logon": {"status": 200, "result": {"apiKey": KEY}, "rateLimits": LIMITS},
            "time": {"status": 200, "result": {"serverTime": 1}},
            "order.place": {"status": 200, "result": {"orderId": 1}, "rateLimits": LIMITS},
        }
        server.on_message = self._answer
        self.clock_was_wrong = 0
        self.connection: Any = SimpleNamespace(
            signer=RequestSigner(SimpleNamespace(api_key=KEY, secret=secret)),
            codec=OrderCodec(OrderInstruments(), 1),
            clock=VenueClock(lambda: NOW_NS),
            budget=OrderBudget(),
            receive_window_ms=5_000,
            urls=SimpleNamespace(order_socket=lambda: server.url),
        )
        self.connection.clock.offset_ns = 0
        self.socket = BinanceOrderSocket(
            "orders",
            self.connection,
            log=logging.getLogger("test.order_socket"),
            on_up=self.changed.set,
            on_down=lambda why: self.changed.set(),
            on_clock_wrong=self._clock_wrong,
            policy=FAST,
        )
        self.task = asyncio.ensure_future(self.socket.run())

    def _clock_wrong(self) -> None:
        self.clock_was_wrong += 1

    def _answer(self, peer: Peer, payload: bytes) -> None:
        request = orjson.loads(payload)
        answer = self.answers[request["method"]]
        if answer is not None:
            peer.say(orjson.dumps({"id": request["id"]} | answer))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def up(self) -> None:
        await self.until(lambda: self.socket.usable)

    def place_order(self) -> Waiting:
        waiting = Waiting(self)
        identity, message = self.socket.message("order.place", {"symbol": "BTCUSDT", "quantity": "0.01"}, 700)
        assert self.socket.send(identity, message, waiting)
        return waiting

    def requests(self, peer: int = 0) -> list[dict[str, Any]]:
        return [orjson.loads(payload) for payload in self.server.peers[peer].received]

    async def close(self) -> None:
        self.socket.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Place]]:
    async with serve() as server:
        places: list[Place] = []

        def begin(secret: str = ED25519_PEM, **answers: Any) -> Place:
            places.append(Place(server, secret))
            places[-1].answers.update(answers)
            return places[-1]

        yield begin
        for place in places:
            await place.close()


Make = Callable[..., Place]
REFUSED = {"status": 400, "error": {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."}}


async def test_an_ed25519_key_logs_on_and_then_neither_key_nor_signature_travel(make: Make) -> None:
    place = make()
    await place.up()
    waiting = place.place_order()
    await place.until(lambda: waiting.heard)
    logon, order = place.requests()
    assert logon["method"] == "session.logon"
    assert set(logon["params"]) == {"apiKey", "recvWindow", "timestamp", "signature"}
    assert order["params"] == {
        "symbol": "BTCUSDT", "quantity": "0.01", "recvWindow": 700, "timestamp": NOW_NS // 10**6,
    }  # fmt: skip
    assert waiting.heard[0].rate_limits[0].count == 1
    assert bytes(waiting.heard[0].body) == b'{"orderId":1}'


async def test_an_hmac_key_proves_the_line_with_time_and_signs_each_request(make: Make) -> None:
    place = make(SECRET)
    await place.up()
    waiting = place.place_order()
    await place.until(lambda: waiting.heard)
    proof, order = place.requests()
    assert (proof["method"], proof["params"]) == ("time", {})
    signature = hmac.new(SECRET.encode(), socket_payload(order["params"]), hashlib.sha256).hexdigest()
    assert order["params"]["signature"] == signature
    assert order["params"]["apiKey"] == KEY


async def test_a_session_that_the_venue_refuses_costs_signatures_and_not_the_path(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    place = make(**{"session.logon": REFUSED})
    await place.up()
    waiting = place.place_order()
    await place.until(lambda: waiting.heard)
    assert [request["method"] for request in place.requests()] == ["session.logon", "time", "order.place"]
    assert "signature" in place.requests()[2]["params"]
    assert "session.logon was refused (-4056" in caplog.text


@pytest.mark.parametrize(
    ("answer", "clock_wrong"),
    [
        ({"status": 503, "error": {"code": -1001, "msg": "Internal error"}}, 0),
        ({"status": 400, "error": {"code": -1021, "msg": "Timestamp for this request is outside"}}, 1),
    ],
)
async def test_a_logon_that_fails_for_a_while_is_tried_again_on_a_new_line(
    make: Make, answer: dict[str, Any], clock_wrong: int
) -> None:
    place = make(**{"session.logon": answer})
    await place.server.until(lambda: len(place.server.peers) >= 1 and place.server.peers[0].received)
    place.answers["session.logon"] = {"status": 200, "result": {}}
    await place.up()
    assert len(place.server.peers) >= 2
    assert (place.clock_was_wrong >= 1) == bool(clock_wrong)


async def test_an_announced_shutdown_renews_the_line_before_it_breaks(make: Make) -> None:
    place = make()
    await place.up()
    place.server.peers[0].say(b'{"event":{"e":"serverShutdown","E":1}}')
    await place.server.until(lambda: len(place.server.peers) == 2 and place.server.peers[1].received)
    assert place.socket.usable
    assert place.requests(1)[0]["method"] == "session.logon"


async def test_an_error_without_an_id_costs_the_line_and_what_hangs_on_it_is_unknown(make: Make) -> None:
    place = make(**{"order.place": None})
    await place.up()
    waiting = place.place_order()
    place.server.peers[0].say(
        b'{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}'
    )
    await place.until(lambda: waiting.heard)
    assert waiting.heard == ["lost"]
    await place.server.until(lambda: len(place.server.peers) == 2)


async def test_a_lost_session_is_signed_over_until_the_next_line_has_one(make: Make) -> None:
    place = make()
    await place.up()
    place.socket.session_lost()
    waiting = place.place_order()
    await place.until(lambda: waiting.heard)
    assert "signature" in place.requests()[-1]["params"]
    await place.server.until(lambda: len(place.server.peers) == 2 and place.server.peers[1].received)
    place.socket.session_lost()  # said again by a second reply: one renewal is enough
    assert place.requests(1)[0]["method"] == "session.logon"


async def test_a_venue_that_bans_us_is_not_asked_for_connections(make: Make) -> None:
    place = make()
    await place.up()
    budget = place.connection.budget
    budget.note(HttpReply(418, {}, b""), -1003, "banned", place.connection.clock.now_ns())
    place.server.peers[0].transport.disconnect(graceful=False)
    await place.until(lambda: not place.socket.usable)
    with pytest.raises(Exception, match="rate limit"):
        await place.socket._url()
    assert len(place.server.peers) == 1


# --- frames -----------------------------------------------------------------------------------------------------------
def read(payload: bytes) -> tuple[int | None, SocketReply]:
    socket = BinanceOrderSocket.__new__(BinanceOrderSocket)
    socket._codec = OrderCodec(OrderInstruments(), 1)
    return socket._read(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"nonsense", b'{"id":1}', b'{"id":1,"status":200}', b'{"id":"1","status":200,"result":{}}',
        b'{"id":1.5,"status":200,"result":{}}', b'{"id":1,"status":"200","result":{}}', b'\xff\xfe{}',
    ],
)  # fmt: skip
def test_frames_of_another_shape_are_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableReply, match="WebSocket API"):
        read(payload)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_frame_breaks_the_reader(payload: bytes) -> None:
    try:
        identity, _ = read(payload)
        assert identity is None or isinstance(identity, int)
    except UnreadableReply:
        pass
