"""The admin endpoint of the Binance simulator: truth, flow control, cutting everybody off, messages, mistakes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchanges.binance.simulator_client import (
    Client,
    receive,
    settled,
    top,
    trade,
    venue,
)


def no_floats(value: Any, path: str = "") -> list[str]:
    if isinstance(value, float) and not path.endswith(("_s",)):
        return [path]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in no_floats(item, f"{path}/{key}")]
    if isinstance(value, list):
        return [found for item in value for found in no_floats(item, path)]
    return []


async def test_the_truth_holds_orders_trades_position_and_money_as_text() -> None:
    async with venue() as (server, client):
        await client.order("BUY", "0.010", newClientOrderId="taker")
        await client.order("SELL", "0.010", "61800.10", timeInForce="GTX", newClientOrderId="maker")
        server.deliver(trade("61800.10", "2.004", buyer_is_maker=False))
        await client.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="maker")
        _, truth = await client.admin("GET", "/admin/truth")
        assert no_floats(truth) == []
        demo = truth["accounts"]["demo"]
        orders = {order["client_order_id"]: order for order in demo["orders"]}
        assert (orders["taker"]["state"], orders["taker"]["filled"]) == ("FILLED", "0.010")
        assert (orders["maker"]["state"], orders["maker"]["filled"], orders["maker"]["open"]) == (
            "CANCELED",
            "0.004",
            False,
        )
        assert [one["maker"] for one in demo["trades"]] == [False, True]
        assert [number for order in orders.values() for number in order["trade_ids"]] == [
            one["trade_id"] for one in demo["trades"]
        ]
        position = demo["positions"]["BTCUSDT"]
        assert (position["quantity"], position["cost"]) == ("0.006", "370.80060000")
        fees = Decimal("618.001") * Decimal("0.0005") + Decimal("247.2004") * Decimal("0.0002")
        assert Decimal(demo["fees"]) == fees == sum(Decimal(one["fee"]) for one in demo["trades"])
        assert Decimal(demo["wallet_balance"]) == 100000 - fees + Decimal(demo["realized_pnl"])
        assert truth["requests"]["POST /fapi/v1/order"] == 2
        assert truth["refusals"] == {}
        await client.order("BUY", "0.010", "61799.00", timestamp=1)
        assert (await client.admin("GET", "/admin/truth"))[1]["refusals"] == {"-1021": 1}


async def test_freezing_stops_the_market_and_sends_the_last_mark_that_the_truth_uses() -> None:
    async with venue() as (server, client):
        fast = await client.connect("/market/ws/btcusdt@markPrice@1s")
        slow = await client.connect("/market/ws/btcusdt@markPrice")
        await settled(fast)
        await settled(slow)
        await client.order("BUY", "0.010")
        server.deliver(top("61900.00", "1", "61900.50", "1", 2000))
        status, health = await client.admin("POST", "/admin/flow", {"action": "freeze"})
        assert (status, health["frozen"]) == (200, True)
        marks = [await receive(fast), await receive(slow)]
        _, truth = await client.admin("GET", "/admin/truth")
        position = truth["accounts"]["demo"]["positions"]["BTCUSDT"]
        assert {mark["p"] for mark in marks} == {position["mark"]} == {"61900.25000000"}
        assert Decimal(position["unrealized_pnl"]) == Decimal("0.010") * (Decimal("61900.25") - Decimal("61800.10"))
        await client.admin("POST", "/admin/flow", {"action": "freeze"})
        await settled(fast)  # a second freeze says nothing more


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/admin/flow", {"action": "rewind"}, 400, 'expected "pause", "resume" or "freeze"'),
        ("POST", "/admin/flow", None, 400, "flow action"),
        ("GET", "/admin/truth?account=nobody", None, 400, "expected one of demo"),
        ("GET", "/admin/nothing", None, 404, "no such admin call"),
        ("POST", "/admin/fault", {"kind": "delay", "count": -1}, 400, "fault field 'count'"),
    ],
)
async def test_a_wrong_admin_call_is_one_sentence(
    method: str, path: str, body: dict[str, Any] | None, status: int, words: str
) -> None:
    async with venue() as (_, client):
        found, reply = await client.admin(method, path, body)
        assert found == status
        assert words in reply["error"] and "\n" not in reply["error"]


async def test_an_admin_body_that_is_no_json_is_one_sentence() -> None:
    async with venue() as (server, client):
        for body in (b"{", b"[]", b"\xff"):
            async with client.session.post(server.rest_url + "/admin/fault", data=body) as response:
                assert response.status == 400
                assert "expected a JSON object" in (await response.json())["error"]


async def test_frames_sent_are_counted_per_stream() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/ws/btcusdt@bookTicker")
        await settled(stream)
        for number in range(3):
            server.deliver(top("61799.00", str(number + 1), "61801.00", "1", 2000 + number))
        _, truth = await client.admin("GET", "/admin/truth")
        assert truth["frames_sent"] == {"btcusdt@bookTicker": 3}


async def test_health_names_the_flow_and_counts_connections() -> None:
    async with venue() as (_, client):
        stream = await client.connect("/public/ws")
        await settled(stream)
        _, health = await client.admin("GET", "/admin/health")
        assert (health["ok"], health["venue"], health["connections"]) == (True, "binance", 1)
        assert isinstance(client, Client)


@pytest.mark.parametrize("action", ["abort", "close"])
async def test_cutting_connections_ends_sockets_and_the_venue_serves_on(action: str) -> None:
    async with venue() as (_, client):
        socket = await client.user_stream()
        status, body = await client.admin("POST", "/admin/connections", {"action": action})
        assert status == 200 and body["cut"] >= 1
        async with asyncio.timeout(60):
            while (await socket.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
        assert (await client.admin("GET", "/admin/health"))[0] == 200


async def test_an_unknown_way_to_cut_is_one_sentence() -> None:
    async with venue() as (_, client):
        status, body = await client.admin("POST", "/admin/connections", {"action": "burn"})
        assert (status, body["error"]) == (400, 'connections action: expected "abort" or "close", found \'burn\'')


async def test_messages_about_an_order_tell_its_requests_failures_and_events_in_order() -> None:
    async with venue() as (_, client):
        await client.user_stream()
        await client.order("BUY", "0.010", "61000.00", newClientOrderId="mine-1")
        await client.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine-2")
        _, body = await client.admin("GET", "/admin/messages?about=mine-")
        told = [(message["kind"], "mine-2" in message["text"]) for message in body["messages"]]
        assert told == [("request", False), ("event", False), ("request", True), ("answer", True)]
        assert "signature" not in body["messages"][0]["text"]


async def test_a_ban_lasts_as_long_as_its_fault_says() -> None:
    async with venue() as (server, client):
        await client.admin("POST", "/admin/fault", {"kind": "http_418", "delay_ms": 1500})
        status, body = await client.order("BUY", "0.010", "61000.00")
        until_ms = int(body["msg"].partition("banned until ")[2].partition(".")[0])
        assert status == 418
        assert 0 < until_ms - server.venue.clock_ms() <= 1500
