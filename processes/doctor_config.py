"""What `corelane.toml` asks of this host that the host, or the config itself, does not give.

The rule: only what can be said before the set runs; who else is on the pinned cores is in `doctor_cores.py`.
Called by `doctor.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from processes.config import Config
from processes.doctor_finding import Finding, Severity
from processes.host_reading import Host


def config_findings(host: Host, config: Config) -> Iterator[Finding]:
    """What the config wants of this host: its pinned cores against who else runs there, classes, memory."""
    pinned = {placed.core for placed in config.cores.values() if placed.core is not None}
    if not pinned:
        yield Finding(
            "pinned cores", Severity.NOTE, "no process has a core", "[cores] in corelane.toml",
            "every process is moved between cores, with cold caches after each move",
            "corelane doctor --suggest-cores, or a map of systemd/cores/",
        )  # fmt: skip
    yield from _fifo_that_spins(host, config)
    yield from _shared_spinners(config)
    yield _shm_size(host, config)
    yield _memlock(host, config)


def _fifo_that_spins(host: Host, config: Config) -> Iterator[Finding]:
    runtime = host.number("/proc/sys/kernel/sched_rt_runtime_us")
    for process, placed in config.cores.items():
        if placed.scheduling != "fifo" or placed.wait != "spin":
            continue
        check, fix = f"{process}: SCHED_FIFO and spin", f'cores.{process}: scheduling = "other"'
        if runtime == -1:
            yield Finding(
                check, Severity.SERIOUS, "RT throttling is off", "SCHED_OTHER on a core of its own",
                "kernel threads of that core never run: memory reclaim or an fsync elsewhere may hang for good", fix,
            )  # fmt: skip
        else:
            yield Finding(
                check, Severity.SERIOUS, f"RT throttling at {runtime} us of each second", "SCHED_OTHER on its own core",
                "the process loses its core for about 50 ms in every second", fix,
            )  # fmt: skip


def _shared_spinners(config: Config) -> Iterator[Finding]:
    for process, placed in config.cores.items():
        if placed.wait != "spin" or placed.core is None:
            continue
        others = [name for name, other in config.cores.items() if other.core == placed.core and name != process]
        if others:
            yield Finding(
                f"{process}: spins on core {placed.core}", Severity.SERIOUS, f"{', '.join(others)} is pinned there too",
                "a core of its own",
                "each takes the core from the other for a scheduler slice of 3 ms and more", "another core in [cores]",
            )  # fmt: skip
        elif placed.core == 0:
            yield Finding(
                f"{process}: spins on core 0", Severity.WARNING, "core 0", "any other core",
                "the boot core keeps interrupts and kernel work that nothing moves away", "another core in [cores]",
            )  # fmt: skip


def _shm_size(host: Host, config: Config) -> Finding:
    """Rings by their configured slots at the largest record; what /dev/shm still has."""
    slots = sum(venue.market_ring_slots + venue.request_ring_slots + venue.event_ring_slots
                for venue in config.venues.values())  # fmt: skip
    needed = slots * 256 + (len(config.processes()) << 20)
    try:
        room = os.statvfs(host.path("/dev/shm"))
    except OSError:
        return Finding("/dev/shm", Severity.NOT_HERE, "n/a")
    free = room.f_bavail * room.f_frsize
    found, wanted = f"{free >> 20} MiB free", f"about {max(needed >> 20, 1)} MiB for this config"
    if free >= needed:
        return Finding("/dev/shm", Severity.GOOD, found, wanted)
    return Finding(
        "/dev/shm", Severity.SERIOUS, found, wanted, "a ring cannot be made, and nothing starts",
        f"mount -o remount,size={(2 * needed >> 20) + 64}m /dev/shm",
    )  # fmt: skip


def _memlock(host: Host, config: Config) -> Finding:
    """Of this very process: units raise theirs by LimitMEMLOCK=, a shell has what PAM gives it."""
    line = next((row for row in (host.text("/proc/self/limits") or "").splitlines() if "locked memory" in row), "")
    if not line:
        return Finding("locked memory", Severity.NOT_HERE, "n/a")
    if line.split()[3] == "unlimited":
        return Finding("locked memory", Severity.GOOD, "unlimited here", "unlimited")
    return Finding(
        "locked memory", Severity.WARNING, f"{line.split()[3]} bytes in this shell", "unlimited",
        "pinned processes do not lock their memory: a page that was reclaimed comes back milliseconds late",
        "start by the units (LimitMEMLOCK=infinity), or /etc/security/limits.d: corelane - memlock unlimited",
    )  # fmt: skip
