"""grvt-pysdk 0.2.1, the venue's own SDK, trades on the simulator: REST, raw typed calls, old and new sockets.

It runs as a process of its own under the Python named by $CORELANE_GRVT_PEERS (default build/grvt-peers/bin/python,
which `make conformance` makes), because it pins packages that must not stand beside ours.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from exchanges.grvt.simulator import DEMO_KEY, SimulatorOptions, serve

ROOT = Path(__file__).parent.parent.parent
PYTHON = Path(os.environ.get("CORELANE_GRVT_PEERS") or ROOT / "build" / "grvt-peers" / "bin" / "python")
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON} (make conformance makes it)")
PATIENCE_S = 60.0


async def run_sdk() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the SDK saw, and the venue's truth behind it."""
    async with await serve(SimulatorOptions(symbols=("BTC_USDT_Perp",), seed=5)) as server:
        script = Path(__file__).with_name("grvt_sdk_client.py")
        process = await asyncio.create_subprocess_exec(
            PYTHON, script, server.rest_url, server.stream_url, DEMO_KEY.key, DEMO_KEY.secret, DEMO_KEY.account,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = [line for line in out.decode().splitlines() if line.startswith("RESULT ")]
        assert lines, err.decode()[-3000:]
        return json.loads(lines[-1].removeprefix("RESULT ")), server.truth()["accounts"][DEMO_KEY.account]


async def test_the_venues_own_sdk_trades_unchanged() -> None:
    seen, truth = await run_sdk()
    rest = seen["rest"]
    assert rest["markets"] == ["BTC_USDT_Perp"]
    assert rest["created"]["state"]["status"] == "PENDING"
    (resting,) = rest["open"]
    assert resting["metadata"]["client_order_id"] == str(2**63 + 7)
    assert rest["canceled"]
    (position,) = rest["positions"]
    assert position["size"] == "0.02"
    assert seen["raw"]["instruments"] == 1
    assert "PENDING" in seen["raw"]["created"]
    assert seen["sockets"].keys() == {"old gateway", "book", "order"}
    by_client = {order["client_order_id"]: order for order in truth["orders"]}
    assert by_client[str(2**63 + 7)]["state"] == "CANCELED"
    assert sum(float(trade["quantity"]) for trade in truth["trades"]) == pytest.approx(0.03)
