"""GrvtPMS: positions and balances of the sub account into their tables.

The rules
- v1.position is the newest word on a position; it speaks when something trades, not when the mark moves. Snapshots
  fill in the rest.
- There is no balance stream: account_summary is read with each snapshot, and soon after a position moved, because a
  trade moved the balance too. A row's exchange_time_ns is the venue's word on its age.
- `positions` lists only what is open; a configured instrument that is missing has position 0.

Source: https://api-docs.grvt.io/trading_api, trading_streams

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from exchanges.account_feed import AccountFeed, Snapshot
from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangeContext
from exchanges.grvt.order_connection import OrderConnection
from exchanges.grvt.user_stream import GrvtUserStream
from exchanges.order_instruments import OrderInstruments

SNAPSHOT_S: Final = 5.0
AFTER_TRADE_S: Final = 0.5
"""Trades within so short a time share one reading of the balance, which is two queries of ten a second."""
POSITION: Final = "v1.position"


class GrvtPMS(AccountFeed):
    """See account_feed.py for the part that all venues share."""

    SHARED_S = AFTER_TRADE_S

    def __init__(
        self,
        context: ExchangeContext,
        *,
        instruments: OrderInstruments,
        tables: AccountTables,
        instance_number: int = 0,
        snapshot_s: float = SNAPSHOT_S,
    ) -> None:
        """Raises ConfigurationError where there is no key, no URL or no signer's key."""
        self._connection = OrderConnection(context, instruments, instance_number, connections=2)
        super().__init__(context, tables, snapshot_s)
        self._codec, self._fetcher = self._connection.account_codec, self._connection.fetcher
        self._session = self._connection.session
        self._stream = GrvtUserStream(
            f"{context.venue} positions",
            self._session,
            self._codec,
            self._connection.urls.order_socket,
            (POSITION,),
            on_feed=self._on_feed,
            on_up=self._up,
            on_down=self._down,
            on_malformed=lambda: self._count("malformed"),
            check_gaps=context.settings.check_gaps,
            log=context.log,
        )

    async def prepare(self) -> None:
        """Log in and measure the clock. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._connection.prepare()

    def _also(self) -> list[Coroutine[Any, Any, None]]:
        return [self._session.run()]

    async def _disconnect(self) -> None:
        await self._connection.close()

    async def _read(self) -> Snapshot:
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        return Snapshot(positions, balances, min((row.exchange_time_ns for row in balances), default=0))

    def _on_feed(self, stream: str, feed: bytes, receive_time_ns: int) -> None:
        if stream != POSITION:
            return
        row = self._codec.decode_position(feed, receive_time_ns)
        if row is not None:
            self._count("account_updates")
            self._tables.on_event([row], [])
            self._soon()
