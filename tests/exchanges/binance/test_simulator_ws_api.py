"""The WebSocket API of the Binance simulator: the calls by method name, signatures, sessions, limits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest
from aiohttp import WSMsgType
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exchanges.binance.simulator import ApiKey
from tests.exchanges.binance.simulator_client import Client, receive, stop_clock, until, venue

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "61799.50",
}


def payload(parameters: dict[str, Any]) -> bytes:
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters)).encode()


def signed(client: Client, parameters: dict[str, Any]) -> dict[str, Any]:
    whole = {"apiKey": client.key.key, "timestamp": int(time.time() * 1000)} | parameters
    signature = hmac.new(client.key.secret.encode(), payload(whole), hashlib.sha256).hexdigest()
    return whole | {"signature": signature}


async def ask(socket: Any, method: str, parameters: dict[str, Any], identity: Any = "i-1") -> Any:
    await socket.send_json({"id": identity, "method": method, "params": parameters})
    reply = await receive(socket)
    assert reply["id"] == identity
    return reply


async def test_orders_are_placed_modified_queried_and_canceled_as_over_rest() -> None:
    async with venue() as (server, client):
        stop_clock(server)
        socket = await client.connect("/ws-fapi/v1")
        reply = await ask(socket, "order.place", signed(client, ORDER | {"newClientOrderId": "ws-1"}))
        assert (reply["status"], reply["result"]["status"]) == (200, "NEW")
        assert [(limit["rateLimitType"], limit["count"]) for limit in reply["rateLimits"]][:2] == [
            ("ORDERS", 1),
            ("ORDERS", 1),
        ]
        by_id = {"symbol": "BTCUSDT", "orderId": reply["result"]["orderId"]}
        changed = by_id | {"side": "BUY", "price": "61799.60", "quantity": "0.020"}
        assert (await ask(socket, "v1/order.modify", signed(client, changed)))["result"]["origQty"] == "0.020"
        status = await ask(socket, "order.status", signed(client, by_id))
        assert {"avgPrice", "cumQuote", "time"} <= set(status["result"])
        assert [limit["rateLimitType"] for limit in status["rateLimits"]] == ["REQUEST_WEIGHT"]
        canceled = await ask(socket, "order.cancel", signed(client, by_id))
        assert canceled["result"]["status"] == "CANCELED"
        again = await ask(socket, "order.cancel", signed(client, by_id), identity=None)
        assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
        assert len(server.exchange.orders) == 1


@pytest.mark.parametrize("wanted", [False, True])
async def test_the_wish_for_rate_limits_is_signed_like_every_parameter(wanted: bool) -> None:
    async with venue() as (_, client):
        socket = await client.connect("/ws-fapi/v1")
        # Signed as the JSON text that is sent, not as Python's name of it.
        whole = signed(client, ORDER | {"returnRateLimits": str(wanted).lower()}) | {"returnRateLimits": wanted}
        reply = await ask(socket, "order.place", whole)
        assert (reply["status"], "rateLimits" in reply) == (200, wanted)
        unsigned = signed(client, ORDER) | {"returnRateLimits": wanted}
        assert (await ask(socket, "order.place", unsigned))["error"]["code"] == -1022


async def test_public_account_and_stream_methods_answer() -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1?returnRateLimits=false")
        reply = await ask(socket, "time", {})
        assert "rateLimits" not in reply and reply["result"]["serverTime"] > 0
        depth = await ask(socket, "depth", {"symbol": "BTCUSDT", "limit": 5})
        assert depth["result"]["bids"][0] == ["61800.00", "2.000"]
        assert (await ask(socket, "ticker.book", {"symbol": "BTCUSDT"}))["result"]["askPrice"] == "61800.10"
        for method in ("account.balance", "v2/account.balance", "account.position", "account.status"):
            assert (await ask(socket, method, signed(client, {})))["status"] == 200
        key = await ask(socket, "userDataStream.start", {"apiKey": client.key.key})
        assert key["result"]["listenKey"] in server.venue.listen_keys
        assert (await ask(socket, "userDataStream.stop", {"apiKey": client.key.key}))["result"] == {}


@pytest.mark.parametrize(
    ("method", "change", "status", "code"),
    [
        ("order.place", {"signature": "0" * 64}, 400, -1022),
        ("order.place", {"apiKey": "unknown"}, 401, -2015),
        ("order.place", {"timestamp": 5}, 400, -1022),
        ("order.fly", {}, 400, -1102),
    ],
)
async def test_wrong_requests_get_their_error(method: str, change: dict[str, Any], status: int, code: int) -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        reply = await ask(socket, method, signed(client, dict(ORDER)) | change)
        assert (reply["status"], reply["error"]["code"]) == (status, code)
        assert not server.exchange.orders


async def test_nonsense_is_answered_and_the_socket_lives() -> None:
    async with venue() as (_, client):
        socket = await client.connect("/ws-fapi/v1")
        for text in ("nonsense", "[]", '{"id":1,"method":"time","params":[]}'):
            await socket.send_str(text)
            assert (await receive(socket))["error"]["code"] == -1013
        assert (await ask(socket, "time", {}))["status"] == 200


async def test_a_session_logs_on_with_ed25519_and_then_needs_no_signature() -> None:
    key = ApiKey("ed-key", account="demo", public_key_pem=PEM)
    async with venue(api_keys=(key,)) as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        stamp = {"timestamp": int(time.time() * 1000)}
        assert (await ask(socket, "order.place", ORDER | stamp))["error"]["code"] == -2014
        logon: dict[str, Any] = {"apiKey": "ed-key"} | stamp
        wrong = logon | {"signature": base64.b64encode(bytes(64)).decode()}
        assert (await ask(socket, "session.logon", wrong))["error"]["code"] == -1022
        logon["signature"] = base64.b64encode(PRIVATE.sign(payload(logon))).decode()
        reply = await ask(socket, "session.logon", logon)
        assert reply["result"]["apiKey"] == "ed-key" and reply["result"]["authorizedSince"] is not None
        assert (await ask(socket, "order.place", ORDER | stamp))["status"] == 200
        assert (await ask(socket, "order.place", ORDER))["error"]["code"] == -1102  # the timestamp stays mandatory
        assert (await ask(socket, "session.logout", {}))["result"]["apiKey"] is None
        assert (await ask(socket, "order.place", ORDER | stamp))["error"]["code"] == -2014
        assert len(server.exchange.orders) == 1


async def test_a_session_refuses_an_hmac_key() -> None:
    async with venue() as (_, client):
        socket = await client.connect("/ws-fapi/v1")
        assert (await ask(socket, "session.logon", signed(client, {})))["error"]["code"] == -4056


async def test_a_revoked_key_ends_the_session_with_an_error_that_answers_no_request() -> None:
    key = ApiKey("ed-key", account="demo", public_key_pem=PEM)
    async with venue(api_keys=(key,)) as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        logon: dict[str, Any] = {"apiKey": "ed-key", "timestamp": int(time.time() * 1000)}
        logon["signature"] = base64.b64encode(PRIVATE.sign(payload(logon))).decode()
        assert (await ask(socket, "session.logon", logon))["status"] == 200
        del server.venue.keys["ed-key"]
        await socket.send_json({"id": 7, "method": "session.status", "params": {}})
        reply = await receive(socket)
        assert (reply["id"], reply["status"], reply["error"]["code"]) == (None, 401, -2015)


# --- faults -----------------------------------------------------------------------------------------------------------
async def test_an_answer_that_is_delayed_holds_up_no_other() -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        await client.admin("POST", "/admin/fault", {"kind": "delay_reply", "method": "POST", "delay_ms": 100})
        order = {"id": 1, "method": "order.place", "params": signed(client, dict(ORDER))}
        for request in (order, {"id": 2, "method": "time", "params": {}}):
            await socket.send_json(request)
        assert [(await receive(socket))["id"] for _ in range(2)] == [2, 1]
        assert len(server.exchange.orders) == 1


async def test_a_dropped_answer_cuts_the_line_after_the_execution() -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        await client.admin("POST", "/admin/fault", {"kind": "drop_reply", "method": "POST"})
        await socket.send_json({"id": 1, "method": "order.place", "params": signed(client, dict(ORDER))})
        message = await socket.receive(timeout=60)
        assert message.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
        assert len(server.exchange.orders) == 1


@pytest.mark.parametrize(
    ("kind", "status", "code", "executed"),
    [
        ("http_429", 429, -1003, False),
        ("http_418", 418, -1003, False),
        ("http_503_unknown_executed", 503, -1000, True),
        ("http_503_unknown_not_executed", 503, -1000, False),
        ("http_503_unavailable", 503, -1016, False),
        ("http_503_internal", 503, -1001, False),
        ("http_503_throttled", 503, -1008, False),
        ("unknown_executed", 408, -1007, True),
        ("unknown_not_executed", 408, -1007, False),
        ("rejected_timestamp", 400, -1021, False),
    ],
)
async def test_request_faults_strike_here_as_they_do_over_rest(
    kind: str, status: int, code: int, executed: bool
) -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        await client.admin("POST", "/admin/fault", {"kind": kind, "path": "/fapi/v1/order", "method": "POST"})
        reply = await ask(socket, "order.place", signed(client, dict(ORDER)))
        assert (reply["status"], reply["error"]["code"], "rateLimits" in reply) == (status, code, True)
        assert len(server.exchange.orders) == executed


async def test_a_server_that_restarts_in_order_answers_what_it_has_begun_and_says_good_bye() -> None:
    async with venue() as (server, client):
        socket = await client.connect("/ws-fapi/v1")
        await client.admin("POST", "/admin/fault", {"kind": "delay_reply", "method": "POST", "delay_ms": 50})
        await socket.send_json({"id": 1, "method": "order.place", "params": signed(client, dict(ORDER))})
        await until(lambda: server.exchange.orders)
        await client.admin("POST", "/admin/connections", {"action": "close"})
        assert (await receive(socket))["id"] == 1
        assert (await socket.receive(timeout=60)).type is WSMsgType.CLOSE
        assert socket.close_code == 1001


async def test_faults_of_frames_strike_answers_by_their_stream_name() -> None:
    async with venue() as (_, client):
        socket = await client.connect("/ws-fapi/v1")
        await client.admin("POST", "/admin/fault", {"kind": "duplicate", "stream": "ws-fapi"})
        assert (await ask(socket, "time", {}, identity=1))["id"] == 1
        assert (await receive(socket))["id"] == 1
        await client.admin("POST", "/admin/fault", {"kind": "malformed_frame", "stream": "user"})
        assert (await ask(socket, "time", {}, identity=2))["id"] == 2


async def test_the_handshake_costs_weight() -> None:
    async with venue(weight_limit_1m=20) as (server, client):
        stop_clock(server)
        socket = await client.connect("/ws-fapi/v1")
        reply = await ask(socket, "time", {})
        assert reply["rateLimits"][0]["count"] == 6
