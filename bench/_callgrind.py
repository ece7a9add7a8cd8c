"""A script of this folder under valgrind's callgrind, which has to be installed: instructions within one function.

Who calls it: _order_path_cost.py and _decode_cost.py, on themselves.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def instructions(script: str, arguments: list[str], counted: str, profile: Path) -> int:
    """How many were carried out within `counted` (a symbol; * is anything). The profile stays for `costliest`."""
    command = [
        "valgrind", "--tool=callgrind", f"--toggle-collect={counted}", f"--callgrind-out-file={profile}", "--quiet",
        sys.executable, script, *arguments,
    ]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"})
    found = re.search(r"^(?:totals|summary): (\d+)", profile.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def costliest(profile: Path, count: int) -> Iterator[str]:
    """The functions with the most instructions of their own, a line each."""
    rows = subprocess.run(
        ["callgrind_annotate", "--threshold=100", str(profile)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    begin = next(number for number, row in enumerate(rows) if "file:function" in row) + 2
    yield from rows[begin : begin + count]
