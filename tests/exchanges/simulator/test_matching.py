"""Table and property tests of `exchanges/simulator/matching.py` through the exchange that drives it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.simulator.errors import OrderRefused, Refusal
from exchanges.simulator.ledger import fee_of
from exchanges.simulator.orders import ExpiryReason, OrderState, ReportKind, SelfTrade, TimeInForce
from tests.exchanges.simulator.market import SYMBOL, Market

D = Decimal


# --- the queue --------------------------------------------------------------------------------------------------------
def test_a_resting_order_waits_behind_the_quantity_shown_at_its_price() -> None:
    market = Market()
    order = market.place("buy", "1", "99.9")
    market.trade("99.9", "4", seller_takes=True)
    assert order.filled == 0
    assert order.queue_ahead == 1
    market.trade("99.9", "1.4", seller_takes=True)
    assert market.fills(order) == [("99.9", "0.4", True)]
    assert order.state is OrderState.PARTIALLY_FILLED


def test_a_trade_that_also_shows_as_a_smaller_level_is_counted_once_whichever_comes_first() -> None:
    level_first, trade_first = Market(), Market()
    orders = [market.place("buy", "1", "99.9") for market in (level_first, trade_first)]
    level_first.top("99.9:2", "100.1:5", ms=2000)
    level_first.trade("99.9", "3", seller_takes=True, ms=2000)
    trade_first.trade("99.9", "3", seller_takes=True, ms=2000)
    trade_first.top("99.9:2", "100.1:5", ms=2000)
    assert [order.queue_ahead for order in orders] == [2, 2]
    for market in (level_first, trade_first):
        market.trade("99.9", "2.5", seller_takes=True, ms=2001)
    assert [order.filled for order in orders] == [D("0.5"), D("0.5")]


def test_quantity_that_leaves_the_level_without_a_trade_shortens_the_queue_for_later_trades() -> None:
    market = Market()
    order = market.place("buy", "1", "99.9")
    market.top("99.9:0.5", "100.1:5", ms=2000)
    market.trade("99.9", "1", seller_takes=True, ms=2001)
    assert order.filled == D("0.5")


def test_quantity_that_joins_the_level_stands_behind_us() -> None:
    market = Market()
    order = market.place("buy", "1", "99.9")
    market.top("99.9:50", "100.1:5")
    assert order.queue_ahead == 5


def test_a_deep_level_shrinks_the_queue_through_deltas() -> None:
    market = Market()
    order = market.place("sell", "1", "100.2")
    market.delta(asks="100.2:3")
    assert order.queue_ahead == 3
    market.delta(asks="100.2:0")
    assert order.queue_ahead == 0


def test_an_order_in_front_of_the_market_has_nobody_ahead() -> None:
    market = Market()
    order = market.place("buy", "1", "100.0")
    assert order.queue_ahead == 0
    market.trade("100.0", "0.25", seller_takes=True)
    assert market.fills(order) == [("100.0", "0.25", True)]


def test_a_trade_through_the_price_fills_the_order_at_its_own_price() -> None:
    market = Market()
    order = market.place("buy", "1", "99.9")
    market.trade("99.8", "0.01", seller_takes=True)
    assert market.fills(order) == [("99.9", "1", True)]
    assert order.state is OrderState.FILLED


@pytest.mark.parametrize("seller_takes", [True, False])
def test_a_trade_of_the_other_side_does_not_touch_us(seller_takes: bool) -> None:
    market = Market()
    order = market.place("buy" if not seller_takes else "sell", "1", "99.9" if not seller_takes else "100.1")
    market.trade("99.9" if not seller_takes else "100.1", "50", seller_takes=seller_takes)
    assert order.filled == 0


def test_a_market_that_crosses_our_price_fills_us_as_far_as_its_quantity_goes() -> None:
    market = Market()
    order = market.place("sell", "3", "100.1")
    market.top("100.3:2", "100.4:5")
    assert market.fills(order) == [("100.1", "2", True)]
    market.top("100.3:2", "100.5:5")  # the same bid again: it was taken already
    assert order.filled == 2
    market.top("100.3:9", "100.5:5")
    assert order.state is OrderState.FILLED


def test_two_orders_at_one_price_fill_in_order_of_arrival() -> None:
    market = Market()
    first = market.place("buy", "1", "99.9")
    second = market.place("buy", "1", "99.9", account="b")
    market.trade("99.9", "6.5", seller_takes=True)
    assert (first.filled, second.filled) == (1, D("0.5"))


def test_the_better_price_fills_before_the_earlier_order() -> None:
    market = Market()
    worse = market.place("buy", "1", "99.9")
    better = market.place("buy", "1", "100.0")
    market.trade("100.0", "1", seller_takes=True)
    assert (worse.filled, better.filled) == (0, 1)


# --- takers -----------------------------------------------------------------------------------------------------------
def test_a_market_order_takes_the_levels_best_first_and_its_rest_expires() -> None:
    market = Market()
    order = market.place("buy", "13")
    assert market.fills(order) == [("100.1", "5", False), ("100.2", "7", False)]
    assert order.state is OrderState.EXPIRED
    assert order.expiry is ExpiryReason.MARKET_REMAINDER


def test_what_we_took_is_gone_until_the_market_updates_that_level() -> None:
    market = Market()
    market.place("buy", "5", "100.1", tif=TimeInForce.IOC)
    again = market.place("buy", "5", "100.1", tif=TimeInForce.IOC)
    assert again.filled == 0
    market.top("99.9:5", "100.1:2")
    assert market.place("buy", "5", "100.1", tif=TimeInForce.IOC).filled == 2


def test_an_update_of_another_level_does_not_bring_back_what_we_took() -> None:
    market = Market()
    market.place("buy", "5", "100.1", tif=TimeInForce.IOC)
    market.top("99.9:6", "100.1:5")
    market.delta(asks="100.2:9")
    assert market.place("buy", "1", "100.1", tif=TimeInForce.IOC).filled == 0


def test_a_limit_order_takes_what_it_may_and_rests() -> None:
    market = Market()
    order = market.place("buy", "6", "100.1")
    assert order.filled == 5
    assert market.matcher.bids == [order]


def test_ioc_expires_its_rest_and_fok_is_refused_whole() -> None:
    market = Market()
    order = market.place("buy", "6", "100.1", tif=TimeInForce.IOC)
    assert (order.filled, order.state, order.expiry) == (5, OrderState.EXPIRED, ExpiryReason.IMMEDIATE_REMAINDER)
    reported = len(market.reports)
    with pytest.raises(OrderRefused) as refusal:
        market.place("sell", "13", "99.8", tif=TimeInForce.FOK)
    assert refusal.value.refusal is Refusal.FILL_OR_KILL
    assert len(market.reports) == reported
    assert market.place("sell", "12", "99.8", tif=TimeInForce.FOK).state is OrderState.FILLED


def test_post_only_is_refused_where_it_would_take_and_rests_where_not() -> None:
    market = Market()
    with pytest.raises(OrderRefused) as refusal:
        market.place("buy", "1", "100.1", tif=TimeInForce.GTX)
    assert refusal.value.refusal is Refusal.POST_ONLY_WOULD_TAKE
    assert market.reports == []
    assert market.place("buy", "1", "100.0", tif=TimeInForce.GTX).state is OrderState.NEW


def test_a_taker_meets_another_account_by_price_then_time() -> None:
    market = Market()
    maker = market.place("sell", "1", "100.1", account="b")  # behind the 5 shown there
    taker = market.place("buy", "5.5", "100.1")
    assert market.fills(taker) == [("100.1", "5", False), ("100.1", "0.5", False)]
    assert market.fills(maker) == [("100.1", "0.5", True)]
    inside = market.place("sell", "1", "100.0", account="b")
    assert market.fills(market.place("buy", "1", "100.1"))[0] == ("100.0", "1", False)
    assert inside.state is OrderState.FILLED


def test_a_resting_order_comes_before_the_market_quantity_that_joined_after_it() -> None:
    market = Market()
    maker = market.place("sell", "1", "100.1", account="b")  # behind 5
    market.top("99.9:5", "100.1:9")  # 4 more join behind it
    taker = market.place("buy", "7", "100.1")
    assert market.fills(taker) == [("100.1", "5", False), ("100.1", "1", False), ("100.1", "1", False)]
    assert market.fills(maker) == [("100.1", "1", True)]
    assert market.place("buy", "9", "100.1", tif=TimeInForce.IOC).filled == 3


# --- self trades ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "maker_state", "taker_state", "taker_filled"),
    [
        (SelfTrade.EXPIRE_MAKER, OrderState.EXPIRED_IN_MATCH, OrderState.FILLED, 2),
        (SelfTrade.EXPIRE_TAKER, OrderState.NEW, OrderState.EXPIRED_IN_MATCH, 0),
        (SelfTrade.EXPIRE_BOTH, OrderState.EXPIRED_IN_MATCH, OrderState.EXPIRED_IN_MATCH, 0),
        (SelfTrade.NONE, OrderState.FILLED, OrderState.FILLED, 2),
    ],
)
def test_the_takers_mode_decides_who_ends_in_a_self_trade(
    mode: SelfTrade, maker_state: OrderState, taker_state: OrderState, taker_filled: int
) -> None:
    market = Market()
    maker = market.place("sell", "1", "100.0")
    taker = market.place("buy", "2", "100.1", stp=mode)
    assert (maker.state, taker.state, taker.filled) == (maker_state, taker_state, taker_filled)
    assert (taker in market.matcher.bids) is False
    assert (maker in market.matcher.asks) is (maker_state is OrderState.NEW)


# --- reduce only ------------------------------------------------------------------------------------------------------
def test_reduce_only_needs_a_position_to_reduce_and_never_flips_it() -> None:
    market = Market()
    with pytest.raises(OrderRefused) as refusal:
        market.place("sell", "1", "100.5", reduce_only=True)
    assert refusal.value.refusal is Refusal.REDUCE_ONLY
    market.place("buy", "2")
    order = market.place("sell", "3", reduce_only=True)
    assert (order.filled, order.state, order.expiry) == (2, OrderState.EXPIRED, ExpiryReason.REDUCE_ONLY)
    assert market.exchange.accounts["a"].position(SYMBOL).quantity == 0


def test_a_resting_reduce_only_order_ends_when_its_position_is_gone() -> None:
    market = Market()
    market.place("buy", "2")
    resting = market.place("sell", "2", "100.0", reduce_only=True)
    market.place("sell", "1.5")
    market.trade("100.0", "2", seller_takes=False)
    assert (resting.filled, resting.expiry) == (D("0.5"), ExpiryReason.REDUCE_ONLY)
    assert market.exchange.open_orders("a") == []


# --- conservation -----------------------------------------------------------------------------------------------------
price_ticks = st.integers(-6, 6).map(lambda ticks: str(D("100") + ticks * D("0.1")))
quantities = st.integers(1, 600).map(lambda lots: str(lots * D("0.01")))
actions = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from(["buy", "sell"]),
        quantities,
        st.none() | price_ticks,
        st.sampled_from(["a", "b"]),
        st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX]),
        st.sampled_from(list(SelfTrade)),
        st.booleans(),
    ),
    st.tuples(st.just("trade"), price_ticks, quantities, st.booleans()),
    st.tuples(st.just("top"), st.integers(-5, 4), st.integers(1, 3), quantities, quantities),
    st.tuples(st.just("delta"), st.integers(-9, 9), quantities | st.just("0")),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("amend"), st.integers(0, 30), price_ticks, quantities),
    st.tuples(st.just("wait"), st.integers(1, 100)),
)


def act(market: Market, action: tuple) -> None:  # type: ignore[type-arg]
    orders = list(market.exchange.orders.values())
    match action:
        case ("place", side, quantity, price, account, tif, stp, reduce_only):
            tif = tif if price is not None else TimeInForce.GTC
            market.place(side, quantity, price, account, tif, stp, reduce_only)
        case ("trade", price, quantity, seller_takes):
            market.trade(price, quantity, seller_takes)
        case ("top", offset, spread, bid_quantity, ask_quantity):
            bid = D("100") + offset * D("0.1")
            market.top(f"{bid}:{bid_quantity}", f"{bid + spread * D('0.1')}:{ask_quantity}")
        case ("delta", offset, quantity):
            level = f"{D('100') + offset * D('0.1')}:{quantity}"
            best = market.matcher.book.best_bid
            is_bid = D("100") + offset * D("0.1") <= best
            market.delta(bids=level if is_bid else "", asks="" if is_bid else level)
        case ("cancel", index) if orders:
            market.exchange.cancel(orders[index % len(orders)])
        case ("amend", index, price, quantity) if orders:
            market.exchange.amend(orders[index % len(orders)], D(price), D(quantity))
        case ("wait", milliseconds):
            market.now += milliseconds


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, max_size=40))
def test_orders_trades_positions_and_cash_always_add_up(script: list) -> None:  # type: ignore[type-arg]
    market = Market()
    for action in script:
        before = (len(market.reports), len(market.exchange.orders))
        try:
            act(market, action)
        except OrderRefused:
            assert (len(market.reports), len(market.exchange.orders)) == before
        check_books(market)


def check_books(market: Market) -> None:
    exchange = market.exchange
    trades = [trade for account in exchange.accounts.values() for trade in account.trades]
    assert len({trade.trade_id for trade in trades}) == len(trades)
    for order in exchange.orders.values():
        own = [trade for trade in trades if trade.order_id == order.order_id]
        assert sum((trade.quantity for trade in own), D(0)) == order.filled
        assert sum((trade.price * trade.quantity for trade in own), D(0)) == order.quote_filled
        assert 0 <= order.filled <= order.quantity or order.amendments
        assert order.state is not OrderState.FILLED or order.filled == order.quantity
        resting = order in market.matcher.bids or order in market.matcher.asks
        assert resting == order.state.is_open
        for trade in own:
            limit = order.request.price if not order.amendments else None
            assert not limit or (trade.price <= limit if order.is_buy else trade.price >= limit)
    for account in exchange.accounts.values():
        position = account.position(SYMBOL)
        signed = sum((t.quantity if t.is_buy else -t.quantity for t in account.trades), D(0))
        cash = sum(((-1 if t.is_buy else 1) * t.price * t.quantity for t in account.trades), D(0))
        assert position.quantity == signed
        # what was paid and received is what was realised plus what is still held at cost
        cost = position.cost if position.quantity >= 0 else -position.cost
        assert position.realized == cash + cost
        assert account.fees == sum((t.fee for t in account.trades), D(0))
        assert account.wallet == account.initial_wallet + position.realized - account.fees
        for trade in account.trades:
            rate = account.maker_rate if trade.maker else account.taker_rate
            assert trade.fee == fee_of(trade.price, trade.quantity, rate)
    bids, asks = market.matcher.bids, market.matcher.asks
    assert not (bids and asks and bids[0].price >= asks[0].price)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=30))
def test_every_order_reports_accepted_first_and_its_end_once(script: list) -> None:  # type: ignore[type-arg]
    market = Market()
    for action in script:
        try:
            act(market, action)
        except OrderRefused:
            continue
    for order in market.exchange.orders.values():
        kinds = [report.kind for report in market.reports if report.order.order_id == order.order_id]
        ends = [r for r in market.reports if r.order.order_id == order.order_id and not r.order.state.is_open]
        assert kinds[0] is ReportKind.ACCEPTED
        assert kinds.count(ReportKind.ACCEPTED) == 1
        assert len(ends) == (0 if order.state.is_open else 1)
