"""One warm set of real processes on loopback, and the hands to hold, kill, stop and repair it.

The rule: everything is done from outside, by signals, by the simulator's admin endpoint, by the trader's control socket
and by the files of processes/stalls.py. A set lives for many cells; what one cell left behind would show in the next,
because books are compared since the set began.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import demo_venue, stalls
from processes.config import load_config
from processes.control import ControlError, ask
from processes.demo_books import OwnBooks
from processes.demo_config import free_port
from processes.demo_report import VenueTruth
from processes.exit_codes import Failure
from processes.supervisor import FIRST_BACKOFF_S, Child, Supervisor
from processes.venue_view import VenueView
from shm.journal import read_journal
from tests.chaos.red import Red
from tests.chaos.venues import VENUES

HERE = Path(__file__).parent
NUMBER = 93
PATIENCE_S = 40.0
HEARTBEAT_MS = 1_500
RECEIVE_WINDOW_MS = 1_000
SLOTS = 64
# Data never counts as old here: each pause of the simulator's market delays all that follows.
CONFIG = """
[instance]
name = "{name}"
number = {number}
run_dir = "{folder}/run"
state_dir = "{folder}/state"
[trader]
heartbeat_timeout_ms = {heartbeat}
request_deadline_ms = {deadline}
[venues.{venue}]
symbols = ["{symbol}"]
{settings}
stale_after_ms = 3600000
receive_window_ms = {window}
order_path = "{path}"
on_start = "adopt"
request_ring_slots = {slots}
event_ring_slots = {event_slots}
[venues.{venue}.risk]
max_order_quantity = {{ "{symbol}" = "{largest}" }}
max_order_notional = "{notional}"
max_position = {{ "{symbol}" = "{largest}" }}
max_open_orders = 500
max_orders_per_second = 1000.0
collar = 0.5
[simulators.{venue}]
port = {port}
seed = {seed}
wallet_balance = "1000000000"
[[strategies]]
id = 1
name = "scripted"
module = "{here}/scripted.py:Scripted"
instruments = ["{venue}:{symbol}"]
parameters = {{ told = "{folder}/told.jsonl" }}
on_start = "adopt"
[strategies.limits]
max_order_quantity = "{largest}"
max_order_notional = "{notional}"
max_position = "{largest}"
max_orders_per_second = 10000.0
max_open_orders = 500
max_loss = "100000000"
price_band = 0.5
"""


class ChaosSupervisor(Supervisor):
    """Starts the engine from tests/chaos/broken.py where an injected error is wanted."""

    broken = ""

    def command(self, child: Child) -> list[str]:
        words = super().command(child)
        if self.broken and child.role == "trading_engine":
            return [sys.executable, str(HERE / "broken.py"), self.broken, *words[3:]]
        return words


class Place:
    """Use as a context manager; `start` it first."""

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        broken: str = "",
        exchange: str = "binance",
        path: str = "websocket",
        event_slots: int = 8192,
        deadline_ms: int = 2_000,
    ) -> None:
        """path: of the orders, "websocket" or "rest"."""
        self.venue, self.path = VENUES[exchange], path
        self.folder, self.seed, self.patience_s = folder, seed, PATIENCE_S
        self.stalls = folder / "stalls"
        self.stalls.mkdir()
        self.market = "resume"
        """What the market was told last: "pause" or "resume"."""
        self.told = folder / "told.jsonl"
        self.told.touch()
        file = folder / "corelane.toml"
        file.write_text(
            CONFIG.format(
                name=f"c{os.getpid()}-{time.monotonic_ns() % 100_000}",
                venue=exchange,
                symbol=self.venue.symbol,
                settings="\n".join(f"{key} = {value}" for key, value in self.venue.settings.items()),
                largest=self.venue.largest,
                notional=self.venue.notional,
                number=NUMBER,
                folder=folder,
                here=HERE,
                heartbeat=HEARTBEAT_MS,
                deadline=deadline_ms,
                window=RECEIVE_WINDOW_MS,
                path=path,
                slots=SLOTS,
                event_slots=event_slots,
                port=free_port(),
                seed=seed,
            )
        )
        self.config = load_config(file)
        self.url = str(self.config.venues[exchange].rest_url)
        os.environ[stalls.VARIABLE] = str(self.stalls)
        log = logging.getLogger("chaos")
        log.propagate = False
        self.supervisor = ChaosSupervisor(self.config, log, errors_to_files=True)
        self.supervisor.broken = broken

    def __enter__(self) -> Place:
        self.supervisor.__enter__()
        try:
            self.supervisor.start(lambda: None)
            self.view = VenueView(self.supervisor.instance, self.venue.name, [self.venue.symbol])
            self.until(self.is_ready, "the set is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for child in self.supervisor.children.values():
            self._signal(child.pid, signal.SIGCONT)
        self.supervisor.stop()
        os.environ.pop(stalls.VARIABLE, None)

    # --- looking ------------------------------------------------------------------------------------------------------
    def until(self, condition: Callable[[], object], what: str, patience_s: float = 0.0) -> None:
        """Supervise until it holds; Red where it does not in time (0: the patience of this place)."""
        patience_s = patience_s or self.patience_s
        deadline = time.monotonic() + patience_s
        while not condition():
            self.supervisor.poll()
            for child in self.supervisor.children.values():
                child.backoff_s = FIRST_BACKOFF_S  # many deaths an hour are the business here
            if self.supervisor.given_up:
                raise Red("; ".join(self.supervisor.given_up.values()))
            if time.monotonic() > deadline:
                raise Red(f"not within {patience_s:g} s: {what}")
            time.sleep(0.01)

    def supervise(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervisor.poll()
            time.sleep(0.01)

    def is_ready(self) -> bool:
        """Every process serves, the trader may send over the path that is tried, and its data is fresh."""
        if not all(self.supervisor.is_ready(name) for name in self.supervisor.children):
            return False
        status = self.trader()
        if status is None:
            return False
        strategy = status["strategies"]["scripted"]
        state = status["venues"][self.venue.name]["state"]
        if state != "READY" or strategy["state"] != "RUNNING" or strategy["stale"]:
            return False
        return self.venue.is_up(self)

    def trader(self) -> dict[str, Any] | None:
        """The trader's own picture; None while it does not answer."""
        try:
            return dict(ask(self.config.instance.run_dir, "trader", "status", timeout_s=1.0))
        except ControlError:
            return None

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10.0) as response:
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise Red(f"{method} {path}: {error.read().decode()}") from None
        except OSError as error:
            raise Red(f"{method} {path}: {error}") from None
        assert isinstance(found, dict)
        return found

    def account(self) -> dict[str, Any]:
        """The venue's whole truth of our account."""
        accounts = self.admin("GET", "/admin/truth")["accounts"]
        return dict(next(iter(accounts.values())))

    def requests_received(self) -> dict[str, int]:
        return dict(self.admin("GET", "/admin/truth")["requests"])

    def journal(self) -> list[Any]:
        return list(read_journal(self.supervisor.instance.journal_path(self.venue.name)))

    def books(self, records: list[Any]) -> OwnBooks:
        books = OwnBooks(NUMBER, self.view.instruments())
        for record in records:
            books.feed(record)
        return books

    def truth(self) -> VenueTruth:
        try:
            return demo_venue.truth(self.url, (self.venue.symbol,))
        except Failure as error:
            raise Red(str(error)) from None

    def told_lines(self) -> list[dict[str, Any]]:
        lines = self.told.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    # --- acting -------------------------------------------------------------------------------------------------------
    def command(self, action: str, **fields: Any) -> None:
        """Let the strategy act; returns when it does."""
        step = time.monotonic_ns()
        arguments = {"step": step, "action": action, **fields}
        try:
            ask(self.config.instance.run_dir, "trader", "set-param", arguments, timeout_s=5.0)
        except ControlError as error:
            raise Red(f"the trader did not take a command: {error}") from None
        taken = self.folder / "told.jsonl.step"
        self.until(lambda: taken.exists() and taken.read_text() == str(step), f"the strategy begins to {action}")

    def audit(self) -> None:
        """Let the engine compare itself with the venue now."""
        try:
            ask(self.config.instance.run_dir, f"trading_engine.{self.venue.name}", "audit", timeout_s=5.0)
        except ControlError as error:
            raise Red(f"the engine did not audit: {error}") from None

    def flow(self, action: str) -> None:
        self.admin("POST", "/admin/flow", {"action": action})
        self.market = action

    def fault(self, **description: Any) -> None:
        self.admin("POST", "/admin/fault", description)

    def clear_faults(self) -> None:
        self.admin("DELETE", "/admin/fault")

    def arm(self, point: str, passes: int = 0) -> None:
        self.disarm()
        armed = self.stalls / point
        armed.with_suffix(".new").write_text(str(passes))
        armed.with_suffix(".new").rename(armed)

    def disarm(self) -> None:
        for file in self.stalls.iterdir():
            file.unlink(missing_ok=True)

    def reached(self, point: str) -> bool:
        """The process came to the point and stopped itself."""
        return (self.stalls / f"{point}.reached").exists() and self._is_stopped(self.pid(holder(point)))

    def pid(self, role: str) -> int:
        return next(child.pid for child in self.supervisor.children.values() if child.role == role)

    def _is_stopped(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def go_on(self, role: str) -> None:
        """Let a held process continue, if it lives."""
        self._signal(self.pid(role), signal.SIGCONT)

    def kill(self, role: str) -> None:
        self._signal(self.pid(role), signal.SIGKILL)

    def terminate(self, role: str) -> None:
        self._signal(self.pid(role), signal.SIGTERM)

    def stop(self, role: str) -> None:
        self._signal(self.pid(role), signal.SIGSTOP)

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def holder(point: str) -> str:
    """Which process is held at a point."""
    return "trader" if point.startswith("trader.") else "trading_engine"
