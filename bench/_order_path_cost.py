"""What an order costs the engine's own code, in instructions: a figure that no other load of the machine moves.

    python bench/_order_path_cost.py [deribit|binance|hmac] [--orders 300] [--functions 40] [--profile FILE]

Runs itself under valgrind's callgrind (which has to be installed), counting only within OrderEngine.on_request: the
engine of bench/_order_path.py, with a line whose transport takes the bytes and nothing more, and answers by hand.
Without valgrind's slowness but with the noise of the machine: --time, the fastest and the median order in us.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import _measure  # noqa: F401  (puts the source tree on the path)
import numpy as np
import uvloop
from _callgrind import costliest, instructions
from _order_path import SHAPES, WARM, Engine, Traded
from order_path_binance import SECRET, ed25519_pem
from order_path_binance import TRADED as BINANCE
from order_path_deribit import KEY
from order_path_deribit import TRADED as DERIBIT

from exchanges.request_line import Line
from shm.segment import Segment

WAYS: dict[str, tuple[Traded, str, bool]] = {
    "deribit": (DERIBIT, SECRET, True),
    "binance": (BINANCE, ed25519_pem(), True),
    "hmac": (BINANCE, SECRET, False),
}
"""What is traded, the secret, and whether the line has a session."""
COUNTED = "__pyx_pw_9exchanges_12order_engine_11OrderEngine_*on_request"


class Taken:
    """A transport that takes what it is handed."""

    def __init__(self) -> None:
        self.message = b""
        self.time_ns = 0

    def send(self, kind: Any, message: bytes) -> None:
        self.time_ns = perf_counter_ns()
        self.message = message


def refused(way: str, message: bytes) -> bytes:
    """The venue's answer to what was sent."""
    identity = json.loads(message)["id"]
    if way == "deribit":
        error = {"code": 10009, "message": "not_enough_funds"}
        return json.dumps(
            {"jsonrpc": "2.0", "id": identity, "error": error, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": True}
        ).encode()
    error = {"code": -2019, "msg": "Margin is insufficient."}
    return json.dumps({"id": identity, "status": 400, "error": error}).encode()


async def orders(way: str, count: int, segments: Mapping[str, Segment], folder: Path) -> list[int]:
    """Carry out `count` orders; how long each took, ns."""
    traded, secret, session = WAYS[way]
    nowhere = "ws://127.0.0.1:9"
    urls = {"rest_url": "http://127.0.0.1:9", "stream_url": nowhere, "ws_api_url": nowhere}
    engine = Engine(folder, dict(segments), traded, KEY, secret, order_path="websocket", **urls)
    socket = engine.oms._socket._socket
    line: Any = Line(socket)
    transport = line.transport = Taken()
    line.session = session
    socket._connection.listener = line
    poll, on_request = engine.reader.poll, engine.engine.on_request
    took: list[int] = []
    gc.collect()
    gc.freeze()
    gc.disable()
    for _ in range(count):
        engine.publish()
        request = poll()
        before = perf_counter_ns()
        on_request(request)  # type: ignore[arg-type]
        took.append(transport.time_ns - before)
        assert transport.time_ns > before
        line.on_message(refused(way, transport.message), perf_counter_ns())
        await engine.answered()
    line.timer.cancel()
    engine.journal.close()
    return took


def carry_out(way: str, count: int) -> list[int]:
    name = f"/corelane.bench{os.getpid()}-{uuid.uuid4().hex[:8]}."
    segments = {what: Segment.create(name + what, *shape) for what, shape in SHAPES.items()}
    try:
        with tempfile.TemporaryDirectory() as folder:
            return uvloop.run(orders(way, count, segments, Path(folder)))
    finally:
        for segment in segments.values():
            Segment.remove(segment.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS, nargs="?", default="deribit")
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--functions", type=int, default=40, help="how many of the costliest to show")
    parser.add_argument("--profile", type=Path, help="keep callgrind's file there")
    parser.add_argument("--time", action="store_true", help="measure time instead")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        carry_out(options.way, options.orders)
        return 0
    if options.time:
        took = np.array(carry_out(options.way, WARM + options.orders)[WARM:]) / 1e3
        print(f"{options.way}: {took.min():.1f} us at best, {np.median(took):.1f} at p50, of {len(took)} orders")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        profile = options.profile or Path(folder, "callgrind.out")
        total = instructions(__file__, [options.way, "--orders", str(options.orders), "--inside"], COUNTED, profile)
        print(f"{options.way}: {total / options.orders:,.0f} instructions an order")
        for row in costliest(profile, options.functions):
            print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
