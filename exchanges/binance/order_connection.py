"""What order and position parts of Binance share: one HTTP pool, signer, codec, clock and budget of one account.

The rule: an OMS and its account fetcher count against one budget and stamp from one clock, so both are made here.

Who calls it: oms.py and pms.py.
"""

from __future__ import annotations

import asyncio

from exchanges.adapter import ConfigurationError, ExchangeContext
from exchanges.alerts import AlertKind, Alerts
from exchanges.binance.account_fetcher import BinanceAccountFetcher
from exchanges.binance.account_settings import HEDGE_MODE, Difference, differences
from exchanges.binance.auth import RequestSigner
from exchanges.binance.endpoints import SERVER_TIME, endpoints
from exchanges.binance.order_budget import OrderBudget
from exchanges.binance.order_codec import OrderCodec
from exchanges.http import HttpHandler
from exchanges.order_instruments import OrderInstruments
from exchanges.rate_limit import account_of
from exchanges.venue_clock import VenueClock


class OrderConnection:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(
        self, context: ExchangeContext, instruments: OrderInstruments, instance_number: int, *, connections: int = 8
    ) -> None:
        """Raises ConfigurationError where there is no key or no URL."""
        credentials = context.key()
        settings = context.settings
        self.urls = endpoints(settings)
        self.http = HttpHandler(self.urls.rest, connections=connections)
        self.signer = RequestSigner(credentials)
        self.codec = OrderCodec(instruments, instance_number)
        self.clock = VenueClock()
        self.budget = OrderBudget(context.limits, account_of(credentials.api_key))
        self.receive_window_ms = settings.receive_window_ms
        self.fetcher = BinanceAccountFetcher(
            self.http, self.signer, self.codec, instruments, self.clock, self.budget, self.receive_window_ms
        )
        self.fetcher.heal_clock = self.heal_clock
        self._healing: asyncio.Future[None] | None = None
        self.alerts = context.alerts or Alerts(context.counters.add, context.log)
        self._settings, self._log = settings, context.log

    async def prepare(self, warm_connections: int = 1, *, trading: bool = False) -> None:
        """Measure the clock, read the limits, check the key and the account's settings, open connections ahead of need.

        trading: settings that are not as configured refuse too. Raises VenueUnavailable (try again), VenueRefused with
        reason VENUE_SIGNATURE (wrong key: never try again), ConfigurationError (hedge mode, settings).
        """
        await self.clock.measure(self.fetcher.server_time)
        self._log.info("%s", self.clock.in_words())
        self.budget.learn_limits(await self.fetcher.rate_limits())
        found = [difference.text for difference in await self.account_settings() if difference.text]
        if found and trading:
            raise ConfigurationError(f"binance: {'; '.join(found)}; change one of both and start again")
        if warm_connections > 1:
            await self.http.warm(SERVER_TIME, warm_connections)

    async def account_settings(self) -> list[Difference]:
        """How the account is set up now, against what is configured. Raises like `prepare`."""
        account = await self.fetcher.account_config()
        if account.dual_side:
            raise ConfigurationError(HEDGE_MODE)
        rows = await self.fetcher.symbol_configs()
        return list(differences(account, rows, self._settings.symbols, self._settings.expect))

    async def heal_clock(self) -> None:
        """The venue refused a timestamp: measure its clock again, once for all who ask meanwhile, and say so. Raises
        VenueUnavailable."""
        if self._healing is None or self._healing.done():
            self._healing = asyncio.ensure_future(self._heal_clock())
        await asyncio.shield(self._healing)

    async def _heal_clock(self) -> None:
        before_ns = self.clock.offset_ns
        await self.clock.measure(self.fetcher.server_time)
        moved_ms = (self.clock.offset_ns - before_ns) / 1e6
        text = f"the venue refused our timestamp (-1021); its clock is {moved_ms:+.0f} ms from where we took it"
        self.alerts.say(AlertKind.CLOCK, "clock", text)

    async def close(self) -> None:
        await self.http.close()
