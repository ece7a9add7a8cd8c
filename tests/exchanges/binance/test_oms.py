"""Orders end to end: engine core, BinanceOMS and the venue's own protocol on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, VenueRefused, VenueUnavailable
from exchanges.binance.order_messages import AccountConfig
from exchanges.binance.simulator import ApiKey, SimulatorServer
from processes import config
from shm.layout import (
    EventType,
    ExecFlag,
    FillPart,
    OrderState,
    OrderType,
    Reason,
    RecordKind,
    RecoveryPhase,
    RequestType,
    Side,
    TimeInForce,
)
from tests.exchanges.binance.live_engine import BTC, LiveEngine, live
from tests.exchanges.binance.simulator_client import Client, top, venue
from tests.exchanges.binance.test_auth import ED25519_PEM
from tests.exchanges.binance.test_simulator_ws_api import PEM as PUBLIC_PEM

E = EventType
S = OrderState


@pytest.fixture(params=["websocket", "rest"])
async def place(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[SimulatorServer, Client, LiveEngine]]:
    """The whole suite runs over both order paths."""
    async with venue() as (server, client), live(server, tmp_path, order_path=request.param) as engine:
        yield server, client, engine


Place = tuple[SimulatorServer, Client, LiveEngine]


async def truth(client: Client) -> dict[str, Any]:
    _, whole = await client.admin("GET", "/admin/truth")
    accounts = whole["accounts"] if "accounts" in whole else {whole["account"]: whole}
    return dict(next(iter(accounts.values())))


async def check_agreement(client: Client, engine: LiveEngine) -> None:
    """Orders, filled quantities and trades of both sides are the same."""
    venue_side = await truth(client)
    theirs = {
        int(order["client_order_id"]): order for order in venue_side["orders"] if order["client_order_id"].isdigit()
    }
    ours = {event.client_order_id: event for event in engine.events() if event.exchange_order_id}
    assert set(ours) == set(theirs)
    names = {S.OPEN: "NEW", S.EXPIRED: "EXPIRED", S.CANCELED: "CANCELED", S.FILLED: "FILLED"}
    for order_id, order in theirs.items():
        known = engine.store.get(order_id)
        assert known is not None
        assert names.get(S(known.state), S(known.state).name) == order["state"]
        assert str(known.exchange_order_id, "ascii") == str(order["order_id"])
    fills = [event for event in engine.events() if event.event_type == E.FILL]
    assert {event.trade_id.decode() for event in fills} == {str(trade["trade_id"]) for trade in venue_side["trades"]}
    assert len(fills) == len(venue_side["trades"])


# --- the ordinary life ------------------------------------------------------------------------------------------------
async def test_an_order_rests_is_amended_and_canceled(place: Place) -> None:
    _, client, engine = place
    order_id = await engine.placed()
    replace = engine.request(RequestType.REPLACE, order_id, price=6_179_940, quantity=25)
    replaced = await engine.told_of(order_id, E.REPLACED)
    assert (replaced.price, replaced.quantity, replaced.request_id) == (6_179_940, 25, replace.request_id)
    cancel = engine.request(RequestType.CANCEL, order_id)
    canceled = await engine.told_of(order_id, E.CANCELED)
    assert (canceled.request_id, canceled.cumulative_quantity) == (cancel.request_id, 0)
    assert (canceled.order_state, canceled.reason) == (S.CANCELED, Reason.VENUE_USER_CANCEL)
    assert [kind for kind in engine.kinds(order_id) if kind != E.SENT] == [E.ACCEPTED, E.REPLACED, E.CANCELED]
    await check_agreement(client, engine)


async def test_a_taking_order_fills_with_fees(place: Place) -> None:
    _, client, engine = place
    order_id = engine.new(price="61800.20", quantity=3_000)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    await engine.until(lambda: sum(1 for e in engine.events(order_id) if e.parts & FillPart.FEE) == 2)
    fills = [event for event in engine.events(order_id) if event.event_type == E.FILL]
    assert [event.cumulative_quantity for event in fills] == [2_000, 3_000]
    assert [event.last_price for event in fills] == [6_180_010, 6_180_020]
    fees = {event.trade_id: event.fee for event in engine.events(order_id) if event.parts & FillPart.FEE}
    assert sum(fees.values()) == (6_180_010 * 2_000 + 6_180_020 * 1_000) * 5 // 10**4 * 10**3
    assert engine.gate.net_position(BTC.id) == 3_000
    await check_agreement(client, engine)


@pytest.mark.parametrize("order_events", ["reply_first", "event_first"])
async def test_the_stream_is_the_same_whether_reply_or_events_come_first(tmp_path: Path, order_events: str) -> None:
    async with venue(order_events=order_events) as (server, client), live(server, tmp_path) as engine:
        order_id = engine.new(price="61800.10", quantity=5)
        await engine.until(lambda: any(e.parts & FillPart.FEE for e in engine.events(order_id)))
        kinds = [kind for kind in engine.kinds(order_id) if kind != E.SENT]
        assert kinds in ([E.ACCEPTED, E.FILL, E.FILL_FEE], [E.ACCEPTED, E.FILL])
        await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
        assert engine.kinds(order_id).count(E.ACCEPTED) == 1
        await check_agreement(client, engine)


async def test_the_old_reply_shape_is_read_too(tmp_path: Path) -> None:
    async with venue(reply_schema="2025") as (server, client), live(server, tmp_path) as engine:
        order_id = await engine.placed()
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        await check_agreement(client, engine)


async def test_a_post_only_order_that_would_take_is_refused(place: Place) -> None:
    _, client, engine = place
    order_id = engine.new(price="61800.20", exec_flags=ExecFlag.POST_ONLY)
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert (rejected.reason, rejected.error_code) == (Reason.VENUE_POST_ONLY, -5022)
    await check_agreement(client, engine)


async def test_an_ioc_order_expires_with_what_it_got(place: Place) -> None:
    _, client, engine = place
    order_id = engine.new(price="61800.10", quantity=3_000, time_in_force=TimeInForce.IOC)
    expired = await engine.told_of(order_id, E.EXPIRED)
    assert (expired.cumulative_quantity, expired.order_state) == (2_000, S.EXPIRED)
    await check_agreement(client, engine)


async def test_a_market_order_fills(place: Place) -> None:
    _, client, engine = place
    order_id = engine.new(order_type=OrderType.MARKET, price="0", side=Side.SELL, quantity=7)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    await check_agreement(client, engine)


async def test_a_resting_order_is_filled_by_the_market(place: Place) -> None:
    server, client, engine = place
    order_id = await engine.placed(price="61800.00", quantity=4)
    server.deliver(top("61799.90", "3", "61800.00", "5", 2_000))
    fill = await engine.told_of(order_id, E.FILL)
    assert (fill.last_price, fill.last_quantity, fill.order_state) == (6_180_000, 4, S.FILLED)
    await check_agreement(client, engine)


async def test_a_cancel_sent_right_behind_its_order_never_leaves_it_open(place: Place) -> None:
    _, client, engine = place
    for _ in range(10):
        order_id = engine.new()
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
    await check_agreement(client, engine)


async def test_a_query_brings_the_venues_state(place: Place) -> None:
    _, _, engine = place
    order_id = await engine.placed()
    query = engine.request(RequestType.QUERY, order_id)
    status = await engine.told_of(order_id, E.STATUS)
    assert (status.order_state, status.request_id, status.request_type) == (
        S.OPEN, query.request_id, RequestType.QUERY,
    )  # fmt: skip


# --- cancel all -------------------------------------------------------------------------------------------------------
async def test_cancel_all_takes_ours_in_one_call_where_all_are_ours(place: Place) -> None:
    server, client, engine = place
    orders = [await engine.placed() for _ in range(3)]
    request = engine.request(RequestType.CANCEL_ALL)
    for order_id in orders:
        await engine.told_of(order_id, E.CANCELED)
    await engine.until(
        lambda: any(e.request_id == request.request_id and e.event_type == E.STATUS for e in engine.events())
    )
    assert server.venue.requests["DELETE /fapi/v1/allOpenOrders"] == 1
    await check_agreement(client, engine)


async def test_cancel_all_spares_the_orders_of_others(place: Place) -> None:
    server, client, engine = place
    status, _ = await client.order("BUY", "0.010", "61799.50", newClientOrderId="somebody-else")
    assert status == 200
    orders = [await engine.placed() for _ in range(3)]
    engine.request(RequestType.CANCEL_ALL)
    for order_id in orders:
        await engine.told_of(order_id, E.CANCELED)
    assert server.venue.requests["DELETE /fapi/v1/allOpenOrders"] == 0
    left = [order for order in (await truth(client))["orders"] if order["state"] == "NEW"]
    assert [order["client_order_id"] for order in left] == ["somebody-else"]


# --- the kill switch and the deadline, just before the bytes ----------------------------------------------------------
async def test_nothing_leaves_after_the_kill_switch_was_thrown(place: Place) -> None:
    server, _, engine = place
    if engine.socket_usable:
        engine.kill = 1  # over the socket the bytes leave inside of the call
        order_id = engine.new()
    else:
        order_id = engine.new()  # handed over; its task has not run yet
        engine.kill = 1
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert rejected.reason == Reason.KILL_SWITCH
    assert engine.engine.merger.unsent == 0
    assert server.venue.requests["POST /fapi/v1/order"] == 0


async def test_the_venue_is_told_the_deadline(place: Place) -> None:
    _, _, engine = place
    order = engine.request(RequestType.QUERY, 0)
    now = order.publish_time_ns
    order.deadline_ns = now + 120_000_000
    assert engine.oms._window_ms(order, now) in range(120, 130)
    order.deadline_ns = now + 60_000_000_000
    assert engine.oms._window_ms(order, now) == 5_000
    order.deadline_ns = now - 1_000_000_000
    assert engine.oms._window_ms(order, now) == 1


# --- unknown outcomes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["unknown_executed", "http_503_unknown_executed", "drop_reply"])
async def test_an_order_with_a_lost_answer_that_was_executed(place: Place, kind: str) -> None:
    _, client, engine = place
    assert (await client.admin("POST", "/admin/fault", {"kind": kind, "path": "/order", "method": "POST"}))[0] == 200
    order_id = engine.new(price="61800.10", quantity=5)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    assert E.REJECTED not in engine.kinds(order_id)
    assert engine.kinds(order_id).count(E.ACCEPTED) == 1
    await check_agreement(client, engine)


async def test_an_executed_order_is_found_by_questions_alone_when_the_stream_is_silent_too(place: Place) -> None:
    _, client, engine = place
    for fault in ({"kind": "silence", "route": "private"}, {"kind": "unknown_executed", "path": "/order"}):
        assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
    order_id = engine.new(price="61800.10", quantity=5)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    kinds = [kind for kind in engine.kinds(order_id) if kind != E.SENT]
    assert kinds == [E.UNKNOWN, E.ACCEPTED, E.FILL]
    assert engine.events(order_id)[-1].parts == FillPart.QUANTITY | FillPart.FEE
    assert engine.counters["unknown_settled_executed"] == 1
    await check_agreement(client, engine)


@pytest.mark.parametrize("kind", ["unknown_not_executed", "http_503_unknown_not_executed"])
async def test_an_order_with_a_lost_answer_that_was_not_executed(place: Place, kind: str) -> None:
    _, client, engine = place
    assert (await client.admin("POST", "/admin/fault", {"kind": kind, "path": "/order", "method": "POST"}))[0] == 200
    order_id = engine.new(price="61800.10", quantity=5)
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert rejected.reason == Reason.SETTLED_ABSENT
    assert [kind for kind in engine.kinds(order_id) if kind != E.SENT] == [E.UNKNOWN, E.REJECTED]
    assert engine.counters["unknown_settled_absent"] == 1
    await check_agreement(client, engine)


@pytest.mark.parametrize("kind", ["unknown_executed", "unknown_not_executed", "drop_reply"])
@pytest.mark.parametrize("method", ["DELETE", "PUT"])
async def test_cancels_and_amends_with_a_lost_answer(place: Place, kind: str, method: str) -> None:
    _, client, engine = place
    order_id = await engine.placed()
    fault = {"kind": kind, "path": "/order", "method": method}
    assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
    if method == "DELETE":
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
    else:
        engine.request(RequestType.REPLACE, order_id, price=6_179_940, quantity=25)
        wanted = E.REPLACE_REJECTED if kind == "unknown_not_executed" else E.REPLACED
        answer = await engine.told_of(order_id, wanted)
        assert answer.price == (6_179_950 if wanted == E.REPLACE_REJECTED else 6_179_940)
    await engine.until(lambda: engine.engine.merger.settler.pending == 0)  # type: ignore[union-attr]
    await check_agreement(client, engine)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("http_429", Reason.VENUE_RATE_LIMIT),
        ("http_503_unavailable", Reason.VENUE_DOWN),
        ("http_503_internal", Reason.VENUE_DOWN),
        ("http_503_throttled", Reason.VENUE_RATE_LIMIT),
        ("rejected_signature", Reason.VENUE_SIGNATURE),
    ],
)
async def test_answers_that_mean_no_are_rejections(place: Place, kind: str, reason: Reason) -> None:
    _, client, engine = place
    assert (await client.admin("POST", "/admin/fault", {"kind": kind, "path": "/order", "method": "POST"}))[0] == 200
    order_id = engine.new()
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert rejected.reason == reason
    assert E.UNKNOWN not in engine.kinds(order_id)
    if kind == "http_429":
        second = engine.new()
        refused = await engine.told_of(second, E.REJECTED)
        assert refused.reason == Reason.RATE_LIMIT, "we are quiet for a while by ourselves"


async def test_a_venue_that_is_gone_is_not_sent_or_unknown_but_never_a_refusal(tmp_path: Path) -> None:
    async with venue() as (server, _), live(server, tmp_path) as engine:
        await server.close()
        order_id = engine.new()
        await engine.until(lambda: len(engine.events(order_id)) >= 2 or E.REJECTED in engine.kinds(order_id))
        last = engine.events(order_id)[-1]
        assert (last.event_type, last.reason) in (
            (E.REJECTED, Reason.NOT_SENT), (E.UNKNOWN, Reason.DISCONNECTED), (E.UNKNOWN, Reason.TIMEOUT),
            (E.REJECTED, Reason.NOT_READY),
        )  # fmt: skip


# --- two paths --------------------------------------------------------------------------------------------------------
def sent_over_socket(engine: LiveEngine) -> int:
    assert engine.oms._socket is not None
    return engine.oms._socket.counters.sent


async def test_each_request_takes_the_path_that_is_there_when_it_is_sent(tmp_path: Path) -> None:
    async with venue() as (server, client), live(server, tmp_path) as engine:
        first = await engine.placed()
        over_socket = sent_over_socket(engine)
        assert over_socket == 2, "the proof of the line, and the order"
        for socket in tuple(server._api_sockets):
            socket.abort()
        await engine.until(lambda: not engine.socket_usable)
        second = await engine.placed()
        engine.request(RequestType.CANCEL, first)
        await engine.told_of(first, E.CANCELED)
        assert sent_over_socket(engine) in (over_socket, over_socket + 1), "only a new line's proof can have left there"
        await engine.until(lambda: engine.socket_usable)
        engine.request(RequestType.REPLACE, second, price=6_179_940, quantity=25)
        await engine.told_of(second, E.REPLACED)
        assert sent_over_socket(engine) == over_socket + 2
        assert engine.counters["unknown"] == 0
        await check_agreement(client, engine)


async def test_an_ed25519_key_trades_within_a_session_and_over_rest(tmp_path: Path) -> None:
    key = ApiKey("ed-key", public_key_pem=PUBLIC_PEM)
    credentials = SimpleNamespace(api_key="ed-key", secret=ED25519_PEM)
    async with venue(api_keys=(key,)) as (server, client), live(server, tmp_path, credentials=credentials) as engine:
        order_id = await engine.placed()
        assert server.venue.requests["session.logon"] == 1
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        await check_agreement(client, engine)


async def test_a_session_that_the_venue_ended_is_opened_again_and_no_request_waits_for_it(tmp_path: Path) -> None:
    key = ApiKey("ed-key", public_key_pem=PUBLIC_PEM)
    credentials = SimpleNamespace(api_key="ed-key", secret=ED25519_PEM)
    async with venue(api_keys=(key,)) as (server, client), live(server, tmp_path, credentials=credentials) as engine:
        for socket in server._api_sockets:
            socket._session = None
        refused = engine.new()
        await engine.told_of(refused, E.REJECTED)
        await engine.placed()
        await engine.until(lambda: server.venue.requests["session.logon"] == 2)
        await check_agreement(client, engine)


def shorten_timeout(engine: LiveEngine, seconds: float) -> None:
    socket = engine.oms._socket
    assert socket is not None
    line = socket._socket.line
    assert line is not None
    socket._socket.timeout_ns = int(seconds * 1e9)
    if line.timer is not None:  # it was set for the longer time
        line.timer.cancel()
        line.timer = None


async def test_a_reply_that_comes_after_the_query_has_settled_the_order_adds_nothing(tmp_path: Path) -> None:
    async with venue() as (server, client), live(server, tmp_path) as engine:
        other = await engine.placed()
        shorten_timeout(engine, 0.1)
        fault = {"kind": "delay_reply", "path": "/order", "method": "POST", "delay_ms": 500}
        silence = {"kind": "silence", "route": "private"}
        for one in (fault, silence):
            assert (await client.admin("POST", "/admin/fault", one))[0] == 200
        order_id = engine.new()
        while not engine.counters["late_replies"]:
            engine.request(RequestType.QUERY, other)  # while others are answered, the line is not given up as silent
            await asyncio.sleep(0.02)
        kinds = [kind for kind in engine.kinds(order_id) if kind != E.SENT]
        assert kinds == [E.UNKNOWN, E.ACCEPTED]
        assert engine.events(order_id)[-1].reason == Reason.SETTLED_EXECUTED
        assert engine.counters["contradictions"] == 0
        await check_agreement(client, engine)


@pytest.mark.parametrize("kind", ["duplicate", "reorder", "malformed_frame", "disconnect", "silence", "delay"])
async def test_answers_of_the_order_socket_that_come_twice_late_broken_or_never(tmp_path: Path, kind: str) -> None:
    async with venue() as (server, client), live(server, tmp_path) as engine:
        shorten_timeout(engine, 0.2)
        fault = {"kind": kind, "stream": "ws-fapi", "delay_ms": 300}
        if kind == "reorder":
            del fault["delay_ms"]
        assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
        orders = [engine.new(), engine.new(price="61800.10", quantity=5)]
        for order_id, state in zip(orders, (S.OPEN, S.FILLED), strict=True):
            await engine.until(lambda order_id=order_id, state=state: engine.store.get(order_id).state == state)  # type: ignore[misc]
        await engine.until(lambda: engine.engine.merger.settler.pending == 0)  # type: ignore[union-attr]
        await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
        assert E.REJECTED not in engine.kinds()
        assert engine.counters["contradictions"] == 0
        await check_agreement(client, engine)


# --- the private stream -----------------------------------------------------------------------------------------------
async def test_what_happened_while_the_stream_was_down_comes_with_the_bracket(place: Place) -> None:
    server, client, engine = place
    order_id = await engine.placed(price="61800.00", quantity=4)
    for connection in tuple(server.hub.connections):
        connection.abort()
    server.deliver(top("61799.90", "3", "61800.00", "5", 2_000))  # fills us while nobody listens
    await engine.until(lambda: engine.streams[-2:] == [False, True] and engine.engine.ready)
    fills = [event for event in engine.events(order_id) if event.event_type == E.FILL]
    assert [(event.parts, event.order_state) for event in fills] == [(FillPart.QUANTITY | FillPart.FEE, S.FILLED)]
    phases = [record.phase for record in engine.told if record.kind == RecordKind.RECOVERY]
    assert phases == [RecoveryPhase.BEGIN, RecoveryPhase.END] * 2
    assert engine.counters["reconnects"] == 1
    await check_agreement(client, engine)


async def test_an_expired_listen_key_brings_a_new_one_and_a_bracket(place: Place) -> None:
    server, client, engine = place
    await engine.placed()
    assert (await client.admin("POST", "/admin/fault", {"kind": "listen_key_expired"}))[0] == 200
    await engine.until(lambda: engine.streams[-2:] == [False, True] and engine.engine.ready)
    assert "DELETE /fapi/v1/listenKey" not in {call for call, count in server.venue.requests.items() if count}
    order_id = engine.new(price="61800.10", quantity=5)
    await engine.told_of(order_id, E.FILL)
    await check_agreement(client, engine)


async def test_a_duplicated_and_a_malformed_frame_change_nothing(place: Place) -> None:
    _, client, engine = place
    for kind in ("duplicate", "malformed_frame"):
        assert (await client.admin("POST", "/admin/fault", {"kind": kind, "route": "private", "count": 2}))[0] == 200
    orders = [engine.new(price="61800.10", quantity=5) for _ in range(4)]
    for order_id in orders:
        await engine.until(lambda order_id=order_id: engine.store.get(order_id).state == S.FILLED)  # type: ignore[misc]
    await check_agreement(client, engine)


async def test_a_private_frame_that_cannot_be_read_costs_the_connection_and_brings_a_bracket(place: Place) -> None:
    """It may have been the only word about a fill, and the next audit is a minute away."""
    _, client, engine = place
    fault = {"kind": "malformed_frame", "route": "private"}
    assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
    order_id = engine.new(price="61800.10", quantity=5)
    await engine.until(lambda: engine.streams[-2:] == [False, True] and engine.engine.ready)
    await engine.told_of(order_id, E.FILL)
    await check_agreement(client, engine)


async def test_a_private_stream_that_is_open_and_silent_is_found_by_what_it_did_not_say(place: Place) -> None:
    _, client, engine = place
    engine.oms._stream._echo_s = 0.2
    fault = {"kind": "silence", "route": "private"}  # for good: pings are still answered
    assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
    order_id = engine.new(price="61800.10", quantity=5)
    await engine.until(lambda: engine.streams[-2:] == [False, True] and engine.engine.ready)
    await engine.told_of(order_id, E.FILL)
    await check_agreement(client, engine)


async def test_a_private_stream_that_speaks_is_left_alone(place: Place) -> None:
    _, client, engine = place
    engine.oms._stream._echo_s = 0.05
    for _ in range(3):
        order_id = engine.new(price="61800.10", quantity=5)
        await engine.until(lambda order_id=order_id: engine.store.get(order_id).state == S.FILLED)  # type: ignore[misc]
        await asyncio.sleep(0.06)
    assert engine.streams == [True]
    await check_agreement(client, engine)


async def test_a_bracket_for_the_trader_tells_open_orders_of_both_kinds(place: Place) -> None:
    _, client, engine = place
    order_id = await engine.placed()
    await client.order("BUY", "0.010", "61799.50", newClientOrderId="somebody-else")
    before = len(engine.told)
    engine.request(RequestType.RECOVER, request_id=991)
    ends = (RecordKind.RECOVERY, RecoveryPhase.END)
    await engine.until(
        lambda: len(engine.told) > before and (engine.told[-1].kind, getattr(engine.told[-1], "phase", 0)) == ends
    )
    told = engine.told[before:]
    while told[0].kind != RecordKind.RECOVERY:
        told.pop(0)
    assert (told[0].nonce, told[-1].nonce) == (991, 991)
    ids = {event.client_order_id for event in told[1:-1] if event.event_type == E.STATUS}
    assert order_id in ids
    assert any(identifier >> 63 == 0 for identifier in ids)


async def test_a_fault_of_our_own_while_sending_ends_the_oms_instead_of_losing_an_outcome(place: Place) -> None:
    _, _, engine = place

    def broken(fact: object) -> None:
        raise RuntimeError("a bug")

    engine.oms._sink = broken
    running = asyncio.ensure_future(engine.oms.run())
    engine.new()
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(running, 5.0)


# --- start ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "credentials",
    [
        SimpleNamespace(api_key="nobody", secret="nothing"),
        SimpleNamespace(api_key="corelane-binance-simulator-key", secret="wrong"),
    ],
)
async def test_a_wrong_key_is_told_apart_from_everything_else(tmp_path: Path, credentials: Any) -> None:
    async with venue() as (server, _):
        engine = LiveEngine(server, tmp_path, credentials=credentials)
        with pytest.raises(VenueRefused) as caught:
            await engine.oms.prepare()
        assert caught.value.reason == Reason.VENUE_SIGNATURE
        await engine.close()


async def test_hedge_mode_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with venue() as (server, _):
        engine = LiveEngine(server, tmp_path)

        async def hedge() -> AccountConfig:
            return AccountConfig(dual_side=True, multi_assets_margin=False, can_trade=True)

        monkeypatch.setattr(engine.oms.source, "account_config", hedge)
        with pytest.raises(ConfigurationError, match="one-way"):
            await engine.oms.prepare()
        await engine.close()


async def test_an_account_that_is_set_up_otherwise_than_configured_stops_the_engine_in_a_sentence(
    tmp_path: Path,
) -> None:
    expected = config.ExpectConfig(leverage={"BTCUSDT": 3}, margin_mode="isolated", multi_assets=True)
    async with venue() as (server, client):
        engine = LiveEngine(server, tmp_path, expect=expected)
        with pytest.raises(ConfigurationError) as refused:
            await engine.oms.prepare()
        assert str(refused.value) == (
            "binance: the account is in single-asset mode, the configuration expects multi-assets mode; BTCUSDT: "
            "leverage at the venue is 20, the configuration expects 3; BTCUSDT: margin mode at the venue is cross, the "
            "configuration expects isolated; change one of both and start again"
        )
        await engine.close()
        assert (await client.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=3))[0] == 200
        engine = LiveEngine(server, tmp_path, expect=config.ExpectConfig(leverage={"BTCUSDT": 3}, margin_mode="cross"))
        await engine.oms.prepare()
        await engine.close()


async def test_an_unreachable_venue_is_unavailable(tmp_path: Path) -> None:
    async with venue() as (server, _):
        engine = LiveEngine(server, tmp_path)
    with pytest.raises(VenueUnavailable, match=r"127\.0\.0\.1"):
        await engine.oms.prepare()
    await engine.close()


async def test_without_credentials_there_are_no_orders(tmp_path: Path) -> None:
    async with venue() as (server, _):
        with pytest.raises(ConfigurationError, match="credentials"):
            LiveEngine(server, tmp_path, credentials=None)


@pytest.mark.parametrize("ahead_ms", [60_000, -60_000])
async def test_a_timestamp_that_the_venue_refuses_heals_itself_once_and_is_told(place: Place, ahead_ms: int) -> None:
    server, client, engine = place
    order_id = await engine.placed()
    clock_ms = server.venue.clock_ms
    server.venue.clock_ms = lambda: clock_ms() + ahead_ms
    other_id = await engine.placed()
    assert engine.counters["alert_clock"] == 1
    engine.request(RequestType.CANCEL, order_id)
    engine.request(RequestType.CANCEL, other_id)
    await engine.told_of(order_id, E.CANCELED)
    await engine.told_of(other_id, E.CANCELED)
    assert engine.counters["alert_clock"] == 1, "one measurement healed it"
    await check_agreement(client, engine)
    server.venue.clock_ms = clock_ms
    assert await engine.oms.source.open_orders(["BTCUSDT"]) == [], "a query heals as well"
    assert engine.counters["alert_clock"] == 2


async def test_a_timestamp_that_is_refused_again_is_a_refusal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, engine = place
    asked = server.venue.requests.copy()

    async def nothing() -> None:
        """A measurement that finds nothing wrong."""

    monkeypatch.setattr(engine.oms._connection, "_heal_clock", nothing)
    clock_ms = server.venue.clock_ms
    server.venue.clock_ms = lambda: clock_ms() + 60_000
    event = await engine.told_of(engine.new(), E.REJECTED)
    assert event.reason == Reason.VENUE_TIMESTAMP
    sent = server.venue.requests["POST /fapi/v1/order"] - asked["POST /fapi/v1/order"]
    assert sent == 2, "once more, and not for ever"
    with pytest.raises(VenueUnavailable, match="-1021"):
        await engine.oms.source.positions()
    server.venue.clock_ms = clock_ms


async def test_the_venues_clock_is_measured(place: Place) -> None:
    _, _, engine = place
    assert engine.oms.clock.measured
    assert engine.oms.clock.error_ns < 1_000_000_000
    assert engine.oms.acceptance_ns > 5_000_000_000
