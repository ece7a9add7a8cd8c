"""Public streams of Binance into the market ring, the books, tickers and instruments tables.

Two connections, because one carries one route: /public has depth and bookTicker, /market has trades and mark prices.
Frames go from the socket to the ring in compiled code (fast_decode.pyx); here is the rest: what the scanner did not
know, books that need a snapshot, connections that come and go, and what the process says of its state.

The rule: a book that cannot be vouched for is withdrawn first and repaired after. Snapshots cost 20 of the 2400 weight
that this address has a minute, so they are fetched one at a time, spaced, and ever slower where they do not help.

Who calls it: processes/market_server.py, through the factory. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exchanges.adapter import (
    ConfigurationError,
    ConnectionHealth,
    ExchangeContext,
    VenueRefused,
    VenueUnavailable,
)
from exchanges.binance import endpoints, instruments
from exchanges.binance.codec import MarketCodec
from exchanges.binance.data_fetcher import BinanceDataFetcher, RateLimited
from exchanges.binance.endpoints import VENUE, Endpoints
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.binance.sequencer import BookSequencer, Step
from exchanges.instrument_feed import (
    SEEN_AGGREGATED_TRADE,
    SEEN_DEPTH,
    SEEN_QUOTE,
    SEEN_TICKER,
    SEEN_TRADE,
    InstrumentFeed,
    MarketOutput,
)
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    ControlReply,
    Ignored,
    MalformedFrame,
    MarkPrice,
    PublicTrade,
)
from exchanges.monitor import ExchangeMonitor
from exchanges.websocket import SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns
from shm.layout import ROW_MASK, MarketStatusCode, ProcessState
from shm.records import InstrumentRow
from shm.table import TableWriter

COUNTERS: Final = (
    "gaps",
    "resyncs",
    "snapshots",
    "snapshots_too_old",
    "snapshot_failures",
    "repeated",
    "malformed",
    "ignored",
    "reconnects",
)
TICK_S: Final = 0.1
SNAPSHOT_SPACING_S: Final = 0.2
"""At most 5 x 20 weight a second, and only while books are broken."""
RETRY_FIRST_S: Final = 0.2
RETRY_LIMIT_S: Final = 10.0
INSTRUMENTS_REFRESH_S: Final = 3600.0
PUBLIC_STREAMS: Final = SEEN_DEPTH | SEEN_QUOTE
MARKET_STREAMS: Final = SEEN_TRADE | SEEN_AGGREGATED_TRADE | SEEN_TICKER


@dataclass
class _Instrument:
    """One configured symbol: its way out, its book's rule, and when it may ask for a snapshot again."""

    feed: InstrumentFeed
    sequencer: BookSequencer
    failures: int = 0
    not_before_ns: int = 0

    @property
    def symbol(self) -> str:
        return self.feed.symbol

    def put_off(self, at_least_s: float = 0.0) -> None:
        pause_s = max(at_least_s, min(RETRY_LIMIT_S, RETRY_FIRST_S * 2.0**self.failures))
        self.failures += 1
        self.not_before_ns = monotonic_ns() + int(pause_s * 1e9)


class BinanceSubscriber:
    """See ExchangeSubscriber. Made before the loop runs or inside it; `run()` does all work."""

    def __init__(
        self,
        context: ExchangeContext,
        fetcher: BinanceDataFetcher,
        policy: WebSocketPolicy | None = None,
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._fetcher = fetcher
        self._log = context.log
        self._endpoints: Endpoints = endpoints.endpoints(context.settings)
        stale_after_s = context.settings.stale_after_ms / 1000.0
        self._policy = policy or WebSocketPolicy(
            stale_after_s=max(5.0, 2.5 * stale_after_s),
            renew_after_s=endpoints.CONNECTION_LIFETIME_S - 1800.0,
        )
        context.counters.declare(COUNTERS)
        self._counters = context.counters
        self._output = MarketOutput(
            context.segment(f"{VENUE}.market"),
            context.segment(f"{VENUE}.books"),
            context.segment(f"{VENUE}.tickers"),
            context.counters,
        )
        self._instrument_rows = TableWriter(context.segment(f"{VENUE}.instruments"))
        self._monitor = ExchangeMonitor(int(stale_after_s * 1e9), context.counters, context.log)
        self._scanner = FrameScanner()
        self._codec = MarketCodec({})
        self._instruments: dict[str, _Instrument] = {}
        self._connections: list[WebSocketConnection] = []
        self._snapshot_wanted = asyncio.Event()
        self._said: set[str] = set()
        self._retry_text = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    # --- ExchangeSubscriber -----------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return bool(self._instruments) and all(entry.feed.good for entry in self._instruments.values())

    def connections(self) -> Sequence[ConnectionHealth]:
        return [ConnectionHealth(link.name, link.state, link.receive_time_ns) for link in self._connections]

    async def run(self) -> None:
        rows, fresh = await self._first_rows()
        if self._closing.is_set():
            return
        self._begin(rows)
        public, market = self._make_connections()
        self._connections = [public, market]
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [
                    group.create_task(public.run()),
                    group.create_task(market.run()),
                    group.create_task(self._fetch_snapshots()),
                    group.create_task(self._refresh_rows(fresh)),
                    group.create_task(self._tick()),
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._withdraw_all(MarketStatusCode.DISCONNECTED)

    async def close(self) -> None:
        self._closing.set()
        self._cancel()
        self._withdraw_all(MarketStatusCode.DISCONNECTED)
        await self._fetcher.close()

    def _cancel(self) -> None:
        for connection in self._connections:
            connection.close()
        for task in self._tasks:
            task.cancel()

    def _withdraw_all(self, code: MarketStatusCode) -> None:
        for entry in self._instruments.values():
            if entry.feed.live:
                entry.feed.withdraw(code)
            entry.sequencer.reset()

    # --- instruments ------------------------------------------------------------------------------------------------
    async def _first_rows(self) -> tuple[list[InstrumentRow], bool]:
        """From the venue; where it does not answer, the rows kept from an earlier run; else try until it does, or until
        closed (no rows)."""
        path = instruments.rows_file(self._context.state_dir)
        failures = 0
        self._context.set_state(ProcessState.CONNECTING, f"asking {self._endpoints.rest} for its instruments")
        while not self._closing.is_set():
            try:
                rows = await self._fetcher.instruments()
                instruments.save_rows(path, rows)
                return rows, True
            except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
                kept = instruments.load_rows(path, self._settings.symbols, self._context.instruments)
                if kept is not None:
                    self._log.warning("%s; going on with the instruments of %s", failure, path)
                    return kept, False
                pause_s = min(RETRY_LIMIT_S, RETRY_FIRST_S * 2.0**failures)
                failures += 1
                text = f"no instruments yet: {failure}"
                self._log.warning("%s, next try in %.1f s", text, pause_s)
                self._context.set_state(ProcessState.CONNECTING, text)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause_s)
        return [], False

    def _begin(self, rows: Sequence[InstrumentRow]) -> None:
        self._codec = MarketCodec(instruments.scales_of(rows))
        self._fetcher.codec = self._codec
        for row in rows:
            symbol = row.symbol.decode()
            feed = InstrumentFeed(self._output, symbol, row.instrument_id, row.price_scale, row.quantity_scale)
            self._scanner.add(symbol, row.price_scale, row.quantity_scale, feed)
            self._instruments[symbol] = _Instrument(feed, BookSequencer(feed))
        self._write_rows(rows)

    def _write_rows(self, rows: Sequence[InstrumentRow]) -> None:
        for row in rows:
            self._instrument_rows.write(row.instrument_id & ROW_MASK, row)

    async def _refresh_rows(self, fresh: bool) -> None:
        """Status and limits change while we run; decimals must not, everything published would change its meaning."""
        pause_s = INSTRUMENTS_REFRESH_S if fresh else RETRY_LIMIT_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                rows = await self._fetcher.instruments()
            except (VenueUnavailable, VenueRefused, MalformedFrame, ConfigurationError) as failure:
                self._say(f"instruments: {type(failure).__name__}", "instruments were not refreshed: %s", failure)
                pause_s = min(INSTRUMENTS_REFRESH_S, 2 * pause_s)
                continue
            for row in rows:
                feed = self._instruments[row.symbol.decode()].feed
                if (row.price_scale, row.quantity_scale) != (feed.book.price_scale, feed.book.quantity_scale):
                    # Ends the process with a code that has it started again: the next one begins with the new decimals.
                    raise VenueUnavailable(
                        f"{feed.symbol}: the venue changed its decimals to {row.price_scale} and {row.quantity_scale}; "
                        f"this process began with {feed.book.price_scale} and {feed.book.quantity_scale}, start it anew"
                    )
            instruments.save_rows(instruments.rows_file(self._context.state_dir), rows)
            self._write_rows(rows)
            pause_s = INSTRUMENTS_REFRESH_S

    # --- connections ------------------------------------------------------------------------------------------------
    def _make_connections(self) -> tuple[WebSocketConnection, WebSocketConnection]:
        symbols = list(self._instruments)
        public = [f(s) for s in symbols for f in (endpoints.depth_stream, endpoints.book_ticker_stream)]
        market = [
            f(s)
            for s in symbols
            for f in (endpoints.agg_trade_stream, endpoints.trade_stream, endpoints.mark_price_stream)
        ]
        return (
            self._connection("public", self._endpoints.public(public), PUBLIC_STREAMS),
            self._connection("market", self._endpoints.market(market), MARKET_STREAMS),
        )

    def _connection(self, route: str, url: str, streams: int) -> WebSocketConnection:
        async def where() -> str:
            return url

        name = f"{VENUE} {route} stream"
        base = url.split("/stream?", maxsplit=1)[0]
        connects = self._counters.counter("reconnects")

        def connected() -> None:
            if connection.counters.connects > 1:
                connects.add(1)
            self._log.info("%s is up at %s", name, base)
            self._retry_text = ""
            for entry in self._instruments.values():
                entry.feed.reconnected(streams)
                if streams & SEEN_DEPTH:
                    entry.feed.publish_status(MarketStatusCode.CONNECTED, 0, monotonic_ns())

        def disconnected(reason: str) -> None:
            if streams & SEEN_DEPTH:
                self._withdraw_all(MarketStatusCode.DISCONNECTED)
                for entry in self._instruments.values():
                    self._monitor.reset(entry.feed)

        def retrying(text: str) -> None:
            self._retry_text = f"{base}: {text}"

        def overlap(overlapping: bool) -> None:
            for entry in self._instruments.values():
                entry.sequencer.overlapping = overlapping

        connection = WebSocketConnection(
            name,
            where,
            lambda: MarketListener(self._scanner, self, self._counters),
            policy=self._policy,
            log=self._log,
            on_connected=connected,
            on_disconnected=disconnected,
            on_retry=retrying,
            silent_streams=lambda: self._silent_streams(streams),
            on_overlap=overlap,
        )
        return connection

    def _silent_streams(self, streams: int) -> SilentStreams:
        """Depth, best quote and mark price come many times in any such time; nobody may have traded."""
        silent = SilentStreams([], [])
        for symbol, entry in self._instruments.items():
            missing = streams & ~entry.feed.seen
            for bit, name, names in (
                (SEEN_DEPTH, endpoints.depth_stream, silent.required),
                (SEEN_QUOTE, endpoints.book_ticker_stream, silent.required),
                (SEEN_TICKER, endpoints.mark_price_stream, silent.required),
                (SEEN_TRADE, endpoints.trade_stream, silent.optional),
                (SEEN_AGGREGATED_TRADE, endpoints.agg_trade_stream, silent.optional),
            ):
                if missing & bit:
                    names.append(name(symbol))
        return silent

    # --- what the compiled listener hands over ----------------------------------------------------------------------
    def on_delta(self, feed: InstrumentFeed, delta: BookDelta, receive_time_ns: int) -> None:
        """A delta of a book that is not live, or that does not follow."""
        entry = self._instruments[feed.symbol]
        step = entry.sequencer.on_delta(delta)
        if step is Step.APPLIED:
            if not feed.publish_update(delta.exchange_time_ns, receive_time_ns):
                self.on_crossed(feed)
        elif step is Step.LIVE:
            self._came_live(entry, delta.exchange_time_ns, receive_time_ns)
        elif step is Step.GAP:
            self._counters.add("gaps")
            self._log.warning(
                "%s: gap in the depth stream: update %d follows %d, %d was expected",
                feed.symbol, delta.last_update_id, delta.previous_update_id, feed.update_id,
            )  # fmt: skip
            feed.withdraw(MarketStatusCode.GAP)
            self._resync(entry)
        elif step is Step.TOO_OLD:
            self._counters.add("snapshots_too_old")
            entry.put_off()
            self._snapshot_wanted.set()
        elif step is Step.REPEATED:
            self._counters.add("repeated")
        elif entry.sequencer.needs_snapshot:
            self._snapshot_wanted.set()

    def on_crossed(self, feed: InstrumentFeed) -> None:
        """The feed withdrew the book already."""
        entry = self._instruments[feed.symbol]
        entry.sequencer.reset()
        self._log.warning("%s: the book crossed at update %d", feed.symbol, feed.update_id)
        entry.put_off()
        self._resync(entry)

    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None:
        """The declared decoder has the word on what the scanner did not take."""
        try:
            event = self._codec.decode(payload)
        except MalformedFrame as malformed:
            self._counters.add("malformed")
            self._say(malformed.kind, "malformed frame, %s (said once for this kind)", malformed)
            return
        match event:
            case BookDelta(symbol=symbol):
                feed = self._instruments[symbol].feed
                feed.note_delta(event, receive_time_ns)
                self.on_delta(feed, event, receive_time_ns)
            case BestQuote(symbol=symbol):
                self._instruments[symbol].feed.publish_quote(event, receive_time_ns)
            case PublicTrade(symbol=symbol):
                self._instruments[symbol].feed.publish_trade(event, receive_time_ns)
            case MarkPrice(symbol=symbol):
                self._instruments[symbol].feed.publish_ticker(event, receive_time_ns)
            case ControlReply(error=error):
                if error:
                    self._say(f"control {error}", "the venue refused a stream command: %s", error)
            case Ignored(kind=kind):
                self._counters.add("ignored")
                self._say(kind, "ignored: %s (said once for this kind)", kind)

    # --- snapshots --------------------------------------------------------------------------------------------------
    def _resync(self, entry: _Instrument) -> None:
        self._counters.add("resyncs")
        self._snapshot_wanted.set()

    def _came_live(self, entry: _Instrument, exchange_time_ns: int, receive_time_ns: int) -> None:
        feed = entry.feed
        if not feed.publish_snapshot(exchange_time_ns, receive_time_ns):
            self.on_crossed(feed)
            return
        entry.failures, entry.not_before_ns = 0, 0
        self._log.info("%s: book is live, epoch %d, update %d", feed.symbol, feed.epoch, feed.update_id)

    async def _fetch_snapshots(self) -> None:
        """One at a time, spaced; an instrument that is put off does not hold the others up."""
        while True:
            entry, wait_s = self._next_wanting()
            if entry is None:
                self._snapshot_wanted.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._snapshot_wanted.wait(), wait_s)
                continue
            await self._fetch_snapshot(entry)
            await asyncio.sleep(SNAPSHOT_SPACING_S)

    def _next_wanting(self) -> tuple[_Instrument | None, float | None]:
        """The instrument that has waited longest, or how long until one may ask."""
        now = monotonic_ns()
        wanting = [
            entry
            for entry in self._instruments.values()
            if entry.sequencer.needs_snapshot and entry.sequencer.buffered > 0
        ]
        if not wanting:
            return None, None
        entry = min(wanting, key=lambda candidate: candidate.not_before_ns)
        return (entry, None) if entry.not_before_ns <= now else (None, (entry.not_before_ns - now) / 1e9)

    async def _fetch_snapshot(self, entry: _Instrument) -> None:
        resets = entry.sequencer.resets
        try:
            snapshot = await self._fetcher.depth(entry.symbol)
        except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
            self._counters.add("snapshot_failures")
            self._say(f"snapshot {type(failure).__name__}", "%s: no snapshot: %s", entry.symbol, failure)
            entry.put_off(failure.retry_after_s if isinstance(failure, RateLimited) else 0.0)
            if isinstance(failure, RateLimited):  # the limit is the address's: nobody asks before
                for other in self._instruments.values():
                    other.not_before_ns = max(other.not_before_ns, entry.not_before_ns)
            return
        self._counters.add("snapshots")
        if entry.sequencer.resets != resets or not entry.sequencer.needs_snapshot:
            return  # the stream was interrupted while we waited: this may be from before
        step = entry.sequencer.on_snapshot(snapshot)
        if step is Step.LIVE:
            self._came_live(entry, snapshot.exchange_time_ns, entry.feed.book_receive_time_ns)
        elif step is Step.TOO_OLD:
            self._counters.add("snapshots_too_old")
            entry.put_off()

    # --- the process's state ----------------------------------------------------------------------------------------
    async def _tick(self) -> None:
        while True:
            self._monitor.check((entry.feed for entry in self._instruments.values()), monotonic_ns())
            self._context.set_state(*self._state())
            await asyncio.sleep(TICK_S)

    def _state(self) -> tuple[ProcessState, str]:
        if not all(connection.connected for connection in self._connections):
            return ProcessState.CONNECTING, self._retry_text or f"connecting to {self._endpoints.stream}"
        stale = [symbol for symbol, entry in self._instruments.items() if entry.feed.live and entry.feed.stale]
        if stale:
            return ProcessState.UNHEALTHY, f"stale: {', '.join(stale)}"
        missing = [symbol for symbol, entry in self._instruments.items() if not entry.feed.live]
        if missing:
            return ProcessState.RECOVERING, f"no book yet: {', '.join(missing)}"
        return ProcessState.READY, ""

    def _say(self, kind: str, text: str, *arguments: object) -> None:
        """Log once per kind; the counters tell how often."""
        if kind not in self._said:
            self._said.add(kind)
            self._log.warning(text, *arguments)
