"""Position server: one account's positions and balances into their tables.

Reads the venue's private stream and REST, and <venue>.instruments. Writes <venue>.positions and <venue>.balances, its
row and counters. Loop: uvloop, woken by the socket. READY once both tables hold a complete snapshot taken since the
last reconnect; rows are invalid while the stream is down and when it ends. Alerts stand in its row's text.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangePMS
from exchanges.alerts import ALERT_COUNTERS
from exchanges.factory import ExchangeFactory
from exchanges.order_instruments import OrderInstruments
from processes.app_service import AppService
from processes.venue_process import Preparable, VenueProcess
from shm.instance import BALANCE_ROWS
from shm.layout import ProcessState
from shm.table import TableWriter

COUNTERS: Final = ("account_updates", "funding_events", "snapshots", "reconnects", "malformed", *ALERT_COUNTERS)


class PreparedPMS(ExchangePMS, Preparable, Protocol):
    pass


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""

    async def main(service: AppService) -> None:
        await PositionServer(service, venue).main()

    return service.run_async(main)


class PositionServer(VenueProcess):
    async def main(self) -> None:
        self._service.declare(COUNTERS)
        instruments = OrderInstruments()
        if not await self._wait_for_instruments(instruments):
            return
        pms = self._make(instruments)
        try:
            if await self._prepare(pms):
                await self._serve(pms)
        finally:
            await pms.close()

    def _make(self, instruments: OrderInstruments) -> PreparedPMS:
        context = self._context(self._credentials("position server"))
        tables = AccountTables(
            TableWriter(self._service.segment(f"{self._venue}.positions")),
            TableWriter(self._service.segment(f"{self._venue}.balances")),
            instruments,
            self._settings.settle_currency,
            BALANCE_ROWS,
        )
        pms = ExchangeFactory(context).pms(
            instruments=instruments, tables=tables, instance_number=self._instance.number
        )
        return cast(PreparedPMS, pms)

    async def _serve(self, pms: PreparedPMS) -> None:
        self._service.set_state(ProcessState.CONNECTING, "connecting the private stream")

        def turn(stopping: bool) -> None:
            self._show_connections(pms.connections())
            if not stopping:
                state = ProcessState.READY if pms.ready else ProcessState.RECOVERING
                why = "" if pms.ready else "no complete snapshot since the last connect"
                self._service.set_state(state, "; ".join(filter(None, (why, self._alerts.text))))

        await self._serve_until_stopped(pms.run(), turn)
