"""Sessions of the Deribit simulator: heartbeat, cancel-on-disconnect, logout, credits, limits of connections."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from exchanges.deribit.simulator import OpenPoints
from exchanges.deribit.simulator_limits import Cost, Credits, Matching
from tests.exchanges.deribit.simulator_client import LINEAR, PERPETUAL, order, venue


# --- heartbeat -------------------------------------------------------------------------------------------------------
async def test_a_quiet_client_is_asked_for_a_test_and_lost_when_it_gives_none() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.connect()
        assert await user.refused("public/set_heartbeat", interval=9) == -32602
        assert await user.ask("public/set_heartbeat", interval=10) == "ok"
        place.pass_time(10_000)
        assert await user.receive() == {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}
        await user.ask("public/test")
        place.pass_time(10_000)
        assert (await user.receive())["params"]["type"] == "heartbeat", "something was heard since the last beat"
        place.pass_time(10_000)
        assert (await user.receive())["params"]["type"] == "test_request"
        place.pass_time(9_999)
        assert place.server.venue.connections
        place.pass_time(1)
        await user.ended()
        await place.until(lambda: not place.server.venue.connections)


async def test_the_grace_of_a_heartbeat_is_an_option_and_it_can_be_switched_off() -> None:
    async with venue(points=OpenPoints(heartbeat_grace_s=1.0)) as place:
        place.stop_clock()
        user, quiet = await place.connect(), await place.connect()
        for socket in (user, quiet):
            await socket.ask("public/set_heartbeat", interval=10)
        assert await quiet.ask("public/disable_heartbeat") == "ok"
        place.pass_time(10_000)
        place.pass_time(1_000)
        await user.ended()
        assert await quiet.ask("public/test")


# --- cancel on disconnect --------------------------------------------------------------------------------------------
async def test_a_lost_connection_takes_its_own_orders_along_and_no_others() -> None:
    async with venue() as place:
        keeper = await place.user("user.orders.any.any.raw")
        user = await place.user()
        assert await user.ask("private/get_cancel_on_disconnect") == {"scope": "connection", "enabled": False}
        assert await user.ask("private/enable_cancel_on_disconnect") == "ok"
        assert (await user.ask("private/get_cancel_on_disconnect"))["enabled"]
        assert not (await keeper.ask("private/get_cancel_on_disconnect"))["enabled"]
        kept = (await keeper.buy(10, 60800))["order"]["order_id"]
        mine = (await user.buy(10, 60900))["order"]["order_id"]
        linear = (await user.buy(0.1, 60900, instrument_name=LINEAR))["order"]["order_id"]
        await keeper.ask("private/edit", order_id=mine, price=60910)
        user.ws._response.close()
        await place.until(lambda: len(place.server.venue.connections) == 1)
        states = {o["order_id"]: (o["open"], o["cancel_reason"]) for o in (await place.truth())["orders"]}
        gone = (False, "cancel_on_disconnect")
        assert states == {kept: (True, ""), mine: gone, linear: gone}, "an edit does not move it to the editor"


@pytest.mark.parametrize("way", ["logout", "switched off", "never switched on"])
async def test_orders_stay_after_a_logout_or_without_the_switch(way: str) -> None:
    async with venue() as place:
        user = await place.user()
        if way != "never switched on":
            await user.ask("private/enable_cancel_on_disconnect")
        await user.buy(10, 60900)
        if way == "switched off":
            assert await user.ask("private/disable_cancel_on_disconnect") == "ok"
        if way == "logout":
            await user.ws.send_json({"jsonrpc": "2.0", "id": 99, "method": "private/logout", "params": {}})
            await user.ended()
            assert user.notes == [], "no answer to a logout"
        else:
            user.ws._response.close()
        await place.until(lambda: not place.server.venue.connections)
        assert [o["open"] for o in (await place.truth())["orders"]] == [True]


async def test_the_switch_of_an_account_is_for_its_new_connections() -> None:
    async with venue() as place:
        old, setter = await place.user(), await place.user()
        assert await setter.ask("private/enable_cancel_on_disconnect", scope="account") == "ok"
        assert (await setter.ask("private/get_cancel_on_disconnect", scope="account"))["enabled"]
        assert not (await old.ask("private/get_cancel_on_disconnect"))["enabled"]
        new = await place.user()
        assert (await new.ask("private/get_cancel_on_disconnect"))["enabled"]
        assert await new.refused("private/enable_cancel_on_disconnect", scope="world") == -32602


async def test_ten_idle_minutes_end_a_connection_and_its_orders() -> None:
    async with venue(idle_limit_s=600) as place:
        place.stop_clock()
        user = await place.user()
        await user.ask("private/enable_cancel_on_disconnect")
        await user.buy(10, 60900)
        place.pass_time(600_000)
        assert place.server.venue.connections
        place.pass_time(1)
        await user.ended()
        await place.until(lambda: not place.server.venue.connections)
        assert [o["open"] for o in (await place.truth())["orders"]] == [False]


# --- the small ones --------------------------------------------------------------------------------------------------
async def test_small_public_calls_answer_in_their_shapes() -> None:
    async with venue() as place:
        user = await place.connect()
        assert (await user.ask("public/hello", client_name="corelane", client_version="1")).keys() == {"version"}
        assert await user.refused("public/hello") == -32602
        assert isinstance(await user.ask("public/get_time"), int)
        assert await user.ask("public/status") == {"locked": "false", "locked_indices": []}
        assert await user.refused("public/test", expected_result="exception") == 11094
        assert [row["currency"] for row in await user.ask("public/get_currencies")] == ["BTC", "ETH", "USDC"]
        assert await user.ask("public/get_contract_size", instrument_name=PERPETUAL) == {"contract_size": 10}
        assert await user.ask("public/get_index_price_names") == ["btc_usd", "btc_usdc"]
        rows = await user.ask("public/get_instruments", currency="BTC", kind="future")
        assert [row["instrument_name"] for row in rows] == [PERPETUAL]
        assert rows[0] == await user.ask("public/get_instrument", instrument_name=PERPETUAL)
        assert await user.refused("public/get_instrument", instrument_name="BTC") == 13020
        assert await user.refused("public/get_order_book", instrument_name=PERPETUAL, depth=3) == -32602


async def test_summaries_tell_money_and_limits_of_each_currency() -> None:
    async with venue() as place:
        user = await place.user()
        one = await user.ask("private/get_account_summary", currency="BTC", extended=True)
        assert (one["balance"], one["currency"], one["username"]) == (10, "BTC", "demo")
        assert one["limits"]["matching_engine"]["trading"]["total"] == {"rate": 30, "burst": 100}
        every = await user.ask("private/get_account_summaries")
        assert [row["balance"] for row in every["summaries"]] == [10, 100, 100_000]
        assert await user.refused("private/get_account_summary", currency="DOGE") == -32602


# --- limits ----------------------------------------------------------------------------------------------------------
def test_credits_refill_while_nobody_asks_and_stop_at_the_brim() -> None:
    credits = Credits(matching_rate=5, matching_burst=20)
    now = 1_000_000
    assert [credits.take("a", Matching.TRADING, now) for _ in range(21)] == [True] * 20 + [False]
    assert not credits.take("a", Matching.TRADING, now + 199)
    assert credits.take("a", Matching.TRADING, now + 200)
    assert credits.take("b", Matching.TRADING, now), "each account has its own"
    assert credits.take("a", Matching.CANCEL_ALL, now + 200), "mass cancels have a bucket of their own"
    assert sum(credits.take("a", Matching.TRADING, now + 10_000_000) for _ in range(50)) == 20
    for kind, burst in ((Cost.DEFAULT, 100), (Cost.INSTRUMENTS, 50), (Cost.SUBSCRIBE, 10)):
        assert sum(credits.take("a", kind, now) for _ in range(200)) == burst
    assert credits.take("a", Cost.DEFAULT, now + 50), "fifty milliseconds buy one request"
    assert not credits.take("a", Cost.DEFAULT, now + 50)


@pytest.mark.parametrize("closes", [True, False])
async def test_too_many_requests_are_10028_and_end_the_connection_where_that_is_chosen(closes: bool) -> None:
    way = "error_then_close" if closes else "error"
    async with venue(enforce_limits=True, matching_rate=5, matching_burst=3, on_rate_limit=way) as place:
        place.stop_clock()
        user = await place.user()
        for _ in range(3):
            await user.buy(10, 60900)
        assert await user.refused("private/buy", **order(10, 60900)) == 10028
        if closes:
            assert await user.ended() == 1008
            return
        place.pass_time(200)
        await user.buy(10, 60900)
        assert len((await place.truth())["orders"]) == 4


async def test_the_connection_beyond_the_limit_of_an_address_gets_429() -> None:
    async with venue(max_connections=2) as place:
        held = [await place.connect(), await place.connect()]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await place.connect()
        assert refused.value.status == 429
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await place.session.ws_connect(place.server.stream_url + "/ws/other")
        assert [await socket.ask("public/get_time") > 0 for socket in held] == [True, True]


async def test_nine_requests_at_once_fill_the_queue_and_a_mass_cancel_refuses_those_that_wait() -> None:
    async with venue(order_latency_ms=20.0, order_events="reply_first") as place:
        user = await place.user()
        for number in range(9):
            text = {"jsonrpc": "2.0", "id": f"q{number}", "method": "private/buy", "params": order(10, 60900)}
            await user.ws.send_json(text)
        assert (await user.receive())["error"]["code"] == 10047, "the ninth, before any other is done"
        cancel = {"jsonrpc": "2.0", "id": "all", "method": "private/cancel_all", "params": {}}
        await user.ws.send_json(cancel)
        answers: dict[str, Any] = {}
        async with asyncio.timeout(60):
            while len(answers) < 9:
                answer = await user.receive()
                answers[answer["id"]] = answer
        codes = [answers[f"q{number}"].get("error", {}).get("code") for number in range(8)]
        assert codes.count(13666) >= 6 and set(codes) <= {None, 13666}
        assert sum(1 for o in (await place.truth())["orders"]) == codes.count(None)


@pytest.mark.parametrize("events", ["reply_first", "event_first"])
async def test_what_comes_first_of_an_order_is_an_option(events: str) -> None:
    async with venue(order_events=events) as place:
        user = await place.user("user.changes.any.any.raw")
        for price in (60900, 60910):
            await user.buy(10, price)
            assert len(user.notes) == (events == "event_first")
            await user.note()


async def test_any_order_of_answer_and_event_comes_with_the_seed() -> None:
    seen = []
    for _ in range(2):
        async with venue(order_events="any", seed=3) as place:
            user = await place.user("user.changes.any.any.raw")
            first = []
            for _ in range(12):
                await user.buy(10, 60900)
                first.append(bool(user.notes))
                await user.note()
            seen.append(first)
    assert seen[0] == seen[1] and set(seen[0]) == {True, False}
