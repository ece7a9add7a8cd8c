"""What is in force for the processes that run now: every thread's core, class, locked memory, disturbances.

The rule: read from /proc of the process. What a unit was configured with says nothing: a limit that the kernel refused
still shows in `systemctl show`. Called by `doctor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from processes.config import Config
from processes.doctor_finding import Finding, Severity, shown
from processes.host_reading import Host, cpu_list


def thread_findings(host: Host, config: Config) -> Iterator[Finding]:
    """For each process of the config that runs now; one that does not run says nothing."""
    spinning = {placed.core for placed in config.cores.values() if placed.core is not None and placed.wait == "spin"}
    for process in config.processes():
        for pid in _pids(host, process):
            yield from _pinned_thread(host, config, process, pid)
            yield from _other_threads(host, process, pid, spinning)
            yield from _memory(host, config, process, pid)


def _pids(host: Host, process: str) -> list[int]:
    """Processes whose arguments are those of this one: the kernel's 15 characters do not tell venues apart."""
    role, _, venue = process.partition(".")
    words = [role.replace("_", "-"), *([venue] if venue else [])]
    found = []
    for name in host.glob("/proc/[0-9]*/cmdline"):
        arguments = (host.text(name) or "").split("\0")
        program = [word for word in arguments[:4] if word == "processes.cli" or word.rpartition("/")[2] == "corelane"]
        if program and arguments[(at := arguments.index(program[0]) + 1) : at + len(words)] == words:
            found.append(int(name.split("/")[2]))
    return found


def _status(host: Host, path: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in (host.text(path) or "").splitlines())
    return {key: value.strip() for key, _, value in pairs}


def _pinned_thread(host: Host, config: Config, process: str, pid: int) -> Iterator[Finding]:
    placed = config.core(process)
    if placed.core is None:
        return
    allowed = cpu_list(_status(host, f"/proc/{pid}/status").get("Cpus_allowed_list", ""))
    right = allowed == {placed.core}
    yield Finding(
        f"{process} ({pid}): its core", Severity.GOOD if right else Severity.SERIOUS, f"may run on {shown(allowed)}",
        f"{placed.core} alone", "" if right else "it is moved between cores, with cold caches after each move",
        "" if right else "corelane systemd install, then restart its unit",
    )  # fmt: skip
    stat = (host.text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    if len(stat) > 38:  # field 41 of proc(5), the policy, counted from the name on
        fifo = stat[38] == "1"
        if fifo != (placed.scheduling == "fifo"):
            yield Finding(
                f"{process} ({pid}): its class", Severity.SERIOUS, "SCHED_FIFO" if fifo else "not SCHED_FIFO",
                placed.scheduling, "it is scheduled in another way than [cores] says",
                "corelane systemd install, then restart its unit",
            )  # fmt: skip


def _other_threads(host: Host, process: str, pid: int, spinning: set[int]) -> Iterator[Finding]:
    """Threads of libraries belong on cores on which nothing spins."""
    for name in host.glob(f"/proc/{pid}/task/*/status"):
        thread = name.split("/")[4]
        allowed = cpu_list(_status(host, name).get("Cpus_allowed_list", ""))
        if thread != str(pid) and allowed and allowed <= spinning:
            yield Finding(
                f"{process} ({pid}): thread {thread}", Severity.WARNING, f"on spinning core {shown(allowed)}",
                "a housekeeping core", "it takes the core from the loop each time it wakes",
                "a defect: please report it",
            )  # fmt: skip


def _memory(host: Host, config: Config, process: str, pid: int) -> Iterator[Finding]:
    swapped = _status(host, f"/proc/{pid}/status").get("VmSwap", "0 kB").split()[0]
    if swapped != "0":
        yield Finding(
            f"{process} ({pid}): swapped out", Severity.SERIOUS, f"{swapped} kB", "0",
            "the next touch of such a page takes milliseconds", "swapoff -a; LimitMEMLOCK=infinity",
        )  # fmt: skip
    if config.core(process).core is None:
        return
    line = next((row for row in (host.text(f"/proc/{pid}/limits") or "").splitlines() if "locked memory" in row), "")
    if line and line.split()[3] != "unlimited":
        yield Finding(
            f"{process} ({pid}): locked memory", Severity.WARNING, f"limit {line.split()[3]} bytes in force",
            "unlimited", "its memory is not locked, whatever its unit says",
            "start it by its unit, on a host whose PID 1 has CAP_SYS_RESOURCE",
        )  # fmt: skip
