"""The audit: a difference that stays is told with both sides, then healed by the venue's word; a race is neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import VenueUnavailable
from exchanges.audit import Audit, Sides, Subject
from shm.layout import AuditSubject, EventType, OrderState, Reason, RecordKind, RequestType, Side
from tests.exchanges.order_world import BTC, EPOCH, MS, SECOND, World

E = EventType
S = OrderState
ORDER, TRADE, POSITION = AuditSubject.ORDER, AuditSubject.TRADE, AuditSubject.POSITION


class Place:
    """A world whose trade history was read once, so that its watermark stands."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = World(tmp_path)
        self.audit: Audit = self.world.with_audit()

    async def recovered(self) -> World:
        assert self.world.engine.recoverer is not None
        self.world.engine.recoverer.request(0, EPOCH, self.world.now)
        await self.world.settle_down()
        self.world.now += SECOND  # what trades from here on is later than the positions that were read
        return self.world

    def told(self) -> list[Any]:
        return [record for record in self.world.told if record.kind == RecordKind.AUDIT_DIFFERENCE]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_where_both_agree_nothing_is_told_and_one_look_is_enough(place: Place) -> None:
    world = await place.recovered()
    _, order = world.accepted(quantity=10)
    world.merger.on_fact(world.trade_update(order, world.venue.trade(order, 4, 900), 4, S.PARTIALLY_FILLED))
    asked = len(world.venue.asked)
    assert await place.audit.run() == {}
    assert place.told() == []
    assert world.venue.asked[asked:].count("positions") == 1
    assert (world.counters["audits"], world.counters["audit_differences"]) == (1, 0)


async def test_a_fill_that_the_stream_lost_is_told_with_both_sides_and_merged(place: Place) -> None:
    world = await place.recovered()
    request, order = world.accepted(quantity=10)
    world.venue.trade(order, 10, 900)
    found = await place.audit.run()
    await world.settle_down()
    order_id = request.client_order_id
    assert found == {
        Subject(ORDER, BTC.id, order_id): Sides(10, 0),
        Subject(TRADE, BTC.id, order_id, b"900"): Sides(0, 10),
        Subject(POSITION, BTC.id): Sides(0, 10),
    }
    records = {(record.subject, record.client_order_id, record.trade_id): record for record in place.told()}
    trade = records[TRADE, order_id, b"900"]
    assert (trade.ours, trade.theirs, trade.instrument_id, trade.venue) == (0, 10, BTC.id, 1)
    assert (records[POSITION, 0, b""].ours, records[POSITION, 0, b""].theirs) == (0, 10)
    assert len(records) == 3
    healed = world.store.get(order_id)
    assert healed is not None
    assert (healed.state, healed.cumulative_quantity) == (S.FILLED, 10)
    assert world.kinds(order_id).count(E.FILL) == 1
    assert world.gate.net_position(BTC.id) == 10
    assert await place.audit.run() == {}


async def test_a_difference_stands_in_the_journal_before_the_events_that_heal_it(place: Place) -> None:
    world = await place.recovered()
    _, order = world.accepted(quantity=10)
    world.venue.trade(order, 10, 900)
    await place.audit.run()
    kinds = [
        (record.kind, getattr(record, "event_type", None))
        for record in world.journal.records
        if record.kind in (RecordKind.AUDIT_DIFFERENCE, RecordKind.ORDER_EVENT)
    ]
    differences = [index for index, (kind, _) in enumerate(kinds) if kind == RecordKind.AUDIT_DIFFERENCE]
    assert max(differences) < kinds.index((RecordKind.ORDER_EVENT, E.FILL))


async def test_an_order_that_the_venue_does_not_list_is_settled_by_its_own_word(place: Place) -> None:
    world = await place.recovered()
    request, order = world.accepted(quantity=10)
    order.state = S.CANCELED
    assert await place.audit.run() == {Subject(ORDER, BTC.id, request.client_order_id): Sides(10, 0)}
    assert world.store.get(request.client_order_id).closed is False  # type: ignore[union-attr]
    await world.settle_down()
    assert world.kinds(request.client_order_id)[-1] == E.CANCELED


async def test_a_list_that_forgets_an_open_order_does_not_end_it(place: Place) -> None:
    world = await place.recovered()
    request, _ = world.accepted(quantity=10)
    world.venue.listed_wrong.add(request.client_order_id)
    assert await place.audit.run() == {Subject(ORDER, BTC.id, request.client_order_id): Sides(10, 0)}
    await world.settle_down()
    assert world.store.get(request.client_order_id).state == S.OPEN  # type: ignore[union-attr]


async def test_an_order_placed_by_hand_that_nobody_told_of_is_reported_and_adopted(place: Place) -> None:
    world = await place.recovered()
    order = world.venue.place(world.request(RequestType.NEW, 4711, side=Side.SELL, price=6_100_000, quantity=7))
    assert await place.audit.run() == {Subject(ORDER, BTC.id, 4711): Sides(0, 7)}
    known = world.store.get(4711)
    assert known is not None
    assert known.external
    assert (known.quantity, known.exchange_order_id) == (7, order.exchange_order_id)
    assert await place.audit.run() == {}


async def test_a_position_that_was_changed_behind_our_back_becomes_the_gates(place: Place) -> None:
    world = await place.recovered()
    world.venue.net[BTC.id] = -30
    assert await place.audit.run() == {Subject(POSITION, BTC.id): Sides(0, -30)}
    assert world.gate.net_position(BTC.id) == -30
    assert await place.audit.run() == {}


async def test_what_changes_between_the_two_looks_was_only_on_its_way(place: Place) -> None:
    world = await place.recovered()
    request, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 10, 900)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.now += int(seconds * SECOND)
        world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))

    place.audit._sleep = sleep
    assert await place.audit.run() == {}
    assert slept == [2.0]
    assert place.told() == []
    assert world.kinds(request.client_order_id).count(E.FILL) == 1


async def test_a_fill_under_an_id_that_was_given_before_is_told_with_both_sides(place: Place) -> None:
    """The venue's trade ids went backwards: its fills drop out as replays, and its word that the order is filled would
    be the only trace of them."""
    world = await place.recovered()
    world.ledger.advance(BTC.id, 5_000)
    request, order = world.accepted(quantity=10)
    world.merger.on_fact(world.trade_update(order, world.venue.trade(order, 10, 900), 10, S.FILLED))
    world.now += SECOND
    world.merger.on_timer()  # the missing fill is fetched
    await world.settle_down()
    known = world.store.get(request.client_order_id)
    assert known is not None and known.state == S.FILLED
    assert E.FILL not in world.kinds(request.client_order_id)
    assert world.counters["contradictions"] == 1
    assert await place.audit.run() == {
        Subject(ORDER, BTC.id, request.client_order_id): Sides(10, 0),
        Subject(POSITION, BTC.id): Sides(0, 10),
    }
    assert {(record.subject, record.ours, record.theirs) for record in place.told()} == {
        (ORDER, 10, 0), (POSITION, 0, 10),
    }  # fmt: skip
    assert world.gate.net_position(BTC.id) == 10
    assert await place.audit.run() == {}


async def test_an_order_that_the_venue_calls_filled_without_showing_its_trades_is_told(place: Place) -> None:
    world = await place.recovered()
    request, order = world.accepted(quantity=10)
    world.venue.trade(order, 10, 900)
    world.venue.trades.clear()
    world.venue.net.clear()
    world.merger.on_fact(world.venue.status(order))
    subject = Subject(ORDER, BTC.id, request.client_order_id)
    assert await place.audit.run() == {subject: Sides(10, 0)}
    assert await place.audit.run() == {subject: Sides(10, 0)}, "as long as it lasts"
    assert world.store.get(request.client_order_id).closed is False  # type: ignore[union-attr]


async def test_fills_of_an_order_that_was_adopted_were_told_in_an_earlier_life(place: Place) -> None:
    world = await place.recovered()
    world.ledger.advance(BTC.id, 5_000)
    order = world.venue.place(world.new_request(quantity=10))
    world.merger.on_fact(world.venue.status(order))
    world.venue.trade(order, 4, 900)
    world.merger.on_fact(world.venue.status(order))
    world.now += SECOND
    world.merger.on_timer()
    await world.settle_down()
    assert world.counters["contradictions"] == 0
    assert await place.audit.run() == {Subject(POSITION, BTC.id): Sides(0, 4)}


async def test_orders_that_somebody_asks_about_already_are_not_compared(place: Place) -> None:
    world = await place.recovered()
    unknown = world.send_new(quantity=10)
    world.venue.place(unknown)
    world.tell_sent(unknown)
    settlement = world.merger.settler
    world.merger.settler = world.settler  # nobody answers the question yet
    world.merger.on_fact(world.failure(unknown, E.UNKNOWN, Reason.TIMEOUT))
    canceled, order = world.accepted(quantity=10)
    world.engine.on_request(world.request(RequestType.CANCEL, canceled.client_order_id))
    order.state = S.CANCELED
    world.merger.settler = settlement
    assert await place.audit.run() == {}


async def test_a_venue_that_does_not_answer_changes_nothing(place: Place) -> None:
    world = await place.recovered()
    _, order = world.accepted(quantity=10)
    world.venue.trade(order, 10, 900)
    told = len(world.told)
    world.venue.failures = 1
    with pytest.raises(VenueUnavailable):
        await place.audit.run()
    assert (len(world.told), world.counters["audits"]) == (told, 0)


async def test_a_full_ring_keeps_the_difference_in_the_journal(place: Place) -> None:
    world = await place.recovered()
    world.venue.net[BTC.id] = 5
    world.ring_room = 0
    await place.audit.run()
    assert [record.theirs for record in world.journal.records if record.kind == RecordKind.AUDIT_DIFFERENCE] == [5]
    assert world.resync.value == 1


async def test_a_difference_reads_as_one_sentence_in_the_instruments_units(place: Place) -> None:
    said = place.audit.describe(Subject(TRADE, BTC.id, 12, b"900"), Sides(0, 1_250))
    assert said == "BTCUSDT: trade 900 of order 12 is 0.000 here and 1.250 at the venue"


async def test_two_looks_are_far_enough_apart_for_a_message_on_its_way(place: Place) -> None:
    world = await place.recovered()
    world.venue.net[BTC.id] = 5
    before = world.now
    await place.audit.run()
    assert world.now - before >= 1_000 * MS
