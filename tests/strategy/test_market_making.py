"""The market maker in the small world: where it quotes, when it moves, when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from shm.layout import EventType, ExecFlag, OrderState, RequestType, Side
from shm.records import OrderRequest
from strategy import glft
from strategy.market_making import MarketMakingStrategy
from strategy.order import Order
from tests.strategy.world import Limits, Settings, World

BASE: dict[str, Any] = {"order_quantity": 0.01, "requote_ticks": 2.0, "minimum_lifetime_ms": 250.0}


class Market:
    """A market maker that runs, and the engine's answers to it."""

    def __init__(self, world: World, **parameters: Any) -> None:
        self.world = world
        settings = Settings(parameters={**BASE, **parameters}, limits=Limits())
        world.start((MarketMakingStrategy, settings))
        world.make_ready()
        self.strategy = world.runner().strategy

    def quote(self, bid: float = 60000.0, ask: float = 60000.1, pause: float = 0.3) -> list[OrderRequest]:
        """Time passes, a quote comes; the requests it led to, not answered yet."""
        self.world.turn(pause)
        self.world.book(bid=bid, ask=ask)
        self.world.quote(bid, ask)
        self.world.turn()
        return self.world.take_requests()

    def answer(self, requests: list[OrderRequest]) -> None:
        kinds = {RequestType.NEW: EventType.ACCEPTED, RequestType.CANCEL: EventType.CANCELED,
                 RequestType.REPLACE: EventType.REPLACED}  # fmt: skip
        for request in requests:
            self.world.send_event(kinds[RequestType(request.request_type)], request)
        self.world.turn()

    def settle(self, bid: float = 60000.0, ask: float = 60000.1) -> list[Order]:
        """Quotes until nothing moves any more; the standing orders, bid first."""
        for _ in range(10):
            requests = self.quote(bid, ask)
            if not requests and len(self.strategy.orders) == 2:
                break
            self.answer(requests)
        return sorted(self.strategy.orders, key=lambda order: order.side)


def expected(mid: float, held_orders: float, **changes: float) -> tuple[float, float]:
    numbers = {"intensity": 2.0, "decay": 0.25 / 0.1, "volatility": 2.0, "risk_aversion": 0.01, **changes}
    return glft.coefficients(**numbers).quotes(mid, held_orders)


def test_it_quotes_both_sides_post_only_where_the_model_says(world: World) -> None:
    market = Market(world)
    requests = world.take_requests()
    if not requests:
        requests = market.quote()
    assert [(one.side, one.exec_flags, one.quantity) for one in requests] == [
        (Side.BUY, ExecFlag.POST_ONLY, 10), (Side.SELL, ExecFlag.POST_ONLY, 10),
    ]  # fmt: skip
    bid, ask = expected(60000.05, 0.0)
    assert bid - 0.1 < requests[0].price / 100 <= bid + 1e-6 and ask - 1e-6 <= requests[1].price / 100 < ask + 0.1


def test_it_never_quotes_through_the_touch_or_with_more_than_one_order_a_side(world: World) -> None:
    market = Market(world, maximum_half_spread_ticks=0.5, minimum_half_spread_ticks=0.0)
    bid, ask = market.settle()
    assert (bid.price, ask.price) == (60000.0, 60000.1), "at the touch: half a tick from the mid"
    for price in range(30):
        requests = market.quote(60000.0 + price, 60000.1 + price)
        for request in requests:
            if request.request_type == RequestType.NEW:
                touch = 60000.0 + price if request.side == Side.BUY else 60000.1 + price
                assert request.price / 100 == pytest.approx(touch)
        market.answer(requests)
        for side in (Side.BUY, Side.SELL):
            assert sum(order.side == side for order in market.strategy.orders) <= 1


def test_inventory_moves_both_quotes_against_itself(world: World) -> None:
    market = Market(world)
    bid, ask = market.settle()
    flat = (bid.price, ask.price)
    request = OrderRequest()
    for name in ("client_order_id", "strategy_id", "side"):
        setattr(request, name, getattr(bid, name))
    request.instrument_id, request.price, request.quantity = world.btc, bid.price_mantissa, 10
    world.fill(request, 10, b"t1")
    bid, ask = market.settle()
    assert bid.price < flat[0] and ask.price < flat[1]
    model_bid, model_ask = expected(60000.05, 1.0)
    assert abs(bid.price - model_bid) < 0.3 and abs(ask.price - model_ask) < 0.3


def test_a_quote_that_leans_toward_the_market_stops_at_the_best_price_of_its_side(world: World) -> None:
    market = Market(
        world, risk_aversion=0.5, minimum_half_spread_ticks=0.0, maximum_half_spread_ticks=1.0, requote_ticks=1.0
    )
    _, ask = market.settle()
    request = OrderRequest()
    for name in ("client_order_id", "strategy_id", "side"):
        setattr(request, name, getattr(ask, name))
    request.instrument_id, request.price, request.quantity = world.btc, ask.price_mantissa, 10
    world.fill(request, 10, b"t1")
    bid, ask = market.settle()
    assert bid.price == 60000.0, "short, it wants to buy above the mid: it joins the best bid, no more"
    assert ask.price > 60001.0


def test_at_its_inventory_limit_it_quotes_only_the_reducing_side(world: World) -> None:
    market = Market(world, maximum_inventory_orders=1.0)
    bid, _ = market.settle()
    request = OrderRequest()
    for name in ("client_order_id", "strategy_id", "side"):
        setattr(request, name, getattr(bid, name))
    request.instrument_id, request.price, request.quantity = world.btc, bid.price_mantissa, 10
    world.fill(request, 10, b"t1")
    for _ in range(6):
        market.answer(market.quote())
    assert [order.side for order in market.strategy.orders] == [Side.SELL]
    assert market.strategy.position(market.strategy.instruments[0]).position == 0.01


def test_a_small_move_and_a_young_quote_are_left_alone(world: World) -> None:
    market = Market(world, requote_ticks=3.0)
    market.settle()
    assert market.quote(60000.2, 60000.3) == [], "two ticks are below the threshold of three"
    requests = market.quote(60000.5, 60000.6)
    assert {one.request_type for one in requests} == {RequestType.CANCEL}
    market.answer(requests)
    market.answer(market.quote(60000.5, 60000.6))
    assert market.quote(60009.5, 60009.6, pause=0.1) == [], "not yet 250 ms old"
    assert len(market.quote(60009.5, 60009.6, pause=0.3)) == 2


def test_it_moves_by_replace_where_configured(world: World) -> None:
    market = Market(world, use_replace=True)
    bid, ask = market.settle()
    requests = market.quote(60010.0, 60010.1)
    assert [one.request_type for one in requests] == [RequestType.REPLACE, RequestType.REPLACE]
    assert [one.client_order_id for one in requests] == [bid.client_order_id, ask.client_order_id]
    market.answer(requests)
    assert bid.state == OrderState.OPEN and bid.price_mantissa == requests[0].price


def test_with_cancel_and_new_the_new_one_waits_for_the_venues_word(world: World) -> None:
    market = Market(world)
    market.settle()
    cancels = market.quote(60010.0, 60010.1)
    assert {one.request_type for one in cancels} == {RequestType.CANCEL}
    assert market.quote(60010.0, 60010.1) == [], "the old orders may still trade"
    market.answer(cancels)
    assert [one.request_type for one in market.quote(60010.0, 60010.1)] == [RequestType.NEW, RequestType.NEW]


def test_a_rejected_quote_is_tried_again_at_the_next_price(world: World) -> None:
    market = Market(world)
    requests = world.take_requests() or market.quote()
    for request in requests:
        world.send_event(EventType.REJECTED, request, text=b"would trade")
    world.turn()
    assert len(market.quote()) == 2


def test_after_a_rejection_only_its_side_waits(world: World) -> None:
    market = Market(world, rejection_pause_ms=1000.0)
    bid, ask = world.take_requests() or market.quote()
    world.send_event(EventType.REJECTED, bid, text=b"too many requests")
    world.send_event(EventType.CANCELED, ask)
    world.turn()
    assert [one.side for one in market.quote(pause=0.1)] == [Side.SELL]
    assert market.quote(pause=0.8) == []
    assert [one.side for one in market.quote(pause=0.2)] == [Side.BUY]


def test_on_stale_data_its_quotes_are_pulled_and_come_back(world: World) -> None:
    market = Market(world)
    market.settle()
    world.book(valid=0)
    world.turn()
    cancels = world.take_requests()
    assert [one.request_type for one in cancels] == [RequestType.CANCEL, RequestType.CANCEL]
    market.answer(cancels)
    assert market.strategy.orders == []
    assert [one.request_type for one in market.quote()] == [RequestType.NEW, RequestType.NEW]


def test_estimates_replace_the_priors_and_move_the_quotes(world: World) -> None:
    market = Market(world)
    quoter = market.strategy._quoters[world.btc]  # type: ignore[attr-defined]
    market.settle()
    prior = quoter.half_spread
    for step in range(200):
        world.turn(0.1)
        mid = 60000.0 + (step % 2) * 0.1
        world.book(bid=mid, ask=mid + 0.1)
        world.quote(mid, mid + 0.1)
        world.trade(mid + 0.1 + 0.1 * (step % 4), aggressor=1)
        world.trade(mid - 0.1 * (step % 4), aggressor=2)
        world.turn()
        market.answer(world.take_requests())
    assert quoter.volatility.samples > 30 and quoter.intensity.value() is not None
    assert quoter.half_spread != prior


def test_changed_parameters_act_at_the_next_quote(world: World) -> None:
    market = Market(world)
    market.settle()
    assert world.container is not None
    world.container.set_parameters("one", {"minimum_half_spread_ticks": 40.0, "maximum_half_spread_ticks": 50.0})
    bid, ask = market.settle()
    assert ask.price - bid.price >= 2 * 4.0 - 0.2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order_quantity": 0}, "order_quantity"),
        ({"maximum_half_spread_ticks": 0.1}, "maximum_half_spread_ticks"),
        ({"maximum_inventory_orders": 0.5}, "maximum_inventory_orders"),
    ],
)
def test_impossible_parameters_are_refused_at_load(world: World, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        world.start((MarketMakingStrategy, Settings(parameters={**BASE, **changes})))
