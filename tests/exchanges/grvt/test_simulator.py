"""The simulator as a server: options, public calls, the truth, and requests that break."""

from __future__ import annotations

import time

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.grvt.simulator import DEMO_KEY, ApiKey, SimulatorError, SimulatorOptions, serve
from exchanges.grvt.simulator_calls import BY_ROUTE
from tests.exchanges.grvt.simulator_client import BTC, SUB, logged_in, order, venue


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "loopback"),
        ({"symbols": ("BTCUSDT",)}, "BTC_USDT_Perp"),
        ({"wallet_balance": "much"}, "wallet_balance"),
        ({"speed": float("inf")}, "finite speed"),
        ({"api_keys": (ApiKey("k", "0x" + "11" * 32, "main"),)}, "sub account"),
    ],
)
async def test_a_wrong_option_is_one_sentence(options, words: str) -> None:
    with pytest.raises(SimulatorError, match=words):
        await serve(SimulatorOptions(**options))


async def test_public_calls_answer_without_a_login() -> None:
    async with logged_in(symbols=(BTC, "DOGE_USDT_Perp", "NEW_USDT_Perp")) as client:
        client.headers = {}
        listed = (await client.post("v1/all_instruments", is_active=True))[1]["result"]
        assert [entry["instrument_hash"] for entry in listed][:2] == ["0x030501", "0x031e01"]
        assert len({entry["instrument_hash"] for entry in listed}) == 3
        assert len((await client.post("v1/instruments", base=["BTC"]))[1]["result"]) == 1
        assert {entry["symbol"] for entry in (await client.post("v1/currency"))[1]["result"]} >= {"USDT", "BTC"}
        book = (await client.post("v1/book", instrument=BTC, depth=50))[1]["result"]
        assert len(book["bids"]) == len(book["asks"]) == 50
        assert (await client.post("v1/book", instrument=BTC, depth=7))[1]["code"] == 3031
        assert (await client.post("v1/ticker", instrument="X"))[1]["code"] == 3000
        assert (await client.post("v1/nothing"))[0] == 404
        async with client.session.get(f"{client.server.rest_url}/time") as reply:
            assert (await reply.json())["server_time"] > 1_700_000_000_000


async def test_a_body_that_is_no_json_object_is_refused() -> None:
    async with logged_in() as client:
        url = f"{client.server.rest_url}/full/v1/currency"
        for data, kind in ((b"", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")):
            async with client.session.post(url, data=data, headers={"Content-Type": kind}) as reply:
                assert (await reply.json())["code"] == 1003


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("order", "orders", "order_id", "client_order_id", "kind", "base", "limit", "cursor", "instrument", "depth",
          "countdown_time", "time_to_live_ms", "leverage", "order_ids", "client_order_i_ds", "start_time")  # fmt: skip


@pytest.fixture(scope="module")
def routes() -> list[str]:
    return sorted(BY_ROUTE)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_body_makes_a_handler_fail(data, routes) -> None:
    """Whatever is asked, the answer is a result or one of the venue's refusals."""
    from exchanges.grvt.simulator import SimulatorServer
    from exchanges.grvt.simulator_errors import VenueError
    from exchanges.grvt.simulator_venue import Call

    server = SimulatorServer(SimulatorOptions(api_keys=(DEMO_KEY,)))
    route = data.draw(st.sampled_from(routes))
    body = data.draw(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
    good = order()
    if data.draw(st.booleans()):
        body["order"] = {**good, **data.draw(st.dictionaries(st.sampled_from(sorted(good)), json_values, max_size=2))}
    server.venue.submit = lambda wire: None
    try:
        answer = BY_ROUTE[route].handler(server.venue, Call(body, SUB))
    except VenueError:
        return
    assert isinstance(answer, dict)


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [
        ("http_429", 429, 0),
        ("http_503_unavailable", 503, 0),
        ("unknown_not_executed", 500, 0),
        ("unknown_executed", 500, 1),
        ("rejected_signature", 403, 0),
        ("rejected_timestamp", 403, 0),
        ("halted_instrument", 400, 0),
    ],
)
async def test_a_fault_of_a_request_strikes_once_and_does_what_it_says(kind: str, status: int, made: int) -> None:
    async with logged_in(speed_bump_ms=0) as client:
        client.server.arm({"kind": kind, "path": "create_order"})
        price = f"{int(float((await client.post('v1/mini', instrument=BTC))[1]['result']['mark_price']) * 0.98)}.0"
        answer = await client.post("v1/create_order", order=order(price=price, post_only=True))
        assert answer[0] == status
        truth = client.server.truth()["accounts"][SUB]
        while made and not truth["orders"]:
            await client.open_orders()
            truth = client.server.truth()["accounts"][SUB]
        assert len(truth["orders"]) == made
        assert (await client.post("v1/create_order", order=order(price=price, post_only=True)))[0] == 200


async def test_a_dropped_reply_cuts_the_line_after_the_order_was_taken() -> None:
    async with logged_in() as client:
        client.server.arm({"kind": "drop_reply", "path": "create_order"})
        with pytest.raises(aiohttp.ClientError):
            await client.post("v1/create_order", order=order(price="60000.0"))
        client.server.arm({"kind": "drop_reply", "path": "create_order"})
        async with client.socket() as socket:
            with pytest.raises(AssertionError, match="CLOSE"):
                await socket.call("v1/create_order", order=order(price="60000.0"))


async def test_what_is_refused_is_counted_by_route_and_code() -> None:
    async with logged_in() as client:
        client.headers = {}
        assert (await client.post("v1/create_order", order=order()))[1]["code"] == 1000
        assert client.server.truth()["refusals"] == {"v1/create_order 1000": 1}


async def test_a_request_that_is_late_is_handled_when_its_time_has_passed() -> None:
    async with logged_in(speed_bump_ms=0) as client:
        client.server.arm({"kind": "delay_request", "path": "create_order", "delay_ms": 100})
        began = time.monotonic()
        assert (await client.create(price="60000.0"))["state"]["status"] == "PENDING"
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(("kind", "status"), [("http_429", 429), ("http_503_unavailable", 503)])
async def test_a_login_can_be_struck_and_sets_no_cookie_then(kind: str, status: int) -> None:
    async with logged_in() as client:
        client.server.arm({"kind": kind, "path": "login"})
        url, key = f"{client.server.rest_url}/auth/api_key/login", {"api_key": DEMO_KEY.key}
        async with client.session.post(url, json=key) as reply:
            assert (reply.status, dict(reply.cookies)) == (status, {})
        async with client.session.post(url, json=key) as reply:
            assert (reply.status, list(reply.cookies)) == (200, ["gravity"])


async def test_a_socket_that_answers_private_calls_is_counted_as_one_for_orders() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        assert client.server.truth()["order_sockets"] == 0
        await socket.call("v1/open_orders", sub_account_id=SUB)
        assert client.server.truth()["order_sockets"] == 1


async def test_the_truth_names_accounts_and_the_port_is_one() -> None:
    async with venue() as server:
        assert set(server.truth()["accounts"]) == {SUB, "7"}
        with pytest.raises(SimulatorError, match="busy"):
            await serve(SimulatorOptions(port=server.port))
