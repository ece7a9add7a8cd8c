"""`make chaos`: every cell over warm sets, with a results file that lets it go on where it ended.

    python -m tests.chaos.run [--exchange VENUE] [--only TEXT] [--path websocket|rest] [--results FILE] [--seed N]
                              [--rounds N] [--stop-seconds S] [--broken NAME] [--prove]

One line per cell; a red cell prints its story and gets a fresh set, so one failure does not colour the next cell. Exit
code 1 where any cell is red. Cells that the results file calls green are not run again: remove it to start over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shm.clock import monotonic_ns
from shm.layout import Reason, RecordKind
from tests.chaos.cells import Cell, all_cells, injected
from tests.chaos.place import PATIENCE_S, Place
from tests.chaos.red import Red
from tests.chaos.story import tell
from tests.chaos.venues import VENUES

RESULTS = Path("build/chaos.jsonl")
ROUNDS = 12


class Runner:
    """Runs cells one after the other; makes a new set where none fits."""

    def __init__(
        self,
        seed: int,
        stop_s: float,
        broken: str = "",
        say: Callable[[str], None] = print,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """patience_s: for each thing that is to come about in a cell; a set's start has its own."""
        self.patience_s = patience_s
        self.seed, self.stop_s, self.broken, self.say = seed, stop_s, broken, say
        self._place: Place | None = None
        self._folder: Path | None = None
        self._fits: tuple[str, str, int, int] = ("", "", 0, 0)
        self._settled = (0, 0)

    def run(self, cell: Cell) -> dict[str, Any]:
        """The result of one cell, as a line of the results file."""
        began, began_ns = time.monotonic(), monotonic_ns()
        result: dict[str, Any] = {"cell": cell.name, "seed": self.seed, "green": True}
        try:
            place = self._fitting(cell)
            place.patience_s = self.patience_s
            began, began_ns = time.monotonic(), monotonic_ns()
            result |= cell.run(place, self.stop_s)
            result["settled_executed"], result["settled_absent"] = self._newly_settled(place)
        except Red as red:
            result |= {"green": False, "problem": str(red)}
            self.say(f"RED {cell.name}: {red}")
            self._tell_story(red, began_ns)
            self.close()
        result["seconds"] = round(time.monotonic() - began, 2)
        return result

    def _fitting(self, cell: Cell) -> Place:
        fits = (cell.venue, cell.path, cell.event_slots, cell.deadline_ms)
        if self._place is not None and self._fits != fits:
            self.close()
        if self._place is None:
            self._folder = Path(tempfile.mkdtemp(prefix="cl-chaos-"))
            self._fits, self._settled = fits, (0, 0)
            self._place = Place(self._folder, self.seed, self.broken, *fits)
            try:
                self._place.__enter__()
            except BaseException:
                self._place = None
                raise
        return self._place

    def _newly_settled(self, place: Place) -> tuple[int, int]:
        """Orders whose unknown outcome was settled as executed and as absent in this cell, by the journal."""
        events = [record for record in place.journal() if record.kind == RecordKind.ORDER_EVENT]
        now = (
            sum(event.reason == Reason.SETTLED_EXECUTED for event in events),
            sum(event.reason == Reason.SETTLED_ABSENT for event in events),
        )
        before, self._settled = self._settled, now
        return now[0] - before[0], now[1] - before[1]

    def _tell_story(self, red: Red, since_ns: int) -> None:
        if self._place is None:
            return
        try:
            self.say(tell(self._place, red.orders, since_ns))
            for name in self._place.supervisor.children:
                log = Path(self._place.config.log.directory) / f"{name}.stderr"
                if log.exists():
                    last = log.read_text("utf-8", "replace").splitlines()[-12:]
                    self.say("\n".join(f"  {name}: {line}" for line in last))
        except (Red, OSError) as error:
            self.say(f"  the story cannot be told: {error}")

    def close(self) -> None:
        if self._place is not None:
            self._place.__exit__()
            self._place = None
        if self._folder is not None:
            if not os.environ.get("CHAOS_KEEP"):
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def run_all(cells: Iterable[Cell], runner: Runner, results: Path | None) -> list[dict[str, Any]]:
    """Run what the results file does not call green yet; every result, old ones included."""
    done: dict[str, dict[str, Any]] = {}
    if results is not None and results.exists():
        found = [json.loads(line) for line in results.read_text().splitlines()]
        done = {one["cell"]: one for one in found if one["green"] and one["seed"] == runner.seed}
    every = []
    try:
        for cell in cells:
            if cell.name in done:
                every.append(done[cell.name])
                continue
            result = runner.run(cell)
            every.append(result)
            extra = f", unwatched {result['unwatched_ms']} ms" if result.get("unwatched_ms") else ""
            runner.say(f"{'green' if result['green'] else 'RED  '} {result['seconds']:6.2f} s  {cell.name}{extra}")
            if results is not None:
                results.parent.mkdir(parents=True, exist_ok=True)
                with results.open("a") as file:
                    file.write(json.dumps(result) + "\n")
    finally:
        runner.close()
    return every


def summary(results: list[dict[str, Any]]) -> str:
    green = sum(one["green"] for one in results)
    seconds = sorted(one["seconds"] for one in results)
    executed, absent = (sum(one.get(f"settled_{word}", 0) for one in results) for word in ("executed", "absent"))
    unwatched = max((one.get("unwatched_ms", 0) for one in results), default=0)
    return (
        f"{len(results)} cells, {green} green, {len(results) - green} red; {sum(seconds):.0f} s, median "
        f"{seconds[len(seconds) // 2] if seconds else 0:.1f} s a cell\n"
        f"unknown outcomes settled: {executed} as executed, {absent} as absent\n"
        f"longest time that the venue held an order nobody watched: {unwatched} ms"
    )


def prove(exchange: str, seed: int, stop_s: float, say: Callable[[str], None]) -> bool:
    """Put each known error back and see its cell go red. True: all did."""
    proven, cells = True, {cell.name: cell for cell in all_cells(1, exchange)}
    for error, name in injected(exchange).items():
        runner = Runner(seed, stop_s, error, say)
        try:
            result = runner.run(cells[name])
        finally:
            runner.close()
        proven &= not result["green"]
        say(f"{error}: {name} is {'red, as it must be' if not result['green'] else 'GREEN, so the table is blind'}")
    return proven


def _end(_number: int, _frame: object) -> None:
    """However it is ended, the set is taken down."""
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="Deaths and wire faults at every moment of an order.")
    parser.add_argument("--only", default="", help="cells whose name contains this text")
    parser.add_argument("--exchange", choices=VENUES, default="binance", help="the venue (default: %(default)s)")
    parser.add_argument("--path", default="", help="of the orders; all that the venue has where none is named")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of bursts of unknown outcomes")
    parser.add_argument("--stop-seconds", type=float, default=5.0)
    parser.add_argument("--broken", default="", help="an injected error of tests/chaos/broken.py: red is right")
    parser.add_argument("--prove", action="store_true", help="only this: with each known error put back, red must come")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # SIGINT is ignored where a shell put us behind
        signal.signal(number, _end)
    if options.prove:
        proven = prove(options.exchange, options.seed, options.stop_seconds, lambda text: print(text, flush=True))
        return 0 if proven else 1
    paths = VENUES[options.exchange].paths
    if options.path and options.path not in paths:
        parser.error(f"--path: found {options.path!r}, expected {' or '.join(paths)} at {options.exchange}")
    paths = (options.path,) if options.path else paths
    cells = [cell for cell in all_cells(options.rounds, options.exchange, paths) if options.only in cell.name]
    print(f"{len(cells)} cells, seed {options.seed}", flush=True)
    runner = Runner(options.seed, options.stop_seconds, options.broken, lambda text: print(text, flush=True))
    results = run_all(cells, runner, None if options.broken else options.results)
    print(summary(results))
    return 0 if all(one["green"] for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
