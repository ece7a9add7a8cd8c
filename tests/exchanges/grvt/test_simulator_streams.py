"""Public streams of the simulator: selectors, sequence numbers, deltas that add up, three ways of speaking, faults."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.exchanges.grvt.simulator_client import BTC, SUB, logged_in, until, venue


async def test_a_book_begins_whole_and_its_changes_add_up_to_the_venues() -> None:
    async with logged_in(speed=3.0) as client, client.socket() as socket:
        result = await socket.subscribe("v1.book.d", f"{BTC}@50")
        assert result["num_snapshots"] == [1]
        first = await socket.next("v1.book.d")
        assert (first["sequence_number"], first["prev_sequence_number"]) == ("0", "0")
        sides = {side: {level["price"]: level["size"] for level in first["feed"][side]} for side in ("bids", "asks")}
        assert [float(price) for price in sides["bids"]] == sorted(map(float, sides["bids"]), reverse=True)
        expected = int(result["first_sequence_number"][0])
        for _ in range(10):
            frame = await socket.next("v1.book.d")
            assert frame["selector"] == f"{BTC}@50"
            assert (int(frame["sequence_number"]), int(frame["prev_sequence_number"])) == (expected, expected - 1)
            assert int(frame["feed"]["event_time"]) % 50_000_000 == 0
            expected += 1
            for side, held in sides.items():
                for level in frame["feed"][side]:
                    if level["size"] == "0.0":
                        assert held.pop(level["price"], None) is not None
                        assert level["num_orders"] == 0
                    else:
                        held[level["price"]] = level["size"]
        client.server.freeze()
        venue_book = client.server.venue.book(BTC)
        while True:  # what was published before the freeze, and its last word
            try:
                frame = orjson.loads((await socket.socket.receive(timeout=0.3)).data)
            except TimeoutError:
                break
            for side, held in sides.items():
                for level in frame["feed"][side]:
                    held[level["price"]] = level["size"]
        shown = {price: size for price, size in sides["bids"].items() if size != "0.0"}
        assert {float(p): float(s) for p, s in shown.items()} == {
            float(p): float(s) for p, s in venue_book.bids.quantities.items()
        }


async def test_mini_changes_add_up_to_the_full_one() -> None:
    async with logged_in(speed=3.0) as client, client.socket() as socket:
        await socket.subscribe("v1.mini.d", f"{BTC}@0")
        held = dict((await socket.next("v1.mini.d"))["feed"])
        assert held["best_bid_price"] < held["best_ask_price"]
        for _ in range(30):
            change = (await socket.next("v1.mini.d"))["feed"]
            assert change.items() != held.items()
            assert {"event_time", "instrument"} <= change.keys()
            held |= change
        client.server.freeze()
        while held["best_bid_price"] != (await client.post("v1/mini", instrument=BTC))[1]["result"]["best_bid_price"]:
            held |= (await socket.next("v1.mini.d"))["feed"]


async def test_full_streams_and_trades_come_in_the_documented_shape() -> None:
    async with logged_in(speed=5.0) as client, client.socket() as socket:
        for stream, selector in (
            ("v1.ticker.s", f"{BTC}@500"), ("v1.mini.s", f"{BTC}@200"), ("v1.book.s", f"{BTC}@500-10"),
        ):  # fmt: skip
            await socket.subscribe(stream, selector)
            first, second = await socket.next(stream), await socket.next(stream)
            assert first["sequence_number"] == "0"
            assert first["feed"].keys() == second["feed"].keys()
        assert len(second["feed"]["bids"]) == 10
        await socket.subscribe("v1.trade", f"{BTC}@50")
        while (trade := await socket.next("v1.trade"))["sequence_number"] == "0":
            pass
        number, _, index = trade["feed"]["trade_id"].partition("-")
        assert number.isdigit()
        assert index.isdigit()
        listed = (await client.post("v1/trade", instrument=BTC, limit=1000))[1]["result"]
        assert trade["feed"]["trade_id"] in [entry["trade_id"] for entry in listed]


@pytest.mark.parametrize(
    ("stream", "selector", "code"),
    [
        ("v1.book.d", BTC, 1101),
        ("v1.book.d", f"{BTC}@50-10", 1103),
        ("v1.book.s", f"{BTC}@500", 1103),
        ("v1.book.d", f"{BTC}@70", 3030),
        ("v1.book.s", f"{BTC}@500-7", 3031),
        ("v1.book.d", "X@50", 3000),
        ("v1.trade", f"{BTC}@7", 3011),
        ("v1.order", "abc", 3020),
        ("v1.order", f"{SUB}-X", 3000),
        ("v1.nothing", f"{BTC}@50", 1200),
    ],
)
async def test_a_wrong_selector_has_its_code(stream: str, selector: str, code: int) -> None:
    async with logged_in() as client, client.socket() as socket:
        reply = await socket.call("subscribe", stream=stream, selectors=[selector])
        assert reply["error"]["code"] == code
        assert reply["method"] == "subscribe"


async def test_another_rate_takes_the_place_of_the_first_and_unsubscribed_streams_are_quiet() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.book.d", f"{BTC}@50")
        assert (await socket.subscribe("v1.book.d", f"{BTC}@100"))["unsubs"] == [f"{BTC}@50"]
        reply = await socket.call("unsubscribe", stream="v1.book.d", selectors=[f"{BTC}@100", "never"])
        assert reply["result"] == {"stream": "v1.book.d", "unsubs": [f"{BTC}@100"]}
        socket.frames.clear()
        with pytest.raises(TimeoutError):
            await socket.socket.receive(timeout=0.3)


async def test_each_gateway_has_its_own_streams_and_calls() -> None:
    async with logged_in() as client:
        async with client.socket("/market/ws/full") as market:
            assert (await market.call("subscribe", stream="v1.order", selectors=[SUB]))["error"]["code"] == 1100
            assert (await market.call("v1/open_orders", sub_account_id=SUB))["error"]["code"] == 1200
            assert "result" in await market.call("v1/instrument", instrument=BTC)
        async with client.socket("/trades/ws/full") as trades:
            assert (await trades.call("subscribe", stream="v1.mini.s", selectors=[f"{BTC}@500"]))["error"][
                "code"
            ] == 1100
            assert "result" in await trades.call("v1/open_orders", sub_account_id=SUB)


async def test_the_lite_gateway_says_the_same_with_short_keys(corpus: Path) -> None:
    names = orjson.loads((corpus / "grvt" / "lite_names.json").read_bytes())
    async with logged_in() as client, client.socket("/ws/lite") as socket:
        request = {"j": "2.0", "m": "subscribe", "p": {"s": "v1.mini.s", "s1": [f"{BTC}@200"]}, "i": 4}
        await socket.socket.send_str(orjson.dumps(request).decode())
        reply = await socket.receive()
        assert (reply["j"], reply["i"], reply["m"], reply["r"]["s1"]) == ("2.0", 4, "subscribe", [f"{BTC}@200"])
        frame = await socket.receive()
        assert set(frame) == {"s", "s1", "sn", "f", "ps"}
        assert set(frame["f"]) <= set(names["MiniTicker"].values())


async def test_the_old_gateway_speaks_flat_and_the_new_one_refuses_that() -> None:
    flat = {"request_id": 1, "stream": "v1.mini.s", "feed": [f"{BTC}@200"], "method": "subscribe", "is_full": True}
    async with logged_in() as client:
        async with client.socket("/ws") as socket:
            await socket.socket.send_str(orjson.dumps(flat).decode())
            reply = await socket.receive()
            assert (reply["request_id"], reply["subs"]) == (1, [f"{BTC}@200"])
            assert (await socket.receive())["feed"]["instrument"] == BTC
            await socket.socket.send_str(orjson.dumps({**flat, "feed": ["X@200"]}).decode())
            while (reply := await socket.receive()).get("stream"):
                pass
            assert reply == {"code": 3000, "message": "Instrument is invalid", "status": 400}
        async with client.socket() as socket:
            for text in (orjson.dumps(flat).decode(), "{", "[]", '{"method":1}'):
                await socket.socket.send_str(text)
                assert (await socket.receive())["error"]["code"] == 1003
            assert (await socket.call("v1/nothing"))["error"]["code"] == 1200


@pytest.mark.parametrize("kind", ["sequence_gap", "duplicate", "reorder", "sequence_restart"])
async def test_faults_of_the_sequence_are_seen_by_its_numbers(kind: str) -> None:
    async with logged_in(speed=3.0) as client, client.socket() as socket:
        await socket.subscribe("v1.book.d", f"{BTC}@50")
        await socket.next("v1.book.d")
        numbers = [int((await socket.next("v1.book.d"))["sequence_number"])]
        client.server.arm({"kind": kind, "stream": "v1.book.d"} if kind != "sequence_restart" else {"kind": kind})
        numbers += [int((await socket.next("v1.book.d"))["sequence_number"]) for _ in range(8)]
        steps = {after - before for before, after in itertools.pairwise(numbers)}
        assert steps != {1}
        assert client.server.truth()["faults"][kind]["injected"] == 1


async def test_a_private_frame_that_is_lost_is_missed_by_the_next_one() -> None:
    async with logged_in(speed_bump_ms=0) as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        client.server.arm({"kind": "sequence_gap", "stream": "v1.order"})
        number = (await client.create(price="60000.0"))["metadata"]["client_order_id"]
        await until(lambda: client.server.truth()["faults"])  # the order is open, and nobody was told
        await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=number)
        told = await socket.next("v1.order")
        assert (told["prev_sequence_number"], told["sequence_number"]) == ("1", "2")
        assert told["feed"]["state"]["status"] == "CANCELLED"


async def test_a_disconnect_and_silence_strike_at_once() -> None:
    async with logged_in(speed=3.0) as client:
        async with client.socket() as socket:
            await socket.subscribe("v1.book.d", f"{BTC}@50")
            client.server.arm({"kind": "disconnect"})
            while (message := await socket.socket.receive(timeout=60)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
        async with client.socket() as socket:
            await socket.subscribe("v1.mini.d", f"{BTC}@0")
            client.server.arm({"kind": "silence"})
            with pytest.raises(TimeoutError):
                while True:
                    await socket.socket.receive(timeout=0.5)


async def test_a_seed_makes_the_same_market() -> None:
    async with venue(seed=5) as one, venue(seed=5) as two, venue(seed=6) as other:
        for server in (one, two, other):
            server.freeze()
        books = [server.players[0].flow.snapshot(BTC) for server in (one, two, other)]
        assert books[0].bids == books[1].bids != books[2].bids
        await asyncio.sleep(0)
