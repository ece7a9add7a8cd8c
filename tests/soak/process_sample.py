"""What one process holds at one moment, read from /proc: memory, open files, threads.

The rule: a process that has just ended is None, not an error. `anonymous_kb` is its heap and stacks, where a leak
shows: pages of the rings and of files are not in it (a journal's next file would look like a leak of 6 MB).
`resident_kb` and `shared_out_kb` (PSS) are for comparison with other tools. Called by run.py.
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

    anonymous_kb: int
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
        anonymous_kb=memory["Anonymous"],
        shared_out_kb=memory["Pss"],
        resident_kb=memory["Rss"],
        files=files,
        threads=status["Threads"],
    )


def _fields(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in _FIELD.findall(text)}
