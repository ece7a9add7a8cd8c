"""A strategy asks for an order: the time until its request stands in the request ring, through MiniOMS and risk.

    python bench/trader_path.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

One process and one core; the container, the risk gate, MiniOMS, the adapters and the rings are the trader's own, the
venue beyond them is played between two quotes and never timed. At each quote the strategy sends LEVELS post-only
orders, one below the other; the venue accepts them, they are canceled, and all is over before the next quote. Series:

    strategy_to_request   `self.buy(...)` called -> it returned, the request is published (design: at most 6 us at p50):
                          the second and later orders of a quote, so the loop is warm
    first_of_a_turn       the same, of the first order of each quote: behind the trader's turn and the played venue
    strategy_to_cancel    `self.cancel(...)` called -> it returned, the cancel is published
"""

from __future__ import annotations

import gc
import os
import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin

from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, EventType, RequestType, SegmentKind
from shm.records import OrderRequest, Quote
from shm.segment import Segment
from strategy.abstract_strategy import AbstractStrategy
from strategy.measures import HISTOGRAMS, Measures
from strategy.testing import RigLimits, StrategyRig

if TYPE_CHECKING:
    from strategy.order import Order

BOUND_NS = 6_000
LEVELS = 8
WARM = 500
BEAT_EVERY = 100
"""Quotes between two heartbeats of the played processes; their limit is seconds, this is some 50 ms."""
LIMITS = RigLimits(max_orders_per_second=10_000_000.0)


class Sender(AbstractStrategy):
    """LEVELS post-only orders a quote; times its own calls."""

    def on_start(self) -> None:
        self.taken_ns = [0] * LEVELS
        self.sent: list[Order] = []

    def on_quote(self, quote: Quote) -> None:
        instrument, price, taken, sent = self.instruments[0], quote.bid_price, self.taken_ns, self.sent
        for level in range(LEVELS):
            before = perf_counter_ns()
            order = self.buy(instrument, price - level, 0.01, post_only=True)
            taken[level] = perf_counter_ns() - before
            sent.append(order)


def measure(samples: int, blocks: int) -> list[Series]:
    result = [Series("strategy_to_request"), Series("first_of_a_turn"), Series("strategy_to_cancel")]
    name = f"/corelane.bench{os.getpid()}-trader-path"
    # The trader records its hops while it sends; so does this one.
    counters = Counters(Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE), histograms=HISTOGRAMS)
    measures = Measures(*(counters.histogram(hop) for hop in HISTOGRAMS))
    try:
        _measure(result, samples, blocks, measures)
    finally:
        Segment.remove(name)
    return result


def _measure(result: list[Series], samples: int, blocks: int, measures: Measures) -> None:
    with StrategyRig(Sender, limits=LIMITS, clock=monotonic_ns, measures=measures) as rig:
        rig.quote(60_000.0, 60_000.1)
        strategy = rig.strategy
        assert isinstance(strategy, Sender)
        for order in strategy.sent:
            strategy.cancel(order)
        rig.turn()
        _block(rig, strategy, WARM)
        for _ in range(blocks):
            count = max(20, samples // blocks // (LEVELS - 1) + 1)
            for series, block in zip(result, _block(rig, strategy, count), strict=True):
                series.blocks.append(block)


def _block(rig: StrategyRig, strategy: Sender, count: int) -> tuple[Samples, Samples, Samples]:
    """`count` quotes, each with all its orders asked for, canceled and over before the next."""
    orders, cancels = (np.empty((count, LEVELS), np.int64) for _ in range(2))
    side, turn = rig.venues["binance"], rig.container.turn
    poll, commit, publish = side.requests.poll, side.requests.commit, side.market.publish
    quote = Quote()
    quote.instrument_id, quote.venue = rig.instrument().id, rig.instrument().venue
    quote.bid_quantity = quote.ask_quantity = 1.0

    def take(kind: RequestType) -> list[OrderRequest]:
        taken = []
        while (request := poll()) is not None:
            assert request.request_type == kind
            taken.append(request.copy())
        commit()
        assert len(taken) == LEVELS, strategy.sent[-1].text
        return taken

    gc.collect()
    gc.freeze()
    gc.disable()  # both as in the trader, which collects only between its turns
    for index in range(count):
        if index % BEAT_EVERY == 0:
            rig.beat()
            turn()
        quote.bid_price = 60_000.0 + index % 10
        quote.ask_price = quote.bid_price + 0.1
        quote.receive_time_ns = monotonic_ns()
        strategy.sent.clear()
        publish(quote)
        turn()
        orders[index] = strategy.taken_ns
        requests = take(RequestType.NEW)
        for request in requests:
            side.send(EventType.ACCEPTED, request)
        turn()
        for level, order in enumerate(strategy.sent):
            before = perf_counter_ns()
            strategy.cancel(order)
            cancels[index, level] = perf_counter_ns() - before
        take(RequestType.CANCEL)
        for request in requests:
            side.send(EventType.CANCELED, request)
        turn()
        assert all(order.closed for order in strategy.sent)
    gc.enable()
    gc.unfreeze()
    return orders[:, 1:].ravel(), orders[:, 0], cancels.ravel()


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    pin(cores()[0])
    series = measure(options.samples, options.blocks)
    report = Report("trader_path", series)
    report.bound("strategy -> request published, p50 in us", series[0].result()["p50"] / 1e3, BOUND_NS / 1e3)
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
