"""A request in the ring until its signed bytes are handed to the socket: the engine's whole way, over both order paths.

    python bench/order_path_binance.py [--samples 20000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

The engine core, its journal, ring, gates and BinanceOMS are the trading engine's own; a venue in another process
refuses every order, so that nothing piles up, and no reply is under way while a request is measured. One core. Series:

    session     the WebSocket API with a session (Ed25519): poll of the request -> bytes handed to the socket (at most
                15 us at p50 by the design), the journal entry and every gate between; the write itself is told apart
    hmac        the same with each request signed by HMAC-SHA256
    ed25519     the same with each request signed by Ed25519, where the venue refuses the session
    rest        over REST with HMAC, until aiohttp says that the request's head is with its transport
    plain_hmac  a peer that does less: an order of ready decimal text, urlencode, hmac, json, a socket of the same kind;
                no gate, no journal, no order state. It is what connectors do for a request
    ccxt        binanceusdm's create_order until its HTTP client has the finished request, in a process of its own on
                the same core ($CORELANE_DECODE_PEERS, else build/decode-peers, which `make bench` makes); what aiohttp
                does after that is left out
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
import picows
import uvloop
from _measure import Report, Samples, Series, arguments, cores, pin, ratio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchanges.adapter import ExchangeContext
from exchanges.binance.oms import BinanceOMS
from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import COUNTERS, HISTOGRAMS, OrderEngine
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.risk_gate import RiskGate, RiskLimits
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.journal import JournalWriter
from shm.layout import (
    COUNTERS_STRIDE,
    EVENT_RING_KINDS,
    REQUEST_RING_KINDS,
    ExecFlag,
    OrderType,
    RequestType,
    SegmentKind,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
    slot_stride,
)
from shm.records import OrderRequest
from shm.ring import LosslessReader, LosslessWriter
from shm.segment import Segment

BOUND_NS = 15_000
INSTANCE, STRATEGY, EPOCH = 3, 1, 1
BTC = OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3, tick_size=10, lot_size=1)
KEY, SECRET = "k" * 64, "s" * 64
WARM = 300
REFUSED = {"code": -2019, "msg": "Margin is insufficient."}
PEERS_PYTHON = Path(
    os.environ.get("CORELANE_DECODE_PEERS")
    or Path(__file__).resolve().parent.parent / "build" / "decode-peers" / "bin" / "python"
)
SHARES = {"session": 1.0, "hmac": 1.0, "ed25519": 1.0, "rest": 0.2, "plain_hmac": 1.0, "ccxt": 0.2}
"""Of our samples; a round trip over REST takes the venue's process long."""


def venue(core: int, channel: int) -> None:
    """Another process: refuses orders on both paths, and sessions on /no-session."""
    pin(core)

    async def order(_request: web.Request) -> web.Response:
        return web.json_response(REFUSED, status=400)

    async def socket(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse(compress=False)
        await answer.prepare(request)
        async for message in answer:
            asked = json.loads(message.data)
            refused = {"order.place", "session.logon"} if "no-session" in request.path else {"order.place"}
            if asked["method"] in refused:
                await answer.send_json({"id": asked["id"], "status": 400, "error": REFUSED})
            else:
                await answer.send_json({"id": asked["id"], "status": 200, "result": {}})
        return answer

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/fapi/v1/order", order)
        app.router.add_get("/{path:.*}", socket)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        os.write(channel, f"{runner.addresses[0][1]}\n".encode())
        await asyncio.Event().wait()

    asyncio.run(main())


def ed25519_pem() -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Engine:
    """What processes/trading_engine.py wires for its request ring, with one way to the venue."""

    def __init__(self, folder: Path, segments: dict[str, Segment], port: int, way: tuple[str, str, str]) -> None:
        """way: order path, secret, and what stands before the order socket's path."""
        path, secret, prefix = way
        counters = Counters(segments["counters"], COUNTERS, HISTOGRAMS)
        log = logging.getLogger("bench")
        settings: Any = SimpleNamespace(
            environment="simulator", symbols=["BTCUSDT"], rest_url=f"http://127.0.0.1:{port}",
            stream_url=f"ws://127.0.0.1:{port}", ws_api_url=f"ws://127.0.0.1:{port}{prefix}", order_path=path,
            receive_window_ms=5_000, stale_after_ms=2_000, settle_currency="USDT",
        )  # fmt: skip
        ids: Any = SimpleNamespace(id=lambda symbol: BTC.id, symbol=lambda number: "BTCUSDT")
        credentials = SimpleNamespace(api_key=KEY, secret=secret)
        context = ExchangeContext(
            "binance", settings, ids, lambda name: segments[name], counters, log, folder, lambda state, text: None,
            credentials,
        )  # fmt: skip
        instruments = OrderInstruments([BTC])
        self.oms = BinanceOMS(
            context,
            lambda fact: self.engine.merger.on_fact(fact),
            instruments=instruments,
            instance_number=INSTANCE,
            guard=lambda request: self.engine.guard(request),
        )
        self.oms._budget.admit_request = lambda request, now: 0  # type: ignore[method-assign]  # 300 in 10 s is no bench
        self.oms._budget.note = lambda *arguments: None  # type: ignore[method-assign]
        self.writer = LosslessWriter(segments["requests"])
        self.reader = LosslessReader(segments["requests"])
        self._told = LosslessReader(segments["events"])
        self.journal = JournalWriter(folder / f"{uuid.uuid4().hex}.journal")
        store = OrderStore()
        limits = RiskLimits({BTC.id: 10_000}, 10**7 * 10**8, {BTC.id: 10**9}, 1_000, 1e6, 0.9)
        gate = RiskGate(limits, store, lambda identifier: 61_800.0, folder / uuid.uuid4().hex)
        gate.seed(BTC.id, 0, 0)
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
            kill_switch=lambda: 0,
            armed=lambda identifier: True,
            commit=self.reader.commit,
            counters=counters,
            histogram=counters.histogram,
            log=log,
        )
        self.engine.ready = True
        self._request = OrderRequest()
        self._count = 0

    def publish(self) -> None:
        """A post-only order into the request ring, as the trader puts it there."""
        self._count += 1
        request = self._request
        request.request_type, request.instrument_id, request.venue = RequestType.NEW, BTC.id, 1
        request.client_order_id = client_order_id(INSTANCE, STRATEGY, EPOCH, self._count)
        request.strategy_id, request.epoch, request.request_id = STRATEGY, EPOCH, self._count
        request.side, request.order_type, request.time_in_force = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
        request.exec_flags = ExecFlag.POST_ONLY
        request.price, request.quantity = 6_179_950 + self._count % 10 * 10, 10 + self._count % 7
        request.publish_time_ns = monotonic_ns()
        request.deadline_ns = request.publish_time_ns + 5 * 10**9
        assert self.writer.try_publish(request)

    async def answered(self) -> None:
        while self.engine.merger.awaiting_replies:
            await asyncio.sleep(0)
        while self._told.poll() is not None:
            pass
        self._told.commit()


async def over_socket(engine: Engine, count: int) -> Samples:
    result = np.empty(count, np.int64)
    poll, on_request = engine.reader.poll, engine.engine.on_request
    socket = engine.oms._socket
    assert socket is not None
    line: Any = socket._socket.line
    handed = line._transport = Handed(line._transport)
    for index in range(count):
        engine.publish()
        before = perf_counter_ns()
        request = poll()
        on_request(request)  # type: ignore[arg-type]
        WRITTEN.append(perf_counter_ns() - handed.time_ns)
        result[index] = handed.time_ns - before
        await engine.answered()
    return result


async def over_rest(engine: Engine, count: int) -> Samples:
    result = np.empty(count, np.int64)
    for index in range(count):
        engine.publish()
        HEAD_SENT.clear()
        before = perf_counter_ns()
        request = engine.reader.poll()
        engine.engine.on_request(request)  # type: ignore[arg-type]
        await engine.answered()
        result[index] = HEAD_SENT[0] - before
    return result


HEAD_SENT: list[int] = []
WRITTEN: list[int] = []
"""What the write to the kernel took behind the hand-over, the venue's process being woken by it."""


class Handed:
    """A transport that notes when it is handed bytes."""

    def __init__(self, transport: Any) -> None:
        self._transport = getattr(transport, "_transport", transport)
        self.time_ns = 0

    def send(self, kind: picows.WSMsgType, message: bytes) -> None:
        self.time_ns = perf_counter_ns()
        self._transport.send(kind, message)


async def _note_head(*_arguments: Any) -> None:
    HEAD_SENT.append(perf_counter_ns())


class Plain(picows.WSListener):
    """The peer: its own socket to the same venue."""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport, self.replies = transport, 0

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.replies += 1

    async def block(self, count: int) -> Samples:
        result = np.empty(count, np.int64)
        for index in range(count):
            wanted = self.replies + 1
            before = perf_counter_ns()
            parameters: dict[str, Any] = {
                "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.010",
                "price": "61799.50", "newClientOrderId": f"plain-{index}", "newOrderRespType": "ACK",
                "recvWindow": 5000, "timestamp": int(time.time() * 1000), "apiKey": KEY,
            }  # fmt: skip
            payload = urlencode(sorted(parameters.items()))
            parameters["signature"] = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
            message = json.dumps({"id": str(uuid.uuid4()), "method": "order.place", "params": parameters})
            payload_bytes = message.encode()
            result[index] = perf_counter_ns() - before
            self.transport.send(picows.WSMsgType.TEXT, payload_bytes)
            while self.replies < wanted:
                await asyncio.sleep(0)
        return result


class Ccxt:
    """The process of bench/_order_peers.py; `missing` says why there is none."""

    def __init__(self, core: int) -> None:
        self.missing = "" if PEERS_PYTHON.exists() else f"no {PEERS_PYTHON}"
        if self.missing:
            return
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), PEERS_PYTHON, Path(__file__).with_name("_order_peers.py")],
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
            sys.exit(f"order_path_binance: ccxt's process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if not self.missing:
            self._process.terminate()
            self._process.wait()


async def measure(
    samples: int, blocks: int, folder: Path, segments: dict[str, Segment], port: int, ccxt: Ccxt
) -> list[Series]:
    ways = {
        "session": ("websocket", ed25519_pem(), ""),
        "hmac": ("websocket", SECRET, ""),
        "ed25519": ("websocket", ed25519_pem(), "/no-session"),
        "rest": ("rest", SECRET, ""),
    }
    series = [Series(name) for name in SHARES if name != "ccxt" or not ccxt.missing]
    running: list[asyncio.Task[None]] = []
    _, plain = await picows.ws_connect(Plain, f"ws://127.0.0.1:{port}/ws-fapi/v1")
    try:
        for block in range(-1, blocks):  # the first one warms, and is not counted
            for one in series:
                count = WARM if block < 0 else max(1, int(samples * SHARES[one.name]) // blocks)
                if one.name == "plain_hmac":
                    found = await plain.block(count)
                elif one.name == "ccxt":
                    found = ccxt.block(count)
                else:
                    engine = Engine(folder, segments, port, ways[one.name])
                    found = await engine_block(engine, count, running)
                if block >= 0:
                    one.blocks.append(found)
                    one.rates.append(1e9 / float(found.mean()))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        plain.transport.disconnect()
    return series


async def engine_block(engine: Engine, count: int, running: list[asyncio.Task[None]]) -> Samples:
    """One block of a fresh engine over the same segments, warm before it counts."""
    socket = engine.oms._socket
    if socket is not None:
        running.append(asyncio.ensure_future(socket.run()))
        while not socket.usable:
            await asyncio.sleep(0.001)
        block = over_socket
    else:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_head)
        trace.freeze()
        engine.oms._http._session._trace_configs.append(trace)
        block = over_rest
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


def main() -> int:
    options = arguments(__doc__ or "", 20_000)
    core, other = cores()
    ccxt = Ccxt(core)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            venue(other, writing)
        finally:
            os._exit(1)
    pin(core)
    shapes = {
        "requests": (SegmentKind.LOSSLESS_RING, 1024, slot_stride(*REQUEST_RING_KINDS)),
        "events": (SegmentKind.LOSSLESS_RING, 8192, slot_stride(*EVENT_RING_KINDS)),
        "counters": (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
    }
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments: dict[str, Segment] = {}
    logging.getLogger("bench").setLevel(logging.CRITICAL)
    try:
        port = int(os.read(reading, 16))
        for what, shape in shapes.items():
            segments[what] = Segment.create(name + what, *shape)
        with tempfile.TemporaryDirectory() as folder:
            series = uvloop.run(measure(options.samples, options.blocks, Path(folder), segments, port, ccxt))
    finally:
        ccxt.close()
        for segment in segments.values():
            Segment.remove(segment.name)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    report = Report("order_path_binance", series)
    by_name = {one.name: one for one in series}
    for way in ("session", "hmac", "ed25519", "rest"):
        report.bound(f"{way}: us at p50", float(np.median(by_name[way].samples)) / 1e3, BOUND_NS / 1e3)
    report.notes.append(f"the write to the kernel behind it, p50: {float(np.median(WRITTEN)) / 1e3:.1f} us")
    for way in ("session", "hmac"):
        report.notes.append(f"{way} / plain_hmac, p50: {ratio(by_name[way], by_name['plain_hmac']):.2f}")
    if ccxt.missing:
        report.notes.append(f"ccxt: not measured ({ccxt.missing})")
    else:
        for way in ("session", "hmac"):
            report.notes.append(f"{way} / ccxt, p50: {ratio(by_name[way], by_name['ccxt']):.3f}")
    report.notes.append("cryptofeed sends no orders; nautilus_trader signs inside its execution client: not measured")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
