"""A [cores] table for this host and this set of processes, with the reason of each choice.

The rule: a spinning process gets a physical core for itself (the hardware thread beside it stays empty), never
that of core 0; isolated cores first, then the node of the network card, then the fewest interrupts. Processes
come in the order in which latency is worth most: trader, engines, market servers. What finds no core shares
the rest and sleeps. Called by `corelane doctor --suggest-cores`.
"""

from __future__ import annotations

from collections.abc import Iterable

from processes.host_reading import Host

HOT_ROLES = ("trader", "trading_engine", "market_server")


def suggest(host: Host, processes: Iterable[str]) -> str:
    """The table as TOML, ready to be pasted. `processes`: names as in the config."""
    names = list(processes)
    free = _ranked(host)
    lines = [
        "[cores]",
        f"# {len(host.cores)} CPUs online, {len(_physical(host))} physical cores; core {min(host.cores)} and its "
        "sibling keep interrupts, kernel work and all that sleeps",
    ]
    hot = [name for role in HOT_ROLES for name in names if name.partition(".")[0] == role]
    short = len(free) < len(hot)
    for name in hot:
        if free:
            core = free.pop(0)
            lines.append(f'{name} = {{ core = {core}, wait = "spin" }}  # {_reason(host, core)}')
        else:
            lines.append(f'{name} = {{ wait = "doorbell" }}  # no physical core is left for it: sleeps until rung')
    lines += [f'{name} = {{ wait = "backoff" }}' for name in names if name not in hot]
    if short:
        lines.append(f"# {len(hot)} processes want a core of their own; this host has fewer to give")
    return "\n".join(lines) + "\n"


def _physical(host: Host) -> list[set[int]]:
    """Physical cores as sets of their online hardware threads, by their lowest one."""
    found = {frozenset(host.siblings(core) & host.cores) for core in host.cores}
    return sorted((set(threads) for threads in found), key=min)


def _ranked(host: Host) -> list[int]:
    """One hardware thread of each physical core that may be spun on, best first."""
    isolated, nodes, counts = host.isolated(), host.network_nodes(), host.irq_counts()
    boot = min(host.cores)
    cores = [min(threads) for threads in _physical(host) if boot not in threads]
    return sorted(
        cores,
        key=lambda core: (
            core not in isolated,
            bool(nodes) and host.node_of(core) not in nodes,
            _load(counts, core),
            core,
        ),
    )


def _load(counts: dict[int, int], core: int) -> int:
    """Interrupts since boot in powers of four: a small difference must not scatter the set over the machine."""
    return counts.get(core, 0).bit_length() // 2


def _reason(host: Host, core: int) -> str:
    siblings = host.siblings(core) - {core}
    parts = ["isolated"] if core in host.isolated() else []
    if host.network_nodes():
        node = host.node_of(core)
        parts.append(f"node {node}, {'that' if node in host.network_nodes() else 'not that'} of the network card")
    if siblings:
        parts.append(f"leave {', '.join(map(str, sorted(siblings)))} beside it empty")
    parts.append(f"{host.irq_counts().get(core, 0):,} device interrupts since boot")
    return "; ".join(parts)
