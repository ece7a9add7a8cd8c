"""Public streams of GRVT into the market ring, the books, tickers and instruments tables.

One connection carries book.d, mini.d, ticker.s and trade of every symbol. Books and mini tickers begin with a whole
one and go on with changes, so both are resynced the same way: unsubscribe, subscribe, and a whole one comes again.

The rule: one resubscription at a time and stream; where no whole one comes it is asked for again, ever more slowly.
What all venues share is exchanges/market_subscriber.py.

Who calls it: processes/market_server.py, through the factory. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from exchanges.adapter import ExchangeContext
from exchanges.book_step import Step
from exchanges.grvt import endpoints
from exchanges.grvt.codec import MarketCodec
from exchanges.grvt.data_fetcher import GrvtDataFetcher
from exchanges.grvt.endpoints import VENUE, Endpoints
from exchanges.grvt.fast_decode import FrameScanner, MarketListener
from exchanges.grvt.sequencer import BookSequencer
from exchanges.instrument_feed import SEEN_DEPTH, SEEN_QUOTE, SEEN_TICKER, SEEN_TRADE, InstrumentFeed
from exchanges.instrument_rows import Scales
from exchanges.market_events import ControlReply, MarketEvent, QuoteChange, Subscribed
from exchanges.market_subscriber import Instrument, MarketSubscriber
from exchanges.websocket import SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns

STREAMS: Final = SEEN_DEPTH | SEEN_QUOTE | SEEN_TICKER | SEEN_TRADE
ASK_AGAIN_S: Final = 5.0
"""A subscription that has sent nothing whole for so long is asked for anew."""
LOOK_S: Final = 0.1
SELECTORS: Final = {
    endpoints.BOOK: endpoints.book_selector,
    endpoints.MINI: endpoints.mini_selector,
    endpoints.TICKER: endpoints.ticker_selector,
    endpoints.TRADE: endpoints.trade_selector,
}


class GrvtSubscriber(MarketSubscriber):
    """See ExchangeSubscriber."""

    def __init__(
        self, context: ExchangeContext, fetcher: GrvtDataFetcher, policy: WebSocketPolicy | None = None
    ) -> None:
        self._endpoints: Endpoints = endpoints.endpoints(context.settings)
        stale_after_s = context.settings.stale_after_ms / 1000.0
        self._check_gaps = context.settings.check_gaps
        self._frames = FrameScanner(lite=self._endpoints.lite, check_gaps=self._check_gaps)
        usual = WebSocketPolicy(stale_after_s=max(5.0, 2.5 * stale_after_s))
        super().__init__(context, fetcher, policy or usual, self._frames)
        self._commands: MarketCodec = MarketCodec({}, lite=self._endpoints.lite)
        self._asked: dict[tuple[str, str], int] = {}
        """(stream, symbol) -> when it was last subscribed; gone when the whole one came."""
        self._wanted = asyncio.Event()
        self._requests = 0

    # --- what a venue supplies --------------------------------------------------------------------------------------
    def _source(self) -> tuple[str, str]:
        return self._endpoints.market_data, self._endpoints.stream

    def _make_codec(self, scales: dict[str, Scales]) -> MarketCodec:
        self._commands = MarketCodec(scales, lite=self._endpoints.lite)
        return self._commands

    def _make_sequencer(self, feed: InstrumentFeed) -> BookSequencer:
        return BookSequencer(feed, check_gaps=self._check_gaps)

    def _make_listener(self) -> MarketListener:
        return MarketListener(self._frames, self, self._counters)

    def _make_connections(self) -> list[WebSocketConnection]:
        name = f"{VENUE} public stream"
        return [self._connection(name, self._endpoints.stream, STREAMS, on_connected=self._subscribe_all)]

    def _venue_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._resubscribe()]

    def _silent_streams(self, streams: int) -> SilentStreams:
        """Depth, mini and ticker begin with a whole one; nobody may have traded."""
        silent = SilentStreams([], [])
        for symbol, entry in self._instruments.items():
            missing = streams & ~entry.feed.seen
            for bit, name, names in (
                (SEEN_DEPTH, endpoints.BOOK, silent.required),
                (SEEN_QUOTE, endpoints.MINI, silent.required),
                (SEEN_TICKER, endpoints.TICKER, silent.required),
                (SEEN_TRADE, endpoints.TRADE, silent.optional),
            ):
                if missing & bit:
                    names.append(f"{name} of {symbol}")
        return silent

    def _want_snapshot(self, entry: Instrument) -> None:
        self._wanted.set()

    def _on_event(self, event: MarketEvent, receive_time_ns: int) -> None:
        match event:
            case ControlReply(error=error) if error:
                self._say(f"control {error}", "the venue refused a stream command: %s", error)
            case Subscribed(stream=endpoints.BOOK, first_sequences=firsts):
                for selector, first in firsts.items():
                    if entry := self._instruments.get(selector.partition("@")[0]):
                        entry.sequencer.begins_at(first)
            case QuoteChange(symbol=symbol):
                feed, quotes = self._instruments[symbol].feed, self._frames.quotes(symbol)
                step = quotes.on_change(event)
                if step is Step.APPLIED:
                    feed.publish_quote(quotes.quote(symbol, event.exchange_time_ns), receive_time_ns)
                elif step is Step.GAP:
                    self.on_quote_gap(feed)

    # --- subscriptions ----------------------------------------------------------------------------------------------
    def _subscribe_all(self) -> None:
        """Of a new connection: nothing of the old one counts any more."""
        now = monotonic_ns()
        for symbol in self._instruments:
            self._frames.quotes(symbol).reset()
            self._asked[endpoints.BOOK, symbol] = self._asked[endpoints.MINI, symbol] = now
        for stream, selector in SELECTORS.items():
            self._requests += 1
            message = self._commands.subscribe(
                stream, [selector(symbol) for symbol in self._instruments], self._requests
            )
            self._connections[0].send(message)

    def on_quote_gap(self, feed: InstrumentFeed) -> None:
        """A mini ticker is missing. What it changed may be either side, so no quote is told until a whole one comes."""
        self._counters.add("gaps")
        self._counters.add("resyncs")
        self._log.warning("%s: gap in the mini tickers", feed.symbol)
        self._asked.pop((endpoints.MINI, feed.symbol), None)
        self._wanted.set()

    def _resync(self, entry: Instrument) -> None:
        self._asked.pop((endpoints.BOOK, entry.symbol), None)
        super()._resync(entry)

    async def _resubscribe(self) -> None:
        while True:
            # asyncio.timeout, here and elsewhere: wait_for of Python 3.11 can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
            self._wanted.clear()
            if self._connections[0].connected:
                now = monotonic_ns()
                for entry in self._instruments.values():
                    whole = not entry.sequencer.needs_snapshot
                    self._look(endpoints.BOOK, entry, whole, max(entry.not_before_ns, 0), now)
                    self._look(endpoints.MINI, entry, self._frames.quotes(entry.symbol).known, 0, now)

    def _look(self, stream: str, entry: Instrument, whole: bool, not_before_ns: int, now: int) -> None:
        key = (stream, entry.symbol)
        if whole:
            self._asked.pop(key, None)
            return
        asked = self._asked.get(key)
        if now < not_before_ns or (asked is not None and now - asked < ASK_AGAIN_S * 1e9):
            return
        self._asked[key] = now
        selector = [SELECTORS[stream](entry.symbol)]
        for command in (self._commands.unsubscribe, self._commands.subscribe):
            self._requests += 1
            self._connections[0].send(command(stream, selector, self._requests))
