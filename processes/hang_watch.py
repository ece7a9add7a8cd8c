"""For how long a process has shown no sign of life, as one sees it who may stand still himself.

The rule: a heartbeat that is the same at two looks makes the process silent for the time between them, of which at most
LONGEST_LOOK_S counts: where the whole host stood still, nobody hangs. HANG_S is systemd's WatchdogSec for the same set.
Called by the supervisor of `corelane up` for each of its processes; no I/O.
"""

from __future__ import annotations

from typing import Final

HANG_S: Final = 10.0
START_S: Final = 30.0
"""While it is STARTING: it reads and attaches much before its loop turns."""
LAST_WORDS_S: Final = 5.0
"""From SIGABRT, on which a process says where it hangs, to SIGKILL."""
LONGEST_LOOK_S: Final = 1.0


class HangWatch:
    """Of one start of one process."""

    def __init__(self) -> None:
        self.aborted = False
        """Whether it was told to end."""
        self._heartbeat_ns = 0
        self._looked_s: float | None = None
        self._silent_s = 0.0

    def look(self, heartbeat_ns: int, now_s: float) -> float:
        """Seconds of silence up to now. `heartbeat_ns`: its newest, by any clock; now_s: monotonic."""
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, LONGEST_LOOK_S)
        self._silent_s = self._silent_s + passed_s if heartbeat_ns == self._heartbeat_ns else 0.0
        self._heartbeat_ns, self._looked_s = heartbeat_ns, now_s
        return self._silent_s
