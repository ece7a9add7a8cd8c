"""What a strategy's risk must remember over a restart: a loss trip, the profit of the day, limits that were changed.

The rule: a file that cannot be read or understood trips every strategy; only a missing file is a fresh start. It is
replaced as a whole, so a reader sees the old or the new one; a trip is on the disk before anything else happens.

    {"version": 1, "strategies": {"1": {"tripped": "", "day": 20779, "profit": -1234567890, "limits": {}}}}

`day` counts days since 1970-01-01 UTC, `profit` is that day's so far in 1e-8 dollars, `limits` the changes by name.
Made by processes/trader.py (state directory); written to by loss_guard.py and the strategy's runner.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Final

import msgspec

VERSION: Final = 1
SAVE_EVERY_NS: Final = 5_000_000_000
"""The day's profit may be this old after a crash; a write costs some 100 us of the trader's loop."""


class StrategyRecord(msgspec.Struct, forbid_unknown_fields=True):
    """Of one strategy, by its id."""

    tripped: str = ""
    """Why only reducing orders pass, in one sentence; empty: not tripped."""
    day: int = 0
    profit: int = 0
    limits: dict[str, Any] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    strategies: dict[str, StrategyRecord]


class RiskState:
    """The records of all strategies. Without a path nothing is kept (tests, replay)."""

    def __init__(self, path: Path | None = None, logger: logging.Logger | None = None) -> None:
        self._path = path
        self.log = logger or logging.getLogger(__name__)
        self._records: dict[str, StrategyRecord] = {}
        self._trip_text = ""
        self._unreadable = False
        self._saved = b""
        self._next_save_ns = 0
        if path is None or not path.exists():
            return
        try:
            self._saved = path.read_bytes()
            stored = msgspec.json.decode(self._saved, type=_File)
            if stored.version != VERSION:
                raise ValueError(f"version {stored.version} found, {VERSION} expected")
            self._records = stored.strategies
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            self._unreadable = True
            kept = path.with_suffix(".unreadable").name
            self._trip_text = f"{path} cannot be read ({error}); it is kept as {kept}: look at it, then reset-loss"
            self.log.error("%s; every strategy is tripped", self._trip_text)

    def record(self, strategy_id: int) -> StrategyRecord:
        """The same object for ever; the caller changes it and calls `save`."""
        found = self._records.get(str(strategy_id))
        if found is None:
            found = self._records[str(strategy_id)] = StrategyRecord(tripped=self._trip_text)
        return found

    def save(self, durable: bool = True) -> None:
        """Write the file where something changed. A disk that refuses is logged: trading goes on with what is known."""
        if self._path is None:
            return
        content = msgspec.json.encode(_File(VERSION, self._records))
        if content == self._saved:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._unreadable and self._path.exists():
                self._path.replace(self._path.with_suffix(".unreadable"))  # a person is to look at it
            self._unreadable = False
            beside = self._path.with_suffix(".new")
            with beside.open("wb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            self.log.error("%s cannot be written: %s", self._path, error)
            return
        self._saved = content

    def save_if_due(self, now_ns: int) -> None:
        """From the loop: at most every few seconds, and without waiting for the disk."""
        if now_ns >= self._next_save_ns:
            self._next_save_ns = now_ns + SAVE_EVERY_NS
            self.save(durable=False)
