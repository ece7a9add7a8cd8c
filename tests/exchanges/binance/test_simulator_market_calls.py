"""Public calls of the Binance simulator, and that its snapshot fits its stream."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from tests.exchanges.binance.simulator_client import MARKET_MS, delta, mark_tick, stop_clock, top, trade, venue


async def test_time_ping_and_exchange_info_are_public() -> None:
    async with venue(symbols=("BTCUSDT", "ETHUSDT")) as (_, client):
        assert await client.call("GET", "/fapi/v1/ping", signed=False) == (200, {})
        _, reply = await client.call("GET", "/fapi/v1/time", signed=False)
        assert abs(reply["serverTime"] - time.time() * 1000) < 5000
        _, info = await client.call("GET", "/fapi/v1/exchangeInfo", signed=False)
        assert [symbol["symbol"] for symbol in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        assert [limit["limit"] for limit in info["rateLimits"]] == [2400, 1200, 300]
        filters = {entry["filterType"]: entry for entry in info["symbols"][0]["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
        assert filters["LOT_SIZE"]["stepSize"] == "0.001"
        assert filters["MIN_NOTIONAL"]["notional"] == "50"
        assert filters["PERCENT_PRICE"]["multiplierUp"] == "1.0500"


@pytest.mark.parametrize(("limit", "weight"), [(5, 2), (50, 2), (100, 5), (500, 10), (1000, 20), (None, 10)])
async def test_depth_costs_by_its_limit_and_descends_on_the_bid_side(limit: int | None, weight: int) -> None:
    async with venue() as (_, client):
        parameters = {} if limit is None else {"limit": limit}
        status, reply = await client.call("GET", "/fapi/v1/depth", signed=False, symbol="BTCUSDT", **parameters)
        assert status == 200
        assert client.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
        assert [level[0] for level in reply["bids"]] == ["61800.00", "61799.90", "61799.80"]
        assert [level[0] for level in reply["asks"]] == ["61800.10", "61800.20", "61800.30"]
        assert reply["bids"][0][1] == "2.000"


@pytest.mark.parametrize("limit", ["7", "0", "-5", "many", "99999999"])
async def test_another_depth_limit_is_refused(limit: str) -> None:
    async with venue() as (_, client):
        status, reply = await client.call("GET", "/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=limit)
        assert (status, reply) == (400, {"code": -4021, "msg": f"'{limit}' is not valid depth limit."})


async def test_the_snapshot_carries_an_id_inside_the_delta_that_comes_next() -> None:
    async with venue() as (server, client):
        flow = server.venue.markets["BTCUSDT"].flow
        server.deliver(delta([("61799.70", "1")], [], 1500, 2100, 1000))
        for coming, expected in ((2222, 2222), (None, 2100)):
            flow.coming = coming  # type: ignore[attr-defined]
            _, reply = await client.call("GET", "/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=5)
            assert reply["lastUpdateId"] == expected
            assert reply["bids"][-1] == ["61799.70", "1.000"]


async def test_tickers_and_premium_follow_the_market() -> None:
    async with venue() as (server, client):
        server.deliver(top("61799.00", "1", "61801.00", "2.5", 2000))
        server.deliver(trade("61801.00", "0.5", False, trade_id=9))
        server.deliver(mark_tick(MARKET_MS + 1000))
        _, ticker = await client.call("GET", "/fapi/v1/ticker/bookTicker", signed=False, symbol="BTCUSDT")
        assert (ticker["bidPrice"], ticker["askQty"], ticker["lastUpdateId"]) == ("61799.00", "2.500", 2000)
        _, (price,) = await client.call("GET", "/fapi/v2/ticker/price", signed=False)
        assert price["price"] == "61801.00"
        _, premium = await client.call("GET", "/fapi/v1/premiumIndex", signed=False, symbol="BTCUSDT")
        assert (premium["markPrice"], premium["time"]) == ("61800.00000000", MARKET_MS + 1000)
        _, (row,) = await client.call("GET", "/fapi/v1/trades", signed=False, symbol="BTCUSDT")
        assert (row["id"], row["price"], row["isBuyerMaker"]) == (9, "61801.00", False)


@pytest.mark.parametrize("path", ["depth", "trades", "ticker/bookTicker", "premiumIndex"])
async def test_an_unknown_symbol_is_refused(path: str) -> None:
    async with venue() as (_, client):
        status, reply = await client.call("GET", f"/fapi/v1/{path}", signed=False, symbol="NOPE")
        assert (status, reply["code"]) == (400, -1121)


async def test_weight_over_the_limit_is_429_and_insisting_is_418() -> None:
    async with venue(weight_limit_1m=3) as (server, client):
        stop_clock(server)
        seen = []
        for _ in range(40):
            status, reply = await client.call("GET", "/fapi/v1/time", signed=False)
            seen.append(status)
            if status == 418:
                assert reply["code"] == -1003
                assert reply["msg"].startswith("Way too many requests; IP(127.0.0.1) banned until ")
                break
            if status == 429:
                assert reply["msg"].startswith("Too many requests; current limit is 3 requests per minute.")
        assert seen[:3] == [200, 200, 200]
        assert 429 in seen
        assert seen[-1] == 418


async def test_a_marks_unrealized_profit_is_the_truths() -> None:
    async with venue() as (server, client):
        await client.order("SELL", "0.010")
        server.deliver(top("61700.00", "1", "61700.20", "2.5", 2000))
        server.deliver(mark_tick())
        _, truth = await client.admin("GET", "/admin/truth?account=demo")
        demo = truth["accounts"]["demo"]
        assert demo["positions"]["BTCUSDT"]["mark"] == "61700.10000000"
        assert Decimal(demo["unrealized_pnl"]) == Decimal("0.010") * (Decimal("61800.00") - Decimal("61700.10"))
