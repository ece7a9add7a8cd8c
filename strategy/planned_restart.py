"""A planned restart of the trader: what the one that ends leaves to the one that starts, and how long it took.

The rule: orders of a strategy either stay at the venue for its next self, which takes them over, or are canceled before
the trader ends; nothing in between. What was paused stays paused. The note lies in the state directory and is taken
once; it counts only after the same boot and within the limit after which the engines cancel everything anyway.

Written and read by processes/trader.py; the container follows `RestartMeasure` and shows it in its status.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import msgspec

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
FILE: Final = "trader.restart"


class RestartNote(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the note; ids are those of strategies."""

    stopped_ns: int
    """CLOCK_MONOTONIC when the strategies were called for the last time."""
    orders: str
    """keep, cancel, or configured: what was asked for."""
    kept: dict[int, int]
    """Strategies whose orders stay, and how many those are."""
    paused: list[int]
    open_orders: int
    """Of all strategies, when the end was asked for."""
    boot: str = ""

    def write(self, folder: Path) -> None:
        """Leave it for the next trader. Raises OSError."""
        noted = msgspec.structs.replace(self, boot=_boot())
        (folder / FILE).write_bytes(msgspec.json.encode(noted))


def take_note(folder: Path, now_ns: int, limit_ns: int) -> RestartNote | None:
    """The note of a restart that goes on now, and remove it; None where there is none, or it is too old to count."""
    file = folder / FILE
    try:
        text = file.read_bytes()
        file.unlink()
        note = msgspec.json.decode(text, type=RestartNote)
    except (OSError, msgspec.MsgspecError):
        return None
    return note if note.boot == _boot() and 0 <= now_ns - note.stopped_ns <= limit_ns else None


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class RestartMeasure:
    """How long nobody looked after the strategies, and how long the market was without their quotes; in ms.

    Without quotes: from the last turn of the old trader (cancels were sent then) to the first new order that is seen
    working at the venue; 0 where an order was kept and is still there. NaN while not known.
    """

    def __init__(self, note: RestartNote) -> None:
        self.note = note
        self.stood_still_ms = math.nan
        self.without_quotes_ms = math.nan

    @property
    def is_over(self) -> bool:
        """Strategies run; and where orders were open before, they are again."""
        return self.stood_still_ms >= 0.0 and (self.without_quotes_ms >= 0.0 or not self.note.open_orders)

    def on_running(self, now_ns: int, adopted: int) -> None:
        """All strategies run again; `adopted` orders of before are open."""
        self.stood_still_ms = (now_ns - self.note.stopped_ns) / 1e6
        if adopted:
            self.without_quotes_ms = 0.0

    def on_working(self, now_ns: int) -> None:
        """An order works at the venue."""
        if not self.without_quotes_ms >= 0.0:
            self.without_quotes_ms = (now_ns - self.note.stopped_ns) / 1e6

    def describe(self) -> dict[str, Any]:
        """For control and for people."""
        return {
            "orders": self.note.orders,
            "open_orders_before": self.note.open_orders,
            "kept_orders": sum(self.note.kept.values()),
            "stood_still_ms": None if math.isnan(self.stood_still_ms) else round(self.stood_still_ms, 1),
            "without_quotes_ms": None if math.isnan(self.without_quotes_ms) else round(self.without_quotes_ms, 1),
            "over": self.is_over,
        }

    def __str__(self) -> str:
        quotes = (
            f"the market was without our quotes for {self.without_quotes_ms / 1e3:.2f} s"
            if self.without_quotes_ms >= 0.0
            else "no order works at the venue yet"
        )
        return (
            f"planned restart: {sum(self.note.kept.values())} of {self.note.open_orders} orders were kept; strategies "
            f"stood still for {self.stood_still_ms / 1e3:.2f} s, {quotes}"
        )
