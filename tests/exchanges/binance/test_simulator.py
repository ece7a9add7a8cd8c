"""Setting up and ending the Binance simulator: options, ports, recordings, generated runs."""

from __future__ import annotations

import asyncio
import gzip
import math
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exchanges.binance.simulator import DEMO_KEY, SimulatorError, SimulatorOptions, serve
from tests.exchanges.binance.simulator_client import Client, receive, until


@pytest.mark.parametrize(
    "options",
    [
        {"host": "0.0.0.0"},
        {"host": "example.org"},
        {"port": 70000},
        {"speed": 0},
        {"speed": math.nan},
        {"wallet_balance": "much"},
        {"maker_fee": "NaN"},
        {"symbols": ("btcusdt",)},
        {"symbols": ("BTCUSD",)},
        {"speed": math.inf},
        {"recordings": ("/nowhere/at/all.gz",)},
    ],
)
async def test_a_wrong_option_is_one_sentence_before_anything_listens(options: dict[str, Any]) -> None:
    with pytest.raises(SimulatorError) as error:
        await serve(SimulatorOptions(**options))
    assert "\n" not in str(error.value)


async def test_a_busy_port_is_one_sentence_naming_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SimulatorError, match=f"simulator port 127.0.0.1:{port} is busy"):
            await serve(SimulatorOptions(port=port))


async def test_two_recordings_of_one_symbol_are_refused(tmp_path: Path) -> None:
    frame = '{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}}'
    reply = '{"lastUpdateId":1,"bids":[["1","1"]],"asks":[["2","1"]]}'
    paths = []
    for name in ("a", "b"):
        paths.append(str(tmp_path / name))
        Path(paths[-1]).write_bytes(gzip.compress(f"1 {frame}\n2 {reply}\n".encode()))
    with pytest.raises(SimulatorError, match="BTCUSDT is recorded in more than one file"):
        await serve(SimulatorOptions(recordings=tuple(paths)))


async def test_a_generated_market_serves_all_streams_of_all_symbols_and_fits_its_snapshot() -> None:
    options = SimulatorOptions(symbols=("BTCUSDT", "ETHUSDT"), seed=5, speed=20)
    async with await serve(options) as server, aiohttp.ClientSession() as session:
        client = Client(session, server, DEMO_KEY)
        names = "/".join(
            f"{symbol}@{kind}"
            for symbol in ("btcusdt", "ethusdt")
            for kind in ("depth@100ms", "bookTicker", "trade", "aggTrade", "markPrice@1s")
        )
        stream = await client.connect(f"/stream?streams={names}")
        seen: set[str] = set()
        while len(seen) < 10:
            seen.add((await receive(stream))["stream"])
        await stream.close()  # a scaled market waits for readers that do not read
        await check_book_rules(client, "btcusdt", 30)


async def check_book_rules(client: Client, symbol: str, count: int) -> None:
    """Snapshot after some deltas; the first applied one spans its id, the rest chain."""
    stream = await client.connect(f"/public/ws/{symbol}@depth@100ms")
    buffered = [await receive(stream) for _ in range(3)]
    _, snapshot = await client.call("GET", "/fapi/v1/depth", signed=False, symbol=symbol.upper(), limit=1000)
    last, applied = snapshot["lastUpdateId"], 0
    while applied < count:
        event = buffered.pop(0) if buffered else await receive(stream)
        if not applied and event["u"] < last:
            continue
        assert (event["U"] <= last <= event["u"]) if not applied else (event["pu"] == last)
        last, applied = event["u"], applied + 1


async def test_the_same_seed_serves_the_same_market() -> None:
    async def first_tops(seed: int) -> list[tuple[str, ...]]:
        async with await serve(SimulatorOptions(seed=seed, speed=50)) as server:
            rows: list[tuple[str, ...]] = []
            flow = server.players[0].flow
            server.players[0].freeze()
            while len(rows) < 50:
                event = flow.pop()
                rows.append((type(event).__name__, *(str(getattr(event, name, "")) for name in ("bid", "price"))))
            return rows

    assert len({tuple(await first_tops(seed)) for seed in (1, 2)}) == 2


async def test_closing_frees_the_port_and_cuts_the_clients() -> None:
    server = await serve(SimulatorOptions())
    async with aiohttp.ClientSession() as session:
        stream = await session.ws_connect(server.stream_url + "/public/ws")
        await server.close()
        message = await stream.receive(5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    again = await serve(SimulatorOptions(port=server.port))
    await again.close()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not names & {"market flow", "simulator timer", "stream sender", "stream keeper"}


async def test_orders_fill_against_a_generated_market_and_the_books_add_up() -> None:
    async with await serve(SimulatorOptions(seed=3, speed=20)) as server, aiohttp.ClientSession() as session:
        client = Client(session, server, DEMO_KEY)
        for _ in range(8):
            _, book = await client.call("GET", "/fapi/v1/ticker/bookTicker", signed=False, symbol="BTCUSDT")
            await client.order("BUY", "0.010", book["bidPrice"])
            await client.order("SELL", "0.010", book["askPrice"])
        await until(lambda: any(trade.maker for trade in server.exchange.accounts["demo"].trades))
        server.freeze()
        account = server.exchange.accounts["demo"]
        signed = sum(trade.quantity if trade.is_buy else -trade.quantity for trade in account.trades)
        assert account.position("BTCUSDT").quantity == signed
        assert account.wallet == account.initial_wallet + account.realized - account.fees
