"""A client of the simulator for tests: it speaks the protocol with aiohttp and nothing of ours but the signing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from exchanges.grvt.auth import RequestSigner, asset_word
from exchanges.grvt.simulator import DEMO_KEY, ApiKey, SimulatorOptions, SimulatorServer, serve
from exchanges.grvt.simulator_instruments import base_decimals, instrument_hash
from exchanges.grvt.typed_data import PRICE_SCALE, TIME_IN_FORCE_CODES, cut

BTC = "BTC_USDT_Perp"
SUB = DEMO_KEY.account
OTHER_KEY = ApiKey("corelane-grvt-other", "0x" + "22" * 32, "7")
_ids = itertools.count(1 << 63)
_nonces = itertools.count(1)


def next_id() -> str:
    return str(next(_ids))


@contextlib.asynccontextmanager
async def venue(**options: Any) -> AsyncIterator[SimulatorServer]:
    """A simulator whose market stands still unless a test lets it go."""
    server = await serve(SimulatorOptions(**{"api_keys": (DEMO_KEY, OTHER_KEY), **options}))
    try:
        yield server
    finally:
        await server.close()


def order(
    side: str = "buy", size: str = "0.01", price: str | None = "60000.0", *, key: ApiKey = DEMO_KEY, symbol: str = BTC,
    client_order_id: str | None = None, expires_s: float = 3600.0, signed: dict[str, Any] | None = None, **terms: Any,
) -> dict[str, Any]:  # fmt: skip
    """A create with a good signature; `signed` replaces what is signed, so that it does not fit."""
    market = terms.get("is_market", False)
    made = {
        "sub_account_id": key.account, "is_market": market, "time_in_force": "GOOD_TILL_TIME", "post_only": False,
        "reduce_only": False,
        "legs": [{"instrument": symbol, "size": size, "limit_price": price, "is_buying_asset": side == "buy"}],
        "metadata": {"client_order_id": next_id() if client_order_id is None else client_order_id},
        **terms,
    }  # fmt: skip
    nonce, expiration = next(_nonces), time.time_ns() + int(expires_s * 1e9)
    chain = int(terms.get("chain_id", 325))
    signer = RequestSigner(SimpleNamespace(api_key="", secret=key.secret), chain, int(key.account))
    covered = {"size": size, "price": price or "0", **(signed or {})}
    r, s, v = signer.sign_order(
        asset_word(instrument_hash(symbol)), cut(covered["size"], base_decimals(symbol)),
        cut(covered["price"], PRICE_SCALE), side == "buy", market=market,
        time_in_force=TIME_IN_FORCE_CODES.get(made["time_in_force"], 0), post_only=made["post_only"],
        reduce_only=made["reduce_only"], nonce=nonce, expiration_ns=expiration,
    )  # fmt: skip
    made.pop("chain_id", None)
    made["signature"] = {
        "signer": signer.address, "r": r, "s": s, "v": v, "expiration": str(expiration), "nonce": nonce,
        "chain_id": str(chain),
    }  # fmt: skip
    return made


class Client:
    """Logged in with one key; REST answers as (status, body)."""

    def __init__(self, server: SimulatorServer, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session
        self.headers: dict[str, str] = {}

    async def login(self, key: ApiKey = DEMO_KEY) -> None:
        async with self.session.post(f"{self.server.rest_url}/auth/api_key/login", json={"api_key": key.key}) as reply:
            self.headers = {
                "Cookie": f"gravity={reply.cookies['gravity'].value}",
                "X-Grvt-Account-Id": reply.headers["X-Grvt-Account-Id"],
            }

    async def post(self, route: str, **body: Any) -> tuple[int, Any]:
        async with self.session.post(
            f"{self.server.rest_url}/full/{route}", data=orjson.dumps(body),
            headers={**self.headers, "Content-Type": "application/json"},
        ) as reply:  # fmt: skip
            return reply.status, orjson.loads(await reply.read())

    async def create(self, **terms: Any) -> dict[str, Any]:
        """The PENDING order."""
        status, body = await self.post("v1/create_order", order=order(**terms))
        assert status == 200, body
        return body["result"]

    async def open_orders(self) -> list[dict[str, Any]]:
        return (await self.post("v1/open_orders", sub_account_id=SUB))[1]["result"]

    @contextlib.asynccontextmanager
    async def socket(self, path: str = "/ws/full") -> AsyncIterator[Socket]:
        async with self.session.ws_connect(f"{self.server.stream_url}{path}", headers=self.headers) as socket:
            yield Socket(socket)


class Socket:
    """Replies by id, frames in the order in which they came."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self._id = 0

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=60)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return orjson.loads(message.data)

    async def call(self, method: str, **body: Any) -> dict[str, Any]:
        self._id += 1
        await self.socket.send_str(
            orjson.dumps({"jsonrpc": "2.0", "method": method, "params": body, "id": self._id}).decode()
        )
        while True:
            message = await self.receive()
            if message.get("id") == self._id:
                return message
            self.frames.append(message)

    async def subscribe(self, stream: str, *selectors: str) -> dict[str, Any]:
        reply = await self.call("subscribe", stream=stream, selectors=list(selectors))
        assert "result" in reply, reply
        return reply["result"]

    async def next(self, stream: str) -> dict[str, Any]:
        """The next frame of this stream; what comes before is kept in `frames`."""
        for index, frame in enumerate(self.frames):
            if frame.get("stream") == stream:
                return self.frames.pop(index)
        while True:
            frame = await self.receive()
            if frame.get("stream") == stream:
                return frame
            self.frames.append(frame)

    async def order_until(self, *statuses: str) -> dict[str, Any]:
        """v1.order frames until one of these states."""
        while True:
            feed = (await self.next("v1.order"))["feed"]
            if feed["state"]["status"] in statuses:
                return feed


@contextlib.asynccontextmanager
async def logged_in(**options: Any) -> AsyncIterator[Client]:
    async with venue(**options) as server, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        client = Client(server, session)
        await client.login()
        yield client


async def until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
