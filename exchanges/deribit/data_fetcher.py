"""Public state over HTTP: instruments, books, mark prices, the venue's clock.

Docs: https://docs.deribit.com/api-reference/market-data
The private half (orders, trades, positions, balances) is account_fetcher.py. Nothing is retried here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from exchanges.adapter import ExchangeContext, InstrumentIds, VenueRefused, VenueUnavailable
from exchanges.deribit import endpoints, instruments, messages
from exchanges.deribit.codec import NS_PER_MS, MarketCodec
from exchanges.http import HttpHandler
from exchanges.market_events import BookSnapshot, MalformedFrame, MarkPrice
from exchanges.request_failure import RequestFailure
from shm.clock import monotonic_ns
from shm.records import InstrumentRow

TRANSIENT: Final = frozenset({10028, 10040, 10041, 10047, 10066, 11051, 11094, 13028})
"""Codes after which asking again later is right: limits, settlement, maintenance, failures inside the venue."""
BOOK_DEPTH: Final = 10_000
"""The deepest that is documented: the whole book."""

T = TypeVar("T")


class DeribitDataFetcher:
    """One per process; `http` is shared with whoever made it, and closed here.

    Every method raises VenueUnavailable (no usable answer), VenueRefused (its error code) or MalformedFrame.
    """

    def __init__(self, http: HttpHandler, symbols: Sequence[str], ids: InstrumentIds) -> None:
        self._http = http
        self._symbols = symbols
        self._ids = ids
        self._reply = msgspec.json.Decoder(messages.Frame)
        self._time = msgspec.json.Decoder(messages.Milliseconds)
        self.index_of: dict[str, str] = {}
        """Symbol -> its price index, of the configured ones; filled by instruments()."""
        self.closed: set[str] = set()
        """Configured symbols that expired while we run: the venue lists them no more."""
        self.codec: MarketCodec | None = None
        """Set by whoever knows the scales; order_book() needs it."""

    @classmethod
    def from_context(cls, context: ExchangeContext) -> DeribitDataFetcher:
        """Over an HTTP pool of its own."""
        settings = context.settings
        http = HttpHandler(endpoints.endpoints(settings).rest)
        return cls(http, settings.symbols, context.instruments)

    async def all_instruments(self) -> list[messages.InstrumentInfo]:
        """Everything that is listed now: one or two megabytes. 10,000 credits of a bucket of its own, once a second."""
        result = await self._get(endpoints.GET_INSTRUMENTS, "currency=any&expired=false", timeout_s=15.0)
        return instruments.decode_instruments(result)

    async def instruments(self) -> list[InstrumentRow]:
        """Rows of the configured symbols. Raises ConfigurationError where the venue lacks one."""
        infos = await self.all_instruments()
        wanted = frozenset(self._symbols)
        self.index_of = {
            info.instrument_name: info.price_index
            for info in infos
            if info.instrument_name in wanted and info.price_index
        }
        symbols = [symbol for symbol in self._symbols if symbol not in self.closed]
        return instruments.instrument_rows(infos, symbols, self._ids, monotonic_ns())

    async def order_book(self, symbol: str, depth: int = BOOK_DEPTH) -> BookSnapshot:
        """The book with its change_id, to compare a local one with. 500 credits."""
        assert self.codec is not None, "order_book() needs the scales of the instruments first"
        result = await self._get(endpoints.GET_ORDER_BOOK, f"instrument_name={symbol}&depth={depth}")
        return self.codec.decode_snapshot(symbol, result)

    async def ticker(self, symbol: str) -> MarkPrice:
        """Mark price, index, funding and greeks. 500 credits."""
        assert self.codec is not None, "ticker() needs the scales of the instruments first"
        return self.codec.decode_ticker(await self._get(endpoints.TICKER, f"instrument_name={symbol}"))

    async def server_time(self) -> int:
        """The venue's UTC clock in ns. 500 credits."""
        return self._decode(self._time, await self._get(endpoints.GET_TIME)) * NS_PER_MS

    async def close(self) -> None:
        await self._http.close()

    async def _get(self, method: str, query: str = "", timeout_s: float | None = None) -> bytes:
        """The `result` of a public method."""
        try:
            reply = await self._http.request("GET", f"{endpoints.API}/{method}", query, timeout_s=timeout_s)
        except RequestFailure as failure:  # reading changes nothing: sent or not is all the same
            raise VenueUnavailable(str(failure)) from failure
        try:
            frame = self._reply.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if reply.status == 200:
                raise MalformedFrame("unexpected shape", f"{method}: {reply.body[:80]!r}") from None
            raise VenueUnavailable(f"GET {method}: HTTP {reply.status}") from None
        if frame.error is not None:
            if frame.error.code in TRANSIENT or reply.status == 429:
                raise VenueUnavailable(f"GET {method}: {frame.error.message} ({frame.error.code})")
            raise VenueRefused(frame.error.message, code=frame.error.code, http_status=reply.status)
        if reply.status != 200:
            raise VenueUnavailable(f"GET {method}: HTTP {reply.status}")
        return bytes(frame.result)

    def _decode(self, decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            raise MalformedFrame("unexpected shape", str(error)) from None
