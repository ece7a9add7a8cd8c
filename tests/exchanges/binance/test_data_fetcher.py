"""The public REST calls against a small server: what is asked, and what each kind of answer means."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.binance.codec import MarketCodec
from exchanges.binance.data_fetcher import BinanceDataFetcher, RateLimited
from exchanges.binance.order_budget import QUERY_WEIGHT, OrderBudget
from exchanges.http import HttpHandler
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookSnapshot, MalformedFrame
from exchanges.rate_limit import Lane
from exchanges.venue_clock import VenueClock
from shm.limits import LimitTable


class Venue:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status, self.body = 200, b"{}"
        self.headers: dict[str, str] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    state = Venue()
    app = web.Application()
    app.router.add_get("/{path:.*}", state.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


@pytest.fixture
async def fetcher(venue: Venue) -> AsyncIterator[BinanceDataFetcher]:
    made = BinanceDataFetcher(HttpHandler(venue.url), ["BTCUSDT"], Ids())
    made.codec = MarketCodec({"BTCUSDT": Scales(2, 3)})
    yield made
    await made.close()


async def test_every_request_takes_its_weight_and_what_is_used_up_is_not_asked(venue: Venue) -> None:
    budget = OrderBudget()
    fetcher = BinanceDataFetcher(HttpHandler(venue.url), ["BTCUSDT"], Ids(), budget)
    fetcher.codec = MarketCodec({"BTCUSDT": Scales(2, 3)})
    clock = fetcher._clock = VenueClock(lambda: 0)  # no minute may end in the middle of this
    weight = budget.buckets[QUERY_WEIGHT]
    try:
        venue.body = b'{"lastUpdateId":1,"E":1,"T":1,"bids":[["1.0","1"]],"asks":[["2.0","1"]]}'
        for limit in (5, 100, 500, 1000):
            await fetcher.depth("BTCUSDT", limit)
        assert weight.used(clock.now_ns()) == 2 + 5 + 10 + 20
        venue.headers = {"X-MBX-USED-WEIGHT-1M": "1439"}
        await fetcher.depth("BTCUSDT", 5)
        asked = len(venue.asked)
        with pytest.raises(RateLimited, match="rate limit of this host, not before") as refused:
            await fetcher.depth("BTCUSDT", 5)
        assert 0 < refused.value.retry_after_s <= 60
        assert len(venue.asked) == asked
    finally:
        await fetcher.close()


async def test_a_ban_that_this_process_got_holds_for_the_others_of_the_host(venue: Venue) -> None:
    table = LimitTable()
    fetcher = BinanceDataFetcher(HttpHandler(venue.url), ["BTCUSDT"], Ids(), OrderBudget(table))
    until_ms = time.time_ns() // 10**6 + 100_000
    venue.status = 418
    venue.body = b'{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until %d. x"}' % until_ms
    try:
        with pytest.raises(RateLimited):
            await fetcher.server_time()
        assert OrderBudget(table, "a").admit(Lane.CANCEL, {QUERY_WEIGHT: 1}, time.time_ns()) == until_ms * 10**6
        with pytest.raises(RateLimited, match="not before"):
            await fetcher.server_time()
        assert len(venue.asked) == 1
    finally:
        await fetcher.close()


async def test_the_limits_of_exchange_info_become_those_of_the_budget(venue: Venue) -> None:
    budget = OrderBudget()
    fetcher = BinanceDataFetcher(HttpHandler(venue.url), ["BTCUSDT"], Ids(), budget)
    rule = b'{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}'
    venue.body = b'{"serverTime":1790000000000,"symbols":[],"rateLimits":[%s]}' % rule
    try:
        await fetcher.exchange_info()
        assert budget.buckets[QUERY_WEIGHT].limit == 6000
    finally:
        await fetcher.close()


class Ids:
    def id(self, symbol: str, /) -> int:
        return 1 << 16

    def symbol(self, instrument_id: int, /) -> str:
        return "BTCUSDT"


async def test_depth_asks_for_the_symbol_and_limit(venue: Venue, fetcher: BinanceDataFetcher) -> None:
    venue.body = b'{"lastUpdateId":7,"E":5,"T":4,"bids":[["1.00","2.000"]],"asks":[]}'
    assert await fetcher.depth("BTCUSDT") == BookSnapshot("BTCUSDT", 7, 5_000_000, [(100, 2000)], [])
    await fetcher.depth("BTCUSDT", 50)
    assert venue.asked == ["/fapi/v1/depth?symbol=BTCUSDT&limit=1000", "/fapi/v1/depth?symbol=BTCUSDT&limit=50"]


async def test_server_time_is_in_nanoseconds(venue: Venue, fetcher: BinanceDataFetcher) -> None:
    venue.body = b'{"serverTime":1790000000000}'
    assert await fetcher.server_time() == 1_790_000_000_000_000_000


async def test_premium_index_keeps_the_venues_texts(venue: Venue, fetcher: BinanceDataFetcher) -> None:
    venue.body = (
        b'{"symbol":"BTCUSDT","markPrice":"84551.10762319","indexPrice":"84590.87","estimatedSettlePrice":"84559.09",'
        b'"lastFundingRate":"0.00000801","interestRate":"0.00010000","nextFundingTime":1790028800000,"time":1}'
    )
    found = await fetcher.premium_index("BTCUSDT")
    assert (found.mark_price, found.funding_rate) == ("84551.10762319", "0.00000801")


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait_s"),
    [
        (429, b'{"code":-1003,"msg":"Too many requests"}', {}, 10.0),
        (418, b'{"code":-1003,"msg":"banned until"}', {}, 120.0),
        (429, b"<html>", {"Retry-After": "33"}, 33.0),
    ],
)
async def test_a_request_for_silence_says_for_how_long(
    venue: Venue, fetcher: BinanceDataFetcher, status: int, body: bytes, headers: dict[str, str], wait_s: float
) -> None:
    venue.status, venue.body, venue.headers = status, body, headers
    with pytest.raises(RateLimited) as caught:
        await fetcher.server_time()
    assert caught.value.retry_after_s == wait_s


async def test_the_venues_no_carries_its_code(venue: Venue, fetcher: BinanceDataFetcher) -> None:
    venue.status, venue.body = 400, b'{"code":-1121,"msg":"Invalid symbol."}'
    with pytest.raises(VenueRefused, match="Invalid symbol") as caught:
        await fetcher.depth("BTCUSDT")
    assert (caught.value.code, caught.value.http_status) == (-1121, 400)


@pytest.mark.parametrize(("status", "body"), [(503, b'{"code":-1001,"msg":"x"}'), (403, b"<html>"), (500, b"\xff")])
async def test_every_other_status_means_try_later(
    venue: Venue, fetcher: BinanceDataFetcher, status: int, body: bytes
) -> None:
    venue.status, venue.body = status, body
    with pytest.raises(VenueUnavailable, match=f"HTTP {status}"):
        await fetcher.server_time()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"serverTime":"x"}'])
async def test_a_good_status_with_another_shape_is_malformed(
    venue: Venue, fetcher: BinanceDataFetcher, body: bytes
) -> None:
    venue.body = body
    with pytest.raises(MalformedFrame):
        await fetcher.server_time()


async def test_a_venue_that_is_away_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    fetcher: Any = BinanceDataFetcher(HttpHandler(url), [], Ids())
    with pytest.raises(VenueUnavailable, match="127"):
        await fetcher.exchange_info()
    await fetcher.close()
