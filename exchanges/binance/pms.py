"""BinancePMS: positions and balances of the account into their tables.

The rules
- ACCOUNT_UPDATE is the newest word on what it names. Snapshots (positionRisk v3, balance v3) fill in the rest, at the
  start, after each reconnect and every SNAPSHOT_S: available balance comes only with them. How both are merged stands
  in `exchanges/account_tables.py`.
- positionRisk v3 lists only symbols with a position or open orders; a configured one that is missing has position 0.
- While the private stream is down the rows are invalid: a position that may have moved is not one to trade on.
- MARGIN_CALL, and settings of the account that are not as configured (read at each connect, then as
  ACCOUNT_CONFIG_UPDATE tells them), are alerts. Nothing is changed at the venue from here.

Source: Event: Balance and Position Update, Position Information V3, Futures Account Balance V3 below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from exchanges.account_tables import AccountTables
from exchanges.adapter import ConnectionHealth, ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.alerts import AlertKind
from exchanges.binance import account_settings
from exchanges.binance.account_settings import Difference
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import AccountConfigUpdate, AccountUpdate, MarginCall, StreamMessage
from exchanges.binance.user_stream import BinanceUserStream
from exchanges.order_instruments import OrderInstruments
from shm.clock import monotonic_ns
from shm.layout import Reason

SNAPSHOT_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
CLOCK_NS: Final = 120_000_000_000
"""How often the venue's clock is measured: two clocks may run 12 ms apart in that time."""
FUNDING: Final = "FUNDING_FEE"


class BinancePMS:
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
        self._stream = BinanceUserStream(
            f"{context.venue} positions",
            self._fetcher,
            self._codec,
            self._connection.urls,
            on_message=self._on_message,
            on_up=self._up,
            on_down=self._down,
            on_malformed=lambda: self._count("malformed"),
            log=context.log,
        )
        self._wanted = asyncio.Event()
        self._connected_again = asyncio.Event()
        self._alerts, self._expected = self._connection.alerts, context.settings.expect
        self._symbols = frozenset(context.settings.symbols)
        self._settings_read = 0
        """The connect after which the account's settings were read."""
        self._next_measure_ns = 0
        self._complete = False
        self._stopping = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when `ready` may have changed."""

    @property
    def ready(self) -> bool:
        return self._complete

    async def prepare(self) -> None:
        """Clock, key, account mode. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._connection.prepare()

    def connections(self) -> Sequence[ConnectionHealth]:
        return (self._stream.health(),)

    async def run(self) -> None:
        """Stream and snapshots until close(). Raises VenueRefused where the key is wrong."""
        snapshots = asyncio.ensure_future(self._snapshots())
        stream = asyncio.ensure_future(self._stream.run())
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
        self._stream.close()
        self._set_complete(False)
        self._tables.invalidate()
        await self._connection.close()

    def _up(self) -> None:
        if self._stream.connects > 1:
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
        connects = self._stream.connects
        await self._measure_clock()
        if self._settings_read != connects:  # a change while the stream was down was told to nobody
            for difference in await self._connection.account_settings():
                self._say(difference)
            self._settings_read = connects
        asked, venue_time = monotonic_ns(), self._connection.clock.now_ns()
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        if not self._stream.up or self._stream.connects != connects:
            return  # the stream dropped meanwhile: what it missed may not be in here
        self._tables.on_snapshot(positions, balances, asked, venue_time)
        self._count("snapshots")
        self._set_complete(True)

    async def _measure_clock(self) -> None:
        now = monotonic_ns()
        if now >= self._next_measure_ns:
            if self._next_measure_ns:  # `prepare` was the first
                await self._connection.clock.measure(self._fetcher.server_time)
            self._next_measure_ns = now + CLOCK_NS

    def _on_message(self, message: StreamMessage, receive_time_ns: int) -> None:
        if isinstance(message, AccountUpdate):
            self._count("account_updates")
            self._tables.on_event(*self._codec.account_rows(message, receive_time_ns))
            if message.change.cause == FUNDING:
                self._count("funding_events")
                for entry in message.change.balances:
                    self._log.info("funding: %s %s", entry.change, entry.currency)
        elif isinstance(message, MarginCall):
            self._alerts.say(AlertKind.MARGIN_CALL, "margin call", margin_call_text(message))
        elif isinstance(message, AccountConfigUpdate):
            self._settings_changed(message)

    def _settings_changed(self, message: AccountConfigUpdate) -> None:
        """Somebody changed the account by hand while we run."""
        if message.mode is not None:
            self._say(account_settings.multi_assets(message.mode.multi_assets, self._expected))
        change = message.leverage
        if change is not None and change.symbol in self._symbols:
            difference = account_settings.leverage(change.symbol, change.leverage, self._expected)
            self._say(difference)
            if not difference.text and change.symbol not in self._expected.leverage:
                text = f"{change.symbol}: leverage was changed to {change.leverage} at the venue"
                self._alerts.say(AlertKind.ACCOUNT_SETTINGS, difference.key, text)

    def _say(self, difference: Difference) -> None:
        if difference.text:
            self._alerts.say(AlertKind.ACCOUNT_SETTINGS, difference.key, difference.text, lasting=True)
        else:
            self._alerts.clear(difference.key)


def margin_call_text(message: MarginCall) -> str:
    """One sentence with the venue's own figures."""
    positions = ", ".join(
        f"{one.symbol} {one.position} at mark {one.mark_price} (unrealized {one.unrealized_pnl}, maintenance margin "
        f"{one.maintenance_margin})"
        for one in message.positions
    )
    wallet = f", cross wallet {message.cross_wallet_balance}" if message.cross_wallet_balance else ""
    return f"margin call: {positions or 'no position named'}{wallet}"
