"""DeribitPMS: positions and balances of the account into their tables.

The rules
- user.changes has the position after each event of the engine, user.portfolio the balances of a currency whenever they
  move. Snapshots (get_positions, get_account_summaries) fill in the rest, at the start, after each reconnect and every
  SNAPSHOT_S. How both are merged stands in `exchanges/account_tables.py`.
- get_positions may leave out an instrument without position; a configured one that is missing has position 0.
- A position's quantity is the venue's `size`: dollars of inverse futures, coins otherwise. Its profit is the venue's
  total_profit_loss, against the average price: the floating one begins anew with each session.
- While the private connection is down the rows are invalid: a position that may have moved is not one to trade on.

Docs: user.changes, user.portfolio, private/get_positions below https://docs.deribit.com.

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from exchanges.account_tables import AccountTables
from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.deribit.order_connection import OrderConnection
from exchanges.deribit.order_socket import DeribitOrderSocket
from exchanges.order_instruments import OrderInstruments
from shm.clock import monotonic_ns
from shm.layout import Reason

SNAPSHOT_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
CHANGES: Final = "user.changes.any.any.raw"
PORTFOLIO: Final = "user.portfolio.any"
SCOPES: Final = "account:read trade:read"


class DeribitPMS:
    """One account. Lives in one event loop; make it there."""

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
        self._tables, self._log = tables, context.log
        self._count = context.counters.add
        self._snapshot_s = snapshot_s
        self._connection = connection or OrderConnection(context, instruments, instance_number, connections=2)
        self._codec, self._fetcher = self._connection.codec, self._connection.fetcher
        self._socket = DeribitOrderSocket(
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
        self._wanted = asyncio.Event()
        self._connected_again = asyncio.Event()
        self._complete = False
        self._stopping = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when `ready` may have changed."""

    @property
    def ready(self) -> bool:
        return self._complete

    async def prepare(self) -> None:
        """Clock, key, limits. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._connection.prepare()

    def connections(self) -> Sequence[ConnectionHealth]:
        return (self._socket.health(),)

    async def run(self) -> None:
        """Connection and snapshots until close(). Raises VenueRefused where the key is wrong."""
        snapshots = asyncio.ensure_future(self._snapshots())
        stream = asyncio.ensure_future(self._socket.run())
        try:
            await asyncio.wait({snapshots, stream}, return_when=asyncio.FIRST_COMPLETED)
            for task in (snapshots, stream):
                if task.done():
                    task.result()
        finally:
            for task in (snapshots, stream):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, VenueRefused):
                    await task

    async def close(self) -> None:
        """Rows stay readable and invalid."""
        self._stopping = True
        self._socket.close()
        self._set_complete(False)
        self._tables.invalidate()
        await self._connection.close()

    def _up(self) -> None:
        if self._socket.connects > 1:
            self._count("reconnects")
        self._wanted.set()
        self._connected_again.set()

    def _down(self, _why: str) -> None:
        self._wanted.clear()
        self._set_complete(False)
        self._tables.invalidate()

    def _set_complete(self, complete: bool) -> None:
        if self._complete != complete:
            self._complete = complete
            self.on_change()

    async def _snapshots(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            await self._wanted.wait()
            self._connected_again.clear()
            try:
                await self.snapshot()
            except VenueUnavailable as failure:
                self._log.warning("positions: %s", failure)
            except VenueRefused as refused:
                if refused.reason == Reason.VENUE_SIGNATURE:
                    raise
                self._log.warning("positions: %s", refused)
            else:
                pause = FIRST_PAUSE_S
                with contextlib.suppress(TimeoutError):  # a new connection is not ready before its own snapshot
                    await asyncio.wait_for(self._connected_again.wait(), self._snapshot_s)
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def snapshot(self) -> None:
        """Read and merge both lists once."""
        connects = self._socket.connects
        asked = monotonic_ns()
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        if not self._socket.up or self._socket.connects != connects:
            return  # the connection dropped meanwhile: what it missed may not be in here
        # The venue dates none of them, and a date of ours could make a true event look old: order of arrival counts.
        self._tables.on_snapshot(positions, balances, asked, 0)
        self._count("snapshots")
        self._set_complete(True)

    def _on_message(self, channel: str, data: msgspec.Raw, receive_time_ns: int) -> None:
        """Raises MalformedMessage."""
        if channel == PORTFOLIO:
            self._tables.on_event([], [self._codec.balance_row(data, receive_time_ns)], complete=True)
        elif channel == CHANGES:
            self._tables.on_event(self._codec.position_rows(self._codec.decode_changes(data), receive_time_ns), [])
        self._count("account_updates")
