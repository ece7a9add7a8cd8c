"""Order entry of `exchanges/simulator/exchange.py`: checks, amendments, timers, reports of one moment."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from exchanges.simulator.errors import OrderRefused, Refusal
from exchanges.simulator.orders import NewOrder, OrderRules, OrderState, OrderType, ReportKind, TimeInForce
from tests.exchanges.simulator.market import INSTRUMENT, SYMBOL, Market

D = Decimal
STRICT = replace(
    INSTRUMENT, percent_price=D("0.05"), min_notional=D("50"), max_open_orders=2, min_price=D("90"), max_price=D("150")
)


@pytest.mark.parametrize(
    ("side", "quantity", "price", "refusal"),
    [
        ("buy", "1", "0", Refusal.PRICE_NOT_POSITIVE),
        ("buy", "1", "-1", Refusal.PRICE_NOT_POSITIVE),
        ("buy", "1", "89.9", Refusal.PRICE_TOO_LOW),
        ("sell", "1", "150.1", Refusal.PRICE_TOO_HIGH),
        ("buy", "1", "100.05", Refusal.PRECISION),
        ("buy", "1", "105.1", Refusal.PRICE_ABOVE_MARK_BAND),
        ("sell", "1", "94.9", Refusal.PRICE_BELOW_MARK_BAND),
        ("buy", "0", "100", Refusal.QUANTITY_NOT_POSITIVE),
        ("buy", "1001", "100", Refusal.QUANTITY_TOO_LARGE),
        ("buy", "0.001", "100", Refusal.PRECISION),
        ("buy", "0.01", "100", Refusal.NOTIONAL_TOO_SMALL),
        ("buy", "0.01", None, Refusal.NOTIONAL_TOO_SMALL),
        ("buy", "1000", "100", None),
    ],
)
def test_filters_refuse_what_breaks_them(side: str, quantity: str, price: str | None, refusal: Refusal | None) -> None:
    market = Market(instrument=STRICT)
    if refusal is None:
        assert market.place(side, quantity, price).state.is_open
        return
    with pytest.raises(OrderRefused) as refused:
        market.place(side, quantity, price)
    assert refused.value.refusal is refusal
    assert market.reports == [] and market.exchange.orders == {}


def test_a_price_off_the_tick_is_refused_even_where_decimals_allow_it() -> None:
    market = Market(instrument=replace(INSTRUMENT, tick_size=D("0.5")))
    with pytest.raises(OrderRefused) as refused:
        market.place("buy", "1", "99.7")
    assert refused.value.refusal is Refusal.PRICE_OFF_TICK
    market = Market(instrument=replace(INSTRUMENT, lot_size=D("0.05")))
    with pytest.raises(OrderRefused) as refused:
        market.place("buy", "1.01", "99.7")
    assert refused.value.refusal is Refusal.QUANTITY_OFF_LOT


def test_open_orders_are_bounded_and_client_ids_unique_while_open() -> None:
    market = Market(instrument=STRICT)
    first = market.place("buy", "1", "99")
    request = replace(first.request)
    with pytest.raises(OrderRefused) as refused:
        market.exchange.place("a", request)
    assert refused.value.refusal is Refusal.DUPLICATE_CLIENT_ORDER_ID
    market.place("buy", "1", "98")
    with pytest.raises(OrderRefused) as refused:
        market.place("buy", "1", "97")
    assert refused.value.refusal is Refusal.TOO_MANY_OPEN_ORDERS
    market.exchange.cancel(first)
    again = market.exchange.place("a", request)
    assert again.order_id != first.order_id
    assert market.exchange.find("a", SYMBOL, None, first.client_order_id) is again
    assert market.exchange.find("b", SYMBOL, again.order_id, None) is None


def test_an_order_beyond_the_balance_is_refused_and_one_that_reduces_is_not() -> None:
    market = Market(bids="99.9:2000", asks="100.1:2000")
    market.exchange.accounts["a"].wallet = D("100")  # 20 times leverage: 2,000 of notional
    with pytest.raises(OrderRefused) as refused:
        market.place("buy", "21", "100")
    assert refused.value.refusal is Refusal.MARGIN
    market.place("buy", "19")
    with pytest.raises(OrderRefused):
        market.place("buy", "5", "100")
    assert market.place("sell", "19", "100.5").state.is_open


@pytest.mark.parametrize(
    ("price", "quantity", "state", "kind"),
    [
        ("99.5", "2", OrderState.PARTIALLY_FILLED, ReportKind.AMENDED),
        ("99.9", "0.5", OrderState.CANCELED, ReportKind.CANCELED),
        ("100.1", "2", OrderState.PARTIALLY_FILLED, ReportKind.AMENDED),
    ],
)
def test_an_amendment_moves_the_order_or_ends_it(
    price: str, quantity: str, state: OrderState, kind: ReportKind
) -> None:
    market = Market()
    order = market.place("buy", "2", "100.0")
    market.trade("100.0", "1", seller_takes=True)
    market.top("99.9:5", "100.2:5")
    market.exchange.amend(order, D(price), D(quantity))
    assert order.state is state
    assert market.reports[-1].kind is kind


def test_an_amendment_that_crosses_takes_unless_post_only_which_is_canceled() -> None:
    market = Market()
    taker = market.place("buy", "2", "99.9")
    market.exchange.amend(taker, D("100.1"), D("2"))
    assert taker.state is OrderState.FILLED
    assert [report.kind for report in market.reports] == [ReportKind.ACCEPTED, ReportKind.AMENDED, ReportKind.TRADE]
    post_only = market.place("buy", "2", "99.9", tif=TimeInForce.GTX)
    market.exchange.amend(post_only, D("100.1"), D("2"))
    assert (post_only.state, post_only.filled, post_only.price) == (OrderState.CANCELED, 0, D("99.9"))


def test_an_amendment_goes_to_the_end_of_the_queue() -> None:
    market = Market()
    first, second = market.place("buy", "1", "99.9"), market.place("buy", "1", "99.9", account="b")
    market.exchange.amend(first, D("99.9"), D("2"))
    market.trade("99.9", "6", seller_takes=True)
    assert (first.filled, second.filled) == (0, 1)


def test_an_amendment_that_changes_nothing_or_meets_a_closed_order_is_refused() -> None:
    market = Market()
    order = market.place("buy", "1", "99.9")
    with pytest.raises(OrderRefused) as refused:
        market.exchange.amend(order, D("99.9"), D("1.00"))
    assert refused.value.refusal is Refusal.AMEND_NO_CHANGE
    market.exchange.cancel(order)
    for act in (lambda: market.exchange.amend(order, D("99"), D("1")), lambda: market.exchange.cancel(order)):
        with pytest.raises(OrderRefused) as refused:
            act()
        assert refused.value.refusal is Refusal.UNKNOWN_ORDER


def test_the_countdown_cancels_all_orders_of_its_account_and_symbol_only_when_it_runs_out() -> None:
    market = Market()
    ours, other = market.place("buy", "1", "99"), market.place("buy", "1", "99", account="b")
    market.exchange.set_countdown("a", SYMBOL, 500)
    market.now += 499
    market.exchange.on_timer()
    assert ours.state.is_open
    market.exchange.set_countdown("a", SYMBOL, 500)
    market.now += 1
    market.exchange.on_timer()
    assert ours.state.is_open
    market.now += 499
    market.exchange.on_timer()
    assert (ours.state, other.state) == (OrderState.CANCELED, OrderState.NEW)
    stopped = market.place("buy", "1", "99")
    market.exchange.set_countdown("a", SYMBOL, 500)
    market.exchange.set_countdown("a", SYMBOL, 0)
    market.now += 5000
    market.exchange.on_timer()
    assert stopped.state.is_open


def test_a_good_till_date_ends_the_order() -> None:
    market = Market()
    request = NewOrder(
        SYMBOL, True, OrderType.LIMIT, TimeInForce.GTD, D(1), D(99), "gtd", good_till_ms=market.now + 1000
    )
    order = market.exchange.place("a", request)
    market.now += 999
    market.exchange.on_timer()
    assert order.state.is_open
    market.now += 1
    market.exchange.on_timer()
    assert order.state is OrderState.EXPIRED


def test_all_reports_of_one_moment_carry_its_time_even_when_the_clock_moves() -> None:
    market = Market()
    ticks = iter(range(5000, 6000))
    market.exchange._clock_ms = lambda: next(ticks)
    market.place("buy", "13")
    assert len({report.time_ms for report in market.reports}) == 1
    assert len(market.reports) == 4


def test_a_report_is_a_snapshot_and_does_not_change_afterwards() -> None:
    market = Market()
    market.place("buy", "13")
    accepted, first, second, expired = market.reports
    assert (accepted.order.filled, first.order.filled, second.order.filled) == (0, 5, 12)
    assert [report.order.state.value for report in market.reports] == [
        "NEW",
        "PARTIALLY_FILLED",
        "PARTIALLY_FILLED",
        "EXPIRED",
    ]
    assert first.account is not None and first.account.quantity == 5
    assert expired.trade is None


RELAXED = OrderRules(unique_client_order_ids=False, refuses_fill_or_kill=False, smaller_amend_keeps_place=True)


def test_rules_of_another_venue_allow_equal_client_ids_and_let_a_fill_or_kill_order_end_unfilled() -> None:
    market = Market()
    market.exchange.rules = RELAXED
    first = market.place("buy", "1", "99")
    second = market.exchange.place("a", replace(first.request))
    assert first.state.is_open and second.state.is_open and first.order_id != second.order_id
    killed = market.place("buy", "500", "100.1", tif=TimeInForce.FOK)
    assert (killed.state, killed.filled) == (OrderState.EXPIRED, 0)
    assert [report.kind for report in market.reports[-2:]] == [ReportKind.ACCEPTED, ReportKind.EXPIRED]


def test_where_the_rules_say_so_a_smaller_amendment_keeps_its_place_and_a_larger_one_does_not() -> None:
    market = Market()
    market.exchange.rules = RELAXED
    order = market.place("buy", "3", "99.9")
    order.queue_ahead = D("0.5")
    market.exchange.amend(order, D("99.9"), D("2"))
    assert (order.quantity, order.queue_ahead) == (D("2"), D("0.5"))
    market.exchange.amend(order, D("99.9"), D("4"))
    assert order.queue_ahead == market.exchange.matchers[SYMBOL].book.quantity_at(True, D("99.9"))


def test_margin_of_an_inverse_contract_is_in_coin() -> None:
    inverse = replace(INSTRUMENT, inverse=True, lot_size=D("10"), max_quantity=D("1000000"))
    market = Market(instrument=inverse)
    order = market.place("buy", "1000", "100")
    assert market.exchange.open_notionals("a", SYMBOL) == (D("10"), D("0"))
    assert market.exchange.order_margin("a", SYMBOL) == D("10") / market.exchange.accounts["a"].leverage_of(SYMBOL)
    assert order.state.is_open


def test_a_contract_that_is_delivered_closes_its_positions_at_the_price_and_cancels_its_orders() -> None:
    market = Market()
    account = market.exchange.accounts["a"]
    market.place("buy", "1", "100.1")
    resting = market.place("buy", "1", "99")
    paid, wallet = account.position(SYMBOL).cost, account.wallet
    market.exchange.deliver(SYMBOL, D("110"))
    assert resting.state is OrderState.CANCELED
    assert account.position(SYMBOL).quantity == 0
    assert account.wallet - wallet == D("110") - paid
    assert market.exchange.mark(SYMBOL) == D("110")


def test_a_contract_that_is_listed_later_trades_with_its_own_rates() -> None:
    market = Market()
    late = replace(INSTRUMENT, symbol="LATE", option=True, maker_fee=D("0.01"), taker_fee=D("0.01"))
    market.exchange.list_instrument(late)
    fee, _ = market.exchange.accounts["a"].apply("LATE", True, D("100"), D("2"), False, 1)
    assert fee == D("0.02"), "by quantity"
    fee, _ = market.exchange.accounts["a"].apply("LATE", True, D("0.04"), D("2"), False, 1)
    assert fee == D("0.01"), "an eighth of the premium of 0.08"


def test_open_orders_are_counted_over_all_symbols() -> None:
    market = Market()
    orders = [market.place("buy", "1", price) for price in ("90", "91")]
    assert market.exchange.open_count() == 2
    market.exchange.cancel(orders[0])
    assert market.exchange.open_count() == 1
