"""Where an engine's events go: first into its journal, then into the event ring.

The rule: nothing is told to the trader that the journal does not hold. A ring that is full loses nothing but the
telling: the event stands in the journal, the sticky resync word is set, and only the end of a recovery bracket that was
published whole clears it. While it is set the engine takes no new orders.

Who calls it: order_engine.pyx and recovery.py, the only two that speak to the trader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from shm.layout import Reason, RecoveryPhase
from shm.records import AuditDifference, OrderEvent, OrderRequest, Recovery

Told = OrderEvent | Recovery | AuditDifference
"""What an engine tells the trader."""


class Journal(Protocol):
    """shm.journal.JournalWriter."""

    def append(self, record: OrderRequest | Told) -> int: ...
    def flush(self) -> None: ...


class ResyncWord(Protocol):
    """This venue's RESYNC word."""

    def set(self) -> None: ...
    def clear(self) -> None: ...


class EventLog:
    def __init__(
        self,
        journal: Journal,
        publish: Callable[[Told], bool],
        resync: ResyncWord,
        clock: Callable[[], int],
        log: logging.Logger,
        on_overflow: Callable[[], None] = lambda: None,
    ) -> None:
        """publish: the ring's try_publish, False = full. clock: CLOCK_MONOTONIC ns."""
        self._journal, self._publish, self._resync = journal, publish, resync
        self._clock, self._log, self._on_overflow = clock, log, on_overflow
        self.request: Callable[[OrderRequest], int] = journal.append
        """Note a request that is about to be sent."""
        self.overflowed_since_ns = 0
        """When the first event that the trader does not have was lost to a full ring; 0: it has all."""
        self.published = 0

    @property
    def overflowed(self) -> bool:
        return self.overflowed_since_ns != 0

    def emit(self, event: Told) -> bool:
        """Journal and publish. False: the ring is full and the resync word is set."""
        event.publish_time_ns = self._clock()
        self._journal.append(event)
        return self.republish(event)

    def republish(self, event: Told) -> bool:
        """Publish an event that the journal already holds."""
        if self._publish(event):
            self.published += 1
            return True
        if not self.overflowed:
            self._overflow(event.publish_time_ns)
        return False

    def _overflow(self, time_ns: int) -> None:
        self.overflowed_since_ns = time_ns
        self._resync.set()
        marker = Recovery()
        marker.phase, marker.reason = RecoveryPhase.NONE, Reason.RING_FULL
        marker.publish_time_ns = time_ns
        self._journal.append(marker)
        self._on_overflow()
        self._log.error("event ring is full: new orders are refused until the trader has recovered")

    def overflowed_before_restart(self, time_ns: int) -> None:
        """The journal says that the run before this one lost events to a full ring."""
        self.overflowed_since_ns = time_ns
        self._resync.set()

    def watermark(self, instrument_id: int, trade_id: int) -> None:
        """Journal (only) that every own trade of the instrument up to `trade_id` stands above this line."""
        marker = Recovery()
        marker.phase, marker.instrument_id, marker.watermark = RecoveryPhase.NONE, instrument_id, trade_id
        marker.venue = instrument_id >> 16
        marker.publish_time_ns = self._clock()
        self._journal.append(marker)

    def start_over(self) -> None:
        """A bracket that the trader asked for begins: what it lost before will be told in it."""
        self.overflowed_since_ns = 0

    def whole_again(self) -> None:
        """That bracket has ended. The word stays set where the bracket itself did not fit into the ring."""
        if not self.overflowed:
            self._resync.clear()

    def flush(self) -> None:
        self._journal.flush()
