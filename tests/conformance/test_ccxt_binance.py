"""ccxt, a client that knows nothing of us, trades on the Binance simulator as it would on the venue.

It is used as it is installed: only its URLs are pointed at the simulator, all of them, so that nothing can leave
loopback. What it understands of our answers is compared with the simulator's own truth, not with what it sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from exchanges.binance.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer, serve

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed (make conformance installs it)")
binanceusdm = pytest.importorskip("ccxt.pro", reason="this ccxt has no WebSocket part").binanceusdm

PERPETUAL, OTHER = "BTC/USDT:USDT", "ETH/USDT:USDT"
PATIENCE_S = 10.0


def on_loopback(urls: dict[str, Any], port: int) -> dict[str, Any]:
    """The same tree of URLs with every one of them, used or not, at the simulator."""
    moved: dict[str, Any] = {}
    for name, url in urls.items():
        if isinstance(url, dict):
            moved[name] = on_loopback(url, port)
        else:
            scheme = "ws" if url.startswith("ws") else "http"
            moved[name] = f"{scheme}://127.0.0.1:{port}{urlsplit(url).path}"
    return moved


def leaves(urls: dict[str, Any]) -> list[str]:
    return [leaf for url in urls.values() for leaf in (leaves(url) if isinstance(url, dict) else [url])]


def client_of(server: SimulatorServer, **options: Any) -> Any:
    client = binanceusdm({"apiKey": DEMO_KEY.key, "secret": DEMO_KEY.secret, "enableRateLimit": False})
    client.options |= {"fetchCurrencies": False} | options
    client.urls["api"] = on_loopback(client.urls["api"], server.port)
    assert {urlsplit(url).hostname for url in leaves(client.urls["api"])} == {"127.0.0.1"}
    return client


@pytest_asyncio.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    async with await serve(SimulatorOptions(symbols=("BTCUSDT", "ETHUSDT"), seed=5, speed=10)) as running:
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

    return await asyncio.wait_for(ask_on(), PATIENCE_S)


async def below(client: Any, symbol: str = PERPETUAL, part_of_best: float = 0.98) -> float:
    """A price at which a bid rests; 2 % under the best one is inside the venue's price band."""
    best = (await client.fetch_order_book(symbol, 5))["bids"][0][0]
    return float(client.price_to_precision(symbol, best * part_of_best))


async def private_stream(client: Any) -> None:
    """Until the private socket is open: what happens before, nobody is told."""
    async with asyncio.timeout(PATIENCE_S):
        while not any(url.find("/private/") > 0 and ws.connection is not None for url, ws in client.clients.items()):
            await asyncio.sleep(0.005)


def holds(contracts: float) -> Callable[[Any], bool]:
    return lambda positions: bool(positions) and positions[-1]["contracts"] == contracts


async def test_markets_are_those_of_the_instruments(client: Any) -> None:
    assert set(client.symbols) == {PERPETUAL, OTHER}
    market = client.market(PERPETUAL)
    assert (market["id"], market["swap"], market["linear"], market["active"]) == ("BTCUSDT", True, True, True)
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)
    assert market["limits"]["cost"]["min"] == 50.0


async def test_the_order_book_is_kept_without_a_gap(client: Any) -> None:
    # ccxt itself checks each update's ids against the one before and ends the watch at a gap.
    nonces = []
    for _ in range(15):
        book = await asyncio.wait_for(client.watch_order_book(PERPETUAL), PATIENCE_S)
        assert book["bids"][0][0] < book["asks"][0][0]
        nonces.append(book["nonce"])
    assert nonces == sorted(set(nonces))
    assert len(book["bids"]) > 5 and len(book["asks"]) > 5


async def test_public_trades_arrive_with_the_fields_of_the_venue(client: Any) -> None:
    trades = await asyncio.wait_for(client.watch_trades(PERPETUAL), PATIENCE_S)
    assert trades
    for trade in trades:
        assert trade["symbol"] == PERPETUAL
        assert trade["side"] in ("buy", "sell")
        assert trade["price"] > 0
        assert trade["amount"] > 0


async def test_the_ticker_is_watched(client: Any) -> None:
    quotes = await asyncio.wait_for(client.watch_bids_asks([PERPETUAL]), PATIENCE_S)
    assert quotes[PERPETUAL]["bid"] < quotes[PERPETUAL]["ask"]


async def test_an_order_is_placed_edited_and_canceled_and_each_step_is_watched(
    server: SimulatorServer, client: Any
) -> None:
    await client.fetch_balance()
    price = await below(client)
    watching = asyncio.create_task(client.watch_orders(PERPETUAL))
    await private_stream(client)
    placed = await client.create_order(PERPETUAL, "limit", "buy", 0.01, price, {"clientOrderId": "1234567"})
    assert (placed["status"], placed["filled"], placed["clientOrderId"]) == ("open", 0, "1234567")
    seen = await asyncio.wait_for(watching, PATIENCE_S)
    assert (seen[-1]["id"], seen[-1]["status"], seen[-1]["price"]) == (placed["id"], "open", price)

    lower = float(client.price_to_precision(PERPETUAL, price - 10))
    edited = await client.edit_order(placed["id"], PERPETUAL, "limit", "buy", 0.02, lower)
    assert (edited["id"], edited["price"], edited["amount"]) == (placed["id"], lower, 0.02)
    await until(lambda: client.watch_orders(PERPETUAL), lambda orders: orders[-1]["price"] == lower)

    (resting,) = await client.fetch_open_orders(PERPETUAL)
    assert (resting["id"], resting["price"], resting["amount"]) == (placed["id"], lower, 0.02)
    canceled = await client.cancel_order(placed["id"], PERPETUAL)
    assert canceled["status"] == "canceled"
    await until(lambda: client.watch_orders(PERPETUAL), lambda orders: orders[-1]["status"] == "canceled")
    assert await client.fetch_open_orders(PERPETUAL) == []
    assert (await client.fetch_order(placed["id"], PERPETUAL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order(placed["id"], PERPETUAL)


async def test_a_fill_moves_position_and_balance_as_the_venue_books_them(server: SimulatorServer, client: Any) -> None:
    assert await asyncio.wait_for(client.watch_positions([PERPETUAL]), PATIENCE_S) == [], "its snapshot: nothing yet"
    fills = asyncio.create_task(client.watch_my_trades(PERPETUAL))
    positions = asyncio.create_task(until(lambda: client.watch_positions([PERPETUAL]), holds(0.05)))
    wallet = asyncio.create_task(until(client.watch_balance, lambda balance: balance["USDT"]["total"] < 100_000))
    await private_stream(client)
    order = await client.create_order(PERPETUAL, "market", "buy", 0.05)
    order = await client.fetch_order(order["id"], PERPETUAL)
    assert (order["status"], order["filled"]) == ("closed", 0.05)
    account = server.exchange.accounts[DEMO_KEY.account]
    assert (await asyncio.wait_for(fills, PATIENCE_S))[-1]["order"] == order["id"]
    assert (await positions)[-1]["entryPrice"] == float(account.position("BTCUSDT").entry_price)
    assert (await wallet)["USDT"]["total"] < 100_000
    # ccxt's total adds what is not realized, which moves; the venue's own field beside it does not.
    assert float((await client.fetch_balance())["info"]["totalWalletBalance"]) == float(account.wallet)
    (position,) = await client.fetch_positions([PERPETUAL])
    assert (position["contracts"], position["side"]) == (0.05, "long")
    mine = await client.fetch_my_trades(PERPETUAL)
    assert sum(trade["amount"] for trade in mine) == pytest.approx(0.05)
    assert sum(trade["fee"]["cost"] for trade in mine) == pytest.approx(float(account.fees))
    assert all(trade["takerOrMaker"] == "taker" and trade["fee"]["currency"] == "USDT" for trade in mine)
    await client.create_order(PERPETUAL, "market", "sell", 0.05, params={"reduceOnly": True})
    assert not any(position["contracts"] for position in await client.fetch_positions([PERPETUAL]))


async def test_orders_go_over_the_websocket_api_too(client: Any) -> None:
    price = await below(client)
    placed = await asyncio.wait_for(client.create_order_ws(PERPETUAL, "limit", "buy", 0.01, price), PATIENCE_S)
    assert placed["status"] == "open"
    edited = await asyncio.wait_for(
        client.edit_order_ws(placed["id"], PERPETUAL, "limit", "buy", 0.02, price), PATIENCE_S
    )
    assert edited["amount"] == 0.02
    canceled = await asyncio.wait_for(client.cancel_order_ws(placed["id"], PERPETUAL), PATIENCE_S)
    assert canceled["status"] == "canceled"


@pytest.mark.parametrize(
    ("symbol", "amount", "part_of_best", "code"),
    [(PERPETUAL, 0.01, 1.5, -4016), (OTHER, 0.002, 0.98, -4164), (PERPETUAL, 900.0, 0.98, -2019)],
    ids=["price above the band", "notional too small", "margin missing"],
)
async def test_refusals_carry_the_venues_code(
    client: Any, symbol: str, amount: float, part_of_best: float, code: int
) -> None:
    price = await below(client, symbol, part_of_best)
    # ccxt chooses its own class of error by the venue's host name, so on loopback only the code can be compared.
    with pytest.raises(ccxt.ExchangeError, match=f'"code":{code},'):
        await client.create_order(symbol, "limit", "buy", amount, price)
    assert await client.fetch_open_orders(symbol) == []


async def test_a_wrong_secret_is_an_authentication_error(server: SimulatorServer) -> None:
    client = client_of(server)
    client.secret = "not the secret"
    try:
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_balance()
    finally:
        await client.close()
