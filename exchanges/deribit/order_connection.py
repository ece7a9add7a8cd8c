"""What order and position parts of Deribit share: one HTTP pool, signer, codec, clock and budget of one account.

The rule: an OMS and its account fetcher count against one budget and stamp from one clock, so both are made here.

Who calls it: oms.py and pms.py.
"""

from __future__ import annotations

import logging

from exchanges.adapter import ExchangeContext
from exchanges.deribit.account_fetcher import DeribitAccountFetcher
from exchanges.deribit.auth import RequestSigner
from exchanges.deribit.endpoints import API, TEST, endpoints
from exchanges.deribit.order_budget import OrderBudget
from exchanges.deribit.order_codec import OrderCodec, currency_of
from exchanges.http import HttpHandler
from exchanges.order_instruments import OrderInstruments
from exchanges.rate_limit import account_of
from exchanges.venue_clock import VenueClock


class OrderConnection:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(
        self, context: ExchangeContext, instruments: OrderInstruments, instance_number: int, *, connections: int = 4
    ) -> None:
        """Raises ConfigurationError where there is no key or no URL."""
        credentials = context.key()
        settings = context.settings
        self.urls = endpoints(settings)
        self.http = HttpHandler(self.urls.rest, connections=connections)
        self.signer = RequestSigner(credentials, settings.login)
        self.codec = OrderCodec(instruments, instance_number)
        self.clock = VenueClock()
        self.budget = OrderBudget(context.limits, account_of(credentials.api_key))
        self.receive_window_ms = settings.receive_window_ms
        self.fetcher = DeribitAccountFetcher(self.http, self.signer, self.codec, instruments, self.clock, self.budget)
        self._currency = currency_of(settings.symbols[0])
        self._log: logging.Logger = context.log

    async def prepare(self, warm_connections: int = 1) -> None:
        """Measure the clock, check the key, read the account's limits, open connections ahead of need.

        Raises VenueUnavailable (try again), VenueRefused with reason VENUE_SIGNATURE (wrong key: never try again).
        """
        await self.clock.measure(self.fetcher.server_time)
        self._log.info("%s", self.clock.in_words())
        self.budget.learn_limits(await self.fetcher.limits(self._currency))
        if warm_connections > 1:
            await self.http.warm(f"{API}/{TEST}", warm_connections)

    async def close(self) -> None:
        await self.http.close()
