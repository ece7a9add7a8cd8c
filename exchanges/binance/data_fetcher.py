"""Public state over REST: instruments, snapshots, mark prices, the venue's clock.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
The private half (orders, trades, positions, balances) is account_fetcher.py. Nothing is retried here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from exchanges.adapter import ExchangeContext, InstrumentIds, VenueRefused, VenueUnavailable
from exchanges.binance import endpoints, instruments, messages
from exchanges.binance.codec import NS_PER_MS, MarketCodec
from exchanges.binance.order_budget import QUERY_WEIGHT, OrderBudget
from exchanges.http import HttpFailure, HttpHandler
from exchanges.market_events import BookSnapshot, MalformedFrame
from exchanges.rate_limit import Lane
from exchanges.venue_clock import VenueClock
from shm.clock import monotonic_ns
from shm.records import InstrumentRow

_HARD_ENOUGH: Final = frozenset({418, 429})
"""Statuses that ask us to be quiet for a while."""

T = TypeVar("T")


class RateLimited(VenueUnavailable):
    """The venue asks for silence; `retry_after_s` is its own figure, or the documented minimum."""

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class BinanceDataFetcher:
    """One per process; `http` is shared with whoever made it, and closed here.

    Every method raises VenueUnavailable (no usable answer; RateLimited where the venue asks for silence), VenueRefused
    (its error code) or MalformedFrame.
    """

    def __init__(
        self, http: HttpHandler, symbols: Sequence[str], ids: InstrumentIds, budget: OrderBudget | None = None
    ) -> None:
        """budget: what the weight of each request is taken from; None: nobody counts here."""
        self._http = http
        self._symbols = symbols
        self._ids = ids
        self._budget = budget
        self._clock = VenueClock()
        self._server_time = msgspec.json.Decoder(messages.ServerTimeReply)
        self._premium_index = msgspec.json.Decoder(messages.PremiumIndexReply)
        self.codec: MarketCodec | None = None
        """Set by whoever knows the scales; depth() needs it."""

    @classmethod
    def from_context(cls, context: ExchangeContext) -> BinanceDataFetcher:
        """Over an HTTP pool of its own, counting on the host's limits."""
        settings = context.settings
        http = HttpHandler(endpoints.endpoints(settings).rest)
        return cls(http, settings.symbols, context.instruments, OrderBudget(context.limits))

    async def exchange_info(self) -> messages.ExchangeInfoReply:
        """Weight 1. All symbols of the venue, a megabyte or two. Its limits become those of the budget."""
        if self._budget is not None:
            await self._clock.measure(self.server_time)  # the windows that are counted are those of the venue's clock
        reply = instruments.decode_exchange_info(await self._get(endpoints.EXCHANGE_INFO, timeout_s=15.0))
        if self._budget is not None:
            self._budget.learn_limits(reply.rate_limits)
        return reply

    async def instruments(self) -> list[InstrumentRow]:
        """Rows of the configured symbols. Raises ConfigurationError where the venue lacks one."""
        reply = await self.exchange_info()
        return instruments.instrument_rows(reply, self._symbols, self._ids, monotonic_ns())

    async def depth(self, symbol: str, limit: int = endpoints.SNAPSHOT_LIMIT) -> BookSnapshot:
        """Weight 20 at 1000 levels, 2 up to 50."""
        assert self.codec is not None, "depth() needs the scales of the instruments first"
        weight = next(weight for most, weight in endpoints.DEPTH_WEIGHTS if limit <= most)
        body = await self._get(endpoints.DEPTH, f"symbol={symbol}&limit={limit}", weight=weight)
        return self.codec.decode_snapshot(symbol, body)

    async def server_time(self) -> int:
        """The venue's UTC clock in ns. Weight 1."""
        return self._decode(self._server_time, await self._get(endpoints.SERVER_TIME)).server_time * NS_PER_MS

    async def premium_index(self, symbol: str) -> messages.PremiumIndexReply:
        """Mark price, index and funding as texts. Weight 1."""
        return self._decode(self._premium_index, await self._get(endpoints.PREMIUM_INDEX, f"symbol={symbol}"))

    async def close(self) -> None:
        await self._http.close()

    async def _get(self, path: str, query: str = "", timeout_s: float | None = None, weight: int = 1) -> bytes:
        budget, asked_ns = self._budget, self._clock.now_ns()
        if budget is not None and (until := budget.admit(Lane.QUERY, {QUERY_WEIGHT: weight}, asked_ns)):
            wait_s = (until - asked_ns) / 1e9
            raise RateLimited(f"GET {path}: rate limit of this host, not before {wait_s:.1f} s from now", wait_s)
        try:
            reply = await self._http.request("GET", path, query, timeout_s=timeout_s)
        except HttpFailure as failure:  # reading changes nothing: sent or not is all the same
            raise VenueUnavailable(str(failure)) from failure
        error = messages.ErrorReply() if reply.status == 200 else _error_of(reply.body)
        if budget is not None:
            budget.note(reply, error.code, error.message, self._clock.now_ns(), asked_ns)
        if reply.status == 200:
            return reply.body
        if reply.status in _HARD_ENOUGH:
            raise RateLimited(
                f"GET {path}: HTTP {reply.status}, {error.message}",
                _retry_after_s(reply.headers.get("retry-after"), 10.0 if reply.status == 429 else 120.0),
            )
        if error.code and reply.status < 500:
            raise VenueRefused(error.message, code=error.code, http_status=reply.status)
        raise VenueUnavailable(f"GET {path}: HTTP {reply.status} {error.message}".rstrip())

    def _decode(self, decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            raise MalformedFrame("unexpected shape", str(error)) from None


def _error_of(body: bytes) -> messages.ErrorReply:
    """Code and message; none of both where the body is something else (a firewall's HTML page)."""
    try:
        return msgspec.json.decode(body, type=messages.ErrorReply)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return messages.ErrorReply()


def _retry_after_s(header: str | None, otherwise: float) -> float:
    """Retry-After is not documented for futures; honoured where it comes."""
    return float(header) if header is not None and header.isdigit() else otherwise
