"""A scripted market and a small honest client, shared by the tests of the Deribit simulator.

The client words requests on its own, from the documentation, and uses nothing of `exchanges.deribit` but the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import orjson

from exchanges.deribit.simulator import ApiKey, SimulatorOptions, SimulatorServer
from exchanges.deribit.simulator_instruments import listing_for
from exchanges.simulator.flow import Delta, MarketEvent, MarketTrade, MarkTick, Snapshot, Top

PERPETUAL, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"
MARKET_MS = 1_767_000_000_000
FIRST_ID = 136_700_000_100
TIMEOUT_S = 60.0
BIDS = [("60999.5", "120"), ("61000", "5000")]
ASKS = [("61000.5", "900"), ("61001", "30")]
LINEAR_BIDS, LINEAR_ASKS = [("60999", "2"), ("61000", "3")], [("61001", "3"), ("61002", "2")]
OPTION_BIDS, OPTION_ASKS = [("0.04", "10")], [("0.042", "10")]


def levels(pairs: list[tuple[str, str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in pairs]


class ScriptedFlow:
    """A market that stands still: tests hand events to the server themselves."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.symbols = symbols

    def snapshot(self, symbol: str) -> Snapshot:
        bids, asks = BIDS, ASKS
        if symbol == LINEAR:
            bids, asks = LINEAR_BIDS, LINEAR_ASKS
        elif symbol.endswith(("-C", "-P")):
            bids, asks = OPTION_BIDS, OPTION_ASKS
        return Snapshot(levels(bids), levels(asks), FIRST_ID, MARKET_MS, MARKET_MS)

    def next_due_ns(self) -> int | None:
        return None

    def pop(self) -> MarketEvent:
        raise AssertionError("a scripted flow has no events of its own")

    def next_delta_id(self, symbol: str) -> int | None:
        return None


def delta(bids: list[tuple[str, str]], asks: list[tuple[str, str]], last: int, symbol: str = PERPETUAL) -> Delta:
    return Delta(0, symbol, MARKET_MS, MARKET_MS + 12, None, None, levels(bids), levels(asks), last, last, last - 1)


def top(bid: str, bid_quantity: str, ask: str, ask_quantity: str, update_id: int, symbol: str = PERPETUAL) -> Top:
    numbers = (Decimal(bid), Decimal(bid_quantity), Decimal(ask), Decimal(ask_quantity))
    return Top(0, symbol, MARKET_MS, MARKET_MS + 12, None, None, *numbers, update_id)


def trade(price: str, quantity: str, buyer_is_maker: bool, trade_id: int, symbol: str = PERPETUAL) -> MarketTrade:
    price_, quantity_ = Decimal(price), Decimal(quantity)
    return MarketTrade(0, symbol, MARKET_MS, MARKET_MS + 12, None, None, price_, quantity_, buyer_is_maker, trade_id)


def mark_tick(ms: int = MARKET_MS, symbol: str = PERPETUAL) -> MarkTick:
    return MarkTick(0, symbol, ms, ms, None, None)


def sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Socket:
    """One WebSocket; what comes between a request and its answer is kept in `notes`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, key: ApiKey) -> None:
        self.ws = ws
        self.key = key
        self.notes: list[Any] = []
        self.last_id = 0

    async def call(self, method: str, **params: Any) -> Any:
        """The whole answer."""
        self.last_id += 1
        wanted = self.last_id
        await self.ws.send_json({"jsonrpc": "2.0", "id": wanted, "method": method, "params": params})
        return await self.answer_to(wanted)

    async def answer_to(self, wanted: Any) -> Any:
        while True:
            message = await self.receive()
            if message.get("id") == wanted:
                return message
            self.notes.append(message)

    async def ask(self, method: str, **params: Any) -> Any:
        """The result; an error fails the test."""
        answer = await self.call(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    async def refused(self, method: str, **params: Any) -> int:
        """The code of the error."""
        answer = await self.call(method, **params)
        assert "result" not in answer, answer
        return int(answer["error"]["code"])

    async def receive(self) -> Any:
        return orjson.loads(await self.ws.receive_str(timeout=TIMEOUT_S))

    async def note(self, channel: str = "") -> Any:
        """`data` of the next notification of the channel (any one without a name)."""
        while True:
            for index, message in enumerate(self.notes):
                if not channel or message["params"].get("channel") == channel:
                    return self.notes.pop(index)["params"]["data"]
            self.notes.append(await self.receive())

    async def settled(self) -> None:
        """Until the server has read everything sent so far."""
        await self.ask("public/test")

    async def ended(self) -> int | None:
        """Until the server has ended the connection; its close code."""
        while True:
            message = await self.ws.receive(timeout=TIMEOUT_S)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return self.ws.close_code

    async def log_in(self, **more: Any) -> Any:
        credentials = {"client_id": self.key.key, "client_secret": self.key.secret}
        return await self.ask("public/auth", grant_type="client_credentials", **(credentials | more))

    async def buy(self, amount: float, price: float | None = None, **more: Any) -> Any:
        return await self.ask("private/buy", **order(amount, price, **more))

    async def sell(self, amount: float, price: float | None = None, **more: Any) -> Any:
        return await self.ask("private/sell", **order(amount, price, **more))


def order(amount: float, price: float | None = None, **more: Any) -> dict[str, Any]:
    """Parameters of a limit order, or of a market order without a price."""
    params: dict[str, Any] = {"instrument_name": PERPETUAL, "amount": amount}
    params |= {"type": "market"} if price is None else {"type": "limit", "price": price}
    return params | more


class Place:
    """A running server and what a test does with it."""

    def __init__(self, server: SimulatorServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.key = server.options.api_keys[0]
        self._now_ms = time.time_ns() // 1_000_000
        self._sockets: list[Socket] = []

    async def connect(self, key: ApiKey | None = None) -> Socket:
        """A socket that stays open as long as the place, whether the test keeps it or not."""
        ws = await self.session.ws_connect(self.server.stream_url + "/ws/api/v2")
        self._sockets.append(Socket(ws, key or self.key))
        return self._sockets[-1]

    async def close(self) -> None:
        for socket in self._sockets:
            await socket.ws.close()

    async def user(self, *channels: str, key: ApiKey | None = None) -> Socket:
        """A socket that has logged in and listens to these channels."""
        socket = await self.connect(key)
        await socket.log_in()
        if channels:
            assert sorted(await socket.ask("private/subscribe", channels=list(channels))) == sorted(channels)
        return socket

    async def get(self, method: str, headers: dict[str, str] | None = None, query: str = "") -> tuple[int, Any]:
        url = f"{self.server.rest_url}/api/v2/{method}{query}"
        async with self.session.get(url, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    async def post(self, body: Any, path: str = "/api/v2", headers: dict[str, str] | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(self.server.rest_url + path, data=data, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    async def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        async with self.session.request(method, self.server.rest_url + path, json=body) as response:
            return response.status, orjson.loads(await response.read())

    async def fault(self, **description: Any) -> None:
        status, answer = await self.admin("POST", "/admin/fault", description)
        assert status == 200, answer

    async def truth(self) -> Any:
        status, answer = await self.admin("GET", "/admin/truth")
        assert status == 200
        return answer["accounts"][self.key.account]

    def stop_clock(self) -> None:
        """The venue's clock stands still until `pass_time`."""
        self.server.venue.clock_ms = lambda: self._now_ms

    def pass_time(self, milliseconds: int) -> None:
        """Let the clock jump, and the timer see it."""
        self._now_ms += milliseconds
        self.server.on_timer()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Until `condition()` holds, within a bound."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def venue(symbols: tuple[str, ...] = (PERPETUAL, LINEAR), **options: Any) -> AsyncIterator[Place]:
    """A server over a market that stands still. Limits are off and numbers plain unless asked for."""
    quiet: dict[str, Any] = {"enforce_limits": False, "numbers": "plain", "funding": False, "idle_limit_s": 1e9}
    settings = SimulatorOptions(**(quiet | options))
    listings = [listing_for(name, Decimal(settings.maker_fee), Decimal(settings.taker_fee)) for name in symbols]
    server = SimulatorServer(settings, ScriptedFlow(symbols), listings)
    await server.start()
    async with aiohttp.ClientSession() as session:
        place = Place(server, session)
        try:
            yield place
        finally:
            await server.close()
            await place.close()
