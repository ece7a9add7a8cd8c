"""The result of all benches as one HTML file that needs nothing else: tables, bars of hops, plots; for _all.py."""

from __future__ import annotations

import html
from typing import Any

from _measure import PERCENTILES, ROOT  # noqa: F401  (puts the tree on the path)
from _targets import Row

from shm import hops

STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd}
td{font-variant-numeric:tabular-nums}tr:hover td{background:#f6f8fa}nav{columns:4;font-size:13.5px;margin:1em 0}
nav a{display:block;color:#0969da;text-decoration:none}.words td:nth-child(2),.words th:nth-child(2){text-align:left}
td:first-child,th:first-child{text-align:left}.met{color:#18794e}.missed{color:#c62a2f;font-weight:600}
.none{color:#888}pre{background:#f6f6f6;padding:.8em;overflow-x:auto;font-size:12.5px}img{max-width:100%}
td{white-space:nowrap}h2{margin-top:2em;border-top:1px solid #ddd;padding-top:1em}code{font-size:13px}
.hops td:last-child,.hops th:last-child{text-align:left;color:#666;font-size:13px;white-space:normal}
.hops .total td{font-weight:600;border-top:1px solid #999}
.sum{display:flex;gap:2em;margin:1em 0}.sum b{display:block;font-size:26px;line-height:1.2}"""
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")


def page(content: dict[str, Any]) -> str:
    machine = content["host"]
    found = [Row(**row) for row in content["targets"]]
    parts = [
        "<!doctype html><meta charset='utf-8'><title>corelane bench</title>", f"<style>{STYLE}</style>",
        f"<h1>corelane bench, {html.escape(content['name'])}</h1>",
        f"<p>{html.escape(machine['cpu'])}, {machine['cores']} cores, Linux {html.escape(machine['kernel'])}, Python "
        f"{machine['python']}; {content['date']}; load {machine['load']} at the start; {content['seconds']:g} s. "
        "Absolute figures are this machine's; ratios were taken in interleaved blocks of one run.</p>",
        "<p class='missed'>A --quick run: it shows that the benches run, and measures nothing.</p>" if content["quick"]
        else "",
        _summary(found, content["benches"]), "<h2>What is to be reached</h2>", _targets_table(found), "<nav>",
    ]  # fmt: skip
    parts += [f"<a href='#{html.escape(name)}'>{html.escape(name)}</a>" for name in content["benches"]]
    parts.append("</nav>")
    for name, bench in content["benches"].items():
        parts.append(f"<h2 id='{html.escape(name)}'>{html.escape(name)}</h2>")
        parts.append(_section(bench))
    return "\n".join(parts) + "\n"


def _summary(found: list[Row], benches: dict[str, Any]) -> str:
    counts = {verdict: sum(row.verdict == verdict for row in found) for verdict in ("met", "MISSED", "not measured")}
    failed = sum("error" in bench for bench in benches.values())
    said = [
        ("met", counts["met"], "bounds met"), ("missed" if counts["MISSED"] else "none", counts["MISSED"], "missed"),
        ("none", counts["not measured"], "not measured"),
        ("missed" if failed else "none", failed, f"of {len(benches)} benches failed"),
    ]  # fmt: skip
    return (
        "<div class='sum'>" + "".join(f"<div class='{kind}'><b>{count}</b>{what}</div>" for kind, count, what in said)
    ) + "</div>"


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
    columns = [*(name for name, _ in PERCENTILES), "max"]
    rows = [
        [one["name"], f"{one['count']:,}", *(_duration(one.get(column)) for column in columns), _rate(one)]
        for one in bench["results"]
    ]
    parts = [f"<p class='none'><code>{html.escape(bench['command'])}</code>, {bench['seconds']:g} s</p>"]
    parts.append(_table(["series", "count", *columns, "rate/s"], rows))
    for bound in bench["bounds"]:
        verdict = "met" if bound["met"] else "missed"
        parts.append(
            f"<div>{html.escape(bound['what'])}: <span class='{verdict}'>{bound['found']:g}, bound {bound['bound']:g}: "
            f"{verdict}</span></div>"
        )
    if bench.get("ratios"):
        rows = [[what, f"{one['value']:.4f}", f"{one['spread']:.1%}"] for what, one in bench["ratios"].items()]
        parts.append(_table(["ratio", "p50 by p50", "spread over the blocks"], rows))
    parts += [_hops(title, ways) for title, ways in bench["tables"].items()]
    if notes := [note for note in bench["notes"] if not (bench["tables"] and _is_row(note))]:
        parts.append("<pre>" + html.escape("\n".join(notes)) + "</pre>")
    if "plot" in bench:
        parts.append(f"<img alt='percentiles of every series' src='data:image/png;base64,{bench['plot']}'>")
    return "\n".join(parts)


def _is_row(note: str) -> bool:
    """Of the table of hops as text, which the page has as a table."""
    return note.partition(" ")[0] in hops.DESCRIPTIONS or ", p50 in us" in note


def _hops(title: str, ways: dict[str, Any]) -> str:
    """{way: {hop: percentiles in ns}} as a table: p50 of each way, p99 of the first, totals set off."""
    first = next(iter(ways))
    totals = {name for name, _ in (*hops.TICK_TOTALS, *hops.FILL_TOTALS)}
    head = [f"{title}: hop, p50", *ways, f"{first}, p99", "what"]
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for hop in ways[first]:
        figures = [found[hop]["p50"] for found in ways.values()] + [ways[first][hop]["p99"]]
        cells = [hop, *(_duration(value) for value in figures), hops.DESCRIPTIONS[hop]]
        kind = " class='total'" if hop in totals else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<h3>{html.escape(title)}</h3>{_bars(ways)}<table class='hops'>" + "".join(lines) + "</table>"


def _bars(ways: dict[str, Any]) -> str:
    """From the market frame to the order at the socket, one bar a way: its hops at p50, all on one scale."""
    names = [name for name, _ in hops.TICK_HOPS]
    names = names[: names.index("send") + 1]
    longest = max(sum(found[name]["p50"] for name in names) for found in ways.values()) or 1
    lines = []
    for row, (way, found) in enumerate(ways.items()):
        y, x = 26 + 24 * row, 110.0
        lines.append(f"<text x='104' y='{y + 13}' text-anchor='end'>{html.escape(way)}</text>")
        for index, name in enumerate(names):
            width = 860 * found[name]["p50"] / longest
            lines.append(
                f"<rect x='{x:.1f}' y='{y}' width='{width:.1f}' height='18' fill='{COLOURS[index % len(COLOURS)]}'>"
                f"<title>{name} {_duration(found[name]['p50'])}</title></rect>"
            )
            x += width
        total = sum(found[name]["p50"] for name in names)
        lines.append(f"<text x='{x + 6:.1f}' y='{y + 13}'>{_duration(total)}</text>")
    for index, name in enumerate(names):
        x = 110 + 105 * index
        lines.append(f"<rect x='{x}' y='4' width='11' height='11' fill='{COLOURS[index % len(COLOURS)]}'/>")
        lines.append(f"<text x='{x + 16}' y='14'>{name}</text>")
    height = 30 + 24 * len(ways)
    return (
        f"<svg viewBox='0 0 1060 {height}' style='max-width:100%;font:12px system-ui,sans-serif'>"
        + "".join(lines)
        + "</svg>"
    )


def _duration(value: Any) -> str:
    """A number of ns with its unit, three figures."""
    if value is None:
        return ""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            shown = value / size
            return f"{shown:.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    return f"{value:.0f} ns"


def _rate(one: dict[str, Any]) -> str:
    return f"{one['rate_per_s']:,.0f}" if one.get("rate_per_s") else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "".join(lines) + "</table>"
