"""Unknown outcomes are followed up until the venue's word is complete; time passes only in `world.sleep`."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchanges.adapter import VenueUnavailable
from exchanges.order_merger import MISSING_FILL_NS
from shm.layout import EventType, OrderState, Reason, RequestType
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import BTC, MS, SECOND, VenueOrder, World

E = EventType
S = OrderState
ACCEPTANCE_NS = 6 * SECOND


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.with_settlement(ACCEPTANCE_NS)
    return made


def unknown_new(world: World) -> OrderRequest:
    request = world.send_new()
    world.tell_sent(request)
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    return request


def unknown_request(world: World, kind: RequestType, **fields: int) -> tuple[OrderRequest, VenueOrder]:
    request, order = world.accepted(quantity=10)
    world.engine.on_request(world.request(kind, request.client_order_id, **fields))
    sent = world.gateway.sent[-1]
    world.tell_sent(sent)
    world.merger.on_fact(world.failure(sent, E.UNKNOWN, Reason.TIMEOUT))
    return sent, order


async def test_an_order_that_was_executed_is_found_by_query(world: World) -> None:
    request = unknown_new(world)
    order = world.venue.place(request)
    world.venue.trade(order, 10, 5)
    await world.settle_down()
    accepted = world.events_of()[-1]
    assert (accepted.event_type, accepted.reason) == (E.ACCEPTED, Reason.SETTLED_EXECUTED)
    assert accepted.request_id == request.request_id
    world.now += MISSING_FILL_NS
    world.merger.on_timer()
    await world.settle_down()
    assert world.kinds()[-1] == E.FILL
    assert world.events_of()[-1].order_state == S.FILLED
    assert world.counters["unknown_settled_executed"] == 1
    assert world.counters["fills_fetched"] == 1


async def test_an_absent_order_is_rejected_only_after_the_bound_and_three_questions(world: World) -> None:
    began = world.now
    request = unknown_new(world)
    await world.settle_down()
    told = world.events_of()[-1]
    assert (told.event_type, told.reason, told.request_id) == (
        E.REJECTED, Reason.SETTLED_ABSENT, request.request_id,
    )  # fmt: skip
    assert world.now - began >= ACCEPTANCE_NS
    assert world.venue.asked[-3:] == ["order", "open orders", "trades since"]
    assert world.venue.asked.count("order") > 3, "it was asked for all the time"
    assert world.venue.asked.count("open orders") == 1, "the lists count only after the bound"
    assert world.counters["unknown_settled_absent"] == 1
    assert world.store.totals(BTC.id).buy == 0


async def test_a_replica_that_lags_does_not_make_an_order_absent(world: World) -> None:
    request = unknown_new(world)
    world.venue.place(request)
    world.venue.hidden.add(request.client_order_id)

    async def appear() -> None:
        while world.now < 1_000 * SECOND + ACCEPTANCE_NS - SECOND:
            await world.sleep(0)
        world.venue.hidden.clear()

    world.spawn(appear())
    await world.settle_down()
    assert world.kinds()[-1] == E.ACCEPTED


async def test_open_orders_overrule_a_query_that_knows_nothing(world: World) -> None:
    request = unknown_new(world)
    order = world.venue.place(request)

    async def forget(symbol: str, client_order_id: int) -> None:
        world.venue.asked.append("order")

    world.venue.order = forget  # type: ignore[method-assign, assignment]
    await world.settle_down()
    assert world.kinds()[-1] == E.ACCEPTED
    assert world.events_of()[-1].exchange_order_id == order.exchange_order_id


async def test_the_trade_history_overrules_both(world: World) -> None:
    """Filled at once: not open any more, and the replica of the order query is far behind."""
    request = unknown_new(world)
    order = world.venue.place(request)
    world.venue.trade(order, 10, 8)
    world.venue.hidden.add(request.client_order_id)
    await world.settle_down()
    assert world.kinds()[-2:] == [E.ACCEPTED, E.FILL]
    assert world.events_of()[-1].order_state == S.FILLED
    assert world.events_of()[-1].parts == 3


async def test_a_trade_that_carries_our_id_counts_where_the_venue_forgot_its_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders are remembered for less long than trades: after a long outage the trade alone says that it filled."""
    request = unknown_new(world)
    world.venue.trade(world.venue.place(request), 10, 8).client_order_id = request.client_order_id
    world.venue.hidden.add(request.client_order_id)

    async def forgotten(symbol: str, exchange_order_id: bytes) -> None:
        world.venue._question("order by exchange id")

    monkeypatch.setattr(world.venue, "order_by_exchange_id", forgotten)
    await world.settle_down()
    assert world.kinds()[-1] == E.FILL
    assert world.events_of()[-1].order_state == S.FILLED
    assert "order by exchange id" not in world.venue.asked


async def test_trades_of_others_do_not_count(world: World) -> None:
    other = world.venue.place(world.new_request(order_id=12345))
    request = unknown_new(world)
    world.venue.trade(other, 10, 8)
    await world.settle_down()
    assert world.events_of(request.client_order_id)[-1].reason == Reason.SETTLED_ABSENT


async def test_questions_that_fail_prove_nothing(world: World) -> None:
    unknown_new(world)
    world.venue.failures = 30
    await world.settle_down()
    assert world.events_of()[-1].reason == Reason.SETTLED_ABSENT
    assert len(world.venue.asked) > 30


async def test_the_streams_word_ends_the_questions(world: World) -> None:
    request = unknown_new(world)
    world.venue.hidden.add(request.client_order_id)
    order = world.venue.place(request)

    async def speak() -> None:
        await world.sleep(1.0)
        world.merger.on_fact(world.stream(order, E.ACCEPTED))

    world.spawn(speak())
    await world.settle_down()
    assert world.kinds() == [E.SENT, E.UNKNOWN, E.ACCEPTED]


async def test_an_unknown_cancel_is_sent_again_until_the_order_is_over(world: World) -> None:
    sent, order = unknown_request(world, RequestType.CANCEL)

    async def lose_some_then_cancel() -> None:
        while len(world.gateway.sent) < 5:
            await world.sleep(0)
        order.state, order.time_ns = S.CANCELED, world.venue_time_ns()
        world.merger.on_fact(world.stream(order, E.CANCELED))

    world.spawn(lose_some_then_cancel())
    await world.settle_down()
    again = world.gateway.sent[2:]
    assert {request.request_type for request in again} == {RequestType.CANCEL}
    assert {request.request_id for request in again} == {0}, "they answer no request of the trader"
    told = world.events_of()[-1]
    assert (told.event_type, told.request_id) == (E.CANCELED, sent.request_id)


async def test_an_unknown_cancel_that_worked_is_not_sent_again(world: World) -> None:
    sent, order = unknown_request(world, RequestType.CANCEL)
    order.state, order.time_ns = S.CANCELED, world.venue_time_ns()
    await world.settle_down()
    assert len(world.gateway.sent) == 2
    assert (world.events_of()[-1].event_type, world.events_of()[-1].request_id) == (E.CANCELED, sent.request_id)
    assert world.counters["unknown_settled_executed"] == 1


async def test_an_unknown_cancel_of_an_order_that_filled_is_answered(world: World) -> None:
    sent, order = unknown_request(world, RequestType.CANCEL)
    trade = world.venue.trade(order, 10, 4)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    await world.settle_down()
    told = world.events_of()[-1]
    assert (told.event_type, told.request_id, told.order_state) == (E.CANCEL_REJECTED, sent.request_id, S.FILLED)


async def test_an_unknown_replace_that_worked_is_told_as_replaced(world: World) -> None:
    sent, order = unknown_request(world, RequestType.REPLACE, price=5_999_000, quantity=12)
    order.price, order.quantity, order.time_ns = 5_999_000, 12, world.venue_time_ns() + MS
    await world.settle_down()
    told = world.events_of()[-1]
    assert (told.event_type, told.reason, told.request_id) == (E.REPLACED, Reason.SETTLED_EXECUTED, sent.request_id)
    assert (told.price, told.quantity) == (5_999_000, 12)
    assert len(world.gateway.sent) == 2


async def test_an_unknown_replace_that_did_not_work_is_refused_only_after_the_bound(world: World) -> None:
    sent, _ = unknown_request(world, RequestType.REPLACE, price=5_999_000, quantity=12)
    assert world.store.totals(BTC.id).buy == 12
    began = world.now
    await world.settle_down()
    told = world.events_of()[-1]
    assert (told.event_type, told.reason, told.request_id) == (
        E.REPLACE_REJECTED, Reason.SETTLED_ABSENT, sent.request_id,
    )  # fmt: skip
    assert world.now - began >= ACCEPTANCE_NS
    assert (told.price, told.quantity) == (6_000_000, 10)
    assert world.store.totals(BTC.id).buy == 10
    assert len(world.gateway.sent) == 2, "an amend never goes twice"


async def test_a_confirmed_order_that_the_venue_forgot_ends_with_its_fills(world: World) -> None:
    request, order = world.accepted(quantity=10)
    trade = world.venue.trade(order, 3, 2)
    world.merger.on_fact(world.trade_update(order, trade, 3, S.PARTIALLY_FILLED))
    order.state = S.CANCELED
    world.venue.hidden.add(request.client_order_id)
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    cancel = world.gateway.sent[-1]
    world.merger.on_fact(world.failure(cancel, E.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER))
    await world.settle_down()
    told = world.events_of()[-1]
    assert (told.event_type, told.reason, told.cumulative_quantity) == (E.CANCELED, Reason.VENUE_UNKNOWN_ORDER, 3)


async def test_the_cancel_race_asks_how_the_order_ended(world: World) -> None:
    request, order = world.accepted(quantity=10)
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    cancel = world.gateway.sent[-1]
    world.venue.trade(order, 10, 2)
    world.merger.on_fact(world.failure(cancel, E.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER))
    await world.settle_down()
    world.now += MISSING_FILL_NS
    world.merger.on_timer()
    await world.settle_down()
    assert world.kinds()[-2:] == [E.CANCEL_REJECTED, E.FILL]
    assert world.events_of()[-1].order_state == S.FILLED


async def test_fills_of_an_earlier_life_close_an_order_without_being_told_again(world: World) -> None:
    request, order = world.accepted(quantity=10)
    world.ledger.advance(BTC.id, 100)
    world.venue.trade(order, 10, 50)  # below the watermark: told before a restart
    world.merger.on_fact(world.stream(order, E.STATUS))
    world.now += MISSING_FILL_NS
    world.merger.on_timer()
    await world.settle_down()
    assert E.FILL not in world.kinds(request.client_order_id)
    assert world.events_of()[-1].order_state == S.FILLED


# --- venues that take a request before they decide about it -----------------------------------------------------------
async def test_a_pending_order_is_asked_for_until_the_venue_has_decided(world: World) -> None:
    request = unknown_new(world)
    order = world.venue.place(request)
    order.state = S.PENDING_NEW
    decided = order.time_ns + 30 * SECOND

    def status(one: VenueOrder) -> OrderEvent:
        if world.venue_time_ns() >= decided:
            one.state = S.OPEN
        fact = plain(one)
        if one.state == S.PENDING_NEW:
            fact.flags = 0
        return fact

    plain = world.venue.status
    world.venue.status = status  # type: ignore[method-assign]
    await world.settle_down()
    assert world.venue_time_ns() >= decided, "PENDING is no absence, however long it lasts"
    assert (world.events_of()[-1].event_type, world.events_of()[-1].reason) == (E.ACCEPTED, Reason.SETTLED_EXECUTED)


async def test_an_order_that_has_no_bound_of_its_own_is_forbidden_once_and_the_bound_counts_from_then(
    world: World,
) -> None:
    forbidden: list[tuple[str, int, int]] = []

    async def forbid(symbol: str, order_id: int) -> int:
        forbidden.append((symbol, order_id, world.now))
        return 20 * SECOND

    world.with_settlement(ACCEPTANCE_NS, forbid)
    request = unknown_new(world)
    await world.settle_down()
    assert [one[:2] for one in forbidden] == [("BTCUSDT", request.client_order_id)]
    assert world.now - forbidden[0][2] >= 20 * SECOND
    assert world.events_of()[-1].reason == Reason.SETTLED_ABSENT


async def test_an_order_that_exists_is_never_forbidden(world: World) -> None:
    async def forbid(symbol: str, order_id: int) -> int:
        raise AssertionError("an order that lives was canceled")

    world.with_settlement(ACCEPTANCE_NS, forbid)
    world.venue.place(unknown_new(world))
    await world.settle_down()
    assert world.kinds()[-1] == E.ACCEPTED


async def test_a_prohibition_that_fails_is_tried_again(world: World) -> None:
    failures = iter([True, True, False])

    async def forbid(symbol: str, order_id: int) -> int:
        if next(failures):
            raise VenueUnavailable("the venue does not answer")
        return SECOND

    world.with_settlement(ACCEPTANCE_NS, forbid)
    unknown_new(world)
    await world.settle_down()
    assert world.events_of()[-1].reason == Reason.SETTLED_ABSENT
    assert next(failures, None) is None
