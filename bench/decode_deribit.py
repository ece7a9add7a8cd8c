"""Frames of Deribit as bytes -> order book -> published records, against orjson and dicts, ccxt and cryptofeed.

    python bench/decode_deribit.py [--samples 100000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

Two works, in blocks that take turns with the peers, all on one pinned core:
- book: a change of a book until the book is changed and its records are in the ring and the tables,
- quote: a quote until its record is in the ring.

The plainest peer does less: orjson (its numbers are floats already) and a dict a side, or a tuple for a quote; it
checks and publishes nothing. ccxt and cryptofeed, in an environment of their own (bench/_decode_peers.py), are fed the
first PEER_CHANGES changes and PEER_QUOTES quotes of the same frames; nautilus_trader has no adapter of this venue.

Recordings of this venue are short ($CORELANE_CORPUS, else ../shared/corpus: 259 changes of options, three minutes), so
the frames are those of the simulator's generator for BTC-PERPETUAL, written in the recorded shape; the recorded ones go
through besides, and one that is not understood or breaks a book is a miss. A block replays all of it, whatever
--samples says. A sample is one frame, with the cost of reading the clock in it, the same for all.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import orjson
from _decode_beside import Peers, Tape
from _measure import ROOT, Report, Samples, Series, arguments, cores, pin, ratio

from exchanges.book_step import Step
from exchanges.deribit.codec import MarketCodec
from exchanges.deribit.fast_decode import FrameScanner, MarketListener
from exchanges.deribit.sequencer import BookSequencer
from exchanges.deribit.simulator_instruments import listing_for
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookSnapshot
from exchanges.simulator.flow import Delta, Top
from exchanges.simulator.generator import GeneratedFlow
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.segment import Segment

SYMBOL = "BTC-PERPETUAL"
GENERATED_DELTAS = 4_000
FINE = Scales(6, 3)
"""Scales that hold every recorded number of every instrument."""
PEER_CHANGES, PEER_QUOTES = 1_000, 2_000
"""Of each block."""
RECORDINGS = ("DERIBIT-5dd9ce.0", "DERIBIT.ws.30.0", "DERIBIT.ws.1.0")


def envelope(channel: str, data: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    )  # fmt: skip


def generated() -> list[bytes]:
    """A snapshot, then changes and quotes of the simulator's market."""
    instrument = listing_for(SYMBOL, Decimal(0), Decimal(0)).instrument
    flow = GeneratedFlow([instrument], seed=1, base_ms=1_767_000_000_000)
    start = flow.snapshot(SYMBOL)
    book = {"timestamp": start.time_ms, "instrument_name": SYMBOL, "change_id": start.update_id}
    sides = {
        name: [["new", float(price), float(quantity)] for price, quantity in levels]
        for name, levels in (("bids", start.bids), ("asks", start.asks))
    }
    frames = [envelope(f"book.{SYMBOL}.raw", {"type": "snapshot", **book, **sides})]
    known = {"bids": {price for price, _ in start.bids}, "asks": {price for price, _ in start.asks}}
    deltas, last_id = 0, start.update_id
    while deltas < GENERATED_DELTAS:
        event = flow.pop()
        if isinstance(event, Delta):
            data: dict[str, Any] = {
                "type": "change", "timestamp": event.time_ms, "prev_change_id": last_id, "instrument_name": SYMBOL,
                "change_id": event.last_id,
            }  # fmt: skip
            for name, levels in (("bids", event.bids), ("asks", event.asks)):
                # Never a delete of what is not there: this venue sends none, and not every peer would take it.
                data[name] = [
                    ["change" if quantity else "delete", float(price), float(quantity)]
                    for price, quantity in levels
                    if quantity or price in known[name]
                ]
                known[name] |= {price for price, quantity in levels if quantity}
                known[name] -= {price for price, quantity in levels if not quantity}
            frames.append(envelope(f"book.{SYMBOL}.raw", data))
            last_id = event.last_id
            deltas += 1
        elif isinstance(event, Top):
            quote = {
                "timestamp": event.time_ms, "instrument_name": SYMBOL, "best_bid_price": float(event.bid),
                "best_bid_amount": float(event.bid_quantity), "best_ask_price": float(event.ask),
                "best_ask_amount": float(event.ask_quantity),
            }  # fmt: skip
            frames.append(envelope(f"quote.{SYMBOL}", quote))
    return frames


def recorded() -> list[bytes]:
    """Every frame of the recordings of production; none where there is no corpus."""
    corpus = Path(os.environ.get("CORELANE_CORPUS") or ROOT.parent / "shared" / "corpus") / "deribit" / "cryptofeed"
    frames = []
    for name in RECORDINGS if corpus.is_dir() else ():
        for line in (corpus / name).read_bytes().splitlines():
            time, _, frame = line.partition(b": ")
            if time.replace(b".", b"").isdigit() and b'"params"' in frame:
                frames.append(frame)
    return frames


class Ours:
    """What a market server does with frames, from the listener on: scanner, sequencer, book, ring and tables."""

    name = "corelane"

    def __init__(self, segments: dict[str, Segment], scales: dict[str, Scales]) -> None:
        self._codec, scanner = MarketCodec(scales), FrameScanner()
        counters = Counters(segments["counters"])
        out = MarketOutput(segments["market"], segments["books"], segments["tickers"], counters)
        self._sequencers: dict[str, BookSequencer] = {}
        self._feeds: dict[str, InstrumentFeed] = {}
        for row, (symbol, (price, quantity)) in enumerate(scales.items()):
            feed = InstrumentFeed(out, symbol, 2 << 16 | row % 8, price, quantity)
            scanner.add(symbol, price, quantity, feed)
            self._feeds[symbol], self._sequencers[symbol] = feed, BookSequencer(feed)
        self._listener = MarketListener(scanner, self, counters)
        self.gaps = 0

    def on_delta(self, feed: InstrumentFeed, delta: Any, receive_time_ns: int) -> None:
        self.gaps += self._sequencers[feed.symbol].on_delta(delta) is not Step.APPLIED

    def on_crossed(self, feed: InstrumentFeed) -> None:
        self.gaps += 1

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        event = self._codec.decode(payload)
        if isinstance(event, BookSnapshot):
            self._sequencers[event.symbol].on_snapshot(event)
            self._feeds[event.symbol].publish_snapshot(event.exchange_time_ns, receive_time_ns)

    def feeder(self) -> Callable[[bytes, int], Any]:
        return self._listener.feed_frame


class OrjsonDict:
    """orjson and a dict a side; no ids are checked and nothing is published."""

    name = "orjson_dict"

    def __init__(self) -> None:
        self.sides: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
        self.quote: tuple[float, ...] = ()

    def feeder(self) -> Callable[[bytes, int], Any]:
        bids, asks = self.sides["bids"], self.sides["asks"]

        def feed(frame: bytes, receive_time_ns: int) -> None:
            params = orjson.loads(frame)["params"]
            data = params["data"]
            if params["channel"].startswith("book."):
                for side, levels in ((bids, data["bids"]), (asks, data["asks"])):
                    for action, price, amount in levels:
                        if action == "delete":
                            side.pop(price, None)
                        else:
                            side[price] = amount
            else:
                self.quote = (
                    data["best_bid_price"], data["best_bid_amount"], data["best_ask_price"], data["best_ask_amount"],
                )  # fmt: skip

        return feed


def replay(way: Any, frames: list[bytes]) -> dict[str, Samples]:
    """ns of every change and of every quote."""
    book, quote = [], []
    feed = way.feeder()
    for frame in frames:
        now = monotonic_ns()
        before = perf_counter_ns()
        feed(frame, now)
        took = perf_counter_ns() - before
        if b'"type":"change"' in frame[:120]:
            book.append(took)
        elif b'"quote.' in frame[:80]:
            quote.append(took)
    return {"book": np.array(book, np.int64), "quote": np.array(quote, np.int64)}


def tape(frames: list[bytes]) -> Tape:
    """The snapshot, and what follows from it."""
    left = {"book": PEER_CHANGES, "quote": PEER_QUOTES}
    result = []
    for frame in frames[1:]:
        kind = "book" if b'"book.' in frame[:80] else "quote"
        left[kind] -= 1
        if left[kind] >= 0:
            result.append((kind, frame))
    way = OrjsonDict()
    feed = way.feeder()
    for frame in (frames[0], *(frame for _, frame in result)):
        feed(frame, 0)
    return Tape(frames[0], result, (max(way.sides["bids"]), min(way.sides["asks"])))


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    pin(cores()[0])
    frames, real = generated(), recorded()
    symbols = {orjson.loads(frame)["params"]["data"]["instrument_name"] for frame in real}
    shapes = {
        "market": (SegmentKind.BROADCAST_RING, 1 << 14, slot_stride(*MARKET_RING_KINDS)),
        "books": (SegmentKind.TABLE, 8, slot_stride(RecordKind.BOOK_ROW)),
        "tickers": (SegmentKind.TABLE, 8, slot_stride(RecordKind.TICKER_ROW)),
        "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    }
    prefix = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments: dict[str, Segment] = {}
    peers = Peers("deribit", cores()[0], {SYMBOL: tape(frames)})
    names = [f"{work}_{way}" for work in ("book", "quote") for way in (Ours.name, OrjsonDict.name, *peers.ready)]
    series = {name: Series(name) for name in names}
    gaps = 0
    try:
        for name, shape in shapes.items():
            segments[name] = Segment.create(prefix + name, *shape)
        scales = {SYMBOL: Scales(2, 0)}
        replay(Ours(segments, scales), frames)  # warm
        for _ in range(options.blocks):
            ours = Ours(segments, scales)
            taken = {way.name: replay(way, frames) for way in (ours, OrjsonDict())}
            taken |= {name: peers.block(name) for name in peers.ready}
            for name, both in taken.items():
                for work, samples in both.items():
                    part = series[f"{work}_{name}"]
                    part.blocks.append(samples)
                    part.rates.append(1e9 / float(samples.mean()))
            gaps += ours.gaps
        whole = Ours(segments, dict.fromkeys(sorted(symbols), FINE))
        replay(whole, real)
        gaps += whole.gaps
    finally:
        peers.close()
        for segment in segments.values():
            Segment.remove(segment.name)
    notes = [
        f"input: {len(frames):,} frames of the simulator's generator a block",
        f"besides {len(real):,} recorded frames" if real else "no corpus: no recorded frames",
    ]
    report = Report("decode_deribit", list(series.values()), notes=notes)
    for work, limit in (("book", 1 / 10), ("quote", 1 / 4)):
        plain, peer = (series[f"{work}_{way.name}"] for way in (Ours, OrjsonDict))
        report.bound(f"{work} / orjson, p50", ratio(plain, peer), limit)
    if "cryptofeed" in peers.ready:
        report.bound("book / cryptofeed, p50", ratio(series["book_corelane"], series["book_cryptofeed"]), 1 / 100)
    if "ccxt" in peers.ready:
        times = 1 / ratio(series["book_corelane"], series["book_ccxt"])
        notes.append(f"a book change of ccxt takes {times:.0f} times as long, p50")
    notes += peers.notes()
    report.bound("gaps and crossed books in all of them", gaps, 0)
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
