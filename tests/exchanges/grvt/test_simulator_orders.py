"""Orders at the simulator: the checks in their order, the two answers, and everything that ends an order."""

from __future__ import annotations

import dataclasses

import pytest

from tests.exchanges.grvt.simulator_client import BTC, DEMO_KEY, OTHER_KEY, SUB, logged_in, next_id, order, until


async def best(client, side: int) -> str:
    book = (await client.post("v1/mini", instrument=BTC))[1]["result"]
    return book["best_bid_price" if side > 0 else "best_ask_price"]


async def far(client, side: int) -> str:
    """A price that rests: two per cent behind the best."""
    return f"{int(float(await best(client, side)) * (1 - 0.02 * side))}.0"


async def test_a_create_is_pending_and_then_open_on_both_streams() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        await socket.subscribe("v1.state", f"{SUB}-{BTC}")
        made = order(price=await far(client, 1), post_only=True)
        reply = await socket.call("v1/create_order", order=made)
        pending = reply["result"]["result"]
        assert pending["order_id"] == "0x00"
        assert pending["state"]["status"] == "PENDING"
        assert pending["state"]["book_size"] == ["0.01"]
        assert pending["metadata"]["client_order_id"] == made["metadata"]["client_order_id"]
        opened = await socket.order_until("OPEN")
        assert opened["order_id"].startswith("0x0101010503" + made["signature"]["s"][-6:])
        assert len(opened["order_id"]) == 34
        state = (await socket.next("v1.state"))["feed"]
        assert state == {
            "order_id": opened["order_id"], "client_order_id": pending["metadata"]["client_order_id"],
            "order_state": opened["state"],
        }  # fmt: skip
        (listed,) = await client.open_orders()
        assert listed == opened
        by_client = await client.post(
            "v1/order", sub_account_id=SUB, client_order_id=made["metadata"]["client_order_id"]
        )
        assert by_client[1]["result"] == opened
        assert (await client.post("v1/order", sub_account_id=SUB, order_id=opened["order_id"]))[1]["result"] == opened


async def test_a_taker_is_never_seen_open_and_its_fill_is_told_with_fee_and_position() -> None:
    async with logged_in() as client, client.socket() as socket:
        for stream in ("v1.order", "v1.fill", "v1.position"):
            await socket.subscribe(stream, SUB)
        price = f"{float(await best(client, -1)) * 1.01:.1f}"
        await client.create(price=price, size="0.002", time_in_force="IMMEDIATE_OR_CANCEL")
        done = await socket.order_until("OPEN", "FILLED")
        assert done["state"]["status"] == "FILLED"
        assert done["state"]["traded_size"] == ["0.002"]
        fill = (await socket.next("v1.fill"))["feed"]
        assert fill["fee"] == f"{int(float(fill['price']) * 0.002 * 0.00045 * 1e6 + 1e-6) / 1e6:.6f}".rstrip("0")
        assert (fill["is_taker"], fill["order_id"]) == (True, done["order_id"])
        position = (await socket.next("v1.position"))["feed"]
        assert position["size"] == "0.002"
        history = (await client.post("v1/fill_history", sub_account_id=SUB))[1]["result"]
        assert [entry["trade_id"] for entry in history] == [fill["trade_id"]]
        truth = client.server.truth()["accounts"][SUB]
        assert truth["trades"][0]["trade_id"] == fill["trade_id"]
        assert truth["orders"][0]["order_id"] == fill["order_id"]
        summary = (await client.post("v1/account_summary", sub_account_id=SUB))[1]["result"]
        assert [entry["instrument"] for entry in summary["positions"]] == [BTC]


async def test_a_new_subscription_to_fills_begins_with_the_past_ones() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.fill", SUB)
        for _ in range(2):
            price = f"{float(await best(client, -1)) * 1.01:.1f}"
            await client.create(price=price, size="0.002", time_in_force="IMMEDIATE_OR_CANCEL")
        live = [await socket.next("v1.fill") for _ in range(2)]
        assert [frame["sequence_number"] for frame in live] == ["1", "2"]
        async with client.socket() as later:
            agreed = await later.subscribe("v1.fill", f"{SUB}-{BTC}")
            assert agreed["num_snapshots"] == [2]
            past = [await later.next("v1.fill") for _ in range(2)]
        assert [frame["sequence_number"] for frame in past] == ["0", "0"]
        told = [[frame["feed"]["trade_id"] for frame in frames] for frames in (past, live)]
        assert told[0] == told[1]


async def test_post_only_that_would_take_is_pending_first_and_rejected_after() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        made = await client.create(price=f"{float(await best(client, -1)) * 1.01:.1f}", post_only=True)
        assert made["state"]["status"] == "PENDING"
        rejected = await socket.order_until("REJECTED")
        assert rejected["state"]["reject_reason"] == "FAIL_POST_ONLY"
        asked = await client.post("v1/order", sub_account_id=SUB, client_order_id=made["metadata"]["client_order_id"])
        assert asked[1]["result"] == rejected


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"time_in_force": "IMMEDIATE_OR_CANCEL"}, "IOC_CANCEL"),
        ({"time_in_force": "FILL_OR_KILL"}, "FOK_CANCEL"),
    ],
)
async def test_what_finds_nothing_to_take_is_canceled_with_its_reason(terms, reason: str) -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        await client.create(price=await far(client, 1), **terms)
        ended = await socket.order_until("CANCELLED", "REJECTED")
        assert (ended["state"]["status"], ended["state"]["reject_reason"]) == ("CANCELLED", reason)


@pytest.mark.parametrize("status", ["CANCELLED", "REJECTED"])
async def test_how_the_rest_of_an_order_that_may_not_rest_ends_can_be_chosen(status: str) -> None:
    async with logged_in(rest_status=status) as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        for terms in ({"time_in_force": "IMMEDIATE_OR_CANCEL"}, {"time_in_force": "FILL_OR_KILL"}):
            await client.create(price=await far(client, 1), **terms)
            assert (await socket.order_until("CANCELLED", "REJECTED"))["state"]["status"] == status
        made = await client.create(price=await far(client, 1), post_only=True)
        await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=made["metadata"]["client_order_id"])
        assert (await socket.order_until("CANCELLED", "REJECTED"))["state"]["status"] == "CANCELLED"


async def test_the_acknowledgement_of_a_cancel_comes_for_anything_and_the_stream_tells_the_truth() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        made = await client.create(price=await far(client, 1), post_only=True)
        await socket.order_until("OPEN")
        identity = made["metadata"]["client_order_id"]
        for name in (identity, next_id()):
            answer = await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=name)
            assert answer == (200, {"result": {"ack": True}})
        ended = await socket.order_until("CANCELLED")
        assert ended["metadata"]["client_order_id"] == identity
        assert ended["state"]["reject_reason"] == "CLIENT_CANCEL"
        assert await client.open_orders() == []
        assert (await client.post("v1/cancel_order", sub_account_id=SUB))[1]["code"] == 3021
        both = {"order_id": "0x01", "client_order_id": "5"}
        assert (await client.post("v1/cancel_order", sub_account_id=SUB, **both))[1]["code"] == 2233


async def test_a_cancel_is_remembered_for_its_time_and_kills_the_order_that_comes_late() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        await socket.subscribe("v1.cancel", SUB)
        identity = next_id()
        for _ in range(2):
            await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=identity, time_to_live_ms="5000")
        assert (await socket.next("v1.cancel"))["feed"]["cancel_status"] == "DROPPED_DUPLICATE"
        await client.create(price=await far(client, 1), client_order_id=identity)
        assert (await socket.order_until("REJECTED", "OPEN"))["state"]["reject_reason"] == "CLIENT_CANCEL"
        await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=next_id())
        assert (await socket.next("v1.cancel"))["feed"]["cancel_status"] == "EXPIRED"
        too_long = {"client_order_id": identity, "time_to_live_ms": "5001"}
        assert (await client.post("v1/cancel_order", sub_account_id=SUB, **too_long))[1]["code"] == 2301


async def test_cancel_all_takes_filters_and_the_countdown_takes_everything() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        await client.create(price=await far(client, 1), post_only=True)
        await socket.order_until("OPEN")
        await client.post("v1/cancel_all_orders", sub_account_id=SUB, base=["ETH"])
        assert len(await client.open_orders()) == 1
        await client.post("v1/cancel_all_orders", sub_account_id=SUB, kind=["PERPETUAL"], quote=["USDT"])
        assert (await socket.order_until("CANCELLED"))["state"]["reject_reason"] == "CLIENT_BULK_CANCEL"
        await client.create(price=await far(client, 1), post_only=True)
        await socket.order_until("OPEN")
        await client.post("v1/cancel_on_disconnect", sub_account_id=SUB, countdown_time="1999")
        ended = await socket.order_until("CANCELLED")
        assert ended["state"]["reject_reason"] == "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED"
        too_long = await client.post("v1/cancel_on_disconnect", sub_account_id=SUB, countdown_time="300001")
        assert too_long[1]["code"] == 6000


async def test_an_order_ends_with_its_signature() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        await client.create(price=await far(client, 1), post_only=True, expires_s=0.4)
        await socket.order_until("OPEN")
        assert (await socket.order_until("CANCELLED"))["state"]["reject_reason"] == "EXPIRED"
        await client.create(price=await far(client, 1), expires_s=31 * 86_400)
        late = await socket.order_until("REJECTED")
        assert late["state"]["reject_reason"] == "EXCEED_MAX_SIGNATURE_EXPIRATION"


async def test_bulk_cancels_first_and_creates_then_and_is_not_atomic() -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        old = await client.create(price=await far(client, 1), post_only=True)
        opened = await socket.order_until("OPEN")
        made = [order(price=await far(client, 1), post_only=True), order(size="0.0005")]
        answer = await socket.call(
            "v2/bulk_orders", sub_account_id=SUB, orders=made, client_order_i_ds=[old["metadata"]["client_order_id"]]
        )
        assert [entry["state"]["status"] for entry in answer["result"]["orders"]] == ["PENDING", "PENDING"]
        assert answer["result"]["cancel_acks"] == [{"ack": True}]
        assert (await socket.order_until("CANCELLED"))["order_id"] == opened["order_id"]
        assert (await socket.order_until("REJECTED"))["legs"][0]["size"] == "0.0005"
        assert (await socket.order_until("OPEN"))["legs"][0]["size"] == "0.01"
        ids = {"order_ids": ["0x01"], "client_order_ids": ["2"]}
        assert (await client.post("v2/bulk_orders", sub_account_id=SUB, **ids))[1]["code"] == 2233
        trigger = order()
        trigger["metadata"]["trigger"] = {"trigger_type": "TAKE_PROFIT"}
        assert (await client.post("v2/bulk_orders", sub_account_id=SUB, orders=[trigger]))[1]["code"] == 2236
        many = {"order_ids": ["0x01"] * 101}
        assert (await client.post("v2/bulk_orders", sub_account_id=SUB, **many))[1]["code"] == 2235


async def test_a_bulk_call_that_is_wrong_by_itself_carries_nothing_out() -> None:
    async with logged_in(symbols=(BTC, "ETH_USDT_Perp"), create_limit=4) as client:
        await client.create(price=await far(client, 1), post_only=True)
        await until(lambda: client.server.exchange.open_orders(SUB))
        (old,) = await client.open_orders()
        good = order(price="50000.0", post_only=True)
        wrong = [
            (order(symbol="ETH_USDT_Perp", price="2000.0"), 2234),
            (order(price="50000.0", signed={"size": "0.02"}), 2002),
            (order(price="50000.0", client_order_id="0"), 2011),
        ]
        for bad, code in wrong:
            answer = await client.post(
                "v2/bulk_orders", sub_account_id=SUB, orders=[good, bad], order_ids=[old["order_id"]]
            )
            assert answer[1]["code"] == code
        many = [order(price="50000.0", post_only=True) for _ in range(4)]  # one token of the second is spent
        assert (await client.post("v2/bulk_orders", sub_account_id=SUB, orders=many))[1]["code"] == 1006
        assert await client.open_orders() == [old]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"client_order_id": "77"}, "OVERLAPPING_CLIENT_ORDER_ID"),
        ({"size": "500.0"}, "BELOW_MARGIN"),
        ({"reduce_only": True}, "FAIL_REDUCE_ONLY"),
        ({"price": "50000.05"}, "UNSPECIFIED"),
    ],
)
async def test_an_order_of_a_bulk_call_that_cannot_be_is_rejected_on_the_stream(second: dict, reason: str) -> None:
    async with logged_in() as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        first = order(price="50000.0", post_only=True, client_order_id="77")
        other = order(**{"price": "50000.0", "post_only": True, **second})
        answer = await client.post("v2/bulk_orders", sub_account_id=SUB, orders=[first, other])
        assert [entry["state"]["status"] for entry in answer[1]["orders"]] == ["PENDING", "PENDING"]
        assert (await socket.order_until("REJECTED"))["state"]["reject_reason"] == reason
        assert (await socket.order_until("OPEN"))["metadata"]["client_order_id"] == "77"


@pytest.mark.parametrize(("key", "code"), [({"may_trade": False}, 1400), ({"signer_ends_s": 1.0}, 2004)])
async def test_a_signer_that_may_not_trade_any_more_is_told_why(key: dict, code: int) -> None:
    async with logged_in(api_keys=(dataclasses.replace(DEMO_KEY, **key),)) as client:
        status, body = await client.post("v1/create_order", order=order())
        assert (status, body["code"]) == (403, code)


BAD = {
    "no signature": (lambda o: o.pop("signature"), 1003),
    "legs of another shape": (lambda o: o.update(legs=["x"]), 1003),
    "a size that is no number": (lambda o: o["legs"][0].update(size="abc"), 1003),
    "a flag that is none": (lambda o: o.update(post_only="yes"), 1003),
    "another account": (lambda o: o.update(sub_account_id="7"), 2003),
    "an order id": (lambda o: o.update(order_id="0x05"), 2010),
    "a trigger": (lambda o: o["metadata"].update(trigger={"trigger_type": "STOP_LOSS"}), 2112),
    "a state": (lambda o: o.update(state={"status": "OPEN"}), 2050),
    "no leg": (lambda o: o.update(legs=[]), 2040),
    "two legs": (lambda o: o.update(legs=o["legs"] * 2), 2042),
    "an unknown instrument": (lambda o: o["legs"][0].update(instrument="X_USDT_Perp"), 2061),
    "another chain": (lambda o: o["signature"].update(chain_id="326"), 1012),
    "an unknown signer": (lambda o: o["signature"].update(signer="0x" + "1" * 40), 2000),
    "a size that was not signed": (lambda o: o["legs"][0].update(size="0.02"), 2002),
    "another nonce": (lambda o: o["signature"].update(nonce=4_000_000_000), 2002),
    "a bad v": (lambda o: o["signature"].update(v=1), 2005),
    "a short r": (lambda o: o["signature"].update(r="0x1"), 2006),
    "no client order id": (lambda o: o["metadata"].clear(), 2011),
    "a client order id of 0": (lambda o: o["metadata"].update(client_order_id="0"), 2011),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_create_that_is_wrong_by_itself_is_refused_at_once(name: str) -> None:
    spoil, code = BAD[name]
    async with logged_in() as client:
        made = order()
        spoil(made)
        status, body = await client.post("v1/create_order", order=made)
        assert body["code"] == code
        assert status == body["status"]
        assert await client.open_orders() == []


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"expires_s": -1.0}, 2001),
        ({"key": OTHER_KEY}, 2003),
        ({"time_in_force": "ALL_OR_NONE"}, 2030),
        ({"time_in_force": "IMMEDIATE_OR_CANCEL", "post_only": True}, 2032),
        ({"is_market": True}, 2020),
        ({"price": None}, 2021),
        ({"price": "60000.05"}, 2064),
        ({"size": "0.0005"}, 2062),
        ({"size": "0.0105"}, 2065),
        ({"size": "0.001"}, 2066),
        ({"size": "1001.0"}, 2081),
        ({"size": "500.0"}, 2080),
        ({"reduce_only": True}, 2400),
        ({"signed": {"size": "0.011"}}, 2002),
        ({"chain_id": "326"}, 1012),
    ],
)
async def test_a_create_that_the_venue_does_not_want_has_its_code(terms, code: int) -> None:
    async with logged_in() as client:
        assert (await client.post("v1/create_order", order=order(**terms)))[1]["code"] == code


async def test_an_active_client_order_id_is_taken_and_free_again_after() -> None:
    async with logged_in() as client:
        price, identity = await far(client, 1), next_id()
        await client.create(price=price, client_order_id=identity)
        again = await client.post("v1/create_order", order=order(price=price, client_order_id=identity))
        assert again[1]["code"] == 2012, "also while it waits behind the speed bump"
        await until(lambda: client.server.exchange.open_orders(SUB))
        again = await client.post("v1/create_order", order=order(price=price, client_order_id=identity))
        assert again[1]["code"] == 2012
        await client.post("v1/cancel_order", sub_account_id=SUB, client_order_id=identity)
        await client.create(price=price, client_order_id=identity)


async def test_creates_and_cancels_have_limits_of_their_own() -> None:
    async with logged_in(create_limit=2, cancel_limit=1) as client:
        price = await far(client, 1)
        for _ in range(2):
            await client.create(price=price)
        status, body = await client.post("v1/create_order", order=order(price=price))
        assert (status, body["code"]) == (429, 1006)
        await client.post("v1/cancel_all_orders", sub_account_id=SUB)
        assert (await client.post("v1/cancel_all_orders", sub_account_id=SUB))[0] == 429


async def test_what_takes_waits_behind_the_speed_bump_and_what_makes_does_not() -> None:
    async with logged_in(speed_bump_ms=60_000) as client, client.socket() as socket:
        await socket.subscribe("v1.order", SUB)
        price = await far(client, 1)
        waiting = await client.create(price=price)
        await client.create(price=price, post_only=True)
        assert (await socket.order_until("OPEN"))["post_only"] is True
        assert len(await client.open_orders()) == 1
        asked = await client.post(
            "v1/order", sub_account_id=SUB, client_order_id=waiting["metadata"]["client_order_id"]
        )
        assert asked[1]["result"]["state"]["status"] == "PENDING"


async def test_history_comes_in_pages_newest_first() -> None:
    async with logged_in() as client:
        for _ in range(3):
            await client.create(price=await far(client, 1), post_only=True)
        await until(lambda: len(client.server.exchange.open_orders(SUB)) == 3)
        first = (await client.post("v1/order_history", sub_account_id=SUB, limit=2))[1]
        rest = (await client.post("v1/order_history", sub_account_id=SUB, limit=2, cursor=first["next"]))[1]
        numbers = [int(entry["order_id"], 16) & 0xFFFF_FFFF for entry in first["result"] + rest["result"]]
        assert numbers == sorted(numbers, reverse=True)
        assert len(numbers) == 3
        assert rest["next"] == ""
        assert (await client.post("v1/order_history", sub_account_id=SUB, limit=1001))[1]["code"] == 3011
