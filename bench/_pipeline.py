"""The whole way of a tick in two processes, for bench/tick_to_trade.py: everything between the venue's two sockets.

The measuring process holds market server and trading engine (the venue's compiled listener, feed and books; engine
core, journal, gates and the venue's OMS on a uvloop), a forked one the trader (container, strategy, risk, MiniOMS).
Between them stand the rings and tables of a StrategyRig, so nothing of the trader's side is played.

How records pass is a `Way`: our rings with each wait strategy, or pyzmq PAIR sockets under the same code with the same
record bytes (only market records and requests, the two hops of tick-to-trade; answers always come by our ring).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import picows
from _marked_venue import MARKET, ORDERS, MarkedVenue
from _measure import Samples, pin
from _venue_words import BASE_PRICE, Shape

from exchanges.adapter import ExchangeContext
from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.instrument_feed import InstrumentFeed, MarketOutput
from exchanges.order_engine import COUNTERS, HISTOGRAMS, OrderEngine
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.risk_gate import RiskGate
from exchanges.risk_limits import RiskLimits
from processes.config import VenueConfig
from shm.clock import monotonic_ns
from shm.counters import Counters, CountersReader
from shm.doorbell import Doorbell
from shm.journal import JournalWriter
from shm.layout import RecordKind, TimeInForce
from shm.records import InstrumentRow, OrderRequest, Quote
from shm.ring import BroadcastReader, LosslessReader, LosslessWriter
from shm.table import TableReader
from shm.trace import Trace
from shm.wait import Backoff, BusySpin, DoorbellWait, Yielding
from strategy.abstract_strategy import AbstractStrategy
from strategy.shm_oms_adapter import Cause, ShmOMSAdapter
from strategy.testing import INSTANCE_NUMBER, RigLimits, StrategyRig, VenueSide

WAYS = ("spin", "yield", "backoff", "doorbell", "pyzmq_spin", "pyzmq_block")
LIMITS = RigLimits(max_orders_per_second=10_000_000.0, max_order_quantity="10000", max_position="1000000000")
BEAT_NS = 50_000_000
PATIENCE_S = 30.0


class Answerer(AbstractStrategy):
    """The trivial strategy: each quote is answered with one order that finds nobody."""

    def on_start(self) -> None:
        self.quantity = 100.0 if self.instruments[0].name.startswith("deribit") else 0.01

    def on_quote(self, quote: Quote) -> None:
        self.buy(self.instruments[0], quote.bid_price, self.quantity, time_in_force=TimeInForce.IOC)


class _Requests:
    """The adapter's ring of requests, or a socket in its place."""

    def __init__(self, writer: LosslessWriter) -> None:
        self.put = writer.try_publish
        self.try_publish_reserved = writer.try_publish_reserved

    def try_publish(self, request: OrderRequest) -> bool:
        return self.put(request)


class _Rig(StrategyRig):
    traced = True

    def make_oms(self, side: VenueSide, cause: Cause) -> ShmOMSAdapter:
        segment, name = self.instance.segment, side.name
        self.requests = _Requests(LosslessWriter(segment(f"{name}.requests")))
        self.hops = Counters(segment("counters.trader"))
        trace = Trace(name, self.hops) if self.traced else None
        return ShmOMSAdapter(
            name, side.code, self.requests, LosslessReader(segment(f"{name}.events")), cause, 500_000_000, trace
        )  # type: ignore[call-arg, arg-type]


class Pipeline:
    """One venue and one way; `start` forks the trader, `ticks` measures, `close` ends it."""

    def __init__(self, shape: Shape, way: str, traced: bool = True) -> None:
        self._shape, self._way = shape, way
        kind = type("_Traced", (_Rig,), {"traced": traced})
        self.rig: Any = kind(Answerer, instruments=[shape.listing], limits=LIMITS, clock=monotonic_ns)
        self._side = next(iter(self.rig.venues.values()))
        self.venue = self._side.name
        self._path = f"{tempfile.gettempdir()}/corelane-bench-{uuid.uuid4().hex[:8]}"
        self._pid = 0
        self._folder = tempfile.TemporaryDirectory()
        self._next_beat_ns = 0
        self.zmq: Any = None

    @property
    def _over_zmq(self) -> bool:
        return self._way.startswith("pyzmq")

    # --- the trader -------------------------------------------------------------------------------------------------
    def start(self, core: int) -> None:
        self.rig.quote(BASE_PRICE, BASE_PRICE + 1.0)
        for order in list(self.rig.orders):
            self.rig.expire(order)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                pin(core)
                self._trade()
            finally:
                os._exit(1)
        if self._over_zmq:
            self.zmq = self._sockets(bind=True)

    def _sockets(self, *, bind: bool) -> Any:
        import zmq

        context = zmq.Context()
        sockets = [context.socket(zmq.PAIR) for _ in range(2)]
        for socket, way in zip(sockets, ("market", "requests"), strict=True):
            (socket.bind if bind else socket.connect)(f"ipc://{self._path}.{way}")
        return SimpleNamespace(
            context=context, market=sockets[0], requests=sockets[1], again=zmq.Again, now=zmq.NOBLOCK
        )

    def _trade(self) -> None:
        """For ever, in the forked process; the parent ends it."""
        container = self.rig.container
        link = container.links[0]
        wait: Any = BusySpin()
        if self._over_zmq:
            self._replace_rings(link)
        elif self._way == "yield":
            wait = Yielding()
        elif self._way == "backoff":
            wait = Backoff()
        elif self._way == "doorbell":
            instance = self.rig.instance
            bell = Doorbell(instance.bell_folder, instance.process_row("trader"), [link.mds.market, link.oms.events])
            wait = DoorbellWait(bell)
        gc.collect()
        gc.freeze()
        gc.disable()  # as in the trader, which collects between its turns when it is idle
        turn, idle = container.turn, wait.idle
        while True:
            idle(turn())

    def _replace_rings(self, link: Any) -> None:
        sockets = self._sockets(bind=False)
        record, receive, again, now = Quote(), sockets.market.recv, sockets.again, sockets.now
        sequence = 0
        block, poll = self._way == "pyzmq_block", sockets.market.poll

        def market() -> Quote | None:
            nonlocal sequence
            if block and not poll(2):  # ms: heartbeats and the event ring want to be looked at
                return None
            try:
                data = receive(now)
            except again:
                return None
            record.load(data)
            sequence += 1
            record.sequence = sequence
            return record

        def publish(request: OrderRequest) -> bool:
            request.publish_time_ns = monotonic_ns()
            sockets.requests.send(bytes(request))
            return True

        link.mds.poll = market
        self.rig.requests.put = publish

    # --- market server and engine -----------------------------------------------------------------------------------
    def build(self, port: int) -> None:
        """In the running loop."""
        shape, segment, name = self._shape, self.rig.instance.segment, self.venue
        row = InstrumentRow()
        assert TableReader(segment(f"{name}.instruments")).read(0, row)
        instrument = OrderInstrument.from_row(row)
        counters = Counters(segment(f"counters.market_server.{name}"))
        out = MarketOutput(segment(f"{name}.market"), segment(f"{name}.books"), segment(f"{name}.tickers"), counters)
        self.feed = InstrumentFeed(out, shape.symbol, instrument.id, instrument.price_scale, instrument.quantity_scale)
        scanner = shape.decode.FrameScanner()
        scanner.add(shape.symbol, instrument.price_scale, instrument.quantity_scale, self.feed)
        self.listener = shape.decode.MarketListener(scanner, _NoSurprise(), counters)
        unit = 10**instrument.price_scale
        best, lot = int(BASE_PRICE * unit), instrument.lot_size
        self.feed.book.apply_snapshot([(best, lot)], [(best + 20 * instrument.tick_size, lot)])
        self.feed.live, self.feed.update_id = True, 1
        self._keep_fresh()
        self.engine = self._engine(instrument, port)

    def _keep_fresh(self) -> None:
        now = monotonic_ns()
        if now >= self._next_beat_ns:
            self._next_beat_ns = now + BEAT_NS
            self.feed.publish_snapshot(0, now)
            self.rig.beat()

    def _engine(self, instrument: OrderInstrument, port: int) -> OrderEngine:
        name, segment, folder = self.venue, self.rig.instance.segment, Path(self._folder.name)
        counters = Counters(segment(f"counters.trading_engine.{name}"), COUNTERS, HISTOGRAMS)
        log = logging.getLogger("bench")
        url = f"ws://127.0.0.1:{port}{ORDERS}"
        rest = f"http://127.0.0.1:{port}"
        settings = VenueConfig(
            symbols=[self._shape.symbol], environment="simulator", rest_url=rest, stream_url=url, ws_api_url=url
        )
        ids: Any = SimpleNamespace(id=lambda symbol: instrument.id, symbol=lambda number: self._shape.symbol)
        credentials = SimpleNamespace(api_key="k" * 64, secret=self._shape.secret())
        context = ExchangeContext(
            name, settings, ids, segment, counters, log, folder, lambda state, text: None, credentials
        )
        instruments = OrderInstruments([instrument])
        self.oms = self._shape.oms(
            context,
            lambda fact: self.engine.merger.on_fact(fact),
            instruments=instruments,
            instance_number=INSTANCE_NUMBER,
            guard=lambda request: self.engine.guard(request),
        )
        self.oms._budget.admit_request = lambda request, now: 0  # 300 in 10 s is no bench
        self.oms._budget.note = lambda *arguments: None
        self._shape.enter(self.oms, folder)
        self.reader, self.store = self._side.requests, OrderStore()
        store = self.store
        limits = RiskLimits({instrument.id: 10**9}, 10**9 * 10**8, {instrument.id: 10**12}, 1_000, 1e9, 0.9)
        gate = RiskGate(limits, store, lambda identifier: BASE_PRICE)
        gate.seed(instrument.id, 0, 0)
        fence = EpochFence(folder / "epoch")
        fence.accept(self.rig.container.epoch)
        resync: Any = SimpleNamespace(set=lambda: None, clear=lambda: None)
        engine = OrderEngine(
            instance_number=INSTANCE_NUMBER, instruments=instruments, store=store, ledger=FillLedger(), gate=gate,
            fence=fence, events=EventLog(JournalWriter(folder / "journal"), self._side.events.try_publish, resync,
                                         monotonic_ns, log),
            gateway=self.oms, clock=monotonic_ns, kill_switch=lambda: 0, armed=lambda identifier: True,
            commit=(lambda: None) if self._over_zmq else self.reader.commit, counters=counters,
            histogram=counters.histogram, log=log,
        )  # fmt: skip
        engine.ready = True
        return engine

    async def connect(self, port: int) -> None:
        self._tasks = [asyncio.ensure_future(link) for link in self._shape.links(self.oms)]
        market = f"ws://127.0.0.1:{port}{MARKET}"
        listener = _Forwarding(self) if self._over_zmq else self.listener
        self._transport, _ = await picows.ws_connect(lambda: listener, market)
        await _until(lambda: self.oms._socket.usable and (self.oms.ready or self._shape.fill_links is not None))
        self._loop = asyncio.get_running_loop()
        self._polling = True
        if self._way in ("doorbell", "backoff"):
            instance = self.rig.instance
            row = instance.process_row(f"trading_engine.{self.venue}")
            self._bell: Doorbell | None = Doorbell(instance.bell_folder, row, [self.reader])
            self._loop.add_reader(self._bell.fileno(), self._rung)
            self._sleep()
        else:
            self._bell = None
            self._turn()

    async def begin_fills(self, venue: MarkedVenue) -> None:
        """From here on the venue fills every order."""
        if self._shape.fill_links is not None:
            self._tasks += [asyncio.ensure_future(link) for link in self._shape.fill_links(self.oms)]
            await _until(lambda: self.oms.ready and venue.private is not None)
        venue.fills = True

    # --- the engine's loop: as processes/trading_engine.py ----------------------------------------------------------
    def _turn(self) -> None:
        if self._polling:
            self._drain()
            self._loop.call_soon(self._turn)

    def _sleep(self) -> None:
        assert self._bell is not None
        self._drain()
        while not self._bell.arm():
            self._drain()

    def _rung(self) -> None:
        assert self._bell is not None
        self._bell.clear()
        self._sleep()

    def _drain(self) -> None:
        if self.zmq is None:
            poll, on_request = self.reader.poll, self.engine.on_request
            while (request := poll()) is not None:
                on_request(request)
            return
        try:
            data = self.zmq.requests.recv(self.zmq.now)
        except self.zmq.again:
            return
        request = OrderRequest()
        request.load(data)
        self.engine.on_request(request)

    # --- measuring --------------------------------------------------------------------------------------------------
    async def ticks(self, venue: MarkedVenue, count: int) -> Samples:
        """Nanoseconds from the venue's send of a marked frame to the arrival of the order there, one tick at a time:
        the next goes out when the answer, and the fill where there is one, is in the trader's books."""
        result, awaiting, store = np.empty(count, np.int64), self.engine.merger, self.store
        events, sleep = self._side.events, asyncio.sleep
        for index in range(count):
            self._keep_fresh()
            frame = venue.mark()
            deadline = monotonic_ns() + int(PATIENCE_S * 1e9)
            venue.send(frame)
            while not venue.arrived_ns:
                await sleep(0 if self._bell is None else 2e-5)
                if monotonic_ns() > deadline:
                    raise SystemExit(f"{self.venue} {self._way}: mark {venue.marks} was not answered")
            result[index] = venue.arrived_ns - venue.sent_ns
            while awaiting.awaiting_replies or store.open_count or events.free < events.capacity:
                await sleep(0 if self._bell is None else 2e-5)
                if monotonic_ns() > deadline:
                    raise SystemExit(f"{self.venue} {self._way}: the order of mark {venue.marks} did not end")
        return result

    def hops(self) -> dict[str, Any]:
        """Words of the trader's histograms so far."""
        return CountersReader(self.rig.instance.segment("counters.trader")).histogram_words()

    def traces(self) -> tuple[int, int]:
        """Those that are complete; those that are broken or without an answer."""
        found = CountersReader(self.rig.instance.segment("counters.trader")).counters()
        return int(found["traces"]), int(found["traces_broken"] + found["traces_unanswered"])

    async def disconnect(self) -> None:
        self._polling = False
        if self._bell is not None:
            self._loop.remove_reader(self._bell.fileno())
        self._transport.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.oms.close()

    def close(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        if self.zmq is not None:
            self.zmq.market.close(0)
            self.zmq.requests.close(0)
            self.zmq.context.term()
            for way in ("market", "requests"):
                Path(f"{self._path}.{way}").unlink(missing_ok=True)
        self.rig.close()
        self._folder.cleanup()


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():
            await asyncio.sleep(0.001)


class _NoSurprise:
    """The frames are in the recorded shape: none is left to the declared decoder."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def told(*arguments: Any) -> None:
            raise AssertionError(f"{name}{arguments}")

        return told


class _Forwarding(picows.WSListener):
    """The market connection where pyzmq carries records: the quote that the compiled listener put into the ring goes to
    the socket, byte for byte."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._feed = pipeline.listener.feed_frame
        self._poll = BroadcastReader(pipeline.rig.instance.segment(f"{pipeline.venue}.market")).poll
        self._send = pipeline.zmq.market.send

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self._feed(frame.get_payload_as_memoryview())
        while (record := self._poll()) is not None:
            if record.kind == RecordKind.QUOTE:
                self._send(bytes(record))
