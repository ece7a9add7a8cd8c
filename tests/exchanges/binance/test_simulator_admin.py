"""What only a simulator can do: cut everybody off, and tell what was said."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.exchanges.binance.simulator_client import venue


@pytest.mark.parametrize("action", ["abort", "close"])
async def test_cutting_connections_ends_sockets_and_the_venue_serves_on(action: str) -> None:
    async with venue() as (_, client):
        socket = await client.user_stream()
        status, body = await client.admin("POST", "/admin/connections", {"action": action})
        assert status == 200 and body["cut"] >= 1
        async with asyncio.timeout(5):
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
