"""The bracket: what the venue holds, told between BEGIN and END."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import VenueUnavailable
from exchanges.recovery import LOSS_MARGIN_NS, REPLICA_LAG_NS
from shm.layout import EventType, OrderState, Reason, RecordKind, RecoveryPhase, Side
from tests.exchanges.order_world import BTC, EPOCH, ETH, MS, SECOND, World

E = EventType
S = OrderState


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.with_settlement()
    made.with_recovery().lost_before_ns = 0
    return made


async def recover(world: World, nonce: int = 77, epoch: int = EPOCH) -> list[Any]:
    """Run one bracket; what was told since it began, without its two ends."""
    before = len(world.told)
    assert world.engine.recoverer is not None
    world.engine.recoverer.request(nonce, epoch, world.now)
    await world.settle_down()
    told = world.told[before:]
    while told[0].kind != RecordKind.RECOVERY:
        told.pop(0)
    assert (told[0].kind, told[0].phase, told[0].nonce) == (RecordKind.RECOVERY, RecoveryPhase.BEGIN, nonce)
    assert (told[-1].kind, told[-1].phase, told[-1].nonce) == (RecordKind.RECOVERY, RecoveryPhase.END, nonce)
    return told[1:-1]


async def test_begin_comes_at_once_and_the_engine_is_closed_until_end(world: World) -> None:
    seen: list[bool] = []

    async def stream_up() -> None:
        seen.append(world.engine.ready)

    world.with_recovery(stream_up)
    await recover(world)
    assert seen == [False]
    assert world.engine.ready


async def test_open_orders_of_ours_and_of_others_are_told_as_status(world: World) -> None:
    ours = world.venue.place(world.new_request(side=Side.SELL))
    world.venue.place(world.new_request(order_id=4321))
    told = await recover(world)
    by_id = {event.client_order_id: event for event in told if event.event_type == E.STATUS}
    assert by_id[ours.client_order_id].order_state == S.OPEN
    assert by_id[4321].order_state == S.OPEN
    assert world.told[-1].open_orders == 2
    assert world.store.totals(BTC.id).sell == 10


async def test_an_order_that_ended_while_nobody_listened_is_told_with_its_fills(world: World) -> None:
    await recover(world)  # sets the watermark
    request, order = world.accepted(quantity=10)
    world.venue.trade(order, 4, 31)
    order.state = S.CANCELED
    told = await recover(world)
    kinds = [event.event_type for event in told]
    assert kinds.index(E.FILL) < kinds.index(E.CANCELED)
    assert told[-1].order_state == S.CANCELED
    fill = told[kinds.index(E.FILL)]
    assert (fill.trade_id, fill.parts, fill.fee, fill.cumulative_quantity) == (b"31", 3, 20, 4)
    found = world.store.get(request.client_order_id)
    assert found is not None
    assert found.state == S.CANCELED
    assert world.told[-1].fills == 1


async def test_fills_that_were_told_are_not_told_again_to_another_trader(world: World) -> None:
    await recover(world)
    _, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 10, 31)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    told = await recover(world, epoch=EPOCH + 1)
    assert E.FILL not in [event.event_type for event in told]


async def test_a_missing_fee_is_brought_by_the_trade_history(world: World) -> None:
    await recover(world)
    _, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 10, 31)
    world.merger.on_fact(world.trade_lite(order, trade))
    told = await recover(world, nonce=0)
    fees = [event for event in told if event.event_type == E.FILL_FEE]
    assert [(event.trade_id, event.fee, event.parts) for event in fees] == [(b"31", 50, 2)]


async def test_the_same_trader_is_told_again_what_it_may_have_dropped(world: World) -> None:
    await recover(world)
    _, order = world.accepted(quantity=10)
    world.now += 60 * SECOND
    trade = world.venue.trade(order, 4, 31)
    world.merger.on_fact(world.trade_update(order, trade, 4, S.PARTIALLY_FILLED))
    before = len(world.journal.records)
    told = await recover(world)
    fills = [event for event in told if event.event_type == E.FILL]
    assert [event.trade_id for event in fills] == [b"31"]
    assert E.FILL not in [getattr(r, "event_type", 0) for r in world.journal.records[before:]], "journaled once"
    world.now += LOSS_MARGIN_NS + MS
    assert E.FILL not in [event.event_type for event in await recover(world)], "it had all the time to read it"


async def test_a_trader_whose_ring_was_full_gets_everything_it_missed(world: World) -> None:
    await recover(world)
    request, order = world.accepted(quantity=10)
    world.ring_room = 0
    trade = world.venue.trade(order, 10, 31)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    world.now += 600 * SECOND
    world.ring_room = None
    assert world.resync.value == 1
    told = await recover(world)
    assert (E.FILL, b"31") in [(event.event_type, event.trade_id) for event in told]
    assert told[-1].client_order_id == request.client_order_id
    assert told[-1].order_state == S.FILLED
    assert world.resync.value == 0
    assert not world.events.overflowed


async def test_a_bracket_longer_than_the_ring_waits_for_the_trader_that_asked(world: World) -> None:
    for _ in range(100):
        world.venue.place(world.new_request(quantity=1))
    world.ring_room = 20

    async def drain() -> None:
        while not any(getattr(record, "phase", 0) == RecoveryPhase.END for record in world.told):
            await world.sleep(0.001)
            world.ring_room = 20

    world.spawn(drain())
    told = await recover(world)
    assert [event.event_type for event in told] == [E.STATUS] * 100
    assert world.resync.value == 0


async def test_a_bracket_that_nobody_asked_for_does_not_wait_for_a_trader(world: World) -> None:
    for _ in range(5):
        world.venue.place(world.new_request())
    world.ring_room = 3
    assert world.engine.recoverer is not None
    world.engine.recoverer.request(0, EPOCH, world.now)
    await world.settle_down()
    assert world.engine.ready
    assert (world.ring_room, world.resync.value) == (0, 1), "the next trader has to recover"


async def test_a_full_ring_delays_begin_instead_of_losing_it(world: World) -> None:
    world.ring_room = 0

    async def drain() -> None:
        await world.sleep(0.5)
        world.ring_room = None

    world.spawn(drain())
    await recover(world)
    assert world.engine.ready


async def test_a_newer_request_replaces_a_running_bracket(world: World) -> None:
    gate = asyncio.Event()

    async def stream_up() -> None:
        await gate.wait()

    bracket = world.with_recovery(stream_up)
    bracket.request(0, EPOCH, world.now)
    await asyncio.sleep(0)
    bracket.request(88, EPOCH, world.now)
    await asyncio.sleep(0)
    bracket.request(0, EPOCH, world.now)  # a reconnect: the trader still waits for 88
    gate.set()
    await asyncio.gather(*world.tasks, return_exceptions=True)
    phases = [(record.phase, record.nonce) for record in world.told if record.kind == RecordKind.RECOVERY]
    assert phases == [
        (RecoveryPhase.BEGIN, 0),
        (RecoveryPhase.BEGIN, 88),
        (RecoveryPhase.BEGIN, 88),
        (RecoveryPhase.END, 88),
    ]


async def test_a_venue_that_fails_is_asked_until_all_is_there(world: World) -> None:
    world.venue.place(world.new_request())
    world.venue.failures = 7
    told = await recover(world)
    assert [event.event_type for event in told] == [E.STATUS]


async def test_orders_that_a_rate_limit_lets_be_asked_for_in_parts_only_are_asked_for_once_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = [world.accepted(quantity=10) for _ in range(10)]
    for _, order in ended:
        order.state = S.CANCELED
    question, left = world.venue._question, 0

    def limited(what: str) -> None:
        nonlocal left
        if what == "open orders":
            left = 3
        elif what == "order":
            if not left:
                raise VenueUnavailable("rate limit")
            left -= 1
        question(what)

    monkeypatch.setattr(world.venue, "_question", limited)
    told = await asyncio.wait_for(recover(world), 30)
    assert {event.client_order_id for event in told} == {request.client_order_id for request, _ in ended}
    assert world.venue.asked.count("order") == 10


async def test_an_unknown_order_that_the_venue_lists_is_settled_once(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.DISCONNECTED))
    world.venue.place(request)
    told = await recover(world)
    accepted = [event for event in world.events_of() if event.event_type == E.ACCEPTED]
    assert [event.reason for event in accepted] == [Reason.SETTLED_EXECUTED]
    assert (told[-1].event_type, told[-1].order_state) == (E.STATUS, S.OPEN)


async def test_an_order_still_in_flight_is_mentioned(world: World) -> None:
    request = world.send_new()
    told = await recover(world, nonce=0)
    assert [(event.event_type, event.client_order_id) for event in told] == [(E.SENT, request.client_order_id)]


async def test_the_first_read_takes_old_trades_for_nobodys(world: World) -> None:
    order = world.venue.place(world.new_request())
    order.state = S.FILLED
    world.venue.trade(order, 10, 500)
    told = await recover(world)
    assert told == []
    assert world.ledger.watermark(BTC.id) == 500
    assert world.ledger.watermark(ETH.id) == 0
    assert "order by exchange id" not in world.venue.asked


async def test_trades_of_an_order_that_nobody_knew_bring_the_order(world: World) -> None:
    await recover(world)
    request = world.new_request()
    order = world.venue.place(request)
    world.venue.trade(order, 10, 600)
    told = await recover(world)
    kinds = [event.event_type for event in told if event.client_order_id == request.client_order_id]
    assert E.FILL in kinds
    assert told[-1].order_state == S.FILLED


async def test_the_watermark_moves_only_over_trades_that_a_lagging_replica_cannot_hide(world: World) -> None:
    await recover(world)
    _, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 4, 700)
    world.merger.on_fact(world.trade_update(order, trade, 4, S.PARTIALLY_FILLED))
    await recover(world)
    assert world.ledger.watermark(BTC.id) == 0
    world.now += REPLICA_LAG_NS
    await recover(world)
    assert world.ledger.watermark(BTC.id) == 700
    markers = [r for r in world.journal.records if r.kind == RecordKind.RECOVERY and r.instrument_id == BTC.id]
    assert [(marker.phase, marker.watermark) for marker in markers] == [(0, 0), (0, 700)]
    assert all(record.instrument_id == 0 for record in world.told if record.kind == RecordKind.RECOVERY)


async def test_a_refusal_that_the_full_ring_swallowed_is_told_in_the_next_bracket_and_once(world: World) -> None:
    await recover(world)
    world.ring_room = 0
    first, old = world.new_request(), world.new_request()
    old.epoch = EPOCH - 1
    world.engine.refuse(first, Reason.RESYNC)
    world.engine.refuse(old, Reason.STALE_EPOCH)
    world.ring_room = None
    for times in (1, 0):
        told = [event for event in await recover(world) if event.event_type == E.REJECTED]
        expected = [(first.client_order_id, Reason.RESYNC)] * times
        assert [(event.client_order_id, event.reason) for event in told] == expected
    assert not world.merger.lost_refusals


async def test_the_gate_is_seeded_with_the_venues_position_and_later_fills(world: World) -> None:
    world.venue.net[BTC.id] = 40
    await recover(world)
    assert world.gate.net_position(BTC.id) == 40
    assert world.gate.net_position(ETH.id) == 0
    _, order = world.accepted(quantity=10)
    world.now += MS
    trade = world.venue.trade(order, 10, 800)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    assert world.gate.net_position(BTC.id) == 50
    await recover(world)
    assert world.gate.net_position(BTC.id) == 50, "the snapshot holds that fill already"
