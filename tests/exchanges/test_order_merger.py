"""Facts in any order and any number, one consistent stream out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.order_events import fact_of_request, refusal
from exchanges.order_merger import MISSING_FILL_NS, TAKEN_NS
from shm.layout import EventType, FillPart, OrderState, Reason, RecordKind, RequestType, Side
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import BTC, MS, World

E = EventType
S = OrderState


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def check_stream(world: World, order_id: int) -> None:
    """The promises of order_merger.py, over all that was told of one order."""
    events = world.events_of(order_id)
    alive = {E.ACCEPTED, E.FILL, E.FILL_FEE, E.CANCELED, E.EXPIRED, E.REPLACED}
    kinds = [event.event_type for event in events if event.event_type in alive]
    assert kinds.count(E.ACCEPTED) <= 1
    if kinds:
        assert kinds[0] == E.ACCEPTED
    told: dict[bytes, int] = {}
    total = 0
    for event in events:
        if event.event_type in (E.FILL, E.FILL_FEE):
            assert not told.get(event.trade_id, 0) & event.parts, "a part of a fill was told twice"
            told[event.trade_id] = told.get(event.trade_id, 0) | event.parts
            total += event.last_quantity if event.parts & FillPart.QUANTITY else 0
            assert event.cumulative_quantity == total
    ends = [event for event in events if event.event_type in (E.CANCELED, E.EXPIRED, E.REJECTED)]
    assert len(ends) <= 1
    if ends:
        assert ends[0].cumulative_quantity == total


# --- one order's life, its facts shuffled and repeated ---------------------------------------------------------------
LIVES = ("filled", "canceled", "expired after a fill", "canceled untouched", "filled at once")


def facts_of_life(world: World, life: str) -> tuple[int, list[OrderEvent], S, int]:
    """(order id, every fact that the venue may send of it, final state, filled quantity)."""
    request = world.send_new(quantity=10)
    order = world.venue.place(request)
    world.tell_sent(request)
    facts = [world.reply(request, order), world.stream(order, E.ACCEPTED)]

    def fill(quantity: int, trade_id: int) -> None:
        world.now += MS
        trade = world.venue.trade(order, quantity, trade_id)
        facts.append(world.trade_lite(order, trade))
        facts.append(world.trade_update(order, trade, order.cumulative, S(order.state)))

    if life == "filled":
        fill(3, 501)
        fill(4, 502)
        fill(3, 503)
    elif life == "filled at once":
        fill(10, 601)
    elif life in ("canceled", "expired after a fill"):
        fill(4, 701)
        fill(1, 702)
    if life.startswith(("canceled", "expired")):
        order.state = S.CANCELED if life.startswith("canceled") else S.EXPIRED
        order.time_ns = world.venue_time_ns() + MS
        facts.append(world.stream(order, E.CANCELED if order.state == S.CANCELED else E.EXPIRED))
    facts.append(world.venue.status(order))
    return request.client_order_id, facts, S(order.state), order.cumulative


@pytest.mark.parametrize("life", LIVES)
@given(data=st.data())
def test_any_order_and_number_of_facts_ends_in_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, life: str, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("life"))
    order_id, facts, state, filled = facts_of_life(world, life)
    shuffled = data.draw(st.permutations(facts))
    repeated = data.draw(st.lists(st.sampled_from(facts), max_size=6))
    for fact in (*shuffled, *repeated):
        world.merger.on_fact(fact.copy())
    order = world.store.get(order_id)
    assert order is not None
    assert (order.state, order.cumulative_quantity) == (state, filled)
    check_stream(world, order_id)
    assert world.gate.net_position(BTC.id) == filled
    totals = world.store.totals(BTC.id)
    assert (totals.buy, totals.sell, totals.orders) == (0, 0, 0)
    assert not world.settler.unknown
    last = [event for event in world.events_of(order_id) if event.event_type not in (E.FILL_FEE, E.SENT)][-1]
    assert last.order_state == state


@given(data=st.data())
def test_a_cancel_that_races_with_fills_and_its_own_reply_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("race"))
    request, order = world.accepted(quantity=10)
    cancel = world.request(RequestType.CANCEL, request.client_order_id)
    world.engine.on_request(cancel)
    sent = world.gateway.sent[-1]
    trade = world.venue.trade(order, 6, 11)
    order.state = S.CANCELED
    facts = [
        world.trade_lite(order, trade),
        world.trade_update(order, trade, 6, S.PARTIALLY_FILLED),
        world.stream(order, E.CANCELED),
        world.reply(sent, order),
    ]
    for fact in data.draw(st.permutations(facts)):
        world.merger.on_fact(fact)
    check_stream(world, request.client_order_id)
    ends = [event for event in world.events_of(request.client_order_id) if event.event_type == E.CANCELED]
    assert [(end.request_id, end.request_type, end.cumulative_quantity) for end in ends] == [
        (cancel.request_id, RequestType.CANCEL, 6)
    ]
    assert world.merger.awaiting_replies == 0


@given(data=st.data(), raised=st.booleans())
def test_a_replace_that_races_with_fills_keeps_the_venues_terms(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, raised: bool
) -> None:
    world = World(tmp_path_factory.mktemp("replace"))
    request, order = world.accepted(quantity=10)
    world.now += MS
    total = 15 if raised else 10
    world.engine.on_request(
        world.request(RequestType.REPLACE, request.client_order_id, price=6_000_100, quantity=total)
    )
    sent = world.gateway.sent[-1]
    order.price, order.quantity, order.time_ns = 6_000_100, total, world.venue_time_ns()
    reply, amendment = world.reply(sent, order), world.stream(order, E.REPLACED)
    world.now += MS
    trade = world.venue.trade(order, 10, 21)
    facts = [reply, amendment, world.trade_lite(order, trade), world.trade_update(order, trade, 10, S(order.state))]
    for fact in data.draw(st.permutations(facts)):
        world.merger.on_fact(fact)
    found = world.store.get(request.client_order_id)
    assert found is not None
    assert (found.price, found.quantity, found.cumulative_quantity) == (6_000_100, total, 10)
    assert found.state == (S.PARTIALLY_FILLED if raised else S.FILLED)
    replaced = [event for event in world.events_of(request.client_order_id) if event.event_type == E.REPLACED]
    assert [event.request_id for event in replaced] == [sent.request_id]
    check_stream(world, request.client_order_id)


# --- replies that come late -------------------------------------------------------------------------------------------
def test_a_late_refusal_of_an_order_that_settlement_found_absent_is_no_contradiction(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(fact_of_request(request, E.UNKNOWN, Reason.TIMEOUT))
    order = world.store.get(request.client_order_id)
    assert order is not None
    world.merger.settled_absent(order)
    before = len(world.events_of())
    world.merger.on_fact(refusal(request, Reason.VENUE_INSUFFICIENT_MARGIN, "Margin is insufficient."))
    assert len(world.events_of()) == before
    assert (world.counters["contradictions"], world.counters["duplicate_facts"]) == (0, 1)


def test_a_late_refusal_settles_an_unknown_order_by_itself(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(fact_of_request(request, E.UNKNOWN, Reason.TIMEOUT))
    world.merger.on_fact(refusal(request, Reason.VENUE_INSUFFICIENT_MARGIN, "Margin is insufficient."))
    assert world.kinds() == [E.UNKNOWN, E.REJECTED]
    assert world.events_of()[-1].reason == Reason.VENUE_INSUFFICIENT_MARGIN
    assert world.counters["unknown_settled_absent"] == 1


def test_a_late_acceptance_of_an_order_that_was_called_absent_is_the_contradiction_it_is(world: World) -> None:
    request = world.send_new()
    order = world.venue.place(request)
    world.merger.on_fact(fact_of_request(request, E.UNKNOWN, Reason.TIMEOUT))
    known = world.store.get(request.client_order_id)
    assert known is not None
    world.merger.settled_absent(known)
    world.merger.on_fact(world.reply(request, order))
    assert known.state == S.OPEN
    assert world.counters["contradictions"] == 1


@pytest.mark.parametrize("settled_first", [True, False])
def test_a_late_acceptance_and_the_query_tell_the_order_once(world: World, settled_first: bool) -> None:
    request = world.send_new()
    order = world.venue.place(request)
    world.merger.on_fact(fact_of_request(request, E.UNKNOWN, Reason.TIMEOUT))
    facts = [world.venue.status(order), world.reply(request, order)]
    for fact in facts if settled_first else reversed(facts):
        world.merger.on_fact(fact)
    assert world.kinds() == [E.UNKNOWN, E.ACCEPTED]
    assert world.counters["contradictions"] == 0


@pytest.mark.parametrize("kind", [RequestType.CANCEL, RequestType.REPLACE])
def test_a_late_refusal_answers_the_unknown_request_with_its_own_ids(world: World, kind: RequestType) -> None:
    request, _ = world.accepted()
    world.engine.on_request(world.request(kind, request.client_order_id, price=6_000_100, quantity=10))
    sent = world.gateway.sent[-1]
    world.merger.on_fact(fact_of_request(sent, E.UNKNOWN, Reason.TIMEOUT))
    world.merger.on_fact(refusal(sent, Reason.VENUE_FILTER, "no"))
    answer = world.events_of(request.client_order_id)[-1]
    assert answer.event_type == (E.CANCEL_REJECTED if kind == RequestType.CANCEL else E.REPLACE_REJECTED)
    assert (answer.request_id, answer.reason) == (sent.request_id, Reason.VENUE_FILTER)
    order = world.store.get(request.client_order_id)
    assert order is not None
    assert (order.requests, order.replaces, order.state) == ([], 0, S.OPEN)
    told = len(world.told)
    world.merger.on_fact(refusal(sent, Reason.VENUE_FILTER, "no"))
    assert len(world.told) == told


# --- single rules ----------------------------------------------------------------------------------------------------
def test_accepted_answers_the_request_with_its_ids_and_times(world: World) -> None:
    request = world.new_request(cause_sequence=77, cause_receive_time_ns=78)
    world.engine.on_request(request)
    sent = world.gateway.sent[-1]
    order = world.venue.place(sent)
    world.now += MS
    world.tell_sent(sent)
    world.now += MS
    world.merger.on_fact(world.reply(sent, order))
    told_sent, accepted = world.events_of(request.client_order_id)
    assert told_sent.event_type == E.SENT
    assert told_sent.sign_time_ns == told_sent.send_time_ns == world.now - MS
    for event in (told_sent, accepted):
        assert (event.request_id, event.request_sequence) == (request.request_id, request.sequence)
        assert (event.request_type, event.cause_sequence, event.cause_receive_time_ns) == (RequestType.NEW, 77, 78)
        assert event.flags == 0
    assert (accepted.event_type, accepted.order_state) == (E.ACCEPTED, S.OPEN)
    assert accepted.exchange_order_id == order.exchange_order_id
    assert world.histograms["poll_to_send"].values == [MS]
    assert world.histograms["send_to_reply"].values == [MS]


def test_a_fill_before_the_reply_is_told_after_accepted(world: World) -> None:
    request = world.send_new()
    order = world.venue.place(request)
    trade = world.venue.trade(order, 10, 1)
    world.merger.on_fact(world.trade_lite(order, trade))
    assert world.kinds() == [E.ACCEPTED, E.FILL]
    fill = world.events_of()[-1]
    assert (fill.parts, fill.order_state, fill.cumulative_quantity) == (FillPart.QUANTITY, S.FILLED, 10)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    fee = world.events_of()[-1]
    assert (fee.event_type, fee.parts, fee.fee, fee.fee_currency) == (E.FILL_FEE, FillPart.FEE, 50, b"USDT")
    world.merger.on_fact(world.reply(request, order))
    assert len(world.events_of()) == 3


def test_canceled_waits_for_its_fills_and_they_are_fetched(world: World) -> None:
    request, order = world.accepted()
    world.venue.trade(order, 4, 9)
    order.state = S.CANCELED
    world.merger.on_fact(world.stream(order, E.CANCELED))
    assert E.CANCELED not in world.kinds()
    world.merger.on_timer()
    assert not world.settler.fills, "the stream may bring them any moment"
    world.now += MISSING_FILL_NS
    world.merger.on_timer()
    assert [found.client_order_id for found in world.settler.fills] == [request.client_order_id]
    trade = world.venue.trades[0].copy()
    trade.client_order_id = request.client_order_id
    world.merger.on_fact(trade)
    assert world.kinds()[-2:] == [E.FILL, E.CANCELED]
    assert world.events_of()[-1].cumulative_quantity == 4
    world.now += MISSING_FILL_NS
    world.merger.on_timer()
    assert len(world.settler.fills) == 1


def test_everything_told_stands_in_the_journal_first(world: World) -> None:
    _request, order = world.accepted()
    trade = world.venue.trade(order, 10, 1)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    kinds = [record.kind for record in world.journal.records]
    assert kinds == [RecordKind.ORDER_REQUEST, *[RecordKind.ORDER_EVENT] * 3]
    assert [bytes(record) for record in world.journal.records[1:]] == [bytes(event) for event in world.told]


def test_a_full_ring_keeps_the_journal_and_sets_the_resync_word(world: World) -> None:
    _request, order = world.accepted()
    world.ring_room = 0
    trade = world.venue.trade(order, 10, 1)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    assert world.resync.value == 1
    fills = [r for r in world.journal.records if r.kind == RecordKind.ORDER_EVENT and r.event_type == E.FILL]
    assert len(fills) == 1
    world.ring_room = None
    refused = world.new_request()
    world.engine.on_request(refused)
    assert (world.told[-1].event_type, world.told[-1].reason) == (E.REJECTED, Reason.RESYNC)
    assert len(world.gateway.sent) == 1


def test_a_refused_order_is_rejected_with_the_venues_words(world: World) -> None:
    request = world.send_new()
    fact = world.failure(request, E.REJECTED, Reason.VENUE_POST_ONLY)
    fact.error_code, fact.text = -5022, b"would take"
    world.merger.on_fact(fact)
    told = world.events_of()[-1]
    assert (told.event_type, told.order_state, told.reason) == (E.REJECTED, S.REJECTED, Reason.VENUE_POST_ONLY)
    assert (told.error_code, told.text, told.request_id) == (-5022, b"would take", request.request_id)
    assert world.store.open_count == 0


def test_an_unknown_outcome_is_told_and_followed_up_never_rejected(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    assert world.kinds() == [E.UNKNOWN]
    assert world.settler.unknown == [(world.store.get(request.client_order_id), None)]
    assert world.store.totals(BTC.id).buy == 10, "it may live: its quantity stays counted"


def test_the_stream_settles_an_unknown_order(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    order = world.venue.place(request)
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    accepted = world.events_of()[-1]
    assert (accepted.event_type, accepted.reason) == (E.ACCEPTED, Reason.SETTLED_EXECUTED)
    assert accepted.request_id == request.request_id
    assert world.counters["unknown_settled_executed"] == 1


def test_a_failing_reply_after_the_stream_said_new_changes_nothing(world: World) -> None:
    request = world.send_new()
    order = world.venue.place(request)
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    assert world.kinds() == [E.ACCEPTED]
    assert not world.settler.unknown


def test_duplicate_id_is_no_rejection_because_only_this_order_can_have_it(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.REJECTED, Reason.VENUE_DUPLICATE_ID))
    assert world.kinds() == [E.UNKNOWN]
    assert len(world.settler.unknown) == 1


def test_a_cancel_that_found_no_order_is_rejected_and_the_end_is_asked_for(world: World) -> None:
    request, _ = world.accepted()
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    cancel = world.gateway.sent[-1]
    world.merger.on_fact(world.failure(cancel, E.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER))
    told = world.events_of()[-1]
    assert (told.event_type, told.request_id, told.order_state) == (E.CANCEL_REJECTED, cancel.request_id, S.OPEN)
    assert world.settler.unknown == [(world.store.get(request.client_order_id), None)]


def test_two_cancels_of_one_order_get_two_answers_and_one_end(world: World) -> None:
    request, order = world.accepted()
    for _ in range(2):
        world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    first, second = world.gateway.sent[-2:]
    order.state = S.CANCELED
    world.merger.on_fact(world.reply(second, order))
    world.merger.on_fact(world.failure(first, E.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER))
    answers = {event.request_id: event.event_type for event in world.events_of() if event.request_id}
    assert sorted((answers[first.request_id], answers[second.request_id])) == [E.CANCELED, E.CANCEL_REJECTED]
    assert world.kinds().count(E.CANCELED) == 1


def test_a_cancel_waits_for_an_order_that_is_not_confirmed_yet(world: World) -> None:
    request = world.send_new()
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    assert len(world.gateway.sent) == 1, "on another connection it could overtake its order"
    assert world.committed == 2
    world.merger.on_fact(world.reply(request, world.venue.place(request)))
    assert world.gateway.sent[-1].request_type == RequestType.CANCEL


def test_a_cancel_that_waited_for_a_refused_order_is_answered(world: World) -> None:
    request = world.send_new()
    cancel = world.request(RequestType.CANCEL, request.client_order_id)
    world.engine.on_request(cancel)
    world.merger.on_fact(world.failure(request, E.REJECTED, Reason.VENUE_FILTER))
    told = world.events_of()[-1]
    assert (told.event_type, told.request_id, told.reason) == (
        E.CANCEL_REJECTED, cancel.request_id, Reason.UNKNOWN_ORDER_HERE,
    )  # fmt: skip
    assert len(world.gateway.sent) == 1


def test_an_order_with_a_raise_in_flight_is_not_taken_for_filled(world: World) -> None:
    request, order = world.accepted(quantity=10)
    world.engine.on_request(world.request(RequestType.REPLACE, request.client_order_id, price=6_000_000, quantity=20))
    assert world.store.totals(BTC.id).buy == 20
    replace = world.gateway.sent[-1]
    trade = world.venue.trade(order, 10, 1)
    world.merger.on_fact(world.trade_lite(order, trade))
    assert world.events_of()[-1].order_state == S.PARTIALLY_FILLED
    world.merger.on_fact(world.failure(replace, E.REPLACE_REJECTED, Reason.VENUE_UNKNOWN_ORDER))
    assert world.kinds()[-2:] == [E.REPLACE_REJECTED, E.STATUS]
    assert world.events_of()[-1].order_state == S.FILLED


def test_an_amendment_of_somebody_else_is_told_without_a_request(world: World) -> None:
    _request, order = world.accepted()
    order.price, order.quantity, order.time_ns = 5_999_000, 8, world.venue_time_ns() + MS
    world.merger.on_fact(world.stream(order, E.REPLACED))
    told = world.events_of()[-1]
    assert (told.event_type, told.price, told.quantity, told.request_id) == (E.REPLACED, 5_999_000, 8, 0)


def test_a_fill_after_the_end_is_told_and_counted(world: World) -> None:
    _, order = world.accepted()
    order.state = S.CANCELED
    world.merger.on_fact(world.stream(order, E.CANCELED))
    order.state = S.OPEN
    trade = world.venue.trade(order, 2, 5)
    world.merger.on_fact(world.trade_lite(order, trade))
    assert world.events_of()[-1].event_type == E.FILL
    assert world.counters["late_fills"] == 1
    assert world.gate.net_position(BTC.id) == 2


def test_orders_of_others_are_told_as_status_and_never_as_fills(world: World) -> None:
    request = world.new_request(order_id=1234)
    order = world.venue.place(request)
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    trade = world.venue.trade(order, 10, 3)
    world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    assert world.kinds(1234) == [E.STATUS, E.STATUS]
    assert world.events_of(1234)[-1].order_state == S.FILLED
    assert world.store.totals(BTC.id).orders == 0
    assert world.gate.net_position(BTC.id) == 10, "it is the same account"


def test_an_order_of_ours_that_nobody_knew_is_adopted(world: World) -> None:
    order = world.venue.place(world.new_request(side=Side.SELL))
    world.merger.on_fact(world.stream(order, E.ACCEPTED))
    told = world.events_of()[0]
    assert (told.event_type, told.order_state, told.side) == (E.STATUS, S.OPEN, Side.SELL)
    assert world.store.totals(BTC.id).sell == 10


def test_a_query_without_an_answer_tells_no_state(world: World) -> None:
    request, _ = world.accepted()
    world.engine.on_request(world.request(RequestType.QUERY, request.client_order_id))
    query = world.gateway.sent[-1]
    world.merger.on_fact(world.failure(query, E.UNKNOWN, Reason.TIMEOUT))
    told = world.events_of()[-1]
    assert (told.event_type, told.order_state, told.request_id) == (E.STATUS, S.NONE, query.request_id)


def test_a_query_for_an_order_that_nobody_sent_is_followed_up(world: World) -> None:
    order_id = world.order_id()
    world.engine.on_request(world.request(RequestType.QUERY, order_id))
    query = world.gateway.sent[-1]
    answer = world.failure(query, E.STATUS, Reason.VENUE_UNKNOWN_ORDER)
    world.merger.on_fact(answer)
    assert world.kinds(order_id) == [E.STATUS]
    assert [order.client_order_id for order, _ in world.settler.unknown] == [order_id]


def test_settled_absent_is_the_only_way_to_reject_without_the_venues_refusal(world: World) -> None:
    request = world.send_new()
    world.merger.on_fact(world.failure(request, E.UNKNOWN, Reason.TIMEOUT))
    order = world.store.get(request.client_order_id)
    assert order is not None
    world.merger.settled_absent(order)
    world.merger.settled_absent(order)
    told = [event for event in world.events_of() if event.event_type == E.REJECTED]
    assert [(event.reason, event.request_id) for event in told] == [(Reason.SETTLED_ABSENT, request.request_id)]
    found = world.venue.place(request)
    world.merger.on_fact(world.stream(found, E.ACCEPTED))
    assert (world.events_of()[-1].event_type, world.events_of()[-1].order_state) == (E.STATUS, S.OPEN)
    assert world.store.totals(BTC.id).buy == 10, "an order that lives at the venue is worse forgotten than wrong"


def test_closed_orders_age_out_and_open_ones_never(world: World, tmp_path: Path) -> None:
    ids: list[int] = []
    for trade_id in range(1, 40):
        request, order = world.accepted()
        ids.append(request.client_order_id)
        trade = world.venue.trade(order, 10, trade_id)
        world.merger.on_fact(world.trade_update(order, trade, 10, S.FILLED))
    kept, _ = world.accepted(side=Side.SELL)
    world.now += 3_600_000 * MS
    world.merger.on_timer()
    assert len(world.store) == 1
    assert world.store.get(kept.client_order_id) is not None


# --- requests that the venue has taken and not decided about ----------------------------------------------------------
def taken(world: World, request: OrderRequest, state: OrderState) -> None:
    fact = fact_of_request(request, E.STATUS)
    fact.order_state, fact.receive_time_ns = state, world.now
    world.merger.on_fact(fact)


def test_a_taken_create_has_no_answer_yet_and_is_asked_for_when_nothing_comes(world: World) -> None:
    request = world.send_new()
    world.tell_sent(request)
    taken(world, request, S.PENDING_NEW)
    order = world.store.get(request.client_order_id)
    assert (world.kinds(), order.accepted, order.state) == ([E.SENT], False, S.PENDING_NEW)
    world.now += TAKEN_NS - 1
    world.merger.on_timer()
    assert world.settler.unknown == []
    world.now += 1
    world.merger.on_timer()
    world.merger.on_timer()
    assert world.settler.unknown == [(order, None)]


def test_a_taken_create_that_the_stream_confirms_is_answered_and_not_asked_for(world: World) -> None:
    request = world.send_new()
    world.tell_sent(request)
    taken(world, request, S.PENDING_NEW)
    world.merger.on_fact(world.venue.status(world.venue.place(request)))
    accepted = world.events_of()[-1]
    assert (accepted.event_type, accepted.request_id) == (E.ACCEPTED, request.request_id)
    world.now += 2 * TAKEN_NS
    world.merger.on_timer()
    assert world.settler.unknown == []


def test_a_taken_cancel_is_answered_by_the_end_of_the_order(world: World) -> None:
    request, order = world.accepted(quantity=10)
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    cancel = world.gateway.sent[-1]
    world.tell_sent(cancel)
    taken(world, cancel, S.PENDING_CANCEL)
    assert E.CANCELED not in world.kinds()
    assert E.CANCEL_REJECTED not in world.kinds()
    order.state = S.CANCELED
    end = world.venue.status(order)
    end.event_type = E.CANCELED
    world.merger.on_fact(end)
    canceled = world.events_of()[-1]
    assert (canceled.event_type, canceled.request_id) == (E.CANCELED, cancel.request_id)
    world.now += 2 * TAKEN_NS
    world.merger.on_timer()
    assert world.settler.unknown == []


def test_a_taken_cancel_that_nothing_follows_is_asked_for(world: World) -> None:
    request, _ = world.accepted(quantity=10)
    world.engine.on_request(world.request(RequestType.CANCEL, request.client_order_id))
    cancel = world.gateway.sent[-1]
    world.tell_sent(cancel)
    taken(world, cancel, S.PENDING_CANCEL)
    world.now += TAKEN_NS
    world.merger.on_timer()
    ((order, in_flight),) = world.settler.unknown
    assert order.client_order_id == request.client_order_id
    assert (in_flight.request_type, in_flight.request_id) == (RequestType.CANCEL, cancel.request_id)


def test_a_cancel_taken_of_an_order_that_never_left_says_nothing_about_that_order(world: World) -> None:
    world.engine.ready = False  # what is not known now may be known when it has recovered: the cancel goes
    cancel = world.request(RequestType.CANCEL, world.order_id())
    world.engine.on_request(cancel)
    world.tell_sent(cancel)
    taken(world, cancel, S.PENDING_CANCEL)
    told = world.events_of(cancel.client_order_id)[-1]
    assert (told.event_type, told.order_state, told.request_id) == (E.STATUS, S.NONE, cancel.request_id)


def test_an_order_that_has_several_ids_is_found_under_each_and_forgotten_under_all(world: World) -> None:
    request, order = world.accepted(quantity=10)
    known, store = world.store.get(request.client_order_id), world.store
    store.learn_exchange_id(known, b"second")
    store.learn_exchange_id(known, order.exchange_order_id)  # a fill of the first comes late
    assert known.exchange_order_id == b"second"
    assert store.by_exchange_id(BTC.id, order.exchange_order_id) is store.by_exchange_id(BTC.id, b"second") is known
    known.state = S.CANCELED
    store.closed(known, world.now)
    store.age_out(world.now + 10**15)
    assert store.by_exchange_id(BTC.id, b"second") is None
    assert store.by_exchange_id(BTC.id, order.exchange_order_id) is None
