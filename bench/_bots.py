"""Bots that others' libraries make, each a process of its own on the same marked venue; for bench/tick_to_trade.py.

A bot gets the same frames and answers each with one order; a sample is the same as ours: the venue's send of the frame
to the arrival of the order there. Its loop must be waiting when a frame comes, so the next one leaves PAUSE_S after the
answer, which no sample contains; one that nobody answered is sent again and not counted. It has a core of its own,
beside that of the venue.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from _decode_beside import PEERS_PYTHON
from _marked_venue import MARKET, ORDERS, MarkedVenue
from _measure import Samples, Series
from _nautilus_venue import NautilusVenue
from _venue_words import SHAPES

from shm.clock import monotonic_ns

PAUSE_S = 0.005
PATIENCE_S = 1.0
START_S = 60.0


@dataclass(frozen=True)
class Kind:
    """`module`: without it the bot cannot run. `addresses`: what its script is given of the venue and its port."""

    name: str
    script: str
    module: str
    venue: Callable[[], Any]
    addresses: Callable[[Any, int], list[str]]


CCXT = Kind(
    "ccxt_pro", "_ccxt_bot.py", "ccxt.pro", lambda: MarkedVenue(SHAPES["binance"]),
    lambda venue, port: [f"ws://127.0.0.1:{port}{path}" for path in (MARKET, ORDERS)],
)  # fmt: skip
NAUTILUS = Kind(
    "nautilus_trader", "_nautilus_bot.py", "nautilus_trader.live.node", NautilusVenue,
    lambda venue, port: [f"http://127.0.0.1:{venue.rest_port}", f"ws://127.0.0.1:{port}"],
)  # fmt: skip


class BotFailed(Exception):
    """It did not come, or it ended; the text says how."""


class Bot:
    """`missing` says why it cannot run, or why it ended; else it is empty, and `series` has what was measured."""

    def __init__(self, kind: Kind, core: int) -> None:
        self.name, self._kind = kind.name, kind
        self.series = Series(f"binance.{kind.name}")
        self._command = [str(PEERS_PYTHON), str(Path(__file__).with_name(kind.script)), str(core)]
        self.missing = "" if PEERS_PYTHON.exists() else f"no {PEERS_PYTHON}"
        if not self.missing:
            said = subprocess.run(
                [PEERS_PYTHON, "-c", f"import {kind.module}"], capture_output=True, text=True, check=False
            )
            self.missing = said.stderr.strip().rpartition("\n")[2] if said.returncode else ""

    def block(self, count: int, warm: int) -> None:
        """Nothing where it is missing; one that fails is, from then on."""
        if self.missing:
            return
        try:
            samples = uvloop.run(self._block(count, warm))
        except BotFailed as failure:
            self.missing = str(failure)
            return
        self.series.blocks.append(samples)
        self.series.rates.append(1e9 / float(samples.mean()))

    async def _block(self, count: int, warm: int) -> Samples:
        venue = self._kind.venue()
        port = await venue.start()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*self._command, *self._kind.addresses(venue, port)], stdout=said, stderr=said
            )  # fmt: skip
            try:
                deadline = monotonic_ns() + int(START_S * 1e9)
                while venue.market is None:
                    if process.poll() is not None or monotonic_ns() > deadline:
                        said.seek(0)
                        raise BotFailed(f"it did not come: {said.read().decode()[-500:].strip()}")
                    await asyncio.sleep(0.01)
                samples = [await self._tick(venue, process) for _ in range(warm + count)]
            finally:
                process.kill()  # what it would say when it is asked to end is of no interest, and takes its time
                process.wait()
                await venue.close()
        return np.array(samples[warm:], np.int64)

    async def _tick(self, venue: MarkedVenue, process: subprocess.Popen[bytes]) -> int:
        unanswered = 0
        while process.poll() is None and unanswered < START_S / PATIENCE_S:
            venue.send(venue.mark())
            deadline = venue.sent_ns + int(PATIENCE_S * 1e9)
            while not venue.arrived_ns and monotonic_ns() < deadline:
                await asyncio.sleep(0)
            if venue.arrived_ns:
                took = venue.arrived_ns - venue.sent_ns
                await asyncio.sleep(PAUSE_S)
                return took
            unanswered += 1
        raise BotFailed(f"it ended with {process.poll()}" if process.poll() is not None else "it answers no frame")
