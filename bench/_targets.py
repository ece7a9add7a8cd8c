"""The numbers this project is to reach, each with the bench and the bound that says whether it does.

The rule: a target is met when every bound of its benches that it names was met; one that no bound spoke of is "not
measured", with the reason where the run gives one, never met. _all.py prints the table after a run and puts it at the
top of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """`named`: what bounds of the bench are called, a pattern."""

    work: str
    bench: str
    named: str


TARGETS = (
    Target("ring round trip", "ring_one_to_one", "round trip"),
    Target("ring round trip, broadcast", "ring_broadcast", "round trip"),
    Target("publish, poll, read 4 fields", "ring_one_to_one", "publish \\+ poll"),
    Target("depth frames to book and records, Binance", "decode_binance", "depth"),
    Target("depth frames to book and records, Deribit", "decode_deribit", "book"),
    Target("depth frames to book and records, GRVT", "decode_grvt", "book"),
    Target("bookTicker to record, Binance", "decode_binance", "quote"),
    Target("quote to record, Deribit", "decode_deribit", "quote"),
    Target("mini ticker to record, GRVT", "decode_grvt", "mini"),
    Target("strategy to request published", "trader_path", "strategy"),
    Target("request to signed bytes at the socket, Binance", "order_path_binance", ".*us at p50"),
    Target("request to signed bytes at the socket, Deribit", "order_path_deribit", ".*us at p50"),
    Target("request to signed bytes, GRVT", "order_path_grvt", "corelane / grvt-pysdk"),
    Target("the two hops of tick-to-trade", "tick_to_trade", ".*the two hops"),
    Target("recorded fragment through decode and book", "decode_binance", ".*frames/s|gaps"),
    Target("memory after 10^7 events", "memory", ".*bytes that"),
)


@dataclass(frozen=True)
class Row:
    """One bound of one target; `met` is None where nothing was measured, and `what` says why then."""

    work: str
    what: str
    bound: float | None = None
    found: float | None = None
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


def rows(benches: dict[str, dict[str, Any]]) -> Iterator[Row]:
    for target in TARGETS:
        content = benches.get(target.bench)
        if content is None:
            yield Row(target.work, f"bench/{target.bench}.py was not run")
        elif "error" in content:
            yield Row(target.work, content["error"])
        else:
            found = [bound for bound in content["bounds"] if re.match(target.named, bound["what"])]
            if not found:
                yield Row(target.work, f"no such bound in bench/{target.bench}.py: its peer is missing")
            for bound in found:
                yield Row(target.work, bound["what"], bound["bound"], bound["found"], bound["met"])


def table(found: list[Row]) -> str:
    """For a terminal."""
    lines = [f"{'target':<48} {'what':<58} {'bound':>9} {'measured':>9}"]
    before = ""
    for row in found:
        figures = f"{row.bound:>9.4g} {row.found:>9.4g}" if row.bound is not None else f"{'':>19}"
        work, before = ("" if row.work == before else row.work), row.work
        lines.append(f"{work:<48} {row.what:<58} {figures}  {row.verdict}")
    met = sum(row.met is True for row in found)
    missed = sum(row.met is False for row in found)
    lines.append(f"{met} bounds met, {missed} missed, {len(found) - met - missed} not measured")
    return "\n".join(lines)
