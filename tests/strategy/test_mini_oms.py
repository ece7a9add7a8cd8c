"""Every pair of the order table, the rules above it one by one, and a random life against a reference venue."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shm.layout import (
    TERMINAL_STATES,
    EventType,
    FillPart,
    OrderState,
    Reason,
    RequestType,
    Side,
    Venue,
    client_order_id,
)
from strategy import mini_oms
from strategy.instrument import Instrument
from strategy.mini_oms import STATES, TRANSITIONS, Input, MiniOMS
from strategy.order import Fill, Order

INSTANCE = 7
MS = 1_000_000


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.orders: list[tuple[int, int]] = []
        self.fills: list[tuple[int, int, int]] = []
        self.fees: list[int] = []

    def on_order(self, order: Order) -> None:
        self.orders.append((order.client_order_id, order.state))

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.fills.append((order.client_order_id, fill.quantity_mantissa, fill.price_mantissa))

    def on_fee(self, order: Order, fill: Fill) -> None:
        self.fees.append(fill.fee_mantissa)


def make_instrument() -> Instrument:
    row = SimpleNamespace(
        instrument_id=Venue.BINANCE << 16, venue=Venue.BINANCE, price_scale=2, quantity_scale=3, tick_size=10,
        lot_size=1, symbol=b"BTCUSDT", base_currency=b"BTC", quote_currency=b"USDT", settle_currency=b"USDT",
        status=2, inverse=0,
        minimum_quantity=1, maximum_quantity=0, minimum_price=0, maximum_price=0, minimum_notional=0,
        contract_size=10**8, tick_step_prices=(0, 0, 0, 0), tick_step_sizes=(0, 0, 0, 0),
    )  # fmt: skip
    return Instrument("binance:BTCUSDT", row)  # type: ignore[arg-type]


INSTRUMENT = make_instrument()


def event(event_type: EventType, order_id: int, **fields: Any) -> Any:
    """A stand-in for shm.records.OrderEvent: the same attribute names."""
    values = {
        "event_type": event_type, "client_order_id": order_id, "order_state": 0, "side": Side.BUY, "order_type": 2,
        "time_in_force": 1, "exec_flags": 0, "liquidity": 0, "parts": 0, "request_type": 0, "reason": 0,
        "error_code": 0, "price": 0, "quantity": 0, "cumulative_quantity": 0, "last_price": 0, "last_quantity": 0,
        "fee": 0,
        "fee_currency": b"", "exchange_time_ns": 0, "exchange_order_id": b"", "trade_id": b"", "text": b"",
        "instrument_id": INSTRUMENT.id,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


class Desk:
    """A MiniOMS with one order of 10 at 100.00, and short words for what happens to it."""

    def __init__(self, quantity: int = 10) -> None:
        self.told = Listener()
        self.oms = MiniOMS(INSTANCE, self.told)
        self.now = 0
        self.order = self.new(quantity)

    def new(self, quantity: int = 10, side: Side = Side.BUY, counter: int = 1) -> Order:
        return self.oms.create(client_order_id(INSTANCE, 1, 5, counter), 1, INSTRUMENT, side, 10000, quantity, self.now)

    def on(self, event_type: EventType, **fields: Any) -> None:
        self.now += MS
        self.oms.apply(event(event_type, self.order.client_order_id, **fields), INSTRUMENT, self.now)

    def fill(self, quantity: int, trade_id: bytes, price: int = 10000, **fields: Any) -> None:
        fields = {"parts": FillPart.QUANTITY | FillPart.FEE, "fee_currency": b"USDT", **fields}
        self.on(EventType.FILL, last_quantity=quantity, last_price=price, trade_id=trade_id, **fields)

    def status(self, state: OrderState, **fields: Any) -> None:
        self.on(EventType.STATUS, order_state=state, **{"price": 10000, "quantity": 10, **fields})

    def bring_to(self, state: OrderState) -> None:
        """From PENDING_NEW to a state by the shortest legal way."""
        match state:
            case OrderState.PENDING_NEW:
                return
            case OrderState.REJECTED:
                self.on(EventType.REJECTED, reason=Reason.VENUE_REJECTED)
                return
            case OrderState.UNKNOWN:
                self.on(EventType.UNKNOWN, reason=Reason.TIMEOUT)
                return
        self.on(EventType.ACCEPTED, price=10000, quantity=10)
        match state:
            case OrderState.PARTIALLY_FILLED:
                self.fill(4, b"first")
            case OrderState.PENDING_CANCEL:
                assert self.oms.ask_cancel(self.order, self.now)
            case OrderState.PENDING_REPLACE:
                assert self.oms.ask_replace(self.order, 20000, 12, self.now)
            case OrderState.FILLED:
                self.fill(10, b"first")
            case OrderState.CANCELED:
                self.on(EventType.CANCELED)
            case OrderState.EXPIRED:
                self.on(EventType.EXPIRED)
        assert self.order.state == state

    def give(self, given: Input) -> bool | None:
        """Let one input happen; for our own wishes, whether there was something to send."""
        match given:
            case Input.ASK_CANCEL:
                return self.oms.ask_cancel(self.order, self.now)
            case Input.ASK_REPLACE:
                return self.oms.ask_replace(self.order, 20000, 12, self.now)
            case Input.FILL:
                self.fill(2, b"another")
            case Input.FILL_FEE:
                self.on(EventType.FILL_FEE, parts=FillPart.FEE, trade_id=b"fee", fee=5, fee_currency=b"USDT")
            case Input.REPLACED:
                self.on(EventType.REPLACED, price=20000, quantity=12)
            case Input.STATUS_WORKING:
                self.status(OrderState.OPEN)
            case Input.STATUS_FILLED:
                self.status(OrderState.FILLED, cumulative_quantity=10)
            case Input.STATUS_CANCELED:
                self.status(OrderState.CANCELED)
            case Input.STATUS_EXPIRED:
                self.status(OrderState.EXPIRED)
            case Input.STATUS_REJECTED:
                self.status(OrderState.REJECTED)
            case Input.STATUS_SILENT:
                self.status(OrderState.NONE)
            case Input.CONFIRMED_WORKING:
                self.status(OrderState.OPEN, request_type=RequestType.QUERY)
            case Input.ENGINE_LOST:
                self.oms.engine_lost(Venue.BINANCE, self.now)
            case Input.ABSENT:
                self.oms.begin_recovery(Venue.BINANCE)
                self.oms.end_recovery(Venue.BINANCE, self.now)
            case _:
                self.on(EventType[given.name], reason=0)
        return None


# What happens to an order of 10 that came to the state of the column by `bring_to` (PART is filled with 4, UNKN is a
# new order without an answer, CANC and EXPI are unfilled). "!" = counted as illegal, "-" = refused to the strategy.
EXPECTED = """
                   NEW   OPEN  PART  P_CXL P_REP UNKN  FILL  CANC  REJE  EXPI
ASK_CANCEL         P_CXL P_CXL P_CXL P_CXL- P_CXL UNKN FILL- CANC- REJE- EXPI-
ASK_REPLACE        NEW-  P_REP P_REP P_CXL- P_REP- UNKN- FILL- CANC- REJE- EXPI-
SENT               NEW   OPEN  PART  P_CXL P_REP UNKN  FILL  CANC  REJE  EXPI
ACCEPTED           OPEN  OPEN  PART  P_CXL P_REP OPEN  FILL  CANC  REJE! EXPI
FILL               PART  PART  PART  P_CXL P_REP UNKN  FILL  CANC  REJE! EXPI
FILL_FEE           NEW   OPEN  PART  P_CXL P_REP UNKN  FILL  CANC  REJE  EXPI
CANCELED           CANC  CANC  CANC  CANC  CANC  CANC  FILL! CANC  REJE! EXPI!
EXPIRED            EXPI  EXPI  EXPI  EXPI  EXPI  EXPI  FILL! CANC! REJE! EXPI
REJECTED           REJE  OPEN! PART! P_CXL! P_REP! REJE FILL! CANC! REJE EXPI!
CANCEL_REJECTED    NEW   OPEN  PART  OPEN  P_REP UNKN  FILL  CANC  REJE  EXPI
REPLACED           OPEN  OPEN  PART  P_CXL OPEN  OPEN  FILL! CANC  REJE! EXPI
REPLACE_REJECTED   NEW   OPEN  PART  P_CXL OPEN  UNKN  FILL  CANC  REJE  EXPI
UNKNOWN            UNKN  UNKN  UNKN  UNKN  UNKN  UNKN  FILL  CANC  REJE  EXPI
STATUS_WORKING     OPEN  OPEN  PART  P_CXL P_REP OPEN  FILL! CANC! REJE! EXPI!
STATUS_FILLED      FILL  FILL  FILL  FILL  FILL  FILL  FILL  CANC! REJE! EXPI!
STATUS_CANCELED    CANC  CANC  CANC  CANC  CANC  CANC  FILL! CANC  REJE! EXPI!
STATUS_EXPIRED     EXPI  EXPI  EXPI  EXPI  EXPI  EXPI  FILL! CANC! REJE! EXPI
STATUS_REJECTED    REJE  OPEN! PART! P_CXL! P_REP! REJE FILL! CANC! REJE EXPI!
STATUS_SILENT      NEW   OPEN  PART  P_CXL P_REP UNKN  FILL  CANC  REJE  EXPI
CONFIRMED_WORKING  OPEN  OPEN  PART  OPEN  OPEN  OPEN  FILL! OPEN! OPEN! OPEN!
ENGINE_LOST        UNKN  OPEN  PART  UNKN  UNKN  UNKN  FILL  CANC  REJE  EXPI
ABSENT             UNKN  UNKN  UNKN  UNKN  UNKN  UNKN  FILL  CANC  REJE  EXPI
"""
NAMES = {
    "NEW": OrderState.PENDING_NEW, "OPEN": OrderState.OPEN, "PART": OrderState.PARTIALLY_FILLED,
    "P_CXL": OrderState.PENDING_CANCEL, "P_REP": OrderState.PENDING_REPLACE, "UNKN": OrderState.UNKNOWN,
    "FILL": OrderState.FILLED, "CANC": OrderState.CANCELED, "REJE": OrderState.REJECTED, "EXPI": OrderState.EXPIRED,
}  # fmt: skip


def expected_pairs() -> list[Any]:
    head, *rows = [line.split() for line in EXPECTED.strip().splitlines()]
    pairs = []
    for name, *cells in rows:
        assert len(cells) == len(head), name
        for column, cell in zip(head, cells, strict=True):
            mark = cell[-1] if cell[-1] in "!-" else ""
            pairs.append(
                pytest.param(NAMES[column], Input[name], NAMES[cell.rstrip("!-")], mark, id=f"{column}-{name}")
            )
    return pairs


@pytest.mark.parametrize(("state", "given", "then", "mark"), expected_pairs())
def test_every_pair_of_state_and_input_does_what_the_table_says(
    state: OrderState, given: Input, then: OrderState, mark: str
) -> None:
    desk = Desk()
    desk.bring_to(state)
    sent = desk.give(given)
    assert OrderState(desk.order.state).name == then.name
    assert desk.oms.illegal_transitions == (1 if mark == "!" else 0)
    if given in (Input.ASK_CANCEL, Input.ASK_REPLACE):
        assert sent is (mark != "-")
    check_totals(desk.oms)


def test_the_table_and_its_tests_cover_every_pair() -> None:
    assert set(TRANSITIONS) == {(int(state), int(given)) for state in STATES for given in Input}
    assert {(pair.values[0], pair.values[1]) for pair in expected_pairs()} == {(s, g) for s in STATES for g in Input}


def check_totals(oms: MiniOMS) -> None:
    """The running totals are what a fresh sum over the orders gives."""
    buy = sell = count = 0
    for order in [*oms.orders.values(), *oms.closed.values()]:
        if order.external:
            continue  # of somebody else: it counts for no strategy
        assert order.closed == (order.client_order_id in oms.closed)
        count += order.state not in TERMINAL_STATES
        if order.closed:
            leaves = 0
        elif order.state in TERMINAL_STATES:
            leaves = order.cumulative_mantissa - order.filled_mantissa
        else:
            leaves = max(0, max(order.quantity_mantissa, order.pending_quantity_mantissa) - order.filled_mantissa)
        if order.side == Side.BUY:
            buy += leaves
        else:
            sell += leaves
    working = oms.working(1, INSTRUMENT.id)
    assert (working.buy, working.sell, working.orders) == (buy, sell, count)


# --- the rules, one by one --------------------------------------------------------------------------------------------
def test_a_refused_cancel_of_an_order_without_an_answer_waits_for_that_answer_again() -> None:
    desk = Desk()
    assert desk.oms.ask_cancel(desk.order, 0)
    desk.on(EventType.CANCEL_REJECTED, request_type=RequestType.CANCEL)
    assert desk.order.state == OrderState.PENDING_NEW


def test_a_refused_cancel_behind_a_replace_leaves_the_replace_in_flight() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PENDING_REPLACE)
    assert desk.oms.ask_cancel(desk.order, 0)
    desk.on(EventType.CANCEL_REJECTED, request_type=RequestType.CANCEL)
    assert desk.order.state == OrderState.PENDING_REPLACE
    desk.on(EventType.REPLACED, price=20000, quantity=12)
    assert (desk.order.state, desk.order.price_mantissa, desk.order.quantity_mantissa) == (OrderState.OPEN, 20000, 12)


def test_fills_up_to_the_old_total_do_not_end_an_order_whose_total_may_have_been_raised() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PENDING_REPLACE)  # to 12
    desk.fill(10, b"1")
    assert desk.order.state == OrderState.PENDING_REPLACE
    desk.on(EventType.REPLACE_REJECTED, request_type=RequestType.REPLACE)
    assert desk.order.state == OrderState.FILLED and desk.order.closed


def test_an_acceptance_that_was_overtaken_by_a_replace_does_not_bring_the_old_total_back() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PENDING_REPLACE)
    desk.on(EventType.REPLACED, price=20000, quantity=12)
    desk.fill(10, b"1")
    desk.on(EventType.ACCEPTED, price=10000, quantity=10)
    assert desk.order.state == OrderState.PARTIALLY_FILLED and desk.order.quantity_mantissa == 12


def test_a_replace_down_to_what_is_filled_ends_the_order() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PARTIALLY_FILLED)
    assert desk.oms.ask_replace(desk.order, 10000, 4, 0)
    desk.on(EventType.REPLACED, price=10000, quantity=4)
    assert desk.order.state == OrderState.FILLED and desk.order.closed


def test_a_fill_before_the_acceptance_proves_that_the_order_exists() -> None:
    desk = Desk()
    desk.fill(10, b"1")
    assert desk.order.state == OrderState.FILLED
    desk.on(EventType.ACCEPTED, price=10000, quantity=10)
    assert desk.order.state == OrderState.FILLED and desk.oms.illegal_transitions == 0


def test_a_canceled_order_stays_in_the_books_until_its_fills_add_up() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PARTIALLY_FILLED)
    desk.on(EventType.CANCELED, cumulative_quantity=7)
    assert desk.order.state == OrderState.CANCELED and not desk.order.closed
    assert desk.oms.working(1, INSTRUMENT.id).buy == 3, "three are traded, only their fills are not here"
    desk.fill(3, b"late")
    assert desk.order.closed and desk.told.fills[-1] == (desk.order.client_order_id, 3, 10000)


def test_a_fill_after_the_cancel_is_applied() -> None:
    desk = Desk()
    desk.bring_to(OrderState.CANCELED)
    desk.fill(2, b"crossed")
    assert desk.order.filled_mantissa == 2 and desk.told.fills[-1][1] == 2
    assert desk.order.state == OrderState.CANCELED and desk.oms.illegal_transitions == 0


def test_a_fill_of_a_rejected_order_is_illegal_and_applied() -> None:
    desk = Desk()
    desk.bring_to(OrderState.REJECTED)
    desk.fill(2, b"1")
    assert desk.told.fills[-1][1] == 2 and desk.oms.illegal_transitions == 1
    assert desk.order.doubted and list(desk.oms.questionable(10**12, 1)) == [desk.order]


def test_a_fill_is_applied_once_per_trade_id() -> None:
    desk = Desk()
    for _ in range(3):
        desk.fill(2, b"same", fee=7)
    assert desk.order.filled_mantissa == 2 and desk.told.fees == [7] and desk.oms.duplicate_fills == 2


@pytest.mark.parametrize("fee_first", [False, True])
def test_the_parts_of_a_fill_merge_in_any_order(fee_first: bool) -> None:
    desk = Desk()
    parts = [
        lambda: desk.fill(2, b"t", parts=FillPart.QUANTITY),
        lambda: desk.on(EventType.FILL_FEE, parts=FillPart.FEE, trade_id=b"t", fee=7, fee_currency=b"USDT"),
    ]
    for part in reversed(parts) if fee_first else parts:
        part()
    fill = desk.order.fills[b"t"]
    assert (fill.quantity_mantissa, fill.price_mantissa, fill.fee_mantissa, fill.fee_currency) == (2, 10000, 7, "USDT")
    assert len(desk.told.fills) == len(desk.told.fees) == 1
    desk.fill(2, b"t", fee=7)
    assert desk.oms.duplicate_fills == 1 and desk.order.filled_mantissa == 2


def test_a_trade_reported_again_with_other_numbers_keeps_the_first_and_is_counted() -> None:
    desk = Desk()
    desk.fill(2, b"t", parts=FillPart.QUANTITY)
    desk.fill(3, b"t", price=10010, fee=7)
    assert desk.order.filled_mantissa == 2 and desk.oms.fill_mismatches == 1 and desk.told.fees == [7]


def test_an_overfill_is_counted_and_applied() -> None:
    desk = Desk()
    desk.fill(8, b"1")
    desk.fill(8, b"2")
    assert desk.oms.overfills == 1 and desk.order.filled_mantissa == 16 and desk.order.state == OrderState.FILLED


def test_only_the_venues_word_settles_an_unknown_order() -> None:
    desk = Desk()
    desk.bring_to(OrderState.UNKNOWN)
    assert desk.oms.working(1, INSTRUMENT.id).buy == 10, "it may trade as far as anybody knows"
    desk.on(EventType.REJECTED, reason=Reason.SETTLED_ABSENT, request_type=RequestType.NEW)
    assert desk.order.state == OrderState.REJECTED and desk.order.reason == Reason.SETTLED_ABSENT
    assert desk.oms.working(1, INSTRUMENT.id).buy == 0


def test_a_status_settles_an_unknown_replace_with_the_venues_terms() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PENDING_REPLACE)
    desk.on(EventType.UNKNOWN, request_type=RequestType.REPLACE, reason=Reason.TIMEOUT)
    desk.status(OrderState.OPEN, price=20000, quantity=12, reason=Reason.SETTLED_EXECUTED)
    assert (desk.order.state, desk.order.price_mantissa, desk.order.quantity_mantissa) == (OrderState.OPEN, 20000, 12)
    assert desk.order.pending_quantity_mantissa == 0


def test_a_cancel_without_outcome_can_be_asked_for_again() -> None:
    desk = Desk()
    desk.bring_to(OrderState.PENDING_CANCEL)
    assert not desk.oms.ask_cancel(desk.order, 0)
    desk.on(EventType.UNKNOWN, request_type=RequestType.CANCEL, reason=Reason.TIMEOUT)
    assert desk.oms.ask_cancel(desk.order, 0)
    assert desk.order.state == OrderState.UNKNOWN


def test_the_answer_to_our_own_question_is_taken_even_against_the_table() -> None:
    desk = Desk()
    desk.bring_to(OrderState.REJECTED)
    assert desk.oms.final_states[OrderState.REJECTED] == 1
    desk.status(OrderState.OPEN)
    assert desk.order.state == OrderState.REJECTED and desk.order.doubted
    desk.status(OrderState.OPEN, request_type=RequestType.QUERY)
    assert desk.order.state == OrderState.OPEN and not desk.order.doubted and not desk.order.closed
    assert desk.order.client_order_id in desk.oms.orders and desk.oms.final_states[OrderState.REJECTED] == 0
    desk.on(EventType.CANCELED)
    assert desk.order.closed and desk.oms.final_states[OrderState.CANCELED] == 1


def test_a_confirmed_end_replaces_another_end() -> None:
    desk = Desk()
    desk.bring_to(OrderState.REJECTED)
    desk.status(OrderState.CANCELED, request_type=RequestType.QUERY)
    assert desk.order.state == OrderState.CANCELED and desk.oms.final_states == {
        OrderState.FILLED: 0, OrderState.CANCELED: 1, OrderState.REJECTED: 0, OrderState.EXPIRED: 0,
    }  # fmt: skip


def test_overdue_answers_and_missing_fills_are_questionable_and_working_orders_are_not() -> None:
    desk = Desk()
    assert not list(desk.oms.questionable(desk.now + 4, 5))
    assert list(desk.oms.questionable(desk.now + 5, 5)) == [desk.order]
    desk.bring_to(OrderState.PARTIALLY_FILLED)
    assert not list(desk.oms.questionable(10**12, 5))
    desk.on(EventType.CANCELED, cumulative_quantity=7)
    assert list(desk.oms.questionable(10**12, 5)) == [desk.order]
    desk.order.last_query_time_ns = 10**12
    assert not list(desk.oms.questionable(10**12 + 4, 5)), "it was just asked for"


def test_a_request_that_the_ring_refused_is_undone() -> None:
    desk = Desk()
    desk.oms.not_published(desk.order, RequestType.NEW, Reason.RING_FULL, "full", 0)
    assert desk.order.state == OrderState.REJECTED and desk.order.closed and desk.oms.working(1, INSTRUMENT.id).buy == 0
    desk = Desk()
    desk.bring_to(OrderState.PENDING_REPLACE)
    desk.oms.not_published(desk.order, RequestType.REPLACE, Reason.RING_FULL, "full", 0)
    assert desk.order.state == OrderState.OPEN and desk.oms.working(1, INSTRUMENT.id).buy == 10
    desk.oms.ask_cancel(desk.order, 0)
    desk.oms.not_published(desk.order, RequestType.CANCEL, Reason.RING_FULL, "full", 0)
    assert desk.order.state == OrderState.OPEN and desk.oms.ask_cancel(desk.order, 0)


# --- orders of others -------------------------------------------------------------------------------------------------
def test_an_order_of_an_earlier_trader_is_adopted_with_its_strategy() -> None:
    desk = Desk()
    stray = client_order_id(INSTANCE, 3, 4, 99)
    found = desk.oms.apply(
        event(EventType.STATUS, stray, order_state=OrderState.PARTIALLY_FILLED, side=Side.SELL, price=10100, quantity=9,
              cumulative_quantity=4), INSTRUMENT, 1,
    )  # fmt: skip
    assert found is not None and found.adopted and not found.external
    assert (found.strategy_id, found.side, found.quantity_mantissa) == (3, Side.SELL, 9)
    assert found.state == OrderState.OPEN, "its fills are not here, so it is not partially filled by them"


def test_an_order_of_somebody_else_is_reported_and_never_touched() -> None:
    desk = Desk()
    foreign = client_order_id(INSTANCE + 1, 1, 1, 1)
    found = desk.oms.apply(
        event(EventType.STATUS, foreign, order_state=OrderState.OPEN, price=10000, quantity=5), INSTRUMENT, 1
    )
    assert found is not None and found.external and desk.oms.external_orders == 1
    assert not desk.oms.ask_cancel(found, 1) and not desk.oms.ask_replace(found, 1, 1, 1)
    assert desk.oms.orders_of(1) == [desk.order] and desk.oms.working(1, INSTRUMENT.id).orders == 1


def test_answers_about_an_order_that_nobody_knows_are_counted_and_dropped() -> None:
    desk = Desk()
    unknown = client_order_id(INSTANCE, 1, 2, 2)
    assert desk.oms.apply(event(EventType.CANCEL_REJECTED, unknown), INSTRUMENT, 1) is None
    assert desk.oms.apply(event(EventType.FILL, unknown, side=0, trade_id=b"1"), INSTRUMENT, 1) is None
    assert desk.oms.apply(event(EventType.FILL, unknown, trade_id=b"1"), None, 1) is None
    assert desk.oms.late_events == 3 and unknown not in desk.oms.orders


def test_recovery_finds_orders_that_the_venue_did_not_mention() -> None:
    desk = Desk()
    desk.bring_to(OrderState.OPEN)
    other = desk.new(counter=2)
    desk.oms.begin_recovery(Venue.BINANCE)
    desk.status(OrderState.OPEN)
    assert desk.oms.end_recovery(Venue.BINANCE, 9) == [other]
    assert other.state == OrderState.UNKNOWN and desk.order.state == OrderState.OPEN


def end_orders(oms: MiniOMS, counters: Iterable[int]) -> None:
    for counter in counters:
        order = oms.create(client_order_id(INSTANCE, 1, 1, counter), 1, INSTRUMENT, Side.BUY, 10000, 1, 0)
        oms.apply(event(EventType.REJECTED, order.client_order_id), INSTRUMENT, 1)


def test_late_events_of_aged_orders_are_counted_as_long_as_their_ids_are_kept() -> None:
    told = Listener()
    oms = MiniOMS(INSTANCE, told)
    total = mini_oms.CLOSED_KEPT + mini_oms.AGED_KEPT + 100
    end_orders(oms, range(total))
    assert len(oms.orders) == 0 and len(oms.closed) == mini_oms.CLOSED_KEPT
    assert oms.final_states[OrderState.REJECTED] == total == oms.created
    for counter in (100, total - 5000, total - mini_oms.CLOSED_KEPT - 1):
        oms.apply(event(EventType.FILL, client_order_id(INSTANCE, 1, 1, counter), trade_id=b"1"), INSTRUMENT, 1)
    assert oms.late_events == 3 and not told.fills
    assert oms.apply(event(EventType.ACCEPTED, client_order_id(INSTANCE, 1, 1, 99)), INSTRUMENT, 1) is not None
    assert oms.late_events == 3


def test_memory_does_not_grow_once_the_closed_orders_are_as_many_as_are_kept() -> None:
    """What a soak sees of a trader: from here on each order that closes takes the room of one that is forgotten."""

    class Deaf(Listener):
        """Keeps nothing of what it is told."""

        def on_order(self, order: Order) -> None: ...

    oms = MiniOMS(INSTANCE, Deaf())
    warm, more = mini_oms.CLOSED_KEPT + 500, mini_oms.AGED_KEPT + 1_000
    end_orders(oms, range(warm))
    gc.collect()
    tracemalloc.start()
    try:
        end_orders(oms, range(warm, warm + mini_oms.CLOSED_KEPT))  # all that is kept was made under these eyes
        before, _ = tracemalloc.get_traced_memory()
        end_orders(oms, range(warm + mini_oms.CLOSED_KEPT, warm + more))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 16 * more, "the smallest object has 16 bytes; tables of what is kept change their size"


def test_an_order_that_aged_out_ends_without_the_collector() -> None:
    """Which a busy trader runs on young objects only: an order and its fills that point at each other would stay."""
    oms = MiniOMS(INSTANCE, Listener())
    gc.collect()
    gc.disable()
    try:
        for counter in range(mini_oms.CLOSED_KEPT + 500):
            number = client_order_id(INSTANCE, 1, 54_321, counter)  # an epoch that no other test's orders have
            oms.create(number, 1, INSTRUMENT, Side.BUY, 10000, 1, 0)
            word = event(EventType.FILL, number, last_quantity=1, last_price=10000, trade_id=b"1", parts=3)
            oms.apply(word, INSTRUMENT, 1)
        assert len(oms.closed) == mini_oms.CLOSED_KEPT and oms.final_states[OrderState.FILLED] == oms.created
        mine = [one for one in gc.get_objects() if isinstance(one, Order) and one.client_order_id >> 32 == number >> 32]
        assert len(mine) == mini_oms.CLOSED_KEPT and all(len(order.fills) == 1 for order in mine)
    finally:
        gc.enable()


def test_an_unknown_event_type_is_counted_and_changes_nothing() -> None:
    desk = Desk()
    desk.on(99)  # type: ignore[arg-type]
    assert desk.order.state == OrderState.PENDING_NEW and desk.oms.illegal_transitions == 1


# --- a random life against a reference venue --------------------------------------------------------------------------
@dataclass
class VenueOrder:
    """The truth about one order, and the trades it had."""

    id: int
    side: Side
    price: int
    quantity: int
    state: OrderState = OrderState.NONE  # NONE: the request has not reached the venue yet
    filled: int = 0
    trades: list[tuple[bytes, int, int, int]] = field(default_factory=list)  # id, quantity, price, fee
    reported: int = 0
    """Trades already put on the way to the trader by a live event."""

    @property
    def is_working(self) -> bool:
        return self.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


class LifeOfOrders(RuleBasedStateMachine):
    """The venue acts, its words travel (in order, or shuffled and doubled), and MiniOMS must end where the venue is."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Listener()
        self.oms = MiniOMS(INSTANCE, self.told)
        self.venue: dict[int, VenueOrder] = {}
        self.mine: list[Order] = []
        self.wire: list[Any] = []
        self.now = 0
        self.trade_number = 0
        self.source = random.Random(0)
        self.shuffled = False
        self.bracketed = False

    @initialize(shuffled=st.booleans(), seed=st.integers(0, 2**32))
    def begin(self, shuffled: bool, seed: int) -> None:
        self.shuffled = shuffled
        self.source = random.Random(seed)

    # --- the trader's wishes; each reaches the venue at once, the answers take their time ---------------------------
    @rule(side=st.sampled_from([Side.BUY, Side.SELL]), quantity=st.integers(1, 20), fate=st.sampled_from("aaaarux"))
    def send_new(self, side: Side, quantity: int, fate: str) -> None:
        """accepted, rejected, unknown but there, unknown and never arrived"""
        number = client_order_id(INSTANCE, 1, 1, len(self.mine) + 1)
        order = self.oms.create(number, 1, INSTRUMENT, side, 10000, quantity, self.now)
        self.mine.append(order)
        there = VenueOrder(order.client_order_id, side, 10000, quantity)
        self.venue[there.id] = there
        if fate in "au":
            there.state = OrderState.OPEN
        else:
            there.state = OrderState.REJECTED
        if fate == "a":
            self.say(there, EventType.ACCEPTED, request_type=RequestType.NEW)
        elif fate == "r":
            self.say(there, EventType.REJECTED, request_type=RequestType.NEW)
        else:
            self.say(there, EventType.UNKNOWN, request_type=RequestType.NEW)

    @precondition(lambda self: self.mine)
    @rule(pick=st.integers(0, 1000), arrives=st.booleans())
    def send_cancel(self, pick: int, arrives: bool) -> None:
        order = self.mine[pick % len(self.mine)]
        if not self.oms.ask_cancel(order, self.now):
            return
        there = self.venue[order.client_order_id]
        if not arrives:
            self.say(there, EventType.UNKNOWN, request_type=RequestType.CANCEL)
        elif there.is_working:
            there.state = OrderState.CANCELED
            self.say(there, EventType.CANCELED, request_type=RequestType.CANCEL, cumulative_quantity=there.filled)
        else:
            self.say(there, EventType.CANCEL_REJECTED, request_type=RequestType.CANCEL)

    @precondition(lambda self: self.mine)
    @rule(pick=st.integers(0, 1000), quantity=st.integers(1, 30), fate=st.sampled_from("aaru"))
    def send_replace(self, pick: int, quantity: int, fate: str) -> None:
        order = self.mine[pick % len(self.mine)]
        if not self.oms.ask_replace(order, 10050, quantity, self.now):
            return
        there = self.venue[order.client_order_id]
        if fate == "r" or not there.is_working or quantity <= there.filled:
            self.say(there, EventType.REPLACE_REJECTED, request_type=RequestType.REPLACE)
            return
        there.price, there.quantity = 10050, quantity
        self.say(there, EventType.REPLACED if fate == "a" else EventType.UNKNOWN, request_type=RequestType.REPLACE)

    # --- the venue acts ---------------------------------------------------------------------------------------------
    @precondition(lambda self: any(one.is_working for one in self.venue.values()))
    @rule(pick=st.integers(0, 1000), share=st.floats(0.1, 1.0), in_parts=st.booleans())
    def trade(self, pick: int, share: float, in_parts: bool) -> None:
        working = [one for one in self.venue.values() if one.is_working]
        there = working[pick % len(working)]
        quantity = max(1, round((there.quantity - there.filled) * share))
        self.trade_number += 1
        trade = (b"t%d" % self.trade_number, quantity, there.price, quantity * 3)
        there.trades.append(trade)
        there.filled += quantity
        there.state = OrderState.FILLED if there.filled >= there.quantity else OrderState.PARTIALLY_FILLED
        self.say_trade(there, trade, in_parts)

    @precondition(lambda self: any(one.is_working for one in self.venue.values()))
    @rule(pick=st.integers(0, 1000))
    def expire(self, pick: int) -> None:
        working = [one for one in self.venue.values() if one.is_working]
        there = working[pick % len(working)]
        there.state = OrderState.EXPIRED
        self.say(there, EventType.EXPIRED, cumulative_quantity=there.filled)

    # --- the way between --------------------------------------------------------------------------------------------
    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            place = self.source.randrange(len(self.wire)) if self.shuffled else 0
            self.apply(self.wire.pop(place))

    @precondition(lambda self: self.wire)
    @rule()
    def double(self) -> None:
        fills = [one for one in self.wire if one.event_type in (EventType.FILL, EventType.FILL_FEE)]
        if fills:
            self.wire.append(self.source.choice(fills))

    @rule()
    def engine_is_lost_and_recovers(self) -> None:
        """Everything on the way is lost; the bracket says what is, and brings every trade again."""
        self.wire.clear()
        self.oms.engine_lost(Venue.BINANCE, self.now)
        self.oms.begin_recovery(Venue.BINANCE)
        for there in self.venue.values():
            if there.state != OrderState.REJECTED:
                self.apply(self.status(there))
            for trade in there.trades:
                self.apply(self.trade_event(there, trade, FillPart.QUANTITY | FillPart.FEE))
        for order in self.oms.end_recovery(Venue.BINANCE, self.now):
            self.apply(self.status(self.venue[order.client_order_id], request_type=RequestType.QUERY))

    # --- words ------------------------------------------------------------------------------------------------------
    def say(self, there: VenueOrder, event_type: EventType, **fields: Any) -> None:
        self.wire.append(
            event(event_type, there.id, side=there.side, price=there.price, quantity=there.quantity, **fields)
        )

    def say_trade(self, there: VenueOrder, trade: tuple[bytes, int, int, int], in_parts: bool) -> None:
        if in_parts:
            self.wire.append(self.trade_event(there, trade, FillPart.QUANTITY))
            self.wire.append(self.trade_event(there, trade, FillPart.FEE))
        else:
            self.wire.append(self.trade_event(there, trade, FillPart.QUANTITY | FillPart.FEE))

    def trade_event(self, there: VenueOrder, trade: tuple[bytes, int, int, int], parts: int) -> Any:
        trade_id, quantity, price, fee = trade
        kind = EventType.FILL if parts & FillPart.QUANTITY else EventType.FILL_FEE
        return event(
            kind, there.id, side=there.side, parts=parts, trade_id=trade_id, last_quantity=quantity, last_price=price,
            fee=fee if parts & FillPart.FEE else 0, fee_currency=b"USDT",
        )  # fmt: skip

    def status(self, there: VenueOrder, **fields: Any) -> Any:
        return event(
            EventType.STATUS, there.id, side=there.side, price=there.price, quantity=there.quantity,
            order_state=there.state, cumulative_quantity=there.filled, **fields,
        )  # fmt: skip

    def apply(self, word: Any) -> None:
        self.now += MS
        self.oms.apply(word, INSTRUMENT, self.now)

    # --- what must hold ---------------------------------------------------------------------------------------------
    @invariant()
    def totals_are_the_sum_of_the_orders(self) -> None:
        check_totals(self.oms)

    @invariant()
    def every_trade_counts_once(self) -> None:
        known = {trade[0]: trade for there in self.venue.values() for trade in there.trades}
        for order in self.mine:
            here = [fill for fill in order.fills.values() if fill.parts & FillPart.QUANTITY]
            assert order.filled_mantissa == sum(fill.quantity_mantissa for fill in here)
            assert all(known[fill.trade_id][1] == fill.quantity_mantissa for fill in here)

    @invariant()
    def words_in_order_are_never_illegal_and_never_end_a_working_order(self) -> None:
        if self.shuffled:
            return
        assert self.oms.illegal_transitions == 0
        for order in self.mine:
            if order.state in TERMINAL_STATES:
                assert not self.venue[order.client_order_id].is_working

    def teardown(self) -> None:
        """Everything arrives at last; what is questionable is asked for. Then both sides are equal."""
        while self.wire:
            self.deliver(5)
        self.settle()
        super().teardown()

    def settle(self) -> None:
        """Ask about what is questionable, then compare."""
        for _ in range(10):
            self.now += 10 * MS
            questions = list(self.oms.questionable(self.now, MS))
            for order in questions:
                order.last_query_time_ns = self.now
                self.apply(self.status(self.venue[order.client_order_id], request_type=RequestType.QUERY))
            if not questions:
                break
        for order in self.mine:
            there = self.venue[order.client_order_id]
            assert order.filled_mantissa == there.filled
            assert (order.state in TERMINAL_STATES) == (there.state in TERMINAL_STATES), (order, there)
            if there.state in TERMINAL_STATES:
                assert order.state == there.state and order.closed, (order, there)
            elif not self.shuffled or self.bracketed:
                assert (order.price_mantissa, order.quantity_mantissa) == (there.price, there.quantity), (order, there)
                assert order.state == there.state and not order.pending_quantity_mantissa, (order, there)
        fees = sum(fee for there in self.venue.values() for *_, fee in there.trades)
        assert sum(self.told.fees) == fees
        check_totals(self.oms)
        terminal = [there for there in self.venue.values() if there.state in TERMINAL_STATES]
        closed = [order for order in self.oms.closed.values() if not order.external]
        assert len(terminal) == len(closed) and sum(self.oms.final_states.values()) == len(self.oms.closed)


class LifeOnABadLine(LifeOfOrders):
    """Any word may be lost, doubled, or come in any order, and orders of somebody else turn up in between; one recovery
    bracket at the end, its own words shuffled and doubled too, and MiniOMS equals the venue."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.shuffled = True
        self.source = random.Random(seed)
        self.foreign = 0

    @precondition(lambda self: self.wire)
    @rule(count=st.integers(1, 3))
    def lose(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            self.wire.pop(self.source.randrange(len(self.wire)))

    @precondition(lambda self: self.wire)
    @rule()
    def double_anything(self) -> None:
        self.wire.append(self.source.choice(self.wire))

    @rule(state=st.sampled_from(STATES), side=st.sampled_from([Side.BUY, Side.SELL]))
    def somebody_else_trades(self, state: OrderState, side: Side) -> None:
        self.foreign += 1
        there = VenueOrder(client_order_id(INSTANCE + 1, 1, 1, self.foreign), side, 10000, 5, state)
        self.wire.append(self.status(there))

    def teardown(self) -> None:
        if not hasattr(self, "foreign"):
            return
        while self.wire:
            self.deliver(5)
        self.bracketed = True
        self.oms.begin_recovery(Venue.BINANCE)
        words = []
        for there in self.venue.values():
            if there.state != OrderState.REJECTED:
                words.append(self.status(there))
                words += [self.trade_event(there, one, FillPart.QUANTITY | FillPart.FEE) for one in there.trades]
        words += self.source.sample(words, len(words) // 3)
        self.source.shuffle(words)
        for word in words:
            self.apply(word)
        for order in self.oms.end_recovery(Venue.BINANCE, self.now):
            self.apply(self.status(self.venue[order.client_order_id], request_type=RequestType.QUERY))
        self.settle()


# Derandomized: the same lives each time, so that a red run means a change. Raise max_examples to look for more.
LifeOfOrders.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
TestLifeOfOrders = LifeOfOrders.TestCase
LifeOnABadLine.TestCase.settings = settings(LifeOfOrders.TestCase.settings, max_examples=100)
TestLifeOnABadLine = LifeOnABadLine.TestCase
