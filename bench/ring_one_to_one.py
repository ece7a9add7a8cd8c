"""One record to another process and back, over our lossless rings and over what else one could use.

    python bench/ring_one_to_one.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

Two processes on two cores; blocks of all competitors take turns, so that each meets the same moods of the machine,
and a ratio is the median over blocks of neighbours. Rates are one-way streams. Then, in one process: a publish, a
poll and the read of four fields against `struct` packing and unpacking the same record, and the idle turn of a poller.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin, ratio
from _peers import CorelaneLossless, Floor, Iceoryx2, Pipe, Queue, Transport, ZmqBlock, ZmqSpin, struct_turn

from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter, Poller
from shm.segment import Segment
from shm.table import TableReader


def measure(transports: list[Transport], samples: int, blocks: int, stream: int) -> list[Series]:
    """Interleaved blocks of round trips, a stream after each."""
    here, there = cores()
    pin(here)
    series = [Series(transport.name) for transport in transports]
    started: list[Transport] = []
    try:
        for transport in transports:
            started.append(transport)
            transport.start(there)
        for transport in transports:
            transport.block(max(200, int(2000 * transport.share)))  # warm
        for _ in range(blocks):
            for transport, part in zip(transports, series, strict=True):
                part.blocks.append(transport.block(max(100, int(samples * transport.share) // blocks)))
                rate = transport.stream(max(100, int(stream * transport.share)))
                if rate:
                    part.rates.append(rate)
    finally:
        for transport in started:
            transport.stop()
    return series


def turns_in_one_process(samples: int, blocks: int) -> list[Series]:
    """ns of one turn, mean of 100: ours and struct for the same record; an idle poller and two Python calls."""
    base = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def make(number: int, kind: SegmentKind, row: RecordKind) -> Segment:
        return Segment.create(f"{base}.{number}", kind, 1024, slot_stride(row))

    try:
        rings = [make(number, SegmentKind.BROADCAST_RING, RecordKind.QUOTE) for number in range(5)]
        tables = [make(number, SegmentKind.TABLE, RecordKind.TICKER_ROW) for number in range(5, 9)]
        publish, poll, record = BroadcastWriter(rings[0]).publish, BroadcastReader(rings[0]).poll, Quote()
        idle = Poller([*map(BroadcastReader, rings[1:]), BroadcastReader(rings[1]), *map(TableReader, tables)]).poll

        def ours() -> tuple[float, float, float, float]:
            publish(record)
            found = poll()
            return found.bid_price, found.bid_quantity, found.ask_price, found.ask_quantity

        def nothing() -> None:
            return None

        turns: dict[str, Callable[[], object]] = {"publish_poll_read": ours, "struct_pack_unpack": struct_turn()}
        result = [Series(name) for name in (*turns, "poller_idle_9_sources", "two_python_calls")]
        for _ in range(blocks):
            for turn, part in zip(turns.values(), result, strict=False):
                part.blocks.append(_timed(max(10, samples // blocks // 100), turn))
            part = result[2]
            part.blocks.append(_timed(max(10, samples // blocks // 100), idle))
            pairs: Samples = np.empty(max(10, samples // blocks // 100), np.int64)
            for index in range(len(pairs)):
                before = perf_counter_ns()
                for _ in range(100):
                    nothing()
                    nothing()
                pairs[index] = (perf_counter_ns() - before) // 100
            result[3].blocks.append(pairs)
        return result
    finally:
        for name in Segment.names(base):
            Segment.remove(name)


def _timed(count: int, turn: Callable[[], object]) -> Samples:
    result: Samples = np.empty(count, np.int64)
    for index in range(count):
        before = perf_counter_ns()
        for _ in range(100):
            turn()
        result[index] = (perf_counter_ns() - before) // 100
    return result


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    transports: list[Transport] = [CorelaneLossless(), Floor(), ZmqBlock(), ZmqSpin(), Pipe(), Queue()]
    notes = []
    try:
        import iceoryx2  # noqa: F401
    except ImportError:
        notes.append("iceoryx2 is not installed (pip install iceoryx2): not measured")
    else:
        transports.insert(4, Iceoryx2())
    series = measure(transports, options.samples, options.blocks, options.samples)
    in_one = turns_in_one_process(options.samples * 10, options.blocks)
    report = Report("ring_one_to_one", [*series, *in_one], notes=notes)
    by_name = {part.name: part for part in report.series}
    ours = by_name["corelane"]
    report.bound("round trip / pyzmq ipc, p50", ratio(ours, by_name["pyzmq_ipc"]), 1 / 60)
    report.bound("round trip / pyzmq ipc spinning, p50", ratio(ours, by_name["pyzmq_ipc_spin"]), 1 / 60)
    if "iceoryx2" in by_name:
        report.bound("round trip / iceoryx2, p50", ratio(ours, by_name["iceoryx2"]), 1 / 8)
    report.bound("publish + poll + 4 fields / struct, p50", ratio(in_one[0], in_one[1]), 2 / 3)
    report.bound("idle turn of a poller over 9 sources / two Python calls, p50", ratio(in_one[2], in_one[3]), 1.0)
    report.notes.append(f"round trip is {ratio(ours, by_name['c_floor']):.1f} x the C floor of the same blocks")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
