"""Bots that others' libraries make, each a process of its own on the same marked venue; for bench/tick_to_trade.py.

A bot gets the same frames and answers each with one order; a sample is the same as ours: the venue's send of the frame
to the arrival of the order there. Its loop must be waiting when a frame comes, so the next one leaves PAUSE_S after the
answer, which no sample contains; one that nobody answered is sent again and not counted.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import uvloop
from _decode_beside import PEERS_PYTHON
from _marked_venue import MARKET, ORDERS, MarkedVenue
from _measure import Samples
from _venue_words import SHAPES

from shm.clock import monotonic_ns

PAUSE_S = 0.002
PATIENCE_S = 1.0
START_S = 60.0


class Bot:
    """`missing` says why it cannot run, else it is empty."""

    def __init__(self, name: str, script: str, core: int) -> None:
        self.name = name
        self._command = [str(PEERS_PYTHON), str(Path(__file__).with_name(script)), str(core)]
        self.missing = "" if PEERS_PYTHON.exists() else f"no {PEERS_PYTHON}"
        if not self.missing:
            said = subprocess.run([PEERS_PYTHON, "-c", "import ccxt.pro"], capture_output=True, text=True, check=False)
            self.missing = said.stderr.strip().rpartition("\n")[2]

    def block(self, count: int, warm: int) -> Samples:
        return uvloop.run(self._block(count, warm))

    async def _block(self, count: int, warm: int) -> Samples:
        venue = MarkedVenue(SHAPES["binance"])
        port = await venue.start()
        urls = [f"ws://127.0.0.1:{port}{path}" for path in (MARKET, ORDERS)]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen([*self._command, *urls], stdout=said, stderr=said)
            try:
                deadline = monotonic_ns() + int(START_S * 1e9)
                while venue.market is None:
                    if process.poll() is not None or monotonic_ns() > deadline:
                        said.seek(0)
                        raise SystemExit(f"{self.name} did not come: {said.read().decode()[-500:]}")
                    await asyncio.sleep(0.01)
                samples = [await self._tick(venue, process) for _ in range(warm + count)]
            finally:
                process.terminate()
                process.wait()
                await venue.close()
        return np.array(samples[warm:], np.int64)

    async def _tick(self, venue: MarkedVenue, process: subprocess.Popen[bytes]) -> int:
        while process.poll() is None:
            venue.send(venue.mark())
            deadline = venue.sent_ns + int(PATIENCE_S * 1e9)
            while not venue.arrived_ns and monotonic_ns() < deadline:
                await asyncio.sleep(0)
            if venue.arrived_ns:
                took = venue.arrived_ns - venue.sent_ns
                await asyncio.sleep(PAUSE_S)
                return took
        raise SystemExit(f"{self.name} ended with {process.returncode}")
