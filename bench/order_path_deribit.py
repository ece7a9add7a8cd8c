"""A request in the ring until its bytes are handed to the socket: the engine's whole way to Deribit.

    python bench/order_path_deribit.py [--samples 20000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

What is measured, and how, stands in bench/_order_path.py. Nothing is signed on this way: the line is logged in. Series:

    session  poll of the request -> bytes handed to the socket (at most 15 us at p50 by the design), the journal entry
             and every gate between; the write itself is told apart
    plain    a peer that does less: an order of ready numbers, json, a socket of the same kind; no gate, no journal, no
             order state. It is what connectors do for a request
    ccxt     deribit's create_order until its HTTP client has the finished, signed request (it has no way to trade over
             the socket), in a process of its own on the same core ($CORELANE_DECODE_PEERS, else build/decode-peers,
             which `make bench` makes); what aiohttp does after that is left out
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import picows
import uvloop
from _measure import Report, Series, arguments, cores, ratio
from _order_path import BOUND_NS, WARM, WRITTEN, Ccxt, Engine, Plain, Traded, engine_block, stage
from aiohttp import web

from exchanges.deribit.oms import SCOPES, DeribitOMS
from exchanges.order_instruments import OrderInstrument
from shm.layout import instrument_id
from shm.segment import Segment

BTC = OrderInstrument(
    instrument_id(2, 0), "BTC-PERPETUAL", price_scale=1, quantity_scale=0, tick_size=5, lot_size=10, inverse=True
)
TRADED = Traded("deribit", DeribitOMS, BTC, 609_950, 600, 61_000.0, {"settle_currency": "BTC", "login": "signature"})
KEY, SECRET = "k" * 8, "s" * 40
REFUSED = {"code": 10009, "message": "not_enough_funds"}
SHARES = {"session": 1.0, "plain": 1.0, "ccxt": 0.2}
RESULTS: dict[str, Any] = {
    "public/auth": {
        "access_token": "a" * 200, "refresh_token": "r" * 200, "expires_in": 900, "scope": SCOPES,
        "token_type": "bearer",
    },
    "public/set_heartbeat": "ok",
    "private/enable_cancel_on_disconnect": "ok",
    "private/get_cancel_on_disconnect": {"enabled": True, "scope": "connection"},
}  # fmt: skip


def venue() -> web.Application:
    """Lets everybody in and refuses every order."""

    async def socket(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse(compress=False)
        await answer.prepare(request)
        async for message in answer:
            asked = json.loads(message.data)
            head = {"jsonrpc": "2.0", "id": asked["id"], "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": True}
            if asked["method"] == "private/buy":
                await answer.send_json(head | {"error": REFUSED})
            elif asked["method"] == "private/subscribe":
                await answer.send_json(head | {"result": asked["params"]["channels"]})
            else:
                await answer.send_json(head | {"result": RESULTS[asked["method"]]})
        return answer

    app = web.Application()
    app.router.add_get("/{path:.*}", socket)
    return app


class PlainRequest(Plain):
    def word(self, index: int) -> bytes:
        parameters = {
            "instrument_name": "BTC-PERPETUAL", "amount": 600, "type": "limit", "price": 60995.0, "post_only": True,
            "reject_post_only": True, "time_in_force": "good_til_cancelled", "label": f"plain-{index}",
        }  # fmt: skip
        message = {"jsonrpc": "2.0", "id": index, "method": "private/buy", "params": parameters}
        return json.dumps(message).encode()


async def measure(
    samples: int, blocks: int, folder: Path, segments: dict[str, Segment], port: int, ccxt: Ccxt
) -> list[Series]:
    series = [Series(name) for name in SHARES if name != "ccxt" or not ccxt.missing]
    running: list[asyncio.Task[None]] = []
    socket = f"ws://127.0.0.1:{port}"
    urls = {"rest_url": f"http://127.0.0.1:{port}", "stream_url": socket, "ws_api_url": socket}
    _, plain = await picows.ws_connect(PlainRequest, f"ws://127.0.0.1:{port}/ws/api/v2")
    try:
        for block in range(-1, blocks):  # the first one warms, and is not counted
            for one in series:
                count = WARM if block < 0 else max(1, int(samples * SHARES[one.name]) // blocks)
                if one.name == "plain":
                    found = await plain.block(count)
                elif one.name == "ccxt":
                    found = ccxt.block(count)
                else:
                    engine = Engine(folder, segments, TRADED, KEY, SECRET, order_path="websocket", **urls)
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


def main() -> int:
    options = arguments(__doc__ or "", 20_000)
    core, other = cores()
    ccxt = Ccxt("deribit", core)
    try:
        with stage(venue, core, other) as (port, segments, folder):
            series = uvloop.run(measure(options.samples, options.blocks, folder, segments, port, ccxt))
    finally:
        ccxt.close()
    report = Report("order_path_deribit", series)
    by_name = {one.name: one for one in series}
    session = by_name["session"]
    report.bound("session: us at p50", float(np.median(session.samples)) / 1e3, BOUND_NS / 1e3)
    report.notes.append(f"the write to the kernel behind it, p50: {float(np.median(WRITTEN)) / 1e3:.1f} us")
    report.notes.append(f"session / plain, p50: {ratio(session, by_name['plain']):.2f}")
    if ccxt.missing:
        report.notes.append(f"ccxt: not measured ({ccxt.missing})")
    else:
        report.notes.append(f"session / ccxt, p50: {ratio(session, by_name['ccxt']):.3f}")
    report.notes.append("cryptofeed sends no orders; nautilus_trader signs inside its execution client: not measured")
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
