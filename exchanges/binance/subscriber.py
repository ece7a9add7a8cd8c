"""Public streams of Binance into the market ring, the books, tickers and instruments tables.

Two connections, because one carries one route: /public has depth and bookTicker, /market has trades and mark prices.

The rule: snapshots cost 20 of the 2400 weight that this address has a minute, so they are fetched one at a time,
spaced, and ever slower where they do not help. What all venues share is exchanges/market_subscriber.py.

Who calls it: processes/market_server.py, through the factory. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from exchanges.adapter import ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.binance import endpoints
from exchanges.binance.codec import MarketCodec
from exchanges.binance.data_fetcher import BinanceDataFetcher, RateLimited
from exchanges.binance.endpoints import VENUE, Endpoints
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.binance.sequencer import BookSequencer
from exchanges.instrument_feed import (
    SEEN_AGGREGATED_TRADE,
    SEEN_DEPTH,
    SEEN_QUOTE,
    SEEN_TICKER,
    SEEN_TRADE,
    InstrumentFeed,
)
from exchanges.instrument_rows import Scales
from exchanges.market_events import ControlReply, MalformedFrame, MarketEvent
from exchanges.market_subscriber import Instrument, MarketSubscriber
from exchanges.websocket import SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns

SNAPSHOT_SPACING_S: Final = 0.2
"""At most 5 x 20 weight a second, and only while books are broken."""
PUBLIC_STREAMS: Final = SEEN_DEPTH | SEEN_QUOTE
MARKET_STREAMS: Final = SEEN_TRADE | SEEN_AGGREGATED_TRADE | SEEN_TICKER


class BinanceSubscriber(MarketSubscriber):
    """See ExchangeSubscriber."""

    def __init__(
        self,
        context: ExchangeContext,
        fetcher: BinanceDataFetcher,
        policy: WebSocketPolicy | None = None,
    ) -> None:
        self._endpoints: Endpoints = endpoints.endpoints(context.settings)
        self._rest = fetcher
        stale_after_s = context.settings.stale_after_ms / 1000.0
        usual = WebSocketPolicy(
            stale_after_s=max(5.0, 2.5 * stale_after_s),
            renew_after_s=endpoints.CONNECTION_LIFETIME_S - 1800.0,
        )
        self._frames = FrameScanner()
        super().__init__(context, fetcher, policy or usual, self._frames)
        self._snapshot_wanted = asyncio.Event()

    # --- what a venue supplies --------------------------------------------------------------------------------------
    def _source(self) -> tuple[str, str]:
        return self._endpoints.rest, self._endpoints.stream

    def _make_codec(self, scales: dict[str, Scales]) -> MarketCodec:
        codec = MarketCodec(scales)
        self._rest.codec = codec
        return codec

    def _make_sequencer(self, feed: InstrumentFeed) -> BookSequencer:
        return BookSequencer(feed)

    def _make_listener(self) -> MarketListener:
        return MarketListener(self._frames, self, self._counters)

    def _make_connections(self) -> list[WebSocketConnection]:
        symbols = list(self._instruments)
        public = [f(s) for s in symbols for f in (endpoints.depth_stream, endpoints.book_ticker_stream)]
        market = [
            f(s)
            for s in symbols
            for f in (endpoints.agg_trade_stream, endpoints.trade_stream, endpoints.mark_price_stream)
        ]
        return [
            self._connection(f"{VENUE} public stream", self._endpoints.public(public), PUBLIC_STREAMS),
            self._connection(f"{VENUE} market stream", self._endpoints.market(market), MARKET_STREAMS),
        ]

    def _venue_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._fetch_snapshots()]

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

    def _want_snapshot(self, entry: Instrument) -> None:
        self._snapshot_wanted.set()

    def _on_event(self, event: MarketEvent, receive_time_ns: int) -> None:
        if isinstance(event, ControlReply) and event.error:
            self._say(f"control {event.error}", "the venue refused a stream command: %s", event.error)

    # --- snapshots --------------------------------------------------------------------------------------------------
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

    def _next_wanting(self) -> tuple[Instrument | None, float | None]:
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

    async def _fetch_snapshot(self, entry: Instrument) -> None:
        resets = entry.sequencer.resets
        try:
            snapshot = await self._rest.depth(entry.symbol)
        except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
            self._counters.add("snapshot_failures")
            self._say(f"snapshot {type(failure).__name__}", "%s: no snapshot: %s", entry.symbol, failure)
            entry.put_off(failure.retry_after_s if isinstance(failure, RateLimited) else 0.0)
            if isinstance(failure, RateLimited):  # the limit is the address's: nobody asks before
                for other in self._instruments.values():
                    other.not_before_ns = max(other.not_before_ns, entry.not_before_ns)
            return
        if entry.sequencer.resets != resets or not entry.sequencer.needs_snapshot:
            self._counters.add("snapshots")
            return  # the stream was interrupted while we waited: this may be from before
        self._on_snapshot(entry, snapshot, entry.feed.book_receive_time_ns)
