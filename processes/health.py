"""Which problems a running set has now, and since when.

The rule: a problem begins when its rule has said so for that rule's hold_s without a pause, and ends when the rule no
longer says so; what was a moment in a counter stands for MOMENT_S after the last time. Nothing here acts: problems are
told (alert_delivery.py), shown (`corelane top`, the web page) and answered (`/health`). Called by the monitor and
`corelane top` with every snapshot; no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from processes.health_rules import LEVEL_RULES, MOMENT_RULES, RESTART_RULE, LevelRule, MomentRule, Severity
from processes.snapshot import Snapshot

MOMENT_S: Final = 60.0

_Key = tuple[str, str]
"""(rule, subject)"""


@dataclass(frozen=True)
class Problem:
    """rule and subject name it; since: UTC of the snapshot that saw it first, ISO 8601."""

    rule: str
    severity: Severity
    subject: str
    text: str
    since: str


@dataclass(frozen=True)
class Look:
    """The set at one moment, and what is wrong with it."""

    snapshot: Snapshot
    problems: list[Problem]


@dataclass
class _Seen:
    text: str
    severity: Severity
    since: str
    first_ns: int
    hold_ns: int
    until_ns: int = 0
    """Of a moment: when it is over."""
    amount: int = 0


class Health:
    """Remembers what the snapshots before said. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: dict[_Key, _Seen] = {}
        self._counters: dict[str, dict[str, int]] = {}
        self._pids: dict[str, int] = {}

    def update(self, snapshot: Snapshot) -> list[Problem]:
        """What is wrong as of this snapshot, the worst and then the oldest first."""
        now = snapshot.monotonic_ns
        found = self._look_at_levels(snapshot)
        self._look_at_counters(snapshot)
        self._look_at_pids(snapshot)
        self._seen = {key: seen for key, seen in self._seen.items() if key in found or now < seen.until_ns}
        problems = [
            Problem(rule, seen.severity, subject, seen.text, seen.since)
            for (rule, subject), seen in self._seen.items()
            if now - seen.first_ns >= seen.hold_ns
        ]
        return sorted(problems, key=lambda one: (one.severity, one.since, one.rule, one.subject))

    # --- levels -----------------------------------------------------------------------------------------------------
    def _look_at_levels(self, snapshot: Snapshot) -> set[_Key]:
        found: dict[_Key, tuple[LevelRule, str]] = {
            (rule.name, subject): (rule, text) for rule in LEVEL_RULES for subject, text in rule.look(snapshot)
        }
        for key, (rule, text) in found.items():
            self._begin(key, rule, snapshot, rule.hold_s).text = text
        return set(found)

    def _begin(self, key: _Key, rule: LevelRule | MomentRule, snapshot: Snapshot, hold_s: float) -> _Seen:
        fresh = _Seen("", rule.severity, snapshot.time, snapshot.monotonic_ns, int(hold_s * 1e9))
        return self._seen.setdefault(key, fresh)

    # --- moments ----------------------------------------------------------------------------------------------------
    def _look_at_counters(self, snapshot: Snapshot) -> None:
        """A process seen first begins at what it has; a block that was made anew begins at 0."""
        for process, counters in snapshot.counters.items():
            before = self._counters.get(process, counters)
            for rule in MOMENT_RULES:
                risen = _risen(counters, before, rule.counter)
                if risen and rule.role in ("", process.partition(".")[0]):
                    self._note(rule, process, risen, snapshot)
        self._counters = dict(snapshot.counters)

    def _look_at_pids(self, snapshot: Snapshot) -> None:
        for process in snapshot.processes:
            before = self._pids.get(process.name, 0)
            if before and process.pid and process.pid != before:
                self._note(RESTART_RULE, process.name, 1, snapshot)
            if process.pid:
                self._pids[process.name] = process.pid

    def _note(self, rule: MomentRule, process: str, risen: int, snapshot: Snapshot) -> None:
        seen = self._begin((rule.name, process), rule, snapshot, 0.0)
        seen.amount += risen
        seen.text = f"{process}: {seen.amount:,} {rule.text}"
        seen.until_ns = snapshot.monotonic_ns + int(MOMENT_S * 1e9)


def _risen(counters: Mapping[str, int], before: Mapping[str, int], name: str) -> int:
    now, earlier = counters.get(name, 0), before.get(name, 0)
    return now - earlier if now >= earlier else now
