"""BinancePMS: positions and balances of the account into their tables.

The rules
- ACCOUNT_UPDATE is the newest word on what it names. Snapshots (positionRisk v3, balance v3) fill in the rest:
  available balance comes only with them.
- positionRisk v3 lists only symbols with a position or open orders; a configured one that is missing has position 0.
- MARGIN_CALL, and settings of the account that are not as configured (read at each connect, then as
  ACCOUNT_CONFIG_UPDATE tells them), are alerts. Nothing is changed at the venue from here.

Source: Event: Balance and Position Update, Position Information V3, Futures Account Balance V3 below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it, processes/position_server.py runs it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from exchanges.account_feed import AccountFeed, Snapshot
from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangeContext
from exchanges.alerts import AlertKind
from exchanges.binance import account_settings
from exchanges.binance.account_settings import Difference
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import AccountConfigUpdate, AccountUpdate, MarginCall, StreamMessage
from exchanges.binance.user_stream import BinanceUserStream
from exchanges.order_instruments import OrderInstruments
from shm.clock import monotonic_ns

SNAPSHOT_S: Final = 15.0
CLOCK_NS: Final = 120_000_000_000
"""How often the venue's clock is measured: two clocks may run 12 ms apart in that time."""
FUNDING: Final = "FUNDING_FEE"


class BinancePMS(AccountFeed):
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
        self._alerts, self._expected = self._connection.alerts, context.settings.expect
        self._symbols = frozenset(context.settings.symbols)
        self._settings_read = 0
        """The connect after which the account's settings were read."""
        self._next_measure_ns = 0

    async def prepare(self) -> None:
        """Clock, key, account mode. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        await self._connection.prepare()

    async def _disconnect(self) -> None:
        await self._connection.close()

    async def _read(self) -> Snapshot:
        connects = self._stream.connects
        await self._measure_clock()
        if self._settings_read != connects:  # a change while the stream was down was told to nobody
            for difference in await self._connection.account_settings():
                self._say(difference)
            self._settings_read = connects
        venue_time_ns = self._connection.clock.now_ns()
        positions, balances = await asyncio.gather(self._fetcher.positions(), self._fetcher.balances())
        return Snapshot(positions, balances, venue_time_ns)

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
