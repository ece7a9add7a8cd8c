"""ccxt's way from an order to the request that its HTTP client would send; run by the benches of the order path.

    python bench/_order_peers.py binanceusdm|deribit

It needs a package that must not stand beside ours, so this file runs under the Python of an environment of its own: it
reads one JSON line per block ({"count": 1000}) and answers with one ({"ns": [...]}). The clock runs from the call of
create_order to the call of `fetch`, which gets the finished URL, headers and signed body: everything that aiohttp does
after that is left out, so the figure flatters the peer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

Orders = Callable[[int], Awaitable[Any]]


def binanceusdm(handed: list[int]) -> tuple[Any, Orders]:
    """(the exchange, what sends its n-th order)."""
    import ccxt.async_support as library

    class Venue(library.binanceusdm):  # type: ignore[misc, name-defined]
        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            handed.append(perf_counter_ns())
            assert "signature=" in (body or url), "not a signed order"
            return {"orderId": 1, "symbol": "BTCUSDT", "status": "NEW", "clientOrderId": "x"}

    venue = Venue({"apiKey": "k" * 64, "secret": "s" * 64, "enableRateLimit": False, "options": {"recvWindow": 5000}})
    market = {
        "id": "BTCUSDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "type": "swap",
        "spot": False, "margin": False, "swap": True, "future": False, "option": False, "contract": True,
        "linear": True, "inverse": False, "contractSize": 1.0, "active": True,
        "precision": {"price": 0.1, "amount": 0.001}, "limits": {},
        "info": {"orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"]},
    }  # fmt: skip
    venue.set_markets([venue.safe_market_structure(market)])

    async def send(index: int) -> None:
        await venue.create_order(
            "BTC/USDT:USDT", "limit", "buy", 0.010 + index % 7 / 1000, 61_799.5 + index % 10 / 10,
            {"postOnly": True, "clientOrderId": f"plain-{index}"},
        )  # fmt: skip

    return venue, send


def deribit(handed: list[int]) -> tuple[Any, Orders]:
    """(the exchange, what sends its n-th order)."""
    import ccxt.async_support as library

    order = {"order_id": "1", "instrument_name": "BTC-PERPETUAL", "order_state": "open", "label": "x"}

    class Venue(library.deribit):  # type: ignore[misc, name-defined]
        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            handed.append(perf_counter_ns())
            assert "sig=" in headers["Authorization"], "not a signed order"
            return {"jsonrpc": "2.0", "result": {"order": order, "trades": []}}

    venue = Venue({"apiKey": "k" * 8, "secret": "s" * 40, "enableRateLimit": False})
    market = {
        "id": "BTC-PERPETUAL", "symbol": "BTC/USD:BTC", "base": "BTC", "quote": "USD", "settle": "BTC", "type": "swap",
        "spot": False, "margin": False, "swap": True, "future": False, "option": False, "contract": True,
        "linear": False, "inverse": True, "contractSize": 10.0, "active": True,
        "precision": {"price": 0.5, "amount": 10.0}, "limits": {}, "info": {},
    }  # fmt: skip
    venue.set_markets([venue.safe_market_structure(market)])

    async def send(index: int) -> None:
        await venue.create_order(
            "BTC/USD:BTC", "limit", "buy", 600 + index % 7 * 10, 60_995.0 + index % 10 / 2,
            {"postOnly": True, "label": f"plain-{index}"},
        )  # fmt: skip

    return venue, send


async def block(send: Orders, handed: list[int], count: int) -> list[int]:
    result = []
    for index in range(count):
        handed.clear()
        begin = perf_counter_ns()
        await send(index)
        result.append(handed[0] - begin)
    return result


async def main() -> None:
    handed: list[int] = []
    venue, send = {"binanceusdm": binanceusdm, "deribit": deribit}[sys.argv[1]](handed)
    print(json.dumps({"ready": sys.modules["ccxt"].__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"ns": await block(send, handed, json.loads(line)["count"])}), flush=True)
    await venue.close()


if __name__ == "__main__":
    asyncio.run(main())
