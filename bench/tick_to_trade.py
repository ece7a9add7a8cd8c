"""Tick to trade: a marked frame leaves the venue, a strategy answers it with an order, the order arrives at the venue.

    python bench/tick_to_trade.py [--samples 50000] [--blocks 5] [--venues binance,deribit,grvt]
                                  [--ways spin,yield,...] [--even] [--json FILE] [--plot FILE.png] [--strict]

--even: every way takes --samples, and not the slow ones a part of them (SHARES).

Two pinned processes: market server and trading engine of the venue on a uvloop, with both of the venue's sockets on
loopback, and the trader; see bench/_pipeline.py. One tick at a time, back to back: the next frame leaves when the
answer is in the trader's books. The venue's own work is not measured (bench/_marked_venue.py). GRVT answers a create
with no more than PENDING, so its answer is the order's word on the private stream. Each block ends with ticks whose
orders the venue fills, in no series, for the hops of a fill until the position has moved. Series per venue:

    <venue>.spin, .yield, .backoff, .doorbell   our rings, the trader waiting in that way (the engine polls in every
                            turn of its loop for the first two, and sleeps on its doorbell for the others)
    <venue>.pyzmq_spin, .pyzmq_block    the same code and record bytes with pyzmq PAIR over ipc:// in place of the two
                            rings on the way; receives that never sleep, and receives that do
    <venue>.untraced        as spin, without the trace
    binance.ccxt_pro        a bot in one process with ccxt.pro on the same frames and the same order socket
    binance.nautilus_trader a bot on nautilus_trader's live node on the same frames; it sends orders over REST, its
                            adapter's only way (bench/_nautilus_venue.py)
    trace                   what a trace costs the trader by itself: begun, its answer applied, ended, ns

Bound: the two hops (market record published -> polled by the trader, request published -> polled by the engine) at
most 1/20 of those over pyzmq, its better way. Then the hops of each way, from the trace in shared memory: those of one
trace add up to its total, and one whose stamps do not is counted as broken (shm/trace.pyx).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

import numpy as np
import uvloop
from _bots import CCXT, NAUTILUS, Bot
from _marked_venue import MarkedVenue
from _measure import Report, Series, cores, options_of, pin, ratio
from _pipeline import WAYS, Pipeline
from _venue_words import SHAPES

from shm import hops
from shm.clock import monotonic_ns
from shm.counters import Counters, merge, percentiles
from shm.layout import COUNTERS_STRIDE, EventType, SegmentKind
from shm.records import OrderEvent
from shm.segment import Segment
from shm.trace import Trace

WARM = 500
SHARES = {"pyzmq_spin": 0.2, "pyzmq_block": 0.1, "backoff": 0.2, "doorbell": 0.2, "yield": 0.2, "untraced": 0.2}
"""Of our samples; slow ones take fewer, so that a run ends."""
BOUND = 1 / 20
BOT_SHARE, BOT_MOST, BOT_WARM = 0.02, 1_000, 50
"""nautilus_trader keeps to the venue's limit of 1,200 orders a minute by itself."""
ZMQ = ("pyzmq_spin", "pyzmq_block")
FILL_SHARE, MIN_FILLS = 0.1, 20
"""Ticks of a block, beside the others, whose orders the venue fills: for the hops of a fill."""
FILLS = (*(name for name, _ in hops.FILL_HOPS), *(name for name, _ in hops.FILL_TOTALS))
SHOWN = (*(name for name, _ in hops.TICK_HOPS), *(name for name, _ in hops.TICK_TOTALS), *FILLS)


class Way:
    """All blocks of one venue and way."""

    def __init__(self, venue: str, name: str) -> None:
        self.venue, self.name = venue, name
        self.series = Series(f"{venue}.{name}")
        self.words: dict[str, list[Any]] = {}
        self.complete = self.broken = 0

    def block(self, count: int, core: int) -> None:
        traced = self.name != "untraced"
        pipeline = Pipeline(SHAPES[self.venue], "spin" if not traced else self.name, traced)
        try:
            pipeline.start(core)
            samples, words = uvloop.run(_measure(pipeline, SHAPES[self.venue], count))
            self.series.blocks.append(samples)
            self.series.rates.append(1e9 / float(samples.mean()))
            for hop in SHOWN if traced else ():
                self.words.setdefault(hop, []).append(words[hops.histogram(self.venue, hop)])
            if traced:
                complete, broken = pipeline.traces()
                self.complete, self.broken = self.complete + complete, self.broken + broken
        finally:
            pipeline.close()

    def hop(self, name: str) -> dict[str, Any]:
        return dict(percentiles(merge(self.words[name])))


async def _measure(pipeline: Pipeline, shape: Any, count: int) -> tuple[Any, Any]:
    """One block of a fresh pipeline, warm before it counts. The trace's first ones are warm-up too: 1 % of a block."""
    venue = MarkedVenue(shape)
    port = await venue.start()
    pipeline.build(port)
    await pipeline.connect(port)
    await pipeline.ticks(venue, min(WARM, count))
    samples = await pipeline.ticks(venue, count)
    words = pipeline.hops()
    await pipeline.begin_fills(venue)
    await pipeline.ticks(venue, max(MIN_FILLS, int(count * FILL_SHARE)))
    found = pipeline.hops()
    words |= {name: found[name] for name in (hops.histogram(pipeline.venue, hop) for hop in FILLS) if name in found}
    await pipeline.disconnect()
    await venue.close()
    return samples, words


def _cost_of_a_trace(samples: int, blocks: int) -> Series:
    """In one process, one sample a hundred traces."""
    series = Series("trace")
    name = f"/corelane.bench{os.getpid()}-trace"
    trace = Trace("binance", Counters(Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE)))
    event = OrderEvent()
    try:
        for _ in range(blocks):
            taken = np.empty(max(10, samples // blocks // 100), np.int64)
            for index in range(len(taken)):
                begin = monotonic_ns() - 1_000_000
                event.request_publish_time_ns = event.request_poll_time_ns = event.sign_time_ns = begin
                event.send_time_ns = event.receive_time_ns = event.publish_time_ns = begin
                event.event_type = EventType.ACCEPTED
                before = perf_counter_ns()
                for number in range(1, 101):
                    event.request_id = number
                    trace.begin(number, begin, begin, begin, begin, begin)
                    trace.applied()
                    trace.end(event, begin)
                taken[index] = (perf_counter_ns() - before) // 100
            series.blocks.append(taken)
    finally:
        Segment.remove(name)
    return series


def _two_hops(way: Way) -> float:
    return float(way.hop("poll")["p50"] + way.hop("engine_poll")["p50"])


def _report(venue: str, ways: dict[str, Way], report: Report) -> None:
    ours = ways["spin"]
    if over_zmq := [ways[name] for name in ZMQ if name in ways]:
        theirs = min(over_zmq, key=_two_hops)
        found = _two_hops(ours) / _two_hops(theirs)
        report.bound(f"{venue}: the two hops / those over {theirs.name}, p50", found, BOUND)
        report.notes.append(f"{venue}: spin / {theirs.name}, the whole way: {ratio(ours.series, theirs.series):.3f}")
    if "untraced" in ways:
        figure = ratio(ours.series, ways["untraced"].series)
        report.notes.append(f"{venue}: traced / untraced, the whole way, p50: {figure:.3f}")
    complete, broken = (sum(getattr(way, what) for way in ways.values()) for what in ("complete", "broken"))
    report.notes.append(f"{venue}: {complete:,} traces add up hop by hop, {broken:,} broken or unanswered")
    shown = [way for name, way in ways.items() if name != "untraced"]
    report.notes.append(f"{venue + ', p50 in us':<18}" + "".join(f"{way.name:>13}" for way in shown))
    for hop in SHOWN:
        figures = "".join(f"{way.hop(hop)['p50'] / 1e3:>13.1f}" for way in shown)
        report.notes.append(f"{hop:<18}{figures}   {hops.DESCRIPTIONS[hop]}")
    report.tables[venue] = {way.name: {hop: way.hop(hop) for hop in SHOWN} for way in shown}


def _options() -> argparse.Namespace:
    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--venues", type=_some_of(SHAPES), default=list(SHAPES))
        parser.add_argument("--ways", type=_some_of((*WAYS, "untraced")), default=[*WAYS, "untraced"])
        parser.add_argument("--even", action="store_true", help="as many samples for every way")

    options = options_of(__doc__ or "", 50_000, 5, more)
    if "spin" not in options.ways:
        sys.exit("tick_to_trade: --ways without spin: it is what the others are compared with")
    return options


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """An argument's type: some of these, separated by commas."""
    names = list(known)

    def chosen(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(names):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected some of {','.join(names)}")
        return text.split(",")

    return chosen


def main() -> int:
    options = _options()
    logging.disable(logging.WARNING)  # a busy machine makes callbacks slow, and each block ends its connections
    core, other = cores()
    pin(core)
    shares = {} if options.even else SHARES
    found = {venue: {name: Way(venue, name) for name in options.ways} for venue in options.venues}
    bots = [Bot(kind, other) for kind in (CCXT, NAUTILUS)] if "binance" in found else []
    for _ in range(options.blocks):
        for ways in found.values():
            for name, way in ways.items():
                way.block(max(20, int(options.samples * shares.get(name, 1.0)) // options.blocks), other)
        for bot in bots:
            bot.block(min(BOT_MOST, max(20, int(options.samples * BOT_SHARE) // options.blocks)), BOT_WARM)
    every = [way.series for ways in found.values() for way in ways.values()]
    every += [bot.series for bot in bots if not bot.missing]
    cost = _cost_of_a_trace(options.samples, options.blocks)
    report = Report("tick_to_trade", [*every, cost])
    report.notes.append(f"a trace costs the trader {np.median(cost.samples):,.0f} ns: begun, its answer applied, ended")
    for venue, ways in found.items():
        _report(venue, ways, report)
    for bot in bots:
        if bot.missing:
            report.notes.append(f"{bot.name}: not measured ({bot.missing})")
            continue
        figure = ratio(found["binance"]["spin"].series, bot.series)
        report.notes.append(f"binance: spin / a bot with {bot.name}, the whole way: {figure:.4f}")
    report.groups = {venue: [way.series for way in ways.values()] for venue, ways in found.items()}
    if "binance" in report.groups:
        report.groups["binance"] = [*report.groups["binance"], *(bot.series for bot in bots if not bot.missing)]
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
