"""Public streams of Binance into the market ring, the books, tickers and instruments tables.

A connection carries one route: /public has depth and bookTicker, /market has trades, mark prices and liquidations; many
symbols are spread over several of each (market_sockets.py). The loss of one concerns its own symbols.

The rule: snapshots cost 20 of the 2400 weight that this address has a minute, so they are fetched one at a time,
spaced, and ever slower where they do not help. What all venues share is exchanges/market_subscriber.py.

Who calls it: processes/market_server.py, through the factory. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

from exchanges.adapter import ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.binance import endpoints
from exchanges.binance.book_refresh import ALL_PRICES, BookRefresh, Refresh
from exchanges.binance.codec import MarketCodec
from exchanges.binance.data_fetcher import BinanceDataFetcher, RateLimited
from exchanges.binance.endpoints import Endpoints
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.binance.market_sockets import MarketSocket, market_sockets
from exchanges.binance.sequencer import BookSequencer
from exchanges.instrument_feed import InstrumentFeed
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookDelta, BookSnapshot, ControlReply, MalformedFrame, MarketEvent
from exchanges.market_subscriber import Instrument, MarketSubscriber
from exchanges.websocket import WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns
from shm.layout import MarketStatusCode

SNAPSHOT_SPACING_S: Final = 0.2
"""At most 5 x 20 weight a second, and only while books are broken."""
BOOK_REFRESH_S: Final = 900.0
"""Between two refreshes of a book: 100 symbols take 133 of the 2400 weight that this address has a minute."""
REFRESH_SPACING_S: Final = 5.0
"""Between the refreshes of two books, and before one is tried again."""
RANGE_SHARE: Final = 0.5
"""Of the way to the end of what the newest snapshot told; when the touch has come so far, the next is fetched early."""
COUNTERS: Final = ("refreshes", "refresh_differences")
RENEWAL_SPREAD: Final = 0.01
"""Of the time between two renewals: about a quarter of an hour, between one socket's and the next's."""


class BinanceSubscriber(MarketSubscriber):
    """See ExchangeSubscriber."""

    def __init__(
        self,
        context: ExchangeContext,
        fetcher: BinanceDataFetcher,
        policy: WebSocketPolicy | None = None,
        streams_per_socket: int = endpoints.STREAMS_PER_SOCKET,
    ) -> None:
        self._streams_per_socket = streams_per_socket
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
        self._refreshes: dict[str, BookRefresh] = {}
        context.counters.declare(COUNTERS)

    # --- what a venue supplies --------------------------------------------------------------------------------------
    def _source(self) -> tuple[str, str]:
        return self._endpoints.rest, self._endpoints.stream

    def _make_codec(self, scales: dict[str, Scales]) -> MarketCodec:
        codec = MarketCodec(scales)
        self._rest.codec = codec
        return codec

    def _make_sequencer(self, feed: InstrumentFeed) -> BookSequencer:
        self._refreshes[feed.symbol] = BookRefresh(feed)
        return BookSequencer(feed)

    def _make_listener(self) -> MarketListener:
        return MarketListener(self._frames, self, self._counters)

    def _make_connections(self) -> list[WebSocketConnection]:
        sockets = market_sockets(list(self._instruments), self._endpoints, self._streams_per_socket)
        return [self._socket(socket, number) for number, socket in enumerate(sockets)]

    def _socket(self, socket: MarketSocket, number: int) -> WebSocketConnection:
        policy = self._policy
        if policy.renew_after_s is not None:
            # Not all at once: each renewal has two connections deliver the same for a while.
            policy = replace(policy, renew_after_s=policy.renew_after_s * (1 - RENEWAL_SPREAD * (number % 16)))
        return self._connection(
            socket.name,
            socket.url,
            socket.streams,
            symbols=socket.symbols,
            silent_streams=lambda: socket.silent(
                {symbol: self._instruments[symbol].feed.seen for symbol in socket.symbols}
            ),
            policy=policy,
        )

    def _venue_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._fetch_snapshots(), self._refresh_books()]

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
                    async with asyncio.timeout(wait_s):
                        await self._snapshot_wanted.wait()
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

    def _on_snapshot(self, entry: Instrument, snapshot: BookSnapshot, receive_time_ns: int) -> None:
        self._refreshes[entry.symbol].on_first_snapshot(snapshot)
        super()._on_snapshot(entry, snapshot, receive_time_ns)

    # --- far levels of books that are in step -----------------------------------------------------------------------
    async def _refresh_books(self) -> None:
        """One book after the other, its turn once in BOOK_REFRESH_S or when the price has come far."""
        due_s = {symbol: _now_s() + BOOK_REFRESH_S for symbol in self._instruments}
        while True:
            await asyncio.sleep(REFRESH_SPACING_S)
            wanting = [symbol for symbol, at_s in due_s.items() if at_s <= _now_s() or self._left_its_range(symbol)]
            if wanting:
                symbol = min(wanting, key=due_s.__getitem__)
                done = await self._refresh_book(self._instruments[symbol])
                due_s[symbol] = _now_s() + (BOOK_REFRESH_S if done else REFRESH_SPACING_S)

    def _left_its_range(self, symbol: str) -> bool:
        """The touch is nearer to the end of the known levels than to where the last snapshot had it."""
        feed, (lowest, highest) = self._instruments[symbol].feed, self._refreshes[symbol].newest_range
        bid, ask = feed.book.best_bid, feed.book.best_ask
        if not feed.live or bid is None or ask is None or not lowest or highest == ALL_PRICES:
            return False
        reach = (highest - lowest) / 2 * RANGE_SHARE
        return bid[0] - lowest < reach or highest - ask[0] < reach

    async def _refresh_book(self, entry: Instrument) -> bool:
        """Whether it is done; a book that is not live has its own snapshot coming."""
        refresh = self._refreshes[entry.symbol]
        if not entry.feed.live:
            return False
        refresh.begin()
        try:
            snapshot = await self._rest.depth(entry.symbol)
        except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
            refresh.cancel()
            self._say(f"refresh {type(failure).__name__}", "%s: book not refreshed: %s", entry.symbol, failure)
            return False
        self._judge(entry, refresh.on_snapshot(snapshot))
        return refresh.state is not Refresh.GIVEN_UP

    def on_applied(self, feed: InstrumentFeed, delta: BookDelta) -> None:
        """A delta that compiled code applied while the book is being refreshed."""
        self._judge(self._instruments[feed.symbol], self._refreshes[feed.symbol].on_applied(delta))

    def _judge(self, entry: Instrument, state: Refresh) -> None:
        if state is Refresh.DONE:
            self._counters.add("refreshes")
        elif state is Refresh.DIFFERENT:
            self._counters.add("refresh_differences")
            self._log.warning("%s: the book differs from the venue's at update %d", entry.symbol, entry.feed.update_id)
            entry.feed.withdraw(MarketStatusCode.GAP)
            entry.sequencer.reset()
            self._resync(entry)


def _now_s() -> float:
    return monotonic_ns() / 1e9
