"""Every bench, one result file, one page: what `make bench` runs.

    python bench/_all.py [--only NAME,NAME] [--results DIR] [--quick]

Writes <DIR>/<host>.json, all benches' results in one object, and <DIR>/<host>.html, the same for people with every
plot inside; prints the table of what is to be reached (_targets.py), with what was measured. Each bench runs as a
script of its own with the samples of PLAN, so that all of them end within a quarter of an hour on two cores.

One that fails or takes longer than its limit is named, and the exit code is 1; the others' results stand: both files
are written anew after each bench. One that finds no time left of BUDGET_S is not begun. --quick: a few samples each, to
see that all of them run; it measures nothing, and its files are called <host>-quick.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
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

from _measure import ROOT, host
from _page import page
from _targets import rows, table

PLAN: dict[str, tuple[list[str], float]] = {
    "tick_to_trade": (["--samples", "50000"], 420.0),
    "throughput": ([], 150.0),
    "ring_one_to_one": (["--samples", "50000"], 120.0),
    "ring_broadcast": (["--samples", "50000"], 120.0),
    "trader_path": (["--samples", "50000"], 60.0),
    "order_path_binance": (["--samples", "10000"], 120.0),
    "decode_binance": (["--blocks", "5"], 150.0),
    "decode_deribit": (["--blocks", "5"], 120.0),
    "decode_grvt": (["--blocks", "5"], 90.0),
    "order_path_deribit": (["--samples", "10000"], 90.0),
    "order_path_grvt": ([], 90.0),
    "memory": ([], 150.0),
}
"""Arguments and limit in seconds; every other bench runs with its own samples within LIMIT_S."""
LIMIT_S = 90.0
BUDGET_S = 880.0
"""For all of them together."""
QUICK = ["--samples", "400", "--blocks", "2"]
END_S = 20.0
"""How long a bench that is stopped may take to remove its segments and processes."""


def benches() -> list[str]:
    """Those of PLAN first: targets hang on them, and the time may not do for the others on a slow machine."""
    found = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    return [*(name for name in PLAN if name in found), *sorted(found - set(PLAN))]


def run(name: str, folder: Path, left_s: float, quick: bool) -> dict[str, Any]:
    """Its result, with `plot` (PNG, base64), `command` and `seconds`; {"error": why} where there is none. left_s: what
    is left of the time for all."""
    if left_s < 1:
        return {"error": f"not begun: the {BUDGET_S:g} s for all benches were over"}
    result, plot = folder / f"{name}.json", folder / f"{name}.png"
    given, limit_s = PLAN.get(name, ([], LIMIT_S))
    script = [f"bench/{name}.py", *(QUICK if quick else given)]
    began = monotonic()
    print(f"== {name}", flush=True)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *script, "--json", str(result), "--plot", str(plot)], cwd=ROOT, stderr=said
        )
        try:
            process.wait(min(limit_s, left_s))
        except subprocess.TimeoutExpired:
            return {"error": f"took longer than {min(limit_s, left_s):.0f} s"}
        finally:
            _end(process)
            said.seek(0)
            told = said.read().decode(errors="replace").strip()
            if told:
                print(told, file=sys.stderr)
    if process.returncode or not result.exists():
        return {"error": f"ended with {process.returncode}: {told.rpartition(chr(10))[2]}"}
    content: dict[str, Any] = json.loads(result.read_text())
    content["command"], content["seconds"] = " ".join(["python", *script]), round(monotonic() - began, 1)
    if plot.exists():
        content["plot"] = base64.b64encode(plot.read_bytes()).decode()
    return content


def _end(process: subprocess.Popen[bytes]) -> None:
    """It takes its own processes and segments with it when it is asked to end (_measure.py)."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        process.kill()
        process.wait()


def write(content: dict[str, Any], folder: Path) -> None:
    """Both files, of what there is so far."""
    content["targets"] = [asdict(row) for row in rows(content["benches"])]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{content['name']}.html").write_text(page(content))
    plain = {
        name: {key: value for key, value in bench.items() if key != "plot"}
        for name, bench in content["benches"].items()
    }
    (folder / f"{content['name']}.json").write_text(json.dumps(content | {"benches": plain}, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="a few samples each: do they all run?")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else benches()
    if unknown := sorted(set(names) - set(benches())):
        parser.error(f"--only: no bench {', '.join(unknown)}; there are {', '.join(benches())}")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", platform.node()) or "host"
    content: dict[str, Any] = {
        "name": f"{name}-quick" if options.quick else name, "quick": options.quick, "host": host(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "benches": {},
    }  # fmt: skip
    began = monotonic()
    for one in names:
        with tempfile.TemporaryDirectory() as folder:
            left_s = BUDGET_S - (monotonic() - began)
            content["benches"][one] = run(one, Path(folder), left_s, options.quick)
        content["seconds"] = round(monotonic() - began, 1)
        write(content, options.results)
    failed = {one: bench["error"] for one, bench in content["benches"].items() if "error" in bench}
    for one, why in failed.items():
        print(f"{one}: {why}", file=sys.stderr)
    print(f"\n{table(list(rows(content['benches'])))}\n")
    print(f"{content['seconds']:g} s; {options.results / content['name']}.json and .html")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
