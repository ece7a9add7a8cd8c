"""What a process leaves when it ends by something nobody foresaw: one file that explains the crash on another desk.

The rule: it is written once, at the end, from what is at hand: traceback, versions, config, the last records of the
rings that the process had attached, counters, its row. Nothing in it may be a secret (the config names key pairs and
holds none; addresses lose their user part, and values under names like those in SECRET are left out). The oldest files
go when there are more than KEPT. It never makes a crash worse: what cannot be read is said in the file, and where the
file itself cannot be written, the caller gets no path. Called by app_service.py; the path stands in the last log line.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from processes.config import Config
from processes.config_reading import USER_PART
from processes.shm_dump import plain
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import LAYOUT_HASH, LAYOUT_VERSION, SegmentKind
from shm.records import ProcessRow
from shm.ring import BroadcastReader
from shm.segment import Segment

FOLDER: Final = "crashes"
KEPT: Final = 20
"""Of all processes of the instance together; one is some 100 kB."""
RECORDS: Final = 32
"""The newest of each ring."""
RINGS: Final = (SegmentKind.BROADCAST_RING, SegmentKind.LOSSLESS_RING)
SECRET: Final = re.compile(r"secret|token|passw|private|api_?key|credential", re.IGNORECASE)
NAMES_ONLY: Final = frozenset({"credentials"})
"""Holds the name of a key pair, never the key."""


def write(process: str, config: Config, instance: Instance, row: ProcessRow, error: BaseException) -> Path | None:
    """Write the report of this process into the state directory; its path, None where that is not possible."""
    now = datetime.now(UTC)
    folder = Path(config.instance.state_dir) / FOLDER
    path = folder / f"{process}-{now:%Y%m%dT%H%M%S.%f}Z.json"
    report = {
        "process": process,
        "instance": instance.name,
        "pid": os.getpid(),
        "time": now.isoformat(timespec="microseconds"),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)).splitlines(),
        "versions": _tried(_versions),
        "row": _tried(lambda: plain(row)),
        "config": _tried(lambda: without_secrets(msgspec.to_builtins(config))),
        "counters": _tried(lambda: CountersReader(instance.segment(f"counters.{process}")).snapshot()),
        "rings": {name: _tried(lambda ring=segment: last_records(ring)) for name, segment in _rings(instance)},  # type: ignore[misc]
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(report, file, indent=1, ensure_ascii=False, default=str)
            file.write("\n")
        _remove_oldest(folder)
    except (OSError, ValueError):
        return None
    return path


def last_records(ring: Segment) -> list[dict[str, Any]]:
    """The newest RECORDS records, oldest first, read along as an observer."""
    cursor = int(ring.header["cursor"][0])
    reader = BroadcastReader(ring, from_sequence=max(1, cursor - min(RECORDS, ring.capacity) + 1))
    found: list[dict[str, Any]] = []
    while len(found) < RECORDS and (record := reader.poll()) is not None:
        found.append({"sequence": record.sequence, **plain(record)})
    return found


def without_secrets(value: Any, name: str = "") -> Any:
    """The same, without what may be a secret."""
    if isinstance(value, dict):
        return {key: without_secrets(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [without_secrets(one, name) for one in value]
    if SECRET.search(name) and name not in NAMES_ONLY and value:
        return "(left out)"
    if isinstance(value, str):
        return USER_PART.sub("", value)
    return value


def _rings(instance: Instance) -> list[tuple[str, Segment]]:
    return [(name, segment) for name, segment in instance.attached().items() if segment.kind in RINGS]


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("corelane", "numpy", "pyzmq", "picows", "uvloop", "msgspec", "aiohttp")
    found = {"python": sys.version.split()[0], "kernel": platform.release(), "machine": platform.machine()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found | {"layout": f"{LAYOUT_VERSION}/{LAYOUT_HASH:016x}"}


def _tried(read: Callable[[], Any]) -> Any:
    """What it gives, or the sentence that says why not: half a report is better than none."""
    try:
        return read()
    except Exception as error:
        return f"not readable: {type(error).__name__}: {error}"


def _remove_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT]:
        file.unlink(missing_ok=True)
