"""Two dead-man's switches: the venue's own for when this engine dies, and this engine's for when the trader dies.

The rules
- `VenueSwitch`: where a venue can cancel by itself after a countdown (Binance countdownCancelAll), it is armed for a
  symbol before the symbol's first order and refreshed well before it ends. While it is not known to stand, no new order
  of that symbol is sent. When the private stream is up again it is armed at once, whatever the pause after a failure
  says: at some venues it stands on that very connection; and the engine is not READY before that was tried. The kill
  switch stops the refreshing, so the venue pulls what we might not have pulled. The countdown takes every order of the
  symbol, other clients' too, so an end in good order disarms it.
- `TraderWatch`: a trader whose row says nothing for longer than its limit is dead, and so is one that was replaced by
  nobody since this engine started. Then all orders of this instance are canceled, and only those, until none is open.
  One that said that it is RESTARTING may be silent for longer: its orders are kept for the one that comes. Only one
  that ran and said nothing of its end is called silent: at a cold start the trader comes last, and that is no fault.

Who calls it: processes/trading_engine.py (timer and tasks), order_engine.py asks `armed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.order_instruments import OrderInstrument
from shm.layout import ProcessState
from shm.records import ProcessRow

NOT_STARTED: Final = "has not started yet"
ENDED: Final = "has ended"
SILENT: Final = "is silent"


class VenueSwitch:
    def __init__(
        self,
        arm: Callable[[str, int], Awaitable[None]],
        countdown_ms: int,
        clock: Callable[[], int],
        log: logging.Logger,
    ) -> None:
        """arm(symbol, countdown_ms) asks the venue; it raises VenueUnavailable or VenueRefused. countdown_ms 0: this
        switch is off and every instrument counts as armed."""
        self._arm, self._countdown_ms, self._clock, self._log = arm, countdown_ms, clock, log
        self._armed_until: dict[int, int] = {}
        self.stopped = False
        """Set while the kill switch is on: countdowns run out."""
        self.settled = False
        """Every instrument was tried since the private stream came up: `armed` of each says how that went."""
        self._again = asyncio.Event()

    def arm_anew(self) -> None:
        """The private stream is up."""
        self.settled = False
        self._again.set()

    async def keep(
        self, instruments: Iterable[OrderInstrument], on_settled: Callable[[], None], first_pause_s: float
    ) -> None:
        """Arm when the stream is up, and from then on for as long as this process lives. first_pause_s: after a
        failure; each pause is twice the one before, up to `refresh_s`."""
        pause = first_pause_s
        await self._again.wait()
        while True:
            self._again.clear()
            complete = await self.refresh(instruments)
            if self._again.is_set():  # another connection meanwhile
                pause = first_pause_s
                continue
            if not self.settled:
                self.settled = True
                on_settled()
            wait_s = self.refresh_s if complete else pause
            pause = first_pause_s if complete else min(2 * pause, self.refresh_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._again.wait()

    @property
    def refresh_s(self) -> float:
        """How often to call `refresh`: a countdown survives three failures in a row."""
        return self._countdown_ms / 1000 / 4 if self._countdown_ms else 3600.0

    def armed(self, instrument_id: int) -> bool:
        """Whether the countdown of this instrument surely runs now, with a quarter of it left as margin."""
        if not self._countdown_ms:
            return True
        return self._clock() < self._armed_until.get(instrument_id, 0)

    async def refresh(self, instruments: Iterable[OrderInstrument]) -> bool:
        """Arm every instrument anew. False: at least one could not be (tried again at the next call)."""
        if not self._countdown_ms or self.stopped:
            return not self._countdown_ms
        complete = True
        for instrument in instruments:
            asked = self._clock()
            try:
                await self._arm(instrument.symbol, self._countdown_ms)
            except (VenueUnavailable, VenueRefused) as failure:
                complete = False
                self._log.warning("%s: countdown could not be armed: %s", instrument.symbol, failure)
                continue
            self._armed_until[instrument.id] = asked + self._countdown_ms * 750_000
        return complete

    async def disarm(self, instruments: Iterable[OrderInstrument]) -> None:
        """Nothing of ours is open any more: what others have there is not ours to cancel. Failures are only said."""
        self.stopped = True
        for instrument in instruments:
            if self._armed_until.pop(instrument.id, None) is None:
                continue
            try:
                await self._arm(instrument.symbol, 0)
            except (VenueUnavailable, VenueRefused) as failure:
                self._log.warning("%s: countdown could not be disarmed: %s", instrument.symbol, failure)


class ProcessSource(Protocol):
    """TableReader of the status table."""

    def read(self, row: int, record: ProcessRow) -> bool: ...


class TraderWatch:
    """A trader that never came counts from this engine's start on: orders of an earlier one may be open."""

    def __init__(
        self, processes: ProcessSource, row: int, timeout_ns: int, clock: Callable[[], int], restart_ns: int = 0
    ) -> None:
        """`restart_ns`: how long a planned restart may take, where that is more than `timeout_ns`."""
        self._processes, self._row, self._timeout_ns, self._clock = processes, row, timeout_ns, clock
        self._restart_ns = max(restart_ns, timeout_ns)
        self._process = ProcessRow()
        self._began_ns = clock()
        self.lost = False
        self.why = ""
        """While it is lost: what it is, as the end of a sentence about the trader."""

    def look(self) -> bool:
        """Whether the trader is lost now."""
        row = self._process
        seen_ns, limit_ns, why = 0, self._timeout_ns, NOT_STARTED
        if self._processes.read(self._row, row) and row.heartbeat_time_ns:
            seen_ns = row.heartbeat_time_ns
            why = ENDED if row.state == ProcessState.STOPPED else SILENT
            if row.state == ProcessState.RESTARTING:
                limit_ns = self._restart_ns
        self.lost = self._clock() - max(seen_ns, self._began_ns) > limit_ns
        self.why = why if self.lost else ""
        return self.lost
