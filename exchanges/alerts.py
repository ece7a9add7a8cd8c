"""What a person must look at: said once as an error line, counted, and shown in the process row while it stands.

The rule: an alert changes nothing by itself. It is raised by whoever knows (a margin call, settings of the account that
were changed by hand, a clock that the venue refused), under a key, so that the same thing said twice is one line; it
stands until it is cleared, or for STANDS_NS where nobody can know that it is over. Each kind has a counter
`alert_<kind>`, which the monitor process reads; `on_alert` is for whoever delivers alerts from inside this process.

Who calls it: the parts of a venue (pms.py, order_connection.py); the processes show `text`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

from shm.clock import monotonic_ns


class AlertKind(Enum):
    MARGIN_CALL = "margin_call"
    ACCOUNT_SETTINGS = "account_settings"
    CLOCK = "clock"


ALERT_COUNTERS: Final = tuple(f"alert_{kind.value}" for kind in AlertKind)
STANDS_NS: Final = 600_000_000_000


class Alerts:
    """Of one process. No I/O but the log."""

    def __init__(
        self, count: Callable[[str], None], log: logging.Logger, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._count, self._log, self._clock = count, log, clock
        self._standing: dict[str, tuple[str, int | None]] = {}
        self.on_alert: Callable[[AlertKind, str], None] = lambda kind, text: None

    def say(self, kind: AlertKind, key: str, text: str, *, lasting: bool = False) -> None:
        """Raise or renew the alert `key`. lasting: it stands until `clear`; else for STANDS_NS from now."""
        self._drop_old()
        known = self._standing.get(key)
        self._standing[key] = (text, None if lasting else self._clock() + STANDS_NS)
        if known is not None and known[0] == text:
            return
        self._count(f"alert_{kind.value}")
        self._log.error("alert: %s", text)
        self.on_alert(kind, text)

    def clear(self, key: str) -> None:
        """What was said under `key` is over, if anything was."""
        if self._standing.pop(key, None) is not None:
            self._log.info("alert is over: %s", key)

    @property
    def text(self) -> str:
        """All that stands now, as one line; empty mostly."""
        self._drop_old()
        return "; ".join(text for text, _ in self._standing.values())

    def _drop_old(self) -> None:
        if self._standing:
            now = self._clock()
            self._standing = {k: v for k, v in self._standing.items() if v[1] is None or now < v[1]}
