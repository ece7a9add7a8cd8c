"""A scripted market and a small honest client, shared by the tests of the Binance simulator.

The client signs and words requests on its own, from the documentation, and uses nothing of `exchanges.binance`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from exchanges.binance.simulator import DEMO_KEY, ApiKey, SimulatorOptions, SimulatorServer
from exchanges.simulator.flow import Delta, MarketEvent, MarketTrade, MarkTick, Snapshot, Top

BIDS = [("61799.80", "4"), ("61799.90", "3"), ("61800.00", "2")]
ASKS = [("61800.10", "2"), ("61800.20", "3"), ("61800.30", "4")]
SNAPSHOT_ID = 1000
MARKET_MS = 1_700_000_000_000
TIMEOUT_S = 60.0


def levels(pairs: list[tuple[str, str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in pairs]


class ScriptedFlow:
    """A market that stands still: tests hand events to the server themselves."""

    def __init__(self, symbols: tuple[str, ...] = ("BTCUSDT",)) -> None:
        self.symbols = symbols
        self.coming: int | None = None

    def snapshot(self, symbol: str) -> Snapshot:
        return Snapshot(levels(BIDS), levels(ASKS), SNAPSHOT_ID, MARKET_MS, MARKET_MS)

    def next_due_ns(self) -> int | None:
        return None

    def pop(self) -> MarketEvent:
        raise AssertionError("a scripted flow has no events of its own")

    def next_delta_id(self, symbol: str) -> int | None:
        return self.coming


def top(bid: str, bid_quantity: str, ask: str, ask_quantity: str, update_id: int, ms: int = MARKET_MS) -> Top:
    return Top(
        0,
        "BTCUSDT",
        ms,
        ms,
        None,
        None,
        Decimal(bid),
        Decimal(bid_quantity),
        Decimal(ask),
        Decimal(ask_quantity),
        update_id,
    )


def trade(price: str, quantity: str, buyer_is_maker: bool, ms: int = MARKET_MS, trade_id: int = 1) -> MarketTrade:
    return MarketTrade(0, "BTCUSDT", ms, ms, None, None, Decimal(price), Decimal(quantity), buyer_is_maker, trade_id)


def delta(bids: list[tuple[str, str]], asks: list[tuple[str, str]], first: int, last: int, before: int) -> Delta:
    return Delta(0, "BTCUSDT", MARKET_MS, MARKET_MS, None, None, levels(bids), levels(asks), first, last, before)


def mark_tick(ms: int = MARKET_MS) -> MarkTick:
    return MarkTick(0, "BTCUSDT", ms, ms, None, None)


class Client:
    """One account's client."""

    def __init__(self, session: aiohttp.ClientSession, server: SimulatorServer, key: ApiKey) -> None:
        self.session = session
        self.server = server
        self.key = key
        self.headers: dict[str, str] = {}

    async def call(
        self,
        method: str,
        path: str,
        signed: bool = True,
        in_body: bool = False,
        key: str | None = None,
        secret: str | None = None,
        signature: str | None = None,
        **parameters: Any,
    ) -> tuple[int, Any]:
        """(status, JSON); response headers are kept in `headers`."""
        if signed:
            parameters.setdefault("timestamp", int(time.time() * 1000))
        payload = urlencode(parameters)
        if signed:
            made = hmac.new((secret or self.key.secret).encode(), payload.encode(), hashlib.sha256).hexdigest()
            payload += f"&signature={signature or made}"
        url = self.server.rest_url + path
        headers = {"X-MBX-APIKEY": self.key.key if key is None else key} if (signed or key is not None) else {}
        if in_body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        target = URL(url if in_body or not payload else f"{url}?{payload}", encoded=True)
        data = payload.encode() if in_body else None
        async with self.session.request(method, target, headers=headers, data=data) as response:
            self.headers = dict(response.headers)
            return response.status, orjson.loads(await response.read())

    async def order(self, side: str, quantity: str, price: str | None = None, **more: Any) -> tuple[int, Any]:
        """Place a LIMIT GTC order, or a MARKET one without a price."""
        parameters: dict[str, Any] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity}
        if price is None:
            parameters["type"] = "MARKET"
        else:
            parameters |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        return await self.call("POST", "/fapi/v1/order", **(parameters | more))

    async def listen_key(self) -> str:
        status, reply = await self.call("POST", "/fapi/v1/listenKey", signed=False, key=self.key.key)
        assert status == 200, reply
        return str(reply["listenKey"])

    async def connect(self, path: str) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(self.server.stream_url + path)

    async def user_stream(self) -> aiohttp.ClientWebSocketResponse:
        """A connected user stream: the server knows the socket when this returns."""
        key = await self.listen_key()
        socket = await self.connect(f"/private/ws/{key}")
        await settled(socket)
        return socket

    async def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        async with self.session.request(method, self.server.rest_url + path, json=body) as response:
            return response.status, orjson.loads(await response.read())


async def settled(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Until the server has read everything sent so far: it answers a control message in order. The answer must be the
    next frame, so this also says that nothing else was sent before."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    reply = await receive(socket)
    assert reply.get("id") == 0, reply


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return await socket.receive_json(timeout=TIMEOUT_S)


async def receive_many(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [await receive(socket) for _ in range(count)]


async def until(condition: Any) -> None:
    """Until `condition()` holds, within a bound."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)


def stop_clock(server: SimulatorServer) -> None:
    """The venue's clock stands still, so that no counter's window ends during a test."""
    now = int(time.time() * 1000)
    server.venue.clock_ms = lambda: now


@asynccontextmanager
async def venue(**options: Any) -> AsyncIterator[tuple[SimulatorServer, Client]]:
    """A server over a market that stands still, and the demo account's client."""
    symbols = options.pop("symbols", ("BTCUSDT",))
    server = SimulatorServer(SimulatorOptions(symbols=symbols, **options), [ScriptedFlow(symbols)])
    await server.start()
    async with aiohttp.ClientSession() as session:
        try:
            yield server, Client(session, server, server.options.api_keys[0] if options else DEMO_KEY)
        finally:
            await server.close()
