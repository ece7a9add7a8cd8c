"""The kill switch: a generation in the state directory and in the words segment; odd = on.

The rule: the file is the truth across restarts and reboots, the word is what engines read before each send. A file that
cannot be read or understood counts as on. Turning it on never needs a running process; cancels always pass it.
Called by `corelane kill-switch` and by `shm create`, which loads the word from the file.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import ProcessState, Word
from shm.records import ProcessRow
from shm.segment import SegmentError
from shm.table import TableReader, Words

FILE_NAME: Final = "kill_switch"
UNREADABLE: Final = 1
"""Generation of a file that is there but says nothing: on."""


def is_on(generation: int) -> bool:
    return generation % 2 == 1


class KillSwitch:
    """Read and set it. Many may hold one; the last who sets it wins, and on wins over nothing known."""

    def __init__(self, state_dir: str | Path, words: Words | None = None) -> None:
        """`words`: the instance's words segment, None where it does not exist (nothing runs then)."""
        self.path = Path(state_dir) / FILE_NAME
        self._words = words

    def persisted(self) -> int:
        """Generation in the state directory; 0 where it was never set."""
        try:
            return int(self.path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):
            return UNREADABLE

    def generation(self) -> int:
        """The newest generation known: that of the word, or of the file where nothing is mapped."""
        stored = self.persisted()
        return max(stored, self._words.load(Word.KILL_SWITCH)) if self._words is not None else stored

    def set(self, on: bool) -> int:
        """Turn it on or off; the new generation. On: the word first (engines stop now), then the file, synced."""
        generation = self.generation()
        if is_on(generation) != on:
            generation += 1
        if on:
            self._store(generation)
            self._persist(generation)
        else:
            self._persist(generation)
            self._store(generation)
        return generation

    def load(self) -> int:
        """Copy the persisted generation into the word (at `shm create`), never backwards; what the word is now."""
        generation = self.generation()
        self._store(generation)
        return generation

    def _store(self, generation: int) -> None:
        if self._words is not None:
            self._words.store(Word.KILL_SWITCH, generation)

    def _persist(self, generation: int) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, f"{generation}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@dataclass(frozen=True)
class Command:
    """One `on` as it began. started_ns: CLOCK_MONOTONIC."""

    started_ns: int
    generation: int
    canceled: dict[str, int]
    """{venue: what its engine had counted} right after the word was set."""


def of_instance(instance: Instance) -> KillSwitch:
    """The switch of an instance, with its word where the segments exist."""
    try:
        return KillSwitch(instance.state_dir, Words(instance.segment("words")))
    except SegmentError:
        return KillSwitch(instance.state_dir)


def echoes(instance: Instance) -> dict[str, int]:
    """{trading engine: generation that it has obeyed} of the engines that run now."""
    try:
        table, rows = TableReader(instance.segment("status")), instance.processes()
    except SegmentError:
        return {}
    found: dict[str, int] = {}
    for process, number in rows.items():
        row = ProcessRow()
        if process.startswith("trading_engine.") and table.read(number, row) and is_alive(row.pid, row.state):
            found[process] = row.kill_switch_echo
    return found


def canceled(instance: Instance) -> dict[str, int]:
    """{venue: orders that its engine has seen canceled so far} of the engines that run now."""
    found: dict[str, int] = {}
    for process in echoes(instance):
        with contextlib.suppress(SegmentError):
            counters = CountersReader(instance.segment(f"counters.{process}")).snapshot()["counters"]
            found[process.removeprefix("trading_engine.")] = counters.get("canceled", 0)
    return found


def wait_for_echoes(instance: Instance, generation: int, timeout_s: float) -> dict[str, int]:
    """Echoes as soon as every running engine has obeyed `generation`, else as they are after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = echoes(instance)
        if all(echo >= generation for echo in found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def is_alive(pid: int, state: int) -> bool:
    """Whether the process of a row still runs; one that is dead and not yet collected by its parent does not."""
    if not pid or state in (ProcessState.STOPPED, ProcessState.FAILED):
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
