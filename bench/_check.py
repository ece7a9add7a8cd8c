"""Compares two result files of `make bench`: red where a ratio became worse beyond noise.

    python bench/_check.py BEFORE.json AFTER.json        (make bench-check BEFORE=... AFTER=...)

Only ratios are compared: ours by a peer's (or by our own other way) in interleaved blocks of one run, so that a slower
machine is no regression. Lower is better in all of them. Noise is what the blocks of either run say of it: a ratio is
worse when it grew by more than THRICE the spreads of both runs together, and by more than FLOOR in any case. A ratio
or bench that is gone is red too: what is not measured any more cannot be shown to hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

THRICE = 3.0
FLOOR = 0.1


def ratios(content: dict[str, Any]) -> dict[str, dict[str, float]]:
    """{"<bench>: <ours> / <theirs>": {value, spread}}"""
    return {
        f"{name}: {what}": one
        for name, bench in content["benches"].items()
        for what, one in bench.get("ratios", {}).items()
    }


def compare(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(regressions, all others), one line each."""
    bad, rest = [], []
    found = ratios(after)
    for what, old in ratios(before).items():
        new = found.pop(what, None)
        if new is None:
            bad.append(f"{what}: not measured any more, was {old['value']:.4f}")
            continue
        growth = new["value"] / old["value"] - 1.0
        allowed = max(FLOOR, THRICE * (old["spread"] + new["spread"]))
        line = f"{what}: {old['value']:.4f} -> {new['value']:.4f} ({growth:+.1%}, noise {allowed:.1%})"
        (bad if growth > allowed else rest).append(line)
    rest += [f"{what}: {one['value']:.4f}, new" for what, one in found.items()]
    return bad, rest


def read(path: Path) -> dict[str, Any] | None:
    """A result file; None, and said on stderr, where it is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as failure:
        print(f"{path}: {failure}; expected a file that `make bench` wrote", file=sys.stderr)
        return None
    if not isinstance(content, dict) or "benches" not in content:
        print(f'{path}: no "benches" found; expected a file that `make bench` wrote', file=sys.stderr)
        return None
    if content.get("quick"):
        print(f"{path} is of a --quick run, which measures nothing; expected one of `make bench`", file=sys.stderr)
        return None
    return content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    if (before := read(options.before)) is None or (after := read(options.after)) is None:
        return 2
    bad, rest = compare(before, after)
    for line in rest:
        print(f"  {line}")
    for line in bad:
        print(f"WORSE {line}")
    print(f"{len(bad)} of {len(bad) + len(rest)} ratios are worse")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
