"""Two instruments: fills of the first are hedged on the second, and never twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.layout import TimeInForce
from strategy.quote_and_hedge import QuoteAndHedgeStrategy
from strategy.testing import Listing, RigLimits, StrategyFailed, StrategyRig

QUOTED, HEDGE = "binance:BTCUSDT", "deribit:ETHUSDT"
PARAMETERS = {"order_quantity": 0.01, "maximum_position": 0.03}


def make(**changes) -> StrategyRig:
    rig = StrategyRig(
        QuoteAndHedgeStrategy, PARAMETERS | changes, instruments=[QUOTED, Listing(HEDGE, tick="0.01", lot="0.001")]
    )
    rig.quote(2500.0, 2500.01, HEDGE)
    rig.quote(60000.0, 60000.1)
    return rig


@pytest.fixture
def rig() -> Iterator[StrategyRig]:
    with make() as made:
        yield made


def bid(rig):
    return next(one for one in rig.orders if one.is_buy and one.instrument.name == QUOTED)


def ask(rig):
    return next(one for one in rig.orders if not one.is_buy and one.instrument.name == QUOTED)


def hedges(rig):
    return [one for one in rig.orders if one.instrument.name == HEDGE]


def test_it_quotes_one_order_a_side_behind_the_touch(rig):
    assert [(one.instrument.name, one.is_buy, one.price, one.post_only) for one in rig.orders] == [
        (QUOTED, True, 59999.9, True),
        (QUOTED, False, 60000.2, True),
    ]


def test_a_fill_is_hedged_at_once_by_value_with_an_ioc(rig):
    rig.fill(bid(rig))
    [order] = hedges(rig)
    assert (order.is_buy, order.time_in_force, order.price) == (False, TimeInForce.IOC, 2499.8)
    assert order.quantity == pytest.approx(0.01 * 60000.05 / 2500.005, abs=0.001)
    rig.fill(order, price=2500.0)
    assert hedges(rig) == []
    assert abs(rig.strategy.unhedged()) < 0.001


def test_a_given_ratio_is_used():
    with make(hedge_ratio=20.0) as rig:
        rig.fill(ask(rig), 0.005)
        [order] = hedges(rig)
        assert (order.is_buy, order.quantity, order.price) == (True, 0.1, 2500.21)


def test_while_a_hedge_is_out_no_second_one_goes(rig):
    rig.fill(bid(rig), 0.004)
    rig.fill(bid(rig), 0.006)
    rig.wait(3.0)
    [order] = hedges(rig)
    assert order.quantity == pytest.approx(0.096, abs=0.0015)
    rig.fill(order, price=2500.0)
    [rest] = hedges(rig)
    assert rest.quantity == pytest.approx(0.144, abs=0.0015)


def test_an_unanswered_hedge_is_not_sent_again(rig):
    rig.venues["deribit"].answers = False
    rig.fill(bid(rig))
    rig.wait(3.0)
    assert len(hedges(rig)) == 1


def test_a_hedge_that_expired_is_tried_again(rig):
    rig.fill(bid(rig))
    first = hedges(rig)[0]
    rig.expire(first)
    assert hedges(rig) == []  # not in a circle: the timer tries again
    rig.wait(0.6)
    assert [one is not first for one in hedges(rig)] == [True]


def test_nothing_is_hedged_below_the_smallest_value(rig):
    rig.fill(bid(rig), 0.001)  # 60 of 100
    assert hedges(rig) == []
    rig.fill(bid(rig), 0.001)
    assert len(hedges(rig)) == 1


def test_at_the_maximum_only_the_other_side_is_quoted(rig):
    for _ in range(3):
        rig.fill(bid(rig))
        rig.fill(hedges(rig)[0], price=2500.0)
        rig.quote(60000.0, 60000.1)
    assert [one.is_buy for one in rig.orders] == [False]


def test_quotes_follow_the_market_only_beyond_the_threshold(rig):
    before = bid(rig)
    rig.quote(60000.4, 60000.5)
    assert bid(rig) is before
    rig.quote(60000.5, 60000.6)
    rig.quote(60000.5, 60000.6)
    assert (bid(rig).price, ask(rig).price) == (60000.4, 60000.7)


def test_a_stale_hedge_pulls_the_quotes_and_its_return_brings_them_back(rig):
    for _ in range(12):
        rig.wait(0.25, quiet=True)
        rig.quote(60000.0, 60000.1)
    assert rig.orders == []
    rig.quote(2500.0, 2500.01, HEDGE)
    rig.quote(60000.0, 60000.1)
    assert len(rig.orders) == 2


def test_an_inverse_hedge_counts_in_dollars():
    perpetual = "deribit:BTC-PERPETUAL"
    with StrategyRig(
        QuoteAndHedgeStrategy, PARAMETERS, instruments=[QUOTED, Listing(perpetual, "0.5", "10", inverse=True)]
    ) as rig:
        rig.quote(60500.0, 60500.5, perpetual)
        rig.quote(60000.0, 60000.1)
        rig.fill(bid(rig))
        [order] = [one for one in rig.orders if one.instrument.name == perpetual]
        assert (order.is_buy, order.quantity) == (False, 600.0)
        rig.fill(order, price=60500.0)
        assert abs(rig.strategy.unhedged()) < 10.0


def test_quotes_from_the_hedge_follow_its_mid_at_once_and_keep_the_usual_ratio():
    with make(price_from="hedge", distance_ticks=20.0, requote_ticks=1.0, ratio_half_life_s=2.0) as rig:
        assert (bid(rig).price, ask(rig).price) == (59998.0, 60002.1)
        rig.quote(2500.5, 2500.51, HEDGE)  # 12 a coin up there; nothing has moved here
        rig.quote(2500.5, 2500.51, HEDGE)  # the cancels are confirmed
        assert bid(rig).price == 60000.0, "never through the touch here"
        assert ask(rig).price == pytest.approx(60014.0, abs=0.11)
        for _ in range(60):
            rig.wait(0.5)
            rig.quote(2500.5, 2500.51, HEDGE)
            rig.quote(60000.0, 60000.1)
        assert bid(rig).price == pytest.approx(59998.0, abs=0.11), "this is how the two stand now"
        assert ask(rig).price == pytest.approx(60002.1, abs=0.11)


def test_quotes_from_the_hedge_are_pulled_while_it_is_stale():
    with make(price_from="hedge", distance_ticks=20.0) as rig:
        for _ in range(12):
            rig.wait(0.25, quiet=True)
            rig.quote(60000.0, 60000.1)
        assert rig.orders == []
        rig.quote(2500.0, 2500.01, HEDGE)
        rig.quote(60000.0, 60000.1)
        assert len(rig.orders) == 2


def test_a_refused_quote_is_not_hammered():
    limits = RigLimits(max_order_notional="500")
    with StrategyRig(
        QuoteAndHedgeStrategy, PARAMETERS | {"rejection_pause_ms": 1000.0}, instruments=[QUOTED, HEDGE], limits=limits
    ) as rig:
        rig.quote(2500.0, 2500.1, HEDGE)
        for _ in range(20):
            rig.wait(0.1)
            rig.quote(60000.0, 60000.1)
            rig.quote(2500.0, 2500.1, HEDGE)
        assert 4 <= len(rig.refused) <= 12, "each side once, and again after each pause, not with each of 40 quotes"


def test_a_refused_hedge_is_not_hammered():
    limits = RigLimits(max_order_notional="650")
    with StrategyRig(
        QuoteAndHedgeStrategy, PARAMETERS | {"hedge_ratio": 30.0}, instruments=[QUOTED, HEDGE], limits=limits
    ) as rig:
        rig.quote(2500.0, 2500.1, HEDGE)
        rig.quote(60000.0, 60000.1)
        rig.fill(bid(rig))
        rig.wait(2.0)
        assert 2 <= len(rig.refused) <= 6
        assert all("notional" in sentence for sentence in rig.refused)


def test_one_instrument_is_a_mistake_that_is_said():
    with pytest.raises(StrategyFailed, match="the quoted and the hedge; found 1"):
        StrategyRig(QuoteAndHedgeStrategy, PARAMETERS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 10), st.integers(-300, 300), st.booleans()), min_size=1, max_size=12
    )
)
def test_whatever_is_filled_ends_hedged_and_within_the_limit(steps):
    with make(hedge_ratio=24.0) as rig:
        price = 60000.0
        for buys, lots, move, expires in steps:
            side = [one for one in rig.orders if one.instrument.name == QUOTED and one.is_buy == buys]
            if side:
                rig.fill(side[0], min(lots / 1000, side[0].remaining_quantity))
            for order in hedges(rig):
                rig.expire(order) if expires else rig.fill(order, price=2500.0)
            assert len(hedges(rig)) <= 1
            assert abs(rig.position().position) <= 0.03 + 1e-9
            price += move / 10
            rig.quote(round(price, 1), round(price + 0.1, 1))
        for _ in range(4):
            rig.wait(0.6)
            for order in hedges(rig):
                rig.fill(order, price=2500.0)
        assert abs(rig.strategy.unhedged()) * 2500.0 <= 100.0 + 2.5
