"""ccxt, a client that knows nothing of us, trades on the Deribit simulator as it would on the venue.

It is used as it is installed: only its URLs are pointed at the simulator, all of them, so that nothing can leave
loopback. What it understands of our answers is compared with the simulator's own truth, not with what it sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from exchanges.deribit.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer, serve

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed (make conformance installs it)")
deribit = pytest.importorskip("ccxt.pro", reason="this ccxt has no WebSocket part").deribit

INVERSE, LINEAR = "BTC/USD:BTC", "BTC/USDC:USDC"
PATIENCE_S = 10.0


@pytest_asyncio.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    async with await serve(SimulatorOptions(chain=True, seed=5, speed=2)) as running:
        yield running


@pytest_asyncio.fixture
async def client(server: SimulatorServer) -> AsyncIterator[Any]:
    exchange = deribit({"apiKey": DEMO_KEY.key, "secret": DEMO_KEY.secret, "enableRateLimit": False})
    exchange.urls["api"] = {"rest": server.rest_url, "ws": server.stream_url + "/ws/api/v2"}
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


def watched(balance: Any) -> float:
    """ccxt keeps a whole balance of its own for each currency it watches."""
    return float(balance.get("BTC", {"BTC": {"total": 10}})["BTC"]["total"])


async def below(client: Any, symbol: str = INVERSE) -> float:
    """A price at which a bid rests; 2 % under the best one is inside the venue's price band."""
    best = (await client.fetch_order_book(symbol, 5))["bids"][0][0]
    return float(client.price_to_precision(symbol, best * 0.98))


async def test_markets_are_those_of_the_instruments(server: SimulatorServer, client: Any) -> None:
    assert {market["id"] for market in client.markets.values()} == set(server.venue.markets)
    inverse, linear = client.market(INVERSE), client.market(LINEAR)
    assert (inverse["id"], inverse["swap"], inverse["inverse"], inverse["contractSize"]) == (
        "BTC-PERPETUAL",
        True,
        True,
        10.0,
    )
    assert (linear["id"], linear["linear"], linear["settle"]) == ("BTC_USDC-PERPETUAL", True, "USDC")
    assert (inverse["precision"]["price"], inverse["taker"]) == (0.5, 0.0005)
    options = [market for market in client.markets.values() if market["option"]]
    assert len(options) == 40
    assert {market["optionType"] for market in options} == {"call", "put"}
    assert all(market["strike"] > 0 and market["expiry"] for market in options)
    futures = [market for market in client.markets.values() if market["future"]]
    assert len(futures) == 4 and all(market["expiry"] for market in futures)


async def test_the_ticker_and_the_book_of_rest_agree(client: Any) -> None:
    ticker = await client.fetch_ticker(INVERSE)
    assert ticker["bid"] < ticker["ask"]
    book = await client.fetch_order_book(INVERSE, 20)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert abs((await client.fetch_time()) - client.milliseconds()) < 5000


async def test_greeks_of_an_option_are_read(client: Any) -> None:
    symbol = next(name for name, market in client.markets.items() if market["optionType"] == "call")
    greeks = await client.fetch_greeks(symbol)
    assert 0 < greeks["delta"] < 1 and greeks["vega"] > 0 and greeks["theta"] < 0
    assert greeks["underlyingPrice"] > 0 and 0.1 < greeks["markImpliedVolatility"] / 100 < 2


async def test_the_order_book_is_kept_without_a_gap(client: Any) -> None:
    nonces = []
    for _ in range(15):
        book = await asyncio.wait_for(client.watch_order_book(INVERSE), PATIENCE_S)
        assert book["bids"][0][0] < book["asks"][0][0]
        nonces.append(book["nonce"])
    assert nonces == sorted(set(nonces))
    assert len(book["bids"]) > 50 and len(book["asks"]) > 50


async def test_tickers_quotes_and_trades_are_watched(client: Any) -> None:
    ticker = await asyncio.wait_for(client.watch_ticker(INVERSE), PATIENCE_S)
    assert ticker["bid"] < ticker["ask"] and ticker["markPrice"] > 0
    quotes = await asyncio.wait_for(client.watch_bids_asks([INVERSE]), PATIENCE_S)
    assert quotes[INVERSE]["bid"] < quotes[INVERSE]["ask"]
    trades = await asyncio.wait_for(client.watch_trades(INVERSE), PATIENCE_S)
    assert trades and all(trade["side"] in ("buy", "sell") and trade["amount"] > 0 for trade in trades)


async def test_an_order_is_placed_edited_and_canceled_and_each_step_is_watched(
    server: SimulatorServer, client: Any
) -> None:
    price = await below(client)
    watching = asyncio.create_task(client.watch_orders(INVERSE))
    await until(lambda: asyncio.sleep(0.005), lambda _: server.hub.feeds)
    placed = await client.create_order(INVERSE, "limit", "buy", 100, price)
    assert (placed["status"], placed["filled"], placed["amount"]) == ("open", 0, 100)

    lower = float(client.price_to_precision(INVERSE, price - 10))
    edited = await client.edit_order(placed["id"], INVERSE, "limit", "buy", 200, lower)
    assert (edited["id"], edited["price"], edited["amount"]) == (placed["id"], lower, 200)
    seen = await asyncio.wait_for(watching, PATIENCE_S)
    assert seen[-1]["id"] == placed["id"]

    (resting,) = await client.fetch_open_orders(INVERSE)
    assert (resting["id"], resting["price"], resting["amount"]) == (placed["id"], lower, 200)
    canceled = await client.cancel_order(placed["id"], INVERSE)
    assert canceled["status"] == "canceled"
    await until(lambda: client.watch_orders(INVERSE), lambda orders: orders[-1]["status"] == "canceled")
    assert await client.fetch_open_orders(INVERSE) == []
    assert (await client.fetch_order(placed["id"], INVERSE))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order("12345678901", INVERSE)


async def test_a_fill_moves_position_and_balance_as_the_venue_books_them(server: SimulatorServer, client: Any) -> None:
    await client.authenticate()
    fills = asyncio.create_task(client.watch_my_trades(INVERSE))
    balance = asyncio.create_task(until(client.watch_balance, lambda seen: watched(seen) < 10))
    await until(lambda: asyncio.sleep(0.01), lambda _: len(server.hub.feeds) >= 2)
    order = await client.create_order(INVERSE, "market", "buy", 500)
    assert (order["status"], order["filled"]) == ("closed", 500)
    account = server.exchange.accounts["demo:BTC"]
    assert (await asyncio.wait_for(fills, PATIENCE_S))[-1]["order"] == order["id"]
    assert watched(await balance) == pytest.approx(10, rel=1e-3)
    whole = await client.fetch_balance()
    position = account.position("BTC-PERPETUAL")
    # ccxt's total is the equity, which moves with the mark; the cash beside it does not.
    (cash,) = [row["balance"] for row in whole["info"]["summaries"] if row["currency"] == "BTC"]
    assert Decimal(str(cash)) == account.initial_wallet - account.fees
    assert whole["BTC"]["total"] == pytest.approx(10, rel=1e-3)
    assert (whole["ETH"]["total"], whole["USDC"]["total"]) == (100, 100_000)
    (held,) = await client.fetch_positions([INVERSE])
    assert (held["side"], held["contractSize"], held["notional"]) == (
        "long",
        10.0,
        pytest.approx(500 / 61000, rel=0.05),
    )
    assert held["entryPrice"] == pytest.approx(float(position.entry_price))
    mine = await client.fetch_my_trades(INVERSE)
    assert sum(trade["amount"] for trade in mine) == 500
    assert sum(Decimal(str(trade["fee"]["cost"])) for trade in mine) == account.fees
    assert all(trade["takerOrMaker"] == "taker" and trade["fee"]["currency"] == "BTC" for trade in mine)


async def test_a_linear_order_is_refused_by_its_number(client: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order(LINEAR, "market", "buy", 400)
    price = await below(client, LINEAR)
    placed = await client.create_order(LINEAR, "limit", "buy", 0.01, price, {"postOnly": True})
    assert placed["id"].startswith("USDC-") and placed["postOnly"]
    assert (await client.cancel_all_orders(LINEAR)) is not None
    assert await client.fetch_open_orders(LINEAR) == []


async def test_a_wrong_secret_is_understood(server: SimulatorServer) -> None:
    stranger = deribit({"apiKey": DEMO_KEY.key, "secret": "not the secret", "enableRateLimit": False})
    stranger.urls["api"] = {"rest": server.rest_url, "ws": server.stream_url + "/ws/api/v2"}
    try:
        with pytest.raises(ccxt.AuthenticationError):
            await stranger.fetch_balance({"code": "BTC"})
    finally:
        await stranger.close()
