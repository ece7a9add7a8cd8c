"""Calls of the account that have no other test: several orders in one, and what a lost answer leaves of them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.grvt.account_fetcher import GrvtAccountFetcher
from exchanges.grvt.order_budget import CREATES
from exchanges.grvt.simulator import SimulatorServer, serve
from shm.layout import (
    EventType,
    ExecFlag,
    OrderState,
    OrderType,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    Venue,
    client_order_id,
)
from shm.records import OrderRequest
from tests.exchanges.grvt.live_engine import FAR, PERPETUAL, LiveEngine, best, live, options, orders
from tests.exchanges.grvt.simulator_client import order, until
from tests.exchanges.live_engine import EPOCH, INSTANCE, STRATEGY

SYMBOL = PERPETUAL.symbol
_counter = itertools.count(1_000)


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


def fetcher_of(engine: LiveEngine) -> GrvtAccountFetcher:
    return engine.oms._connection.fetcher


def signed(engine: LiveEngine, price: int, quantity: int = 10) -> dict[str, Any]:
    """Body of a create under an id of its own, as the engine would send it."""
    request = OrderRequest()
    request.request_type, request.venue, request.instrument_id = RequestType.NEW, Venue.GRVT, PERPETUAL.id
    request.client_order_id = client_order_id(INSTANCE, STRATEGY, EPOCH, next(_counter))
    request.side, request.order_type, request.time_in_force = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
    request.price, request.quantity, request.exec_flags = price, quantity, int(ExecFlag.POST_ONLY)
    return engine.oms._codec.encode_new(request, engine.oms.clock.now_ns(), 10**9)


def wire_ids(creates: list[dict[str, Any]]) -> list[int]:
    return [int(create["order"]["metadata"]["client_order_id"]) for create in creates]


async def test_one_call_cancels_and_then_creates(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    old = engine.store.get(await engine.placed(bid - FAR))
    assert old is not None
    creates = [signed(engine, bid - FAR - step) for step in range(3)]
    taken = await fetcher_of(engine).bulk_orders([old.exchange_order_id.decode()], creates)
    assert [fact.client_order_id for fact in taken] == wire_ids(creates)
    assert {fact.order_state for fact in taken} == {OrderState.PENDING_NEW}
    await until(lambda: sum(one["open"] for one in orders(server)) == 3, 20.0)
    assert [one["client_order_id"] for one in orders(server) if one["open"]] == [str(one) for one in wire_ids(creates)]
    assert orders(server)[0]["state"] == "CANCELED"
    assert server.truth()["requests"]["v2/bulk_orders"] == 1


async def test_an_order_of_the_call_is_rejected_by_itself(server: SimulatorServer, engine: LiveEngine) -> None:
    bid, _ = best(server)
    creates = [
        signed(engine, bid - FAR), signed(engine, bid - FAR, 500_000), signed(engine, bid - FAR, 1),
        signed(engine, bid - FAR - 1),
    ]  # fmt: skip
    fetcher = fetcher_of(engine)
    assert len(await fetcher.bulk_orders([], creates)) == 4, "all are taken, as far as the answer tells"
    found = [await fetcher.order(SYMBOL, one) for one in wire_ids(creates)]
    assert [fact.order_state for fact in found if fact is not None] == [
        OrderState.OPEN, OrderState.REJECTED, OrderState.REJECTED, OrderState.OPEN,
    ]  # fmt: skip
    assert [fact.reason for fact in found if fact is not None][1:3] == [
        Reason.VENUE_INSUFFICIENT_MARGIN, Reason.VENUE_REJECTED,
    ]  # fmt: skip


async def test_a_form_that_is_wrong_refuses_the_call_before_anything_is_canceled(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    old = engine.store.get(await engine.placed(bid - FAR))
    assert old is not None
    good, bad = signed(engine, bid - FAR), signed(engine, bid - FAR)
    bad["order"]["legs"][0]["size"] = "0.02"  # not what was signed
    with pytest.raises(VenueRefused, match="does not match payload"):
        await fetcher_of(engine).bulk_orders([old.exchange_order_id.decode()], [good, bad])
    assert [one["open"] for one in orders(server)] == [True]
    assert await fetcher_of(engine).order(SYMBOL, wire_ids([good])[0]) is None


@pytest.mark.parametrize(
    ("fault", "exist"), [("drop_reply", True), ("unknown_executed", True), ("unknown_not_executed", False)]
)
async def test_an_answer_that_is_lost_leaves_each_order_to_be_asked_for(
    server: SimulatorServer, engine: LiveEngine, fault: str, exist: bool
) -> None:
    bid, _ = best(server)
    creates = [signed(engine, bid - FAR - step) for step in range(3)]
    fetcher = fetcher_of(engine)
    server.arm({"kind": fault, "path": "v2/bulk_orders"})
    with pytest.raises(VenueUnavailable):
        await fetcher.bulk_orders([], creates)
    found = [await fetcher.order(SYMBOL, one) for one in wire_ids(creates)]
    assert [fact is not None and fact.order_state == OrderState.OPEN for fact in found] == [exist] * 3


async def test_creates_cost_the_same_together_as_alone_and_too_many_are_refused_here(
    server: SimulatorServer, engine: LiveEngine
) -> None:
    bid, _ = best(server)
    fetcher = fetcher_of(engine)
    with pytest.raises(ValueError, match="100 cancels and 100 creates"):
        await fetcher.bulk_orders([], [{"order": order()}] * 101)
    tokens = int(engine.oms._budget.buckets[CREATES].limit)
    with pytest.raises(VenueUnavailable, match="rate limit"):
        await fetcher.bulk_orders([], [signed(engine, bid - FAR) for _ in range(tokens + 1)])
    assert server.truth()["requests"].get("v2/bulk_orders", 0) == 0


async def test_an_order_whose_only_trace_is_a_fill_of_an_earlier_page_is_not_absent(
    server: SimulatorServer, engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchanges.grvt.account_fetcher.PAGE_LIMIT", 1)
    fetcher, deep = fetcher_of(engine), best(server)[1] + 1_000
    filled = [engine.order(deep, 10) for _ in range(3)]
    for order_id in filled:
        await engine.told_of(order_id, EventType.FILL)
    unknown = client_order_id(INSTANCE, STRATEGY, EPOCH, next(_counter))
    long_ago = 600 * 10**9
    assert [await fetcher.absent(one, long_ago) for one in (*filled, unknown)] == [False, False, False, True]
