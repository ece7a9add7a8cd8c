"""One GRVT order signed: from size and price to r, s and v, against the venue's SDK, eth-account and ccxt.

    python bench/signing.py [--samples 5000] [--blocks 10] [--json FILE] [--plot FILE.png] [--strict]

All sign the same orders in blocks that take turns on one pinned core, and every signature must be the same: a way that
is quick and wrong ends the bench. Ours takes a fresh nonce and integers as the order path has them; the peers take the
decimal text that their users write. They live in an environment of their own: $CORELANE_GRVT_PEERS names its Python
(default build/grvt-peers/bin/python, which `make bench` makes).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import numpy as np
from _measure import Report, Series, arguments, cores, pin, ratio
from _signing_process import Peers

from exchanges.decimal_text import decimal_text
from exchanges.grvt.auth import RequestSigner, asset_word
from exchanges.grvt.nonces import NonceSource

KEY = "0x" + "11" * 32
SUB_ACCOUNT = 2147050003876484
CHAIN = 325
EXPIRATION_NS = 1_790_000_000_000_000_000
SLOW_SHARE = 0.1
"""Of our samples that a peer takes: they are an order of magnitude slower."""


class Ours:
    name = "corelane"

    def __init__(self, state: Path) -> None:
        self._signer = RequestSigner(SimpleNamespace(api_key="", secret=KEY), CHAIN, SUB_ACCOUNT)
        self._nonces = NonceSource(state / "nonce")
        self._asset = asset_word("0x030501")

    def block(self, orders: list[tuple[int, int, bool]]) -> tuple[list[int], list[tuple[Any, ...]], list[int]]:
        """Times, signatures and nonces of orders of (size in 10^-9, price in 10^-9, buying)."""
        took, signed, nonces = [], [], []
        sign, asset, take = self._signer.sign_order, self._asset, self._nonces.take
        for size, price, buying in orders:
            began = perf_counter_ns()
            nonce = take()
            signature = sign(
                asset, size, price, buying, market=False, time_in_force=1, post_only=True, reduce_only=False,
                nonce=nonce, expiration_ns=EXPIRATION_NS,
            )  # fmt: skip
            took.append(perf_counter_ns() - began)
            signed.append(signature)
            nonces.append(nonce)
        return took, signed, nonces


def main() -> int:
    options = arguments(__doc__ or "", 5_000)
    core = cores()[0]
    pin(core)
    peers = Peers(("grvt-pysdk", "eth-account", "ccxt"), KEY, SUB_ACCOUNT, core)
    series = {name: Series(name) for name in (Ours.name, *peers.ready)}
    random = np.random.default_rng(1)
    wrong = 0
    count = max(1, options.samples // options.blocks)
    try:
        with tempfile.TemporaryDirectory() as state:
            ours = Ours(Path(state))
            for block in range(-1, options.blocks):  # the first one warms, and is not counted
                sizes = random.integers(1, 10_000, count) * 10**6
                prices = random.integers(300_000, 1_200_000, count) * 10**8
                orders = [(int(size), int(price), bool(size % 2)) for size, price in zip(sizes, prices, strict=True)]
                took, signed, nonces = ours.block(orders)
                results = {Ours.name: took}
                slow = max(1, int(count * SLOW_SHARE))
                texts = [
                    (decimal_text(size, 9), decimal_text(price, 9), buying, nonce, EXPIRATION_NS)
                    for (size, price, buying), nonce in zip(orders[:slow], nonces, strict=False)
                ]
                for name in peers.ready:
                    answer = peers.block(name, texts)
                    wrong += sum(tuple(a) != b for a, b in zip(answer["signed"], signed, strict=False))
                    results[name] = answer["ns"]
                if block >= 0:
                    for name, samples in results.items():
                        series[name].blocks.append(np.array(samples, dtype=np.int64))
                        series[name].rates.append(1e9 / float(np.mean(samples)))
    finally:
        peers.close()
    report = Report("signing", list(series.values()))
    report.notes += [f"{name}: not measured ({why})" for name, why in peers.missing.items()]
    for name in peers.ready:
        limit = 1 / 8 if name == "grvt-pysdk" else 1.0
        report.bound(f"corelane / {name}, p50", ratio(series[Ours.name], series[name]), limit)
    report.bound("signatures that differ from ours", wrong, 0)
    return report.finish(options) or int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
