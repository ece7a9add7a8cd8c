"""Stream connections of the Binance simulator: names, routes, control messages, limits, payloads."""

from __future__ import annotations

import aiohttp
import orjson
import pytest

from exchanges.binance.simulator_streams import MAX_STREAMS, parse_stream
from tests.exchanges.binance.simulator_client import (
    MARKET_MS,
    delta,
    mark_tick,
    receive,
    receive_many,
    settled,
    top,
    trade,
    until,
    venue,
)

TOP_KEYS = ["e", "u", "s", "ps", "b", "B", "a", "A", "T", "E", "st"]


@pytest.mark.parametrize(
    ("name", "key", "route"),
    [
        ("btcusdt@depth", "btcusdt@depth", "public"),
        ("btcusdt@depth@0ms", "btcusdt@depth", "public"),
        ("btcusdt@depth@100ms", "btcusdt@depth", "public"),
        ("btcusdt@depth5@100ms", "btcusdt@depth5", "public"),
        ("btcusdt@bookTicker", "btcusdt@bookTicker", "public"),
        ("btcusdt@markPrice", "btcusdt@markPrice", "market"),
        ("btcusdt@markPrice@1s", "btcusdt@markPrice@1s", "market"),
        ("btcusdt@aggTrade", "btcusdt@aggTrade", "market"),
        ("btcusdt@kline_1m", "btcusdt@kline_1m", "market"),
        ("!markPrice@arr@1s", "!markPrice@arr@1s", "market"),
        ("!bookTicker", "!bookTicker", "public"),
    ],
)
def test_names_have_a_key_and_a_route(name: str, key: str, route: str) -> None:
    stream = parse_stream(name)
    assert stream is not None
    assert (stream.key, stream.route) == (key, route)


@pytest.mark.parametrize(
    "name", ["", "btcusdt", "@depth", "btcusdt@", "btcusdt@depth@7ms", "btcusdt@depth7", "btcusdt@bookticker", "!x y"]
)
def test_names_of_no_kind_are_known_as_such(name: str) -> None:
    assert parse_stream(name) is None


CONTROL = [
    ('{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}', {"result": None, "id": 1}),
    ('{"method":"LIST_SUBSCRIPTIONS","id":3}', {"result": ["btcusdt@depth@100ms"], "id": 3}),
    ('{"method":"UNSUBSCRIBE","params":["btcusdt@depth@100ms","never@depth"],"id":2}', {"result": None, "id": 2}),
    ('{"method":"LIST_SUBSCRIPTIONS","id":3}', {"result": [], "id": 3}),
    ('{"method":"GET_PROPERTY","params":["combined"],"id":5}', {"result": False, "id": 5}),
    ('{"method":"SET_PROPERTY","params":["combined",true],"id":4}', {"result": None, "id": 4}),
    ('{"method":"GET_PROPERTY","params":["combined"],"id":5}', {"result": True, "id": 5}),
    (
        '{"method":"SET_PROPERTY","params":["color",true],"id":6}',
        {"error": {"code": 0, "msg": "Unknown property"}, "id": 6},
    ),
    (
        '{"method":"SET_PROPERTY","params":["combined",1],"id":7}',
        {"error": {"code": 1, "msg": "Invalid value type: expected Boolean"}, "id": 7},
    ),
    (
        '{"method":"GET_PROPERTY","params":[5],"id":8}',
        {"error": {"code": 2, "msg": "Invalid request: property name must be a string"}, "id": 8},
    ),
    (
        '{"method":"LIST_SUBSCRIPTIONS","id":"text"}',
        {"error": {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}, "id": None},
    ),
    (
        '{"method":"GET_PROPERTY","params":["combined","x"],"id":9}',
        {"error": {"code": 2, "msg": "Invalid request: too many parameters"}, "id": 9},
    ),
    (
        '{"method":"SUBSCRIBE","params":["nonsense@stream"],"id":10}',
        {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 10},
    ),
]


async def test_control_messages_are_answered_as_documented() -> None:
    async with venue() as (_, client):
        for start in range(0, len(CONTROL), 9):  # nine a second per connection stay below the limit of ten
            stream = await client.connect("/public/ws")
            for message, expected in CONTROL[start : start + 9]:
                await stream.send_str(message)
                assert await receive(stream) == expected


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("not json", 3, "Invalid JSON: expected value at line 1 column"),
        ("[1]", 3, "Invalid JSON"),
        ('{"id":1}', 2, "Invalid request: missing field `method` at line 1 column 8"),
        ('{"method":"SHOUT","id":1}', 2, "Invalid request: unknown variant SHOUT, expected one of `SUBSCRIBE`,"),
        ('{"method":"SUBSCRIBE","params":"btcusdt@depth","id":1}', 2, "Invalid request"),
        ('{"method":"SUBSCRIBE","params":[7],"id":1}', 2, "Invalid request: invalid stream"),
        ('{"method":"\\ud800","id":1}', 3, "Invalid JSON"),
    ],
)
async def test_wrong_control_messages_are_answered_with_an_error_and_keep_the_socket(
    message: str, code: int, words: str
) -> None:
    async with venue() as (_, client):
        stream = await client.connect("/stream")
        await stream.send_str(message)
        error = (await receive(stream))["error"]
        assert error["code"] == code
        assert error["msg"].startswith(words)
        await settled(stream)


async def test_ws_sends_bare_payloads_and_stream_wraps_them_under_the_subscribed_name() -> None:
    async with venue() as (server, client):
        bare = await client.connect("/public/ws/btcusdt@bookTicker")
        combined = await client.connect("/public/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@depth")
        await settled(bare)
        await settled(combined)
        server.deliver(top("61799.00", "1", "61801.00", "2.5", 2000))
        server.deliver(delta([("61799.00", "1"), ("61800.00", "0")], [], 1500, 2100, 1000))
        payload = await receive(bare)
        assert list(payload) == TOP_KEYS
        assert (payload["b"], payload["A"], payload["u"]) == ("61799.00", "2.500", 2000)
        assert await receive(combined) == {"stream": "btcusdt@bookTicker", "data": payload}
        first, second = await receive_many(combined, 2)
        assert [first["stream"], second["stream"]] == ["btcusdt@depth@100ms", "btcusdt@depth"]
        assert first["data"] == second["data"]
        assert list(first["data"]) == ["e", "E", "T", "s", "ps", "U", "u", "pu", "b", "a", "st"]
        assert first["data"]["b"] == [["61799.00", "1.000"], ["61800.00", "0.000"]]
        assert (first["data"]["U"], first["data"]["u"], first["data"]["pu"], first["data"]["a"]) == (
            1500,
            2100,
            1000,
            [],
        )


async def test_a_recorded_frame_goes_out_byte_for_byte() -> None:
    recorded = b'{"e":"bookTicker", "u":2000,"odd":[ 1 ]}'
    async with venue() as (server, client):
        bare = await client.connect("/public/ws/btcusdt@bookTicker")
        combined = await client.connect("/public/stream?streams=btcusdt@bookTicker")
        await settled(bare)
        await settled(combined)
        event = top("61799.00", "1", "61801.00", "2.5", 2000)
        event.frame = recorded
        server.deliver(event)
        assert (await bare.receive(5)).data.encode() == recorded
        assert (await combined.receive(5)).data.encode() == b'{"stream":"btcusdt@bookTicker","data":' + recorded + b"}"


async def test_switching_the_property_changes_the_wrapping_of_what_follows() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/ws/btcusdt@bookTicker")
        await stream.send_json({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1})
        assert await receive(stream) == {"result": None, "id": 1}
        server.deliver(top("61799.00", "1", "61801.00", "2.5", 2000))
        assert (await receive(stream))["stream"] == "btcusdt@bookTicker"


@pytest.mark.parametrize(
    ("strict", "path", "kinds"),
    [
        (False, "/public", {"bookTicker", "depthUpdate", "trade"}),
        (False, "/market", {"trade", "markPriceUpdate"}),
        (False, "", {"bookTicker", "depthUpdate", "trade", "markPriceUpdate"}),
        (False, "/private", set()),
        (True, "/public", {"bookTicker", "depthUpdate"}),
        (True, "/market", {"trade", "markPriceUpdate"}),
        (True, "", {"bookTicker", "depthUpdate"}),
    ],
)
async def test_a_stream_on_the_wrong_route_is_accepted_and_silent(strict: bool, path: str, kinds: set[str]) -> None:
    async with venue(strict_routes=strict) as (server, client):
        stream = await client.connect(f"{path}/ws")
        names = [f"btcusdt@{kind}" for kind in ("bookTicker", "depth", "trade", "markPrice@1s")]
        await stream.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert await receive(stream) == {"result": None, "id": 1}
        server.deliver(top("61799.00", "1", "61801.00", "2.5", 2000))
        server.deliver(delta([("61799.00", "1")], [], 1500, 2100, 1000))
        server.deliver(trade("61800.00", "1", True))
        server.deliver(mark_tick())
        got = {(await receive(stream))["e"] for _ in kinds}
        assert got == kinds
        await settled(stream)


async def test_partial_depth_is_the_whole_top_of_the_book_with_bids_descending() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/ws/btcusdt@depth5@100ms")
        await settled(stream)
        server.deliver(delta([("61799.70", "1")], [("61800.10", "0")], 1500, 2100, 1000))
        payload = await receive(stream)
        assert [level[0] for level in payload["b"]] == ["61800.00", "61799.90", "61799.80", "61799.70"]
        assert [level[0] for level in payload["a"]] == ["61800.20", "61800.30"]


async def test_mark_prices_come_every_second_and_every_third() -> None:
    async with venue() as (server, client):
        fast = await client.connect("/market/ws/btcusdt@markPrice@1s")
        slow = await client.connect("/market/ws/btcusdt@markPrice")
        await settled(fast)
        await settled(slow)
        for second in range(6):
            server.deliver(mark_tick(MARKET_MS + 1000 * second))
        marks = await receive_many(fast, 6)
        assert list(marks[0]) == ["e", "E", "s", "p", "ap", "P", "i", "r", "T", "st"]
        assert marks[0]["p"] == "61800.05000000"
        assert [mark["E"] for mark in await receive_many(slow, 2)] == [MARKET_MS, MARKET_MS + 3000]
        assert marks[0]["T"] % (8 * 3600 * 1000) == 0 < marks[0]["T"] - MARKET_MS <= 8 * 3600 * 1000


async def test_more_than_ten_messages_a_second_end_the_connection() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/public/ws")
        for number in range(12):
            await stream.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        kinds = [(await stream.receive(5)).type for _ in range(12)]
        assert aiohttp.WSMsgType.CLOSE in kinds
        await until(lambda: not server.hub.connections)


async def test_more_streams_than_the_limit_are_refused() -> None:
    async with venue() as (_, client):
        stream = await client.connect("/public/ws")
        names = [f"coin{number}@depth" for number in range(MAX_STREAMS)]
        await stream.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert await receive(stream) == {"result": None, "id": 1}
        await stream.send_json({"method": "SUBSCRIBE", "params": ["one@depth"], "id": 2})
        assert (await receive(stream))["error"]["code"] == 2


async def test_the_server_pings_answers_pings_and_ends_old_connections() -> None:
    async with venue(ping_interval_s=0.02, connection_life_s=0.2) as (_, client):
        stream = await client.session.ws_connect(client.server.stream_url + "/public/ws", autoping=False)
        ping = await stream.receive(5)
        assert ping.type is aiohttp.WSMsgType.PING and ping.data.isdigit()
        await stream.ping(b"mine")
        kinds = []
        while not stream.closed:
            message = await stream.receive(5)
            kinds.append(message.type)
            if message.type is aiohttp.WSMsgType.PONG:
                assert message.data == b"mine"
        assert aiohttp.WSMsgType.PONG in kinds
        assert kinds[-1] in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_client_that_never_answers_pings_is_dropped() -> None:
    async with venue(ping_interval_s=0.02, pong_timeout_s=0.5) as (server, client):
        stream = await client.session.ws_connect(client.server.stream_url + "/public/ws", autoping=False)
        await until(lambda: len(server.hub.connections) == 1)
        await until(lambda: not server.hub.connections)
        await stream.close()


async def test_a_closed_connection_is_forgotten_everywhere() -> None:
    async with venue() as (server, client):
        stream = await client.connect("/ws/btcusdt@depth/btcusdt@bookTicker/" + "k" * 64)
        await settled(stream)
        await stream.close()
        await until(lambda: not server.hub.connections)
        assert not any(server.hub.subscribers.values())
        assert not any(server.hub.users.values())


async def test_an_unknown_stream_path_is_404() -> None:
    async with venue() as (_, client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.connect("/elsewhere")
        assert refused.value.status == 404


def test_replies_are_compact_json() -> None:
    from exchanges.binance.simulator_streams import _error, _result

    assert _result(None, 1) == b'{"result":null,"id":1}'
    assert orjson.loads(_error(3, "x", None)) == {"error": {"code": 3, "msg": "x"}, "id": None}
