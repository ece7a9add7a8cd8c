"""What is right or wrong of a host whatever runs there: found, wanted, what it costs, how to set it.

The rule: nothing is changed. What this kernel does not have is `n/a` and counts as nothing. One sentence per cost says
what a trader would see. One file with one value is a row of a table, all else a function. Called by `doctor.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from processes.doctor_finding import Finding, Severity
from processes.host_reading import Host, chosen


@dataclass(frozen=True)
class Knob:
    """One file with one value that is right or wrong by itself."""

    check: str
    path: str
    good: Callable[[str], bool]
    wanted: str
    severity: Severity
    cost: str
    fix: str
    value: str = ""
    """What `corelane host-tuning` writes there; empty where a running host cannot be changed."""


def _is(*words: str) -> Callable[[str], bool]:
    return lambda text: chosen(text) in words


def _at_most(bound: int) -> Callable[[str], bool]:
    return lambda text: text.lstrip("-").isdigit() and int(text) <= bound


def _at_least(bound: int) -> Callable[[str], bool]:
    return lambda text: text.isdigit() and int(text) >= bound


def _sysctl(
    check: str, name: str, good: Callable[[str], bool], wanted: str, severity: Severity, cost: str, value: str
) -> Knob:
    return Knob(
        check, f"/proc/sys/{name.replace('.', '/')}", good, wanted, severity, cost, f"sysctl -w {name}={value}", value
    )


THP: Final = "/sys/kernel/mm/transparent_hugepage"
CLOCK: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
KNOBS: Final = (
    Knob(
        "clock source", CLOCK, _is("tsc", "kvm-clock", "arch_sys_counter"), "tsc (kvm-clock in a guest)",
        Severity.SERIOUS, "each reading of the clock becomes a system call of about a microsecond, many per message",
        "clocksource=tsc on the kernel command line",
    ),
    Knob(
        "transparent huge pages", f"{THP}/enabled", _is("never", "madvise"), "madvise or never", Severity.SERIOUS,
        "a page fault may zero 2 MiB, and khugepaged moves memory below a running process: milliseconds",
        f"echo madvise > {THP}/enabled", "madvise",
    ),
    Knob(
        "huge page defragmentation", f"{THP}/defrag", _is("never", "madvise", "defer", "defer+madvise"), "not always",
        Severity.WARNING, "an allocation may wait for memory to be compacted", f"echo madvise > {THP}/defrag",
        "madvise",
    ),
    Knob(
        "page merging (KSM)", "/sys/kernel/mm/ksm/run", _is("0"), "0", Severity.WARNING,
        "merged pages are copied again at the next write: a fault on the hot path",
        "echo 0 > /sys/kernel/mm/ksm/run", "0",
    ),
    _sysctl(
        "swappiness", "vm.swappiness", _at_most(10), "at most 10", Severity.WARNING,
        "idle pages of a process go to disk, and come back milliseconds late", "10",
    ),
    _sysctl(
        "background compaction", "vm.compaction_proactiveness", _is("0"), "0", Severity.NOTE,
        "memory is moved about in the background, with interrupts to all cores", "0",
    ),
    _sysctl(
        "NUMA balancing", "kernel.numa_balancing", _is("0"), "0", Severity.WARNING,
        "pages are unmapped to see who touches them: a fault each, on the hot path", "0",
    ),
    _sysctl(
        "zone reclaim", "vm.zone_reclaim_mode", _is("0"), "0", Severity.NOTE,
        "an allocation may wait for memory of its own node to be freed", "0",
    ),
    _sysctl(
        "timer migration", "kernel.timer_migration", _is("0"), "0", Severity.NOTE,
        "timers of idle cores fire on busy ones", "0",
    ),
    _sysctl(
        "NMI watchdog", "kernel.nmi_watchdog", _is("0"), "0", Severity.WARNING,
        "a performance-counter interrupt every few seconds on every core", "0",
    ),
    _sysctl(
        "vmstat worker", "vm.stat_interval", _at_least(10), "10 or more", Severity.NOTE,
        "a kernel worker runs every second on every core", "10",
    ),
    _sysctl(
        "hung task detector", "kernel.hung_task_timeout_secs", _at_least(600), "600 or more", Severity.NOTE,
        "all tasks are walked every two minutes", "600",
    ),
    _sysctl(
        "autogroup", "kernel.sched_autogroup_enabled", _is("0"), "0", Severity.NOTE,
        "nice values count only inside one login session", "0",
    ),
    _sysctl(
        "busy poll (select)", "net.core.busy_poll", _at_least(1), "50", Severity.WARNING,
        "a frame from the exchange waits for an interrupt and a wake-up, tens of microseconds; no matter on loopback",
        "50",
    ),
    _sysctl(
        "busy poll (read)", "net.core.busy_read", _at_least(1), "50", Severity.WARNING,
        "the same, for sockets that are read without waiting for them", "50",
    ),
    _sysctl(
        "TCP corking", "net.ipv4.tcp_autocorking", _is("0"), "0", Severity.NOTE,
        "a small order may wait for the one before it to leave the device", "0",
    ),
    _sysctl(
        "slow start after idle", "net.ipv4.tcp_slow_start_after_idle", _is("0"), "0", Severity.WARNING,
        "after a quiet second the first burst needs several round trips", "0",
    ),
    _sysctl(
        "dirty pages", "vm.dirty_ratio", _at_most(10), "at most 10", Severity.NOTE,
        "writers of journals and recordings stop until a big pile is on disk", "10",
    ),
    _sysctl(
        "dirty pages in the background", "vm.dirty_background_ratio", _at_most(3), "at most 3", Severity.NOTE,
        "writing out begins late and comes in bursts", "3",
    ),
    Knob(
        "energy bias", "/sys/devices/system/cpu/cpu0/power/energy_perf_bias", _is("0", "performance"), "0",
        Severity.NOTE, "the processor saves energy where it should hurry", "cpupower set --perf-bias 0",
    ),
    Knob(
        "lowest P-state", "/sys/devices/system/cpu/intel_pstate/min_perf_pct", _is("100"), "100", Severity.WARNING,
        "after a pause the core needs tens of microseconds to its full clock",
        "echo 100 > /sys/devices/system/cpu/intel_pstate/min_perf_pct", "100",
    ),
)  # fmt: skip


def host_findings(host: Host) -> Iterator[Finding]:
    """What is right or wrong of the host whatever runs there."""
    for knob in KNOBS:
        text = host.text(knob.path)
        if text is None:
            yield Finding(knob.check, Severity.NOT_HERE, "n/a")
        elif knob.good(text):
            yield Finding(knob.check, Severity.GOOD, chosen(text), knob.wanted)
        else:
            yield Finding(knob.check, knob.severity, chosen(text), knob.wanted, knob.cost, knob.fix)
    yield _swap(host)
    yield _governor(host)
    yield _c_states(host)
    yield _clock_synchronised(host)
    yield _rt_groups(host)
    yield from _reports(host)


def _swap(host: Host) -> Finding:
    text = host.text("/proc/swaps")
    if text is None:
        return Finding("swap", Severity.NOT_HERE, "n/a")
    count = len(text.splitlines()) - 1
    if count <= 0:
        return Finding("swap", Severity.GOOD, "none", "none")
    return Finding(
        "swap", Severity.WARNING, f"{count} areas", "none",
        "what is not locked may be on disk when it is needed: milliseconds", "swapoff -a, and its lines out of fstab",
    )  # fmt: skip


def _governor(host: Host) -> Finding:
    names = host.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    found = {host.text(name) or "" for name in names}
    if not found:
        return Finding("frequency governor", Severity.NOT_HERE, "n/a")
    if found == {"performance"}:
        return Finding("frequency governor", Severity.GOOD, "performance", "performance")
    return Finding(
        "frequency governor", Severity.SERIOUS, ", ".join(sorted(found)), "performance",
        "a core that wakes runs at a fraction of its clock for milliseconds", "cpupower frequency-set -g performance",
    )  # fmt: skip


def _c_states(host: Host) -> Finding:
    """By the request that is in force: what /dev/cpu_dma_latency answers, as an int32 of microseconds."""
    deepest = 0
    for name in host.glob("/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state*/latency"):
        if host.text(name.replace("latency", "disable")) == "0":
            deepest = max(deepest, host.number(name) or 0)
    try:
        request = struct.unpack("i", host.path("/dev/cpu_dma_latency").read_bytes()[:4])[0]
    except (OSError, struct.error):
        request = None
    if request is None and not deepest:
        return Finding("C-states", Severity.NOT_HERE, "n/a")
    allowed = deepest if request is None else min(request, deepest) if deepest else request
    if allowed <= 2:
        return Finding("C-states", Severity.GOOD, f"leaving one takes at most {allowed} us", "at most 2 us")
    shown = "no limit is asked for" if request is None or request >= 2_000_000_000 else f"limit {request} us"
    return Finding(
        "C-states", Severity.SERIOUS, f"{shown}; the deepest takes {deepest} us to leave" if deepest else shown,
        "0 or 1 us in /dev/cpu_dma_latency while the set runs",
        "each wake-up of a sleeping core is that much later", "systemctl enable --now corelane-host-tuning",
    )  # fmt: skip


def _clock_synchronised(host: Host) -> Finding:
    if any(host.path(name).exists() for name in ("/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid")):
        return Finding("wall clock", Severity.GOOD, "synchronised, or chronyd runs", "synchronised")
    for name in ("chronyd", "ntpd", "ptp4l", "phc2sys"):
        if host.processes_named(name):
            return Finding("wall clock", Severity.GOOD, f"{name} runs", "synchronised")
    return Finding(
        "wall clock", Severity.SERIOUS, "no sign of chronyd, ntpd, ptp4l or a synchronised timesyncd", "synchronised",
        "venues refuse requests whose timestamp is off, and each age of a quote is wrong by the error",
        "apt-get install chrony",
    )  # fmt: skip


def _rt_groups(host: Host) -> Finding:
    release = host.text("/proc/sys/kernel/osrelease") or ""
    text = host.text(f"/boot/config-{release}")
    if text is None:
        return Finding("RT groups in the kernel", Severity.NOT_HERE, "n/a")
    if "CONFIG_RT_GROUP_SCHED=y" not in text:
        return Finding("RT groups in the kernel", Severity.GOOD, "not built in", "not built in")
    return Finding(
        "RT groups in the kernel", Severity.WARNING, "CONFIG_RT_GROUP_SCHED=y", "not built in",
        'a unit with a cpu controller has no real-time budget: scheduling = "fifo" fails with EPERM',
        'scheduling = "other", or a kernel without it',
    )  # fmt: skip


def _reports(host: Host) -> Iterator[Finding]:
    """What is neither right nor wrong, and explains figures."""
    turbo = host.text("/sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = host.text("/sys/devices/system/cpu/cpufreq/boost")
    if turbo is not None or boost is not None:
        on = turbo == "0" if turbo is not None else boost == "1"
        yield Finding("turbo", Severity.GOOD, "on" if on else "off", "by measurement: on is faster, off is steadier")
    holes = [
        name.rpartition("/")[2]
        for name in host.glob("/sys/devices/system/cpu/vulnerabilities/*")
        if (host.text(name) or "").startswith("Mitigation")
    ]
    if holes:
        yield Finding("mitigations", Severity.GOOD, f"{len(holes)} active", "report only: system calls are dearer")
    pages = _meminfo(host)
    if "HugePages_Total" in pages:
        free, total = pages.get("HugePages_Free", 0), pages["HugePages_Total"]
        yield Finding("huge pages", Severity.GOOD, f"{free} of {total} free", "none are asked for")
    steal = (host.text("/proc/stat") or "").partition("\n")[0].split()
    if len(steal) > 8 and int(steal[8]):
        yield Finding(
            "stolen time", Severity.WARNING, f"{int(steal[8])} ticks since boot", "0",
            "the hypervisor runs somebody else on our core, milliseconds at a time", "dedicated cores, or bare metal",
        )  # fmt: skip


def _meminfo(host: Host) -> dict[str, int]:
    pairs = (line.split() for line in (host.text("/proc/meminfo") or "").splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in pairs if len(words) > 1 and words[1].isdigit()}
