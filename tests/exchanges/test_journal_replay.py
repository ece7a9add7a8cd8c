"""An engine that was killed knows from its journal what it may have sent; nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchanges.fill_ledger import FillLedger
from exchanges.journal_replay import Replay
from exchanges.order_store import OrderStore
from shm.journal import JournalWriter, read_journal
from shm.layout import EventType, FillPart, OrderState, Reason, RequestType
from tests.exchanges.order_world import BTC, MS, World

E = EventType
S = OrderState


class Restart:
    """A second engine over the journal of the first, as processes/trading_engine.py makes it."""

    def __init__(self, first: World, directory: Path) -> None:
        journal = JournalWriter(directory / "journal", slots_per_file=1 << 10)
        for record in first.journal.records:
            journal.append(record)
        journal.close()
        self.world = World(directory)
        self.world.now = first.now + 50 * MS
        self.world._request_ids, self.world._counter = first._request_ids, first._counter
        self.world.venue = first.venue
        first.venue.world = self.world
        self.replay = Replay(self.world.store, self.world.ledger)
        self.replay.read(read_journal(directory / "journal"))

    def finish(self) -> None:
        self.world.merger.after_restart(self.replay.unanswered.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "first").mkdir()
    return World(tmp_path / "first")


def restarted(world: World, tmp_path: Path) -> World:
    restart = Restart(world, tmp_path / "second")
    restart.finish()
    return restart.world


def same(first: World, second: World, order_id: int) -> None:
    one, other = first.store.get(order_id), second.store.get(order_id)
    assert one is not None
    assert other is not None
    for name in ("state", "price", "quantity", "cumulative_quantity", "exchange_order_id", "accepted", "side", "epoch"):
        assert getattr(one, name) == getattr(other, name), name


def test_open_closed_and_replaced_orders_come_back_as_they_were(world: World, tmp_path: Path) -> None:
    resting, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 4, 8)
    world.merger.on_fact(world.trade_update(order, trade, 4, S.PARTIALLY_FILLED))
    done, order = world.accepted(quantity=10)
    world.merger.on_fact(world.trade_update(order, world.venue.trade(order, 10, 9), 10, S.FILLED))
    gone, order = world.accepted()
    order.state = S.CANCELED
    world.merger.on_fact(world.stream(order, E.CANCELED))
    changed, order = world.accepted()
    order.price, order.quantity, order.time_ns = 5_990_000, 20, world.venue_time_ns() + MS
    world.merger.on_fact(world.stream(order, E.REPLACED))
    second = restarted(world, tmp_path)
    for request in (resting, done, gone, changed):
        same(world, second, request.client_order_id)
    assert second.store.totals(BTC.id).buy == world.store.totals(BTC.id).buy == 6 + 20
    assert not second.told
    assert not second.settler.unknown


def test_fills_that_were_told_are_known_after_a_restart(world: World, tmp_path: Path) -> None:
    request, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 4, 8)
    world.merger.on_fact(world.trade_lite(order, trade))
    second = restarted(world, tmp_path)
    second.merger.on_fact(second.trade_lite(order, trade))
    assert not second.told
    second.merger.on_fact(second.trade_update(order, trade, 4, S.PARTIALLY_FILLED))
    assert [(event.event_type, event.parts) for event in second.told] == [(E.FILL_FEE, FillPart.FEE)]
    found = second.store.get(request.client_order_id)
    assert found is not None
    assert found.cumulative_quantity == 4


@pytest.mark.parametrize("sent", [False, True])
def test_a_request_without_an_answer_is_unknown_and_followed_up(world: World, tmp_path: Path, sent: bool) -> None:
    request = world.send_new()
    if sent:
        world.tell_sent(request)
    second = restarted(world, tmp_path)
    assert [(event.event_type, event.request_id, event.reason) for event in second.told] == [
        (E.UNKNOWN, request.request_id, Reason.DISCONNECTED)
    ]
    assert request.client_order_id in [order.client_order_id for order, _ in second.settler.unknown]
    assert second.store.totals(BTC.id).buy == 10


def test_an_order_that_was_unknown_stays_unknown(world: World, tmp_path: Path) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    second = restarted(world, tmp_path)
    found = second.store.get(request.client_order_id)
    assert found is not None
    assert found.state == S.UNKNOWN
    assert next(order.client_order_id for order, _ in second.settler.unknown) == request.client_order_id


@pytest.mark.parametrize("kind", [RequestType.CANCEL, RequestType.REPLACE])
def test_a_cancel_or_replace_without_an_answer_is_unknown_too(world: World, tmp_path: Path, kind: RequestType) -> None:
    request, _ = world.accepted(quantity=10)
    world.engine.on_request(world.request(kind, request.client_order_id, price=5_990_000, quantity=30))
    sent = world.gateway.sent[-1]
    second = restarted(world, tmp_path)
    assert [(event.event_type, event.request_type, event.request_id) for event in second.told] == [
        (E.UNKNOWN, kind, sent.request_id)
    ]
    (order, in_flight), *_ = second.settler.unknown
    assert in_flight is not None
    assert (order.client_order_id, in_flight.request_type) == (request.client_order_id, kind)
    assert second.store.totals(BTC.id).buy == (30 if kind == RequestType.REPLACE else 10)


async def test_after_the_restart_the_venue_says_what_became_of_it(world: World, tmp_path: Path) -> None:
    executed, lost = world.send_new(), world.send_new()
    order = world.venue.place(executed)
    world.venue.trade(order, 10, 77)
    restart = Restart(world, tmp_path / "second")
    second = restart.world
    second.with_settlement()
    bracket = second.with_recovery()
    restart.finish()
    bracket.request(0, 9, second.now)
    await second.settle_down()
    second.now += 1_000 * MS
    second.merger.on_timer()
    await second.settle_down()
    assert second.kinds(executed.client_order_id)[-1] in (E.FILL, E.STATUS)
    states = [second.store.get(request.client_order_id) for request in (executed, lost)]
    assert [found.state for found in states if found is not None] == [S.FILLED, S.REJECTED]
    assert second.events_of(lost.client_order_id)[-1].reason == Reason.SETTLED_ABSENT
    assert second.kinds(executed.client_order_id).count(E.FILL) == 1


def test_the_ring_proves_what_was_journaled_but_never_sent(world: World, tmp_path: Path) -> None:
    request = world.send_new()
    restart = Restart(world, tmp_path / "second")
    restart.replay.unanswered.pop((request.epoch, request.request_id))
    restart.world.engine.refuse_not_sent(request)
    restart.finish()
    told = restart.world.told
    assert [(event.event_type, event.reason) for event in told] == [(E.REJECTED, Reason.NOT_SENT)]
    assert restart.world.store.totals(BTC.id).buy == 0
    assert not restart.world.settler.unknown


def test_the_watermark_is_in_the_journal(world: World, tmp_path: Path) -> None:
    world.events.watermark(BTC.id, 500)
    world.events.watermark(BTC.id, 700)
    second = restarted(world, tmp_path)
    assert second.ledger.watermark(BTC.id) == 700


def test_an_overflow_before_the_crash_is_remembered(world: World, tmp_path: Path) -> None:
    _, order = world.accepted()
    world.ring_room = 0
    world.merger.on_fact(world.trade_lite(order, world.venue.trade(order, 10, 1)))
    restart = Restart(world, tmp_path / "second")
    assert restart.replay.overflowed_since_ns == world.now
    assert [event.trade_id for event in restart.replay.recent_fills] == [b"1"]


def test_orders_of_an_earlier_trader_that_were_adopted_stay_known(world: World, tmp_path: Path) -> None:
    order = world.venue.place(world.new_request())
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    stranger = world.venue.place(world.new_request(order_id=55))
    world.merger.on_fact(world.stream(stranger, E.ACCEPTED))
    second = restarted(world, tmp_path)
    same(world, second, order.client_order_id)
    found = second.store.get(55)
    assert found is not None
    assert found.external


def test_an_empty_journal_knows_nothing(tmp_path: Path) -> None:
    store = OrderStore()
    replay = Replay(store, FillLedger())
    replay.read(read_journal(tmp_path / "none"))
    assert (replay.records, len(store), replay.unanswered) == (0, 0, {})
