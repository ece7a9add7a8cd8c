"""The subscriber end to end: simulator's sockets -> ring and tables, with everything going wrong that can."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, VenueUnavailable
from exchanges.binance.data_fetcher import BinanceDataFetcher, RateLimited
from exchanges.binance.endpoints import STREAMS_PER_SOCKET
from exchanges.binance.simulator import SimulatorOptions, SimulatorServer, serve
from exchanges.binance.subscriber import BinanceSubscriber
from exchanges.simulator.flow import Delta
from exchanges.websocket import WebSocketPolicy
from shm.layout import ConnectionState, MarketStatusCode, ProcessState, RecordKind, TradeFlag
from shm.records import InstrumentRow
from tests.exchanges.live_subscriber import POLICY, LiveSubscriber, settings


class Run(LiveSubscriber):
    venue, number = "binance", 1

    def make(self, policy: WebSocketPolicy = POLICY, streams_per_socket: int = STREAMS_PER_SOCKET) -> None:
        settings = self.context.settings
        self.fetcher = BinanceDataFetcher(self.http, settings.symbols, self.context.instruments)
        self.subscriber = BinanceSubscriber(self.context, self.fetcher, policy, streams_per_socket)


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    server = await serve(SimulatorOptions(symbols=("BTCUSDT", "ETHUSDT"), seed=7, speed=2.0))
    yield server
    await server.close()


Begin = Callable[..., Run]


@pytest.fixture
async def begin(market: Any, tmp_path: Path, simulator: SimulatorServer) -> AsyncIterator[Begin]:
    running: list[Run] = []

    def make(policy: WebSocketPolicy = POLICY, **changes: Any) -> Run:
        symbols = changes.pop("symbols", ["BTCUSDT", "ETHUSDT"])
        urls = {"rest_url": simulator.rest_url, "stream_url": simulator.stream_url}
        running.append(Run(market, settings(symbols, **urls | changes), tmp_path, policy=policy))
        return running[-1]

    yield make
    for run in running:
        await run.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_everything_the_venue_streams_is_published(begin: Begin, market: Any) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready and run.states[-1][0] is ProcessState.READY)
    kinds = (RecordKind.QUOTE, RecordKind.TRADE, RecordKind.BOOK_TOP, RecordKind.TICKER)
    await run.until(lambda: all(len(run.of(kind, row)) >= 3 for kind in kinds for row in (0, 1)))
    await run.until(lambda: {trade.aggregated for trade in run.of(RecordKind.TRADE)} == {0, 1})
    for row in (0, 1):
        book, ticker, instrument = market.book(row), market.ticker(row), market.instrument(row)
        assert book.valid == 1
        assert book.epoch == 1
        assert book.bid_prices[0] < book.ask_prices[0]
        assert ticker.mark_price > 0
        assert instrument.symbol == (b"BTCUSDT", b"ETHUSDT")[row]
        assert instrument.tick_size > 0
        codes = run.codes(row)
        assert codes[:3] == [MarketStatusCode.CONNECTED, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    assert run.count("gaps") == run.count("malformed") == run.count("crossed") == 0
    assert run.count("book_checks") > 0
    reports = [trade for row in (0, 1) for trade in run.of(RecordKind.TRADE, row) if trade.flags]
    assert run.count("surprises") == run.count("ticker_updates") + len(reports)  # only these go the slow way
    assert [health.state for health in run.subscriber.connections()] == [ConnectionState.UP] * 2
    assert all(health.receive_time_ns > 0 for health in run.subscriber.connections())


async def test_the_book_is_the_venues_when_the_market_stands_still(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    await run.until(lambda: len(run.of(RecordKind.BOOK_TOP)) >= 5)
    simulator.freeze()
    snapshot = await run.fetcher.depth("BTCUSDT")

    def same() -> bool:
        book = market.book(0)
        return (
            [(round(p * 100), round(q * 1000)) for p, q in zip(book.bid_prices, book.bid_quantities, strict=True)]
            == snapshot.bids[:50]
        )  # fmt: skip

    scale = market.instrument(0).price_scale
    assert scale == 2
    await run.until(same)


async def test_a_lost_delta_withdraws_the_book_and_a_snapshot_brings_it_back(
    begin: Begin, market: Any, simulator: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "sequence_gap", "stream": "btcusdt@depth", "count": 1})
    await run.until(lambda: run.count("gaps") == 1)
    assert market.book(0).valid == 0 or run.codes()[-1] is MarketStatusCode.LIVE
    await run.until(lambda: run.codes().count(MarketStatusCode.LIVE) == 2)
    await run.until(lambda: market.book(0).valid == 1)
    codes = run.codes()
    assert codes[3:6] == [MarketStatusCode.GAP, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE]
    assert market.book(0).epoch == 2
    assert market.book(1).epoch == 1  # the other book never noticed
    assert "BTCUSDT: gap in the depth stream" in caplog.text
    assert (run.count("resyncs"), run.count("crossed")) == (1, 0)


async def test_a_delta_that_comes_twice_is_no_gap(begin: Begin, simulator: SimulatorServer) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "duplicate", "stream": "btcusdt@depth", "count": 3})
    await run.until(lambda: run.count("repeated") == 3)
    assert run.count("gaps") == 0


async def test_frames_out_of_order_never_make_a_wrong_book(begin: Begin, simulator: SimulatorServer) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "reorder", "route": "public", "count": 20})
    await run.until(lambda: simulator.venue.faults.injected["reorder"] == 20)
    await run.until(lambda: run.subscriber.ready)
    assert run.count("crossed") == 0
    for row in (0, 1):
        ids = [quote.update_id for quote in run.of(RecordKind.QUOTE, row)]
        assert ids == sorted(set(ids))


async def test_malformed_frames_are_counted_told_once_and_cost_no_more_than_a_resync(
    begin: Begin, simulator: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "malformed_frame", "count": 20})
    await run.until(lambda: run.count("malformed") == 20)
    await run.until(lambda: run.subscriber.ready)
    told = [line for line in caplog.messages if line.startswith("malformed frame")]
    assert 1 <= len(told) <= 3
    assert run.count("reconnects") == 0


async def test_a_disconnect_withdraws_every_book_at_once_and_all_come_back(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "disconnect", "route": "public"})
    await run.until(lambda: MarketStatusCode.DISCONNECTED in run.codes(0))
    await run.until(lambda: MarketStatusCode.DISCONNECTED in run.codes(1))
    await run.until(lambda: run.subscriber.ready)
    assert run.count("reconnects") == 1
    assert run.count("gaps") == 0
    for row in (0, 1):
        codes = run.codes(row)
        assert codes[3:] == [
            MarketStatusCode.DISCONNECTED, MarketStatusCode.CONNECTED, MarketStatusCode.SNAPSHOT, MarketStatusCode.LIVE,
        ]  # fmt: skip
        assert market.book(row).epoch == 2


async def test_silence_makes_the_book_stale_and_the_connection_new(
    begin: Begin, market: Any, simulator: SimulatorServer
) -> None:
    policy = WebSocketPolicy(backoff_first_s=0.001, first_message_timeout_s=None, stale_after_s=0.8)
    run = begin(policy, stale_after_ms=400)
    await run.until(lambda: run.subscriber.ready)
    simulator.arm({"kind": "silence", "route": "public"})
    await run.until(lambda: MarketStatusCode.STALE in run.codes())
    await run.until(lambda: any(state is ProcessState.UNHEALTHY for state, _ in run.states))
    await run.until(lambda: MarketStatusCode.DISCONNECTED in run.codes())
    await run.until(lambda: run.subscriber.ready)
    assert run.count("stale") >= 1
    assert market.book(0).valid == 1


async def test_a_busy_or_broken_snapshot_endpoint_is_asked_again(begin: Begin, simulator: SimulatorServer) -> None:
    simulator.arm({"kind": "http_503_unavailable", "path": "/fapi/v1/depth", "count": 2})
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    assert run.count("snapshot_failures") == 2


async def test_a_stream_on_the_wrong_route_is_named(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("exchanges.binance.endpoints.depth_stream", lambda symbol: f"{symbol.lower()}@markPrice")
    policy = WebSocketPolicy(backoff_first_s=0.001, first_message_timeout_s=0.2)
    run = begin(policy, symbols=["BTCUSDT"])
    await run.until(lambda: "no first message on btcusdt@markPrice" in caplog.text)
    assert not run.subscriber.ready


async def test_a_symbol_that_the_venue_lacks_is_one_sentence(begin: Begin) -> None:
    run = begin(symbols=["BTCUSDT", "BTCUSTD"])
    with pytest.raises(ConfigurationError, match=r"the venue has no symbol 'BTCUSTD', it has BTCUSDT"):
        await run.until(lambda: False)


async def test_an_unreachable_venue_is_tried_again_and_the_state_says_so(begin: Begin) -> None:
    port = free_port()
    run = begin(rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}")
    await run.until(lambda: any("no instruments yet" in text for _, text in run.states))
    state, text = run.states[-1]
    assert state is ProcessState.CONNECTING
    assert f"127.0.0.1:{port}" in text
    assert not run.task.done()


async def test_kept_instruments_carry_a_start_while_rest_is_away(
    begin: Begin, market: Any, simulator: SimulatorServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = begin()
    await first.until(lambda: first.subscriber.ready)
    await first.close()
    port = free_port()
    again = begin(rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}")
    await again.until(lambda: "going on with the instruments of" in caplog.text)
    await again.until(lambda: market.instrument(0) is not None)
    await again.until(lambda: any("stream cannot be reached" in text for _, text in again.states))
    assert again.states[-1][0] is ProcessState.CONNECTING


async def test_close_leaves_no_book_valid(begin: Begin, market: Any) -> None:
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    await run.close()
    assert [market.book(row).valid for row in (0, 1)] == [0, 0]
    assert run.codes()[-1] is MarketStatusCode.DISCONNECTED
    assert [health.state for health in run.subscriber.connections()] == [ConnectionState.DOWN] * 2


async def test_close_ends_a_start_that_waits_for_the_venue(begin: Begin) -> None:
    port = free_port()
    run = begin(rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}")
    await run.until(lambda: run.states)
    await run.subscriber.close()
    async with asyncio.timeout(60):
        await run.task


async def test_a_renewed_connection_costs_no_book(begin: Begin, simulator: SimulatorServer) -> None:
    """Make before break: readers see every update of the venue once and in order, and no withdrawal."""
    sent: dict[str, list[int]] = {"BTCUSDT": [], "ETHUSDT": []}
    told = simulator._handlers[Delta]

    def remember(event: Delta) -> None:
        sent[event.symbol].append(event.last_id)
        told(event)  # type: ignore[operator]

    simulator._handlers[Delta] = remember  # type: ignore[assignment]
    policy = WebSocketPolicy(backoff_first_s=0.001, first_message_timeout_s=None, renew_after_s=0.6, overlap_s=0.3)
    run = begin(policy)
    await run.until(lambda: run.subscriber.ready)
    await run.until(lambda: run.count("repeated") + run.count("late_quotes") > 0 and run.count("reconnects") == 0)
    links = run.subscriber._connections
    await run.until(lambda: all(link.counters.renewals >= 2 for link in links))
    assert run.count("gaps") == 0
    assert MarketStatusCode.DISCONNECTED not in run.codes()
    trades = [trade.trade_id for trade in run.of(RecordKind.TRADE) if not trade.aggregated and not trade.flags]
    assert sorted(trades) == list(range(min(trades), max(trades) + 1))  # none lost, none twice
    for row, symbol in enumerate(sent):
        published = [top.update_id for top in run.of(RecordKind.BOOK_TOP, row)]
        first = sent[symbol].index(published[1])  # the first one told is the end of what was buffered
        assert published[1:] == sent[symbol][first : first + len(published) - 1]
        assert run.codes(row).count(MarketStatusCode.LIVE) == 1
        quotes = [quote.update_id for quote in run.of(RecordKind.QUOTE, row)]
        assert quotes == sorted(set(quotes))


async def test_a_snapshot_from_before_the_stream_is_asked_for_again(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(symbols=["BTCUSDT"])
    real = run.fetcher.depth

    async def old() -> Any:
        snapshot = await real("BTCUSDT")
        return type(snapshot)(snapshot.symbol, 1, snapshot.exchange_time_ns, snapshot.bids, snapshot.asks)

    calls = 0

    async def depth(symbol: str, limit: int = 1000) -> Any:
        nonlocal calls
        calls += 1
        return await (old() if calls <= 2 else real(symbol, limit))

    monkeypatch.setattr(run.fetcher, "depth", depth)
    await run.until(lambda: run.subscriber.ready)
    assert run.count("snapshots_too_old") >= 2
    assert run.count("snapshots") == calls >= 3


async def test_a_rate_limit_silences_the_snapshots_of_all_symbols(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin()
    asked: list[str] = []

    async def depth(symbol: str, limit: int = 1000) -> Any:
        asked.append(symbol)
        raise RateLimited("HTTP 429", 60.0)

    monkeypatch.setattr(run.fetcher, "depth", depth)
    await run.until(lambda: run.count("snapshot_failures") == 1)
    await run.until(lambda: run.count("quotes") > 50)
    assert len(asked) == 1


async def test_an_interruption_during_the_request_voids_its_snapshot(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, simulator: SimulatorServer
) -> None:
    run = begin(symbols=["BTCUSDT"])
    real = run.fetcher.depth
    held, release = asyncio.Event(), asyncio.Event()

    async def depth(symbol: str, limit: int = 1000) -> Any:
        snapshot = await real(symbol, limit)
        if not release.is_set():
            held.set()
            await release.wait()
        return snapshot

    monkeypatch.setattr(run.fetcher, "depth", depth)
    await run.until(held.is_set)
    simulator.arm({"kind": "disconnect", "route": "public"})
    await run.until(lambda: run.count("reconnects") == 1)
    release.set()
    await run.until(lambda: run.subscriber.ready)
    assert run.count("snapshots") >= 2


async def test_changed_decimals_end_the_process_with_a_sentence(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchanges.market_subscriber.INSTRUMENTS_REFRESH_S", 0.01)
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    real = run.fetcher.instruments

    async def finer() -> list[InstrumentRow]:
        rows = await real()
        rows[1].price_scale += 1
        return rows

    monkeypatch.setattr(run.fetcher, "instruments", finer)
    with pytest.raises(VenueUnavailable, match="ETHUSDT: the venue changed its decimals"):
        await run.until(lambda: False)


async def test_a_symbol_that_goes_away_while_we_run_does_not_take_the_others_along(
    begin: Begin, market: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("exchanges.market_subscriber.INSTRUMENTS_REFRESH_S", 0.01)
    run = begin()
    await run.until(lambda: run.subscriber.ready)

    async def gone() -> list[InstrumentRow]:
        raise ConfigurationError("venues.binance.symbols: the venue has no symbol 'ETHUSDT'")

    monkeypatch.setattr(run.fetcher, "instruments", gone)
    await run.until(lambda: "instruments were not refreshed: venues.binance.symbols" in caplog.text)
    assert not run.task.done()
    assert market.book(0).valid == 1


async def test_liquidations_are_told_beside_the_trades_that_they_are_made_of(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchanges.binance.simulator_liquidations.SHARE", 2)
    run = begin(symbols=["BTCUSDT"])
    reports: list[Any] = []
    await run.until(lambda: reports.extend(t for t in run.of(RecordKind.TRADE) if t.flags) or len(reports) > 1)
    report = reports[0]
    assert report.flags == TradeFlag.LIQUIDATION | TradeFlag.REPORT
    assert report.trade_id == report.exchange_time_ns // 1_000_000
    trades = [trade for trade in run.of(RecordKind.TRADE) if not trade.flags and not trade.aggregated]
    assert (report.price, report.quantity, report.aggressor_side) in {
        (trade.price, trade.quantity, trade.aggressor_side) for trade in trades
    }


SIX = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT")


async def test_many_symbols_are_spread_over_sockets_and_the_loss_of_one_concerns_only_its_own(
    market: Any, tmp_path: Path
) -> None:
    async with await serve(SimulatorOptions(symbols=SIX, seed=7, speed=2.0)) as simulator:
        config = settings(list(SIX), rest_url=simulator.rest_url, stream_url=simulator.stream_url)
        run = Run(market, config, tmp_path, streams_per_socket=4)  # 2 symbols a public, 1 a market socket
        try:
            await run.until(lambda: run.subscriber.ready)
            names = [health.name for health in run.subscriber.connections()]
            assert sum("public stream" in name for name in names) == 3
            assert sum("market stream" in name for name in names) == 6
            assert len(simulator.hub.connections) == 9
            simulator.arm({"kind": "disconnect", "stream": "ethusdt@depth"})
            await run.until(lambda: run.count("reconnects") == 1)
            await run.until(lambda: run.subscriber.ready)
            lost = [row for row in range(6) if MarketStatusCode.DISCONNECTED in run.codes(row)]
            assert lost == [1, 4]  # ETHUSDT and XRPUSDT share the socket
            assert [market.book(row).epoch for row in range(6)] == [1, 2, 1, 1, 2, 1]
        finally:
            await run.close()


async def test_a_socket_that_is_down_comes_first_where_not_all_can_be_shown(market: Any, tmp_path: Path) -> None:
    async with await serve(SimulatorOptions(symbols=SIX, seed=7)) as simulator:
        config = settings(list(SIX), rest_url=simulator.rest_url, stream_url=simulator.stream_url)
        run = Run(market, config, tmp_path, streams_per_socket=4)
        try:
            await run.until(lambda: run.subscriber.ready)
            last = run.subscriber._connections[-1]
            last.close()
            await run.until(lambda: last.state is ConnectionState.DOWN)
            assert run.subscriber.connections()[0].name == last.name
        finally:
            await run.close()


async def test_a_symbol_that_rests_does_not_cost_the_others_their_connection(
    begin: Begin, simulator: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    # ETHUSDT says nothing on its best quote, BTCUSDT speaks: the route is right.
    deliver = simulator.hub.publish
    simulator.hub.publish = lambda key, frame: key == "ethusdt@bookTicker" or deliver(key, frame)  # type: ignore[method-assign,assignment,func-returns-value]
    run = begin(WebSocketPolicy(backoff_first_s=0.001, first_message_timeout_s=0.5))
    await run.until(lambda: "no message yet on" in caplog.text and "ethusdt@bookTicker" in caplog.text)
    await run.until(lambda: run.subscriber.ready)
    assert run.count("reconnects") == 0


async def test_a_book_is_refreshed_while_it_stays_good(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchanges.binance.subscriber.BOOK_REFRESH_S", 0.0)
    monkeypatch.setattr("exchanges.binance.subscriber.REFRESH_SPACING_S", 0.05)
    run = begin()
    await run.until(lambda: run.subscriber.ready)
    await run.until(lambda: run.count("refreshes") >= 4)
    assert run.count("refresh_differences") == run.count("gaps") == 0
    assert [run.codes(row).count(MarketStatusCode.LIVE) for row in (0, 1)] == [1, 1]


async def test_a_book_that_went_wrong_without_a_gap_is_found_by_its_refresh(
    begin: Begin, market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchanges.binance.subscriber.BOOK_REFRESH_S", 0.0)
    monkeypatch.setattr("exchanges.binance.subscriber.REFRESH_SPACING_S", 0.05)
    run = begin(symbols=["BTCUSDT"])
    await run.until(lambda: run.count("refreshes") >= 1)
    book = run.subscriber._instruments["BTCUSDT"].feed.book

    def spoil() -> None:
        """As a bug of ours would, again where a delta has just put it right."""
        if run.subscriber.ready and not run.count("refresh_differences"):
            book.apply_delta([(book.bids()[30][0], 123_456_789)], [])

    await run.until(lambda: spoil() or run.count("refresh_differences"))
    await run.until(lambda: MarketStatusCode.GAP in run.codes())
    await run.until(lambda: run.subscriber.ready and market.book(0).epoch > 1)
    await run.until(lambda: run.count("refreshes") >= 2)


async def test_a_surprise_of_each_kind_finds_its_way(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """The same frames with a key that nobody knows: the declared decoder takes them to the same place."""
    run = begin(symbols=["BTCUSDT"])
    await run.until(lambda: run.subscriber.ready and run.count("trades") > 0)
    subscriber = run.subscriber
    feed = subscriber._instruments["BTCUSDT"].feed
    before = {name: run.count(name) for name in ("quotes", "trades")}
    last = feed.update_id
    messages = [
        {"e": "bookTicker", "u": 10**15, "s": "BTCUSDT", "b": "1.00", "B": "1", "a": "2.00", "A": "1", "T": 1, "E": 1},
        {"e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 10**15, "p": "1", "q": "1", "X": "MARKET", "m": True},
        {
            "e": "depthUpdate",
            "E": 1,
            "T": 1,
            "s": "BTCUSDT",
            "U": last + 1,
            "u": last + 1,
            "pu": last,
            "b": [],
            "a": [],
        },
    ]
    for message in messages:
        subscriber.on_surprise(json.dumps(message | {"new": 1}).encode(), 1)
    assert run.count("quotes") == before["quotes"] + 1
    assert run.count("trades") == before["trades"] + 1
    assert feed.update_id == last + 1
    subscriber.on_surprise(b'{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}', 1)
    assert "the venue refused a stream command" in caplog.text
    subscriber.on_surprise(b'{"result":null,"id":1}', 1)
    subscriber.on_surprise(b'{"e":"kline"}', 1)
    assert run.count("ignored") == 1
