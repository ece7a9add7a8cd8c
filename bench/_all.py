"""Every bench, one result file, one page: what `make bench` runs.

    python bench/_all.py [--only NAME,NAME] [--results DIR]

Writes <DIR>/<host>.json, all benches' results in one object, and <DIR>/<host>.html, the same for people with every
plot inside; prints the table of what is to be reached (_targets.py), with what was measured. Each bench runs as a
script of its own with the samples of PLAN, so that all of them end within a quarter of an hour on two cores; one that
fails or takes longer than its limit is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import html
import json
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from _measure import PERCENTILES, ROOT, host
from _targets import Row, rows, table

PLAN: dict[str, tuple[list[str], float]] = {
    "tick_to_trade": (["--samples", "50000"], 360.0),
    "throughput": ([], 120.0),
    "ring_one_to_one": (["--samples", "50000"], 120.0),
    "ring_broadcast": (["--samples", "50000"], 120.0),
    "trader_path": (["--samples", "50000"], 60.0),
    "order_path_binance": (["--samples", "10000"], 120.0),
    "decode_binance": (["--blocks", "5"], 150.0),
    "decode_deribit": (["--blocks", "5"], 120.0),
}
"""Arguments and limit in seconds; every other bench runs with its own samples within LIMIT_S."""
LIMIT_S = 90.0


def benches() -> list[str]:
    """Those of PLAN first, as they are the ones that are looked at first."""
    found = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    return [*(name for name in PLAN if name in found), *sorted(found - set(PLAN))]


def run(name: str, folder: Path) -> dict[str, Any]:
    """Its result, with `plot` (PNG, base64) and `seconds`; {"error": why} where there is none."""
    result, plot = folder / f"{name}.json", folder / f"{name}.png"
    given, limit_s = PLAN.get(name, ([], LIMIT_S))
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *given]
    began = monotonic()
    print(f"== {name}", flush=True)
    try:
        ended = subprocess.run(
            [*command, "--json", str(result), "--plot", str(plot)], cwd=ROOT, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {limit_s:g} s"}
    if ended.returncode or not result.exists():
        return {"error": f"ended with {ended.returncode}"}
    content: dict[str, Any] = json.loads(result.read_text())
    content["seconds"] = round(monotonic() - began, 1)
    if plot.exists():
        content["plot"] = base64.b64encode(plot.read_bytes()).decode()
    return content


STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd}
td{font-variant-numeric:tabular-nums}tr:hover td{background:#f6f8fa}nav{columns:4;font-size:13.5px;margin:1em 0}
nav a{display:block;color:#0969da;text-decoration:none}.words td:nth-child(2),.words th:nth-child(2){text-align:left}
td:first-child,th:first-child{text-align:left}.met{color:#18794e}.missed{color:#c62a2f;font-weight:600}
.none{color:#888}pre{background:#f6f6f6;padding:.8em;overflow-x:auto;font-size:12.5px}img{max-width:100%}
h2{margin-top:2em;border-top:1px solid #ddd;padding-top:1em}"""


def page(content: dict[str, Any]) -> str:
    """The report as one HTML file that needs nothing else."""
    machine = content["host"]
    parts = [
        "<!doctype html><meta charset='utf-8'><title>corelane bench</title>", f"<style>{STYLE}</style>",
        f"<h1>corelane bench, {html.escape(content['name'])}</h1>",
        f"<p>{html.escape(machine['cpu'])}, {machine['cores']} cores, Linux {html.escape(machine['kernel'])}, Python "
        f"{machine['python']}; {content['date']}; load {machine['load']} at the start. Durations in ns. Absolute "
        "figures are this machine's; ratios were taken in interleaved blocks of one run.</p>",
    ]  # fmt: skip
    parts += ["<h2>What is to be reached</h2>", _targets_table([Row(**row) for row in content["targets"]]), "<nav>"]
    parts += [f"<a href='#{html.escape(name)}'>{html.escape(name)}</a>" for name in content["benches"]]
    parts.append("</nav>")
    for name, bench in content["benches"].items():
        parts.append(f"<h2 id='{html.escape(name)}'>{html.escape(name)}</h2>")
        parts.append(_section(bench))
    return "\n".join(parts) + "\n"


def _targets_table(found: list[Row]) -> str:
    classes = {"met": "met", "MISSED": "missed", "not measured": "none"}
    head = "<tr><th>target</th><th>what</th><th>bound</th><th>measured</th><th></th></tr>"
    lines, before = [], ""
    for row in found:
        cells = ["" if row.work == before else row.work, row.what]
        cells += ["" if value is None else f"{value:.4g}" for value in (row.bound, row.found)]
        line = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr>{line}<td class='{classes[row.verdict]}'>{row.verdict}</td></tr>")
        before = row.work
    return "<table class='words'>" + head + "".join(lines) + "</table>"


def _section(bench: dict[str, Any]) -> str:
    if "error" in bench:
        return f"<p class='missed'>{html.escape(bench['error'])}</p>"
    columns = ["count", *(name for name, _ in PERCENTILES), "max", "rate_per_s"]
    rows = [[one["name"], *(_number(one.get(column)) for column in columns)] for one in bench["results"]]
    parts = [_table(["series", *columns], rows)]
    for bound in bench["bounds"]:
        verdict = "met" if bound["met"] else "missed"
        parts.append(
            f"<div>{html.escape(bound['what'])}: <span class='{verdict}'>{bound['found']:g}, bound {bound['bound']:g}: "
            f"{verdict}</span></div>"
        )
    if bench.get("ratios"):
        rows = [[what, f"{one['value']:.4f}", f"{one['spread']:.1%}"] for what, one in bench["ratios"].items()]
        parts.append(_table(["ratio", "p50 by p50", "spread over the blocks"], rows))
    if bench["notes"]:
        parts.append("<pre>" + html.escape("\n".join(bench["notes"])) + "</pre>")
    if "plot" in bench:
        parts.append(f"<img alt='percentiles of every series' src='data:image/png;base64,{bench['plot']}'>")
    parts.append(f"<p class='none'>{bench['seconds']:g} s</p>")
    return "\n".join(parts)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.0f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", metavar="DIR")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else benches()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", platform.node()) or "host"
    content: dict[str, Any] = {
        "name": name, "host": host(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        content["benches"] = {one: run(one, Path(folder)) for one in names}
    found = list(rows(content["benches"]))
    content["targets"] = [asdict(row) for row in found]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.html").write_text(page(content))
    for bench in content["benches"].values():
        bench.pop("plot", None)
    (options.results / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    failed = {one: bench["error"] for one, bench in content["benches"].items() if "error" in bench}
    for one, why in failed.items():
        print(f"{one}: {why}", file=sys.stderr)
    print(f"\n{table(found)}\n")
    print(f"{options.results / name}.json, {options.results / name}.html")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
