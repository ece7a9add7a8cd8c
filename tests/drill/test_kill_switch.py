"""The kill switch drill: a hundred open orders over all venues, the command, and the venues' own word on what is left.

The rule: what counts is the simulators' truth and the command's exit code, never our own books; the times are printed
and not judged. Once with everything running, once with every engine killed first and nobody to start it again. Real
processes, no supervisor. Run by `make drill`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import demo_config, demo_venue, shm_admin
from processes.config import Config, load_config
from processes.control import ControlError, ask
from processes.exit_codes import Failure

ROOT = Path(__file__).parents[2]
VENUES = tuple(demo_config.SYMBOLS)
ORDERS = 100
EACH = -(-ORDERS // len(VENUES))
SMALL = {"BTCUSDT": 0.001, "BTC-PERPETUAL": 10.0, "BTC_USDT_Perp": 0.002}
"""Per symbol, so that a ladder stays within the demo's limits of position."""
WAIT_S = 300.0

pytestmark = [
    pytest.mark.skipif(not os.environ.get("CORELANE_DRILL"), reason="long: run by `make drill`"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    symbols = demo_config.default_symbols(VENUES)
    options = demo_config.DemoOptions(
        exchanges=VENUES,
        symbols=symbols,
        strategies=tuple(f"{Path(__file__).with_name('ladder.py')}:Ladder@{symbol}" for symbol in symbols),
        parameters={"orders": EACH},
    )
    text = demo_config.render(options, None, demo_config.free_port(), f"drill-{os.getpid()}")
    text = re.sub(r"max_open_orders = \d+", "max_open_orders = 200", text)
    for symbol in symbols:  # the strategies stand in the order of the symbols
        text = text.replace(f'"orders" = {EACH} }}', f'"orders" = {EACH}, order_quantity = {SMALL[symbol]} }}', 1)
    path = tmp_path_factory.mktemp("drill") / "corelane.toml"
    path.write_text(text)
    loaded = load_config(path)
    yield loaded
    shm_admin.instance_of(loaded).remove()


class Processes:
    """Every process of the config as a child of this test."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """The venues first, and Ready before the others look for them."""
        shm_admin.create(self.config)
        for process in sorted(self.config.processes(), key=lambda name: not name.startswith("simulator")):
            role, _, venue = process.partition(".")
            self.children[process] = subprocess.Popen(
                self.command(role.replace("_", "-"), *filter(None, [venue])),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if role == "simulator":
                self.wait(lambda name=process: self.state(name) == "READY", f"{process} is Ready")  # type: ignore[misc]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "processes.cli", *words, "-c", self.config.path]

    def status(self, process: str) -> dict[str, Any]:
        try:
            return ask(self.config.instance.run_dir, process, "status", {}, 1.0)
        except ControlError:
            return {}

    def state(self, process: str) -> str:
        return str(self.status(process).get("state", ""))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            ended = [name for name, child in self.children.items() if child.poll() not in (None, -signal.SIGKILL)]
            assert not ended, f"{ended} ended; waiting for: {what}"
            assert time.monotonic() < deadline, f"not within {WAIT_S:g} s: {what}; {self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        """The newest lines of trader and engines."""
        files = sorted(Path(self.config.log.directory).glob("tra*.log"))
        return "\n".join(line for file in files for line in file.read_text("utf-8").splitlines()[-6:])

    def open_orders(self) -> dict[str, int]:
        """By the venues' own word; -1 where one did not answer in time (the host is busy with starting things)."""
        found = {}
        for name, venue in self.config.venues.items():
            assert venue.rest_url is not None
            try:
                found[name] = demo_venue.truth(venue.rest_url, tuple(venue.symbols)).open_orders
            except Failure:
                found[name] = -1
        return found

    def counted(self) -> dict[str, int]:
        """The same, of all of them."""
        found: dict[str, int] = {}

        def all_answer() -> bool:
            found.update(self.open_orders())
            return min(found.values()) >= 0

        self.wait(all_answer, "every venue answers")
        return found

    def close(self) -> None:
        for child in reversed(self.children.values()):
            child.kill()
        for child in self.children.values():
            child.wait(30.0)


@pytest.fixture(scope="module")
def started(config: Config) -> Iterator[Processes]:
    made = Processes(config)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def processes(started: Processes) -> Processes:
    """With the switch off, and a hundred orders in the market."""
    subprocess.run(
        started.command("kill-switch", "off"), env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    started.wait(lambda: sum(started.open_orders().values()) >= ORDERS, f"{ORDERS} open orders")
    return started


def pulled(processes: Processes, what: str) -> dict[str, Any]:
    """Run the command; what it said, after the venues agreed that nothing is left. Prints the times."""
    before = processes.counted()
    began = time.monotonic()
    done = subprocess.run(
        processes.command("kill-switch", "on", "--json", "--patience", "120"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=2 * WAIT_S,
    )  # fmt: skip
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["done"] is True
    assert processes.counted() == dict.fromkeys(VENUES, 0)
    print(f"\n{what}: {sum(before.values())} open orders, the command took {took:.2f} s with its start")
    for venue, facts in said["venues"].items():
        print(
            f"  {venue}: {before[venue]} open; the command saw {facts['orders_seen']} and canceled "
            f"{facts['canceled_by_command']}, its engine {facts['canceled_in_engine'] or 0}; none open after "
            f"{facts['gone_after_s']:.3f} s, verified after {facts['verified_after_s']:.3f} s"
        )
    return said


def test_a_hundred_orders_go_while_everything_runs(processes: Processes) -> None:
    said = pulled(processes, "everything runs")
    assert set(said["echoes"]) == {f"trading_engine.{venue}" for venue in VENUES}
    processes.wait(lambda: processes.status("trader").get("open_orders") == 0, "the trader knows it too")


def test_a_hundred_orders_go_with_every_engine_killed_first(processes: Processes) -> None:
    for venue in VENUES:
        engine = processes.children[f"trading_engine.{venue}"]
        engine.kill()
        engine.wait(30.0)
    assert pulled(processes, "all engines dead")["echoes"] == {}
