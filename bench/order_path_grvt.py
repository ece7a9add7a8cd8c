"""A GRVT order from request to the signed bytes for the socket, against the venue's own SDK.

    python bench/order_path_grvt.py [--samples 5000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

Ours begins with an OrderRequest as the engine has it from the ring and ends with the JSON-RPC frame: checks, a fresh
nonce, exact integers, signature, text. The peer begins with the order as its user writes it and ends with the body that
its REST client posts. Both sign other nonces here, so bytes are not compared; bench/signing.py compares signatures.
The peer lives in an environment of its own, see bench/_signing_process.py.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace

import numpy as np
from _measure import Report, Series, arguments, cores, pin, ratio
from _signing_process import Peers

from exchanges.decimal_text import decimal_text
from exchanges.grvt.auth import RequestSigner
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.nonces import NonceSource
from exchanges.grvt.order_codec import CREATE, OrderCodec
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from shm.layout import ExecFlag, OrderType, Side, TimeInForce, instrument_id
from shm.records import OrderRequest

KEY = "0x" + "11" * 32
SUB_ACCOUNT = 2147050003876484
SYMBOL = "BTC_USDT_Perp"
NOW_NS = 1_790_000_000_000_000_000
PEER = "grvt-pysdk-bytes"
SLOW_SHARE = 0.1
"""Of our samples that the peer takes."""


def make_codec(state: Path) -> OrderCodec:
    instruments = OrderInstruments([OrderInstrument(instrument_id(3, 0), SYMBOL, price_scale=1, quantity_scale=3)])
    signer = RequestSigner(SimpleNamespace(api_key="", secret=KEY), 325, SUB_ACCOUNT)
    terms = {SYMBOL: SigningTerms("0x030501", 9)}
    codec = OrderCodec(instruments, 0)
    codec.trade_as(signer, str(SUB_ACCOUNT), terms, NonceSource(state / "nonce").take)
    return codec


def main() -> int:
    options = arguments(__doc__ or "", 5_000)
    core = cores()[0]
    pin(core)
    peers = Peers((PEER,), KEY, SUB_ACCOUNT, core)
    ours = Series("corelane")
    theirs = Series(PEER)
    random = np.random.default_rng(1)
    count = max(1, options.samples // options.blocks)
    request = OrderRequest()
    request.instrument_id, request.order_type = instrument_id(3, 0), OrderType.LIMIT
    request.time_in_force, request.exec_flags = TimeInForce.GTC, int(ExecFlag.POST_ONLY)
    bytes_made = 0
    try:
        with tempfile.TemporaryDirectory() as state:
            codec = make_codec(Path(state))
            for block in range(-1, options.blocks):  # the first one warms, and is not counted
                sizes = random.integers(1, 10_000, count)
                prices = random.integers(300_000, 1_200_000, count)
                took = np.empty(count, np.int64)
                for index in range(count):
                    request.quantity, request.price = int(sizes[index]), int(prices[index])
                    request.side = Side.BUY if index % 2 else Side.SELL
                    request.client_order_id = 1 << 63 | index
                    began = perf_counter_ns()
                    frame = codec.encode_call(CREATE, codec.encode_new(request, NOW_NS, 5_000_000_000), index)
                    took[index] = perf_counter_ns() - began
                bytes_made = len(frame)
                texts = [
                    (decimal_text(int(size), 3), decimal_text(int(price), 1), bool(index % 2), index, NOW_NS)
                    for index, (size, price) in enumerate(zip(sizes, prices, strict=True))
                ]
                answer = peers.block(PEER, texts[: max(1, int(count * SLOW_SHARE))]) if peers.ready else None
                if block >= 0:
                    ours.blocks.append(took)
                    ours.rates.append(1e9 / float(took.mean()))
                    if answer is not None:
                        theirs.blocks.append(np.array(answer["ns"], dtype=np.int64))
                        theirs.rates.append(1e9 / float(np.mean(answer["ns"])))
    finally:
        peers.close()
    report = Report("order_path_grvt", [ours, theirs] if peers.ready else [ours])
    report.notes.append(f"{bytes_made} bytes a frame")
    report.notes += [f"{name}: not measured ({why})" for name, why in peers.missing.items()]
    if peers.ready:
        report.bound("corelane / grvt-pysdk, p50", ratio(ours, theirs), 1 / 8)
    return report.finish(options)


if __name__ == "__main__":
    sys.exit(main())
