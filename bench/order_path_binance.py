"""A request in the ring until its signed bytes are handed to the socket: the engine's whole way, over both order paths.

    python bench/order_path_binance.py [--samples 20000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

What is measured, and how, stands in bench/_order_path.py. Series:

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
import hashlib
import hmac
import json
import sys
import time
import uuid
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
import picows
import uvloop
from _measure import Report, Samples, Series, arguments, cores, ratio
from _order_path import BOUND_NS, WARM, WRITTEN, Ccxt, Engine, Plain, Traded, engine_block, over_socket, stage
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchanges.binance.oms import BinanceOMS
from exchanges.order_instruments import OrderInstrument
from shm.layout import instrument_id
from shm.segment import Segment

BTC = OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3, tick_size=10, lot_size=1)
TRADED = Traded("binance", BinanceOMS, BTC, 6_179_950, 10, 61_800.0, {"settle_currency": "USDT"})
KEY, SECRET = "k" * 64, "s" * 64
REFUSED = {"code": -2019, "msg": "Margin is insufficient."}
SHARES = {"session": 1.0, "hmac": 1.0, "ed25519": 1.0, "rest": 0.2, "plain_hmac": 1.0, "ccxt": 0.2}
"""Of our samples; a round trip over REST takes the venue's process long."""


def venue() -> web.Application:
    """Refuses orders on both paths, and sessions on /no-session."""

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

    app = web.Application()
    app.router.add_post("/fapi/v1/order", order)
    app.router.add_get("/{path:.*}", socket)
    return app


def ed25519_pem() -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


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


async def _note_head(*_arguments: Any) -> None:
    HEAD_SENT.append(perf_counter_ns())


def note_heads(engine: Engine) -> None:
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_note_head)
    trace.freeze()
    engine.oms._http._session._trace_configs.append(trace)


class PlainHmac(Plain):
    def word(self, index: int) -> bytes:
        parameters: dict[str, Any] = {
            "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.010",
            "price": "61799.50", "newClientOrderId": f"plain-{index}", "newOrderRespType": "ACK",
            "recvWindow": 5000, "timestamp": int(time.time() * 1000), "apiKey": KEY,
        }  # fmt: skip
        payload = urlencode(sorted(parameters.items()))
        parameters["signature"] = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return json.dumps({"id": str(uuid.uuid4()), "method": "order.place", "params": parameters}).encode()


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
    _, plain = await picows.ws_connect(PlainHmac, f"ws://127.0.0.1:{port}/ws-fapi/v1")
    try:
        for block in range(-1, blocks):  # the first one warms, and is not counted
            for one in series:
                count = WARM if block < 0 else max(1, int(samples * SHARES[one.name]) // blocks)
                if one.name == "plain_hmac":
                    found = await plain.block(count)
                elif one.name == "ccxt":
                    found = ccxt.block(count)
                else:
                    path, secret, prefix = ways[one.name]
                    urls = {"rest_url": f"http://127.0.0.1:{port}", "stream_url": f"ws://127.0.0.1:{port}"}
                    urls["ws_api_url"] = f"ws://127.0.0.1:{port}{prefix}"
                    engine = Engine(folder, segments, TRADED, KEY, secret, order_path=path, **urls)
                    if path == "rest":
                        note_heads(engine)
                    found = await engine_block(engine, count, running, over_rest if path == "rest" else over_socket)
                if block >= 0:
                    one.blocks.append(found)
                    one.rates.append(1e9 / float(found.mean()))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        plain.transport.disconnect()
    return series


def main() -> int:
    options = arguments(__doc__ or "", 20_000)
    core, other = cores()
    ccxt = Ccxt("binanceusdm", core)
    try:
        with stage(venue, core, other) as (port, segments, folder):
            series = uvloop.run(measure(options.samples, options.blocks, folder, segments, port, ccxt))
    finally:
        ccxt.close()
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
