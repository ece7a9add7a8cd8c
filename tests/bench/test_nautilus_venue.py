"""bench/_nautilus_venue.py: what nautilus_trader's adapter asks for is answered, and an order's arrival is stamped."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))

from _nautilus_venue import NautilusVenue

ASKED = [
    ("GET", "/fapi/v1/exchangeInfo"),
    ("GET", "/fapi/v2/account"),
    ("GET", "/fapi/v3/positionRisk"),
    ("GET", "/fapi/v1/positionSide/dual"),
    ("GET", "/fapi/v1/symbolConfig"),
    ("GET", "/fapi/v1/time"),
    ("POST", "/fapi/v1/listenKey"),
]


@pytest.fixture
async def venue() -> Any:
    made = NautilusVenue()
    await made.start()
    yield made
    await made.close()


async def call(venue: NautilusVenue, *heads: str) -> list[tuple[int, Any]]:
    """The answers to requests that go out in one write."""
    reader, writer = await asyncio.open_connection("127.0.0.1", venue.rest_port)
    try:
        writer.write("".join(f"{head} HTTP/1.1\r\nHost: here\r\n\r\n" for head in heads).encode())
        found = []
        async with asyncio.timeout(30):
            for _ in heads:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                found.append((int(head.split(" ")[1]), orjson.loads(await reader.readexactly(length))))
        return found
    finally:
        writer.close()


async def test_every_call_of_the_adapters_start_is_answered(venue: NautilusVenue) -> None:
    answers = await call(venue, *(f"{method} {path}" for method, path in ASKED))
    assert [status for status, _ in answers] == [200] * len(ASKED)
    assert answers[0][1]["symbols"][0]["symbol"] == "BTCUSDT"
    assert answers[-1][1]["listenKey"] == venue.listen_key


async def test_an_order_is_stamped_when_it_comes_and_nothing_else_is(venue: NautilusVenue) -> None:
    await call(venue, "GET /fapi/v1/time")
    assert venue.arrived_ns == 0
    order = "newClientOrderId=one&price=60000.00&quantity=0.010&side=BUY&symbol=BTCUSDT&type=LIMIT&timeInForce=IOC"
    ((status, said),) = await call(venue, f"POST /fapi/v1/order?{order}")
    assert (status, said["clientOrderId"], said["status"]) == (200, "one", "NEW")
    assert venue.arrived_ns > 0


async def test_a_call_that_nobody_knows_and_one_that_is_wrong_are_refused_as_the_venue_would(
    venue: NautilusVenue,
) -> None:
    answers = await call(venue, "GET /fapi/v9/nothing", "GET /fapi/v1/depth?symbol=NOSUCH")
    assert [status for status, _ in answers] == [404, 400]
    assert all(said["code"] < 0 for _, said in answers)
