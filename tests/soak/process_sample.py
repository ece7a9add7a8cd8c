"""What one process holds at one moment, read from /proc: memory, open files, threads.

The rule: a process that has just ended is None, not an error. `private_kb` is what only this process has (it goes up by
a leak and by nothing else: pages of the rings are shared); `resident_kb` and `shared_out_kb` (PSS) are for comparison
with other tools. Called by run.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FIELD: Final = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class ProcessSample:
    """Memory in kB (1024 bytes)."""

    private_kb: int
    shared_out_kb: int
    resident_kb: int
    files: int
    threads: int


def read(pid: int, proc: Path = Path("/proc")) -> ProcessSample | None:
    """None where there is no such process any more."""
    folder = proc / str(pid)
    try:
        memory = _fields((folder / "smaps_rollup").read_text())
        status = _fields((folder / "status").read_text())
        files = sum(1 for _ in (folder / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return ProcessSample(
        private_kb=memory["Private_Clean"] + memory["Private_Dirty"],
        shared_out_kb=memory["Pss"],
        resident_kb=memory["Rss"],
        files=files,
        threads=status["Threads"],
    )


def _fields(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in _FIELD.findall(text)}
