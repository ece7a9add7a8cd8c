"""Who else runs, or may run, on the cores that `[cores]` gives to processes of ours.

The rule: read from the kernel's own word, not from what was asked for (effective affinities, a partition that says
"isolated invalid" is none). Called by `doctor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from processes.config import Config
from processes.doctor_finding import Finding, Severity, shown
from processes.host_reading import Host, cpu_list, cpu_mask


def core_findings(host: Host, config: Config) -> Iterator[Finding]:
    """Who else may run on the cores of [cores]: tasks, ticks, kernel work, interrupts, hardware threads."""
    pinned = {placed.core for placed in config.cores.values() if placed.core is not None}
    spinning = {placed.core for placed in config.cores.values() if placed.core is not None and placed.wait == "spin"}
    if not pinned:
        return
    cores = shown(pinned)
    isolated = host.isolated() | _partitioned(host)
    command = f"isolcpus=managed_irq,domain,{cores} nohz_full={cores} rcu_nocbs={cores}"
    yield _held(
        "isolated cores", "not isolated", pinned - isolated if spinning else set(), pinned, Severity.SERIOUS,
        "the scheduler puts other work on them: a pause of milliseconds now and then",
        f"kernel command line: {command}; or corelane systemd install --isolate",
    )  # fmt: skip
    tickless = host.text("/sys/devices/system/cpu/nohz_full")
    if tickless is None:
        yield Finding("tickless cores", Severity.NOT_HERE, "n/a")
    else:
        yield _held(
            "tickless cores", "the tick runs on", spinning - cpu_list(tickless), spinning, Severity.WARNING,
            "the tick stops them 100 to 1000 times a second, for microseconds",
            f"kernel command line: nohz_full={cores}",
        )  # fmt: skip
    for check, path in (
        ("unbound kernel work", "/sys/devices/virtual/workqueue/cpumask"),
        ("write-back work", "/sys/devices/virtual/workqueue/writeback/cpumask"),
        ("new interrupts", "/proc/irq/default_smp_affinity"),
        ("lockup detector", "/proc/sys/kernel/watchdog_cpumask"),
    ):
        text = host.text(path)
        if text is None:
            yield Finding(check, Severity.NOT_HERE, "n/a")
            continue
        allowed = cpu_list(text) if path.endswith("watchdog_cpumask") else cpu_mask(text)
        yield _held(
            check, "allowed on", pinned & allowed, pinned, Severity.WARNING,
            "kernel threads or interrupt handlers run there, tens of microseconds each",
            f"take cores {cores} out of {path}",
        )  # fmt: skip
    yield _callbacks(host, spinning)
    yield _interrupts(host, pinned)
    yield _irqbalance(host, pinned, isolated)
    yield from _siblings(host, pinned)
    yield from _receive_steering(host, pinned)


def _held(
    check: str, trouble: str, wrong: set[int], pinned: set[int], severity: Severity, cost: str, fix: str
) -> Finding:
    """Good where no pinned core is on the wrong side of it."""
    if not wrong:
        return Finding(check, Severity.GOOD, "right" if pinned else "not needed", f"no core of {shown(pinned)}")
    return Finding(check, severity, f"{trouble} {shown(wrong)}", f"no core of {shown(pinned)}", cost, fix)


def _callbacks(host: Host, spinning: set[int]) -> Finding:
    """RCU callbacks of a core are offloaded where the kernel has a thread rcuop/N (or rcuos/N) for it."""
    names = {host.text(name) or "" for name in host.glob("/proc/[0-9]*/comm")}
    offloaded = {core for core in spinning if names & {f"rcuop/{core}", f"rcuos/{core}"}}
    if not any(name.startswith(("rcu", "kthreadd")) for name in names):
        return Finding("RCU callbacks", Severity.NOT_HERE, "n/a")
    return _held(
        "RCU callbacks", "run on", spinning - offloaded, spinning, Severity.WARNING,
        "the kernel frees memory there, tens of microseconds at a time",
        f"kernel command line: rcu_nocbs={shown(spinning)}",
    )  # fmt: skip


def _partitioned(host: Host) -> set[int]:
    """CPUs of cgroups that are an isolated partition; one that is "isolated invalid (reason)" is none."""
    cores: set[int] = set()
    for name in host.glob("/sys/fs/cgroup/*/cpuset.cpus.partition"):
        if host.text(name) == "isolated":
            cores |= cpu_list(host.text(name.replace(".partition", ".effective")) or "")
    return cores


def _interrupts(host: Host, pinned: set[int]) -> Finding:
    there = [number for number, cores in host.irq_affinities() if cores & pinned]
    if not there:
        return Finding("device interrupts", Severity.GOOD, "none on the pinned cores", "none")
    numbers = ", ".join(map(str, there[:8])) + (" ..." if len(there) > 8 else "")
    housekeeping = shown(host.cores - pinned)
    return Finding(
        "device interrupts", Severity.SERIOUS, f"{len(there)} fire on the pinned cores: {numbers}", "none",
        "a handler takes the core for tens of microseconds, in bursts for milliseconds",
        f"echo {housekeeping} > /proc/irq/N/smp_affinity_list; isolcpus=managed_irq for those that refuse"
        if housekeeping
        else "leave a core without a process in [cores], for them",
    )  # fmt: skip


def _irqbalance(host: Host, pinned: set[int], isolated: set[int]) -> Finding:
    pids = host.processes_named("irqbalance")
    if not pids:
        return Finding("irqbalance", Severity.GOOD, "not running", "not running, or banned from the pinned cores")
    environment = (host.text(f"/proc/{pids[0]}/environ") or "").split("\0")
    banned = next((cpu_list(item.partition("=")[2]) for item in environment
                   if item.startswith("IRQBALANCE_BANNED_CPULIST=")), set())  # fmt: skip
    if pinned <= banned | isolated:
        return Finding("irqbalance", Severity.GOOD, "runs, banned from the pinned cores", "banned from them")
    return Finding(
        "irqbalance", Severity.WARNING, "runs, and may use the pinned cores", "banned from them",
        "interrupts come back to the pinned cores every ten seconds",
        f"IRQBALANCE_BANNED_CPULIST={shown(pinned)} in /etc/default/irqbalance",
    )  # fmt: skip


def _siblings(host: Host, pinned: set[int]) -> Iterator[Finding]:
    for core in sorted(pinned):
        others = (host.siblings(core) - {core}) & host.cores
        if others:
            yield Finding(
                f"core {core}: hardware thread beside it", Severity.SERIOUS, f"core {shown(others)} is online", "idle",
                "what runs there takes half of the execution units and evicts the caches",
                f"echo 0 > /sys/devices/system/cpu/cpu{min(others)}/online, or leave it out of every list",
            )  # fmt: skip


def _receive_steering(host: Host, pinned: set[int]) -> Iterator[Finding]:
    for name in host.glob("/sys/class/net/*/queues/rx-*/rps_cpus"):
        if cpu_mask(host.text(name) or "") & pinned:
            yield Finding(
                "receive steering", Severity.NOTE, f"{name} has pinned cores", "0",
                "packets of all connections are worked on there", f"echo 0 > {name}",
            )  # fmt: skip
