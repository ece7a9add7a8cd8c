"""ccxt, a client that knows nothing of us, trades on the GRVT simulator as it would on the venue.

It is used as it is installed: only its URLs are pointed at the simulator, all of them, so that nothing can leave
loopback. It logs in with its wallet, signs each order itself (for the live chain, which is the simulator's too) and
keeps its public and private socket apart by their paths. What it understands is compared with the simulator's truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from exchanges.grvt.simulator import DEMO_KEY, ApiKey, SimulatorOptions, SimulatorServer, serve

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed (make conformance installs it)")
grvt = pytest.importorskip("ccxt.pro", reason="this ccxt has no WebSocket part").grvt

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
PATIENCE_S = 10.0


def client_of(server: SimulatorServer, key: ApiKey = DEMO_KEY) -> Any:
    client = grvt({"privateKey": key.secret, "enableRateLimit": False, "options": {"builderFee": False}})
    rest, stream = server.rest_url + "/", server.stream_url
    client.urls["api"] = {
        "privateEdge": rest, "privateTrading": rest, "publicMarket": rest,
        "ws": {"publicMarket": f"{stream}/market/ws/full", "privateTrading": f"{stream}/trades/ws/full"},
    }  # fmt: skip
    return client


@pytest_asyncio.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    options = SimulatorOptions(symbols=("BTC_USDT_Perp", "ETH_USDT_Perp"), seed=5, speed=5)
    async with await serve(options) as running:
        yield running


@pytest_asyncio.fixture
async def client(server: SimulatorServer) -> AsyncIterator[Any]:
    exchange = client_of(server)
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def until(ask: Callable[[], Awaitable[Any]], right: Callable[[Any], Any]) -> Any:
    """The first answer that is `right`; ccxt gives its whole cache with every change."""

    async def ask_on() -> Any:
        while True:
            answer = await ask()
            if right(answer):
                return answer
            await asyncio.sleep(0.01)

    return await asyncio.wait_for(ask_on(), PATIENCE_S)


async def below(client: Any, symbol: str = BTC, part_of_best: float = 0.98) -> float:
    """A price at which a bid rests."""
    best = (await client.fetch_order_book(symbol, 10))["bids"][0][0]
    return float(client.price_to_precision(symbol, best * part_of_best))


async def test_markets_are_those_of_the_instruments(client: Any) -> None:
    assert set(client.symbols) == {BTC, ETH}
    market = client.market(BTC)
    assert (market["id"], market["swap"], market["linear"]) == ("BTC_USDT_Perp", True, True)
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)


async def test_books_and_trades_are_watched(client: Any) -> None:
    for _ in range(5):
        book = await asyncio.wait_for(client.watch_order_book(BTC), PATIENCE_S)
        assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) > 5
    trades = await asyncio.wait_for(client.watch_trades(BTC), PATIENCE_S)
    assert all(trade["side"] in ("buy", "sell") and trade["price"] > 0 for trade in trades)
    assert (await client.fetch_ticker(ETH))["last"] > 0
    assert len(await client.fetch_trades(BTC)) > 0


async def test_the_ticker_is_watched(client: Any) -> None:
    """By a client that watches no book: ccxt tells a ticker's selector from a book's by nothing."""
    ticker = await asyncio.wait_for(client.watch_ticker(BTC), PATIENCE_S)
    assert ticker["bid"] < ticker["ask"]


async def test_an_order_is_signed_placed_found_and_canceled(server: SimulatorServer, client: Any) -> None:
    price = await below(client)
    made = await client.create_order(BTC, "limit", "buy", 0.013, price, {"clientOrderId": "9223372036854775901"})
    assert made["clientOrderId"] == "9223372036854775901"
    (resting,) = await until(lambda: client.fetch_open_orders(BTC), len)
    assert (resting["price"], resting["amount"], resting["status"]) == (price, 0.013, "open")
    assert (await client.fetch_order(resting["id"], BTC))["clientOrderId"] == "9223372036854775901"
    await client.cancel_order(resting["id"], BTC)
    assert await until(lambda: client.fetch_open_orders(BTC), lambda orders: not orders) == []
    (order,) = server.truth()["accounts"][DEMO_KEY.account]["orders"]
    assert (order["order_id"], order["state"], order["filled"]) == (resting["id"], "CANCELED", "0")


async def test_a_fill_moves_position_and_balance_as_the_venue_books_them(server: SimulatorServer, client: Any) -> None:
    await client.create_order(BTC, "market", "buy", 0.05)
    (position,) = await until(lambda: client.fetch_positions([BTC]), len)
    account = server.exchange.accounts[DEMO_KEY.account]
    held = account.position("BTC_USDT_Perp")
    assert (position["contracts"], position["side"]) == (0.05, "long")
    assert position["entryPrice"] == pytest.approx(float(held.entry_price))
    mine = await client.fetch_my_trades(BTC)
    assert sum(trade["amount"] for trade in mine) == pytest.approx(0.05)
    assert sum(trade["fee"]["cost"] for trade in mine) == pytest.approx(float(account.fees))
    balance = await client.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(float(account.wallet), abs=1e-6)


async def test_private_streams_tell_orders_and_fills(client: Any) -> None:
    await client.fetch_balance()  # logs in
    orders = asyncio.create_task(client.watch_orders(BTC))
    fills = asyncio.create_task(client.watch_my_trades(BTC))
    async with asyncio.timeout(PATIENCE_S):
        while not any("/trades/" in url and link.subscriptions for url, link in client.clients.items()):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        await client.create_order(BTC, "market", "buy", 0.01)
        assert (await orders)[-1]["symbol"] == BTC
        assert (await fills)[-1]["amount"] == 0.01


@pytest.mark.parametrize(
    ("symbol", "amount", "part_of_best", "code"),
    [(BTC, 0.001, 0.98, 2066), (ETH, 900.0, 0.98, 2080), (BTC, 0.01, 1.5, 7201)],
    ids=["notional too small", "margin missing", "price above the band"],
)
async def test_refusals_carry_the_venues_code(
    client: Any, symbol: str, amount: float, part_of_best: float, code: int
) -> None:
    price = await below(client, symbol, part_of_best)
    with pytest.raises(ccxt.ExchangeError, match=f'"code":{code},'):
        await client.create_order(symbol, "limit", "buy", amount, price)
    assert await client.fetch_open_orders(symbol) == []


async def test_a_wallet_that_the_venue_does_not_know_is_refused(server: SimulatorServer) -> None:
    client = client_of(server, ApiKey("none", "0x" + "33" * 32))
    try:
        with pytest.raises(ccxt.ExchangeError):
            await client.fetch_balance()
    finally:
        await client.close()
