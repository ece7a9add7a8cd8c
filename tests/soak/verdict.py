"""What a soak has shown: a line per process, and the sentences that make it red.

The rule: judged is what was seen after the warm-up. A process of the set is red where its own memory surely goes up
by more than LIMIT_KB_MIN, its open files or threads have grown, its heartbeat was older than its limit, or it was
started again; the set is red where a venue did not trade, something critical was found by the monitor's rules, or
records were lost. The simulators play the venue and keep every order of the run: their memory is shown, not judged.
Pure; called by run.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.soak.process_sample import ProcessSample
from tests.soak.trend import Slope, has_grown, slope

LIMIT_KB_MIN: Final = 50.0
"""Beyond noise. A leak that matters is one of every event, and a set that trades has thousands of them a minute: 50 kB
are 60 bytes of each of 800 orders. What is kept on purpose and within a bound is full after the warm-up (the engines'
closed orders) or has its whole size from the start (the ids of the trader's)."""
VENUE: Final = "simulator"


@dataclass
class Watched:
    """One process over the run. heartbeat_ms: the oldest seen after the warm-up, of `limit_ms` that it may be."""

    name: str
    limit_ms: float
    times_min: list[float] = field(default_factory=list)
    samples: list[ProcessSample] = field(default_factory=list)
    heartbeat_ms: float = 0.0
    restarts: int = 0

    @property
    def judged(self) -> bool:
        """Whether its memory is ours to answer for."""
        return not self.name.startswith(VENUE)

    @property
    def memory(self) -> Slope | None:
        """Of the anonymous memory, kB a minute."""
        return slope(self.times_min, [float(sample.anonymous_kb) for sample in self.samples])

    def problems(self) -> Iterator[str]:
        memory = self.memory
        if memory is None:
            yield f"{self.name}: {len(self.samples)} samples say nothing of its memory, run for longer"
        elif self.judged and memory.least > LIMIT_KB_MIN:
            yield f"{self.name}: memory grows by {memory.value:.0f} ± {memory.noise:.0f} kB/min"
        if has_grown([sample.files for sample in self.samples]):
            yield f"{self.name}: open files grew, {self.samples[0].files} to {self.samples[-1].files}"
        if has_grown([sample.threads for sample in self.samples]):
            yield f"{self.name}: threads grew, {self.samples[0].threads} to {self.samples[-1].threads}"
        if self.heartbeat_ms > self.limit_ms:
            yield f"{self.name}: a heartbeat was {self.heartbeat_ms:,.0f} ms old, its limit is {self.limit_ms:,.0f}"
        if self.restarts:
            yield f"{self.name}: was started again {self.restarts} times"


@dataclass(frozen=True)
class SetSeen:
    """The set over the run. fills: by venue; lost: {what: how many} of records and lines that somebody missed;
    critical: problems by the monitor's rules; oldest_unknown_s: the longest that an order's fate was open."""

    fills: Mapping[str, int]
    lost: Mapping[str, int]
    critical: tuple[str, ...]
    oldest_unknown_s: float
    exit_code: int

    def problems(self) -> Iterator[str]:
        yield from (f"{venue}: no fill, so nothing was shown" for venue, count in self.fills.items() if not count)
        yield from (f"{count:,} {what}" for what, count in self.lost.items() if count)
        yield from self.critical
        if self.exit_code:
            yield f"the set ended with exit code {self.exit_code}"


def problems(watched: Iterable[Watched], whole: SetSeen) -> list[str]:
    """Why the soak is red; empty where it is green."""
    return [*(sentence for one in watched for sentence in one.problems()), *whole.problems()]


def table(watched: Iterable[Watched]) -> Iterator[str]:
    """A line per process, for people."""
    yield (
        f"{'process':<26} {'heap MB':>15} {'kB/min':>7} {'± noise':>8} {'PSS MB':>7} {'RSS MB':>7} "
        f"{'files':>9} {'threads':>9} {'heartbeat ms':>14}"
    )
    for one in watched:
        first, last = one.samples[0], one.samples[-1]
        memory = one.memory
        rate = f"{memory.value:>7.1f} {memory.noise:>8.1f}" if memory is not None else f"{'?':>7} {'?':>8}"
        yield (
            f"{one.name:<26} {first.anonymous_kb / 1024:>6.1f} → {last.anonymous_kb / 1024:>6.1f} {rate} "
            f"{last.shared_out_kb / 1024:>7.1f} {last.resident_kb / 1024:>7.1f} "
            f"{first.files:>4}→{last.files:>4} {first.threads:>4}→{last.threads:>4} "
            f"{one.heartbeat_ms:>6,.0f} of {one.limit_ms:>5,.0f}{'' if one.judged else '  the venue'}"
        )
