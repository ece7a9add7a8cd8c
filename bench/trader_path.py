"""A strategy asks for an order: the time until its request stands in the request ring, through MiniOMS and risk.

    python bench/trader_path.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

One process and one core; the container, the risk gate, MiniOMS, the adapters and the rings are the trader's own, the
venue beyond them is played between two samples and never timed. The strategy sends one post-only order at each quote;
the venue expires it before the next. Series:

    strategy_to_request   `self.buy(...)` called -> it returned, the request is published (design: at most 6 us)
    strategy_to_cancel    `self.cancel(...)` called -> it returned, the cancel is published
    quote_to_request      the quote is in the market ring -> the trader's turn is over, the request published
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin

from shm.clock import monotonic_ns
from shm.layout import EventType, RequestType
from shm.records import Quote
from strategy.abstract_strategy import AbstractStrategy
from strategy.testing import RigLimits, StrategyRig

if TYPE_CHECKING:
    from strategy.order import Order

BOUND_NS = 6_000
WARM = 3_000
BEAT_EVERY = 500
"""Samples between two heartbeats of the played processes; their limit is seconds, this is some 50 ms."""
LIMITS = RigLimits(max_orders_per_second=10_000_000.0)


class Sender(AbstractStrategy):
    """One post-only order a quote; times its own call."""

    def on_start(self) -> None:
        self.taken_ns = 0
        self.order: Order | None = None

    def on_quote(self, quote: Quote) -> None:
        instrument, price = self.instruments[0], quote.bid_price
        before = perf_counter_ns()
        order = self.buy(instrument, price, 0.01, post_only=True)
        self.taken_ns = perf_counter_ns() - before
        self.order = order


def measure(samples: int, blocks: int) -> list[Series]:
    result = [Series("strategy_to_request"), Series("strategy_to_cancel"), Series("quote_to_request")]
    with StrategyRig(Sender, limits=LIMITS, clock=monotonic_ns) as rig:
        rig.quote(60_000.0, 60_000.1)
        strategy = rig.strategy
        assert isinstance(strategy, Sender)
        _block(rig, strategy, WARM)
        for _ in range(blocks):
            for series, block in zip(result, _block(rig, strategy, max(100, samples // blocks)), strict=True):
                series.blocks.append(block)
    return result


def _block(rig: StrategyRig, strategy: Sender, count: int) -> tuple[Samples, Samples, Samples]:
    """`count` orders, each asked for, canceled and over before the next."""
    orders, cancels, turns = (np.empty(count, np.int64) for _ in range(3))
    side, turn = rig.venues["binance"], rig.container.turn
    poll, commit, publish = side.requests.poll, side.requests.commit, side.market.publish
    quote = Quote()
    quote.instrument_id, quote.venue = rig.instrument().id, rig.instrument().venue
    quote.bid_quantity = quote.ask_quantity = 1.0
    rig.turn()
    while poll() is not None:
        commit()
    gc.collect()
    gc.freeze()  # as the trader does once everything is loaded
    for index in range(count):
        if index % BEAT_EVERY == 0:
            rig.beat()
            turn()
        quote.bid_price = 60_000.0 + index % 10
        quote.ask_price = quote.bid_price + 0.1
        quote.receive_time_ns = monotonic_ns()
        strategy.order = None
        publish(quote)
        before = perf_counter_ns()
        turn()
        turns[index] = perf_counter_ns() - before
        order, request = strategy.order, poll()
        assert order is not None and request is not None and request.request_type == RequestType.NEW
        assert request.client_order_id == order.client_order_id
        orders[index] = strategy.taken_ns
        request = request.copy()
        commit()
        side.send(EventType.ACCEPTED, request)
        turn()
        before = perf_counter_ns()
        strategy.cancel(order)
        cancels[index] = perf_counter_ns() - before
        asked = poll()
        assert asked is not None and asked.request_type == RequestType.CANCEL
        commit()
        side.send(EventType.CANCELED, request)
        turn()
        assert order.closed
    gc.unfreeze()
    return orders, cancels, turns


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    pin(cores()[0])
    series = measure(options.samples, options.blocks)
    report = Report("trader_path", series)
    report.bound("strategy -> request published, p50 in us", series[0].result()["p50"] / 1e3, BOUND_NS / 1e3)
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
