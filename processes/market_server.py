"""Market server: one venue's public streams -> market ring and tables.

Reads nothing but the venue. Writes <venue>.market (ring), <venue>.books, <venue>.tickers, <venue>.instruments (tables)
and its own counters. Loop: uvloop, woken by the sockets. READY once every configured instrument has a live book; every
row is invalid when it ends.
"""

from __future__ import annotations

from exchanges.factory import ExchangeFactory
from processes.app_service import AppService
from processes.venue_process import VenueProcess


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""

    async def main(service: AppService) -> None:
        await MarketServer(service, venue).main()

    return service.run_async(main)


class MarketServer(VenueProcess):
    async def main(self) -> None:
        credentials = self._credentials("market server of raw_market_data") if self._settings.raw_market_data else None
        subscriber = ExchangeFactory(self._context(credentials)).subscriber()
        try:
            await self._serve_until_stopped(
                subscriber.run(), lambda _stopping: self._show_connections(subscriber.connections())
            )
        finally:
            await subscriber.close()
            self._show_connections(subscriber.connections())
