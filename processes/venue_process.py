"""What the three processes of a venue share: their context, waiting for instruments, preparing, serving until stopped.

The rule: a process of a venue names its parts and what READY means for it; everything around that is here, once.
Who calls it: market_server.py, trading_engine.py, position_server.py, each with a subclass of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from exchanges.adapter import ConnectionHealth, Credentials, ExchangeContext, VenueUnavailable
from exchanges.alerts import Alerts
from exchanges.order_instruments import OrderInstruments
from processes import secrets
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from shm.layout import CONNECTIONS_PER_PROCESS, ProcessState
from shm.table import TableReader

ROW_REFRESH_S: Final = 0.1
"""How often the connections in the process row are brought up to date; the heartbeat writes the row as often."""
RETRY_S: Final = (0.25, 5.0)
"""First and longest pause between attempts to prepare."""
INSTRUMENT_LOOK_S: Final = 0.05


class Preparable(Protocol):
    async def prepare(self) -> None:
        """Clock, key, account mode. Raises VenueUnavailable, VenueRefused, ConfigurationError."""


class VenueProcess:
    """One process of one venue, in the event loop of its service."""

    def __init__(self, service: AppService, venue: str) -> None:
        self._service, self._venue = service, venue
        self._settings = service.config.venues[venue]
        self._log = service.log
        self._instance = service.instance
        self._ids = self._instance.instruments(venue)
        self._alerts = Alerts(self._count, self._log)

    def _count(self, name: str) -> None:
        self._service.counters.add(name)

    def _context(self, credentials: Credentials | None = None) -> ExchangeContext:
        return ExchangeContext(
            venue=self._venue,
            settings=self._settings,
            instruments=self._ids,
            segment=self._service.segment,
            counters=self._service.counters,
            log=self._log,
            state_dir=self._instance.state_dir,
            set_state=self._service.set_state,
            credentials=credentials,
            alerts=self._alerts,
            limits=self._instance.limits(self._venue, self._settings.environment, self._settings.rest_url),
        )

    def _credentials(self, role: str) -> Credentials:
        """Raises Failure where the config names none; `role` is the word for the process in that sentence."""
        credentials = secrets.resolve(self._service.config, self._venue)
        if credentials is None:
            raise Failure(
                f"venues.{self._venue}.credentials is missing: a {role} needs a key pair", ExitCode.CREDENTIALS
            )
        return credentials

    async def _wait_for_instruments(self, instruments: OrderInstruments) -> bool:
        """Until every configured symbol has its row; False: asked to stop meanwhile."""
        table = TableReader(self._service.segment(f"{self._venue}.instruments"))
        wanted = [(self._ids.id(symbol), symbol) for symbol in self._settings.symbols]
        while missing := instruments.refresh(table, wanted):
            self._service.set_state(
                ProcessState.CONNECTING, f"no row yet of {', '.join(missing)}: is market_server.{self._venue} up?"
            )
            if await self._stopped_within(INSTRUMENT_LOOK_S):
                return False
        return True

    async def _prepare(self, part: Preparable) -> bool:
        """Until the venue answers; False: asked to stop. A wrong key or account mode ends the process."""
        pause, longest = RETRY_S
        while True:
            self._service.set_state(ProcessState.CONNECTING, "asking the venue for its clock and the account's mode")
            try:
                await part.prepare()
                return True
            except VenueUnavailable as failure:
                text = f"{self._venue} cannot be reached, trying again in {pause:g} s: {failure}"
                self._log.warning("%s", text)
                self._service.set_state(ProcessState.UNHEALTHY, text)
            if await self._stopped_within(pause):
                return False
            pause = min(2 * pause, longest)

    async def _serve_until_stopped(self, work: Coroutine[Any, Any, None], turn: Callable[[bool], None]) -> None:
        """Run `work` until it ends or a stop is asked for; `turn(stopping)` every ROW_REFRESH_S meanwhile."""
        serving = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._service.stopping.wait())
        try:
            while not serving.done() and not stopping.done():
                await asyncio.wait({serving, stopping}, timeout=ROW_REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
                turn(stopping.done())
            if serving.done():
                serving.result()
        finally:
            for task in (serving, stopping):
                task.cancel()
            await asyncio.gather(serving, stopping, return_exceptions=True)

    def _show_connections(self, connections: Sequence[ConnectionHealth]) -> None:
        """Into the process row; it is written with the next heartbeat. While one is stuck the watchdog is not fed."""
        self._service.stuck = ", ".join(health.name for health in connections if health.stuck)
        row = self._service.row
        for index, health in enumerate(connections[:CONNECTIONS_PER_PROCESS]):
            row.connection_states[index] = int(health.state)
            row.connection_receive_time_ns[index] = health.receive_time_ns

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._service.stopping.wait(), seconds)
        return self._service.stopping.is_set()
