"""The rig of strategy tests: what it plays is what the trader's side would really meet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.layout import OrderState, Reason, Side
from shm.segment import Segment
from strategy.abstract_strategy import AbstractStrategy
from strategy.loader import StrategyLoadError
from strategy.testing import Listing, RigLimits, StrategyFailed, StrategyRig


class Recorder(AbstractStrategy):
    """Does nothing by itself; keeps what it was told."""

    def on_start(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_quote(self, quote):
        self.told.append(("quote", (quote.bid_price, quote.ask_price)))

    def on_trade(self, trade):
        self.told.append(("trade", (trade.price, trade.quantity, trade.aggressor_side)))

    def on_ticker(self, ticker):
        self.told.append(("mark", ticker.mark_price))

    def on_order(self, order):
        self.told.append(("order", OrderState(order.state).name))

    def on_fill(self, fill):
        self.told.append(("fill", (fill.quantity, fill.price)))

    def on_timer(self, name):
        self.told.append(("timer", name))

    def on_stale(self, instrument, reason):
        self.told.append(("stale", instrument.name))

    def on_error(self, refusal):
        self.told.append(("error", refusal.reason))


class Raises(Recorder):
    def on_trade(self, trade):
        raise RuntimeError("no idea")


@pytest.fixture
def rig() -> Iterator[StrategyRig]:
    with StrategyRig(Recorder) as made:
        made.quote(60000.0, 60000.1)
        made.strategy.told.clear()
        yield made


def test_market_data_arrives(rig):
    rig.quote(60001.0, 60001.1)
    rig.trade(60001.1, 0.5, Side.BUY)
    rig.mark(60001.05)
    assert rig.strategy.told == [("quote", (60001.0, 60001.1)), ("trade", (60001.1, 0.5, 1)), ("mark", 60001.05)]


def test_an_order_goes_through_its_life(rig):
    order = rig.strategy.buy(rig.instrument(), 59999.0, 0.01)
    assert order.state == OrderState.PENDING_NEW
    rig.turn()
    assert order.state == OrderState.OPEN
    rig.fill(order, 0.004, fee="0.05")
    assert (order.state, rig.position().position, rig.position().fees_paid) == (
        OrderState.PARTIALLY_FILLED, 0.004, pytest.approx(0.05),
    )  # fmt: skip
    rig.fill(order, price=59998.0)
    assert (order.state, order.closed, rig.orders, rig.all_orders) == (OrderState.FILLED, True, [], [order])
    assert [told for told in rig.strategy.told if told[0] == "fill"] == [
        ("fill", (0.004, 59999.0)),
        ("fill", (0.006, 59998.0)),
    ]


def test_cancel_replace_expire_and_the_venues_own_cancel_end_as_at_a_venue(rig):
    strategy, instrument = rig.strategy, rig.instrument()
    orders = [strategy.sell(instrument, 60010.0 + step, 0.01) for step in range(3)]
    rig.turn()
    assert strategy.replace(orders[0], price=60020.0)
    assert strategy.cancel(orders[1])
    rig.turn()
    assert (orders[0].price, orders[0].state, orders[1].state) == (60020.0, OrderState.OPEN, OrderState.CANCELED)
    rig.fill(orders[2], 0.003)
    rig.expire(orders[2])
    rig.cancel(orders[0])
    assert (orders[2].state, orders[2].closed, orders[0].state) == (OrderState.EXPIRED, True, OrderState.CANCELED)
    assert rig.position().position == -0.003


def test_a_silent_venue_answers_when_the_test_says_so(rig):
    rig.venues["binance"].answers = False
    first, second = (rig.strategy.buy(rig.instrument(), 59990.0, 0.01) for _ in range(2))
    rig.turn()
    assert first.state == OrderState.PENDING_NEW
    rig.accept(first)
    rig.reject(second, "margin")
    assert (first.state, second.state, second.reason) == (
        OrderState.OPEN, OrderState.REJECTED, Reason.VENUE_REJECTED,
    )  # fmt: skip
    with pytest.raises(ValueError, match="is accepted: set"):
        rig.reject(first)


def test_a_cancel_that_crosses_the_last_fill_is_refused_by_the_venue(rig):
    order = rig.strategy.buy(rig.instrument(), 59990.0, 0.01)
    rig.turn()
    rig.strategy.cancel(order)
    rig.fill(order)
    assert (order.state, rig.position().position) == (OrderState.FILLED, 0.01)


def test_what_is_refused_here_never_left_and_is_said(rig):
    order = rig.strategy.buy(rig.instrument(), 59990.0, 0.0001)
    assert order.is_terminal and rig.all_orders == []
    assert rig.refused == ["quantity 0.0001 of binance:BTCUSDT is below its smallest order, 0.001"]


def test_limits_are_those_that_were_given():
    with StrategyRig(Recorder, limits=RigLimits(max_position="0.02")) as rig:
        rig.quote(60000.0, 60000.1)
        rig.strategy.buy(rig.instrument(), 59990.0, 0.03)
        assert rig.refused == ["the position could reach 0.03, the limit is 0.02"]


def test_time_passes_with_timers_and_fresh_data_unless_it_is_quiet(rig):
    rig.strategy.set_timer(5.0, "tick")
    rig.wait(4.9)
    assert ("timer", "tick") not in rig.strategy.told
    rig.wait(0.2)
    assert ("timer", "tick") in rig.strategy.told
    assert ("stale", "binance:BTCUSDT") not in rig.strategy.told
    rig.wait(3.0, quiet=True)
    assert ("stale", "binance:BTCUSDT") in rig.strategy.told


def test_an_exception_in_a_callback_fails_the_test_and_says_where():
    with StrategyRig(Raises) as rig:
        rig.quote(60000.0, 60000.1)
        with pytest.raises(StrategyFailed, match=r"RuntimeError in on_trade at .*test_testing\.py:\d+: no idea"):
            rig.trade(60000.0, 0.1)


def test_several_instruments_of_several_venues():
    names = ["binance:BTCUSDT", Listing("deribit:BTC_USDT", tick="0.5", lot="0.01"), "grvt:ETHUSDT"]
    with StrategyRig(Recorder, instruments=names) as rig:
        for name, price in (("binance:BTCUSDT", 60000.0), ("deribit:BTC_USDT", 60001.0), ("grvt:ETHUSDT", 2500.0)):
            rig.quote(price, price + 0.5, name)
        assert len(rig.strategy.told) == 3
        order = rig.strategy.buy(rig.instrument("deribit:BTC_USDT"), 60000.7, 0.0199)
        rig.turn()
        assert (order.price, order.quantity, order.state) == (60000.5, 0.01, OrderState.OPEN)
        rig.fill(order)
        assert (rig.position("deribit:BTC_USDT").position, rig.position().position) == (0.01, 0.0)


def test_the_end_cancels_and_leaves_nothing_behind(rig):
    rig.strategy.buy(rig.instrument(), 59990.0, 0.01)
    rig.turn()
    rig.stop()
    assert rig.orders == []
    prefix = rig.instance.segment_name("")
    rig.close()
    assert Segment.names(prefix) == []


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((Recorder, {"size": 1}), StrategyLoadError, "parameter 'size' is not known"),
        (("nowhere.py:One",), StrategyLoadError, "there is no file"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(arguments, error, sentence):
    before = Segment.names("/corelane.rig-")
    with pytest.raises(error, match=sentence):
        StrategyRig(*arguments)
    assert Segment.names("/corelane.rig-") == before


def test_names_that_are_no_instruments_are_said(rig):
    with pytest.raises(ValueError, match="'kraken:BTCUSDT': expected venue:SYMBOL"):
        StrategyRig(Recorder, instruments=["kraken:BTCUSDT"])
    with pytest.raises(ValueError, match="'binance:X': expected one of: binance:BTCUSDT"):
        rig.quote(1.0, 2.0, "binance:X")


def test_a_fill_that_cannot_be_is_the_tests_mistake(rig):
    order = rig.strategy.buy(rig.instrument(), 59990.0, 0.01)
    with pytest.raises(ValueError, match="is not at the venue"):
        rig.fill(order)
    rig.turn()
    with pytest.raises(ValueError, match=r"has 0\.01 left"):
        rig.fill(order, 0.02)
    market = rig.strategy.sell(rig.instrument(), None, 0.01)
    rig.turn()
    with pytest.raises(ValueError, match="fill it with a price"):
        rig.fill(market)
