"""Frames of GRVT as bytes -> order book or quote -> published records, against orjson with float() and dicts, and ccxt.

    python bench/decode_grvt.py [--samples 20000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

Three works, full and lite names, each in blocks that take turns with their peer, all on one pinned core:
- book: a v1.book.d frame until the book is changed and its records are in the ring and the tables,
- mini: a v1.mini.d frame until the whole quote's record is in the ring,
- trade: a v1.trade frame until its record is in the ring.

The plainest peer does less: it checks no sequence number and publishes nothing. ccxt, in an environment of its own
(bench/_decode_peers.py), is fed the same frames with full names, the only ones it knows; grvt-pysdk hands its callers
what json.loads made of a frame and keeps no book, so it is none. Nobody has a recording of this venue's delta
streams, so the frames are those of the simulator's market, in the venue's shape. A block replays all of them, whatever
--samples says but for the first run; a sample is one frame, with the cost of reading the clock in it.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
import orjson
from _decode_beside import Peers, Tape
from _measure import Report, Samples, Series, arguments, cores, pin, ratio

from exchanges.book_step import Step
from exchanges.grvt.codec import MarketCodec
from exchanges.grvt.fast_decode import FrameScanner, MarketListener
from exchanges.grvt.sequencer import BookSequencer
from exchanges.grvt.simulator import SimulatorOptions, SimulatorServer
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookSnapshot, QuoteChange
from exchanges.simulator.flow import Delta
from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.segment import Segment

SYMBOL = "BTC_USDT_Perp"
SCALES = Scales(1, 3)
STREAMS = {
    "book": ("v1.book.d", f"{SYMBOL}@50"),
    "mini": ("v1.mini.d", f"{SYMBOL}@0"),
    "trade": ("v1.trade", f"{SYMBOL}@50"),
}
BOUNDS = {"book": 1 / 10, "mini": 1 / 4, "trade": 1 / 4}
DELTAS = 400


class Listening:
    """A client of the simulator's streams that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def push(self, frame: bytes, stream: str = "") -> None:
        self.frames.append(frame)


def generated(lite: bool) -> dict[str, list[bytes]]:
    """Frames of each work, the first one whole."""
    server = SimulatorServer(SimulatorOptions(symbols=(SYMBOL,), seed=1))
    tapes = {}
    for work, (stream, selector) in STREAMS.items():
        tape = tapes[work] = Listening()
        channel = server.hub.channel(stream, selector, None)
        feeds = channel.snapshot() if work != "trade" else []
        channel.listeners[tape] = lite  # type: ignore[index]
        for feed in feeds:
            sequence, channel.sequence = channel.sequence, -1
            server.hub.publish(channel, feed)
            tape.frames[-1] = tape.frames[-1].replace(b'"-1"', b'"0"')
            channel.sequence = sequence
    book = server.hub.channel(*STREAMS["book"], None)
    flow = server.players[0].flow
    deltas = 0
    while deltas < DELTAS:
        event = flow.pop()
        server.deliver(event)
        if isinstance(event, Delta):
            deltas += 1
            if (feed := book.changes(event.time_ms * 1_000_000)) is not None:
                server.hub.publish(book, feed)
    return {work: tape.frames for work, tape in tapes.items()}


class Ours:
    """What a market server does with frames, from the listener on."""

    name = "corelane"

    def __init__(self, segments: dict[str, Segment], lite: bool) -> None:
        self._codec, self._scanner = MarketCodec({SYMBOL: SCALES}, lite=lite), FrameScanner(lite=lite)
        counters = Counters(segments["counters"])
        out = MarketOutput(segments["market"], segments["books"], segments["tickers"], counters)
        self.feed = InstrumentFeed(out, SYMBOL, 3 << 16, *SCALES)
        self._scanner.add(SYMBOL, *SCALES, self.feed)
        self._sequencer = BookSequencer(self.feed)
        self._listener = MarketListener(self._scanner, self, counters)
        self.rare = 0

    def feeder(self) -> Callable[[bytes], Any]:
        return self._listener.feed_frame

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        event = self._codec.decode(payload)
        if isinstance(event, BookSnapshot) and self._sequencer.on_snapshot(event) is Step.LIVE:
            self.feed.publish_snapshot(event.exchange_time_ns, receive_time_ns)
        elif isinstance(event, QuoteChange):
            self.rare += 1

    def on_delta(self, feed: InstrumentFeed, delta: Any, receive_time_ns: int) -> None:
        if self._sequencer.on_delta(delta) is Step.APPLIED:
            feed.publish_update(delta.exchange_time_ns, receive_time_ns)
        self.rare += 1

    def on_crossed(self, feed: InstrumentFeed) -> None:
        self.rare += 1

    def on_quote_gap(self, feed: InstrumentFeed) -> None:
        self.rare += 1


class OrjsonDict:
    """orjson, float() and dicts; no numbers are checked and nothing is published."""

    name = "orjson_float_dict"

    def __init__(self, lite: bool) -> None:
        self._names = ("f", "b", "a", "p", "s") if lite else ("feed", "bids", "asks", "price", "size")
        self._mini = ("bb", "bb1", "ba", "ba1") if lite else (
            "best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size",
        )  # fmt: skip
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.quote: dict[str, float] = {}
        self.trade: tuple[float, float] = (0.0, 0.0)

    def feeder(self) -> Callable[[bytes], Any]:
        feed_key, bids_key, asks_key, price_key, size_key = self._names
        sides, quote, mini = self.sides, self.quote, self._mini

        def feed(frame: bytes) -> None:
            message = orjson.loads(frame)[feed_key]
            if bids_key in message:
                for side, levels in ((sides[0], message[bids_key]), (sides[1], message[asks_key])):
                    for level in levels:
                        quantity = float(level[size_key])
                        if quantity:
                            side[float(level[price_key])] = quantity
                        else:
                            side.pop(float(level[price_key]), None)
            elif price_key in message:
                self.trade = (float(message[price_key]), float(message[size_key]))
            else:
                for key in mini:
                    if key in message:
                        quote[key] = float(message[key])

        return feed


def replay(way: Any, frames: list[bytes]) -> Samples:
    """ns of every frame but the first, which is whole."""
    feed = way.feeder()
    feed(frames[0])
    took = np.empty(len(frames) - 1, np.int64)
    for index, frame in enumerate(frames[1:]):
        before = perf_counter_ns()
        feed(frame)
        took[index] = perf_counter_ns() - before
    return took


def tape(works: dict[str, list[bytes]]) -> Tape:
    way = OrjsonDict(lite=False)
    feed = way.feeder()
    for frame in works["book"]:
        feed(frame)
    frames = [(work, frame) for work, frames in works.items() for frame in frames[1:]]
    return Tape(works["book"][0], frames, (max(way.sides[0]), min(way.sides[1])))


def main() -> int:
    options = arguments(__doc__ or "", 20_000)
    pin(cores()[0])
    shapes = {
        "market": (SegmentKind.BROADCAST_RING, 1 << 14, slot_stride(*MARKET_RING_KINDS)),
        "books": (SegmentKind.TABLE, 8, slot_stride(RecordKind.BOOK_ROW)),
        "tickers": (SegmentKind.TABLE, 8, slot_stride(RecordKind.TICKER_ROW)),
        "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    }
    prefix = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments: dict[str, Segment] = {}
    series: dict[str, Series] = {}
    rare = 0
    tapes = {lite: generated(lite) for lite in (False, True)}
    peers = Peers("grvt", cores()[0], {SYMBOL: tape(tapes[False])})
    try:
        for name, shape in shapes.items():
            segments[name] = Segment.create(prefix + name, *shape)
        for block in range(-1, options.blocks):  # the first one warms, and is not counted
            for lite, works in tapes.items():
                for work, frames in works.items():
                    ours = Ours(segments, lite)
                    for way in (ours, OrjsonDict(lite)):
                        samples = replay(way, frames)
                        key = f"{work}{'_lite' if lite else ''}_{way.name}"
                        if block >= 0:
                            series.setdefault(key, Series(key)).blocks.append(samples)
                            series[key].rates.append(1e9 / float(samples.mean()))
                    # The first delta behind a snapshot goes to the sequencer; nothing else may.
                    rare += ours.rare - (work == "book")
            for name in peers.ready:
                for work, samples in peers.block(name).items():
                    if block >= 0:
                        key = f"{work}_{name}"
                        series.setdefault(key, Series(key)).blocks.append(samples)
                        series[key].rates.append(1e9 / float(samples.mean()))
    finally:
        peers.close()
        for segment in segments.values():
            Segment.remove(segment.name)
    report = Report("decode_grvt", list(series.values()))
    for lite in (False, True):
        for work, limit in BOUNDS.items():
            stem = f"{work}{'_lite' if lite else ''}_"
            found = ratio(series[stem + Ours.name], series[stem + OrjsonDict.name])
            report.bound(f"{stem[:-1]} / orjson + float, p50", found, limit)
    for name in peers.ready:
        times = 1 / ratio(series["book_corelane"], series[f"book_{name}"])
        report.notes.append(f"a book change of {name} takes {times:.0f} times as long, p50")
    report.notes += peers.notes()
    report.bound("frames that did not go the compiled way", rare, 0)
    report.notes.append(
        f"frames a block: {', '.join(f'{len(f):,} {w}' for w, f in tapes[False].items())}, and as many lite"
    )
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
