"""The process of bench/_decode_peers.py as a decode bench sees it: it gets the frames once, and takes blocks of them.

Each peer's book must end with the best prices that the plainest way ends with, else the bench ends: a peer that was fed
wrongly would be fast for nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _measure import ROOT, Samples

PEERS_PYTHON = Path(os.environ.get("CORELANE_DECODE_PEERS") or ROOT / "build" / "decode-peers" / "bin" / "python")
NAMES = ("ccxt", "cryptofeed", "nautilus_trader")


@dataclass(frozen=True)
class Tape:
    """What a peer is fed of one symbol: the whole book, then frames by kind, and the best bid and ask that follow."""

    snapshot: bytes
    frames: list[tuple[str, bytes]]
    best: tuple[float, float]


class Peers:
    """None are ready where their Python does not exist; `missing` says why one is not."""

    def __init__(self, venue: str, core: int, tapes: dict[str, Tape]) -> None:
        self.ready: list[str] = []
        self.missing: dict[str, str] = {}
        self._venue = venue
        self._best = {symbol: tape.best for symbol, tape in tapes.items()}
        self._process: subprocess.Popen[str] | None = None
        if not PEERS_PYTHON.exists():
            self.missing = dict.fromkeys(NAMES, f"no {PEERS_PYTHON}")
            return
        content = {
            symbol: {
                "snapshot": tape.snapshot.decode(),
                "frames": [(kind, frame.decode()) for kind, frame in tape.frames],
            }
            for symbol, tape in tapes.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames.json"
            path.write_text(json.dumps(content))
            script = Path(__file__).with_name("_decode_peers.py")
            self._process = subprocess.Popen(
                [PEERS_PYTHON, script, venue, str(core), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            found = self._answer()  # which comes when the file was read
        self.ready, self.missing = found["ready"], found["missing"]

    def block(self, peer: str) -> dict[str, Samples]:
        """ns of every frame, by kind."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(json.dumps({"peer": peer}), file=self._process.stdin, flush=True)
        answer = self._answer()
        for symbol, found in answer["best"].items():
            if not np.allclose(found, self._best[symbol], rtol=1e-12):
                sys.exit(f"decode_{self._venue}: {peer} has {symbol} at {found}, expected {self._best[symbol]}")
        return {kind: np.array(took, np.int64) for kind, took in answer["ns"].items()}

    def notes(self) -> list[str]:
        return [f"{name}: not measured ({why})" for name, why in self.missing.items()]

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"decode_{self._venue}: the peers' process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
