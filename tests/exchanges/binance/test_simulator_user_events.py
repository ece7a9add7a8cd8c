"""User data of the Binance simulator: what is sent for an order, in which order, in which shape."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.exchanges.binance.simulator_client import (
    Client,
    mark_tick,
    receive,
    receive_many,
    settled,
    top,
    trade,
    until,
    venue,
)

ORDER_EVENT_KEYS = "s c S o f q p ap sp x X i l z L n N T t b a m R wt ot ps cp rp pP si ss V pm gtd er"
LITE_KEYS = ["e", "E", "T", "s", "q", "p", "m", "c", "S", "L", "l", "t", "i"]


def words(event: dict[str, Any]) -> str:
    """ "ORDER_TRADE_UPDATE TRADE FILLED" and the like."""
    order = event.get("o", {})
    return " ".join(str(part) for part in (event["e"], order.get("x"), order.get("X")) if part)


async def test_an_order_that_fills_at_once_sends_the_four_frames_in_the_observed_order_with_one_time() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await client.order("BUY", "0.010", "61800.10", newClientOrderId="mm-17")
        events = await receive_many(stream, 4)
        assert [words(event) for event in events] == [
            "TRADE_LITE",
            "ORDER_TRADE_UPDATE NEW NEW",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE TRADE FILLED",
        ]
        assert len({(event["T"], event["E"]) for event in events}) == 1
        lite, new, account, filled = events
        assert list(lite) == LITE_KEYS
        assert " ".join(new["o"]) == " ".join(filled["o"]) == ORDER_EVENT_KEYS
        assert (lite["L"], lite["l"], lite["m"], lite["c"]) == ("61800.10", "0.010", False, "mm-17")
        assert lite["t"] == filled["o"]["t"] > 0
        assert (new["o"]["z"], new["o"]["b"], new["o"]["ap"], new["o"]["t"]) == ("0", "618.001", "0", 0)
        assert (filled["o"]["z"], filled["o"]["b"], filled["o"]["ap"]) == ("0.01", "0", "61800.10000")
        assert filled["o"]["n"] == f"{Decimal('618.001') * Decimal('0.0005'):.8f}"
        body = account["a"]
        assert (body["m"], body["B"][0]["bc"]) == ("ORDER", "0")
        assert body["B"][0]["wb"] == f"{Decimal(100000) - Decimal(filled['o']['n']):.8f}"
        assert list(body["P"][0]) == ["s", "pa", "ep", "cr", "up", "mt", "iw", "ps", "ma", "bep"]
        assert (body["P"][0]["pa"], body["P"][0]["ep"]) == ("0.01", "61800.1")


async def test_several_levels_send_one_trio_each_after_the_new_event() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await client.order("BUY", "4.000")
        assert [words(event) for event in await receive_many(stream, 7)] == [
            "TRADE_LITE",
            "ORDER_TRADE_UPDATE NEW NEW",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE TRADE PARTIALLY_FILLED",
            "TRADE_LITE",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE TRADE FILLED",
        ]


async def test_a_resting_order_is_announced_then_filled_as_maker_and_a_cancel_is_one_frame() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        await client.order("SELL", "0.010", "61800.10", timeInForce="GTX")
        server.deliver(trade("61800.20", "1", buyer_is_maker=False))
        _, other = await client.order("SELL", "0.010", "61801.00")
        await client.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=other["orderId"])
        events = await receive_many(stream, 6)
        assert [words(event) for event in events] == [
            "ORDER_TRADE_UPDATE NEW NEW",
            "TRADE_LITE",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE TRADE FILLED",
            "ORDER_TRADE_UPDATE NEW NEW",
            "ORDER_TRADE_UPDATE CANCELED CANCELED",
        ]
        assert events[3]["o"]["m"] is True
        assert events[3]["o"]["n"] == f"{Decimal('618.001') * Decimal('0.0002'):.8f}"


@pytest.mark.parametrize(
    ("order", "ends"),
    [
        ({"price": "61800.10", "quantity": "3", "timeInForce": "IOC"}, ("EXPIRED EXPIRED", "2")),
        ({"quantity": "20"}, ("EXPIRED EXPIRED", "9")),
    ],
)
async def test_the_remainder_of_an_immediate_order_expires_with_its_reason(
    order: dict[str, str], ends: tuple[str, str]
) -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await client.order("BUY", **order)
        last = None
        while last is None or last["e"] != "ORDER_TRADE_UPDATE" or last["o"]["x"] != "EXPIRED":
            last = await receive(stream)
        assert words(last) == f"ORDER_TRADE_UPDATE {ends[0]}"
        assert last["o"]["er"] == ends[1]


async def test_a_self_trade_expires_the_maker_in_match_and_an_amendment_tells_its_id() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        _, maker = await client.order("SELL", "0.010", "61800.05".replace("05", "10"), newClientOrderId="maker")
        await client.call(
            "PUT",
            "/fapi/v1/order",
            symbol="BTCUSDT",
            side="SELL",
            orderId=maker["orderId"],
            price="61800.20",
            quantity="0.020",
            modifyId=99,
        )
        events = await receive_many(stream, 2)
        assert words(events[1]) == "ORDER_TRADE_UPDATE AMENDMENT NEW"
        assert (events[1]["o"]["M"], events[1]["o"]["q"], events[1]["o"]["V"]) == ("99", "0.02", "NONE")
        await client.order("BUY", "5.010", "61800.20")
        expired = None
        while expired is None or expired["o"]["c"] != "maker":
            event = await receive(stream)
            expired = event if event["e"] == "ORDER_TRADE_UPDATE" else None
        assert (words(expired), expired["o"]["er"]) == ("ORDER_TRADE_UPDATE EXPIRED EXPIRED_IN_MATCH", "1")


async def test_a_refused_order_sends_nothing() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await client.order("BUY", "0.010", "61800.10", timeInForce="GTX")
        await client.order("BUY", "9", "61800.10", timeInForce="FOK")
        await client.order("BUY", "0.010", "61799.00")
        assert words(await receive(stream)) == "ORDER_TRADE_UPDATE NEW NEW"


async def test_leverage_changes_are_told() -> None:
    async with venue() as (_, client):
        stream = await client.user_stream()
        await client.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5)
        event = await receive(stream)
        assert (event["e"], event["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": "BTCUSDT", "l": 5})


async def test_an_account_whose_margin_is_nearly_used_up_is_warned_once_a_minute() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        await client.order("BUY", "1.000")
        await receive_many(stream, 4)
        server.deliver(mark_tick())
        await settled(stream)
        next(iter(server.exchange.accounts.values())).wallet = Decimal(250)
        server.deliver(mark_tick())
        event = await receive(stream)
        assert list(event) == ["e", "E", "cw", "p"]
        assert (event["e"], event["cw"]) == ("MARGIN_CALL", "250.00000000")
        assert list(event["p"][0]) == ["s", "ps", "pa", "mt", "iw", "mp", "up", "mm"]
        assert (event["p"][0]["s"], event["p"][0]["pa"]) == ("BTCUSDT", "1")
        server.deliver(mark_tick())
        await settled(stream)


async def test_a_listen_key_is_shared_extended_and_closed() -> None:
    async with venue() as (server, client):
        header = {"signed": False, "key": client.key.key}
        key = await client.listen_key()
        assert len(key) == 64
        assert await client.listen_key() == key
        assert await client.call("PUT", "/fapi/v1/listenKey", **header) == (200, {"listenKey": key})
        assert await client.call("DELETE", "/fapi/v1/listenKey", **header) == (200, {})
        for method in ("PUT", "DELETE"):
            _, reply = await client.call(method, "/fapi/v1/listenKey", **header)
            assert reply == {"code": -1125, "msg": "This listenKey does not exist."}
        assert server.venue.listen_keys == {}


async def test_an_expired_listen_key_says_so_once_and_is_silent_afterwards() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        (entry,) = server.venue.listen_keys.values()
        entry.expires_ms = 0
        event = await receive(stream)
        assert (event["e"], event["listenKey"]) == ("listenKeyExpired", entry.key)
        await client.order("BUY", "0.010", "61799.00")
        await stream.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 5})
        assert await receive(stream) == {"result": [entry.key], "id": 5}


@pytest.mark.parametrize(
    "path",
    [
        "/private/ws/{key}",
        "/private/ws?listenKey={key}",
        "/ws/{key}",
        "/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE",
    ],
)
async def test_every_form_of_the_private_address_delivers(path: str) -> None:
    async with venue() as (_, client):
        key = await client.listen_key()
        stream = await client.connect(path.format(key=key))
        await settled(stream)
        await client.order("BUY", "0.010")
        first = await receive(stream)
        assert first["e"] == ("ORDER_TRADE_UPDATE" if "events" in path else "TRADE_LITE")


async def test_the_combined_private_form_wraps_and_filters_per_key() -> None:
    async with venue() as (_, client):
        key = await client.listen_key()
        stream = await client.connect(f"/private/stream?listenKey={key}&events=ACCOUNT_UPDATE&listenKey=none&events=X")
        await settled(stream)
        await client.order("BUY", "0.010")
        event = await receive(stream)
        assert (event["stream"], event["data"]["e"]) == (key, "ACCOUNT_UPDATE")


async def test_a_bad_listen_key_opens_a_silent_socket() -> None:
    async with venue() as (_, client):
        stream = await client.connect("/private/ws/" + "x" * 64)
        await client.order("BUY", "0.010")
        await settled(stream)


@pytest.mark.parametrize("first", ["reply", "event"])
async def test_the_order_of_reply_and_events_can_be_chosen(first: str) -> None:
    async with venue(order_events=f"{first}_first") as (_, client):
        stream = await client.user_stream()
        for _ in range(20):
            seen = await order_of_arrival(client, stream)
            assert seen[0] == first
            assert seen.count("event") == 4


async def test_reply_first_holds_the_events_back_however_late_the_reply_is() -> None:
    async with venue(order_events="reply_first") as (server, client):
        stream = await client.user_stream()
        await client.admin("POST", "/admin/fault", {"kind": "delay_reply", "delay_ms": 50})
        asking = asyncio.ensure_future(client.order("BUY", "0.010"))
        await until(lambda: server.exchange.orders)
        await settled(stream)  # fails on an event: it would come before the answer to this
        assert not asking.done()
        assert (await asking)[0] == 200
        assert words(await receive(stream)) == "TRADE_LITE"


async def order_of_arrival(client: Client, stream: Any) -> list[str]:
    """Which came first to a client that reads both sockets all the time."""
    seen: list[str] = []

    async def replies() -> None:
        assert (await client.order("BUY", "0.010"))[0] == 200
        seen.append("reply")

    async def events() -> None:
        for _ in range(4):
            await receive(stream)
            seen.append("event")

    await asyncio.gather(replies(), events())
    return seen


async def test_the_socket_of_another_account_hears_nothing() -> None:
    from exchanges.binance.simulator import ApiKey

    keys = (ApiKey("key-a", "secret-a", "a"), ApiKey("key-b", "secret-b", "b"))
    async with venue(api_keys=keys) as (server, client):
        other = await Client(client.session, server, keys[1]).user_stream()
        own = await client.user_stream()
        await client.order("BUY", "0.010", "61799.00")
        assert words(await receive(own)) == "ORDER_TRADE_UPDATE NEW NEW"
        await settled(other)


def test_reports_of_the_core_never_reach_the_wire_with_exponents() -> None:
    from exchanges.binance.simulator_frames import plain, text

    assert [plain(Decimal(shown)) for shown in ("0E-8", "1E+3", "0.0100", "-0.0", "5")] == [
        "0",
        "1000",
        "0.01",
        "0",
        "5",
    ]
    assert text(Decimal("1E-10"), 8) == "0.00000000"
    assert orjson.dumps({"x": plain(Decimal("1E-8"))}) == b'{"x":"0.00000001"}'


async def test_a_market_that_moves_through_us_fills_with_the_same_trio() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        await client.order("SELL", "0.010", "61800.10", timeInForce="GTX")
        await receive(stream)
        server.deliver(top("61800.20", "1", "61800.30", "1", 2000))
        assert [words(event) for event in await receive_many(stream, 3)] == [
            "TRADE_LITE",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE TRADE FILLED",
        ]
