"""Public state over REST: instruments and the venue's clock. Books need none: their streams begin with a snapshot.

Docs: https://api-docs.grvt.io/market_data_api
The private half (orders, trades, positions, balances) is account_fetcher.py. Nothing is retried here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from exchanges.adapter import ExchangeContext, InstrumentIds, VenueUnavailable
from exchanges.grvt import endpoints, instruments, messages
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.rest import ask
from exchanges.http import HttpHandler
from exchanges.market_events import MalformedFrame
from exchanges.request_failure import RequestFailure
from shm.clock import monotonic_ns
from shm.records import InstrumentRow

NS_PER_MS: Final = 1_000_000


class GrvtDataFetcher:
    """One per process; `http` goes to the market data host and is closed here.

    Every method raises VenueUnavailable (no usable answer), VenueRefused (its error code) or MalformedFrame.
    """

    def __init__(self, http: HttpHandler, symbols: Sequence[str], ids: InstrumentIds) -> None:
        self._http = http
        self._symbols = symbols
        self._ids = ids
        self._server_time = msgspec.json.Decoder(messages.ServerTimeReply)

    @classmethod
    def from_context(cls, context: ExchangeContext) -> GrvtDataFetcher:
        """Over an HTTP pool of its own."""
        http = HttpHandler(endpoints.endpoints(context.settings).market_data)
        return cls(http, context.settings.symbols, context.instruments)

    async def all_instruments(self) -> messages.InstrumentsReply:
        """Everything that is active: about a hundred."""
        body = await ask(self._http, endpoints.INSTRUMENTS, {"is_active": True}, timeout_s=15.0)
        return instruments.decode_instruments(body)

    async def instruments(self) -> list[InstrumentRow]:
        """Rows of the configured symbols. Raises ConfigurationError where the venue lacks one."""
        return instruments.instrument_rows(await self.all_instruments(), self._symbols, self._ids, monotonic_ns())

    async def signing_terms(self) -> dict[str, SigningTerms]:
        """What signatures need of the configured symbols. Raises ConfigurationError where the venue lacks one."""
        return instruments.signing_terms(await self.all_instruments(), self._symbols)

    async def server_time(self) -> int:
        """The venue's UTC clock in ns, exact to 1 ms."""
        try:
            reply = await self._http.request("GET", endpoints.SERVER_TIME)
        except RequestFailure as failure:
            raise VenueUnavailable(str(failure)) from failure
        if reply.status != 200:
            raise VenueUnavailable(f"GET {endpoints.SERVER_TIME}: HTTP {reply.status}")
        try:
            return self._server_time.decode(reply.body).server_time * NS_PER_MS
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrame("unexpected shape", str(error)) from None

    async def close(self) -> None:
        await self._http.close()
