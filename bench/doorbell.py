"""Waking a sleeper: a round trip between two processes that both sleep until the other rings.

    python bench/doorbell.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

Ours is ring + doorbell: publish, and a byte into a FIFO only because the other one sleeps. The measure is a pair of
bare pipes read and written in blocking mode, which is what any wake-up through the kernel costs at the least. Then
what a doorbell costs the writer: a publish while nobody sleeps, and one that rings.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin, ratio
from _peers import CorelaneBroadcast, OsPipe, Pipe, Queue, Transport, ZmqBlock
from ring_one_to_one import measure

from shm.doorbell import Doorbell
from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter
from shm.segment import Segment


class CorelaneDoorbell(CorelaneBroadcast):
    """Broadcast rings whose readers sleep at once when they find nothing."""

    share = 0.5

    def prepare(self) -> None:
        super().prepare()
        self._folder = tempfile.mkdtemp()
        for segment in self._segments:
            segment.bell_folder = self._folder

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        send, _ = super().open(child)
        self._bell = Doorbell(self._folder, int(child), [self._reader])
        poll, sleep = self._reader.poll, self._bell.wait

        def receive() -> Any:
            while (record := poll()) is None:
                sleep(1.0)
            return record

        return send, receive

    round_trips = Transport.round_trips
    echo = Transport.echo
    pour = Transport.pour

    def stream(self, count: int) -> float:
        return 0.0

    def close(self) -> None:
        self._bell.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        super().close()


def writer_cost(samples: int, blocks: int) -> list[Series]:
    """ns of one publish: nobody sleeps; somebody sleeps and is rung."""
    pin(cores()[0])
    folder = tempfile.mkdtemp()
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}"
    segment = Segment.create(name, SegmentKind.BROADCAST_RING, 1024, slot_stride(RecordKind.QUOTE))
    segment.bell_folder = folder
    reader = BroadcastReader(segment)
    bell = Doorbell(folder, 0, [reader])
    publish, poll, record = BroadcastWriter(segment).publish, reader.poll, Quote()
    awake, asleep = Series("publish_nobody_sleeps"), Series("publish_and_ring")
    try:
        for _ in range(blocks):
            for part in (awake, asleep):
                result: Samples = np.empty(samples // blocks, np.int64)
                for index in range(len(result)):
                    while poll() is not None:
                        pass
                    if part is asleep:
                        bell.clear()
                        bell.arm()
                    before = perf_counter_ns()
                    publish(record)
                    result[index] = perf_counter_ns() - before
                part.blocks.append(result)
    finally:
        bell.close()
        Segment.remove(name)
        shutil.rmtree(folder, ignore_errors=True)
    return [awake, asleep]


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    transports: list[Transport] = [CorelaneDoorbell(), OsPipe(), Pipe(), Queue(), ZmqBlock()]
    series = measure(transports, 2 * options.samples, options.blocks, 1000)
    for part in series:
        part.rates.clear()  # streams say nothing of waking
    report = Report("doorbell", [*series, *writer_cost(options.samples, options.blocks)])
    by_name = {part.name: part for part in report.series}
    report.bound("wake-up and back / bare pipes, p50", ratio(by_name["corelane"], by_name["os_pipe"]), 1.0)
    report.bound(
        "wake-up and back / multiprocessing.Pipe, p50", ratio(by_name["corelane"], by_name["multiprocessing_pipe"]), 1.0
    )
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
