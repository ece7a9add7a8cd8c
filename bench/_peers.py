"""The competitors of the ring benches: each a pair of pinned processes that hand one record of 88 bytes to and fro.

A transport's echo process sleeps in a read of its control pipe between blocks, so that spinning competitors never
share the cores with the one being measured. Peers move a ready-made buffer and never pack or unpack it, which is
generous: ours write a field of a typed record before publishing and read it after polling.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from _measure import ROOT, Samples, pin

from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.records import Quote
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.segment import Segment

RECORD_BYTES = 88
PAYLOAD = bytes(RECORD_BYTES)
CAPACITY = 1024


class Transport:
    """Forks its echo process at `start`; `block` and `stream` are called by the measuring one."""

    name = ""
    share = 1.0
    """Part of our own number of samples that it takes: slow peers fewer, so that a run ends."""

    _pid = 0

    def prepare(self) -> None:
        """Before the fork: what both sides inherit."""

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        """After the fork, on each side: functions that send one record and that wait for one."""
        raise NotImplementedError

    def close(self) -> None:
        """After the echo process is gone."""

    def start(self, core: int) -> None:
        self.prepare()
        self._control, child_end = multiprocessing.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                pin(core)
                self._serve(child_end)
                status = 0
            finally:
                os._exit(status)
        child_end.close()
        self.send, self.receive = self.open(child=False)
        self._control.recv()

    def _serve(self, control: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.send, self.receive = self.open(child=True)
        control.send(0)
        while True:
            what, count = control.recv()
            control.send(0)
            (self.echo if what == "echo" else self.sink)(count)

    def _order(self, what: str, count: int) -> None:
        self._control.send((what, count))
        self._control.recv()

    def block(self, count: int) -> Samples:
        """Nanoseconds of `count` round trips."""
        self._order("echo", count)
        return self.round_trips(count)

    def stream(self, count: int) -> float:
        """Records a second, one way, the last one acknowledged."""
        self._order("sink", count)
        before = perf_counter_ns()
        self.pour(count)
        self.receive()
        return count * 1e9 / (perf_counter_ns() - before)

    def stop(self) -> None:
        """The echo process is ended, in whatever it was: a bench that was interrupted stops too."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self.close()

    # --- the loops; ours override them, because a function call more would be a good part of what is measured --------
    def round_trips(self, count: int) -> Samples:
        send, receive, result = self.send, self.receive, np.empty(count, np.int64)
        for index in range(count):
            before = perf_counter_ns()
            send()
            receive()
            result[index] = perf_counter_ns() - before
        return result

    def echo(self, count: int) -> None:
        send, receive = self.send, self.receive
        for _ in range(count):
            receive()
            send()

    def pour(self, count: int) -> None:
        send = self.send
        for _ in range(count):
            send()

    def sink(self, count: int) -> None:
        receive = self.receive
        for _ in range(count):
            receive()
        self.send()


class _TwoRings(Transport):
    """Names and removal of a ring each way."""

    kind = SegmentKind.BROADCAST_RING

    def prepare(self) -> None:
        base = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._segments = [
            Segment.create(f"{base}.{way}", self.kind, CAPACITY, slot_stride(RecordKind.QUOTE)) for way in ("out", "in")
        ]

    def close(self) -> None:
        for segment in self._segments:
            Segment.remove(segment.name)


class CorelaneLossless(_TwoRings):
    """Our one-to-one rings: publish with room check, poll, read of a field, commit."""

    name = "corelane"
    kind = SegmentKind.LOSSLESS_RING

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        forth, back = reversed(self._segments) if child else self._segments
        writer, reader, record = LosslessWriter(forth, reserve=False), LosslessReader(back), Quote()
        self._publish, self._poll, self._commit, self._record = writer.try_publish, reader.poll, reader.commit, record
        return lambda: writer.try_publish(record), self._wait

    def _wait(self) -> Any:
        while (record := self._poll()) is None:
            pass
        self._commit()
        return record

    def round_trips(self, count: int) -> Samples:
        publish, poll, commit, record = self._publish, self._poll, self._commit, self._record
        result, now = np.empty(count, np.int64), perf_counter_ns
        for index in range(count):
            before = now()
            record.update_id = index
            publish(record)
            while (found := poll()) is None:
                pass
            number = found.update_id
            commit()
            result[index] = now() - before
            assert number == index
        return result

    def echo(self, count: int) -> None:
        publish, poll, commit, record = self._publish, self._poll, self._commit, self._record
        for _ in range(count):
            while (found := poll()) is None:
                pass
            record.update_id = found.update_id
            commit()
            publish(record)

    def pour(self, count: int) -> None:
        publish, record = self._publish, self._record
        for index in range(count):
            record.update_id = index
            while not publish(record):
                pass

    def sink(self, count: int) -> None:
        poll, commit = self._poll, self._commit
        for _ in range(count):
            while (found := poll()) is None:
                pass
            if found.update_id & 63 == 0:
                commit()
        commit()
        self.send()


class CorelaneBroadcast(_TwoRings):
    """Our broadcast rings: the writer looks at nobody."""

    name = "corelane"

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        forth, back = reversed(self._segments) if child else self._segments
        writer, reader, record = BroadcastWriter(forth), BroadcastReader(back), Quote()
        self._publish, self._reader, self._record = writer.publish, reader, record
        return lambda: writer.publish(record), self._wait

    def _wait(self) -> Any:
        poll = self._reader.poll
        while (record := poll()) is None:
            pass
        return record

    def round_trips(self, count: int) -> Samples:
        publish, poll, record = self._publish, self._reader.poll, self._record
        result, now = np.empty(count, np.int64), perf_counter_ns
        for index in range(count):
            before = now()
            record.update_id = index
            publish(record)
            while (found := poll()) is None:
                pass
            number = found.update_id
            result[index] = now() - before
            assert number == index
        return result

    def echo(self, count: int) -> None:
        publish, poll, record = self._publish, self._reader.poll, self._record
        for _ in range(count):
            while (found := poll()) is None:
                pass
            record.update_id = found.update_id
            publish(record)

    def pour(self, count: int) -> None:
        publish, record = self._publish, self._record
        for index in range(count):
            record.update_id = index
            publish(record)

    def sink(self, count: int) -> None:
        """Until the last one: a lapped reader counts what it lost, as users do."""
        poll = self._reader.poll
        while True:
            found = poll()
            if found is not None and found.update_id == count - 1:
                break
        self.send()


FLOOR_SOURCE = """
#include "records.h"
#include "atomics.h"
enum { SLOT = 128 };
static void put(uint8_t *ring, uint64_t mask, uint64_t n, const void *record) {
    uint8_t *slot = ring + ((n - 1) & mask) * SLOT;
    cl_store_release(slot, CL_BUSY_BIT | n);
    cl_fence_release();
    cl_copy_in(slot + 8, record, 88);
    cl_store_release(slot, n);
}
static void get(const uint8_t *ring, uint64_t mask, uint64_t n, void *record) {
    const uint8_t *slot = ring + ((n - 1) & mask) * SLOT;
    do {
        while (cl_load_acquire(slot) != n) cl_pause();
        cl_copy_out(record, slot + 8, 88);
        cl_fence_acquire();
    } while (cl_load_relaxed(slot) != n);
}
void round_trips(uint8_t *forth, uint8_t *back, uint64_t mask, uint64_t first, uint64_t count, int64_t *result) {
    uint64_t record[11] = {0};
    for (uint64_t i = 0; i < count; i++) {
        int64_t before = cl_monotonic_ns();
        record[5] = i;
        put(forth, mask, first + i, record);
        get(back, mask, first + i, record);
        result[i] = cl_monotonic_ns() - before;
    }
}
void echo(uint8_t *forth, uint8_t *back, uint64_t mask, uint64_t first, uint64_t count) {
    uint64_t record[11];
    for (uint64_t i = 0; i < count; i++) {
        get(back, mask, first + i, record);
        put(forth, mask, first + i, record);
    }
}
"""


class Floor(_TwoRings):
    """The same protocol and bytes in C, compiled here and now: what the machine gives before any Python."""

    name = "c_floor"

    def prepare(self) -> None:
        super().prepare()
        folder = Path(tempfile.mkdtemp())
        source = folder / "floor.c"
        source.write_text(FLOOR_SOURCE)
        subprocess.run(
            [os.environ.get("CC", "cc"), "-std=gnu11", "-O3", "-shared", "-fPIC", f"-I{ROOT / 'shm'}", "-o",
             folder / "floor.so", source], check=True,
        )  # fmt: skip
        self._library = ctypes.CDLL(str(folder / "floor.so"))
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
        self._first = 1

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        ways = list(reversed(self._segments)) if child else self._segments
        self._addresses = [
            ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(way.buffer, 4096))) for way in ways
        ]
        return lambda: None, lambda: None

    def round_trips(self, count: int) -> Samples:
        result = np.empty(count, np.int64)
        self._call("round_trips", count, ctypes.c_void_p(result.ctypes.data))
        return result

    def echo(self, count: int) -> None:
        self._call("echo", count)

    def _call(self, function: str, count: int, *more: Any) -> None:
        mask, first, number = ctypes.c_uint64(CAPACITY - 1), ctypes.c_uint64(self._first), ctypes.c_uint64(count)
        getattr(self._library, function)(*self._addresses, mask, first, number, *more)
        self._first += count

    def stream(self, count: int) -> float:
        return 0.0


class ZmqBlock(Transport):
    """pyzmq PAIR over ipc://, blocking receives."""

    name = "pyzmq_ipc"
    share = 0.1

    def prepare(self) -> None:
        self._path = f"{tempfile.gettempdir()}/corelane-bench-{uuid.uuid4().hex[:8]}"

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        import zmq

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        if child:
            self._socket.connect(f"ipc://{self._path}")
        else:
            self._socket.bind(f"ipc://{self._path}")
        socket = self._socket
        return lambda: socket.send(PAYLOAD), self.receiver(socket)

    def receiver(self, socket: Any) -> Callable[[], Any]:
        receive: Callable[[], Any] = socket.recv
        return receive

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()
        Path(self._path).unlink(missing_ok=True)


class ZmqSpin(ZmqBlock):
    """The same with receives that never sleep."""

    name = "pyzmq_ipc_spin"

    def receiver(self, socket: Any) -> Callable[[], Any]:
        import zmq

        receive, again, flag = socket.recv, zmq.Again, zmq.NOBLOCK

        def spin() -> Any:
            while True:
                try:
                    return receive(flag)
                except again:
                    continue

        return spin


class _Payload(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint64 * (RECORD_BYTES // 8))]


class Iceoryx2(Transport):
    """iceoryx2's Python binding: publish-subscribe, copy in, receive in a spin."""

    name = "iceoryx2"
    share = 0.5

    def prepare(self) -> None:
        import iceoryx2 as iox2

        iox2.set_log_level(iox2.LogLevel.Error)
        self._base = f"corelane-bench-{uuid.uuid4().hex[:8]}"

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        import iceoryx2 as iox2

        self._node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        self._services = [
            self._node.service_builder(iox2.ServiceName.new(f"{self._base}-{way}"))
            .publish_subscribe(_Payload)
            .subscriber_max_buffer_size(64)
            .open_or_create()
            for way in (("in", "out") if child else ("out", "in"))
        ]
        publisher = self._services[0].publisher_builder().create()
        subscriber = self._services[1].subscriber_builder().create()
        payload, send_copy, receive = _Payload(), publisher.send_copy, subscriber.receive

        def spin() -> Any:
            while (sample := receive()) is None:
                pass
            return sample.payload().contents.words[5]

        return lambda: send_copy(payload), spin

    def stream(self, count: int) -> float:
        return 0.0  # it drops what its buffer cannot hold, so a stream would not be one


class Pipe(Transport):
    """multiprocessing.Pipe, bytes."""

    name = "multiprocessing_pipe"
    share = 0.2

    def prepare(self) -> None:
        self._ends = multiprocessing.Pipe()

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        end = self._ends[child]
        return lambda: end.send_bytes(PAYLOAD), end.recv_bytes


class Queue(Transport):
    """multiprocessing.SimpleQueue's big brother: a feeder thread and a pipe each way."""

    name = "multiprocessing_queue"
    share = 0.1

    def prepare(self) -> None:
        self._queues: list[multiprocessing.Queue[bytes]] = [multiprocessing.Queue(), multiprocessing.Queue()]

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        forth, back = reversed(self._queues) if child else self._queues
        return lambda: forth.put(PAYLOAD), back.get

    def close(self) -> None:
        for queue in self._queues:
            queue.close()
            queue.cancel_join_thread()


class OsPipe(Transport):
    """Two bare pipes, read and written in blocking mode: the least that any wake-up between processes costs."""

    name = "os_pipe"
    share = 0.5

    def prepare(self) -> None:
        self._ways = [os.pipe(), os.pipe()]

    def open(self, child: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
        forth, back = reversed(self._ways) if child else self._ways
        write_end, read_end, read, write = forth[1], back[0], os.read, os.write
        return lambda: write(write_end, PAYLOAD), lambda: read(read_end, RECORD_BYTES)


def struct_turn() -> Callable[[], tuple[float, float, float, float]]:
    """What a reader without the compiled ring does at the least: pack a Quote's 16 fields, unpack them, take four."""
    layout = struct.Struct("<HHIBBHIqqqqQdddd")
    assert layout.size == RECORD_BYTES
    buffer, pack, unpack = bytearray(RECORD_BYTES), layout.pack_into, layout.unpack_from

    def turn() -> tuple[float, float, float, float]:
        pack(buffer, 0, 1, 88, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1.5, 2.5, 3.5, 4.5)
        fields = unpack(buffer, 0)
        return fields[12], fields[13], fields[14], fields[15]

    return turn
