"""Position server: one account's positions and balances into their tables.

Reads the venue's private stream and REST, and <venue>.instruments. Writes <venue>.positions and <venue>.balances, its
row and counters. Loop: uvloop, woken by the socket. READY once both tables hold a complete snapshot taken since the
last reconnect; rows are invalid while the stream is down and when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol, cast

from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangeContext, ExchangePMS, VenueUnavailable
from exchanges.factory import ExchangeFactory
from exchanges.order_instruments import OrderInstruments
from processes import secrets
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from shm.instance import BALANCE_ROWS
from shm.layout import CONNECTIONS_PER_PROCESS, ProcessState
from shm.table import TableReader, TableWriter

ROW_REFRESH_S: Final = 0.1
RETRY_S: Final = (0.25, 5.0)
COUNTERS: Final = ("account_updates", "snapshots", "reconnects", "malformed")


class PreparedPMS(ExchangePMS, Protocol):
    async def prepare(self) -> None:
        """Clock, key, account mode. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        ...


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""

    async def main(service: AppService) -> None:
        service.declare(COUNTERS)
        instruments = OrderInstruments()
        if not await _wait_for_instruments(service, venue, instruments):
            return
        pms = _make(service, venue, instruments)
        try:
            if await _prepare(service, venue, pms):
                await _serve(service, pms)
        finally:
            await pms.close()

    return service.run_async(main)


async def _wait_for_instruments(service: AppService, venue: str, instruments: OrderInstruments) -> bool:
    ids = service.instance.instruments(venue)
    table = TableReader(service.segment(f"{venue}.instruments"))
    wanted = [(ids.id(symbol), symbol) for symbol in service.config.venues[venue].symbols]
    while missing := instruments.refresh(table, wanted):
        service.set_state(ProcessState.CONNECTING, f"no row yet of {', '.join(missing)}: is market_server.{venue} up?")
        if await _stopped_within(service, 0.05):
            return False
    return True


def _make(service: AppService, venue: str, instruments: OrderInstruments) -> PreparedPMS:
    credentials = secrets.resolve(service.config, venue)
    if credentials is None:
        raise Failure(
            f"venues.{venue}.credentials is missing: a position server needs a key pair", ExitCode.CREDENTIALS
        )
    settings = service.config.venues[venue]
    context = ExchangeContext(
        venue=venue,
        settings=settings,
        instruments=service.instance.instruments(venue),
        segment=service.segment,
        counters=service.counters,
        log=service.log,
        state_dir=service.instance.state_dir,
        set_state=service.set_state,
        credentials=credentials,
    )
    tables = AccountTables(
        TableWriter(service.segment(f"{venue}.positions")),
        TableWriter(service.segment(f"{venue}.balances")),
        instruments,
        settings.settle_currency,
        BALANCE_ROWS,
    )
    pms = ExchangeFactory(context).pms(instruments=instruments, tables=tables, instance_number=service.instance.number)
    return cast(PreparedPMS, pms)


async def _prepare(service: AppService, venue: str, pms: PreparedPMS) -> bool:
    """Until the venue answers; a wrong key or account mode ends the process with its sentence."""
    pause, longest = RETRY_S
    while True:
        try:
            await pms.prepare()
            return True
        except VenueUnavailable as failure:
            text = f"{venue} cannot be reached, trying again in {pause:g} s: {failure}"
            service.log.warning("%s", text)
            service.set_state(ProcessState.UNHEALTHY, text)
        if await _stopped_within(service, pause):
            return False
        pause = min(2 * pause, longest)


async def _serve(service: AppService, pms: PreparedPMS) -> None:
    service.set_state(ProcessState.CONNECTING, "connecting the private stream")
    serving = asyncio.ensure_future(pms.run())
    stopping = asyncio.ensure_future(service.stopping.wait())
    try:
        while not serving.done() and not stopping.done():
            await asyncio.wait({serving, stopping}, timeout=ROW_REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
            for index, health in enumerate(pms.connections()[:CONNECTIONS_PER_PROCESS]):
                service.row.connection_states[index] = int(health.state)
                service.row.connection_receive_time_ns[index] = health.receive_time_ns
            if not stopping.done():
                state = ProcessState.READY if pms.ready else ProcessState.RECOVERING
                service.set_state(state, "" if pms.ready else "no complete snapshot since the last connect")
        if serving.done():
            serving.result()
    finally:
        for task in (serving, stopping):
            task.cancel()
        await asyncio.gather(serving, stopping, return_exceptions=True)


async def _stopped_within(service: AppService, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(service.stopping.wait(), seconds)
    return service.stopping.is_set()
