"""The paper set under a real systemd: what is promised of the units is looked at in the processes themselves.

The rule: nothing here believes `systemctl show`; places and limits are read from /proc, orders from the venue. The
tests share one container and run in their order; each begins with a set that trades. Run by `make systemd-test`.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.systemd import paper_set
from tests.systemd.container import Container, may_raise_limits, missing, wait_until
from tests.systemd.paper_set import CONFIG, VENUES

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("CORELANE_SYSTEMD"), reason="boots a real systemd as root: run by `make systemd-test`"
    ),
    pytest.mark.timeout(600),
]
WAIT_S = 90.0
TARGET = "corelane.target"
ALL = ("corelane.target", "corelane.slice")
"""Both together: `systemctl stop` of the slice waits until the last unit of it is down."""
PER_VENUE = ("simulator", "market-server", "trading-engine", "position-server")
LOOK = """
import json, os, sys
found = {}
for pid in map(int, sys.argv[1:]):
    lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    limits = open(f"/proc/{pid}/limits").read().splitlines()
    found[pid] = {
        "cores": sorted(os.sched_getaffinity(pid)), "class": os.sched_getscheduler(pid),
        "priority": os.sched_getparam(pid).sched_priority, "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "oom": int(open(f"/proc/{pid}/oom_score_adj").read()), "uid": int(lines["Uid"].split()[0]),
        "new_privileges": lines["NoNewPrivs"].strip(), "capabilities": int(lines["CapBnd"], 16),
        "filtered": lines["Seccomp"].strip(), "locked_kb": int(lines["VmLck"].split()[0]),
        "memlock": next(line for line in limits if line.startswith("Max locked memory")).split()[3],
    }
print(json.dumps(found))
"""
"""Run in the container with the pids; what the kernel says of each."""


class Set:
    """The set in its container, as an operator sees it."""

    def __init__(self, container: Container) -> None:
        self.run = container.run
        self.units = self._wanted()

    def _wanted(self) -> list[str]:
        """Process units that the target wants, by its own word."""
        wanted = self.show(TARGET, "Wants").split()
        return sorted(unit for unit in wanted if unit.startswith("corelane-") and unit != "corelane-shm.service")

    def show(self, unit: str, what: str) -> str:
        return self.run("systemctl", "show", "--property", what, "--value", unit)

    def pid(self, unit: str) -> int:
        return int(self.show(unit, "MainPID"))

    def is_active(self, unit: str) -> bool:
        return self.show(unit, "ActiveState") == "active"

    def trader(self) -> dict[str, Any]:
        """The trader's status, {} while it does not answer."""
        answer = self.run(
            "runuser", "-u", "corelane", "--", "corelane", "ctl", "trader", "status", "--json", "-c", CONFIG,
            check=False,
        )  # fmt: skip
        try:
            found = json.loads(answer)
        except ValueError:
            return {}
        return dict(found["answers"].get("trader", {}))

    def fills(self) -> dict[str, int]:
        """{venue: fills} that the strategies had since the trader's start."""
        found = dict.fromkeys(VENUES, 0)
        for strategy in self.trader().get("strategies", {}).values():
            for instrument, position in strategy["positions"].items():
                found[instrument.partition(":")[0]] += position["fills"]
        return found

    def wait_ready(self) -> None:
        """Every unit active, and the trader Ready on every venue."""
        wait_until(lambda: all(map(self.is_active, self.units)), f"all active: {self.units}", WAIT_S)
        wait_until(lambda: self.trader().get("state") == "READY", "the trader is Ready", WAIT_S)

    def wait_trades(self) -> None:
        """Every venue has traded since now."""
        before = self.fills()

        def traded() -> bool:
            now = self.fills()
            return all(now[venue] > before[venue] or 0 < now[venue] < before[venue] for venue in VENUES)

        try:
            wait_until(traded, f"more fills than {before} on each venue", WAIT_S)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; {self.trader()}\n{self.journal('-n', '60', '_UID=' + self.run('id', '-u', 'corelane'))}"
            ) from None

    def journal(self, *which: str) -> str:
        return self.run("journalctl", "--no-pager", "--quiet", "-o", "cat", *which)

    def mark(self) -> list[str]:
        """Arguments with which `journal` shows what came from this second on. (A cursor would do, but for a fault of
        journalctl: with a filter it passes over the first line after it.)"""
        return ["--since", f"@{int(time.time())}"]


@pytest.fixture(scope="module")
def place() -> Iterator[Set]:
    if reason := missing():
        pytest.skip(f"no systemd can be booted here: {reason}")
    with Container({CONFIG: paper_set.config()}) as container:
        container.run("corelane", "systemd", "install", "-c", CONFIG)
        container.run("chgrp", "corelane", CONFIG)
        container.run("chmod", "640", CONFIG)
        yield Set(container)


@pytest.fixture
def paper(place: Set) -> Set:
    """The set, started and trading-ready."""
    place.run("systemctl", "start", TARGET, timeout=WAIT_S)
    place.wait_ready()
    return place


def test_the_target_brings_up_every_unit_and_all_venues_trade(paper: Set) -> None:
    expected = {f"corelane-{role}@{venue}.service" for role in PER_VENUE for venue in VENUES}
    assert expected | {"corelane-trader.service", "corelane-logger.service"} <= set(paper.units)
    assert paper.run("systemctl", "--failed", "--plain", "--no-legend") == ""
    paper.wait_trades()


def test_cores_classes_limits_and_rights_are_in_force_in_the_kernel(paper: Set) -> None:
    pids = {unit: paper.pid(unit) for unit in paper.units}
    assert all(pids.values())
    found = json.loads(paper.run("python3", "-c", LOOK, *map(str, pids.values())))
    user = int(paper.run("id", "-u", "corelane"))
    placed = {
        f"corelane-{process.replace('_', '-').replace('.', '@')}.service": where
        for process, where in paper_set.placed().items()
    }
    for unit, pid in pids.items():
        seen = found[str(pid)]
        core, _, scheduling = placed.get(unit, (None, "", "other"))
        assert seen["cores"] == ([core] if core is not None else sorted(os.sched_getaffinity(0))), unit
        fifo = scheduling == "fifo"
        assert seen["class"] == (os.SCHED_FIFO if fifo else os.SCHED_OTHER), unit
        assert seen["priority"] == (paper_set.FIFO_PRIORITY if fifo else 0), unit
        assert (seen["uid"], seen["new_privileges"], seen["filtered"]) == (user, "1", "2"), unit
        assert seen["capabilities"] == 0, unit
        observer = re.match(r"corelane-(logger|recorder|monitor|simulator)", unit) is not None
        assert seen["nice"] == (5 if observer else -10 if core is not None else 0) or fifo, unit
        if may_raise_limits():
            assert seen["memlock"] == "unlimited", unit
            assert core is None or seen["locked_kb"] > 0, unit
            assert seen["oom"] == (200 if observer else -900 if core is not None else -800), unit
    if not may_raise_limits():
        print("\nmemlock and OOM score not looked at: this machine's root may not raise limits (no CAP_SYS_RESOURCE)")


def test_each_unit_that_is_killed_comes_back_and_trading_goes_on(paper: Set) -> None:
    for unit in paper.units:
        before, restarts = paper.pid(unit), int(paper.show(unit, "NRestarts"))
        paper.run("systemctl", "kill", "--signal", "KILL", unit)
        wait_until(
            lambda unit=unit, before=before: paper.is_active(unit) and paper.pid(unit) not in (0, before),  # type: ignore[misc]
            f"{unit} is active again",
            WAIT_S,
        )
        assert int(paper.show(unit, "NRestarts")) == restarts + 1, unit
        paper.wait_ready()
        paper.wait_trades()


def test_processes_that_hang_are_shot_by_the_watchdog_and_come_back(paper: Set) -> None:
    hung = ["corelane-trader.service", "corelane-recorder.service"]
    hung += [f"corelane-{role}@{VENUES[0]}.service" for role in PER_VENUE if role != "simulator"]
    before, since = {unit: paper.pid(unit) for unit in hung}, paper.mark()
    for unit in hung:
        paper.run("systemctl", "kill", "--signal", "STOP", unit)
    for unit in hung:
        wait_until(
            lambda unit=unit: paper.pid(unit) not in (0, before[unit]) and paper.is_active(unit),  # type: ignore[misc]
            f"{unit} was shot and is active again",
            WAIT_S,
        )
        assert "Watchdog timeout" in paper.journal(*since, "-u", unit)
    paper.wait_ready()
    paper.wait_trades()


def test_a_planned_restart_of_the_trader_is_no_failure(paper: Set) -> None:
    before, since = paper.pid("corelane-trader.service"), paper.mark()
    answer = paper.run("corelane", "ctl", "trader", "restart", "--keep", "--json", "-c", CONFIG)
    assert json.loads(answer)["answers"]["trader"]["orders"] == "keep"
    paper.wait_ready()
    assert paper.pid("corelane-trader.service") != before
    assert "Failed" not in paper.journal(*since, "-u", "corelane-trader.service")
    paper.wait_trades()


def test_a_stop_leaves_no_order_at_the_venues_and_no_segment_twice(paper: Set) -> None:
    for _ in range(2):
        paper.wait_trades()
        since = paper.mark()
        paper.run("systemctl", "stop", *ALL, timeout=WAIT_S)
        for unit in paper.units:
            assert (paper.show(unit, "ActiveState"), paper.show(unit, "Result")) == ("inactive", "success"), unit
        for venue in VENUES:
            said = paper.journal(*since, "--identifier", f"corelane-simulator.{venue}")
            assert "the venue closes with 0 open orders" in said, said
        assert paper.run("find", "/dev/shm", "-name", "corelane*") == ""
        paper.run("systemctl", "start", TARGET, timeout=WAIT_S)
        paper.wait_ready()


def test_a_start_right_after_a_stop_ends_with_a_running_set(paper: Set) -> None:
    paper.run("systemctl", "stop", TARGET, timeout=WAIT_S)
    paper.run("systemctl", "start", TARGET, timeout=WAIT_S)
    paper.wait_ready()
    paper.wait_trades()


def test_a_unit_that_keeps_dying_stays_down_with_an_alert(paper: Set) -> None:
    unit, since = "corelane-recorder.service", paper.mark()

    def gave_up() -> bool:
        if paper.is_active(unit):
            paper.run("systemctl", "kill", "--signal", "KILL", unit, check=False)
        return paper.show(unit, "ActiveState") == "failed"

    wait_until(gave_up, f"{unit} has failed for good", WAIT_S)
    alert = ["--identifier", "corelane-failed", "--priority", "alert"]
    wait_until(lambda: unit in paper.journal(*since, *alert), "an alert in the journal", WAIT_S)
    assert paper.trader()["state"] == "READY"
    paper.run("systemctl", "reset-failed", unit)
    paper.run("systemctl", "start", unit, timeout=WAIT_S)


def test_the_kill_switch_unit_stops_all_orders_until_somebody_turns_it_off(paper: Set) -> None:
    paper.run("systemctl", "start", "corelane-kill-switch.service", timeout=WAIT_S)
    wait_until(lambda: paper.trader().get("open_orders") == 0, "no order is open", WAIT_S)
    paper.run("runuser", "-u", "corelane", "--", "corelane", "kill-switch", "off", "-c", CONFIG)
    paper.wait_trades()


def test_an_uninstall_leaves_nothing_of_ours(place: Set) -> None:
    place.run("systemctl", "stop", *ALL, timeout=WAIT_S)
    place.run("corelane", "systemd", "uninstall")
    assert place.run("find", "/etc/systemd/system", "-name", "*corelane*") == ""
    assert place.run("systemctl", "list-unit-files", "corelane*", "--no-legend", check=False) == ""
