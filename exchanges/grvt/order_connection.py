"""What order and position parts of GRVT share: HTTP pools, login, codecs, clock and budget of one account.

The rule: an OMS and its account fetcher use one login, count against one budget and stamp from one clock, so all are
made here. Three hosts have three jobs: edge logs in, "trades" has everything private, "market data" the clock and the
terms of signatures. Nonces are taken by the engine alone, which is the only one to sign.

Who calls it: oms.py, pms.py and emergency.py.
"""

from __future__ import annotations

import logging
from typing import Final

from exchanges.adapter import ExchangeContext, VenueUnavailable
from exchanges.grvt.account_codec import AccountCodec
from exchanges.grvt.account_fetcher import GrvtAccountFetcher
from exchanges.grvt.auth import RequestSigner, make_signer
from exchanges.grvt.data_fetcher import GrvtDataFetcher
from exchanges.grvt.endpoints import SERVER_TIME, endpoints
from exchanges.grvt.nonces import NonceSource
from exchanges.grvt.order_budget import OrderBudget
from exchanges.grvt.order_codec import OrderCodec
from exchanges.grvt.session import Session
from exchanges.grvt.typed_data import CHAIN_IDS
from exchanges.http import HttpHandler
from exchanges.market_events import MalformedFrame
from exchanges.order_instruments import OrderInstruments
from exchanges.rate_limit import account_of
from exchanges.request_failure import RequestFailure
from exchanges.venue_clock import VenueClock

NONCE_FILE: Final = "grvt.nonces"


class OrderConnection:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(
        self, context: ExchangeContext, instruments: OrderInstruments, instance_number: int, *, connections: int = 4
    ) -> None:
        """Raises ConfigurationError where there is no key, no signer's key or no URL."""
        credentials = context.key()
        make_signer(credentials.secret)  # a pair that cannot trade is found before anything connects
        settings = context.settings
        self.urls = endpoints(settings)
        self.edge = HttpHandler(self.urls.edge, connections=1)
        self.http = HttpHandler(self.urls.trades, connections=connections)
        self.market = GrvtDataFetcher.from_context(context)
        self.session = Session(self.edge, credentials, settings.account, context.log)
        self.codec = OrderCodec(instruments, instance_number)
        self.account_codec = AccountCodec(instruments)
        self.clock = VenueClock()
        self.budget = OrderBudget(context.limits, account_of(credentials.api_key), settings.requests_per_second)
        self.receive_window_ms = settings.receive_window_ms
        self.fetcher = GrvtAccountFetcher(
            self.http,
            self.session,
            self.codec,
            self.account_codec,
            instruments,
            self.clock,
            self.budget,
            self.market.server_time,
        )
        self._credentials, self._chain_id = credentials, CHAIN_IDS[settings.environment]
        self._nonces = context.state_dir / NONCE_FILE
        self._log: logging.Logger = context.log

    async def prepare(self, warm_connections: int = 1, *, trading: bool = False) -> None:
        """Log in, measure the clock, open connections ahead of need; trading: read the terms of signatures too, and
        take nonces. Raises VenueUnavailable (try again), VenueRefused with reason VENUE_SIGNATURE (wrong key: never try
        again), ConfigurationError (no account, nonces that cannot be kept, an instrument that cannot be signed)."""
        await self.session.log_in()
        self._log.info("logged in for account %s", self.session.account)
        await self.clock.measure(self.fetcher.server_time)
        self._log.info("%s", self.clock.in_words())
        if trading:
            try:
                terms = await self.market.signing_terms()
            except MalformedFrame as failure:
                raise VenueUnavailable(str(failure)) from failure
            self.codec.trade_as(self.signer(), self.session.account, terms, NonceSource(self._nonces).take)
            self.codec.began_ns = self.clock.now_ns() + self.clock.error_ns
        if warm_connections > 1:
            try:
                await self.http.warm(SERVER_TIME, warm_connections)
            except RequestFailure as failure:
                raise VenueUnavailable(str(failure)) from failure

    def signer(self) -> RequestSigner:
        """Of the account that is logged in."""
        return RequestSigner(self._credentials, self._chain_id, int(self.session.account))

    async def close(self) -> None:
        await self.http.close()
        await self.edge.close()
        await self.market.close()
