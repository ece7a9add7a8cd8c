"""What a public frame costs from its bytes to its published records, in instructions: a figure no other load moves.

    python bench/_decode_cost.py [deribit.book grvt.mini ...] [--frames 1000] [--functions 20] [--profile FILE]

Runs itself under valgrind's callgrind (which has to be installed), counting only within FrameListener.feed_frame, which
is what the decode benches time; the frames and the receiving end are theirs, the simulator's market. `_lite`: GRVT's
short names. Mispredicted branches are not counted, and cost as much as twenty instructions each: a change that trades a
loop for straight code gains more than is seen here.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure  # noqa: F401  (puts the source tree on the path)
import decode_binance
import decode_deribit
import decode_grvt
from _callgrind import costliest, instructions

from exchanges.instrument_rows import Scales
from shm.layout import COUNTERS_STRIDE, MARKET_RING_KINDS, RecordKind, SegmentKind, slot_stride
from shm.segment import Segment

SHAPES = {
    "market": (SegmentKind.BROADCAST_RING, 1 << 14, slot_stride(*MARKET_RING_KINDS)),
    "books": (SegmentKind.TABLE, 8, slot_stride(RecordKind.BOOK_ROW)),
    "tickers": (SegmentKind.TABLE, 8, slot_stride(RecordKind.TICKER_ROW)),
    "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
}
WAYS = (
    "deribit.book", "deribit.quote", "binance.depth", "binance.quote", "grvt.book", "grvt.mini", "grvt.trade",
    "grvt.book_lite", "grvt.mini_lite", "grvt.trade_lite",
)  # fmt: skip
COUNTED = "__pyx_pw_9exchanges_14frame_listener_13FrameListener_*feed_frame"


def frames_of(way: str) -> tuple[list[bytes], list[bytes]]:
    """What makes the book live, and the frames to count."""
    venue, _, work = way.partition(".")
    if venue == "deribit":
        frames = decode_deribit.generated()
        wanted = b'"type":"change"' if work == "book" else b'"quote.'
        return frames[:1], [frame for frame in frames if wanted in frame[:120]]
    if venue == "binance":
        frames = decode_binance.generated()[decode_binance.SYMBOLS[0]]
        wanted = b'"depthUpdate"' if work == "depth" else b'"bookTicker"'
        chosen = [frame for frame in frames if wanted in frame[:80]]
        return [*chosen[:1], *filter(decode_binance.is_snapshot, frames)] if work == "depth" else [], chosen[1:]
    stream, _, lite = work.partition("_")
    frames = decode_grvt.generated(bool(lite))[stream]
    return (frames[:2], frames[2:]) if stream == "book" else ([], frames)


def feeder(way: str, segments: dict[str, Segment], before: list[bytes]) -> Callable[[bytes], Any]:
    """The receiving end, its book live. What comes before goes past feed_frame, so it is not counted."""
    if way.startswith("deribit"):
        deribit = decode_deribit.Ours(segments, {decode_deribit.SYMBOL: Scales(2, 0)})
        deribit.on_surprise(before[0], 0)
        return deribit._listener.feed_frame
    if way.startswith("binance"):
        binance = decode_binance.Ours(segments)
        symbol = decode_binance.SYMBOLS[0]
        for frame in before:
            if decode_binance.is_snapshot(frame):
                binance.snapshot(symbol, frame)
            else:
                binance.on_delta(binance.feeds[symbol], binance._codec.decode(frame), 0)
        return binance._listener.feed_frame
    grvt = decode_grvt.Ours(segments, way.endswith("_lite"))
    if before:
        grvt.on_surprise(before[0], 0)
        grvt.on_delta(grvt.feed, grvt._codec.decode(before[1]), 0)
    return grvt._listener.feed_frame


def carry_out(way: str, tape: Path) -> None:
    before, frames = pickle.loads(tape.read_bytes())
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments = {what: Segment.create(name + what, *shape) for what, shape in SHAPES.items()}
    try:
        feed = feeder(way, segments, before)
        for frame in frames:
            feed(frame)
    finally:
        for segment in segments.values():
            Segment.remove(segment.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", choices=WAYS, nargs="*", default=["deribit.book", "grvt.mini"])
    parser.add_argument("--frames", type=int, default=1_000)
    parser.add_argument("--functions", type=int, default=0, help="how many of the costliest to show")
    parser.add_argument("--profile", type=Path, help="keep callgrind's file there")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        carry_out(options.ways[0], options.inside)
        return 0
    for way in options.ways:
        before, frames = frames_of(way)
        with tempfile.TemporaryDirectory() as folder:
            profile, tape = options.profile or Path(folder, "callgrind.out"), Path(folder, "frames")
            tape.write_bytes(pickle.dumps((before, frames[: options.frames])))
            total = instructions(__file__, [way, "--inside", str(tape)], COUNTED, profile)
            count = len(frames[: options.frames])
            print(f"{way}: {total / count:,.0f} instructions a frame, of {count:,} frames")
            for row in costliest(profile, options.functions):
                print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
