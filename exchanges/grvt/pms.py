"""GrvtPMS: positions and balances of the sub account into their tables.

The rules
- v1.position is the newest word on a position; it speaks when something trades, not when the mark moves. Snapshots fill
  in the rest, at the start, after each reconnect and every SNAPSHOT_S.
- There is no balance stream: account_summary is read with each snapshot, and soon after a position moved, because a
  trade moved the balance too. A row's exchange_time_ns is the venue's word on its age.
- `positions` lists only what is open; a configured instrument that is missing has position 0.
- While the private stream is down the rows are invalid: a position that may have moved is not one to trade on.

Source: https://api-docs.grvt.io/trading_api, trading_streams

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from exchanges.account_tables import AccountTables
from exchanges.adapter import (
    ConfigurationError,
    ConnectionHealth,
    ExchangeContext,
    VenueRefused,
    VenueUnavailable,
)
from exchanges.grvt import endpoints
from exchanges.grvt.account_codec import AccountCodec
from exchanges.grvt.account_fetcher import GrvtAccountFetcher
from exchanges.grvt.auth import make_signer
from exchanges.grvt.session import Session
from exchanges.grvt.user_stream import GrvtUserStream
from exchanges.http import HttpHandler
from exchanges.order_instruments import OrderInstruments
from shm.clock import monotonic_ns
from shm.layout import Reason

SNAPSHOT_S: Final = 5.0
AFTER_TRADE_S: Final = 0.2
"""Trades within so short a time share one reading of the balance: five queries a second are what others assume."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
POSITION: Final = "v1.position"


class GrvtPMS:
    """One sub account. Lives in one event loop; make it there."""

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
        if context.credentials is None:
            raise ConfigurationError(
                f"venues.{context.venue}.credentials is missing: orders, positions and balances need a key"
            )
        make_signer(context.credentials.secret)  # a pair that cannot trade is found before anything connects
        settings = context.settings
        urls = endpoints.endpoints(settings)
        self._tables, self._log, self._count = tables, context.log, context.counters.add
        self._snapshot_s = snapshot_s
        self._edge, self._http = HttpHandler(urls.edge, connections=1), HttpHandler(urls.trades, connections=2)
        self._codec = AccountCodec(instruments)
        self._session = Session(self._edge, context.credentials, settings.account, context.log)
        self._fetcher = GrvtAccountFetcher(self._http, self._session, self._codec)
        self._stream = GrvtUserStream(
            f"{context.venue} positions",
            self._session,
            self._codec,
            urls.order_socket,
            (POSITION,),
            on_feed=self._on_feed,
            on_up=self._up,
            on_down=self._down,
            on_malformed=lambda: self._count("malformed"),
            check_gaps=settings.check_gaps,
            log=context.log,
        )
        self._wanted = asyncio.Event()
        self._at_once = asyncio.Event()
        self._complete = False
        self._stopping = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when `ready` may have changed."""

    @property
    def ready(self) -> bool:
        return self._complete

    async def prepare(self) -> None:
        """Log in. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._session.log_in()
        self._log.info("logged in for account %s", self._session.account)

    def connections(self) -> Sequence[ConnectionHealth]:
        return (self._stream.health(),)

    async def run(self) -> None:
        """Session, stream and snapshots until close(). Raises VenueRefused where the key is wrong."""
        tasks = [asyncio.ensure_future(work) for work in (self._snapshots(), self._stream.run(), self._session.run())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, VenueRefused):
                    await task

    async def close(self) -> None:
        """Rows stay readable and invalid."""
        self._stopping = True
        self._stream.close()
        self._set_complete(False)
        self._tables.invalidate()
        await self._http.close()
        await self._edge.close()

    def _up(self) -> None:
        if self._stream.connects > 1:
            self._count("reconnects")
        self._wanted.set()
        self._at_once.set()

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
            self._at_once.clear()
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
                    await asyncio.wait_for(self._at_once.wait(), self._snapshot_s)
                if self._complete:  # a trade asked: others of the same moment may follow
                    await asyncio.sleep(min(AFTER_TRADE_S, self._snapshot_s))
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def snapshot(self) -> None:
        """Read and merge both lists once."""
        connects = self._stream.connects
        asked = monotonic_ns()
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        if not self._stream.up or self._stream.connects != connects:
            return  # the stream dropped meanwhile: what it missed may not be in here
        venue_time_ns = min((row.exchange_time_ns for row in balances), default=0)
        self._tables.on_snapshot(positions, balances, asked, venue_time_ns)
        self._count("snapshots")
        self._set_complete(True)

    def _on_feed(self, stream: str, feed: bytes, receive_time_ns: int) -> None:
        if stream != POSITION:
            return
        row = self._codec.decode_position(feed, receive_time_ns)
        if row is not None:
            self._count("account_updates")
            self._tables.on_event([row], [])
            self._at_once.set()
