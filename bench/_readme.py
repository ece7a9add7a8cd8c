"""The README's table of results from a result file of `make bench`, as Markdown on the standard output.

    python bench/_readme.py bench/results/HOST.json

Hardware, command and date stand above it. A row is one bound of _targets.py, with its figure or why there is none;
below come the ways from tick to trade of each venue. Refuses the file of a --quick run, which measured nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from _check import read
from _targets import Row, rows

WAY = ("decode", "publish", "poll", "decide", "request", "engine_poll", "sign", "send")


def markdown(content: dict[str, Any]) -> str:
    machine = content["host"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}; "
        f"`make bench` on {content['date'][:10]}, load {machine['load']} at its start. Ratios are p50 by p50, of "
        "interleaved blocks of one run.",
        "",
        "| what | bound | measured | |",
        "|---|--:|--:|---|",
        *(_row(row) for row in rows(content["benches"])),
    ]
    tables = content["benches"].get("tick_to_trade", {}).get("tables", {})
    if tables:
        lines += ["", *_tick_to_trade(tables)]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    if row.bound is None:
        return f"| {row.work} | | | not measured: {row.what} |"
    what = row.what if row.what.startswith(row.work) else f"{row.work}: {row.what}"
    return f"| {what} | {row.bound:.4g} | {row.found:.4g} | {row.verdict} |"


def _tick_to_trade(tables: dict[str, Any]) -> list[str]:
    ways = [way for way in next(iter(tables.values())) if all(way in found for found in tables.values())]
    lines = [
        "From the market frame's arrival to the order handed to the socket, µs at p50 (and p99), the trader waiting in "
        "each way; of it, by spinning, the hops:",
        "",
        "| venue | " + " | ".join(ways) + " |",
        "|---|" + "--:|" * len(ways),
    ]
    for venue, found in tables.items():
        totals = [found[way]["tick_to_trade"] for way in ways]
        lines.append(f"| {venue} | " + " | ".join(f"{_us(one, 'p50')} ({_us(one, 'p99')})" for one in totals) + " |")
    lines += ["", "| venue | " + " | ".join(WAY) + " |", "|---|" + "--:|" * len(WAY)]
    for venue, found in tables.items():
        lines.append(f"| {venue} | " + " | ".join(_us(found["spin"][hop], "p50") for hop in WAY) + " |")
    return lines


def _us(found: dict[str, Any], share: str) -> str:
    return f"{found[share] / 1e3:.3g}" if found[share] < 1e6 else f"{found[share] / 1e3:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    path = parser.parse_args().result
    content = read(path)
    if content is None:
        return 2
    print(markdown(content), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
