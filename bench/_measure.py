"""What every bench shares: pinning, percentiles, the host's description, the report as text, JSON and picture.

The shape of the JSON is the same for all: {"bench", "host", "date", "results": [{"name", "unit", "count", "p50", "p90",
"p99", "p999", "max", "rate_per_s"}], "bounds": [{"what", "found", "bound", "met"}], "ratios": {what:
{"value", "spread"}}, "tables", "notes"}; `make bench` joins them (bench/_all.py).
Benches run as scripts (`python bench/<name>.py`); importing this module puts the source tree on their path.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9))
Samples = npt.NDArray[np.int64]


def cores() -> tuple[int, int]:
    """The two cores a bench pins its processes to: the last ones it may use, one twice where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[-2] if len(allowed) > 1 else allowed[-1]


def pin(core: int) -> None:
    os.sched_setaffinity(0, {core})


def arguments(description: str, samples: int) -> argparse.Namespace:
    return options_of(description, samples, 10)


def options_of(
    description: str, samples: int, blocks: int, more: Callable[[argparse.ArgumentParser], Any] = lambda parser: None
) -> argparse.Namespace:
    """The options of every bench; `more` adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--samples", type=int, default=samples, help="samples of our own; slow peers take fewer")
    parser.add_argument("--blocks", type=int, default=blocks, help="in which the samples of all are interleaved")
    more(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the percentiles there (needs matplotlib)")
    parser.add_argument("--strict", action="store_true", help="end with 1 where a bound is missed")
    # A bench that is stopped takes its segments and processes with it: the finally clauses run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return parser.parse_args()


@dataclass
class Series:
    """All samples of one competitor, in the blocks in which they were taken."""

    name: str
    unit: str = "ns"
    blocks: list[Samples] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        return np.concatenate(self.blocks)

    def result(self) -> dict[str, Any]:
        samples = self.samples
        values = np.percentile(samples, [share for _, share in PERCENTILES])
        result: dict[str, Any] = {"name": self.name, "unit": self.unit, "count": len(samples)}
        result |= {name: round(float(value), 1) for (name, _), value in zip(PERCENTILES, values, strict=True)}
        result["max"] = float(samples.max())
        result["rate_per_s"] = round(float(np.median(self.rates)), 1) if self.rates else None
        return result


_RATIOS: dict[str, dict[str, float]] = {}
"""Every ratio that this process worked out, for its report: what two runs may be compared by."""


def ratio(ours: Series, theirs: Series) -> float:
    """Median over the blocks of ours / theirs at p50: each block is compared with its neighbour in time. The report
    takes it with its spread over the blocks (half the middle half, relative), by which _check.py tells noise."""
    values = [float(np.median(a) / np.median(b)) for a, b in zip(ours.blocks, theirs.blocks, strict=True)]
    low, value, high = np.percentile(values, (25, 50, 75))
    spread = round(float((high - low) / 2 / value), 4)
    _RATIOS[f"{ours.name} / {theirs.name}"] = {"value": round(float(value), 6), "spread": spread}
    return float(value)


@dataclass
class Report:
    bench: str
    series: Sequence[Series]
    bounds: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    """{title: {column: {row: percentiles in ns}}}."""
    groups: dict[str, Sequence[Series]] | None = None
    """Series that are drawn together, with their histograms; None: all in one picture."""

    def bound(self, what: str, found: float, limit: float) -> None:
        """`found` must not be above `limit`."""
        self.bounds.append({"what": what, "found": round(found, 5), "bound": round(limit, 5), "met": found <= limit})

    def finish(self, options: argparse.Namespace) -> int:
        """Print, write, draw; the exit status."""
        results = [series.result() for series in self.series]
        content = {
            "bench": self.bench,
            "host": host(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "results": results,
            "bounds": self.bounds,
            "ratios": _RATIOS,
            "tables": self.tables,
            "notes": self.notes,
        }
        self._print(content)
        if options.json:
            options.json.write_text(json.dumps(content, indent=1) + "\n")
        if options.plot:
            self._plot(options.plot, results)
        return int(options.strict and not all(bound["met"] for bound in self.bounds))

    def _print(self, content: dict[str, Any]) -> None:
        machine = content["host"]
        print(f"{self.bench}: {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
              f"Python {machine['python']}, load {machine['load']}")  # fmt: skip
        columns = [name for name, _ in PERCENTILES]
        print(f"{'ns':>26} {'count':>9}" + "".join(f"{name:>12}" for name in [*columns, "max", "rate/s"]))
        for result in content["results"]:
            rate = f"{result['rate_per_s']:>12,.0f}" if result["rate_per_s"] else f"{'':>12}"
            print(
                f"{result['name']:>26} {result['count']:>9,}"
                + "".join(f"{result[name]:>12,.0f}" for name in [*columns, "max"])
                + rate
            )
        for bound in self.bounds:
            verdict = "met" if bound["met"] else "MISSED"
            print(f"  {bound['what']}: {bound['found']:.4f}, bound {bound['bound']:.4f}: {verdict}")
        for note in self.notes:
            print(f"  {note}")

    def _plot(self, path: Path, results: list[dict[str, Any]]) -> None:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(11, 5.5) if self.groups is None else (13, 4.2 * len(self.groups)))
        if self.groups is None:
            axes = figure.subplots()
            percentile_curves(axes, self.series)
            axes.set_title(f"{self.bench} ({results[0]['count']:,} samples of our own)")
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        else:
            rows = figure.subplots(len(self.groups), 2, squeeze=False)
            for (left, right), (title, group) in zip(rows, self.groups.items(), strict=True):
                histograms(left, group)
                percentile_curves(right, group)
                left.set_title(f"{self.bench}, {title} ({len(group[0].samples):,} samples of our own)", fontsize=10)
                right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        pyplot.close(figure)


def percentile_curves(axes: Any, group: Sequence[Series]) -> None:
    shares = np.concatenate([np.linspace(0, 90, 91), 100 - np.logspace(1, -2.5, 60)])
    for index, series in enumerate(group):
        style = "-" if index < 10 else "--"  # the colours repeat after ten
        # No further than this many samples can say: beyond it a percentile is the maximum again and again.
        said = shares[shares <= 100 * (1 - 1 / len(series.samples))]
        axes.plot(1 / (1 - said / 100), np.percentile(series.samples, said), style, label=series.name, linewidth=1.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [50, 90, 99, 99.9, 99.99]
    axes.set_xticks([1 / (1 - tick / 100) for tick in ticks], [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("percentile")
    axes.set_ylabel("duration")
    axes.yaxis.set_major_formatter(lambda value, _: _duration(value))
    axes.grid(alpha=0.3)


def histograms(axes: Any, group: Sequence[Series]) -> None:
    """Outlines, each by its own number of samples; the axis ends where all but a thousandth of every series lies."""
    low = min(float(np.percentile(series.samples, 0.1)) for series in group)
    high = max(float(np.percentile(series.samples, 99.9)) for series in group)
    edges = np.geomspace(max(low, 1.0) * 0.95, high * 1.05, 120)
    for series in group:
        shares = np.full(len(series.samples), 100 / len(series.samples))
        axes.hist(series.samples, edges, weights=shares, histtype="step", linewidth=1.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: _duration(value))
    axes.minorticks_off()
    axes.set_xlabel("duration")
    axes.set_ylabel("% of the samples")
    axes.grid(alpha=0.3)


def _duration(nanoseconds: float) -> str:
    """1 ns, 10 us, 1 ms ... for an axis."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"


def host() -> dict[str, Any]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
