"""Channels of the Deribit simulator: chains of books, quotes, trades, tickers, and who may listen."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.simulator import ApiKey, OpenPoints, SimulatorOptions, serve
from exchanges.deribit.simulator_channels import parse_channel
from tests.exchanges.deribit.simulator_client import (
    ASKS,
    BIDS,
    FIRST_ID,
    LINEAR,
    MARKET_MS,
    PERPETUAL,
    Place,
    delta,
    mark_tick,
    top,
    trade,
    venue,
)

RAW, AGGREGATED = f"book.{PERPETUAL}.raw", f"book.{PERPETUAL}.100ms"
OPTION = "BTC-25DEC37-200000-C"


async def test_the_answer_comes_first_then_a_snapshot_with_the_whole_book() -> None:
    async with venue() as place:
        user = await place.user()
        assert await user.ask("public/subscribe", channels=[RAW, f"ticker.{PERPETUAL}.100ms"]) == [
            f"ticker.{PERPETUAL}.100ms",
            RAW,
        ]
        assert user.notes == []
        assert (await user.note())["instrument_name"] == PERPETUAL, "the ticker"
        snapshot = await user.note()
        assert "prev_change_id" not in snapshot
        assert snapshot == {
            "type": "snapshot",
            "timestamp": MARKET_MS,
            "instrument_name": PERPETUAL,
            "change_id": FIRST_ID,
            "bids": [["new", float(p), float(q)] for p, q in reversed(BIDS)],
            "asks": [["new", float(p), float(q)] for p, q in ASKS],
        }


async def test_each_interval_is_a_chain_of_its_own_and_actions_count_from_what_it_told_last() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.user()
        await user.ask("public/subscribe", channels=[RAW, AGGREGATED])
        for _ in range(2):
            await user.note()
        place.server.deliver(delta([("60999", "10")], [("61000.5", "800")], FIRST_ID + 31))
        place.server.deliver(delta([("60999", "0"), ("60999.5", "0")], [("61000.5", "700")], FIRST_ID + 40))
        place.pass_time(100)
        first, second = await user.note(RAW), await user.note(RAW)
        assert (first["prev_change_id"], first["change_id"]) == (FIRST_ID, FIRST_ID + 31)
        assert (second["prev_change_id"], second["change_id"]) == (FIRST_ID + 31, FIRST_ID + 40)
        assert first["bids"] == [["new", 60999, 10]] and first["asks"] == [["change", 61000.5, 800]]
        assert second["bids"] == [["delete", 60999.5, 0], ["delete", 60999, 0]]
        together = await user.note(AGGREGATED)
        assert (together["prev_change_id"], together["change_id"]) == (FIRST_ID, FIRST_ID + 40)
        assert together["bids"] == [["delete", 60999.5, 0]], "what came and went meanwhile was never told"
        assert together["asks"] == [["change", 61000.5, 700]]


async def test_who_joins_later_gets_a_snapshot_that_fits_the_chain_of_the_others() -> None:
    async with venue() as place:
        place.stop_clock()
        early, late = await place.user(), await place.user()
        await early.ask("public/subscribe", channels=[AGGREGATED])
        await early.note()
        place.server.deliver(delta([("60999", "10")], [], FIRST_ID + 5))
        await late.ask("public/subscribe", channels=[AGGREGATED])
        snapshot = await late.note()
        assert snapshot["change_id"] == FIRST_ID + 5
        assert ["new", 60999.0, 10.0] in snapshot["bids"]
        assert (await early.note())["change_id"] == FIRST_ID + 5
        place.server.deliver(delta([("60999", "11")], [], FIRST_ID + 9))
        place.pass_time(100)
        for user in (early, late):
            assert (await user.note())["prev_change_id"] == FIRST_ID + 5


async def test_a_generated_book_rebuilds_from_its_changes_and_never_crosses() -> None:
    options = SimulatorOptions(symbols=(PERPETUAL,), chain=True, seed=9, enforce_limits=False)
    async with await serve(options) as server, aiohttp.ClientSession() as session:
        user = await Place(server, session).user()
        option = next(name for name in server.venue.markets if name.endswith("-C"))
        names = [RAW, AGGREGATED, f"book.{option}.100ms"]
        await user.ask("public/subscribe", channels=names)
        books: dict[str, tuple[dict[float, float], dict[float, float]]] = {name: ({}, {}) for name in names}
        last: dict[str, int] = {}
        changes = 0
        while changes < 60:
            message = await user.receive()
            name, data = message["params"]["channel"], message["params"]["data"]
            if data["type"] == "change":
                changes += 1
                assert data["prev_change_id"] == last[name] < data["change_id"]
            last[name] = data["change_id"]
            for side, rows in zip(books[name], (data["bids"], data["asks"]), strict=True):
                assert len({price for _, price, _ in rows}) == len(rows)
                for action, price, amount in rows:
                    assert (action == "new") == (price not in side)
                    if action == "delete":
                        del side[price]
                        assert amount == 0
                    else:
                        side[price] = amount
            bids, asks = books[name]
            assert not bids or not asks or max(bids) < min(asks)
        assert len(last) == 3


async def test_a_grouped_book_is_replaced_as_a_whole() -> None:
    async with venue() as place:
        place.stop_clock()
        name = f"book.{PERPETUAL}.2.10.100ms"
        user = await place.user()
        await user.ask("public/subscribe", channels=[name, f"book.{PERPETUAL}.none.1.100ms"])
        first = await user.note(name)
        assert first["bids"] == [[61000, 5000], [60999, 120]] and first["asks"] == [[61001, 930]]
        assert "type" not in first and "prev_change_id" not in first
        best = await user.note(f"book.{PERPETUAL}.none.1.100ms")
        assert (best["bids"], best["asks"]) == ([[61000, 5000]], [[61000.5, 900]])
        place.server.deliver(delta([("61000", "0")], [], FIRST_ID + 1))
        place.pass_time(100)
        assert (await user.note(name))["bids"] == [[60999, 120]]


async def test_a_quote_comes_with_each_change_of_the_best_and_only_then() -> None:
    async with venue() as place:
        user = await place.user()
        await user.ask("public/subscribe", channels=[f"quote.{PERPETUAL}"])
        assert (await user.note())["best_bid_price"] == 61000
        place.server.deliver(top("61000", "4800", "61000.5", "900", FIRST_ID + 1))
        place.server.deliver(delta([("60999", "3"), ("61000", "4800")], [], FIRST_ID + 2))
        place.server.deliver(top("61000", "4700", "61000.5", "900", FIRST_ID + 3))
        first, second = await user.note(), await user.note()
        assert (first["best_bid_amount"], second["best_bid_amount"]) == (4800, 4700)
        assert first.keys() == {
            "timestamp",
            "instrument_name",
            "best_bid_price",
            "best_bid_amount",
            "best_ask_price",
            "best_ask_amount",
        }


async def test_trades_count_on_by_one_and_reach_the_channels_that_mean_them() -> None:
    async with venue() as place:
        place.stop_clock()
        names = [f"trades.{PERPETUAL}.raw", "trades.future.BTC.100ms", "trades.option.any.raw", "trades.any.USDC.raw"]
        user = await place.user()
        await user.ask("public/subscribe", channels=names)
        for price, buyer_is_maker, number in (("61000.5", False, 1), ("61000.5", False, 2), ("61000", True, 3)):
            place.server.deliver(trade(price, "30", buyer_is_maker, number))
        place.server.deliver(trade("61001", "0.5", False, 8, LINEAR))
        place.pass_time(100)
        rows = [(await user.note(names[0]))[0] for _ in range(3)]
        assert [row["trade_seq"] - rows[0]["trade_seq"] for row in rows] == [0, 1, 2]
        assert [row["tick_direction"] for row in rows] == [1, 1, 2]
        assert [row["direction"] for row in rows] == ["buy", "buy", "sell"]
        assert rows[0]["contracts"] == 3 and rows[0]["trade_id"] == "1"
        assert await user.note(names[1]) == rows, "together, after their interval"
        assert (await user.note(names[3]))[0]["trade_id"] == "USDC-8"
        await user.settled()
        assert user.notes == []
        page = await user.ask("public/get_last_trades_by_instrument", instrument_name=PERPETUAL, count=2)
        assert [row["trade_id"] for row in page["trades"]] == ["3", "2"] and page["has_more"]
        page = await user.ask("public/get_last_trades_by_currency", currency="any", sorting="asc")
        assert sorted(row["trade_id"] for row in page["trades"]) == ["1", "2", "3", "USDC-8"]


async def test_an_incremental_ticker_tells_only_what_changed() -> None:
    async with venue((PERPETUAL, OPTION)) as place:
        place.stop_clock()
        name = f"incremental_ticker.{PERPETUAL}"
        user = await place.user()
        await user.ask("public/subscribe", channels=[name])
        whole = await user.note(name)
        assert whole["type"] == "snapshot" and whole["best_bid_amount"] == 5000
        place.server.deliver(top("61000", "4800", "61000.5", "900", FIRST_ID + 1))
        place.server.deliver(top("61000", "4900", "61000.5", "900", FIRST_ID + 2))
        place.pass_time(1000)
        change = await user.note(name)
        changed = change.keys() - {"type", "instrument_name", "timestamp"}
        assert change["type"] == "change" and changed == {"best_bid_amount"}
        assert change["best_bid_amount"] == 4900


async def test_the_ticker_of_an_option_has_greeks_of_its_mark() -> None:
    async with venue((PERPETUAL, OPTION)) as place:
        user = await place.user()
        ticker = await user.ask("public/ticker", instrument_name=OPTION)
        assert 0 < ticker["greeks"]["delta"] < 1 and ticker["greeks"]["vega"] > 0 > ticker["greeks"]["theta"]
        assert ticker["bid_iv"] < ticker["ask_iv"]
        assert ticker["underlying_index"] == "BTC-25DEC37" and ticker["underlying_price"] > ticker["index_price"]
        book = await user.ask("public/get_order_book", instrument_name=OPTION, depth=1)
        assert (book["bids"], book["asks"]) == ([[0.04, 10]], [[0.042, 10]])
        assert book["change_id"] == FIRST_ID


async def test_the_index_moves_towards_the_middle_with_each_mark() -> None:
    async with venue() as place:
        user = await place.user()
        names = ["deribit_price_index.btc_usd", f"perpetual.{PERPETUAL}.raw"]
        await user.ask("public/subscribe", channels=names)
        assert (await user.note(names[0]))["price"] == 61000.25
        place.server.deliver(top("61100", "5", "61100.5", "5", FIRST_ID + 1))
        place.server.deliver(mark_tick())
        moved = await user.note(names[0])
        assert 61000.25 < moved["price"] < 61100.25 and moved["index_name"] == "btc_usd"
        assert (await user.note(names[1])).keys() == {"interest", "index_price", "timestamp"}
        assert (await user.ask("public/get_index_price", index_name="btc_usd"))["index_price"] == moved["price"]
        assert await user.refused("public/get_index_price", index_name="doge_usd") == 13020


async def test_what_does_not_exist_is_left_out_of_the_result_and_the_rest_is_on() -> None:
    async with venue() as place:
        user = await place.connect()
        wanted = ["book.NEVER.100ms", "nonsense", f"quote.{PERPETUAL}", "user.orders.any.any.100ms", "announcements"]
        assert sorted(await user.ask("public/subscribe", channels=wanted)) == ["announcements", f"quote.{PERPETUAL}"]
        assert await user.refused("public/subscribe", channels=[RAW]) == 13778
        assert await user.refused("public/subscribe", channels=[]) == -32602
        assert await user.refused("public/subscribe", channels=["x"] * 501) == -32602
        assert await user.refused("public/subscribe", channels="x") == -32602
        assert await user.ask("public/unsubscribe", channels=["announcements", "x"]) == ["announcements"]
        assert await user.ask("public/unsubscribe_all") == "ok"
        user.notes.clear()
        place.server.deliver(top("61000", "4800", "61000.5", "900", FIRST_ID + 1))
        await user.settled()
        assert user.notes == []
        assert place.server.hub.feeds == {}


@pytest.mark.parametrize("again", [False, True])
async def test_subscribing_again_sends_a_snapshot_where_that_is_chosen(again: bool) -> None:
    async with venue(points=OpenPoints(snapshot_on_resubscribe=again)) as place:
        user = await place.user()
        for _ in range(2):
            assert await user.ask("public/subscribe", channels=[AGGREGATED]) == [AGGREGATED]
        await user.settled()
        assert len(user.notes) == 1 + again


async def test_user_channels_gather_what_happened_in_their_interval() -> None:
    async with venue() as place:
        place.stop_clock()
        names = ["user.orders.future.BTC.100ms", "user.changes.any.any.100ms", f"user.trades.{PERPETUAL}.100ms"]
        user = await place.user(*names, f"user.orders.{LINEAR}.raw")
        row = (await user.buy(10, 60900, label="a"))["order"]
        await user.ask("private/edit", order_id=row["order_id"], price=60910)
        done = await user.buy(20)
        place.pass_time(100)
        orders = await user.note(names[0])
        assert [(o["order_id"], o["price"] if o["label"] else None) for o in orders] == [
            (row["order_id"], 60910),
            (done["order"]["order_id"], None),
        ]
        (changes,) = [await user.note(names[1])]
        assert len(changes["orders"]) == 2 and changes["trades"] == done["trades"]
        assert changes["positions"][0]["size"] == 20
        assert await user.note(names[2]) == done["trades"]
        await user.settled()
        assert user.notes == []


async def test_a_label_of_a_private_subscription_comes_with_its_notifications() -> None:
    async with venue() as place:
        user = await place.user()
        await user.ask("private/subscribe", channels=["user.orders.any.any.raw", RAW], label="mine")
        await user.buy(10, 60900)
        await user.settled()
        notes = {n["params"]["channel"]: n["params"].get("label") for n in user.notes}
        assert notes == {RAW: None, "user.orders.any.any.raw": "mine"}
        assert await user.refused("private/subscribe", channels=[RAW], label="x" * 17) == -32602


async def test_the_portfolio_adds_up_and_begins_with_what_it_is() -> None:
    async with venue() as place:
        user = await place.user("user.portfolio.any")
        first = [await user.note() for _ in range(3)]
        assert [row["currency"] for row in first] == ["BTC", "ETH", "USDC"]
        await user.buy(900)
        row = await user.note("user.portfolio.any")
        parts = ("balance", "session_upl", "session_rpl", "options_value")
        exact = {name: Decimal(str(row[name])) for name in ("equity", *parts)}
        assert exact["equity"] == sum(exact[name] for name in parts)
        assert exact["balance"] == 10 - sum(Decimal(t["fee"]) for t in (await place.truth())["trades"])
    async with venue(points=OpenPoints(portfolio_on_subscribe=False)) as place:
        user = await place.user("user.portfolio.btc")
        await user.settled()
        assert user.notes == []


async def test_one_account_never_hears_of_another() -> None:
    keys = (ApiKey("one", "secret", "one"), ApiKey("two", "secret", "two"))
    async with venue(api_keys=keys) as place:
        one = await place.user("user.changes.any.any.raw", key=keys[0])
        two = await place.user("user.changes.any.any.raw", key=keys[1])
        row = (await one.buy(10, 60900))["order"]
        await two.settled()
        assert two.notes == []
        assert await two.refused("private/get_order_state", order_id=row["order_id"]) == 10004
        assert await two.refused("private/cancel", order_id=row["order_id"]) == 10004
        assert await two.ask("private/cancel_all") == 0


@given(st.text(max_size=40) | st.sampled_from([RAW, "user.orders.any.any.raw", "trades.future.BTC.100ms"]))
def test_any_text_is_a_channel_or_none_and_never_an_error(name: str) -> None:
    channel = parse_channel(name)
    assert channel is None or channel.name == name


@pytest.mark.parametrize(
    ("name", "family", "subject", "kind", "currency"),
    [
        (RAW, "book", PERPETUAL, "any", "any"),
        (f"book.{PERPETUAL}.none.20.agg2", "grouped_book", PERPETUAL, "any", "any"),
        ("user.trades.option.ETH.agg2", "user.trades", "", "option", "ETH"),
        ("user.portfolio.btc", "user.portfolio", "", "any", "BTC"),
        ("instrument.state.future.any", "instrument.state", "", "future", "any"),
        ("platform_state", "platform_state", "", "any", "any"),
    ],
)
def test_channels_are_read_by_their_parts(name: str, family: str, subject: str, kind: str, currency: str) -> None:
    channel: Any = parse_channel(name)
    assert (channel.family, channel.subject, channel.kind, channel.currency) == (family, subject, kind, currency)


@pytest.mark.parametrize(
    "name", [f"book.{PERPETUAL}.none.10.raw", "book.X.7.10.100ms", "ticker.X.1s", "user.orders.raw"]
)
def test_wrong_parts_make_no_channel(name: str) -> None:
    assert parse_channel(name) is None
