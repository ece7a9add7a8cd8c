"""REPLACE where the venue has no amend: cancel, wait for the final traded size, new for what is left."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchanges.grvt.simulator import SimulatorServer, serve
from shm.layout import EventType, ExecFlag, OrderState, Reason, RequestType
from tests.exchanges.grvt.live_engine import FAR, SUB, LiveEngine, best, check_agreement, live, options, orders

E = EventType
S = OrderState


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    started = await serve(options())
    started.freeze()
    yield started
    await started.close()


@pytest.fixture(params=("websocket", "rest"))
async def engine(server: SimulatorServer, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveEngine]:
    async with live(server, tmp_path, order_path=request.param) as one:
        yield one


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def alive(server: SimulatorServer) -> int:
    return len(server.exchange.open_orders(SUB)) + len(server.venue.incoming)


async def replaced(engine: LiveEngine, order_id: int, price: int, quantity: int, kind: EventType) -> Any:
    """A REPLACE and the first event of that kind that answers it."""
    request = engine.request(RequestType.REPLACE, order_id, price=price, quantity=quantity)
    await engine.until(
        lambda: any(e.request_id == request.request_id and e.event_type == kind for e in engine.events(order_id))
    )
    return next(e for e in engine.events(order_id) if e.request_id == request.request_id and e.event_type == kind)


async def test_a_replaced_order_lives_on_under_another_id_of_the_venue(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR, 100, exec_flags=int(ExecFlag.POST_ONLY))
    first = (await engine.told_of(order_id, E.ACCEPTED)).exchange_order_id
    told = await replaced(engine, order_id, bid - 2 * FAR, 250, E.REPLACED)
    assert (told.price, told.quantity, told.order_state) == (bid - 2 * FAR, 250, S.OPEN)
    assert told.exchange_order_id != first
    again = await replaced(engine, order_id, bid - 3 * FAR, 120, E.REPLACED)
    assert (again.price, again.quantity) == (bid - 3 * FAR, 120)
    assert [one["state"] for one in orders(server)] == ["CANCELED", "CANCELED", "NEW"]
    assert {one["time_in_force"] for one in orders(server)} == {"GTX"}  # post-only stays
    engine.request(RequestType.CANCEL, order_id)
    await engine.told_of(order_id, E.CANCELED)
    kinds = [kind for kind in engine.kinds(order_id) if kind != E.SENT]
    assert kinds == [E.ACCEPTED, E.REPLACED, E.REPLACED, E.CANCELED]
    assert engine.counters["contradictions"] == 0
    check_agreement(server, engine)


async def test_the_new_form_is_for_what_has_not_traded(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid, 100)
    ahead = Decimal(orders(server)[0]["queue_ahead"])
    server.exchange.on_trade("BTC_USDT_Perp", Decimal(bid) / 10, ahead + Decimal("0.03"), True, now_ms())
    fill = await engine.told_of(order_id, E.FILL)
    traded = fill.cumulative_quantity
    assert traded == 30
    told = await replaced(engine, order_id, bid - FAR, 250, E.REPLACED)
    assert (told.quantity, told.cumulative_quantity) == (250, traded)
    assert [float(one["quantity"]) for one in orders(server)] == [0.1, 0.22]
    check_agreement(server, engine)


async def test_a_filled_order_is_not_replaced(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, ask = best(server)
    order_id = await engine.placed(bid - FAR, 10)
    watch = replaced(engine, order_id, ask, 10, E.REPLACED)
    told = await watch  # as a taker the new form fills
    assert told.price == ask
    await engine.until(lambda: engine.store.get(order_id).state == S.FILLED)  # type: ignore[union-attr]
    rejected = engine.request(RequestType.REPLACE, order_id, price=bid, quantity=10)
    await engine.until(lambda: any(e.request_id == rejected.request_id for e in engine.events(order_id)))
    assert [one["state"] for one in orders(server)] == ["CANCELED", "FILLED"]
    check_agreement(server, engine)


async def test_a_new_form_that_is_refused_ends_the_order(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR, 100)
    told = await replaced(engine, order_id, bid - FAR, 1, E.REPLACE_REJECTED)
    assert (told.reason, told.error_code) == (Reason.VENUE_FILTER, 2066)
    canceled = await engine.told_of(order_id, E.CANCELED)
    assert canceled.cumulative_quantity == 0
    check_agreement(server, engine)


async def test_a_new_form_that_the_matching_engine_rejects_ends_the_order(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, ask = best(server)
    order_id = await engine.placed(bid - FAR, 100, exec_flags=int(ExecFlag.POST_ONLY))
    told = await replaced(engine, order_id, ask + 10, 100, E.REPLACE_REJECTED)
    assert told.reason == Reason.VENUE_POST_ONLY
    await engine.told_of(order_id, E.CANCELED)
    assert alive(server) == 0
    assert engine.counters["contradictions"] == 0


async def test_the_kill_switch_stops_the_second_half(tmp_path: Path) -> None:
    async with await serve(options()) as server, live(server, tmp_path) as engine:
        server.freeze()
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR, 100)
        server.arm({"kind": "delay_reply", "delay_ms": 300, "path": "cancel_order", "count": 1})
        server.arm({"kind": "delay", "delay_ms": 300, "stream": "v1.order", "count": 1})
        request = engine.request(RequestType.REPLACE, order_id, price=bid - 2 * FAR, quantity=100)
        engine.kill = 1
        canceled = await engine.told_of(order_id, E.CANCELED)
        assert canceled.reason == Reason.VENUE_USER_CANCEL
        rejected = await engine.told_of(order_id, E.REPLACE_REJECTED)
        assert (rejected.request_id, rejected.reason) == (request.request_id, Reason.KILL_SWITCH)
        assert alive(server) == 0


async def test_a_cancel_meanwhile_wins(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    order_id = await engine.placed(bid - FAR, 100)
    engine.request(RequestType.REPLACE, order_id, price=bid - 2 * FAR, quantity=100)
    engine.request(RequestType.CANCEL, order_id)
    await engine.told_of(order_id, E.CANCELED)
    await engine.told_of(order_id, E.REPLACE_REJECTED)
    assert alive(server) == 0
    check_agreement(server, engine)


@pytest.mark.parametrize("kind", ["unknown_executed", "unknown_not_executed", "drop_reply"])
@pytest.mark.parametrize("path", ["create_order", "cancel_order"])
async def test_no_unknown_outcome_makes_two_live_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, path: str
) -> None:
    monkeypatch.setattr("exchanges.grvt.account_fetcher.TIME_TO_LIVE_LIMIT_MS", 200)
    async with await serve(options()) as server, live(server, tmp_path, reply_timeout_s=0.3) as engine:
        server.freeze()
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR, 100)
        server.arm({"kind": kind, "count": 1, "path": path})
        most = 0
        request = engine.request(RequestType.REPLACE, order_id, price=bid - 2 * FAR, quantity=150)

        def answered() -> bool:
            nonlocal most
            most = max(most, alive(server))
            return any(
                e.request_id == request.request_id and e.event_type in (E.REPLACED, E.REPLACE_REJECTED)
                for e in engine.events(order_id)
            )

        await engine.until(answered)
        assert most == 1
        known = engine.store.get(order_id)
        assert known is not None
        assert alive(server) == (not known.closed)
        assert E.REPLACE_REJECTED in engine.kinds(order_id) or not known.closed
        check_agreement(server, engine)


async def test_a_restarted_engine_finds_the_legs_at_the_venue(server: SimulatorServer, tmp_path: Path) -> None:
    async with live(server, tmp_path) as engine:
        bid, _ = best(server)
        order_id = await engine.placed(bid - FAR, 100)
        await replaced(engine, order_id, bid - 2 * FAR, 150, E.REPLACED)
    async with live(server, tmp_path) as later:
        known = later.store.get(order_id)
        assert known is not None
        assert (known.state, known.quantity, known.price) == (S.OPEN, 150, bid - 2 * FAR)
        assert known.exchange_order_id.decode() == orders(server)[-1]["order_id"]
        await replaced(later, order_id, bid - 3 * FAR, 50, E.REPLACED)
        later.request(RequestType.CANCEL, order_id)
        await later.told_of(order_id, E.CANCELED)
        assert [one["state"] for one in orders(server)] == ["CANCELED"] * 3
