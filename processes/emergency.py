"""Orders and positions of an instance at its venues, without any of its processes: what the kill switch does by hand.

The rule: the word is set before anything here begins, and nothing here waits for an engine. All venues are asked at
once, each over connections and with credentials of this very process; a venue that does not answer holds up no other.
Orders are gone when the venue says so again after its bound, which runs from the moment when the last engine that lives
had obeyed the word: an order that left before cannot be accepted any more then.

Called by `corelane kill-switch on` and `corelane flatten`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, cast

from exchanges import emergency
from exchanges.adapter import ConfigurationError, ExchangeContext
from exchanges.alerts import Alerts
from exchanges.emergency import EmergencyAccess, Flat, Pull
from exchanges.factory import ExchangeFactory
from processes import kill_switch, secrets
from processes.config import Config
from processes.exit_codes import ExitCode
from processes.kill_switch import Command
from processes.secrets import CredentialsError
from processes.shm_admin import instance_of
from shm import host
from shm.clock import monotonic_ns
from shm.instance import Instance
from shm.layout import client_order_id
from shm.limits import LimitTable
from shm.segment import SegmentError

ECHO_S: Final = 2.0
"""An engine looks at the word a hundred times a second; one that has not obeyed by now is stopped or hangs."""
UNHEARD: Final = "the venue was not asked"

NO_STRATEGY: Final = 0
NO_EPOCH: Final = 0
"""In the ids of orders that no trader made; traders begin with epoch 1, so the two never meet."""


@dataclass
class VenueResult:
    """One venue, when all was tried."""

    venue: str
    pull: Pull = field(default_factory=Pull)
    flat: Flat | None = None
    engine_canceled: int | None = None
    """Orders that its engine saw canceled meanwhile, by whomever; None where it does not run."""
    skipped: str = ""
    """Why the venue was not asked, where that is no failure."""
    code: ExitCode = ExitCode.OK
    trouble: str = ""

    @property
    def done(self) -> bool:
        return bool(self.skipped) or (self.code is ExitCode.OK and not self.trouble)


@dataclass
class Result:
    """All venues."""

    command: Command
    venues: list[VenueResult]
    echoes: dict[str, int]

    @property
    def silent(self) -> list[str]:
        """Engines that live and have not obeyed: each may still send what it holds, and pulls it when it goes on."""
        return [name for name, echo in self.echoes.items() if echo < self.command.generation]

    @property
    def code(self) -> ExitCode:
        """OK says that every venue has confirmed that all is gone, and every engine that it sends nothing."""
        failed = [venue.code for venue in self.venues if not venue.done]
        if failed:
            return failed[0]
        return ExitCode.NO_ANSWER if self.silent else ExitCode.OK


def cancel_all(config: Config, command: Command, patience_s: float) -> Result:
    """Cancel every order of the instance at every venue, and verify. The switch is on already (`command`)."""
    return _run(config, command, patience_s, flat=False)


def flatten(config: Config, command: Command, patience_s: float) -> Result:
    """The same, and then close the positions of the configured symbols, verified by query."""
    return _run(config, command, patience_s, flat=True)


def _run(config: Config, command: Command, patience_s: float, *, flat: bool) -> Result:
    instance = instance_of(config)
    try:
        return asyncio.run(_Emergency(config, instance, command, patience_s, flat=flat).run())
    finally:
        instance.close()
        with contextlib.suppress(SegmentError, OSError):
            host.sweep()  # limits that only this command has made


class _Emergency:
    def __init__(self, config: Config, instance: Instance, command: Command, patience_s: float, *, flat: bool) -> None:
        self._config, self._instance, self._flat = config, instance, flat
        self._command, self._patience_ns = command, int(patience_s * 1e9)
        self._log = logging.getLogger("corelane.emergency")
        self._order_ids: Callable[[], int] = count(int(time.time())).__next__

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        echoes = loop.run_in_executor(
            None, kill_switch.wait_for_echoes, self._instance, self._command.generation, ECHO_S
        )
        obeyed = asyncio.ensure_future(self._obeyed(echoes))
        venues = await asyncio.gather(*(self._venue(venue, obeyed) for venue in self._config.venues))
        await obeyed
        results = {result.venue: result for result in venues}
        for venue, canceled in kill_switch.canceled(self._instance).items():
            if venue in self._command.canceled:
                results[venue].engine_canceled = canceled - self._command.canceled[venue]
        return Result(self._command, list(results.values()), await echoes)

    async def _obeyed(self, echoes: asyncio.Future[dict[str, int]]) -> int:
        """From when on no living engine sends: CLOCK_MONOTONIC of the last echo, or of the end of waiting for it."""
        await echoes
        return monotonic_ns()

    async def _venue(self, venue: str, obeyed: asyncio.Future[int]) -> VenueResult:
        result = VenueResult(venue)
        try:
            async with self._access(venue) as access:
                if access is None:
                    result.skipped = "no credentials are configured, so no order of ours can be there"
                    return result
                await self._pull(result, access, obeyed)
                if self._flat and result.pull.gone:
                    await self._close_positions(result, access)
        except (ConfigurationError, CredentialsError) as failure:
            result.trouble = f"{UNHEARD}: {failure}"
            result.code = ExitCode.CREDENTIALS if isinstance(failure, CredentialsError) else ExitCode.CONFIG
        return result

    async def _pull(self, result: VenueResult, access: EmergencyAccess, obeyed: asyncio.Future[int]) -> None:
        report = result.pull
        await emergency.pull(access, report, self._command.started_ns + self._patience_ns)
        bound_ns = await obeyed + access.acceptance_ns
        await emergency.verify(access, report, bound_ns, bound_ns + self._patience_ns)
        if not report.gone:
            result.trouble = report.trouble or "the venue did not say again that all is gone"
            result.code = ExitCode.DIFFERENCE if report.left else ExitCode.VENUE

    async def _close_positions(self, result: VenueResult, access: EmergencyAccess) -> None:
        report = result.flat = Flat()
        symbols = self._config.venues[result.venue].symbols
        deadline_ns = monotonic_ns() + self._patience_ns
        await emergency.flatten(access, symbols, iter(self._order_id, 0), report, deadline_ns)
        if report.left or not report.known:
            result.trouble = report.trouble
            result.code = ExitCode.DIFFERENCE if report.left else ExitCode.VENUE

    def _order_id(self) -> int:
        """Its counter is the second of its day of birth, so no two commands share one."""
        return client_order_id(self._instance.number, NO_STRATEGY, NO_EPOCH, self._order_ids() & 0xFFFFFFFF)

    @contextlib.asynccontextmanager
    async def _access(self, venue: str) -> AsyncIterator[EmergencyAccess | None]:
        """None where no key is configured. Raises ConfigurationError, CredentialsError."""
        credentials = secrets.resolve(self._config, venue)
        if credentials is None:
            yield None
            return
        context = ExchangeContext(
            venue=venue,
            settings=self._config.venues[venue],
            # Neither ids, segments nor counters: there may be none.
            instruments=cast(Any, None),
            segment=self._instance.segment,
            counters=cast(Any, None),
            log=self._log,
            state_dir=self._instance.state_dir,
            set_state=lambda _state, _text: None,
            credentials=credentials,
            alerts=Alerts(lambda _name: None, self._log),
            limits=self._limits(venue),
        )
        access = ExchangeFactory(context).emergency(instance_number=self._instance.number)
        try:
            yield access
        finally:
            await access.close()

    def _limits(self, venue: str) -> LimitTable | None:
        """The host's, so that a ban is known and our calls are counted; without them only our own are."""
        settings = self._config.venues[venue]
        try:
            return self._instance.limits(venue, settings.environment, settings.rest_url)
        except (SegmentError, OSError):
            return None
