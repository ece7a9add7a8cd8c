"""Orders on the Deribit simulator: what each call does to the book, the ledger and the notifications."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchanges.deribit.simulator import OpenPoints
from tests.exchanges.deribit.simulator_client import LINEAR, PERPETUAL, delta, order, trade, venue

OPTION = "BTC-25DEC37-60000-C"


async def test_a_limit_order_rests_and_is_told_with_the_fields_of_the_venue() -> None:
    async with venue() as place:
        user = await place.user("user.orders.any.any.raw")
        answer = await user.call("private/buy", **order(100, 60900, label="a1-000017"))
        row = answer["result"]["order"]
        assert answer["result"]["trades"] == []
        assert {name: row[name] for name in ("order_state", "price", "amount", "contracts", "filled_amount")} == {
            "order_state": "open",
            "price": 60900,
            "amount": 100,
            "contracts": 10,
            "filled_amount": 0,
        }
        assert row["label"] == "a1-000017" and row["time_in_force"] == "good_til_cancelled"
        assert row["order_id"].isdigit() and int(row["order_id"]) > 1 << 32
        assert "reject_post_only" not in row and "cancel_reason" not in row
        assert await user.note("user.orders.any.any.raw") == row
        assert {"usIn", "usOut", "usDiff", "testnet"} <= answer.keys()
        assert answer["usOut"] - answer["usIn"] == answer["usDiff"]


async def test_a_market_order_fills_and_moves_position_money_and_truth_alike() -> None:
    async with venue() as place:
        user = await place.user("user.changes.any.any.raw")
        result = await user.buy(920)
        assert [(t["price"], t["amount"], t["state"], t["liquidity"]) for t in result["trades"]] == [
            (61000.5, 900, "open", "T"),
            (61001, 20, "filled", "T"),
        ]
        assert result["order"]["order_state"] == "filled"
        assert result["order"]["order_type"] == "market"
        told = await user.note("user.changes.any.any.raw")
        assert told["trades"] == result["trades"]
        assert told["orders"] == [result["order"]]
        assert told["positions"][0]["size"] == 920
        fee = sum(Decimal(str(t["fee"])) for t in result["trades"])
        assert fee == round(Decimal(900) / Decimal("61000.5") * Decimal("0.0005"), 8) + round(
            Decimal(20) / 61001 * Decimal("0.0005"), 8
        )
        truth = await place.truth()
        assert truth["positions"][PERPETUAL]["quantity"] == "920"
        assert Decimal(truth["currencies"]["BTC"]["wallet_balance"]) == 10 - fee
        assert truth["currencies"]["BTC"]["initial_wallet_balance"] == "10"
        assert [t["trade_id"] for t in truth["trades"]] == [t["trade_id"] for t in result["trades"]]


async def test_money_of_a_linear_contract_is_in_usdc_and_its_ids_say_so() -> None:
    async with venue() as place:
        user = await place.user()
        result = await user.buy(0.5, instrument_name=LINEAR)
        (fill,) = result["trades"]
        assert result["order"]["order_id"].startswith("USDC-") and fill["trade_id"].startswith("USDC-")
        assert (fill["fee_currency"], fill["fee"]) == ("USDC", 15.25025)
        assert await user.ask("private/get_order_state", order_id=result["order"]["order_id"]) == result["order"]
        position = await user.ask("private/get_position", instrument_name=LINEAR)
        assert (position["size"], position["direction"], position["kind"]) == (0.5, "buy", "future")


async def test_a_resting_order_is_filled_behind_the_queue_by_the_market() -> None:
    async with venue() as place:
        user = await place.user("user.trades.any.any.raw")
        await user.buy(100, 61000, label="queue")
        place.server.deliver(trade("61000", "5000", True, 1))
        place.server.deliver(trade("61000", "40", True, 2))
        (fill,) = await user.note("user.trades.any.any.raw")
        assert (fill["amount"], fill["liquidity"], fill["fee"], fill["state"]) == (40, "M", 0, "open")
        assert (fill["label"], fill["direction"]) == ("queue", "buy")


@pytest.mark.parametrize(
    ("more", "state", "filled"),
    [
        ({"time_in_force": "immediate_or_cancel"}, "cancelled", 930),
        ({"time_in_force": "fill_or_kill"}, "cancelled", 0),
        ({"time_in_force": "good_til_cancelled"}, "open", 930),
        ({"time_in_force": "good_til_day"}, "open", 930),
    ],
)
async def test_times_in_force(more: dict[str, Any], state: str, filled: int) -> None:
    async with venue() as place:
        user = await place.user()
        row = (await user.buy(1000, 61001, **more))["order"]
        assert (row["order_state"], row["filled_amount"], row["time_in_force"]) == (
            state,
            filled,
            more["time_in_force"],
        )


async def test_a_post_only_order_moves_out_of_the_way_or_is_refused() -> None:
    async with venue() as place:
        user = await place.user()
        row = (await user.buy(10, 61002, post_only=True))["order"]
        assert (row["price"], row["order_state"], row["reject_post_only"]) == (61000, "open", False)
        row = (await user.sell(10, 60990, post_only=True))["order"]
        assert row["price"] == 61000.5
        assert await user.refused("private/buy", **order(10, 61002, post_only=True, reject_post_only=True)) == 11054
        iceberg = order(10, 61000, post_only=True, time_in_force="immediate_or_cancel")
        assert await user.refused("private/buy", **iceberg) == 11055


async def test_an_edit_keeps_id_label_and_place_where_it_may_and_counts_what_is_filled() -> None:
    async with venue() as place:
        user = await place.user()
        row = (await user.buy(200, 61000, label="e"))["order"]
        resting = place.server.exchange.orders[int(row["order_id"])]
        assert resting.queue_ahead == 5000
        resting.queue_ahead = Decimal(7)
        smaller = (await user.ask("private/edit", order_id=row["order_id"], amount=150, price=61000))["order"]
        assert (smaller["order_id"], smaller["label"], smaller["replaced"]) == (row["order_id"], "e", True)
        assert smaller["creation_timestamp"] == row["creation_timestamp"]
        assert resting.queue_ahead == 7
        await user.ask("private/edit", order_id=row["order_id"], amount=160)
        assert resting.queue_ahead == 5000
        resting.queue_ahead = Decimal(0)
        place.server.deliver(trade("61000", "100", True, 1))
        assert await user.refused("private/edit", order_id=row["order_id"], amount=100) == 10021
        larger = (await user.ask("private/edit", order_id=row["order_id"], amount=400))["order"]
        assert (larger["amount"], larger["filled_amount"]) == (400, 100)
        crossing = await user.ask("private/edit_by_label", label="e", instrument_name=PERPETUAL, price=61000.5)
        assert [fill["amount"] for fill in crossing["trades"]] == [300]
        assert crossing["order"]["order_state"] == "filled"


async def test_an_edit_of_a_post_only_order_into_the_market_moves_it_or_cancels_it() -> None:
    async with venue() as place:
        user = await place.user()
        row = (await user.buy(10, 60900, post_only=True))["order"]
        edited = (await user.ask("private/edit", order_id=row["order_id"], price=61005))["order"]
        assert (edited["price"], edited["order_state"]) == (61000, "open")
        rejecting = {"order_id": row["order_id"], "price": 61005, "reject_post_only": True}
        ended = (await user.ask("private/edit", **rejecting))["order"]
        assert (ended["order_state"], ended["cancel_reason"]) == ("cancelled", "edit_post_only_reject")


async def test_an_edit_that_is_refused_changes_nothing() -> None:
    async with venue() as place:
        user = await place.user()
        row = (await user.buy(10, 60900))["order"]
        assert await user.refused("private/edit", order_id=row["order_id"], price=60900.3, post_only=True) == 10043
        assert await user.ask("private/get_order_state", order_id=row["order_id"]) == row


async def test_labels_need_not_be_unique_and_edit_by_label_says_so() -> None:
    async with venue() as place:
        user = await place.user()
        for price in (60900, 60910):
            await user.buy(10, price, label="twice")
        wanted = {"label": "twice", "instrument_name": PERPETUAL, "price": 60950}
        assert await user.refused("private/edit_by_label", **wanted) == 13032
        assert await user.refused("private/edit_by_label", **(wanted | {"label": "never"})) == 10004
        assert len(await user.ask("private/get_order_state_by_label", currency="BTC", label="twice")) == 2
        assert await user.ask("private/cancel_by_label", label="twice") == 2
        assert await user.ask("private/get_open_orders_by_label", currency="BTC", label="twice") == []
        states = await user.ask("private/get_order_state_by_label", currency="BTC", label="twice")
        assert {row["order_state"] for row in states} == {"cancelled"}


async def test_cancels_take_what_their_name_says() -> None:
    async with venue((PERPETUAL, LINEAR, OPTION)) as place:
        user = await place.user()

        async def place_all() -> None:
            await user.buy(10, 60900)
            await user.buy(0.1, 60900, instrument_name=LINEAR)
            await user.buy(1, 0.03, instrument_name=OPTION)

        await place_all()
        assert await user.ask("private/cancel_all_by_instrument", instrument_name=PERPETUAL) == 1
        assert await user.ask("private/cancel_all_by_currency", currency="BTC", kind="future") == 0
        assert await user.ask("private/cancel_all_by_currency", currency="BTC", kind="option") == 1
        assert await user.ask("private/cancel_all_by_kind_or_type", currency=["ETH", "BTC"]) == 0
        assert await user.ask("private/cancel_all_by_currency_pair", currency_pair="btc_usdc") == 1
        await place_all()
        assert await user.ask("private/cancel_all_by_currency", currency="BTC", type="stop") == 0
        (report, *others) = await user.ask("private/cancel_all", detailed=True)
        assert (report["currency"], report["type"], report["instrument_name"]) == ("BTC", "limit", PERPETUAL)
        assert report["result"][0]["cancel_reason"] == "user_request"
        assert len(others) == 2
        assert await user.ask("private/get_open_orders") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"instrument_name": "BTC-NEVER"}, 13020),
        ({"instrument_name": 7}, -32602),
        ({"amount": 15}, 10021),
        ({"amount": 0}, 10021),
        ({"amount": -10}, 10021),
        ({"amount": "10"}, -32602),
        ({"amount": True}, -32602),
        ({"amount": 10, "contracts": 2}, -32602),
        ({"price": 60900.3}, 10043),
        ({"price": 0}, 10023),
        ({"price": None}, -32602),
        ({"price": 64100}, 10007),
        ({"type": "iceberg"}, -32602),
        ({"type": "stop_limit", "trigger_price": 60000}, 11030),
        ({"linked_order_type": "one_cancels_other"}, 11030),
        ({"time_in_force": "forever"}, -32602),
        ({"label": "x" * 65}, -32602),
        ({"post_only": "true"}, -32602),
        ({"reduce_only": True}, 11030),
        ({"amount": 10_000_000}, 10009),
        ({"valid_until": 1}, 13888),
        ({"type": "market"}, 11047),
    ],
)
async def test_a_wrong_order_is_refused_with_the_venues_code_and_leaves_nothing(
    change: dict[str, Any], code: int
) -> None:
    async with venue(wallets={"BTC": "1"}) as place:
        user = await place.user("user.orders.any.any.raw")
        assert await user.refused("private/buy", **(order(10, 60900) | change)) == code
        assert (await place.truth())["orders"] == []
        await user.settled()
        assert user.notes == []


async def test_contracts_stand_for_amount_and_a_band_bounds_the_price() -> None:
    async with venue() as place:
        user = await place.user()
        params = {"instrument_name": PERPETUAL, "contracts": 3, "price": 60900}
        assert (await user.ask("private/buy", **params))["order"]["amount"] == 30
        answer = await user.call("private/sell", **order(10, 57000))
        assert answer["error"]["code"] == 10005
        word, _, limit = answer["error"]["message"].partition(" ")
        assert word == "price_too_low" and 57_000 < float(limit) < 61_000


@pytest.mark.parametrize("code", [10004, 10010, 11008, 11044])
async def test_a_late_cancel_gets_the_code_that_was_chosen_and_an_unknown_id_10004(code: Any) -> None:
    async with venue(points=OpenPoints(closed_order_code=code)) as place:
        user = await place.user()
        row = (await user.buy(10, 60900))["order"]
        canceled = await user.ask("private/cancel", order_id=row["order_id"])
        assert (canceled["order_state"], canceled["cancel_reason"]) == ("cancelled", "user_request")
        assert await user.refused("private/cancel", order_id=row["order_id"]) == code
        assert await user.refused("private/cancel", order_id="12345678901") == 10004
        assert await user.refused("private/cancel", order_id="ETH-" + row["order_id"]) == 10004
        assert await user.refused("private/cancel", order_id="not an id") == 10025


@pytest.mark.parametrize("code", [10021, 10027, -32602])
async def test_a_broken_lot_gets_the_code_that_was_chosen(code: Any) -> None:
    async with venue(points=OpenPoints(wrong_amount_code=code)) as place:
        user = await place.user()
        assert await user.refused("private/buy", **order(11, 60900)) == code


async def test_meeting_an_own_order_cancels_it_or_refuses_the_new_one() -> None:
    for mode, code in (("cancel_maker", None), ("reject_taker", 10003)):
        async with venue(points=OpenPoints(self_trade=mode)) as place:  # type: ignore[arg-type]
            user = await place.user()
            place.server.deliver(delta([("61000", "0"), ("60999.5", "0")], [], 136_700_000_101))
            row = (await user.buy(10, 61000))["order"]
            if code:
                assert await user.refused("private/sell", **order(10, 61000)) == code
                assert (await user.ask("private/get_order_state", order_id=row["order_id"]))["order_state"] == "open"
            else:
                assert (await user.sell(10, 61000))["trades"] == []
                state = await user.ask("private/get_order_state", order_id=row["order_id"])
                assert state["order_state"] == "cancelled"


async def test_reduce_only_and_close_position_never_turn_a_position() -> None:
    async with venue() as place:
        user = await place.user()
        assert await user.refused("private/close_position", instrument_name=PERPETUAL, type="market") == 11030
        await user.buy(100)
        row = (await user.sell(300, 61000, reduce_only=True, time_in_force="immediate_or_cancel"))["order"]
        assert row["filled_amount"] == 100 and row["reduce_only"]
        await user.sell(50)
        closed = await user.ask("private/close_position", instrument_name=PERPETUAL, type="market")
        assert closed["order"]["direction"] == "buy" and closed["order"]["filled_amount"] == 50
        assert (await user.ask("private/get_position", instrument_name=PERPETUAL))["direction"] == "zero"


async def test_a_good_til_day_order_ends_at_eight_utc() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.user("user.orders.any.any.raw")
        row = (await user.buy(10, 60900, time_in_force="good_til_day"))["order"]
        await user.note()
        place.pass_time(24 * 3600 * 1000)
        ended = await user.note()
        assert (ended["order_id"], ended["order_state"], ended["cancel_reason"]) == (
            row["order_id"],
            "cancelled",
            "settlement",
        )


async def test_an_ended_order_is_forgotten_after_its_time_but_its_fills_are_not() -> None:
    async with venue(points=OpenPoints(order_seen_ms=60_000)) as place:
        place.stop_clock()
        user = await place.user()
        done = (await user.buy(10, label="old"))["order"]
        place.pass_time(61_000)
        assert await user.refused("private/get_order_state", order_id=done["order_id"]) == 10004
        assert await user.ask("private/get_order_state_by_label", currency="BTC", label="old") == []
        assert len(await user.ask("private/get_user_trades_by_order", order_id=done["order_id"])) == 1
        history = {"instrument_name": PERPETUAL, "include_old": True}
        assert len(await user.ask("private/get_order_history_by_instrument", **history)) == 1


async def test_a_venue_that_starts_again_gives_no_number_twice() -> None:
    """A client that remembers up to where it has read would take the new fills for old ones."""
    given: list[list[Any]] = []
    for _ in range(2):
        async with venue() as place:
            user = await place.user()
            bought = await user.buy(10)
            (fill,) = bought["trades"]
            given.append([fill["trade_seq"], int(fill["trade_id"]), int(bought["order"]["order_id"])])
    first, second = given
    assert all(later > earlier for earlier, later in zip(first, second, strict=True))


async def test_fills_are_paged_by_sequence_time_and_id() -> None:
    async with venue() as place:
        user = await place.user()
        for _ in range(5):
            await user.buy(10)
        page = await user.ask("private/get_user_trades_by_instrument", instrument_name=PERPETUAL, count=2)
        before = page["trades"][0]["trade_seq"] - 5
        assert before > 0
        assert [row["trade_seq"] - before for row in page["trades"]] == [5, 4] and page["has_more"]
        query = {"instrument_name": PERPETUAL, "start_seq": before + 3}
        page = await user.ask("private/get_user_trades_by_instrument", **query)
        assert [row["trade_seq"] - before for row in page["trades"]] == [3, 4, 5] and not page["has_more"]
        second = page["trades"][1]["trade_id"]
        page = await user.ask("private/get_user_trades_by_currency", currency="BTC", start_id=second)
        assert [row["trade_seq"] - before for row in page["trades"]] == [4, 5]
        assert (await user.ask("private/get_user_trades_by_currency", currency="ETH"))["trades"] == []
