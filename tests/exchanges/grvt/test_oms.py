"""Orders end to end: engine core, GrvtOMS and the venue's own protocol on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exchanges.adapter import VenueRefused
from exchanges.grvt.simulator import SimulatorServer, serve
from shm.layout import EventType, ExecFlag, Liquidity, OrderState, OrderType, Reason, RequestType, Side, TimeInForce
from tests.exchanges.grvt.live_engine import (
    FAR,
    PERPETUAL,
    SUB,
    LiveEngine,
    best,
    check_agreement,
    live,
    options,
    orders,
)
from tests.exchanges.grvt.simulator_client import order

E = EventType
S = OrderState
PATHS = ("websocket", "rest")


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(options())
    started.freeze()
    yield started
    await started.close()


@pytest.fixture(params=PATHS)
async def engine(server: SimulatorServer, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path, order_path=request.param) as one:
        yield one


# --- the ordinary life ------------------------------------------------------------------------------------------------
async def test_an_order_rests_and_is_canceled(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR)
    accepted = await engine.told_of(order_id, E.ACCEPTED)
    assert accepted.request_type == RequestType.NEW
    assert accepted.exchange_order_id.startswith(b"0x0101")
    cancel = engine.request(RequestType.CANCEL, order_id)
    canceled = await engine.told_of(order_id, E.CANCELED)
    assert (canceled.request_id, canceled.cumulative_quantity) == (cancel.request_id, 0)
    assert (canceled.order_state, canceled.reason) == (S.CANCELED, Reason.VENUE_USER_CANCEL)
    assert [kind for kind in engine.kinds(order_id) if kind != E.SENT] == [E.ACCEPTED, E.CANCELED]
    check_agreement(server, engine)


async def test_a_taken_create_is_no_order_yet(tmp_path: Path) -> None:
    async with await serve(options(speed_bump_ms=300)) as server, live(server, tmp_path) as engine:
        server.freeze()
        bid, _ = best(server)
        order_id = engine.order(bid - FAR, 100)
        await engine.until(lambda: engine.engine.merger.awaiting_replies == 0)
        known = engine.store.get(order_id)
        assert known is not None
        assert (known.state, known.accepted) == (S.PENDING_NEW, False)
        assert engine.kinds(order_id) == [E.SENT]
        await engine.told_of(order_id, E.ACCEPTED)
        check_agreement(server, engine)


async def test_a_taking_order_fills_with_fees(server: SimulatorServer, engine: LiveEngine) -> None:
    _, ask = best(server)
    order_id = engine.order(ask, 10)
    fill = await engine.told_of(order_id, E.FILL)
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    assert (fill.last_price, fill.last_quantity, fill.liquidity) == (ask, 10, Liquidity.TAKER)
    assert fill.fee_currency == b"USDT"
    assert fill.fee == ask * 10 * 45 // 1_000 * 100  # 0.045 %, cut at six decimals
    assert engine.gate.net_position(PERPETUAL.id) == 10
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


async def test_a_rest_that_the_venue_calls_rejected_has_expired_all_the_same(tmp_path: Path) -> None:
    async with await serve(options(rest_status="REJECTED")) as server, live(server, tmp_path) as engine:
        server.freeze()
        bid, _ = best(server)
        never = engine.order(bid - FAR, 10, time_in_force=TimeInForce.IOC)
        expired = await engine.told_of(never, E.EXPIRED)
        assert (expired.reason, expired.cumulative_quantity) == (Reason.VENUE_EXPIRED, 0)


async def test_a_market_order_fills(server: SimulatorServer, engine: LiveEngine) -> None:
    order_id = engine.order(0, 10, order_type=OrderType.MARKET, side=Side.SELL)
    await engine.told_of(order_id, E.FILL)
    assert engine.gate.net_position(PERPETUAL.id) == -10


async def test_a_post_only_order_that_would_take_is_rejected_by_the_stream(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    _, ask = best(server)
    order_id = engine.order(ask + 50, 10, exec_flags=int(ExecFlag.POST_ONLY))
    rejected = await engine.told_of(order_id, E.REJECTED)
    assert rejected.reason == Reason.VENUE_POST_ONLY
    assert rejected.request_type == RequestType.NEW


async def test_a_refusal_at_once_is_in_the_venues_words(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    rejected = await engine.told_of(engine.order(bid - FAR, 1), E.REJECTED)
    assert (rejected.reason, rejected.error_code) == (Reason.VENUE_FILTER, 2066)
    assert rejected.text.startswith(b"Order below minimum notional")


async def test_an_order_that_ends_with_its_signature_expires(tmp_path: Path) -> None:
    async with await serve(options()) as server, live(server, tmp_path) as engine:
        server.freeze()
        bid, _ = best(server)
        now = engine.oms.clock.now_ns()
        order_id = engine.order(bid - FAR, 100, time_in_force=TimeInForce.GTD, expire_time_ns=now + 5 * 10**8)
        expired = await engine.told_of(order_id, E.EXPIRED)
        assert expired.reason == Reason.VENUE_EXPIRED
        check_agreement(server, engine)


async def test_a_venue_that_remembers_no_cancels_still_cancels(server: SimulatorServer, engine: LiveEngine) -> None:
    server.venue.remembers_cancels = False
    bid, _ = best(server)
    for number in (1, 2):
        order_id = await engine.placed(bid - FAR * number)
        engine.request(RequestType.CANCEL, order_id)
        canceled = await engine.told_of(order_id, E.CANCELED)
        assert canceled.reason == Reason.VENUE_USER_CANCEL
    assert server.truth()["refusals"] == {"v1/cancel_order 2300": 1}  # from then on without a time to live
    server.venue.remembers_cancels = True
    await engine.oms.forbid("BTC_USDT_Perp", order_id)
    assert engine.oms._codec.remembers_cancels


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
    reply = await engine.oms.source.send("v1/create_order", {"order": order(size="0.02", price="50000.0")})
    assert reply.error is None
    await engine.until(lambda: engine.counters["external_orders"] == 1)
    engine.request(RequestType.CANCEL_ALL)
    for order_id in ours:
        await engine.told_of(order_id, E.CANCELED)
    states = [one["state"] for one in orders(server) if int(one["client_order_id"]) not in ours]
    assert states == ["NEW"]
    assert server.truth()["requests"]["v2/bulk_orders"] == 1  # both with one token


# --- outcomes that are not known --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "end"), [("unknown_executed", E.ACCEPTED), ("drop_reply", E.ACCEPTED)])
async def test_an_order_without_an_answer_that_exists_is_found(tmp_path: Path, kind: str, end: EventType) -> None:
    async with await serve(options()) as server:
        server.freeze()
        async with live(server, tmp_path, reply_timeout_s=0.3) as engine:
            bid, _ = best(server)
            server.arm({"kind": kind, "count": 1, "path": "create_order"})
            order_id = engine.order(bid - FAR, 100)
            await engine.told_of(order_id, end)
            check_agreement(server, engine)


async def test_an_order_that_never_was_is_forbidden_and_then_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchanges.grvt.account_fetcher.TIME_TO_LIVE_LIMIT_MS", 200)
    async with await serve(options()) as server:
        server.freeze()
        async with live(server, tmp_path) as engine:
            bid, _ = best(server)
            server.arm({"kind": "unknown_not_executed", "count": 1, "path": "create_order"})
            order_id = engine.order(bid - FAR, 100)
            told = await engine.told_of(order_id, E.REJECTED)
            assert told.reason == Reason.SETTLED_ABSENT
            assert E.UNKNOWN in engine.kinds(order_id)
            assert (SUB, str(order_id)) in server.venue.remembered or server.venue.requests["v1/cancel_order"] == 1


async def test_a_create_that_comes_late_is_killed_by_the_remembered_cancel(
    server: SimulatorServer, tmp_path: Path
) -> None:
    async with live(server, tmp_path) as engine:
        bid, _ = best(server)
        server.arm({"kind": "unknown_not_executed", "count": 1, "path": "create_order"})
        order_id = engine.order(bid - FAR, 100)
        await engine.until(lambda: (SUB, str(order_id)) in server.venue.remembered)
        late = order(price=f"{(bid - FAR) / 10:.1f}", size="0.1", client_order_id=str(order_id))
        reply = await engine.oms.source.send("v1/create_order", {"order": late})
        assert reply.error is None  # taken, as far as the venue says
        told = await engine.told_of(order_id, E.REJECTED)
        assert told.reason == Reason.VENUE_USER_CANCEL
        assert orders(server) == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("http_429", Reason.VENUE_RATE_LIMIT),
        ("http_503_unavailable", Reason.VENUE_DOWN),
        ("halted_instrument", Reason.VENUE_NOT_TRADING),
        ("rejected_signature", Reason.VENUE_SIGNATURE),
    ],
)
async def test_a_refusal_is_final_and_says_why(
    server: SimulatorServer, engine: LiveEngine, kind: str, reason: Reason
) -> None:
    bid, _ = best(server)
    server.arm({"kind": kind, "count": 1, "path": "create_order"})
    rejected = await engine.told_of(engine.order(bid - FAR, 100), E.REJECTED)
    assert rejected.reason == reason
    assert orders(server) == []


async def test_a_cancel_without_an_answer_is_sent_again(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path, reply_timeout_s=0.3) as engine:
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR)
        server.arm({"kind": "unknown_not_executed", "count": 1, "path": "cancel_order"})
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        check_agreement(server, engine)


async def test_what_a_silent_stream_does_not_tell_is_asked_for(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    engine.oms._stream._echo._echo_s = 0.2
    server.arm({"kind": "silence", "stream": "v1.order", "delay_ms": 60_000, "with_order": True})
    order_id = await engine.placed(bid - FAR)
    engine.request(RequestType.CANCEL, order_id)
    await engine.told_of(order_id, E.CANCELED)
    await engine.until(lambda: engine.counters["reconnects"] >= 1)  # it said nothing about a change: given up
    await engine.until(lambda: engine.engine.ready)
    check_agreement(server, engine)


# --- the session ------------------------------------------------------------------------------------------------------
async def test_a_lost_login_costs_no_request(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path, order_path="rest") as engine:
        bid, _ = best(server)
        server.arm({"kind": "cookie_expired"})
        order_id = await engine.placed(bid - FAR)
        server.arm({"kind": "cookie_expired"})
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        check_agreement(server, engine)


async def test_the_order_socket_is_renewed_with_each_login(tmp_path: Path) -> None:
    async with await serve(options(cookie_life_s=1.0)) as server, live(server, tmp_path) as engine:
        server.freeze()
        socket = engine.oms._socket
        assert socket is not None
        await engine.until(lambda: socket.connects >= 2)
        assert engine.streams == [True]
        bid, _ = best(server)
        await engine.placed(bid - FAR)


async def test_orders_go_over_rest_while_the_order_socket_is_down(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path) as engine:
        bid, _ = best(server)
        socket = engine.oms._socket
        assert socket is not None
        socket._socket.drop("for this test")
        assert not socket.usable
        order_id = await engine.placed(bid - FAR)
        engine.request(RequestType.CANCEL, order_id)
        await engine.told_of(order_id, E.CANCELED)
        check_agreement(server, engine)


async def test_fills_that_the_venue_tells_once_more_count_once(server: SimulatorServer, tmp_path: Path) -> None:
    deep = best(server)[1] + 1_000  # whatever the best level holds
    async with live(server, tmp_path / "first") as engine:
        for _ in range(2):
            order_id = engine.order(deep, 10)
            await engine.told_of(order_id, E.FILL)
        await engine.until(lambda: engine.gate.net_position(PERPETUAL.id) == 20)
        engine.oms._stream.reconnect("for this test")
        await engine.until(lambda: engine.streams == [True, False, True] and engine.engine.ready)
        order_id = engine.order(deep, 10)
        await engine.told_of(order_id, E.FILL)
        await engine.until(lambda: engine.gate.net_position(PERPETUAL.id) == 30)
        check_agreement(server, engine)
    async with live(server, tmp_path / "second") as anew:  # which knows nothing of the orders before
        assert anew.gate.net_position(PERPETUAL.id) == 30
        anew._counter = 100
        order_id = anew.order(deep, 10)
        await anew.told_of(order_id, E.FILL)
        await anew.until(lambda: anew.gate.net_position(PERPETUAL.id) == 40)
        assert sum(one.last_quantity for one in anew.events(order_id) if one.event_type == E.FILL) == 10


async def test_a_lost_stream_is_recovered(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, ask = best(server)
    resting = await engine.placed(bid - FAR)
    server.cut_connections("abort")
    await engine.until(lambda: engine.streams == [True, False, True] and engine.engine.ready)
    await engine.until(lambda: engine.oms._socket is None or engine.socket_usable)
    taking = engine.order(ask, 10)
    await engine.told_of(taking, E.FILL)
    engine.request(RequestType.CANCEL, resting)
    await engine.told_of(resting, E.CANCELED)
    check_agreement(server, engine)


async def test_a_missing_frame_ends_the_stream_and_the_rest_is_read(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    await engine.placed(bid - FAR)
    server.arm({"kind": "sequence_gap", "stream": "v1.order", "count": 1})
    lost = engine.order(bid - 2 * FAR, 100)
    await engine.told_of(lost, E.ACCEPTED)
    await engine.placed(bid - 3 * FAR)
    check_agreement(server, engine)


async def test_the_countdown_is_one_for_the_account_and_pulls_everything(tmp_path: Path) -> None:
    async with await serve(options()) as server, live(server, tmp_path) as engine:
        server.freeze()
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR)
        await asyncio.gather(*(engine.oms.arm_countdown(symbol, 2_000) for symbol in ("BTC_USDT_Perp",)))
        await engine.oms.arm_countdown("ETH_USDT_Perp", 2_000)
        assert server.venue.requests["v1/cancel_on_disconnect"] == 1
        canceled = await engine.told_of(order_id, E.CANCELED)
        assert canceled.reason == Reason.DISCONNECTED


async def test_a_wrong_key_ends_the_oms(server: SimulatorServer, tmp_path: Path) -> None:
    class Wrong:
        api_key, secret = "nobody", "0x" + "33" * 32

    with pytest.raises(VenueRefused) as caught:
        async with live(server, tmp_path, credentials=Wrong()):
            pass
    assert caught.value.reason == Reason.VENUE_SIGNATURE
