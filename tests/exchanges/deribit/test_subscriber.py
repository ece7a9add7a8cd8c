"""The subscriber end to end: simulator's socket -> ring and tables, with what goes wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, VenueRefused
from exchanges.deribit.data_fetcher import DeribitDataFetcher
from exchanges.deribit.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer, serve
from exchanges.deribit.subscriber import DeribitSubscriber
from shm.layout import InstrumentStatus, MarketStatusCode, OptionKind, ProcessState, Reason, RecordKind
from tests.exchanges.live_subscriber import POLICY, LiveSubscriber, settings


class Run(LiveSubscriber):
    venue, number = "deribit", 2

    def make(self) -> None:
        self.fetcher = DeribitDataFetcher(self.http, self.context.settings.symbols, self.context.instruments)
        self.subscriber = DeribitSubscriber(self.context, self.fetcher, POLICY)


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    server = await serve(
        SimulatorOptions(symbols=("BTC-PERPETUAL", "ETH-PERPETUAL"), seed=7, chain=True, enforce_limits=False)
    )
    yield server
    await server.close()


Begin = Callable[..., Run]


@pytest.fixture
async def begin(market: Any, tmp_path: Path, simulator: SimulatorServer) -> AsyncIterator[Begin]:
    running: list[Run] = []

    def make(credentials: Any = None, **changes: Any) -> Run:
        symbols = changes.pop("symbols", ["BTC-PERPETUAL", "ETH-PERPETUAL"])
        urls = {"rest_url": simulator.rest_url, "stream_url": f"ws://127.0.0.1:{simulator.port}"}
        running.append(Run(market, settings(symbols, **urls | changes), tmp_path, credentials=credentials))
        return running[-1]

    yield make
    for run in running:
        await run.close()


async def test_everything_the_venue_streams_is_published(begin: Begin, market: Any) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and run.states[-1][0] is ProcessState.READY)
    kinds = (RecordKind.QUOTE, RecordKind.TRADE, RecordKind.BOOK_TOP, RecordKind.TICKER)
    await run.until(lambda: all(len(run.of(kind, row)) >= 3 for kind in kinds for row in (0, 1)))
    for row in (0, 1):
        book, ticker, instrument = market.book(row), market.ticker(row), market.instrument(row)
        assert (book.valid, book.epoch) == (1, 1)
        assert book.bid_prices[0] < book.ask_prices[0]
        assert ticker.mark_price > 0
        assert ticker.index_price > 0
        assert instrument.symbol == (b"BTC-PERPETUAL", b"ETH-PERPETUAL")[row]
        assert (instrument.inverse, instrument.status) == (1, InstrumentStatus.TRADING)
        assert run.codes(row)[:3] == [MarketStatusCode.CONNECTED, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    trades = [trade.trade_id for trade in run.of(RecordKind.TRADE)]
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    assert run.count("gaps") == run.count("malformed") == run.count("crossed") == run.count("late_quotes") == 0


async def test_an_option_has_greeks_and_a_book(begin: Begin, market: Any, simulator: SimulatorServer) -> None:
    option = next(name for name in simulator.venue.markets if name.endswith("-C") and name.startswith("BTC-"))
    run = begin(symbols=[option])
    await run.until(lambda: run.subscriber.ready and run.of(RecordKind.TICKER))
    ticker, instrument = market.ticker(0), market.instrument(0)
    assert instrument.option_kind == OptionKind.CALL
    assert instrument.strike > 0
    assert instrument.expiration_time_ns > 0
    assert 0 < ticker.delta < 1
    assert ticker.mark_volatility > 0
    assert ticker.underlying_price > 0


async def test_with_a_key_the_unaggregated_channels_are_taken(begin: Begin, simulator: SimulatorServer) -> None:
    run = begin(SimpleNamespace(api_key=DEMO_KEY.key, secret=DEMO_KEY.secret))
    await run.until(lambda: run.subscriber.ready)
    channels = {channel for connection in simulator.venue.connections for channel in connection.feeds}
    assert "book.BTC-PERPETUAL.raw" in channels
    assert not any(channel.endswith("100ms") for channel in channels)


async def test_a_lost_change_withdraws_the_book_and_subscribing_again_brings_it_back(
    begin: Begin, market: Any, simulator: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "sequence_gap", "stream": "book.BTC-PERPETUAL", "count": 1})
    await run.until(lambda: run.count("gaps") == 1)
    await run.until(lambda: run.codes().count(MarketStatusCode.LIVE) == 2)
    await run.until(lambda: market.book(0).valid == 1)
    assert run.codes()[3:6] == [MarketStatusCode.GAP, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    assert market.book(0).epoch == 2
    assert market.book(1).epoch == 1  # the other book never noticed
    assert "BTC-PERPETUAL: gap in the depth stream" in caplog.text
    assert (run.count("resyncs"), run.count("crossed"), run.count("reconnects")) == (1, 0, 0)


async def test_a_message_that_comes_twice_is_no_gap(begin: Begin, simulator: SimulatorServer) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "duplicate", "stream": "book.BTC-PERPETUAL", "count": 1})
    await run.until(lambda: run.count("repeated") == 1)
    assert run.count("gaps") == 0


async def test_a_lost_connection_withdraws_the_books_and_the_next_brings_them_back(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.cut_connections("abort")
    await run.until(lambda: MarketStatusCode.DISCONNECTED in run.codes())
    await run.until(lambda: run.subscriber.ready)
    assert market.book(0).valid == 1
    assert run.count("reconnects") == 1


async def test_a_channel_that_is_left_out_of_the_reply_is_noticed(
    begin: Begin, simulator: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.arm({"kind": "partial_subscribe", "count": 1})
    run = begin()
    await run.until(lambda: run.count("reconnects") == 1)
    assert "the venue did not subscribe instrument.state.any.any" in caplog.text
    await run.until(lambda: run.subscriber.ready)


async def test_a_malformed_frame_is_counted_and_nothing_else(begin: Begin, simulator: SimulatorServer) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "malformed_frame", "stream": "quote.", "count": 1})
    await run.until(lambda: run.count("malformed") == 1)
    assert run.subscriber.ready


async def test_a_book_that_rests_is_fresh_while_its_connection_answers(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin(stale_after_ms=400)
    await run.until(lambda: run.subscriber.ready)
    simulator.freeze()
    tests = simulator.venue.requests["public/test"]
    await run.until(lambda: simulator.venue.requests["public/test"] >= tests + 8)  # about 0.8 s without a change
    assert market.book(0).valid == 1
    assert run.count("stale") == 0


async def test_the_book_is_the_venues_when_the_market_stands_still(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and len(run.of(RecordKind.BOOK_TOP)) >= 5)
    simulator.freeze()
    snapshot = await run.fetcher.order_book("BTC-PERPETUAL")
    scale = 10.0 ** market.instrument(0).price_scale

    def same() -> bool:
        book = market.book(0)
        ours = [(round(p * scale), round(q)) for p, q in zip(book.bid_prices, book.bid_quantities, strict=True) if q]
        return bool(ours) and ours == snapshot.bids[: len(ours)]

    await run.until(same)
    assert run.subscriber._instruments["BTC-PERPETUAL"].feed.update_id == snapshot.update_id


async def test_an_expiry_closes_the_instrument_and_the_others_go_on(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    future = next(
        name for name, one in simulator.venue.markets.items()
        if name.startswith("BTC-") and name.count("-") == 1 and not one.listing.perpetual
    )  # fmt: skip
    run = begin(symbols=[future, "BTC-PERPETUAL"])
    await run.until(lambda: run.subscriber.ready)
    simulator.command_instrument({"action": "expire", "instrument_name": future})
    await run.until(lambda: market.instrument(0).status == InstrumentStatus.CLOSED)
    assert market.book(0).valid == 0
    await run.until(lambda: run.subscriber.ready and run.states[-1][0] is ProcessState.READY)
    assert market.instrument(1).status == InstrumentStatus.TRADING


async def test_a_lock_of_the_platform_halts_and_its_end_is_asked_about(
    begin: Begin, market: Any, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchanges.deribit.subscriber.SETTLE_S", 0.01)
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "platform_maintenance", "delay_ms": 100})
    await run.until(lambda: market.instrument(0).status == InstrumentStatus.HALTED)
    await run.until(lambda: market.instrument(0).status == InstrumentStatus.TRADING)


async def test_a_symbol_that_the_venue_lacks_ends_the_subscriber(begin: Begin) -> None:
    run = begin(symbols=["BTC-PERP"])
    with pytest.raises(ConfigurationError, match=r"no symbol 'BTC-PERP', it has BTC-PERPETUAL"):
        await run.until(lambda: False)


async def test_a_wrong_key_ends_the_subscriber_by_the_venues_word(begin: Begin) -> None:
    run = begin(SimpleNamespace(api_key=DEMO_KEY.key, secret="not-the-secret"))
    with pytest.raises(VenueRefused, match="13004") as caught:
        await run.until(lambda: False)
    assert caught.value.reason is Reason.VENUE_SIGNATURE  # a process ends with the code for credentials by it
