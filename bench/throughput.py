"""How many frames a second go through one market server until its reader falls behind, and what a frame costs as
symbols grow.

    python bench/throughput.py [--samples 200000] [--blocks 5] [--json FILE] [--plot FILE.png] [--strict]

A pinned process decodes frames as a market server does (the venue's compiled listener, books, ring, tables); another
pinned one reads the market ring as the trader does: every record polled, five fields read. Quotes and depth updates,
9 to 1, round robin over the symbols; generated in the recorded shape, and recorded frames where the corpus is there.

    1, 10, 50, 200 symbols      ns a frame at full speed, in batches of 512; frames/s is the rate
    recorded                    the same with recorded frames of two symbols

Then, for each number of symbols, the rate is raised step by step until the reader is lapped for the first time, its
queue grows over a step, or the server itself no longer keeps up. The bound: a frame of 200 symbols costs at most 1.5
times one of a single symbol (books of 200 symbols no longer fit the core's nearest cache; the work is the same).
"""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from time import perf_counter_ns, sleep

import numpy as np
from _measure import Report, Samples, Series, cores, options_of, pin, ratio
from decode_binance import recorded

from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from shm.counters import Counters
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.ring import BroadcastReader
from shm.segment import Segment

SYMBOLS = (1, 10, 50, 200)
BATCH = 512
BOUND = 1.5
RING = 1 << 14
STEP_S = 0.5
LIMITS = 2
"""Searches for the limit, the numbers of symbols taking turns."""
FIRST_RATE, LAST_RATE, FACTOR = 50_000, 5_000_000, 1.3
BACK = FACTOR**4
"""How far below the last limit the search for it begins again."""
RECORDED = "recorded"


class Server:
    """A market server's way of a frame, for so many symbols."""

    def __init__(self, symbols: list[str]) -> None:
        name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
        rows = max(8, len(symbols))
        shapes = {
            "market": (SegmentKind.BROADCAST_RING, RING, slot_stride(*MARKET_RING_KINDS)),
            "books": (SegmentKind.TABLE, rows, slot_stride(RecordKind.BOOK_ROW)),
            "tickers": (SegmentKind.TABLE, rows, slot_stride(RecordKind.TICKER_ROW)),
            "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
        }
        self.segments = {what: Segment.create(name + what, *shape) for what, shape in shapes.items()}
        counters = Counters(self.segments["counters"])
        out = MarketOutput(self.segments["market"], self.segments["books"], self.segments["tickers"], counters)
        scanner = FrameScanner()
        self.listener = MarketListener(scanner, self, counters)
        self.published = BroadcastReader(self.segments["market"])
        for row, symbol in enumerate(symbols):
            feed = InstrumentFeed(out, symbol, 1 << 16 | row, 2, 3)
            scanner.add(symbol, 2, 3, feed)
            feed.book.apply_snapshot(
                [(6_000_000 - 10 * level, 1_000) for level in range(40)],
                [(6_000_010 + 10 * level, 1_000) for level in range(40)],
            )
            feed.live, feed.update_id = True, 1
        self.surprises = 0

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        self.surprises += 1

    def on_delta(self, feed: InstrumentFeed, delta: object, receive_time_ns: int) -> None:
        """A recorded update that does not follow (its predecessor belongs to another file): passed over."""

    def on_crossed(self, feed: InstrumentFeed) -> None:
        feed.live = True

    def close(self) -> None:
        for segment in self.segments.values():
            Segment.remove(segment.name)


def names(count: int) -> list[str]:
    return [f"SYM{index:03d}USDT" for index in range(count)]


def generated(symbols: list[str]) -> Iterator[bytes]:
    """Without end. An update changes three levels a side within the book that is there."""
    ids = dict.fromkeys(symbols, 1)
    turn = 0
    while True:
        for symbol in symbols:
            turn += 1
            last = ids[symbol]
            if turn % 10:
                price = 59_900 + turn % 50
                yield (
                    f'{{"e":"bookTicker","u":{last + turn},"s":"{symbol}","b":"{price}.10","B":"1.500",'
                    f'"a":"{price}.20","A":"2.250","T":1700000000000,"E":1700000000000}}'
                ).encode()
                continue
            ids[symbol] = last + 1
            bids = ",".join(f'["{60_000 - (turn + level) % 4:d}.00","{1 + turn % 7}.125"]' for level in range(3))
            asks = ",".join(f'["{60_001 + (turn + level) % 4:d}.10","{1 + turn % 5}.375"]' for level in range(3))
            yield (
                f'{{"e":"depthUpdate","E":1700000000000,"T":1700000000000,"s":"{symbol}","U":{last + 1},"u":{last + 1},'
                f'"pu":{last},"b":[{bids}],"a":[{asks}]}}'
            ).encode()


def take(frames: Iterator[bytes], count: int) -> list[bytes]:
    return [next(frames) for _ in range(count)]


def reader(segment: Segment, core: int) -> int:
    """Forks the reading process: polls for ever, as the trader. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        pin(core)
        poll, total = BroadcastReader(segment).poll, 0
        tail = segment.header["tail"]  # nobody else's in a broadcast ring: here it tells how far this reader is
        while True:
            record = poll()
            if record is not None:
                total += record.receive_time_ns + record.publish_time_ns + record.instrument_id + record.kind
                tail[0] = record.sequence
    finally:
        os._exit(1)


def block(server: Server, frames: list[bytes]) -> Samples:
    """ns a frame, one sample a batch."""
    feed, result = server.listener.feed_frame, np.empty(len(frames) // BATCH, np.int64)
    for index in range(len(result)):
        batch = frames[index * BATCH : (index + 1) * BATCH]
        before = perf_counter_ns()
        for frame in batch:
            feed(frame)
        result[index] = (perf_counter_ns() - before) // BATCH
    return result


def limit(server: Server, frames: Iterator[bytes], core: int, first_rate: float) -> tuple[float, str]:
    """Raise the rate until the reader loses its first record, or a quarter of the ring waits at the end of a step: the
    last rate that it followed, and why no more."""
    header = server.segments["market"].header
    header["tail"][0] = header["cursor"][0]
    pid = reader(server.segments["market"], core)
    sleep(0.2)
    feed, rate, followed = server.listener.feed_frame, first_rate, 0.0
    try:
        while rate <= LAST_RATE:
            batch = take(frames, int(rate * STEP_S))
            begin = perf_counter_ns()
            for index in range(0, len(batch), 64):
                due = begin + int(index * 1e9 / rate)
                while perf_counter_ns() < due:
                    pass
                for frame in batch[index : index + 64]:
                    feed(frame)
                behind = int(header["cursor"][0]) - int(header["tail"][0])
                if behind >= RING:
                    return followed, f"the reader was lapped at {rate:,.0f} frames/s"
            if perf_counter_ns() - begin > STEP_S * 1.1e9:
                return followed, f"the server itself fell behind at {rate:,.0f} frames/s"
            if behind > RING // 4:
                return followed, f"the queue grew to {behind:,} records at {rate:,.0f} frames/s"
            followed, rate = rate, rate * FACTOR
            sleep(0.02)
        return followed, "the end of the scale"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main() -> int:
    options = options_of(__doc__ or "", 200_000, 5)
    core, other = cores()
    pin(core)
    servers = {str(count): Server(names(count)) for count in SYMBOLS}
    streams = {name: generated(names(int(name))) for name in servers}
    market = recorded()
    real = [frame for stream in market.values() for frame in stream if not frame.startswith(b'{"lastUpdateId"')]
    if real:
        servers[RECORDED] = Server(list(market))
    series = {name: Series(name if name == RECORDED else f"{name} symbols") for name in servers}
    limits: dict[str, list[float]] = {name: [] for name in streams}
    why: dict[str, str] = {}
    try:
        count = max(BATCH, options.samples // options.blocks // BATCH * BATCH)
        for number in range(-1, options.blocks):  # the first warms
            for name, server in servers.items():
                frames = real[:count] if name == RECORDED else take(streams[name], count)
                found = block(server, frames)
                if number >= 0:
                    series[name].blocks.append(found)
                    series[name].rates.append(1e9 / float(found.mean()))
        first_rate = float(FIRST_RATE)
        for _ in range(min(LIMITS, options.blocks)):
            for name, stream in streams.items():
                rate, why[name] = limit(servers[name], stream, other, first_rate)
                limits[name].append(rate)
                first_rate = max(FIRST_RATE, rate / BACK)
        surprises = sum(server.surprises for name, server in servers.items() if name != RECORDED)
    finally:
        for server in servers.values():
            server.close()
    report = Report("throughput", list(series.values()))
    report.bound("cost of a frame: 200 symbols / 1 symbol", ratio(series["200"], series["1"]), BOUND)
    report.bound("generated frames left to the slow decoder", surprises, 0)
    for name, found_rates in limits.items():
        figure = f"{max(found_rates):,.0f} frames/s followed by a reader on another core"
        report.notes.append(f"{name} {'symbol' if name == '1' else 'symbols'}: {figure}; {why[name]}")
    if not real:
        report.notes.append("recorded: not measured (no corpus)")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
