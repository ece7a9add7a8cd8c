"""Reads the host back and says what is not tuned, what that costs, and how to set it.

The rule: it changes nothing, and its exit code is the worst thing it found: 0 nothing or notes, 1 warnings, 11 what
costs milliseconds. Called by `corelane doctor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

from processes.config import Config
from processes.doctor_config import config_findings
from processes.doctor_cores import core_findings
from processes.doctor_finding import Finding, Severity
from processes.doctor_host import host_findings
from processes.doctor_threads import thread_findings
from processes.exit_codes import ExitCode
from processes.host_reading import Host
from processes.jitter import LONG_NS, Jitter, measure

WORDS: Final = {
    Severity.NOT_HERE: "n/a",
    Severity.GOOD: "good",
    Severity.NOTE: "note",
    Severity.WARNING: "WARNING",
    Severity.SERIOUS: "SERIOUS",
}
SERIOUS_GAP_NS: Final = 1_000_000


def findings(host: Host, config: Config | None) -> list[Finding]:
    """Everything that can be read, worst first. Without a config only what is right or wrong by itself."""
    found = [*host_findings(host)]
    if config is not None:
        for part in (config_findings, core_findings, thread_findings):
            found += part(host, config)
    return sorted(found, key=lambda finding: -finding.severity)


def jitter_findings(config: Config | None, cores: set[int], seconds: float) -> Iterator[Finding]:
    """The longest gap of a spinning loop on each core of [cores], one core after the other; of a config that pins
    nothing, or where there is none, on each of `cores`."""
    placed = config.cores.values() if config is not None else ()
    for core in sorted({one.core for one in placed if one.core is not None} or cores):
        yield judged(measure(core, seconds))


def judged(jitter: Jitter) -> Finding:
    """A measurement as a line of the report."""
    check = f"core {jitter.core}: longest gap in {jitter.seconds:g} s"
    wanted = f"below {LONG_NS // 1000} us"
    if jitter.problem:
        return Finding(check, Severity.SERIOUS, jitter.problem, wanted, "nothing can be pinned there", "[cores]")
    found = f"{jitter.longest_ns / 1e3:,.0f} us; {jitter.long_gaps} gaps above {LONG_NS // 1000} us"
    if jitter.longest_ns < LONG_NS:
        return Finding(check, Severity.GOOD, found, wanted)
    severity = Severity.SERIOUS if jitter.longest_ns >= SERIOUS_GAP_NS else Severity.WARNING
    return Finding(
        check, severity, found, wanted, "a message that comes in such a gap waits to its end",
        "isolate the core; see the findings above, and whether the set runs there now",
    )  # fmt: skip


def exit_code(found: Iterable[Finding]) -> ExitCode:
    """By the worst of them."""
    worst = max((finding.severity for finding in found), default=Severity.GOOD)
    if worst is Severity.SERIOUS:
        return ExitCode.HOST_UNTUNED
    return ExitCode.DIFFERENCE if worst is Severity.WARNING else ExitCode.OK


def lines(found: Iterable[Finding], *, everything: bool) -> Iterator[str]:
    """For people. What is good or absent is a count, unless `everything` is wanted."""
    good = absent = 0
    for finding in found:
        good += finding.severity is Severity.GOOD
        absent += finding.severity is Severity.NOT_HERE
        if finding.severity <= Severity.GOOD and not everything:
            continue
        wanted = f", wanted: {finding.wanted}" if finding.wanted else ""
        yield f"{WORDS[finding.severity]:<8} {finding.check}: {finding.found}{wanted}"
        if finding.cost:
            yield f"         costs: {finding.cost}"
            yield f"         set:   {finding.fix}"
    yield f"{good} good, {absent} not on this machine"


def as_json(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """One object per finding, the severity as a word."""
    return [asdict(finding) | {"severity": finding.severity.name.lower()} for finding in found]
