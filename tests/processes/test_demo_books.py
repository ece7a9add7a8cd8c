"""Our side of the comparison comes from the engine's records alone, merged and counted right."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.demo_books import OwnBooks
from shm.layout import EventType, FillPart, OrderState, Reason, RequestType, Side, client_order_id, instrument_id
from shm.records import InstrumentRow, OrderEvent, OrderRequest
from strategy.instrument import Instrument

NUMBER = 77
BTC = instrument_id(1, 0)
CENT = Decimal("1e-8")


def instrument(inverse: int = 0) -> Instrument:
    row = InstrumentRow()
    row.instrument_id, row.venue, row.symbol, row.settle_currency = BTC, 1, b"BTCUSDT", b"USDT"
    row.price_scale, row.quantity_scale, row.tick_size, row.lot_size = 1, 3, 1, 1
    row.contract_size, row.inverse = 10**8, inverse
    return Instrument("binance:BTCUSDT", row)


@pytest.fixture
def books() -> OwnBooks:
    return OwnBooks(NUMBER, [instrument()])


def order_id(counter: int, number: int = NUMBER) -> int:
    return client_order_id(number, 1, 1, counter)


def request(counter: int, side: int = Side.BUY, price: int = 600_000, quantity: int = 10) -> OrderRequest:
    made = OrderRequest()
    made.request_type, made.client_order_id, made.instrument_id = int(RequestType.NEW), order_id(counter), BTC
    made.side, made.price, made.quantity = int(side), price, quantity
    return made


def event(kind: EventType, counter: int, number: int = NUMBER, **fields: object) -> OrderEvent:
    made = OrderEvent()
    made.event_type, made.client_order_id, made.instrument_id = int(kind), order_id(counter, number), BTC
    made.exchange_order_id = str(1000 + counter).encode()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def fill(
    counter: int, trade: int, quantity: int, price: int = 600_000, fee: int | None = None, **more: object
) -> OrderEvent:
    parts = FillPart.QUANTITY | (FillPart.FEE if fee is not None else FillPart.NONE)
    return event(
        EventType.FILL, counter, trade_id=str(trade).encode(), last_quantity=quantity, last_price=price,
        parts=int(parts), fee=fee or 0, **more,
    )  # fmt: skip


def test_an_order_lives_from_request_to_filled(books):
    books.feed(request(1))
    books.feed(event(EventType.SENT, 1, request_type=int(RequestType.NEW)))
    books.feed(event(EventType.ACCEPTED, 1))
    books.feed(fill(1, 5, 4, fee=100))
    assert books.orders[order_id(1)].state is OrderState.PARTIALLY_FILLED
    books.feed(fill(1, 6, 6, fee=200))
    assert books.order_set() == {("1001", "FILLED", Decimal("0.010"))}
    assert books.trade_set() == {("BTCUSDT", "5"), ("BTCUSDT", "6")}
    counts = books.final_counts()
    assert (counts.sent, counts.accepted, counts.filled) == (1, 1, 1)
    money = books.money({BTC: 60_001 * 10**8})
    assert money.position == {"BTCUSDT": Decimal("0.010")}
    assert money.fees == Decimal("0.00000300")
    assert money.unrealized_pnl == Decimal("0.01")


def test_the_parts_of_one_trade_merge_and_a_repeat_changes_nothing(books):
    books.feed(request(1))
    quantity_first = fill(1, 5, 10)
    fee_later = event(EventType.FILL_FEE, 1, trade_id=b"5", parts=int(FillPart.FEE), fee=300)
    for record in (quantity_first, fee_later, quantity_first, fee_later, fill(1, 5, 10, fee=300)):
        books.feed(record)
    assert books.orders[order_id(1)].filled == 10
    assert books.money({}).fees == Decimal("0.000003")
    assert books.money({}).position == {"BTCUSDT": Decimal("0.010")}
    assert len(books.trade_set()) == 1


def test_a_fill_after_the_cancel_is_applied(books):
    books.feed(request(1))
    books.feed(event(EventType.ACCEPTED, 1))
    books.feed(event(EventType.CANCELED, 1))
    books.feed(fill(1, 5, 3, fee=1))
    assert books.order_set() == {("1001", "CANCELED", Decimal("0.003"))}


def test_a_refused_order_is_not_in_the_set_and_one_of_unknown_fate_is_with_our_own_id(books):
    books.feed(request(1))
    books.feed(event(EventType.REJECTED, 1, reason=int(Reason.VENUE_POST_ONLY), exchange_order_id=b""))
    books.feed(request(2))
    books.feed(event(EventType.UNKNOWN, 2, reason=int(Reason.TIMEOUT), exchange_order_id=b""))
    assert books.order_set() == {(f"client:{order_id(2)}", "UNKNOWN", Decimal("0.000"))}
    assert len(books.open_orders()) == 1
    counts = books.final_counts()
    assert (counts.sent, counts.rejected) == (2, 1)


def test_what_was_refused_here_was_never_sent(books):
    books.feed(request(1))
    books.feed(event(EventType.REJECTED, 1, reason=int(Reason.RISK_SIZE), exchange_order_id=b""))
    assert books.final_counts().sent == 0


def test_settled_unknowns_are_counted_by_how_they_were_settled(books):
    books.feed(
        event(EventType.STATUS, 1, reason=int(Reason.SETTLED_EXECUTED), order_state=int(OrderState.OPEN), quantity=10)
    )
    books.feed(event(EventType.REJECTED, 2, reason=int(Reason.SETTLED_ABSENT), exchange_order_id=b""))
    counts = books.final_counts()
    assert (counts.unknown_settled_executed, counts.unknown_settled_absent) == (1, 1)
    assert [order.state for order in books.open_orders()] == [OrderState.OPEN]


def test_orders_of_others_are_not_ours(books):
    books.feed(event(EventType.ACCEPTED, 1, number=3))
    assert not books.orders


def test_the_best_own_quote_of_each_side_is_shown(books):
    for counter, (side, price) in enumerate(
        [(Side.BUY, 599_000), (Side.BUY, 600_000), (Side.SELL, 602_000), (Side.SELL, 601_000)]
    ):
        books.feed(request(counter, side, price))
        books.feed(event(EventType.ACCEPTED, counter))
    assert books.quotes(BTC) == {
        Side.BUY: (Decimal("60000.0"), Decimal("0.010")),
        Side.SELL: (Decimal("60100.0"), Decimal("0.010")),
    }


@pytest.mark.parametrize("inverse", [0, 1])
def test_without_a_mark_there_is_no_unrealized_profit(inverse):
    books = OwnBooks(NUMBER, [instrument(inverse)])
    books.feed(request(1, quantity=10_000_000))
    books.feed(fill(1, 5, 10_000_000, fee=0))
    assert books.money({}).unrealized_pnl == 0
    assert books.money({BTC: 61_000 * 10**8}).unrealized_pnl > 0


def test_a_replaced_order_has_its_new_price(books):
    books.feed(request(1))
    books.feed(event(EventType.ACCEPTED, 1))
    books.feed(event(EventType.REPLACED, 1, price=601_000, quantity=20))
    assert books.quotes(BTC)[Side.BUY] == (Decimal("60100.0"), Decimal("0.020"))


FILLS = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(550_000, 650_000), st.integers(1, 50)),
    min_size=1,
    max_size=30,
)


@given(FILLS, st.integers(550_000, 650_000), st.randoms(use_true_random=False))
def test_money_is_that_of_a_ledger_in_decimals_whatever_the_order_of_arrival(fills, mark, random):
    """An average-cost ledger in Decimal, written apart from the one in integers."""
    position = cost = realized = Decimal(0)
    for side, price, quantity in fills:
        signed = Decimal(quantity) / 1000 * (1 if side is Side.BUY else -1)
        at = Decimal(price) / 10
        if position and (position > 0) != (signed > 0):
            closing = min(abs(signed), abs(position))
            removed = (abs(cost) * closing / abs(position)).quantize(CENT, ROUND_HALF_EVEN)
            realized += (closing * at - removed) * (1 if position > 0 else -1)
            cost -= removed if position > 0 else -removed
            position += closing if signed > 0 else -closing
            signed -= closing if signed > 0 else -closing
        cost += signed * at
        position += signed
    books = OwnBooks(NUMBER, [instrument()])
    arrivals = [fill(n, 100 + n, q, p, fee=n, side=int(s)) for n, (s, p, q) in enumerate(fills, start=1)]
    random.shuffle(arrivals)
    for record in arrivals:
        books.feed(record)
    money = books.money({BTC: mark * 10**7})
    assert money.position["BTCUSDT"] == position
    assert money.realized_pnl == realized
    assert money.unrealized_pnl == (position * Decimal(mark) / 10 - cost).quantize(CENT, ROUND_HALF_EVEN)
    assert money.fees == sum(range(1, len(fills) + 1)) * CENT
