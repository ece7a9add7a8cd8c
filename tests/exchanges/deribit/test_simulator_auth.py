"""Logins, tokens, scopes and the two transports of the Deribit simulator."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from exchanges.deribit.simulator import ApiKey, OpenPoints, SimulatorError
from exchanges.deribit.simulator_auth import MAX_SESSIONS
from tests.exchanges.deribit.simulator_client import PERPETUAL, Place, Socket, order, sign, venue


def signed(place: Place, nonce: str, data: str = "", **change: Any) -> dict[str, Any]:
    """Parameters of a client_signature login."""
    stamp = place.server.venue.clock_ms()
    fields = {"timestamp": stamp, "nonce": nonce, "data": data}
    signature = sign(place.key.secret, f"{stamp}\n{nonce}\n{data}")
    credentials = {"grant_type": "client_signature", "client_id": place.key.key, "signature": signature}
    return credentials | fields | change


@pytest.mark.parametrize(
    ("secret", "stamp", "nonce", "signature"),
    [
        (
            "AMANDASECRECT",
            1576074319000,
            "1iqt2wls",
            "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
        ),
        ("ABCD", 1554883365000, "fdbmmz79", "e20c9cd5639d41f8bbc88f4d699c4baf94a4f0ee320e9a116b72743c449eb994"),
    ],
)
async def test_the_documented_signatures_log_in(secret: str, stamp: int, nonce: str, signature: str) -> None:
    async with venue(api_keys=(ApiKey("AMANDA", secret),)) as place:
        place.server.venue.clock_ms = lambda: stamp + 1000
        user = await place.connect()
        fields = {"timestamp": stamp, "nonce": nonce, "data": "", "signature": signature}
        result = await user.ask("public/auth", grant_type="client_signature", client_id="AMANDA", **fields)
        assert "trade:read_write" in result["scope"].split() and result["token_type"] == "bearer"
        await user.ask("private/get_open_orders")


async def test_a_login_that_does_not_fit_the_key_is_13004() -> None:
    async with venue() as place:
        user = await place.connect()
        login = {"grant_type": "client_credentials", "client_id": place.key.key, "client_secret": "wrong"}
        assert await user.refused("public/auth", **login) == 13004
        assert await user.refused("public/auth", **(login | {"client_id": "nobody"})) == 13004
        assert await user.refused("public/auth", **signed(place, "n1", signature="00")) == 13004
        assert await user.refused("public/auth", **signed(place, "n1", data="x") | {"nonce": "other"}) == 13004
        old = place.server.venue.clock_ms() - 61_000
        late: dict[str, Any] = {"timestamp": old, "signature": sign(place.key.secret, f"{old}\nn2\n")}
        assert await user.refused("public/auth", **signed(place, "n2", **late)) == 13004
        await user.ask("public/auth", **signed(place, "n3"))
        assert await user.refused("public/auth", **signed(place, "n3")) == 13004, "a nonce is good once"
        assert await user.refused("public/auth", grant_type="password") == -32602
        assert await user.refused("public/auth", grant_type="refresh_token", refresh_token="no") == 13004


@pytest.mark.parametrize("code", [10000, 13009])
async def test_a_private_request_of_nobody_gets_the_code_that_was_chosen(code: Any) -> None:
    async with venue(points=OpenPoints(unauthenticated_code=code)) as place:
        user = await place.connect()
        assert await user.refused("private/get_open_orders") == code
        assert await user.refused("private/buy", **order(10, 60900)) == code
        assert (await place.truth())["orders"] == []


async def test_a_token_of_a_connection_dies_with_it_and_one_of_a_session_does_not() -> None:
    async with venue() as place:
        one, two = await place.connect(), await place.connect()
        bound = (await one.log_in())["access_token"]
        named = await one.log_in(scope="session:quoter trade:read_write")
        assert "session:quoter" in named["scope"].split() and named["sid"]
        assert await two.refused("private/get_open_orders", access_token=bound) == 13009
        assert await two.ask("private/get_open_orders", access_token=named["access_token"]) == []
        await one.ws.close()
        await place.until(lambda: len(place.server.venue.connections) == 1)
        assert await two.refused("private/get_open_orders", access_token=bound) == 13009
        assert await two.ask("private/get_open_orders", access_token=named["access_token"]) == []


async def test_a_token_ends_after_its_time_and_a_refreshed_one_goes_on() -> None:
    async with venue(token_life_s=900) as place:
        place.stop_clock()
        user = await place.connect()
        first = await user.log_in()
        assert first["expires_in"] == 900
        place.pass_time(800_000)
        second = await user.ask("public/auth", grant_type="refresh_token", refresh_token=first["refresh_token"])
        assert second["access_token"] != first["access_token"]
        assert await user.refused("private/get_open_orders", access_token=first["access_token"]) == 13009
        place.pass_time(899_000)
        assert await user.ask("private/get_open_orders") == []
        place.pass_time(2_000)
        assert await user.refused("private/get_open_orders") == 13009
        await user.log_in()
        assert await user.ask("private/get_open_orders") == []


@pytest.mark.parametrize("outlives", [False, True])
async def test_whether_private_channels_outlive_their_token_is_chosen(outlives: bool) -> None:
    async with venue(points=OpenPoints(private_channels_outlive_token=outlives)) as place:
        place.stop_clock()
        listens = await place.user("user.orders.any.any.raw")
        place.pass_time(901_000)
        trades = await place.user()
        await trades.buy(10, 60900)
        await listens.settled()
        assert len(listens.notes) == outlives


async def test_scopes_narrow_and_bound_what_a_login_may_do() -> None:
    keys = (ApiKey("reader", "secret", scopes={"trade": "read", "account": "read"}),)
    async with venue(api_keys=keys) as place:
        user = await place.connect()
        granted = (await user.log_in(scope="trade:read_write account:read_write connection"))["scope"].split()
        assert granted == ["account:read", "connection", "mainaccount", "trade:read"]
        assert await user.refused("private/buy", **order(10, 60900)) == 13021
        assert await user.refused("private/enable_cancel_on_disconnect") == 13021
        assert await user.ask("private/get_open_orders") == []
        await user.log_in(scope="account:read")
        assert await user.refused("private/get_open_orders") == 13021
        assert await user.refused("public/auth", grant_type="client_credentials", client_id="reader",
                                  client_secret="secret", scope="everything") == -32602  # fmt: skip


async def test_the_session_that_was_refreshed_longest_ago_makes_room_for_the_seventeenth() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.connect()
        tokens = []
        for number in range(MAX_SESSIONS + 1):
            place.pass_time(1000)
            tokens.append((await user.log_in(scope=f"session:s{number}"))["access_token"])
        assert await user.refused("private/get_open_orders", access_token=tokens[0]) == 13009
        for token in tokens[1:]:
            assert await user.ask("private/get_open_orders", access_token=token) == []


async def test_strict_tokens_ask_for_the_token_in_each_request_of_a_connection_scope() -> None:
    async with venue(points=OpenPoints(strict_tokens=True)) as place:
        user = await place.connect()
        token = (await user.log_in())["access_token"]
        assert await user.refused("private/get_open_orders") == 13009
        assert await user.ask("private/get_open_orders", access_token=token) == []
        await user.log_in(scope="session:x")
        assert await user.ask("private/get_open_orders") == []


# --- HTTP -------------------------------------------------------------------------------------------------------------
def header(place: Place, method: str, uri: str, body: str = "", nonce: str = "n", secret: str = "") -> dict[str, str]:
    stamp = place.server.venue.clock_ms()
    text = f"{stamp}\n{nonce}\n{method}\n{uri}\n{body}\n"
    signature = sign(secret or place.key.secret, text)
    return {"Authorization": f"deri-hmac-sha256 id={place.key.key},ts={stamp},nonce={nonce},sig={signature}"}


async def test_http_takes_signed_basic_and_bearer_requests() -> None:
    async with venue() as place:
        uri = "/api/v2/private/get_open_orders"
        status, answer = await place.get("private/get_open_orders", header(place, "GET", uri))
        assert (status, answer["result"]) == (200, []) and "id" not in answer
        pair = base64.b64encode(f"{place.key.key}:{place.key.secret}".encode()).decode()
        assert (await place.get("private/get_open_orders", {"Authorization": f"Basic {pair}"}))[0] == 200
        login = f"?grant_type=client_credentials&client_id={place.key.key}&client_secret={place.key.secret}"
        token = (await place.get("public/auth", query=login))[1]["result"]["access_token"]
        assert (await place.get("private/get_open_orders", {"Authorization": f"Bearer {token}"}))[0] == 200
        body = json.dumps({"jsonrpc": "2.0", "id": "a", "method": "private/buy", "params": order(10, 60900)})
        for path in ("/api/v2", "/api/v2/private/buy"):
            sent = header(place, "POST", path, body, nonce=path)
            status, answer = await place.post(body.encode(), path, sent)
            assert (status, answer["id"], answer["result"]["order"]["order_state"]) == (200, "a", "open")


@pytest.mark.parametrize(
    "authorization", [None, "Basic !!", "Basic QQ==", "Bearer no", "Digest x", "deri-hmac-sha256 id=x"]
)
async def test_http_refuses_whom_it_does_not_know(authorization: str | None) -> None:
    async with venue() as place:
        headers = {"Authorization": authorization} if authorization else None
        status, answer = await place.get("private/get_open_orders", headers)
        assert status == 400 and answer["error"]["code"] in (13004, 13009)


async def test_a_signed_request_is_good_once_and_for_its_own_bytes() -> None:
    async with venue() as place:
        uri = "/api/v2/private/get_positions?currency=BTC"
        sent = header(place, "GET", uri)
        assert (await place.get("private/get_positions", sent, "?currency=BTC"))[0] == 200
        assert (await place.get("private/get_positions", sent, "?currency=BTC"))[1]["error"]["code"] == 13004
        other = header(place, "GET", uri, nonce="m")
        assert (await place.get("private/get_positions", other, "?currency=ETH"))[1]["error"]["code"] == 13004


async def test_what_needs_a_socket_is_refused_over_http() -> None:
    async with venue() as place:
        uri = "/api/v2/private/enable_cancel_on_disconnect"
        status, answer = await place.get("private/enable_cancel_on_disconnect", header(place, "GET", uri))
        assert (status, answer["error"]["code"]) == (400, 10030)
        assert (await place.get("public/set_heartbeat", query="?interval=30"))[1]["error"]["code"] == 10030
        body = {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": ["x"]}}
        assert (await place.post(body))[1]["error"]["code"] == 10030


async def test_a_query_is_read_by_the_types_that_are_asked_for() -> None:
    async with venue() as place:
        query = f"?instrument_name={PERPETUAL}&depth=5"
        status, answer = await place.get("public/get_order_book", query=query)
        assert status == 200 and len(answer["result"]["bids"]) == 2
        status, answer = await place.get("public/get_order_book", query=query + "x")
        assert (status, answer["error"]["data"]["param"]) == (400, "depth")
        assert (await place.get("public/get_instruments", query="?currency=BTC&expired=false"))[0] == 200
        assert (await place.get("public/nonsense"))[1]["error"]["code"] == -32601
        assert (await place.get("public/test", query="?expected_result=exception"))[0] == 500


# --- envelopes --------------------------------------------------------------------------------------------------------
async def raw(user: Socket, text: str) -> Any:
    await user.ws.send_str(text)
    return await user.receive()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", -32700),
        ("[]", -32600),
        ("7", -32600),
        ('{"id":1}', -32600),
        ('{"id":1,"method":7}', -32600),
        ('{"method":"public/test"}', -32600),
        ('{"id":true,"method":"public/test"}', -32602),
        ('{"id":{},"method":"public/test"}', -32602),
        ('{"id":1,"method":"public/test","params":[]}', -32602),
        ('{"id":1,"method":"public/never"}', -32601),
        ('{"id":1,"method":"public/ticker"}', -32602),
        ('{"id":1,"method":"public/test","params":{"x":"' + "y" * 33_000 + '"}}', -32600),
    ],
)
async def test_a_broken_envelope_is_answered_and_the_connection_goes_on(text: str, code: int) -> None:
    async with venue() as place:
        user = await place.connect()
        answer = await raw(user, text)
        assert answer["error"]["code"] == code and "result" not in answer
        assert (await user.ask("public/test"))["version"]


async def test_an_id_comes_back_with_its_type_and_may_be_missing_where_that_is_chosen() -> None:
    async with venue(points=OpenPoints(id_required=False)) as place:
        user = await place.connect()
        assert (await raw(user, '{"id":"7","method":"/public/test"}'))["id"] == "7"
        assert (await raw(user, '{"id":7,"method":"public/test","params":{"unknown":1}}'))["id"] == 7
        assert "id" not in await raw(user, '{"method":"public/test"}')


def test_a_wrong_key_is_said_in_a_sentence() -> None:
    with pytest.raises(SimulatorError, match="expected a client id and a secret"):
        ApiKey("key", "")
    with pytest.raises(SimulatorError, match="found scope trade:everything"):
        ApiKey("key", "secret", scopes={"trade": "everything"})
