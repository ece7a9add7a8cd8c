"""One line of the doctor's report, and how bad it is. Called by all `doctor_*.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad; the worst one decides the exit code."""

    NOT_HERE = 0  # this kernel or machine has no such knob
    GOOD = 1
    NOTE = 2  # worth knowing
    WARNING = 3  # tens to hundreds of microseconds, or rare spikes
    SERIOUS = 4  # milliseconds, or an order book that is late without a sign of it


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    severity: Severity
    found: str
    wanted: str = ""
    cost: str = ""
    fix: str = ""


def shown(cores: set[int]) -> str:
    """As the kernel writes it: "1-3,7"."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and core == parts[-1][-1] + 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
