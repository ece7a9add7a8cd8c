"""Public channels of Deribit into the market ring, the books, tickers and instruments tables.

One connection: channels are subscribed on it after the handshake, in one request. With credentials it logs in and takes
the unaggregated channels (raw), without it those of 100 ms.

The rules
- A book that is not in step is subscribed again: unsubscribe, wait for the reply, subscribe, wait for the snapshot.
  Only so is a snapshot sure to come. Many books at once go in one request, because subscribing has a small budget.
- The venue sends a book only when it changes, and options rest for minutes. So a book is fresh while its connection
  speaks; a connection that rests is asked (public/test), and answered it must be.
- What a reply leaves out of the asked channels is not subscribed, and no error says so.

Docs: https://docs.deribit.com/articles/notifications. What all venues share is exchanges/market_subscriber.py.

Who calls it: processes/market_server.py, through the factory. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from exchanges.adapter import ConfigurationError, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.deribit import endpoints
from exchanges.deribit.auth import RequestSigner
from exchanges.deribit.codec import MarketCodec, command
from exchanges.deribit.data_fetcher import DeribitDataFetcher
from exchanges.deribit.endpoints import VENUE, Endpoints
from exchanges.deribit.error_codes import KEY_CODES
from exchanges.deribit.fast_decode import FrameScanner, MarketListener
from exchanges.deribit.sequencer import BookSequencer
from exchanges.deribit.session import LoginFailed, Session
from exchanges.instrument_feed import SEEN_DEPTH, SEEN_QUOTE, SEEN_TICKER, SEEN_TRADE, InstrumentFeed
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BookSnapshot,
    ControlReply,
    Heartbeat,
    IndexPrice,
    InstrumentChange,
    MalformedFrame,
    MarketEvent,
    MarkPrice,
    PlatformChange,
)
from exchanges.market_subscriber import Instrument, MarketSubscriber
from exchanges.venue_clock import VenueClock
from exchanges.websocket import SilentStreams, WebSocketConnection, WebSocketPolicy
from shm.clock import monotonic_ns
from shm.layout import InstrumentStatus, MarketStatusCode, Reason

COUNTERS: Final = ("listings",)
"""Instruments that the venue listed while we run and that are not configured here."""
STREAMS: Final = SEEN_DEPTH | SEEN_QUOTE | SEEN_TRADE | SEEN_TICKER
REPLY_S: Final = 5.0
SNAPSHOT_S: Final = 2.0
"""How long a snapshot may take after the subscription was confirmed, before it is asked for again."""
SETTLE_S: Final = 2.0
"""Between a word of the venue on its instruments and our asking for them: such words come in bursts."""
SCOPES: Final = "account:read"


class StreamRefused(Exception):
    """The venue refused what the connection is for; `str()` says what, `code` is the venue's number (0: no answer)."""

    def __init__(self, sentence: str, code: int = 0) -> None:
        super().__init__(sentence)
        self.code = code


class DeribitSubscriber(MarketSubscriber):
    """See ExchangeSubscriber."""

    def __init__(
        self,
        context: ExchangeContext,
        fetcher: DeribitDataFetcher,
        policy: WebSocketPolicy | None = None,
    ) -> None:
        self._endpoints: Endpoints = endpoints.endpoints(context.settings)
        self._rest = fetcher
        self._clock = VenueClock()
        self._session = None
        self._interval = endpoints.AGGREGATED
        if context.credentials is not None:
            signer = RequestSigner(context.credentials, context.settings.login)
            self._session = Session(signer, self._clock.now_ms, "corelane-market", SCOPES)
            self._interval = endpoints.RAW
        stale_after_s = context.settings.stale_after_ms / 1000.0
        self._frames = FrameScanner()
        context.counters.declare(COUNTERS)
        super().__init__(
            context, fetcher, policy or WebSocketPolicy(stale_after_s=max(5.0, 2.5 * stale_after_s)), self._frames
        )
        self._probe_s = stale_after_s / 4
        self._link: WebSocketConnection
        self._request_id = 0
        self._pending: dict[int, asyncio.Future[ControlReply]] = {}
        self._wanting: set[str] = set()
        self._snapshot_wanted = asyncio.Event()
        self._instruments_wanted = asyncio.Event()
        self._marks: dict[str, MarkPrice] = {}
        self._streaming: asyncio.Task[None] | None = None
        self._refused: asyncio.Future[None]

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
        self._link = self._connection(f"{VENUE} public stream", self._endpoints.public(), STREAMS, self._begin_streams)
        return [self._link]

    def _venue_tasks(self) -> list[Coroutine[Any, Any, None]]:
        self._refused = asyncio.get_running_loop().create_future()
        return [self._renew_books(), self._probe(), self._until_refused()]

    def _silent_streams(self, streams: int) -> SilentStreams:
        """Book and ticker begin with their present state; nobody may have changed a best quote or traded."""
        silent = SilentStreams([], [])
        for symbol, entry in self._instruments.items():
            missing = 0 if entry.closed else streams & ~entry.feed.seen
            for bit, channel, names in (
                (SEEN_DEPTH, endpoints.book_channel(symbol, self._interval), silent.required),
                (SEEN_TICKER, endpoints.ticker_channel(symbol, self._interval), silent.required),
                (SEEN_QUOTE, endpoints.quote_channel(symbol), silent.optional),
                (SEEN_TRADE, endpoints.trades_channel(symbol, self._interval), silent.optional),
            ):
                if missing & bit:
                    names.append(channel)
        return silent

    def _want_snapshot(self, entry: Instrument) -> None:
        if not entry.closed:
            self._wanting.add(entry.symbol)
            self._snapshot_wanted.set()

    def _heard_ns(self) -> int:
        return self._link.receive_time_ns

    def _on_lost(self) -> None:
        self._wanting.clear()  # the next connection subscribes to everything
        if self._streaming is not None:
            self._streaming.cancel()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(StreamRefused("the connection was lost before the reply"))

    def _cancel(self) -> None:
        super()._cancel()
        if self._streaming is not None:
            self._streaming.cancel()

    async def _until_refused(self) -> None:
        await self._refused

    # --- requests on the stream -------------------------------------------------------------------------------------
    async def _ask(self, method: str, params: Mapping[str, Any]) -> bytes:
        """The result. Raises StreamRefused."""
        self._request_id += 1
        request_id = self._request_id
        future = self._pending[request_id] = asyncio.get_running_loop().create_future()
        try:
            if not self._link.send(command(method, params, request_id)):
                raise StreamRefused(f"{method}: not connected")
            async with asyncio.timeout(REPLY_S):
                reply: ControlReply = await future
        except TimeoutError:
            raise StreamRefused(f"{method}: no reply within {REPLY_S:g} s") from None
        finally:
            del self._pending[request_id]
        if reply.error:
            raise StreamRefused(f"{method}: {reply.error}", reply.code)
        return reply.result

    async def _subscribe(self, channels: Sequence[str]) -> None:
        """Raises StreamRefused, also where the venue leaves one out."""
        for first in range(0, len(channels), endpoints.CHANNELS_PER_REQUEST):
            some = channels[first : first + endpoints.CHANNELS_PER_REQUEST]
            result = await self._ask(endpoints.SUBSCRIBE, {"channels": some})
            try:
                granted = msgspec.json.decode(result, type=set[str])
            except msgspec.DecodeError:
                raise StreamRefused(f"public/subscribe: the reply is no list of channels: {result[:80]!r}") from None
            if missing := [channel for channel in some if channel not in granted]:
                raise StreamRefused(f"the venue did not subscribe {', '.join(missing)}")

    def _begin_streams(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
        self._streaming = asyncio.get_running_loop().create_task(self._stream())

    async def _stream(self) -> None:
        """From the handshake on: log in where there is a key, subscribe, refresh the login for as long as it lives."""
        try:
            if self._session is not None:
                await self._clock.measure(self._rest.server_time, samples=1)
                self._session.granted(await self._ask(endpoints.AUTH, self._session.login()))
            await self._ask(endpoints.SET_HEARTBEAT, {"interval": endpoints.HEARTBEAT_S})
            await self._subscribe(self._channels())
            while self._session is not None:
                await asyncio.sleep(self._session.refresh_in_s)
                self._session.granted(await self._ask(endpoints.AUTH, self._session.refresh()))
        except LoginFailed as failure:  # no other answer will come for this key
            self._end_for_good(ConfigurationError(f"venues.{VENUE}.credentials: {failure}"))
        except StreamRefused as failure:
            if failure.code in KEY_CODES:
                self._end_for_good(VenueRefused(str(failure), code=failure.code, reason=Reason.VENUE_SIGNATURE))
            self._link.disconnect(str(failure))
        except (VenueUnavailable, VenueRefused, MalformedFrame) as failure:
            self._link.disconnect(str(failure))

    def _end_for_good(self, why: Exception) -> None:
        if not self._refused.done():
            self._refused.set_exception(why)

    def _channels(self) -> list[str]:
        interval = self._interval
        channels = [endpoints.INSTRUMENT_STATE, endpoints.PLATFORM_STATE]
        channels += [endpoints.index_channel(index) for index in sorted(set(self._rest.index_of.values()))]
        for symbol, entry in self._instruments.items():
            if entry.closed:
                continue
            channels += [
                endpoints.ticker_channel(symbol, interval),
                endpoints.quote_channel(symbol),
                endpoints.trades_channel(symbol, interval),
                endpoints.book_channel(symbol, interval),
            ]
        return channels

    # --- what the compiled listener hands over ----------------------------------------------------------------------
    def _on_event(self, event: MarketEvent, receive_time_ns: int) -> None:
        match event:
            case Heartbeat(asks=True):
                self._send_test()
            case ControlReply(request_id=request_id):
                future = self._pending.get(request_id) if request_id is not None else None
                if future is not None and not future.done():
                    future.set_result(event)
                elif event.error:
                    self._say(f"control {event.error}", "the venue refused a request of the stream: %s", event.error)
            case IndexPrice():
                self._on_index(event, receive_time_ns)
            case InstrumentChange():
                self._on_instrument(event)
            case PlatformChange():
                self._on_platform(event)

    def _publish_ticker(self, entry: Instrument, event: MarkPrice, receive_time_ns: int) -> None:
        self._marks[entry.symbol] = event
        super()._publish_ticker(entry, event, receive_time_ns)

    def _on_index(self, event: IndexPrice, receive_time_ns: int) -> None:
        """The index moves more often than the tickers that name it."""
        for symbol, index in self._rest.index_of.items():
            mark = self._marks.get(symbol)
            if index == event.index and mark is not None and event.exchange_time_ns > mark.exchange_time_ns:
                fresher = msgspec.structs.replace(
                    mark, index_price=event.price, exchange_time_ns=event.exchange_time_ns
                )
                self._publish_ticker(self._instruments[symbol], fresher, receive_time_ns)

    def _on_instrument(self, event: InstrumentChange) -> None:
        entry = self._instruments.get(event.symbol)
        if entry is None:
            if event.status == InstrumentStatus.PENDING:
                self._counters.add("listings")
                self._log.info("%s: listed by the venue, not configured here", event.symbol)
            return
        if event.status == InstrumentStatus.CLOSED and not entry.closed:
            entry.closed = True
            self._rest.closed.add(entry.symbol)
            self._wanting.discard(entry.symbol)
            if entry.feed.live:
                entry.feed.withdraw(MarketStatusCode.DISCONNECTED)
            entry.sequencer.reset()
            self._log.warning("%s: expired or delisted, it has no market any more", entry.symbol)
        self._set_status(event.symbol, event.status)
        self._instruments_wanted.set()

    def _on_platform(self, event: PlatformChange) -> None:
        """A lock holds at once; what trades after its end is the venue's to say."""
        if not event.locked:
            self._instruments_wanted.set()
            return
        for symbol, entry in self._instruments.items():
            if not entry.closed and event.index in ("", self._rest.index_of.get(symbol)):
                self._set_status(symbol, InstrumentStatus.HALTED)

    async def _until_refresh(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._instruments_wanted.wait()
            await asyncio.sleep(SETTLE_S)
        self._instruments_wanted.clear()

    # --- snapshots --------------------------------------------------------------------------------------------------
    def _on_snapshot(self, entry: Instrument, snapshot: BookSnapshot, receive_time_ns: int) -> None:
        if not entry.closed:
            self._wanting.discard(entry.symbol)
            super()._on_snapshot(entry, snapshot, receive_time_ns)

    async def _renew_books(self) -> None:
        """Subscribe anew to the books that want it, all that may at once in one request."""
        while True:
            entries, wait_s = self._next_wanting()
            if not entries or not self._link.connected:
                self._snapshot_wanted.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._snapshot_wanted.wait()
                continue
            channels = [endpoints.book_channel(entry.symbol, self._interval) for entry in entries]
            try:
                await self._ask(endpoints.UNSUBSCRIBE, {"channels": channels})
                for entry in entries:
                    entry.put_off(SNAPSHOT_S)
                await self._subscribe(channels)
            except StreamRefused as failure:
                self._counters.add("snapshot_failures")
                self._link.disconnect(f"books could not be subscribed again: {failure}")
            await asyncio.sleep(endpoints.SUBSCRIBE_SPACING_S)

    def _next_wanting(self) -> tuple[list[Instrument], float | None]:
        """Those that may ask now, or how long until one may."""
        now = monotonic_ns()
        wanting = [self._instruments[symbol] for symbol in self._wanting]
        due = [entry for entry in wanting if entry.not_before_ns <= now][: endpoints.CHANNELS_PER_REQUEST]
        if due or not wanting:
            return due, None
        return [], (min(entry.not_before_ns for entry in wanting) - now) / 1e9

    # --- liveness ---------------------------------------------------------------------------------------------------
    async def _probe(self) -> None:
        """A connection that rests must answer: only then do quiet books count as fresh."""
        while True:
            await asyncio.sleep(self._probe_s)
            if self._link.connected and monotonic_ns() - self._link.receive_time_ns > self._probe_s * 1e9:
                self._send_test()

    def _send_test(self) -> None:
        self._request_id += 1
        self._link.send(command(endpoints.TEST, {}, self._request_id))
