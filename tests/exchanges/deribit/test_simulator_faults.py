"""Faults of the Deribit simulator through its admin endpoint: each kind does what it says, and is counted."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
import orjson
import pytest

from exchanges.deribit.simulator import OpenPoints
from exchanges.deribit.simulator_faults import KINDS
from tests.exchanges.deribit.simulator_client import FIRST_ID, LINEAR, PERPETUAL, Place, delta, order, trade, venue

BOOK = f"book.{PERPETUAL}.raw"
COVERED: set[str] = set()
Test = TypeVar("Test")


def basic(place: Place) -> dict[str, str]:
    pair = base64.b64encode(f"{place.key.key}:{place.key.secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def covers(*kinds: str) -> Callable[[Test], Test]:
    """Marks what a test strikes with, so that no kind is left without one."""
    COVERED.update(kinds)
    return lambda test: test


@covers("rate_limit", "retry", "queue_full", "timed_out", "internal_error_not_executed", "halted_instrument")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("rate_limit", 10028),
        ("retry", 10040),
        ("queue_full", 10047),
        ("timed_out", 13888),
        ("internal_error_not_executed", 11094),
        ("halted_instrument", 10019),
    ],
)
async def test_a_fault_instead_of_the_execution_answers_its_code_and_does_nothing(kind: str, code: int) -> None:
    async with venue(on_rate_limit="error") as place:
        user = await place.user()
        await place.fault(kind=kind, path="private/buy", symbol=PERPETUAL)
        await user.buy(0.1, 60900, instrument_name=LINEAR)
        assert await user.refused("private/buy", **order(10, 60900)) == code
        truth = await place.truth()
        assert [o["symbol"] for o in truth["orders"]] == [LINEAR]
        await user.buy(10, 60900)
        _, answer = await place.admin("GET", "/admin/truth")
        assert answer["faults"] == {kind: {"injected": 1, "with_order_in_flight": 1}}


@covers("internal_error_executed", "unknown_executed", "unknown_not_executed")
@pytest.mark.parametrize(
    ("kind", "executed"),
    [("internal_error_executed", True), ("unknown_executed", True), ("unknown_not_executed", False)],
)
async def test_an_unknown_outcome_leaves_the_order_at_the_venue_or_not(kind: str, executed: bool) -> None:
    async with venue() as place:
        user = await place.user("user.orders.any.any.raw")
        await place.fault(kind=kind)
        request = {"jsonrpc": "2.0", "id": "lost", "method": "private/buy", "params": order(10, 60900, label="x")}
        await user.ws.send_json(request)
        await user.settled()
        found = await user.ask("private/get_order_state_by_label", currency="BTC", label="x")
        assert len(found) == executed
        answers = [note for note in user.notes if note.get("id") == "lost"]
        assert [note["error"]["code"] for note in answers] == ([11094] if kind == "internal_error_executed" else [])
        if executed:
            assert (await user.note("user.orders.any.any.raw"))["label"] == "x", (
                "the event tells what the answer did not"
            )


@covers("drop_reply")
async def test_a_dropped_reply_executes_and_cuts_the_line() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="drop_reply")
        await user.ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "private/buy", "params": order(10, 60900)})
        await user.ended()
        assert len((await place.truth())["orders"]) == 1
        await place.fault(kind="drop_reply")
        body = {"jsonrpc": "2.0", "id": 1, "method": "private/cancel_all", "params": {}}
        with pytest.raises(aiohttp.ClientError):
            await place.post(body, headers=basic(place))
        assert not (await place.truth())["orders"][0]["open"]


@covers("delay_reply")
async def test_a_delayed_reply_comes_after_what_was_asked_later() -> None:
    async with venue() as place:
        user = await place.user("user.orders.any.any.raw")
        await place.fault(kind="delay_reply", path="private/buy", delay_ms=500)
        await user.ws.send_json({"jsonrpc": "2.0", "id": "late", "method": "private/buy", "params": order(10, 60900)})
        began = time.monotonic()
        await user.settled()
        assert not [note for note in user.notes if note.get("id") == "late"]
        assert (await user.answer_to("late"))["result"]["order"]["order_state"] == "open"
        assert time.monotonic() - began > 0.4
        await place.fault(kind="delay_reply", path="public/subscribe", delay_ms=30)
        await user.ask("public/subscribe", channels=[BOOK])
        assert (await user.note(BOOK))["type"] == "snapshot"


@covers("rejected_signature")
async def test_a_rejected_signature_strikes_logins_and_signed_requests_only() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="rejected_signature", count=2)
        await user.buy(10, 60900)
        login = {"client_id": place.key.key, "client_secret": place.key.secret, "grant_type": "client_credentials"}
        assert await user.refused("public/auth", **login) == 13004
        headers = basic(place)
        assert (await place.get("private/get_open_orders", headers))[1]["error"]["code"] == 13004
        assert (await place.get("private/get_open_orders", headers))[0] == 200


@covers("partial_subscribe")
async def test_a_partial_subscription_leaves_the_first_channel_out() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="partial_subscribe", stream=BOOK)
        assert await user.ask("public/subscribe", channels=[f"quote.{LINEAR}"]) == [f"quote.{LINEAR}"]
        both = [BOOK, f"quote.{PERPETUAL}"]
        assert await user.ask("public/subscribe", channels=both) == both[1:]
        assert await user.ask("public/subscribe", channels=both[:1]) == both[:1]


@covers("sequence_gap", "duplicate", "reorder", "malformed_frame", "delay")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("sequence_gap", [1, 3, 4]),
        ("duplicate", [1, 2, 2, 3, 4]),
        ("reorder", [1, 3, 2, 4]),
        ("malformed_frame", [1, None, 3, 4]),
        ("delay", [1, 2, 3, 4]),
    ],
)
async def test_faults_of_frames_strike_one_change_of_the_book(kind: str, told: list[int | None]) -> None:
    async with venue() as place:
        user = await place.user()
        await user.ask("public/subscribe", channels=[BOOK])
        assert (await user.note(BOOK))["change_id"] == FIRST_ID
        await place.fault(kind=kind, stream="book.", skip=1, **({"delay_ms": 20} if kind == "delay" else {}))
        for number in range(1, 5):
            place.server.deliver(delta([("60999", str(number * 10))], [], FIRST_ID + number))
        seen: list[int | None] = []
        while len(seen) < len(told):
            text = await user.ws.receive_str(timeout=60)
            try:
                seen.append(orjson.loads(text)["params"]["data"]["change_id"] - FIRST_ID)
            except orjson.JSONDecodeError:
                seen.append(None)
        assert seen == told


async def test_a_gap_is_healed_by_subscribing_again() -> None:
    async with venue() as place:
        user = await place.user()
        await user.ask("public/subscribe", channels=[BOOK])
        await place.fault(kind="sequence_gap", stream=BOOK)
        place.server.deliver(delta([("60999", "10")], [], FIRST_ID + 1))
        place.server.deliver(delta([("60999", "20")], [], FIRST_ID + 2))
        await user.note(BOOK)
        assert (await user.note(BOOK))["prev_change_id"] == FIRST_ID + 1, "which was never told"
        await user.ask("public/unsubscribe", channels=[BOOK])
        await user.ask("public/subscribe", channels=[BOOK])
        snapshot = await user.note(BOOK)
        assert snapshot["change_id"] == FIRST_ID + 2 and ["new", 60999, 20] in snapshot["bids"]


@covers("disconnect", "silence")
async def test_a_disconnect_cuts_and_a_silence_keeps_answers_only() -> None:
    async with venue() as place:
        book, trades = await place.user(BOOK), await place.user(f"trades.{PERPETUAL}.raw")
        await place.fault(kind="disconnect", stream="book.")
        await book.ended()
        await place.fault(kind="silence", stream="trades.")
        place.server.deliver(trade("61000", "10", True, 1))
        await trades.settled()
        assert trades.notes == []


async def test_a_disconnect_with_an_order_in_flight_waits_for_one() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="disconnect", with_order=True)
        assert await user.ask("public/get_time")
        await user.ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "private/buy", "params": order(10, 60900)})
        await user.ended()
        assert place.server.venue.faults.report() == {"disconnect": {"injected": 1, "with_order_in_flight": 1}}


@covers("token_expired")
async def test_expired_tokens_refuse_until_the_next_login() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="token_expired")
        assert await user.refused("private/buy", **order(10, 60900)) == 13009
        assert await user.refused("public/subscribe", channels=[BOOK]) == 13778
        await user.log_in()
        await user.buy(10, 60900)


@covers("settlement")
async def test_a_settlement_locks_orders_ends_the_day_and_begins_the_session_anew() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.user("platform_state", "instrument.state.any.any", "user.orders.any.any.raw")
        resting = (await user.buy(10, 60900))["order"]["order_id"]
        await user.buy(100)
        await user.buy(10, 60800, time_in_force="good_til_day")
        await user.settled()
        user.notes.clear()
        await place.fault(kind="settlement", delay_ms=500)
        assert (await user.note("platform_state"))["locked"] is True
        assert (await user.note("user.orders.any.any.raw"))["cancel_reason"] == "settlement"
        assert await user.refused("private/buy", **order(10, 60900)) == 10041
        assert await user.refused("private/edit", order_id=resting, price=60901) == 10041
        assert (await user.ask("public/status"))["locked"] == "true"
        position = await user.ask("private/get_position", instrument_name=PERPETUAL)
        assert (position["floating_profit_loss"], position["settlement_price"]) == (0, 61000.25)
        assert position["total_profit_loss"] != 0, "counted from the entry"
        await user.ask("private/cancel", order_id=resting)
        place.pass_time(500)
        assert (await user.note("instrument.state.any.any"))["state"] == "settled"
        await user.buy(10, 60900)


@covers("platform_maintenance")
async def test_maintenance_refuses_everything_for_its_time_and_says_so() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.user("platform_state")
        await place.fault(kind="platform_maintenance", delay_ms=500)
        assert await user.note("platform_state") == {"maintenance": True}
        assert await user.refused("private/buy", **order(10, 60900)) == 11051
        assert await user.refused("public/ticker", instrument_name=PERPETUAL) == 11051
        assert (await user.ask("public/test"))["version"]
        place.pass_time(500)
        assert await user.note("platform_state") == {"maintenance": False}
        await user.buy(10, 60900)


@covers("connection_too_slow")
@pytest.mark.parametrize(("way", "code"), [("close", 1008), ("abort", None)])
async def test_a_slow_reader_is_shown_the_door_in_the_way_that_was_chosen(way: Any, code: int | None) -> None:
    async with venue(points=OpenPoints(too_slow_close=way)) as place:
        user = await place.user()
        await place.fault(kind="connection_too_slow")
        ended = await user.ended()
        assert ended == code or (code is None and ended in (None, 1006))


async def test_instruments_are_locked_halted_listed_and_expired_while_it_runs() -> None:
    async with venue() as place:
        user = await place.user("instrument.state.any.any")

        async def command(action: str, name: str = PERPETUAL) -> tuple[int, Any]:
            return await place.admin("POST", "/admin/instruments", {"action": action, "instrument_name": name})

        resting = (await user.buy(10, 60900))["order"]["order_id"]
        assert (await command("lock"))[1]["state"] == "locked"
        assert (await user.note("instrument.state.any.any"))["state"] == "deactivated"
        assert await user.refused("private/buy", **order(10, 60900)) == 10019
        assert (await user.ask("public/ticker", instrument_name=PERPETUAL))["state"] == "locked"
        await user.ask("private/cancel", order_id=resting)
        assert (await command("halt"))[0] == 200
        assert await user.refused("private/buy", **order(10, 60900)) == 10012
        place.server.deliver(delta([("61000", "0"), ("60999.5", "0"), ("60800", "7")], [], FIRST_ID + 1))
        place.server.deliver(trade("60900", "1000000", True, 1))
        assert (await command("open"))[1]["state"] == "open"
        book = await user.ask("public/get_order_book", instrument_name=PERPETUAL)
        assert book["bids"] == [[60800, 7]], "what the market did meanwhile"
        assert (await user.buy(10, 60700))["order"]["order_state"] == "open"
        assert (await command("expire"))[0] == 400
        assert (await command("sing"))[1]["error"].startswith("instruments action: expected one of")
        assert (await command("open", "NEVER"))[0] == 400
        assert (await command("list", PERPETUAL))[0] == 400


async def test_a_wrong_admin_call_is_said_in_a_sentence() -> None:
    async with venue() as place:
        status, answer = await place.admin("POST", "/admin/fault", {"kind": "http_418"})
        assert status == 400 and "expected one of disconnect" in answer["error"]
        assert (await place.admin("GET", "/admin/nothing"))[0] == 404
        assert (await place.admin("GET", "/admin/truth?account=x"))[0] == 400
        await place.fault(kind="retry")
        assert (await place.admin("DELETE", "/admin/fault"))[1] == {"faults": {}}
        user = await place.user()
        row = await user.buy(10, 60900, label="told")
        _, told = await place.admin("GET", "/admin/messages?about=told")
        assert {message["kind"] for message in told["messages"]} == {"request", "event"}
        assert row["order"]["label"] == "told"
        _, truth = await place.admin("GET", "/admin/truth")
        assert truth["requests"]["private/buy"] == 1
        assert (await place.admin("POST", "/admin/connections", {"action": "abort"}))[1] == {"cut": 1}
        await user.ended()


def test_every_kind_of_fault_is_struck_by_a_test_of_this_file() -> None:
    assert set(KINDS) == COVERED


async def test_answers_do_not_wait_for_each_other_while_faults_are_armed() -> None:
    async with venue() as place:
        user = await place.user()
        await place.fault(kind="delay_reply", path="get_open_orders", delay_ms=200)
        await user.ws.send_json({"jsonrpc": "2.0", "id": "slow", "method": "private/get_open_orders", "params": {}})
        async with asyncio.timeout(0.15):
            await user.settled()
