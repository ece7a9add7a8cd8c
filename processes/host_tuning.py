"""Sets what a running host may change, and undoes it: sysctls, huge pages, governor, a request for shallow C-states.

The rule: a value is changed only where the doctor would complain of it, and what was there before is on disk before the
first change, so that a kill -9 loses nothing. A request on /dev/cpu_dma_latency holds as long as the file is open:
that is why this is a process and not a script. Called by `corelane host-tuning`, which a unit of its own runs as root.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from processes.doctor_host import KNOBS
from processes.exit_codes import ExitCode, Failure
from processes.host_reading import Host, chosen
from processes.sd_notify import Notifier

RECORD: Final = Path("/run/corelane-host-tuning/before.json")
LATENCY: Final = "/dev/cpu_dma_latency"
GOVERNORS: Final = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"


def wanted(host: Host) -> dict[str, str]:
    """{file: value} of all that would be changed now; only files that exist."""
    changes = {}
    for knob in KNOBS:
        text = host.text(knob.path)
        if knob.value and text is not None and not knob.good(text):
            changes[knob.path] = knob.value
    for path in host.glob(GOVERNORS):
        if host.text(path) != "performance":
            changes[path] = "performance"
    return changes


def apply(host: Host, record: Path = RECORD) -> Iterator[str]:
    """Change it, a line for each, also for what the kernel refuses. Raises Failure where nothing may be recorded."""
    changes = wanted(host)
    before = _recorded(record)  # of a run that was killed: its first values are the ones to go back to
    for path in changes:
        before.setdefault(path, chosen(host.text(path) or ""))
    try:
        _record(record, before)
    except OSError as error:
        raise Failure(
            f"{record}: {error.strerror}; expected to be run by root, as corelane-host-tuning.service", ExitCode.CONFIG
        ) from None
    for path, value in changes.items():
        yield _write(host, path, value, before[path])
    if not changes:
        yield "nothing to change"


def restore(host: Host, record: Path = RECORD) -> Iterator[str]:
    """Put back what `apply` found, last change first, a line for each; then forget it."""
    before = _recorded(record)
    for path, value in reversed(before.items()):
        yield _write(host, path, value, chosen(host.text(path) or ""))
    record.unlink(missing_ok=True)
    if not before:
        yield "nothing to put back"


def hold(host: Host, record: Path = RECORD) -> Iterator[str]:
    """Apply, keep the C-states shallow, wait for SIGTERM or SIGINT, restore; lines as they happen."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    yield from apply(host, record)
    request = _open_latency(host)
    try:
        yield f"{LATENCY}: 0 us, as long as this runs" if request is not None else f"{LATENCY}: not on this machine"
        notifier = Notifier()
        notifier.send("READY=1")
        signal.sigwait(ends)
        notifier.send("STOPPING=1")
        notifier.close()
    finally:
        if request is not None:
            os.close(request)
        yield from restore(host, record)


def _open_latency(host: Host) -> int | None:
    try:
        descriptor = os.open(host.path(LATENCY), os.O_WRONLY)
        os.write(descriptor, struct.pack("i", 0))
    except OSError:
        return None
    return descriptor


def _write(host: Host, path: str, value: str, before: str) -> str:
    try:
        host.path(path).write_text(value)
    except OSError as error:
        return f"{path}: stays {before}, {value} is refused: {error.strerror}"
    return f"{path}: {before} -> {value}"


def _recorded(record: Path) -> dict[str, str]:
    try:
        return {str(path): str(value) for path, value in json.loads(record.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _record(record: Path, before: dict[str, str]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps(before, indent=2))
    temporary.replace(record)
