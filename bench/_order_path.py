"""What the benches of the order path share: the engine core as it trades, a venue in another process, ccxt in a third.

The clock runs from the poll of the request ring until the bytes are handed to the socket: everything that
processes/trading_engine.py wires for a request lies between. The venue refuses every order, so that nothing piles up,
and no reply is under way while a request is measured. One core for all that is measured. Called by order_path_*.py.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import numpy as np
import picows
from _measure import Samples, pin
from aiohttp import web

from exchanges.adapter import ExchangeContext
from exchanges.book_reference import BookReference
from exchanges.dead_man_switch import VenueSwitch
from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import COUNTERS, HISTOGRAMS, OrderEngine
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.risk_gate import RiskGate
from exchanges.risk_limits import RiskLimits
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.journal import JournalWriter
from shm.layout import (
    COUNTERS_STRIDE,
    EVENT_RING_KINDS,
    REQUEST_RING_KINDS,
    WORD_COUNT,
    ExecFlag,
    OrderType,
    RecordKind,
    RequestType,
    SegmentKind,
    Side,
    TimeInForce,
    Word,
    client_order_id,
    slot_stride,
)
from shm.limits import LARGEST_LIMIT
from shm.records import BookRow, OrderRequest, ProcessRow
from shm.ring import LosslessReader, LosslessWriter
from shm.segment import Segment
from shm.table import TableReader, TableWriter, Words

BOUND_NS = 15_000
INSTANCE, STRATEGY, EPOCH = 3, 1, 1
WARM = 300
PEERS_PYTHON = Path(
    os.environ.get("CORELANE_DECODE_PEERS")
    or Path(__file__).resolve().parent.parent / "build" / "decode-peers" / "bin" / "python"
)
SHAPES = {
    "requests": (SegmentKind.LOSSLESS_RING, 1024, slot_stride(*REQUEST_RING_KINDS)),
    "events": (SegmentKind.LOSSLESS_RING, 8192, slot_stride(*EVENT_RING_KINDS)),
    "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    "books": (SegmentKind.TABLE, 2, slot_stride(RecordKind.BOOK_ROW)),
    "status": (SegmentKind.TABLE, 2, slot_stride(RecordKind.PROCESS_ROW)),
    "words": (SegmentKind.WORDS, WORD_COUNT, 8),
}
WRITTEN: list[int] = []
"""What the write to the kernel took behind the hand-over, the venue's process being woken by it."""


@dataclass(frozen=True)
class Traded:
    """A venue as its bench trades it. `price`, `quantity`: mantissas of the order, which vary by some steps."""

    venue: str
    oms: Callable[..., Any]
    instrument: OrderInstrument
    price: int
    quantity: int
    mid: float
    settings: Mapping[str, Any] = field(default_factory=dict)


def book_reference(segments: Mapping[str, Segment], traded: Traded) -> BookReference:
    """The mid from a books table, as a live market server writes it."""
    book, process = BookRow(), ProcessRow()
    book.valid, book.bid_count, book.ask_count = 1, 1, 1
    book.bid_prices[0], book.ask_prices[0] = traded.mid - 1.0, traded.mid + 1.0
    TableWriter(segments["books"]).write(traded.instrument.row, book)
    process.heartbeat_time_ns = monotonic_ns()
    TableWriter(segments["status"]).write(0, process)
    books = BookReference(TableReader(segments["books"]), TableReader(segments["status"]), 0, 10**9, monotonic_ns)
    books.refresh()
    return books


def armed_switch(instruments: OrderInstruments, log: logging.Logger) -> VenueSwitch:
    """Armed, for longer than any bench."""

    async def arm(symbol: str, countdown_ms: int) -> None:
        return None

    switch = VenueSwitch(arm, 10**9, monotonic_ns, log)
    refreshing = switch.refresh(instruments)
    try:
        refreshing.send(None)  # nothing in it waits
    except StopIteration:
        return switch
    raise AssertionError("arming waited")


class Engine:
    """What processes/trading_engine.py wires for its request ring, with one way to the venue."""

    def __init__(
        self, folder: Path, segments: dict[str, Segment], traded: Traded, api_key: str, secret: str, **settings: Any
    ) -> None:
        """settings: beside those of `traded`; URLs among them."""
        instrument = traded.instrument
        counters = Counters(segments["counters"], COUNTERS, HISTOGRAMS)
        log = logging.getLogger("bench")
        known: Any = SimpleNamespace(
            environment="simulator", symbols=[instrument.symbol], receive_window_ms=5_000, stale_after_ms=2_000,
            **traded.settings, **settings,
        )  # fmt: skip
        ids: Any = SimpleNamespace(id=lambda symbol: instrument.id, symbol=lambda number: instrument.symbol)
        context = ExchangeContext(
            traded.venue, known, ids, lambda name: segments[name], counters, log, folder, lambda state, text: None,
            SimpleNamespace(api_key=api_key, secret=secret),
        )  # fmt: skip
        instruments = OrderInstruments([instrument])
        self.oms = traded.oms(
            context,
            lambda fact: self.engine.merger.on_fact(fact),
            instruments=instruments,
            instance_number=INSTANCE,
            guard=lambda request: self.engine.guard(request),
        )
        for bucket in self.oms._budget.buckets.values():
            bucket.limit = LARGEST_LIMIT  # counted as ever, and never full
        self.oms._budget.note = lambda *arguments: None
        self.writer = LosslessWriter(segments["requests"])
        self.reader = LosslessReader(segments["requests"])
        self._told = LosslessReader(segments["events"])
        self.journal = JournalWriter(folder / f"{uuid.uuid4().hex}.journal")
        store = OrderStore()
        limits = RiskLimits({instrument.id: 10**8}, 10**7 * 10**8, {instrument.id: 10**12}, 1_000, 1e6, 0.9)
        books = book_reference(segments, traded)
        gate = RiskGate(limits, store, books.mid, folder / uuid.uuid4().hex)
        words = Words(segments["words"])
        gate.seed(instrument.id, 0, 0)
        fence = EpochFence(folder / uuid.uuid4().hex)
        fence.accept(EPOCH)
        resync: Any = SimpleNamespace(set=lambda: None, clear=lambda: None)
        publish = LosslessWriter(segments["events"], reserve=False).try_publish
        self.engine = OrderEngine(
            instance_number=INSTANCE,
            instruments=instruments,
            store=store,
            ledger=FillLedger(),
            gate=gate,
            fence=fence,
            events=EventLog(self.journal, publish, resync, monotonic_ns, log),
            gateway=self.oms,
            clock=monotonic_ns,
            kill_switch=words.level(Word.KILL_SWITCH),
            armed=armed_switch(instruments, log).armed,
            commit=self.reader.commit,
            counters=counters,
            histogram=counters.histogram,
            log=log,
        )
        self.engine.ready = True
        self._request = OrderRequest()
        self._traded = traded
        self._count = 0

    def publish(self) -> None:
        """A post-only order into the request ring, as the trader puts it there."""
        self._count += 1
        traded, request = self._traded, self._request
        request.request_type, request.instrument_id = RequestType.NEW, traded.instrument.id
        request.venue = traded.instrument.venue
        request.client_order_id = client_order_id(INSTANCE, STRATEGY, EPOCH, self._count)
        request.strategy_id, request.epoch, request.request_id = STRATEGY, EPOCH, self._count
        request.side, request.order_type, request.time_in_force = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
        request.exec_flags = ExecFlag.POST_ONLY
        request.price = traded.price + self._count % 10 * traded.instrument.tick_size
        request.quantity = traded.quantity + self._count % 7 * traded.instrument.lot_size
        request.publish_time_ns = monotonic_ns()
        request.deadline_ns = request.publish_time_ns + 5 * 10**9
        assert self.writer.try_publish(request)

    async def answered(self) -> None:
        while self.engine.merger.awaiting_replies:
            await asyncio.sleep(0)
        while self._told.poll() is not None:
            pass
        self._told.commit()


class Handed:
    """A transport that notes when it is handed bytes."""

    def __init__(self, transport: Any) -> None:
        self._transport = getattr(transport, "_transport", transport)
        self.time_ns = 0

    def send(self, kind: picows.WSMsgType, message: bytes) -> None:
        self.time_ns = perf_counter_ns()
        self._transport.send(kind, message)


async def over_socket(engine: Engine, count: int) -> Samples:
    result = np.empty(count, np.int64)
    poll, on_request = engine.reader.poll, engine.engine.on_request
    line: Any = engine.oms._socket._socket.line
    handed = line.transport = Handed(line.transport)
    for index in range(count):
        engine.publish()
        before = perf_counter_ns()
        request = poll()
        on_request(request)  # type: ignore[arg-type]
        WRITTEN.append(perf_counter_ns() - handed.time_ns)
        result[index] = handed.time_ns - before
        await engine.answered()
    return result


async def engine_block(
    engine: Engine,
    count: int,
    running: list[asyncio.Task[None]],
    block: Callable[[Engine, int], Awaitable[Samples]] = over_socket,
) -> Samples:
    """One block of a fresh engine over the same segments, warm before it counts."""
    socket = engine.oms._socket
    if socket is not None:
        running.append(asyncio.ensure_future(socket.run()))
        while not socket.usable:
            await asyncio.sleep(0.001)
    await block(engine, min(count, WARM))
    gc.collect()
    gc.freeze()
    gc.disable()  # as in the engine, which collects when it is idle
    try:
        return await block(engine, count)
    finally:
        gc.enable()
        await engine.oms.close()
        engine.journal.close()


class Plain(picows.WSListener):
    """A peer that does less: words an order and hands it to a socket of the same kind. No gate, journal or state."""

    def word(self, index: int) -> bytes:
        """The finished message of the n-th order."""
        raise NotImplementedError

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport, self.replies = transport, 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.replies += 1

    async def block(self, count: int) -> Samples:
        result, word = np.empty(count, np.int64), self.word
        for index in range(count):
            wanted = self.replies + 1
            before = perf_counter_ns()
            message = word(index)
            result[index] = perf_counter_ns() - before
            self.transport.send(picows.WSMsgType.TEXT, message)
            while self.replies < wanted:
                await asyncio.sleep(0)
        return result


class Ccxt:
    """The process of bench/_order_peers.py; `missing` says why there is none."""

    def __init__(self, exchange: str, core: int) -> None:
        """exchange: ccxt's word."""
        self.missing = "" if PEERS_PYTHON.exists() else f"no {PEERS_PYTHON}"
        if self.missing:
            return
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), PEERS_PYTHON, Path(__file__).with_name("_order_peers.py"), exchange],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def block(self, count: int) -> Samples:
        assert self._process.stdin is not None
        print(json.dumps({"count": count}), file=self._process.stdin, flush=True)
        return np.array(self._answer()["ns"], np.int64)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{Path(sys.argv[0]).stem}: ccxt's process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if not self.missing:
            self._process.terminate()
            self._process.wait()


async def listen(app: web.Application, channel: int) -> None:
    """In the venue's process: serve for good; the port goes into the channel."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    os.write(channel, f"{runner.addresses[0][1]}\n".encode())
    await asyncio.Event().wait()


@contextmanager
def stage(
    make_app: Callable[[], web.Application], core: int, other: int
) -> Iterator[tuple[int, dict[str, Segment], Path]]:
    """(the venue's port, the segments of an engine, a folder), the venue on the other core; all gone at the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pin(other)
            asyncio.run(listen(make_app(), writing))
        finally:
            os._exit(1)
    pin(core)
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments: dict[str, Segment] = {}
    logging.getLogger("bench").setLevel(logging.CRITICAL)
    try:
        port = int(os.read(reading, 16))
        for what, shape in SHAPES.items():
            segments[what] = Segment.create(name + what, *shape)
        with tempfile.TemporaryDirectory() as folder:
            yield port, segments, Path(folder)
    finally:
        for segment in segments.values():
            Segment.remove(segment.name)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
