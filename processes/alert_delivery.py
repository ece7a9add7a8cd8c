"""Tells a person each beginning and each end of a problem, once, and holds nobody up.

The rule: what is to be told waits in a bounded list of its own task. Messages are at least min_interval_s apart; what
comes meanwhile goes into the next one. A message that is not taken is tried again with growing pauses, then given up,
counted and logged; a list that is full drops the oldest line, counted. A problem that begins and ends before its
message leaves stands in both lists, so that a short one is told too.

    {"instance": "main", "time": "…", "began": [{problem}, …], "ended": [{problem}, …], "standing": 2}

Called by `monitor.py` with the problems of every snapshot.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from processes.alert_channels import Channel, DeliveryError
from processes.health import Problem
from processes.health_rules import Severity
from processes.snapshot import encode

COUNTERS: Final = ("alerts_delivered", "alerts_retried", "alerts_given_up", "alerts_dropped")
WAITING: Final = 500
"""Beginnings and ends that may wait; of more, the oldest are dropped."""
PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0)
"""Before each further attempt; after the last one the message is given up."""


class AlertDelivery:
    """Of one channel; `run` is its task. All in one event loop."""

    def __init__(
        self,
        channel: Channel,
        instance: str,
        min_interval_s: float,
        count: Callable[[str], None],
        log: logging.Logger,
        least: Severity = Severity.WARNING,
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._channel = channel
        self._instance = instance
        self._min_interval_s = min_interval_s
        self._count = count
        self._log = log
        self._told = frozenset({Severity.CRITICAL, least})
        self._pauses_s = pauses_s
        self._standing: dict[tuple[str, str], Problem] = {}
        self._waiting: deque[tuple[str, Problem]] = deque()
        self._news = asyncio.Event()

    def update(self, problems: Iterable[Problem]) -> None:
        """The problems that stand now. Never waits."""
        standing = {(one.rule, one.subject): one for one in problems if one.severity in self._told}
        for key, problem in standing.items():
            if key not in self._standing:
                self._tell("began", problem)
        for key, problem in self._standing.items():
            if key not in standing:
                self._tell("ended", problem)
        self._standing = standing

    def _tell(self, what: str, problem: Problem) -> None:
        if len(self._waiting) == WAITING:
            self._waiting.popleft()
            self._count("alerts_dropped")
        self._waiting.append((what, problem))
        self._news.set()

    async def run(self) -> None:
        """Deliver until canceled."""
        while True:
            await self._news.wait()
            self._news.clear()
            message = self._message()
            self._waiting.clear()
            await self._deliver(message)
            await asyncio.sleep(self._min_interval_s)

    def _message(self) -> bytes:
        told: dict[str, list[Problem]] = {"began": [], "ended": []}
        for what, problem in self._waiting:
            told[what].append(problem)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        return encode({"instance": self._instance, "time": time, **told, "standing": len(self._standing)})

    async def _deliver(self, message: bytes) -> None:
        for pause_s in (*self._pauses_s, None):
            try:
                await self._channel.send(message)
            except DeliveryError as failure:
                if pause_s is None:
                    self._count("alerts_given_up")
                    self._log.error("an alert is given up after %d attempts: %s", len(self._pauses_s) + 1, failure)
                    return
                self._count("alerts_retried")
                self._log.warning("an alert was not delivered, next attempt in %g s: %s", pause_s, failure)
                await asyncio.sleep(pause_s)
            else:
                self._count("alerts_delivered")
                return
