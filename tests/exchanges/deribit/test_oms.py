"""Orders end to end: engine core, DeribitOMS and the venue's own protocol on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.deribit.simulator import SimulatorOptions, SimulatorServer, serve
from exchanges.deribit.simulator_open_points import OpenPoints
from exchanges.deribit.simulator_parameters import Parameters
from exchanges.deribit.simulator_replies import note_of
from exchanges.deribit.simulator_streams import RpcConnection
from shm.layout import EventType, ExecFlag, Liquidity, OrderState, OrderType, Reason, RequestType, Side, TimeInForce
from tests.exchanges.deribit.live_engine import PERPETUAL, LiveEngine, live

E = EventType
S = OrderState
FAR = 2_000
"""Below the best bid, in price mantissas."""


def options(**changes: Any) -> SimulatorOptions:
    return SimulatorOptions(**{"symbols": ("BTC-PERPETUAL",), "seed": 3, "enforce_limits": False} | changes)


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(options())
    started.freeze()
    yield started
    await started.close()


@pytest.fixture
async def engine(server: SimulatorServer, tmp_path: Path) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path) as one:
        yield one


def best(server: SimulatorServer) -> tuple[int, int]:
    """Best bid and ask in price mantissas."""
    book = server.venue.book("BTC-PERPETUAL")
    return int(book.best_bid * 100), int(book.best_ask * 100)


def orders(server: SimulatorServer) -> list[dict[str, Any]]:
    """The venue's truth of the account's orders."""
    found: list[dict[str, Any]] = server.truth("demo")["accounts"]["demo"]["orders"]
    return found


def check_agreement(server: SimulatorServer, engine: LiveEngine) -> None:
    """Orders, their states and filled quantities, and trades of both sides are the same."""
    truth = server.truth("demo")["accounts"]["demo"]
    theirs = {int(order["label"]): order for order in truth["orders"] if order["label"].isdigit()}
    ours = {event.client_order_id for event in engine.events() if event.exchange_order_id}
    assert ours == set(theirs)
    names = {S.OPEN: "NEW"}
    for order_id, order in theirs.items():
        known = engine.store.get(order_id)
        assert known is not None
        state = S(known.state)
        assert names.get(state, state.name) == order["state"], order
        assert known.exchange_order_id.decode() == str(order["order_id"])
        assert known.cumulative_quantity == int(float(order["filled"]))
    fills = [event for event in engine.events() if event.event_type == E.FILL]
    assert sorted(event.text.decode() for event in fills) == sorted(str(trade["trade_id"]) for trade in truth["trades"])
    assert len({event.trade_id for event in fills}) == len(fills)


# --- the ordinary life ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("login", "grant"), [("signature", "client_signature"), ("secret", "client_credentials")])
async def test_a_line_logs_in_as_the_config_says_and_takes_orders(
    server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str, grant: str
) -> None:
    grants: list[str] = []
    log_in = server.venue.tokens.log_in

    def noted(parameters: Parameters, *rest: Any) -> Any:
        grants.append(parameters.text("grant_type"))
        return log_in(parameters, *rest)

    monkeypatch.setattr(server.venue.tokens, "log_in", noted)
    async with live(server, tmp_path, login=login) as engine:
        await engine.placed(best(server)[0] - FAR)
    assert grants == [grant]


async def test_an_order_rests_is_amended_and_canceled(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR)
    replace = engine.request(RequestType.REPLACE, order_id, price=bid - 2 * FAR, quantity=250)
    replaced = await engine.told_of(order_id, E.REPLACED)
    assert (replaced.price, replaced.quantity, replaced.request_id) == (bid - 2 * FAR, 250, replace.request_id)
    cancel = engine.request(RequestType.CANCEL, order_id)
    canceled = await engine.told_of(order_id, E.CANCELED)
    assert (canceled.request_id, canceled.cumulative_quantity) == (cancel.request_id, 0)
    assert (canceled.order_state, canceled.reason) == (S.CANCELED, Reason.VENUE_USER_CANCEL)
    assert [kind for kind in engine.kinds(order_id) if kind != E.SENT] == [E.ACCEPTED, E.REPLACED, E.CANCELED]
    await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
    check_agreement(server, engine)


@pytest.mark.parametrize("keeps", [True, False])
async def test_an_amended_order_keeps_its_flags_whatever_an_edit_without_them_would_do(
    tmp_path: Path, keeps: bool
) -> None:
    quiet = await serve(options(points=OpenPoints(edit_keeps_flags=keeps)))
    quiet.freeze()
    try:
        async with live(quiet, tmp_path) as engine:
            bid, _ = best(quiet)
            flags = int(ExecFlag.POST_ONLY)
            order_id = await engine.placed(bid - FAR, exec_flags=flags)
            engine.request(RequestType.REPLACE, order_id, price=bid - 2 * FAR, quantity=250, exec_flags=flags)
            replaced = await engine.told_of(order_id, E.REPLACED)
            assert replaced.exec_flags & ExecFlag.POST_ONLY
            [order] = quiet.exchange.orders.values()
            assert note_of(order).post_only
    finally:
        await quiet.close()


async def test_a_taking_order_fills_with_fees_in_the_coin(server: SimulatorServer, engine: LiveEngine) -> None:
    _, ask = best(server)
    order_id = engine.order(ask, 10)
    fill = await engine.told_of(order_id, E.FILL)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    assert (fill.last_price, fill.last_quantity, fill.liquidity) == (ask, 10, Liquidity.TAKER)
    assert fill.fee_currency == b"BTC"
    assert fill.fee == round(10 / (ask / 100) * 0.0005 * 10**8)
    assert engine.gate.net_position(PERPETUAL.id) == 10
    await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
    check_agreement(server, engine)


@pytest.mark.parametrize("order_events", ["reply_first", "event_first"])
async def test_the_stream_is_the_same_whether_reply_or_events_come_first(tmp_path: Path, order_events: str) -> None:
    async with await serve(options(order_events=order_events)) as server:
        server.freeze()
        async with live(server, tmp_path) as engine:
            bid, ask = best(server)
            taking = engine.order(ask, 10)
            await engine.until(lambda: engine.store.get(taking).state == S.FILLED)  # type: ignore[union-attr]
            resting = await engine.placed(bid - FAR)
            engine.request(RequestType.CANCEL, resting)
            await engine.told_of(resting, E.CANCELED)
            await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
            assert [kind for kind in engine.kinds(taking) if kind != E.SENT][:2] == [E.ACCEPTED, E.FILL]
            assert [kind for kind in engine.kinds(resting) if kind != E.SENT] == [E.ACCEPTED, E.CANCELED]
            check_agreement(server, engine)


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
async def test_what_does_not_fill_at_once_expires(
    server: SimulatorServer, engine: LiveEngine, time_in_force: TimeInForce
) -> None:
    bid, _ = best(server)
    order_id = engine.order(bid - FAR, 10, time_in_force=time_in_force)
    expired = await engine.told_of(order_id, E.EXPIRED)
    assert (expired.reason, expired.cumulative_quantity) == (Reason.VENUE_EXPIRED, 0)
    check_agreement(server, engine)


async def test_a_market_order_fills(server: SimulatorServer, engine: LiveEngine) -> None:
    order_id = engine.order(0, 10, order_type=OrderType.MARKET, side=Side.SELL)
    await engine.told_of(order_id, E.FILL)
    assert engine.gate.net_position(PERPETUAL.id) == -10


async def test_a_post_only_order_that_would_take_is_refused(server: SimulatorServer, engine: LiveEngine) -> None:
    _, ask = best(server)
    order_id = engine.order(ask + 50, 10, exec_flags=int(ExecFlag.POST_ONLY))
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert (rejected.reason, rejected.error_code) == (Reason.VENUE_POST_ONLY, 11054)


async def test_a_price_outside_the_band_is_refused_in_the_venues_words(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    _, ask = best(server)
    order_id = engine.order(ask * 3 // 2 // 50 * 50, 10)
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert (rejected.reason, rejected.error_code) == (Reason.VENUE_FILTER, 10007)
    assert rejected.text.startswith(b"price_too_high")


async def test_a_query_is_answered_with_the_venues_state(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR)
    query = engine.request(RequestType.QUERY, order_id)
    await engine.until(
        lambda: any(e.request_id == query.request_id and e.event_type == E.STATUS for e in engine.events())
    )
    status = next(e for e in engine.events() if e.request_id == query.request_id and e.event_type == E.STATUS)
    assert (status.order_state, status.quantity) == (S.OPEN, 100)


async def test_cancel_all_takes_our_orders_and_no_others(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    ours = [await engine.placed(bid - FAR * n) for n in (1, 2)]
    other = '{"instrument_name":"BTC-PERPETUAL","amount":10,"type":"limit","price":1000.0,"label":"by hand"}'
    reply, _ = await engine.oms.source.send("private/buy", other)
    assert reply.error is None
    await engine.until(lambda: engine.counters["external_orders"] == 1)
    engine.request(RequestType.CANCEL_ALL)
    for order_id in ours:
        await engine.told_of(order_id, E.CANCELED)
    states = [order["state"] for order in orders(server) if order["label"] == "by hand"]
    assert states == ["NEW"]


# --- outcomes that are not known --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("internal_error_executed", E.ACCEPTED),
        ("internal_error_not_executed", E.REJECTED),
        ("unknown_executed", E.ACCEPTED),
        ("unknown_not_executed", E.REJECTED),
        ("retry", E.REJECTED),
    ],
)
async def test_an_order_without_an_answer_is_settled_by_the_venues_word(
    tmp_path: Path, kind: str, end: EventType
) -> None:
    async with await serve(options()) as server:
        server.freeze()
        async with live(server, tmp_path, reply_timeout_s=0.3) as engine:
            bid, _ = best(server)
            server.arm({"kind": kind, "count": 1})
            order_id = engine.order(bid - FAR, 10)
            told = await engine.told_of(order_id, end)
            if end == E.REJECTED:
                assert told.reason == Reason.SETTLED_ABSENT
                assert E.UNKNOWN in engine.kinds(order_id)
            else:
                check_agreement(server, engine)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("queue_full", Reason.VENUE_RATE_LIMIT),
        ("timed_out", Reason.VENUE_TIMESTAMP),
        ("halted_instrument", Reason.VENUE_NOT_TRADING),
    ],
)
async def test_a_refusal_is_final_and_says_why(
    server: SimulatorServer, engine: LiveEngine, kind: str, reason: Reason
) -> None:
    bid, _ = best(server)
    server.arm({"kind": kind, "count": 1})
    rejected = await engine.told_of(engine.order(bid - FAR, 10), E.REJECTED)
    assert rejected.reason == reason
    assert orders(server) == []


async def test_a_cancel_without_an_answer_is_sent_again(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path, reply_timeout_s=0.3) as engine:
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR)
        server.arm({"kind": "unknown_not_executed", "count": 1})
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        check_agreement(server, engine)


# --- the session ------------------------------------------------------------------------------------------------------
async def test_the_switch_is_proven_before_the_line_counts_as_up(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path) as engine:
        orders = [one for one in server.venue.connections if one.cancel_on_disconnect]
        assert len(orders) == 1
        await engine.oms.arm_countdown("BTC-PERPETUAL", 60_000)
    with pytest.raises(VenueUnavailable, match="cancel-on-disconnect"):
        await engine.oms.arm_countdown("BTC-PERPETUAL", 60_000)


async def test_no_order_leaves_while_the_venue_says_that_the_switch_is_off(
    server: SimulatorServer, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers "ok" to the switch and says that it is off: an order on that line would outlive it."""
    bid, _ = best(server)

    def asked() -> int:
        return int(server.truth("demo")["requests"].get("private/get_cancel_on_disconnect", 0))

    def switch(connection: RpcConnection, value: bool) -> None:
        vars(connection)["cancel_on_disconnect"] = value

    with monkeypatch.context() as patch:
        patch.setattr(RpcConnection, "cancel_on_disconnect", property(lambda _: False, switch), raising=False)
        before = asked()
        server.cut_connections("abort")
        await engine.until(lambda: asked() > before)
        order_id = engine.order(bid - FAR, 10)
        await engine.told_of(order_id, E.REJECTED)
        assert not engine.engine.ready
        assert orders(server) == []
    await engine.until(lambda: engine.engine.ready)
    await engine.placed(bid - FAR)


async def test_a_lost_line_takes_its_orders_with_it_and_that_is_told(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR)
    server.cut_connections("abort")
    canceled = await engine.told_of(order_id, E.CANCELED)
    assert canceled.cumulative_quantity == 0
    await engine.until(lambda: engine.engine.ready)
    assert engine.streams == [True, False, True]
    check_agreement(server, engine)
    await engine.placed(bid - FAR)  # and it goes on


async def test_a_login_that_is_over_pulls_the_orders_and_begins_anew(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR)
    server.arm({"kind": "token_expired"})
    refused = engine.order(bid - FAR, 10)
    await engine.told_of(refused, E.REJECTED)
    await engine.told_of(order_id, E.CANCELED)
    await engine.until(lambda: engine.engine.ready and engine.socket_usable)
    await engine.placed(bid - FAR)
    assert [order["state"] for order in orders(server)] == ["CANCELED", "NEW"]


async def test_the_login_is_refreshed_before_it_ends(tmp_path: Path) -> None:
    async with await serve(options(token_life_s=2)) as server, live(server, tmp_path) as engine:
        await engine.until(lambda: server.venue.requests["public/auth"] >= 2)
        bid, _ = best(server)
        assert engine.oms._socket.connects == 1
        await engine.placed(bid - 100 * FAR)


async def test_a_wrong_key_ends_the_oms(server: SimulatorServer, tmp_path: Path) -> None:
    class Wrong:
        api_key, secret = "nobody", "nothing"

    with pytest.raises(VenueRefused) as caught:
        async with live(server, tmp_path, credentials=Wrong()):
            pass
    assert caught.value.reason == Reason.VENUE_SIGNATURE
