"""What every PMS does: a private stream and snapshots, merged into the tables of positions and balances.

The rules
- The stream is the newest word on what it names; a snapshot fills in the rest: at the start, after each reconnect,
  every `snapshot_s`, and whenever a venue asks for one (`_soon`). How both are merged stands in account_tables.py.
- A snapshot counts only if the stream that stood when it was asked for still stands: what a lost one missed may not be
  in it. So a new connection is not ready before its own snapshot.
- While the stream is down the rows are invalid: a position that may have moved is not one to trade on.

Who calls it: the venues' pms.py derive from it and say what a snapshot is (`_read`) and what a message means.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from exchanges.account_tables import AccountTables
from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from shm.clock import monotonic_ns
from shm.layout import Reason
from shm.records import BalanceRow, PositionRow

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0


class AccountStream(Protocol):
    """The private connection as it is seen from here."""

    @property
    def up(self) -> bool: ...
    @property
    def connects(self) -> int: ...
    async def run(self) -> None: ...
    def close(self) -> None: ...
    def health(self) -> ConnectionHealth: ...


class Snapshot(NamedTuple):
    positions: list[PositionRow]
    balances: list[BalanceRow]
    venue_time_ns: int
    """The venue's time of both lists; 0 where it dates none, so that order of arrival counts."""


class AccountFeed:
    """One account. Lives in one event loop; make it there. A venue sets `_stream` in its __init__."""

    SHARED_S: ClassVar[float] = 0.0
    """How long a snapshot that was asked for waits for others of the same moment."""

    _stream: AccountStream

    def __init__(self, context: ExchangeContext, tables: AccountTables, snapshot_s: float) -> None:
        self._tables, self._log, self._count = tables, context.log, context.counters.add
        self._snapshot_s = snapshot_s
        self._wanted = asyncio.Event()
        self._at_once = asyncio.Event()
        self._complete = False
        self._stopping = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when `ready` may have changed."""

    # --- what a venue says ------------------------------------------------------------------------------------------
    async def _read(self) -> Snapshot:
        """Both lists, asked for now. Raises VenueUnavailable or VenueRefused."""
        raise NotImplementedError

    async def _disconnect(self) -> None:
        """Close what the venue opened beside the stream."""
        raise NotImplementedError

    def _also(self) -> list[Coroutine[Any, Any, None]]:
        """More work for as long as this runs; the end of one ends all."""
        return []

    # --- seen from the process --------------------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        return self._complete

    def connections(self) -> Sequence[ConnectionHealth]:
        return (self._stream.health(),)

    async def run(self) -> None:
        """Stream and snapshots until close(). Raises VenueRefused where the key is wrong."""
        tasks = [asyncio.ensure_future(work) for work in (self._snapshots(), self._stream.run(), *self._also())]
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
        await self._disconnect()

    # --- the stream -------------------------------------------------------------------------------------------------
    def _up(self) -> None:
        if self._stream.connects > 1:
            self._count("reconnects")
        self._wanted.set()
        self._soon()

    def _down(self, _why: str) -> None:
        self._wanted.clear()
        self._set_complete(False)
        self._tables.invalidate()

    def _set_complete(self, complete: bool) -> None:
        if self._complete != complete:
            self._complete = complete
            self.on_change()

    # --- snapshots --------------------------------------------------------------------------------------------------
    def _soon(self) -> None:
        """Read the account now and not only at its turn."""
        self._at_once.set()

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
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._snapshot_s):
                        await self._at_once.wait()
                if self._complete and self.SHARED_S:
                    await asyncio.sleep(min(self.SHARED_S, self._snapshot_s))
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def snapshot(self) -> None:
        """Read and merge both lists once."""
        connects = self._stream.connects
        asked = monotonic_ns()
        snapshot = await self._read()
        if not self._stream.up or self._stream.connects != connects:
            return
        self._tables.on_snapshot(snapshot.positions, snapshot.balances, asked, snapshot.venue_time_ns)
        self._count("snapshots")
        self._set_complete(True)
