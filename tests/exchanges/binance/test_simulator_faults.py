"""Faults of the Binance simulator through its admin endpoint: each kind does what it says, and is counted."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from exchanges.simulator.faults import FRAME_KINDS, KINDS, REQUEST_KINDS
from tests.exchanges.binance.simulator_client import (
    Client,
    delta,
    receive,
    receive_many,
    settled,
    top,
    until,
    venue,
)

DEPTH = "/public/ws/btcusdt@depth"


async def arm(client: Client, kind: str, **more: Any) -> None:
    status, reply = await client.admin("POST", "/admin/fault", {"kind": kind} | more)
    assert status == 200, reply


async def struck(client: Client) -> dict[str, dict[str, int]]:
    return (await client.admin("GET", "/admin/truth"))[1]["faults"]  # type: ignore[no-any-return]


def deltas(count: int) -> list[Any]:
    return [delta([("61799.00", str(n + 1))], [], 1001 + 10 * n, 1010 + 10 * n, 1000 + 10 * n) for n in range(count)]


@pytest.mark.parametrize(
    ("fault", "status", "code", "executed"),
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
        ("rejected_signature", 400, -1022, False),
        ("rejected_timestamp", 400, -1021, False),
        ("halted_instrument", 400, -4140, False),
    ],
)
async def test_request_faults_answer_as_the_venue_would_and_execute_or_not(
    fault: str, status: int, code: int, executed: bool
) -> None:
    async with venue() as (server, client):
        await arm(client, fault, path="/fapi/v1/order", method="POST")
        found, reply = await client.order("BUY", "0.010", "61799.00")
        assert (found, reply["code"]) == (status, code)
        assert len(server.exchange.orders) == executed
        assert await struck(client) == {fault: {"injected": 1, "with_order_in_flight": 1}}
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 200


async def test_the_four_503_are_told_apart_by_their_words() -> None:
    async with venue() as (_, client):
        words = {}
        for kind in ("unknown_executed", "unavailable", "internal", "throttled"):
            await arm(client, f"http_503_{kind}")
            words[kind] = (await client.order("BUY", "0.010", "61799.00"))[1]["msg"]
        assert words["unknown_executed"] == "Unknown error, please check your request or try again later."
        assert words["unavailable"] == "Service Unavailable."
        assert words["internal"].startswith("Internal error; unable to process")
        assert words["throttled"].startswith("Request throttled by system-level protection.")


async def test_throttling_lets_reduce_only_orders_pass() -> None:
    async with venue() as (_, client):
        await client.order("BUY", "0.010")
        await arm(client, "http_503_throttled")
        assert (await client.order("SELL", "0.010", "61801.00", reduceOnly="true"))[0] == 200


async def test_a_query_is_not_struck_by_faults_of_the_execution() -> None:
    async with venue() as (_, client):
        await arm(client, "unknown_executed")
        assert (await client.call("GET", "/fapi/v1/openOrders"))[0] == 200
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 408


async def test_a_dropped_reply_cuts_the_connection_after_the_execution() -> None:
    async with venue() as (server, client):
        await arm(client, "drop_reply")
        with pytest.raises(aiohttp.ClientError):
            await client.order("BUY", "0.010", "61799.00")
        assert len(server.exchange.orders) == 1


async def test_a_delayed_reply_comes_after_the_events() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await arm(client, "delay_reply", delay_ms=500)
        started = time.monotonic()
        asking = asyncio.ensure_future(client.order("BUY", "0.010", "61799.00"))
        await receive(stream)
        assert not asking.done()
        assert (await asking)[0] == 200
        assert time.monotonic() - started >= 0.5


async def test_a_sequence_gap_loses_one_delta_and_duplicate_and_reorder_and_malformed_do_theirs() -> None:
    async with venue() as (server, client):
        stream = await client.connect(DEPTH)
        await settled(stream)

        async def play(count: int) -> list[int]:
            for event in deltas(count):
                server.deliver(event)
            await stream.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 77})
            got = []
            while True:
                text = (await stream.receive(5)).data
                if text.startswith('{"result"'):
                    return got
                got.append(server_ids(text))

        await arm(client, "sequence_gap", stream="btcusdt@depth", skip=1)
        assert await play(3) == [1010, 1030]
        await arm(client, "duplicate")
        assert await play(2) == [1010, 1010, 1020]
        await arm(client, "reorder")
        assert await play(3) == [1020, 1010, 1030]
        await arm(client, "malformed_frame")
        assert await play(2) == [0, 1020]
        report = await struck(client)
        assert {kind: entry["injected"] for kind, entry in report.items()} == {
            "sequence_gap": 1,
            "duplicate": 1,
            "reorder": 1,
            "malformed_frame": 1,
        }
        assert server.venue.book("BTCUSDT").update_id == 1020


def server_ids(text: str) -> int:
    """u of a delta, 0 where the frame is broken."""
    import orjson

    try:
        return int(orjson.loads(text)["u"])
    except orjson.JSONDecodeError:
        return 0


async def test_a_delay_holds_one_frame_and_all_behind_it() -> None:
    async with venue() as (server, client):
        stream = await client.connect(DEPTH)
        await settled(stream)
        await arm(client, "delay", delay_ms=100)
        started = time.monotonic()
        for event in deltas(3):
            server.deliver(event)
        assert [event["u"] for event in await receive_many(stream, 3)] == [1010, 1020, 1030]
        assert time.monotonic() - started >= 0.1


async def test_a_disconnect_strikes_at_once_only_where_it_is_aimed() -> None:
    async with venue() as (server, client):
        public, market = await client.connect(DEPTH), await client.connect("/market/ws/btcusdt@aggTrade")
        await settled(public)
        await settled(market)
        await arm(client, "disconnect", route="public")
        assert (await public.receive(5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await settled(market)
        await until(lambda: len(server.hub.connections) == 1)


async def test_a_user_stream_can_be_cut_while_an_order_is_in_flight() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        await arm(client, "disconnect", stream="user", with_order=True)
        await settled(stream)
        assert (await client.order("BUY", "0.010"))[0] == 200
        assert (await stream.receive(5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert await struck(client) == {"disconnect": {"injected": 1, "with_order_in_flight": 1}}
        assert len(server.exchange.orders) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_armed_over_the_admin_endpoint_and_strikes_with_an_order_in_flight(kind: str) -> None:
    """All of design 7.1 for this venue: of connections, frames, requests and keys."""
    async with venue() as (server, client):
        await client.user_stream()
        public = await client.connect(DEPTH)
        await settled(public)
        where = {"path": "/fapi/v1/order"} if kind in REQUEST_KINDS else {"with_order": True}
        if kind in FRAME_KINDS:
            where["stream"] = "@depth"
        await arm(client, kind, **where)
        asking = asyncio.ensure_future(client.order("BUY", "0.010", "61799.00"))
        if kind in FRAME_KINDS:  # the answer waits for the frame
            await until(lambda: len(server.exchange.orders) == 1)
            for event in deltas(2):
                server.deliver(event)
        await asyncio.wait({asking}, timeout=60)
        failure = asking.exception()
        assert isinstance(failure, aiohttp.ClientError) if kind == "drop_reply" else failure is None
        assert await struck(client) == {kind: {"injected": 1, "with_order_in_flight": 1}}


async def test_an_order_is_answered_though_no_frame_comes_that_a_fault_waits_for() -> None:
    async with venue() as (_, client):
        await arm(client, "delay", stream="@depth", with_order=True)
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 200
        assert await struck(client) == {}


async def test_reordered_frames_change_places_within_their_stream_and_none_is_lost() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/stream?streams=btcusdt@depth/btcusdt@bookTicker")
        await settled(stream)
        await arm(client, "reorder", stream="@depth", count=2)
        for number, event in enumerate(deltas(4)):
            server.deliver(event)
            server.deliver(top("61799.00", "1", "61801.00", "1", 2000 + number))
        got = [event["data"]["u"] for event in await receive_many(stream, 8)]
        assert [update_id for update_id in got if update_id < 2000] == [1020, 1010, 1040, 1030]
        assert [update_id for update_id in got if update_id >= 2000] == [2000, 2001, 2002, 2003]


async def test_a_frame_whose_stream_says_nothing_more_goes_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchanges.simulator.connection.REORDER_LIMIT_S", 0.02)
    async with venue() as (server, client):
        stream = await client.connect(DEPTH)
        await settled(stream)
        await arm(client, "reorder")
        server.deliver(deltas(1)[0])
        assert (await receive(stream))["u"] == 1010


async def test_a_key_that_is_to_expire_with_an_order_does_not_expire_before_it() -> None:
    async with venue() as (server, client):
        await client.user_stream()
        await arm(client, "listen_key_expired", with_order=True)
        assert len(server.venue.listen_keys) == 1
        await client.order("BUY", "0.010", "61799.00")
        assert not server.venue.listen_keys


async def test_silence_keeps_the_socket_open_and_says_nothing() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/ws/btcusdt@bookTicker")
        await settled(stream)
        await arm(client, "silence", delay_ms=500)
        server.deliver(top("61799.00", "1", "61801.00", "1", 2000))
        await settled(stream)
        await asyncio.sleep(0.51)
        server.deliver(top("61799.00", "1", "61801.00", "2", 2001))
        assert (await receive(stream))["u"] == 2001


async def test_listen_keys_can_be_expired() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await arm(client, "listen_key_expired")
        assert (await receive(stream))["e"] == "listenKeyExpired"
        assert (await client.call("PUT", "/fapi/v1/listenKey", signed=False, key=client.key.key))[1]["code"] == -1125
        assert await struck(client) == {"listen_key_expired": {"injected": 1, "with_order_in_flight": 0}}


async def test_a_request_that_waits_for_longer_than_its_window_is_refused_where_it_would_be_matched() -> None:
    async with venue() as (server, client):
        await arm(client, "delay_request", delay_ms=600)
        status, reply = await client.order("BUY", "0.010", "61799.00", recvWindow=500)
        assert (status, reply["code"]) == (400, -5028)
        assert not server.exchange.orders
        await arm(client, "delay_request", delay_ms=20)
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 200


async def test_a_429_may_say_when_to_come_again() -> None:
    async with venue() as (_, client):
        await arm(client, "http_429", delay_ms=1500)
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 429
        assert client.headers["Retry-After"] == "2"
        await arm(client, "http_429")
        await client.order("BUY", "0.010", "61799.00")
        assert "Retry-After" not in client.headers


async def test_armed_faults_can_be_cleared_and_wrong_ones_are_a_sentence() -> None:
    async with venue() as (_, client):
        await arm(client, "http_429", count=100)
        assert (await client.admin("DELETE", "/admin/fault"))[0] == 200
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 200
        status, reply = await client.admin("POST", "/admin/fault", {"kind": "flood"})
        assert status == 400 and "expected one of" in reply["error"]
