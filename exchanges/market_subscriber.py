"""What the public streams of every venue have in common on their way into the market ring and the tables.

Frames go from the socket to the ring in compiled code (the venue's fast_decode.pyx); here is the rest: instruments,
what the scanner did not know, books that are not in step, connections that come and go, and what the process says of
its state. A venue's subscriber adds its connections and how a book gets its next snapshot.

The rule: a book that cannot be vouched for is withdrawn first and repaired after.

Who calls it: subscriber.py of each venue inherits. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from exchanges.adapter import (
    ConfigurationError,
    ConnectionHealth,
    ExchangeContext,
    ExchangeDataFetcher,
    VenueRefused,
    VenueUnavailable,
)
from exchanges.book_step import Sequencer, Step
from exchanges.frame_listener import FrameListener
from exchanges.instrument_feed import SEEN_DEPTH, InstrumentFeed, MarketOutput
from exchanges.instrument_rows import Scales, load_rows, rows_file, save_rows, scales_of
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Ignored,
    MalformedFrame,
    MarketEvent,
    MarkPrice,
    PublicTrade,
    PublicTrades,
)
from exchanges.monitor import ExchangeMonitor
from exchanges.websocket import SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns
from shm.layout import (
    CONNECTIONS_PER_PROCESS,
    ROW_MASK,
    ConnectionState,
    InstrumentStatus,
    MarketStatusCode,
    ProcessState,
)
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
RETRY_FIRST_S: Final = 0.2
RETRY_LIMIT_S: Final = 10.0
INSTRUMENTS_REFRESH_S: Final = 3600.0


class Scanner(Protocol):
    """FrameScanner of a venue."""

    def add(self, symbol: str, price_scale: int, quantity_scale: int, feed: InstrumentFeed | None = None) -> None: ...


class MarketDecoder(Protocol):
    """MarketCodec of a venue."""

    def decode(self, frame: bytes) -> MarketEvent: ...


@dataclass
class Instrument:
    """One configured symbol: its way out, its book's rule, and when it may ask for a snapshot again."""

    feed: InstrumentFeed
    sequencer: Any  # the venue's BookSequencer; what is common of it is Sequencer
    failures: int = 0
    not_before_ns: int = 0
    closed: bool = False
    """Expired or delisted while we run: it has no book any more, and nobody waits for one."""

    @property
    def symbol(self) -> str:
        return self.feed.symbol

    def put_off(self, at_least_s: float = 0.0) -> None:
        pause_s = max(at_least_s, min(RETRY_LIMIT_S, RETRY_FIRST_S * 2.0**self.failures))
        self.failures += 1
        self.not_before_ns = monotonic_ns() + int(pause_s * 1e9)


class MarketSubscriber:
    """See ExchangeSubscriber. Made before the loop runs or inside it; `run()` does all work.

    A venue overrides the methods of the first section. `fetcher` is closed here.
    """

    def __init__(
        self, context: ExchangeContext, fetcher: ExchangeDataFetcher, policy: WebSocketPolicy, scanner: Scanner
    ) -> None:
        venue = context.venue
        self._context, self._settings, self._log = context, context.settings, context.log
        self._fetcher: ExchangeDataFetcher = fetcher
        self._policy, self._scanner = policy, scanner
        context.counters.declare(COUNTERS)
        self._counters = context.counters
        self._output = MarketOutput(
            context.segment(f"{venue}.market"),
            context.segment(f"{venue}.books"),
            context.segment(f"{venue}.tickers"),
            context.counters,
        )
        self._instrument_rows = TableWriter(context.segment(f"{venue}.instruments"))
        self._monitor = ExchangeMonitor(context.settings.stale_after_ms * 1_000_000, context.counters, context.log)
        self._codec: MarketDecoder
        self._rows: dict[str, InstrumentRow] = {}
        self._instruments: dict[str, Instrument] = {}
        self._connections: list[WebSocketConnection] = []
        self._said: set[str] = set()
        self._retry_text = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    # --- what a venue supplies --------------------------------------------------------------------------------------
    def _source(self) -> tuple[str, str]:
        """Where instruments and where streams come from, for the operator's eye."""
        raise NotImplementedError

    def _make_codec(self, scales: dict[str, Scales]) -> MarketDecoder:
        raise NotImplementedError

    def _make_sequencer(self, feed: InstrumentFeed) -> Sequencer:
        raise NotImplementedError

    def _make_listener(self) -> FrameListener:
        raise NotImplementedError

    def _make_connections(self) -> list[WebSocketConnection]:
        raise NotImplementedError

    def _venue_tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Work of the venue's own beside connections and refreshing."""
        return []

    def _silent_streams(self, streams: int) -> SilentStreams:
        """Which of these Stream bits of which instruments have not sent their first message."""
        raise NotImplementedError

    def _want_snapshot(self, entry: Instrument) -> None:
        """The book of this instrument needs one, now or when its time comes."""
        raise NotImplementedError

    def _on_event(self, event: MarketEvent, receive_time_ns: int) -> None:
        """A reply, or an event that not every venue has."""
        raise AssertionError(f"nobody decodes {type(event).__name__} here")

    def _heard_ns(self) -> int:
        """Newest frame of the connection of the books, where a quiet book is a good one; 0: books never rest."""
        return 0

    def _on_lost(self) -> None:
        """A connection is gone: replies that were awaited do not come."""

    # --- ExchangeSubscriber -----------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return bool(self._instruments) and all(entry.feed.good or entry.closed for entry in self._instruments.values())

    def connections(self) -> Sequence[ConnectionHealth]:
        """Where there are more than the process row has room for, those that are not up come first."""
        health = [
            ConnectionHealth(link.name, link.state, link.receive_time_ns, link.is_stuck()) for link in self._connections
        ]
        if len(health) > CONNECTIONS_PER_PROCESS:
            health.sort(key=lambda one: one.state is ConnectionState.UP)
        return health

    async def run(self) -> None:
        rows, fresh = await self._first_rows()
        if self._closing.is_set():
            return
        self._begin(rows)
        self._connections = self._make_connections()
        work = [link.run() for link in self._connections]
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [
                    group.create_task(task)
                    for task in (*work, *self._venue_tasks(), self._refresh_rows(fresh), self._tick())
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
        self._withdraw(self._instruments.values(), code)

    @staticmethod
    def _withdraw(entries: Iterable[Instrument], code: MarketStatusCode) -> None:
        for entry in entries:
            if entry.feed.live:
                entry.feed.withdraw(code)
            entry.sequencer.reset()

    # --- instruments ------------------------------------------------------------------------------------------------
    async def _first_rows(self) -> tuple[list[InstrumentRow], bool]:
        """From the venue; where it does not answer, the rows kept from an earlier run; else try until it does, or until
        closed (no rows)."""
        path = rows_file(self._context.state_dir, self._context.venue)
        failures = 0
        self._context.set_state(ProcessState.CONNECTING, f"asking {self._source()[0]} for its instruments")
        while not self._closing.is_set():
            try:
                rows = await self._fetcher.instruments()
                save_rows(path, rows)
                return rows, True
            except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
                kept = load_rows(path, self._settings.symbols, self._context.instruments)
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
        self._codec = self._make_codec(scales_of(rows))
        for row in rows:
            symbol = row.symbol.decode()
            feed = InstrumentFeed(self._output, symbol, row.instrument_id, row.price_scale, row.quantity_scale)
            self._scanner.add(symbol, row.price_scale, row.quantity_scale, feed)
            self._instruments[symbol] = Instrument(feed, self._make_sequencer(feed))
        self._write_rows(rows)

    def _write_rows(self, rows: Sequence[InstrumentRow]) -> None:
        for row in rows:
            self._rows[row.symbol.decode()] = row
            self._instrument_rows.write(row.instrument_id & ROW_MASK, row)

    def _set_status(self, symbol: str, status: InstrumentStatus) -> None:
        """Of an instrument whose row is written."""
        row = self._rows[symbol]
        if row.status != status:
            self._log.info("%s: now %s", symbol, status.name)
            row.status = status
            self._instrument_rows.write(row.instrument_id & ROW_MASK, row)

    async def _refresh_rows(self, fresh: bool) -> None:
        """Status and limits change while we run; decimals must not, everything published would change its meaning."""
        pause_s = INSTRUMENTS_REFRESH_S if fresh else RETRY_LIMIT_S
        while True:
            await self._until_refresh(pause_s)
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
            save_rows(rows_file(self._context.state_dir, self._context.venue), rows)
            self._write_rows(rows)
            pause_s = INSTRUMENTS_REFRESH_S

    async def _until_refresh(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)

    # --- connections ------------------------------------------------------------------------------------------------
    def _connection(
        self,
        name: str,
        url: str,
        streams: int,
        on_connected: Callable[[], None] = lambda: None,
        *,
        symbols: Sequence[str] | None = None,
        silent_streams: Callable[[], SilentStreams] | None = None,
        policy: WebSocketPolicy | None = None,
    ) -> WebSocketConnection:
        """One that carries these Stream bits of these symbols (None: of all), and whose loss concerns only them.

        on_connected: subscribe, where the URL does not say it all. silent_streams, policy: where those of all
        connections do not fit."""
        entries = [self._instruments[symbol] for symbol in (self._instruments if symbols is None else symbols)]

        async def where() -> str:
            return url

        base = url.split("?", maxsplit=1)[0]
        connects = self._counters.counter("reconnects")

        def connected() -> None:
            if connection.counters.connects > 1:
                connects.add(1)
            self._log.info("%s is up at %s", name, base)
            self._retry_text = ""
            for entry in entries:
                entry.feed.reconnected(streams)
                if streams & SEEN_DEPTH:
                    entry.feed.publish_status(MarketStatusCode.CONNECTED, 0, monotonic_ns())
            on_connected()

        def disconnected(reason: str) -> None:
            if streams & SEEN_DEPTH:
                self._withdraw(entries, MarketStatusCode.DISCONNECTED)
                for entry in entries:
                    self._monitor.reset(entry.feed)
            self._on_lost()

        def retrying(text: str) -> None:
            self._retry_text = f"{base}: {text}"

        def overlap(overlapping: bool) -> None:
            for entry in entries:
                entry.sequencer.overlapping = overlapping

        connection = WebSocketConnection(
            name,
            where,
            self._make_listener,
            policy=policy or self._policy,
            log=self._log,
            on_connected=connected,
            on_disconnected=disconnected,
            on_retry=retrying,
            silent_streams=silent_streams or (lambda: self._silent_streams(streams)),
            on_overlap=overlap,
        )
        return connection

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
            self._want_snapshot(entry)
        elif step is Step.REPEATED:
            self._counters.add("repeated")
        elif entry.sequencer.needs_snapshot:
            self._want_snapshot(entry)

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
            case BookSnapshot(symbol=symbol):
                entry = self._instruments[symbol]
                entry.feed.note_delta(event, receive_time_ns)
                self._on_snapshot(entry, event, receive_time_ns)
            case BestQuote(symbol=symbol):
                self._instruments[symbol].feed.publish_quote(event, receive_time_ns)
            case PublicTrade(symbol=symbol):
                self._instruments[symbol].feed.publish_trade(event, receive_time_ns)
            case PublicTrades(trades=trades):
                for trade in trades:
                    self._instruments[trade.symbol].feed.publish_trade(trade, receive_time_ns)
            case MarkPrice(symbol=symbol):
                self._publish_ticker(self._instruments[symbol], event, receive_time_ns)
            case Ignored(kind=kind, expected=expected):
                self._counters.add("ignored")
                if not expected:
                    self._say(kind, "ignored: %s (said once for this kind)", kind)
            case _:
                self._on_event(event, receive_time_ns)

    def _publish_ticker(self, entry: Instrument, event: MarkPrice, receive_time_ns: int) -> None:
        entry.feed.publish_ticker(event, receive_time_ns)

    # --- snapshots --------------------------------------------------------------------------------------------------
    def _resync(self, entry: Instrument) -> None:
        self._counters.add("resyncs")
        self._want_snapshot(entry)

    def _on_snapshot(self, entry: Instrument, snapshot: BookSnapshot, receive_time_ns: int) -> None:
        """One that came, by whichever way."""
        self._counters.add("snapshots")
        step = entry.sequencer.on_snapshot(snapshot)
        if step is Step.LIVE:
            self._came_live(entry, snapshot.exchange_time_ns, receive_time_ns)
        elif step is Step.TOO_OLD:
            self._counters.add("snapshots_too_old")
            entry.put_off()

    def _came_live(self, entry: Instrument, exchange_time_ns: int, receive_time_ns: int) -> None:
        feed = entry.feed
        if not feed.publish_snapshot(exchange_time_ns, receive_time_ns):
            self.on_crossed(feed)
            return
        entry.failures, entry.not_before_ns = 0, 0
        self._log.info("%s: book is live, epoch %d, update %d", feed.symbol, feed.epoch, feed.update_id)

    # --- the process's state ----------------------------------------------------------------------------------------
    async def _tick(self) -> None:
        while True:
            feeds = (entry.feed for entry in self._instruments.values())
            self._monitor.check(feeds, monotonic_ns(), self._heard_ns())
            self._context.set_state(*self._state())
            await asyncio.sleep(TICK_S)

    def _state(self) -> tuple[ProcessState, str]:
        if not all(connection.connected for connection in self._connections):
            return ProcessState.CONNECTING, self._retry_text or f"connecting to {self._source()[1]}"
        stale = [symbol for symbol, entry in self._instruments.items() if entry.feed.live and entry.feed.stale]
        if stale:
            return ProcessState.UNHEALTHY, f"stale: {', '.join(stale)}"
        missing = [symbol for symbol, entry in self._instruments.items() if not entry.feed.live and not entry.closed]
        if missing:
            return ProcessState.RECOVERING, f"no book yet: {', '.join(missing)}"
        return ProcessState.READY, ""

    def _say(self, kind: str, text: str, *arguments: object) -> None:
        """Log once per kind; the counters tell how often."""
        if kind not in self._said:
            self._said.add(kind)
            self._log.warning(text, *arguments)
