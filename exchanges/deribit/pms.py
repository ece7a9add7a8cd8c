"""DeribitPMS: positions and balances of the account into their tables.

The rules
- user.changes has the position after each event of the engine, user.portfolio the balances of a currency whenever they
  move. Snapshots (get_positions, get_account_summaries) fill in the rest.
- get_positions may leave out an instrument without position; a configured one that is missing has position 0.
- A position's quantity is the venue's `size`: dollars of inverse futures, coins otherwise. Its profit is the venue's
  total_profit_loss, against the average price: the floating one begins anew with each session.

Docs: user.changes, user.portfolio, private/get_positions below https://docs.deribit.com.

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from exchanges.account_feed import AccountFeed, Snapshot
from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangeContext
from exchanges.deribit.order_connection import OrderConnection
from exchanges.deribit.order_socket import DeribitOrderSocket
from exchanges.order_instruments import OrderInstruments

SNAPSHOT_S: Final = 15.0
CHANGES: Final = "user.changes.any.any.raw"
PORTFOLIO: Final = "user.portfolio.any"
SCOPES: Final = "account:read trade:read"


class DeribitPMS(AccountFeed):
    """See account_feed.py for the part that all venues share."""

    def __init__(
        self,
        context: ExchangeContext,
        *,
        instruments: OrderInstruments,
        tables: AccountTables,
        instance_number: int = 0,
        connection: OrderConnection | None = None,
        snapshot_s: float = SNAPSHOT_S,
    ) -> None:
        super().__init__(context, tables, snapshot_s)
        self._connection = connection or OrderConnection(context, instruments, instance_number, connections=2)
        self._codec, self._fetcher = self._connection.codec, self._connection.fetcher
        self._stream = DeribitOrderSocket(
            f"{context.venue} positions",
            self._connection,
            session=f"corelane-{instance_number}-positions",
            scopes=SCOPES,
            channels=[CHANGES, PORTFOLIO],
            carries_orders=False,
            on_message=self._on_message,
            log=context.log,
            on_up=self._up,
            on_down=self._down,
        )

    async def prepare(self) -> None:
        """Clock, key, limits. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._connection.prepare()

    async def _disconnect(self) -> None:
        await self._connection.close()

    async def _read(self) -> Snapshot:
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        # The venue dates none of them, and a date of ours could make a true event look old: order of arrival counts.
        return Snapshot(positions, balances, 0)

    def _on_message(self, channel: str, data: msgspec.Raw, receive_time_ns: int) -> None:
        """Raises MalformedMessage."""
        if channel == PORTFOLIO:
            self._tables.on_event([], [self._codec.balance_row(data, receive_time_ns)], complete=True)
        elif channel == CHANGES:
            self._tables.on_event(self._codec.position_rows(self._codec.decode_changes(data), receive_time_ns), [])
        self._count("account_updates")
