"""Frames of Binance as bytes -> order book -> published records, against other ways of doing the same.

    python bench/decode_binance.py [--samples 100000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

Three works, each in blocks that take turns with their peers, all on one pinned core:
- depth: a depth update until the book is changed and its records are in the ring and the tables,
- quote: a bookTicker frame until its record is in the ring,
- whole: everything recorded, in order, in frames a second and with gaps counted.

The first peer does less: orjson and float() with a dict a side (or a tuple for a quote) check and publish nothing.
ccxt, cryptofeed and nautilus_trader keep a book of their own; they run in a process under CORELANE_DECODE_PEERS (a
Python; default build/decode-peers/bin/python, which `make bench` makes) on the first frames of each recording, for they
are slow, and a peer whose best prices end up wrong ends the bench. Input is the recorded corpus ($CORELANE_CORPUS, else
../shared/corpus), without it frames of the simulator's generator. A block replays all of it, whatever --samples says:
10 blocks of the recording are 131,370 depth updates. A sample is one frame, with the cost of reading the clock in it,
the same for all.
"""

from __future__ import annotations

import gzip
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import orjson
from _decode_beside import Peers, Tape
from _measure import ROOT, Report, Samples, Series, arguments, cores, pin, ratio

from exchanges.binance import simulator_frames
from exchanges.binance.codec import MarketCodec
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.binance.sequencer import BookSequencer
from exchanges.binance.simulator_instruments import instrument_for
from exchanges.book_step import Step
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales
from exchanges.simulator.flow import Delta, Top
from exchanges.simulator.generator import GeneratedFlow
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.segment import Segment

SYMBOLS = ("BTCUSDT", "ETHUSDT")
FRAGMENT_RATE = 300_000
PEER_FRAMES = 4_000
"""Of each symbol and block."""
GENERATED_DELTAS = 1_000


def recorded() -> dict[str, list[bytes]]:
    """The lines of the recording of each symbol; empty where there is no corpus."""
    corpus = Path(os.environ.get("CORELANE_CORPUS") or ROOT.parent / "shared" / "corpus")
    paths = {name: corpus / "binance" / "hftbacktest-2024" / f"{name.lower()}_20240808.gz" for name in SYMBOLS}
    if not all(path.exists() for path in paths.values()):
        return {}
    return {
        name: [line.split(b" ", 1)[1] for line in gzip.decompress(path.read_bytes()).splitlines()]
        for name, path in paths.items()
    }


def generated() -> dict[str, list[bytes]]:
    """The same of the simulator's market, with a snapshot after the first update."""
    result = {}
    for name in SYMBOLS:
        instrument = instrument_for(name)
        flow = GeneratedFlow([instrument], seed=1, base_ms=1_700_000_000_000)
        start = flow.snapshot(name)
        sides = {
            side: [[str(price), str(quantity)] for price, quantity in levels]
            for side, levels in (("bids", start.bids), ("asks", start.asks))
        }
        frames: list[bytes] = []
        deltas = 0
        while deltas < GENERATED_DELTAS:
            event = flow.pop()
            if isinstance(event, Delta):
                frames.append(simulator_frames.depth_update(event, instrument))
                if not deltas:  # the venue's rule: a snapshot's id lies within the update that it is joined with
                    head = {"lastUpdateId": event.last_id, "E": start.event_ms, "T": start.time_ms}
                    frames.append(orjson.dumps(head | sides))
                deltas += 1
            elif isinstance(event, Top):
                frames.append(simulator_frames.book_ticker(event, instrument))
        result[name] = frames
    return result


def is_snapshot(frame: bytes) -> bool:
    return frame.startswith(b'{"lastUpdateId"')


class Ours:
    """What a market server does with frames, from the listener on: scanner, sequencer, book, ring and tables."""

    name = "corelane"

    def __init__(self, segments: dict[str, Segment]) -> None:
        scales = {name: Scales(2, 3) for name in SYMBOLS}
        self._codec, scanner = MarketCodec(scales), FrameScanner()
        counters = Counters(segments["counters"])
        out = MarketOutput(segments["market"], segments["books"], segments["tickers"], counters)
        self.feeds: dict[str, InstrumentFeed] = {}
        self.sequencers: dict[str, BookSequencer] = {}
        for row, name in enumerate(SYMBOLS):
            feed = InstrumentFeed(out, name, 1 << 16 | row, 2, 3)
            scanner.add(name, 2, 3, feed)
            self.feeds[name], self.sequencers[name] = feed, BookSequencer(feed)
        self._listener = MarketListener(scanner, self, counters)
        self.gaps = self.surprises = 0

    def on_delta(self, feed: InstrumentFeed, delta: Any, receive_time_ns: int) -> None:
        step = self.sequencers[feed.symbol].on_delta(delta)
        self.gaps += step in (Step.GAP, Step.TOO_OLD)
        if step is Step.LIVE:
            feed.publish_snapshot(delta.exchange_time_ns, receive_time_ns)

    def on_crossed(self, feed: InstrumentFeed) -> None:
        self.gaps += 1

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        self.surprises += 1

    def snapshot(self, symbol: str, body: bytes) -> None:
        snapshot = self._codec.decode_snapshot(symbol, body)
        if self.sequencers[symbol].on_snapshot(snapshot) is Step.LIVE:
            self.feeds[symbol].publish_snapshot(snapshot.exchange_time_ns, monotonic_ns())

    def feeder(self, symbol: str) -> Callable[[bytes], Any]:
        return self._listener.feed_frame


class OrjsonDict:
    """orjson, float() and a dict a side; no ids are checked and nothing is published."""

    name = "orjson_float_dict"

    def __init__(self) -> None:
        self.books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
        self.quote: tuple[float, ...] = ()

    def snapshot(self, symbol: str, body: bytes) -> None:
        message = orjson.loads(body)
        bids, asks = ({float(price): float(size) for price, size in message[side]} for side in ("bids", "asks"))
        self.books[symbol] = (bids, asks)

    def feeder(self, symbol: str) -> Callable[[bytes], Any]:
        bids, asks = self.books.setdefault(symbol, ({}, {}))

        def feed(frame: bytes) -> None:
            message = orjson.loads(frame)
            message = message.get("data", message)
            if message["e"] == "depthUpdate":
                for side, levels in ((bids, message["b"]), (asks, message["a"])):
                    for price, size in levels:
                        quantity = float(size)
                        if quantity:
                            side[float(price)] = quantity
                        else:
                            side.pop(float(price), None)
            elif message["e"] == "bookTicker":
                self.quote = (float(message["b"]), float(message["B"]), float(message["a"]), float(message["A"]))

        return feed


def replay(way: Any, market: dict[str, list[bytes]]) -> dict[str, Samples]:
    """ns of every depth update and of every bookTicker."""
    depth, quote = [], []
    for symbol, frames in market.items():
        feed = way.feeder(symbol)
        for frame in frames:
            if is_snapshot(frame):
                way.snapshot(symbol, frame)
                feed = way.feeder(symbol)
                continue
            before = perf_counter_ns()
            feed(frame)
            took = perf_counter_ns() - before
            if b'"depthUpdate"' in frame[:80]:
                depth.append(took)
            elif b'"bookTicker"' in frame[:80]:
                quote.append(took)
    return {"depth": np.array(depth, np.int64), "quote": np.array(quote, np.int64)}


def tape(frames: list[bytes]) -> Tape:
    """The snapshot, and what follows from it: the deltas that reach it and all quotes, PEER_FRAMES of them."""
    snapshot = next(frame for frame in frames if is_snapshot(frame))
    last_id = orjson.loads(snapshot)["lastUpdateId"]
    result: list[tuple[str, bytes]] = []
    for frame in frames:
        if b'"bookTicker"' in frame[:80]:
            result.append(("quote", wrapped(frame)))
        elif b'"depthUpdate"' in frame[:80]:
            message = orjson.loads(frame)
            if message.get("data", message)["u"] >= last_id:
                result.append(("depth", wrapped(frame)))
    return Tape(snapshot, result[:PEER_FRAMES], best_of(snapshot, result[:PEER_FRAMES]))


def wrapped(frame: bytes) -> bytes:
    """In the combined stream's wrapper, which two of the peers look into for the kind."""
    if frame.startswith(b'{"stream"'):
        return frame
    message = orjson.loads(frame)
    kind = "depth@100ms" if message["e"] == "depthUpdate" else message["e"]
    return b'{"stream":"%s@%s","data":%s}' % (message["s"].lower().encode(), kind.encode(), frame)


def best_of(snapshot: bytes, frames: list[tuple[str, bytes]]) -> tuple[float, float]:
    """Best bid and ask after all of these, by the simplest way."""
    way = OrjsonDict()
    way.snapshot("", snapshot)
    feed = way.feeder("")
    for _, frame in frames:
        feed(frame)
    bids, asks = way.books[""]
    return max(bids), min(asks)


def run_through(ours: Ours, market: dict[str, list[bytes]]) -> float:
    """Frames a second of everything, in order, without a clock between the frames."""
    began = perf_counter_ns()
    for symbol, frames in market.items():
        feed_frame = ours._listener.feed_frame
        for frame in frames:
            if is_snapshot(frame):
                ours.snapshot(symbol, frame)
            else:
                feed_frame(frame)
    return sum(map(len, market.values())) * 1e9 / (perf_counter_ns() - began)


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    pin(cores()[0])
    market = recorded()
    notes = ["input: recorded frames of 2024" if market else "input: frames of the simulator's generator (no corpus)"]
    market = market or generated()
    frames = sum(map(len, market.values()))
    shapes = {
        "market": (SegmentKind.BROADCAST_RING, 1 << 14, slot_stride(*MARKET_RING_KINDS)),
        "books": (SegmentKind.TABLE, 8, slot_stride(RecordKind.BOOK_ROW)),
        "tickers": (SegmentKind.TABLE, 8, slot_stride(RecordKind.TICKER_ROW)),
        "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    }
    prefix = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments: dict[str, Segment] = {}
    peers = Peers("binance", cores()[0], {symbol: tape(frames) for symbol, frames in market.items()})
    names = [f"{work}_{way}" for work in ("depth", "quote") for way in (Ours.name, OrjsonDict.name, *peers.ready)]
    series = {name: Series(name) for name in names}
    rates, gaps, surprises = [], 0, 0
    try:
        for name, shape in shapes.items():
            segments[name] = Segment.create(prefix + name, *shape)
        replay(Ours(segments), market)  # warm
        for _ in range(options.blocks):
            taken = {way.name: replay(way, market) for way in (Ours(segments), OrjsonDict())}
            taken |= {name: peers.block(name) for name in peers.ready}
            for name, both in taken.items():
                for work, samples in both.items():
                    part = series[f"{work}_{name}"]
                    part.blocks.append(samples)
                    part.rates.append(1e9 / float(samples.mean()))
            whole = Ours(segments)
            rates.append(run_through(whole, market))
            gaps, surprises = gaps + whole.gaps, surprises + whole.surprises
    finally:
        peers.close()
        for segment in segments.values():
            Segment.remove(segment.name)
    report = Report("decode_binance", list(series.values()), notes=notes)
    for work, limit in (("depth", 1 / 10), ("quote", 1 / 4)):
        ours, peer = (series[f"{work}_{way.name}"] for way in (Ours, OrjsonDict))
        report.bound(f"{work} / orjson + float, p50", ratio(ours, peer), limit)
    for name in ("cryptofeed", "nautilus_trader"):
        if name in peers.ready:
            report.bound(f"depth / {name}, p50", ratio(series["depth_corelane"], series[f"depth_{name}"]), 1 / 100)
    if "ccxt" in peers.ready:
        times = 1 / ratio(series["depth_corelane"], series["depth_ccxt"])
        notes.append(f"a depth update of ccxt takes {times:.0f} times as long, p50")
    rate = float(np.median(rates))
    report.bound(f"{FRAGMENT_RATE:,} frames/s / those of all {frames:,} frames", FRAGMENT_RATE / rate, 1.0)
    report.bound("gaps and crossed books in all of them", gaps, 0)
    notes.append(f"all {frames:,} frames through decode + book: {rate:,.0f} frames/s, {surprises} not understood")
    notes += peers.notes()
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
