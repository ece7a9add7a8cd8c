"""The subscriber end to end: simulator's socket -> ring and tables, with everything going wrong that can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.grvt.data_fetcher import GrvtDataFetcher
from exchanges.grvt.simulator import SimulatorOptions, SimulatorServer, serve
from exchanges.grvt.subscriber import GrvtSubscriber
from shm.layout import ConnectionState, MarketStatusCode, ProcessState, RecordKind
from tests.exchanges.live_subscriber import POLICY, LiveSubscriber, settings

BTC, ETH = "BTC_USDT_Perp", "ETH_USDT_Perp"


class Run(LiveSubscriber):
    venue, number = "grvt", 3

    def make(self) -> None:
        self.fetcher = GrvtDataFetcher(self.http, self.context.settings.symbols, self.context.instruments)
        self.subscriber = GrvtSubscriber(self.context, self.fetcher, POLICY)


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    server = await serve(SimulatorOptions(symbols=(BTC, ETH), seed=7, speed=2.0))
    yield server
    await server.close()


Begin = Callable[..., Run]


@pytest.fixture
async def begin(market: Any, tmp_path: Path, simulator: SimulatorServer) -> AsyncIterator[Begin]:
    running: list[Run] = []

    def make(**changes: Any) -> Run:
        symbols = changes.pop("symbols", [BTC, ETH])
        urls = {"rest_url": simulator.rest_url, "stream_url": simulator.stream_url}
        running.append(Run(market, settings(symbols, **urls | changes), tmp_path))
        return running[-1]

    yield make
    for run in running:
        await run.close()


@pytest.mark.parametrize("path", ["", "/ws/lite"])
async def test_everything_the_venue_streams_is_published(
    begin: Begin, market: Any, simulator: SimulatorServer, path: str
) -> None:
    run = begin(stream_url=simulator.stream_url + path)
    await run.until(lambda: run.subscriber.ready and run.states[-1][0] is ProcessState.READY)
    kinds = (RecordKind.QUOTE, RecordKind.TRADE, RecordKind.BOOK_TOP, RecordKind.TICKER)
    await run.until(lambda: all(len(run.of(kind, row)) >= 2 for kind in kinds for row in (0, 1)))
    for row in (0, 1):
        book, ticker, instrument = market.book(row), market.ticker(row), market.instrument(row)
        assert book.valid == 1
        assert book.bid_prices[0] < book.ask_prices[0]
        assert ticker.mark_price > 0
        assert ticker.funding_rate == 0.0001
        assert instrument.symbol == (BTC.encode(), ETH.encode())[row]
        assert run.codes(row)[:3] == [MarketStatusCode.CONNECTED, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    assert run.count("gaps") == run.count("malformed") == run.count("crossed") == 0
    await run.until(lambda: run.count("book_updates") > 5)
    assert [health.state for health in run.subscriber.connections()] == [ConnectionState.UP]


async def test_book_and_quote_are_the_venues_when_the_market_stands_still(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and len(run.of(RecordKind.BOOK_TOP)) >= 5)
    simulator.freeze()
    venue = simulator.venue.book(BTC)

    def same() -> bool:
        book = market.book(0)
        bids = [(float(price), float(size)) for price, size in venue.top_levels(True, book.bid_count)]
        quote = run.of(RecordKind.QUOTE)[-1]
        return list(zip(book.bid_prices, book.bid_quantities, strict=True))[: book.bid_count] == bids and (
            quote.bid_price, quote.ask_quantity,
        ) == (float(venue.best_bid), float(venue.best_ask_quantity))  # fmt: skip

    await run.until(same)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "sequence_gap", "stream": "v1.book.d BTC"},
        {"kind": "reorder", "stream": "v1.book.d BTC"},
        {"kind": "sequence_restart"},
    ],
)
async def test_a_gap_withdraws_the_book_until_a_whole_one_came(
    begin: Begin, market: Any, simulator: SimulatorServer, fault: dict[str, str]
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and len(run.of(RecordKind.BOOK_TOP)) >= 3)
    simulator.arm(fault)
    await run.until(lambda: MarketStatusCode.GAP in run.codes())
    await run.until(lambda: run.subscriber.ready and market.book(0).epoch >= 2)
    codes = run.codes()
    assert codes[codes.index(MarketStatusCode.GAP) :][1:3] == [MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    assert run.count("gaps") >= 1
    assert run.count("resyncs") >= 1


async def test_a_missing_mini_ticker_stops_quotes_until_a_whole_one_came(
    begin: Begin, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and len(run.of(RecordKind.QUOTE)) >= 3)
    simulator.arm({"kind": "sequence_gap", "stream": "v1.mini.d BTC"})
    await run.until(lambda: run.count("gaps") == 1)
    quotes = len(run.of(RecordKind.QUOTE))
    await run.until(lambda: len(run.of(RecordKind.QUOTE)) > quotes + 2)
    assert MarketStatusCode.GAP not in run.codes(), "the book is another stream"
    assert run.subscriber.ready


async def test_what_comes_twice_is_counted_and_without_the_check_nothing_is_withdrawn(
    begin: Begin, simulator: SimulatorServer
) -> None:
    run = begin(check_gaps=False)
    await run.until(lambda: run.subscriber.ready and len(run.of(RecordKind.BOOK_TOP)) >= 3)
    simulator.arm({"kind": "duplicate", "stream": "v1.book.d BTC"})
    await run.until(lambda: run.count("repeated") == 1)
    simulator.arm({"kind": "sequence_gap", "stream": "v1.book.d BTC"})
    await run.until(lambda: run.subscriber._instruments[BTC].sequencer.unchecked == 1)
    updates = len(run.of(RecordKind.BOOK_TOP))
    await run.until(lambda: len(run.of(RecordKind.BOOK_TOP)) > updates + 3)
    assert run.count("gaps") == 0


async def test_a_lost_connection_withdraws_everything_and_comes_back(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "disconnect"})
    await run.until(lambda: MarketStatusCode.DISCONNECTED in run.codes(1))
    await run.until(lambda: run.subscriber.ready and market.book(0).epoch == market.book(1).epoch == 2)
    assert run.count("reconnects") >= 1
    simulator.arm({"kind": "malformed_frame"})
    await run.until(lambda: run.count("malformed") == 1)


async def test_a_symbol_that_the_venue_has_not_ends_the_process(begin: Begin) -> None:
    run = begin(symbols=[BTC, "BTC_USDT_PERP"])
    with pytest.raises(ConfigurationError, match=r"'BTC_USDT_PERP', it has BTC_USDT_Perp"):
        await run.task


async def test_the_venues_clock_is_read(begin: Begin) -> None:
    run = begin()
    assert await run.fetcher.server_time() > 1_700_000_000 * 10**9
    assert set(await run.fetcher.signing_terms()) == {BTC, ETH}
