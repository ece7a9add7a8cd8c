"""One record to another process and back, over our lossless rings and over what else one could use.

    python bench/ring_one_to_one.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

Two processes on two cores; blocks of all competitors take turns, so that each meets the same moods of the machine,
and a ratio is the median over blocks of neighbours. Rates are one-way streams. Then, in one process: a publish, a
poll and the read of four fields against `struct` packing and unpacking the same record.
"""

from __future__ import annotations

import os
import sys
import uuid
from time import perf_counter_ns

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin, ratio
from _peers import CorelaneLossless, Floor, Iceoryx2, Pipe, Queue, Transport, ZmqBlock, ZmqSpin, struct_turn

from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter
from shm.segment import Segment


def measure(transports: list[Transport], samples: int, blocks: int, stream: int) -> list[Series]:
    """Interleaved blocks of round trips, a stream after each."""
    here, there = cores()
    pin(here)
    for transport in transports:
        transport.start(there)
    series = [Series(transport.name) for transport in transports]
    try:
        for transport in transports:
            transport.block(max(200, int(2000 * transport.share)))  # warm
        for _ in range(blocks):
            for transport, part in zip(transports, series, strict=True):
                part.blocks.append(transport.block(max(100, int(samples * transport.share) // blocks)))
                rate = transport.stream(max(100, int(stream * transport.share)))
                if rate:
                    part.rates.append(rate)
    finally:
        for transport in transports:
            transport.stop()
    return series


def turns_in_one_process(samples: int, blocks: int) -> tuple[Series, Series]:
    """ns of publish + poll + four fields, and of struct for the same; mean of 100 turns a sample."""
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}"
    segment = Segment.create(name, SegmentKind.BROADCAST_RING, 1024, slot_stride(RecordKind.QUOTE))
    try:
        publish, poll, record = BroadcastWriter(segment).publish, BroadcastReader(segment).poll, Quote()

        def ours() -> tuple[float, float, float, float]:
            publish(record)
            found = poll()
            return found.bid_price, found.bid_quantity, found.ask_price, found.ask_quantity

        theirs = struct_turn()
        both = (Series("publish_poll_read"), Series("struct_pack_unpack"))
        for _ in range(blocks):
            for turn, part in zip((ours, theirs), both, strict=True):
                result: Samples = np.empty(max(10, samples // blocks // 100), np.int64)
                for index in range(len(result)):
                    before = perf_counter_ns()
                    for _ in range(100):
                        turn()
                    result[index] = (perf_counter_ns() - before) // 100
                part.blocks.append(result)
        return both
    finally:
        Segment.remove(name)


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
    report.bound("publish + poll + 4 fields / struct, p50", ratio(*in_one), 2 / 3)
    report.notes.append(f"round trip is {ratio(ours, by_name['c_floor']):.1f} x the C floor of the same blocks")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
