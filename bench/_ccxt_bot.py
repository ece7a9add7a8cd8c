"""A single-process bot with ccxt.pro, as its users write one: for bench/tick_to_trade.py, under the peers' Python.

It watches the best prices, and answers each with an immediate-or-cancel limit order over the venue's WebSocket API,
then waits for the answer. Its markets are given, its rate limit is off and its URLs are loopback; nothing else is
touched.
"""

from __future__ import annotations

import asyncio
import os
import sys

import ccxt.pro

UNIFIED = "BTC/USDT:USDT"


async def trade(market: str, orders: str) -> None:
    venue = ccxt.pro.binanceusdm({"apiKey": "k" * 64, "secret": "s" * 64, "enableRateLimit": False})
    venue.set_markets([venue.safe_market_structure({
        "id": "BTCUSDT", "lowercaseId": "btcusdt", "symbol": UNIFIED, "base": "BTC", "quote": "USDT", "settle": "USDT",
        "type": "swap",
        "spot": False, "swap": True, "contract": True, "linear": True, "inverse": False, "active": True,
        "contractSize": 1.0, "precision": {"price": 0.1, "amount": 0.001},
        "limits": {"amount": {"min": 0.001}, "price": {}, "cost": {}, "leverage": {}},
        "info": {"orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC"]},
    })])  # fmt: skip
    sockets = venue.urls["api"]["ws"]  # every one of them, so that nothing can leave loopback
    for name, url in sockets.items():
        sockets[name] = market if isinstance(url, str) else dict.fromkeys(url, orders)
    try:
        while True:
            best = (await venue.watch_bids_asks([UNIFIED]))[UNIFIED]
            await venue.create_order_ws(UNIFIED, "limit", "buy", 0.01, best["bid"], {"timeInForce": "IOC"})
    finally:
        await venue.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    asyncio.run(trade(sys.argv[2], sys.argv[3]))
