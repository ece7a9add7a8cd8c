"""The other end of bench/_signing_peers.py: a process under the Python of an environment of the peers' own.

$CORELANE_GRVT_PEERS names that Python (default build/grvt-peers/bin/python, which `make bench` makes); where there is
none, every peer is missing and the bench says so. Used by bench/signing.py and bench/order_path_grvt.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from _measure import ROOT

PEERS_PYTHON = Path(os.environ.get("CORELANE_GRVT_PEERS") or ROOT / "build" / "grvt-peers" / "bin" / "python")


class Peers:
    """`ready` are those of the wanted that can be measured, `missing` says why of the others."""

    def __init__(self, wanted: tuple[str, ...], key: str, sub_account: int, core: int) -> None:
        self.ready: list[str] = []
        self.missing: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        if not PEERS_PYTHON.exists():
            self.missing = dict.fromkeys(wanted, f"no {PEERS_PYTHON}")
            return
        script = Path(__file__).with_name("_signing_peers.py")
        self._process = subprocess.Popen(
            [PEERS_PYTHON, script, key, str(sub_account), str(core), *wanted],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = self._answer()
        self.ready, self.missing = found["ready"], found["missing"]

    def block(self, peer: str, orders: list[tuple[str, str, bool, int, int]]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        print(json.dumps({"peer": peer, "orders": orders}), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the peers' process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
