"""One writer, any number of readers: what a round trip costs over broadcast rings, and what readers cost the writer.

    python bench/ring_broadcast.py [--samples 100000] [--json FILE] [--plot FILE.png] [--strict]

First the round trip as in ring_one_to_one, with the same competitors (pyzmq as PUB and SUB). Then the time of a publish
with 0, 1 and 4 observers attached in processes of their own, which read along by drain() and sleep between: the writer
looks at none of them, so its time must not grow with their number. Rates are one-way streams; a lapped reader of ours
counts what it lost, a slow SUB loses in silence.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from _measure import Report, Samples, Series, arguments, cores, pin, ratio
from _peers import PAYLOAD, CorelaneBroadcast, Floor, Iceoryx2, Pipe, Transport, ZmqBlock
from ring_one_to_one import measure

from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter
from shm.segment import Segment

OBSERVERS = (0, 1, 4)


class ZmqPublish(ZmqBlock):
    """pyzmq PUB to SUB over ipc:// each way, blocking receives."""

    name = "pyzmq_pub_sub"

    def open(self, child: bool) -> Any:
        import zmq

        self._context = zmq.Context()
        publisher, subscriber = self._context.socket(zmq.PUB), self._context.socket(zmq.SUB)
        publisher.sndhwm = subscriber.rcvhwm = 0
        subscriber.subscribe(b"")
        own, other = ("b", "a") if child else ("a", "b")
        publisher.bind(f"ipc://{self._path}{own}")
        subscriber.connect(f"ipc://{self._path}{other}")
        self._sockets = [publisher, subscriber]
        # A subscription needs a moment to reach a publisher. "hello" until the other was heard, then "ready"; hearing
        # "ready" means that the other hears us, so the last one of ours arrives too.
        word, heard = b"hello", b""
        while heard != b"ready":
            publisher.send(word)
            if subscriber.poll(5):
                heard, word = subscriber.recv(), b"ready"
        publisher.send(b"ready")

        def receive() -> bytes:
            while len(data := subscriber.recv()) == len(b"hello"):
                pass
            return bytes(data)

        return lambda: publisher.send(PAYLOAD), receive

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(0)
        self._context.term()
        for end in ("a", "b"):  # the other process was killed with its socket open
            Path(f"{self._path}{end}").unlink(missing_ok=True)


def observe(name: str) -> None:
    """Read along for ever; the parent ends it."""
    reader = BroadcastReader(Segment.attach(name))
    while True:
        if not len(reader.drain(4096)):
            time.sleep(1e-3)


def publishing(samples: int, blocks: int) -> list[Series]:
    """ns of a publish, mean of 10 a sample, by number of observers."""
    here, there = cores()
    pin(here)
    series = [Series(f"publish_{count}_observers") for count in OBSERVERS]
    record = Quote()
    for _ in range(blocks):
        for count, part in zip(OBSERVERS, series, strict=True):
            name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}"
            segment = Segment.create(name, SegmentKind.BROADCAST_RING, 1024, slot_stride(RecordKind.QUOTE))
            publish = BroadcastWriter(segment).publish
            pids = []
            try:
                for _ in range(count):
                    pid = os.fork()
                    if pid == 0:
                        pin(there)
                        observe(name)
                    pids.append(pid)
                result: Samples = np.empty(samples // blocks, np.int64)
                for index in range(-1000, len(result)):
                    before = perf_counter_ns()
                    for _ in range(10):
                        publish(record)
                    if index >= 0:
                        result[index] = (perf_counter_ns() - before) // 10
                part.blocks.append(result)
                part.rates.append(1e9 / float(np.median(result)))
            finally:
                for pid in pids:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                Segment.remove(name)
    return series


def main() -> int:
    options = arguments(__doc__ or "", 100_000)
    transports: list[Transport] = [CorelaneBroadcast(), Floor(), ZmqPublish(), Pipe()]
    notes = []
    try:
        import iceoryx2  # noqa: F401
    except ImportError:
        notes.append("iceoryx2 is not installed (pip install iceoryx2): not measured")
    else:
        transports.insert(3, Iceoryx2())
    series = measure(transports, options.samples, options.blocks, options.samples)
    writing = publishing(options.samples, options.blocks)
    report = Report("ring_broadcast", [*series, *writing], notes=notes)
    by_name = {part.name: part for part in report.series}
    ours = by_name["corelane"]
    report.bound("round trip / pyzmq PUB-SUB over ipc, p50", ratio(ours, by_name["pyzmq_pub_sub"]), 1 / 60)
    if "iceoryx2" in by_name:
        report.bound("round trip / iceoryx2, p50", ratio(ours, by_name["iceoryx2"]), 1 / 8)
    report.bound("publish with 4 observers / with none, p50", ratio(writing[-1], writing[0]), 2.0)
    report.notes.append(f"round trip is {ratio(ours, by_name['c_floor']):.1f} x the C floor of the same blocks")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
