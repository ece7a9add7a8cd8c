"""What passes to the gateway, and how everything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchanges.epoch_fence import EpochFence
from shm.layout import (
    EventType,
    OrderState,
    OrderType,
    Reason,
    RecordKind,
    RequestType,
    Side,
    client_order_id,
)
from tests.exchanges.order_world import BTC, EPOCH, INSTANCE, STRATEGY, World

E = EventType


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refusal(world: World) -> tuple[int, int]:
    """(event type, reason) of the one answer, after checking that nothing was sent."""
    assert not world.gateway.sent
    assert len(world.told) == 1
    return world.told[0].event_type, world.told[0].reason


def test_a_request_is_journaled_and_the_tail_committed_before_it_is_handed_over(world: World) -> None:
    request = world.send_new()
    assert world.gateway.committed == [1]
    assert [record.kind for record in world.journal.records] == [RecordKind.ORDER_REQUEST]
    assert world.journal.records[0].client_order_id == request.client_order_id
    assert world.merger.unsent == 1
    world.tell_sent(request)
    assert world.merger.unsent == 0
    assert world.merger.awaiting_replies == 1


def test_the_gateways_copy_outlives_the_readers_record(world: World) -> None:
    request = world.new_request()
    world.engine.on_request(request)
    kept = world.gateway.sent[0]
    order_id, sequence = request.client_order_id, request.sequence
    request.clear()
    assert (kept.client_order_id, kept.sequence) == (order_id, sequence)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (RequestType.NEW, E.REJECTED),
        (RequestType.CANCEL, E.CANCEL_REJECTED),
        (RequestType.REPLACE, E.REPLACE_REJECTED),
        (RequestType.CANCEL_ALL, E.CANCEL_REJECTED),
        (RequestType.QUERY, E.STATUS),
    ],
)
@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_another_epoch_is_refused(world: World, kind: RequestType, expected: E, epoch: int) -> None:
    request = world.request(kind, world.order_id(), epoch=epoch)
    world.engine.on_request(request)
    assert refusal(world) == (expected, Reason.STALE_EPOCH)
    told = world.told[0]
    assert (told.epoch, told.request_id, told.request_sequence) == (epoch, request.request_id, request.sequence)
    assert world.counters["stale_epoch"] == 1


def test_recover_of_an_older_epoch_is_refused(world: World) -> None:
    world.engine.on_request(world.request(RequestType.RECOVER, request_id=500, epoch=EPOCH - 1))
    assert refusal(world) == (E.REJECTED, Reason.STALE_EPOCH)
    assert not world.recoverer.asked


def test_recover_moves_the_fence_for_good(world: World, tmp_path: Path) -> None:
    world.engine.on_request(world.request(RequestType.RECOVER, request_id=501, epoch=EPOCH + 1))
    assert world.recoverer.asked == [(501, EPOCH + 1, world.now - 1_000)]
    world.engine.on_request(world.new_request())
    assert world.told[-1].reason == Reason.STALE_EPOCH
    assert EpochFence(tmp_path / "epoch").accepted == EPOCH + 1
    world.engine.on_request(world.request(RequestType.RECOVER, request_id=502, epoch=EPOCH + 1))
    assert len(world.recoverer.asked) == 2, "the same trader may recover again"


def test_a_passed_deadline_refuses_and_a_missing_one_too(world: World) -> None:
    world.engine.on_request(world.new_request(deadline_ns=world.now - 1))
    world.engine.on_request(world.new_request(deadline_ns=0))
    assert [event.reason for event in world.told] == [Reason.DEADLINE_PASSED] * 2
    assert world.counters["deadline_passed"] == 2
    assert not world.gateway.sent


def test_the_guard_looks_again_just_before_the_bytes_leave(world: World) -> None:
    request = world.send_new()
    assert world.engine.guard(request) == Reason.NONE
    world.kill = 1
    assert world.engine.guard(request) == Reason.KILL_SWITCH
    world.kill = 2
    world.now = request.deadline_ns + 1
    assert world.engine.guard(request) == Reason.DEADLINE_PASSED
    world.now = request.deadline_ns
    world.fence.accept(EPOCH + 1)
    assert world.engine.guard(request) == Reason.STALE_EPOCH
    cancel = world.request(RequestType.CANCEL, request.client_order_id)
    world.kill = 3
    assert world.engine.guard(cancel) == Reason.NONE


def test_a_refusal_at_the_guard_ends_the_order_and_frees_the_kill_switchs_echo(world: World) -> None:
    request = world.send_new()
    assert world.merger.unsent == 1
    world.merger.on_fact(world.failure(request, E.REJECTED, Reason.KILL_SWITCH))
    assert world.merger.unsent == 0
    assert (world.told[-1].event_type, world.told[-1].reason) == (E.REJECTED, Reason.KILL_SWITCH)
    assert world.store.totals(BTC.id).orders == 0


def test_the_kill_switch_stops_orders_and_lets_cancels_pass(world: World) -> None:
    request, _ = world.accepted()
    world.kill = 7
    world.engine.on_request(world.new_request())
    assert world.told[-1].reason == Reason.KILL_SWITCH
    world.engine.on_request(world.request(RequestType.REPLACE, request.client_order_id, price=10, quantity=10))
    assert (world.told[-1].event_type, world.told[-1].reason) == (E.REPLACE_REJECTED, Reason.KILL_SWITCH)
    assert world.told[-1].order_state == OrderState.OPEN
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    world.engine.on_request(world.request(RequestType.CANCEL_ALL))
    assert [sent.request_type for sent in world.gateway.sent[1:]] == [RequestType.CANCEL, RequestType.CANCEL_ALL]


def test_before_recovery_only_what_takes_risk_away_passes(world: World) -> None:
    world.engine.ready = False
    world.engine.on_request(world.new_request())
    assert refusal(world) == (E.REJECTED, Reason.NOT_READY)
    world.engine.on_request(world.request(RequestType.CANCEL, world.order_id()))
    assert world.gateway.sent[-1].request_type == RequestType.CANCEL


def test_without_the_venues_dead_mans_switch_no_order_goes(world: World) -> None:
    world.armed = False
    world.engine.on_request(world.new_request())
    assert refusal(world) == (E.REJECTED, Reason.NOT_READY)


@pytest.mark.parametrize(
    "fields",
    [
        {"order_id": client_order_id(INSTANCE + 1, STRATEGY, EPOCH, 1)},
        {"order_id": client_order_id(INSTANCE, STRATEGY, EPOCH + 1, 1)},
        {"order_id": 17},
        {"instrument_id": BTC.id + 7},
        {"quantity": 0},
        {"quantity": -5},
        {"price": 0},
        {"price": 6_000_003},
    ],
)
def test_requests_that_no_venue_may_see_are_refused(world: World, fields: dict[str, Any]) -> None:
    world.engine.on_request(world.new_request(**fields))
    assert refusal(world) == (E.REJECTED, Reason.BAD_REQUEST)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quantity": 1_001, "price": 6_000_000}, Reason.RISK_SIZE),
        ({"price": 6_700_000}, Reason.RISK_COLLAR),
        ({"price": 5_300_000}, Reason.RISK_COLLAR),
    ],
)
def test_the_risk_gate_refuses_with_its_reason(world: World, fields: dict[str, Any], reason: Reason) -> None:
    world.engine.on_request(world.new_request(**fields))
    assert refusal(world) == (E.REJECTED, reason)
    assert world.counters["risk_rejected"] == 1


def test_no_limits_no_orders(tmp_path: Path) -> None:
    world = World(tmp_path, limits=None)
    world.engine.on_request(world.new_request())
    assert refusal(world) == (E.REJECTED, Reason.RISK_NO_LIMITS)


def test_a_used_up_budget_refuses_and_says_until_when(world: World) -> None:
    world.gateway.refuse_until = 1_790_000_000_123 * 1_000_000
    world.engine.on_request(world.new_request())
    assert refusal(world) == (E.REJECTED, Reason.RATE_LIMIT)
    assert b"1790000000123" in world.told[0].text
    assert world.store.totals(BTC.id).orders == 0


def test_a_second_order_under_a_known_id_never_ends_the_first(world: World) -> None:
    request, _ = world.accepted()
    world.engine.on_request(world.new_request(order_id=request.client_order_id))
    told = world.told[-1]
    assert (told.event_type, told.order_state, told.reason) == (E.STATUS, OrderState.OPEN, Reason.BAD_REQUEST)
    assert len(world.gateway.sent) == 1


def test_orders_of_others_are_never_canceled(world: World) -> None:
    for order_id in (99, client_order_id(INSTANCE + 1, STRATEGY, EPOCH, 5)):
        world.engine.on_request(world.request(RequestType.CANCEL, order_id))
        assert (world.told[-1].event_type, world.told[-1].reason) == (E.CANCEL_REJECTED, Reason.BAD_REQUEST)
    assert not world.gateway.sent


def test_cancels_of_unknown_and_closed_orders_are_answered_here(world: World) -> None:
    world.engine.on_request(world.request(RequestType.CANCEL, world.order_id()))
    assert refusal(world) == (E.CANCEL_REJECTED, Reason.UNKNOWN_ORDER_HERE)
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.REJECTED, Reason.VENUE_FILTER))
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    told = world.told[-1]
    assert (told.reason, told.order_state) == (Reason.UNKNOWN_ORDER_HERE, OrderState.REJECTED)


def test_replace_needs_a_confirmed_order_without_another_replace(world: World) -> None:
    def replace(order_id: int) -> int:
        world.engine.on_request(world.request(RequestType.REPLACE, order_id, price=5_999_000, quantity=12))
        return int(world.told[-1].reason) if world.told and world.told[-1].event_type == E.REPLACE_REJECTED else 0

    assert replace(world.order_id()) == Reason.UNKNOWN_ORDER_HERE
    request = world.send_new()
    assert replace(request.client_order_id) == Reason.BAD_REQUEST
    world.merger.on_fact(world.reply(request, world.venue.place(request)))
    assert replace(request.client_order_id) == 0
    sent = world.gateway.sent[-1]
    assert (sent.request_type, sent.side, sent.price, sent.quantity) == (RequestType.REPLACE, Side.BUY, 5_999_000, 12)
    assert replace(request.client_order_id) == Reason.BAD_REQUEST


def test_ring_slots_of_before_the_start_are_refused_as_never_sent(world: World) -> None:
    requests = [
        world.new_request(),
        world.request(RequestType.CANCEL, world.order_id()),
        world.request(RequestType.CANCEL_ALL),
        world.request(RequestType.RECOVER, request_id=9_000),
    ]
    for request in requests:
        world.engine.refuse_not_sent(request)
    assert [(event.event_type, event.reason) for event in world.told] == [
        (E.REJECTED, Reason.NOT_SENT),
        (E.CANCEL_REJECTED, Reason.NOT_SENT),
        (E.CANCEL_REJECTED, Reason.NOT_SENT),
    ]
    assert [nonce for nonce, _, _ in world.recoverer.asked] == [9_000]
    assert not world.gateway.sent


def test_an_order_journaled_but_not_committed_was_never_sent(world: World) -> None:
    """The crash between journal and tail: the ring proves that the bytes did not leave."""
    request = world.new_request()
    world.engine.on_request(request)
    world.gateway.sent.clear()
    world.engine.refuse_not_sent(request)
    order = world.store.get(request.client_order_id)
    assert order is not None
    assert order.state == OrderState.REJECTED
    assert world.store.totals(BTC.id).orders == 0


def test_a_market_order_is_priced_at_the_far_end_of_the_collar(world: World) -> None:
    world.engine.on_request(world.new_request(order_type=OrderType.MARKET, price=0))
    assert world.gateway.sent[-1].order_type == OrderType.MARKET


def test_the_time_from_publish_to_poll_is_measured(world: World) -> None:
    world.send_new()
    assert world.histograms["request_to_poll"].values == [1_000]
