"""The set comes up in order, is kept up, and leaves nothing behind however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import shm_admin, supervisor
from processes.config import Config, load_config
from processes.control import ask
from processes.exit_codes import ExitCode, Failure
from processes.supervisor import Child, Supervisor
from shm.layout import ProcessState
from shm.lock import AlreadyRunning
from shm.records import ProcessRow
from shm.segment import Segment

ROOT = Path(__file__).parent.parent.parent
BODY = Path(__file__).parent / "process_body.py"
PATIENCE_S = 60.0


class Set(Supervisor):
    """A supervisor over the test bodies instead of the real processes."""

    bodies: dict[str, str] = {}  # noqa: RUF012  (set by the tests)

    def command(self, child: Child) -> list[str]:
        body = self.bodies.get(child.name, "serve")
        return [sys.executable, str(BODY), self.config.path, child.name, body]


def make(config: Config, **bodies: str) -> Set:
    made = Set(config, logging.getLogger("test"), errors_to_files=True)
    made.bodies = {name.replace("__", "."): body for name, body in bodies.items()}
    return made


def nothing() -> None:
    """A turn in which nothing is done."""


def turn_until(set_: Set, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        set_.poll()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def nothing_is_left(config: Config, pids: list[int]) -> bool:
    instance = shm_admin.instance_of(config)
    return (
        not any(Path(f"/proc/{pid}").exists() for pid in pids)
        and not Segment.names(instance.segment_name(""))
        and not Path(config.instance.run_dir).exists()
    )


def test_all_processes_come_up_in_order_and_nothing_is_left_at_the_end(config):
    with make(config) as running:
        running.start(nothing)
        starts = [running.row(name).start_time_ns for name in config.processes()]
        pids = running.living()
        assert len(pids) == 5
        assert all(running.is_ready(name) for name in config.processes())
        assert starts[0] < min(starts[1:4]) <= max(starts[1:4]) < starts[4]
    assert nothing_is_left(config, pids)
    assert [child.exit_codes for child in running.children.values()] == [[0]] * 5


def test_what_dies_is_started_again_and_counted(config):
    with make(config) as running:
        running.start(nothing)
        victim = running.children["trading_engine.binance"].pid
        os.kill(victim, signal.SIGKILL)
        turn_until(running, lambda: running.restarts["trading_engine.binance"] == 1)
        turn_until(running, lambda: running.is_ready("trading_engine.binance"))
        assert running.row("trading_engine.binance").restarts == 1
        assert running.children["trading_engine.binance"].pid != victim
        assert running.restarts["trader"] == 0


def test_segments_that_somebody_removed_are_made_again_and_everybody_comes_back(config):
    with make(config) as running:
        running.start(nothing)
        pids = set(running.living())
        running.instance.remove()
        turn_until(running, lambda: all(map(running.is_ready, config.processes())) and not pids & set(running.living()))
        assert all(child.exit_codes[0] == ExitCode.SHARED_MEMORY for child in running.children.values())


def test_one_that_asks_for_it_is_started_again_at_once(config):
    with make(config) as running:
        running.start(nothing)
        running.bodies = {"trader": "ask_for_restart"}
        running.children["trader"].backoff_s = 1000.0
        os.kill(running.children["trader"].pid, signal.SIGKILL)
        turn_until(running, lambda: running.children["trader"].next_start_s is not None)
        running.children["trader"].next_start_s = 0.0
        turn_until(running, lambda: running.restarts["trader"] == 2)
        assert running.children["trader"].exit_codes[-1] == ExitCode.RESTART
        running.bodies = {}
        turn_until(running, lambda: running.is_ready("trader"))


class Strict(Set):
    """One that has no patience with the trader, and all with the others: this host may be slow."""

    def hang_limit_s(self, row: ProcessRow) -> float:
        return 1.0 if row.process == b"trader" and row.state == ProcessState.READY else 1e9


def strict(config: Config, **bodies: str) -> Strict:
    made = Strict(config, logging.getLogger("test"), errors_to_files=True, shoots_hung=True)
    made.bodies = bodies
    return made


def test_one_that_hangs_says_where_and_is_started_again(config, caplog):
    with strict(config, trader="hang") as running:
        running.start(nothing)
        running.bodies = {}
        turn_until(running, lambda: running.restarts["trader"] >= 1 and running.is_ready("trader"))
        assert running.children["trader"].exit_codes[0] == -signal.SIGABRT
        assert sum(running.restarts.values()) == running.restarts["trader"]
    assert "trader hangs: no heartbeat for 1 s; it is shot" in caplog.text
    said = (Path(config.log.directory) / "trader.stderr").read_text()
    assert "Fatal Python error: Aborted" in said
    assert "in hang" in said


def test_one_that_does_not_even_hear_that_is_killed(config, monkeypatch):
    monkeypatch.setattr(supervisor, "LAST_WORDS_S", 0.2)
    with strict(config) as running:
        running.start(nothing)
        os.kill(running.children["trader"].pid, signal.SIGSTOP)
        turn_until(running, lambda: running.restarts["trader"] >= 1 and running.is_ready("trader"))
        assert running.children["trader"].exit_codes[0] == -signal.SIGKILL


def test_the_backoff_grows_while_it_dies_at_once(config):
    with make(config, trader="serve") as running:
        running.start(nothing)
        running.bodies = {"trader": "crash"}
        os.kill(running.children["trader"].pid, signal.SIGKILL)
        turn_until(running, lambda: running.restarts["trader"] == 2)
        assert running.children["trader"].backoff_s >= 4 * supervisor.FIRST_BACKOFF_S
        assert ExitCode.CRASH in running.children["trader"].exit_codes


def test_one_that_does_not_come_up_is_one_sentence_and_everything_is_torn_down(config):
    pids: list[int] = []
    with (
        pytest.raises(
            Failure, match=r"position_server\.binance ended at its start, exit code 5 SHARED_MEMORY: segment /x is gone"
        ) as caught,
        make(config, position_server__binance="lose_memory") as running,
    ):
        running.start(lambda: pids.extend(running.living()))
    assert caught.value.code is ExitCode.SHARED_MEMORY
    assert pids
    assert nothing_is_left(config, pids)


def test_one_that_never_gets_ready_is_named_with_what_it_says(config, monkeypatch):
    monkeypatch.setattr(supervisor, "START_TIMEOUT_S", supervisor.START_TIMEOUT_S)  # put back afterwards

    class Impatient(Set):
        """Waits for the others as long as they need, and not at all for the trader."""

        def command(self, child: Child) -> list[str]:
            if child.name == "trader":
                supervisor.START_TIMEOUT_S = 0.1
            return super().command(child)

        def is_ready(self, name: str) -> bool:
            return name != "trader" and super().is_ready(name)

    with (
        pytest.raises(Failure, match=r"trader is not READY after 0\.1 s, it says: ") as caught,
        Impatient(config, logging.getLogger("test"), errors_to_files=True) as running,
    ):
        running.start(nothing)
    assert caught.value.code is ExitCode.PROCESS_FAILED
    assert nothing_is_left(config, [])


def test_an_error_in_the_middle_tears_everything_down(config):
    with pytest.raises(ZeroDivisionError), make(config) as running:
        running.start(nothing)
        pids = running.living()
        raise ZeroDivisionError
    assert nothing_is_left(config, pids)


def test_one_that_does_not_stop_is_killed_within_the_bound(config, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.5)
    with make(config) as running:
        running.start(nothing)
        stuck = running.children["simulator.binance"].pid
        os.kill(stuck, signal.SIGSTOP)  # does not even hear SIGTERM
        pids = running.living()
    assert running.children["simulator.binance"].exit_codes == [-signal.SIGKILL]
    assert nothing_is_left(config, pids)


def test_a_second_set_of_the_same_instance_is_refused_and_changes_nothing(config):
    with make(config) as first:
        first.start(nothing)
        with pytest.raises(AlreadyRunning, match=f"supervisor already runs as process {os.getpid()}"), make(config):
            pass
        assert len(first.living()) == 5
        assert Segment.names(first.instance.segment_name(""))


def test_credentials_reach_only_those_who_trade(config, monkeypatch):
    monkeypatch.setenv("CORELANE_MAIN_API_KEY", "k")
    monkeypatch.setenv("CORELANE_MAIN_SECRET", "s")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    made = make(config)
    for name, child in made.children.items():
        environment = made._environment(child)
        secrets = {key for key in environment if "API_KEY" in key or "SECRET" in key or key == "CREDENTIALS_DIRECTORY"}
        assert bool(secrets) == name.startswith(("trading_engine", "position_server", "simulator")), name
        assert "NOTIFY_SOCKET" not in environment


DRIVER = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_supervisor import Set
from processes import supervisor
from processes.config import load_config
supervisor.Supervisor = Set
sys.exit(supervisor.up(load_config({path!r})))
"""


def test_the_url_of_alerts_reaches_only_the_monitor(write_config, monkeypatch):
    config = load_config(write_config('[observers]\nmonitor = true\n[monitor]\nwebhook = "alerts"\n'))
    monkeypatch.setenv("CORELANE_ALERTS_URL", "http://127.0.0.1/x")
    monkeypatch.setenv("CORELANE_OTHER_URL", "http://127.0.0.1/y")  # may stand in the config, which all read
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    made = make(config)
    for child in made.children.values():
        environment = made._environment(child)
        assert ("CORELANE_ALERTS_URL" in environment) == (child.role == "monitor")
        assert "CORELANE_OTHER_URL" in environment
    assert "CREDENTIALS_DIRECTORY" in made._environment(made.children["monitor"])
    assert "CREDENTIALS_DIRECTORY" not in made._environment(made.children["trader"])


@pytest.fixture
def up(config, directory):
    """`corelane up` over the test bodies, as a process of its own; its pid and those of its children."""
    script = directory / "up.py"
    script.write_text(DRIVER.format(tests=str(Path(__file__).parent), root=str(ROOT), path=config.path))
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def children_of(config: Config, process: subprocess.Popen[str]) -> list[int]:
    """Pids of the whole set once it is up."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        if (Path(config.instance.run_dir) / "supervisor.ctl").exists():
            status = ask(config.instance.run_dir, "supervisor", "status", timeout_s=5.0)
            if all(one["state"] == "READY" for one in status.values()):
                return [one["pid"] for one in status.values()]
        time.sleep(0.02)
    raise AssertionError("the set did not come up")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_ends_in_order_on_a_signal(config, up, number):
    pids = children_of(config, up)
    up.send_signal(number)
    _, said = up.communicate(timeout=PATIENCE_S)
    assert up.returncode == ExitCode.OK
    assert "Traceback" not in said
    assert nothing_is_left(config, pids)


def test_a_signal_while_it_comes_up_leaves_nothing(config, up):
    control = Path(config.instance.run_dir) / "supervisor.ctl"
    deadline = time.monotonic() + PATIENCE_S
    while not control.exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    up.send_signal(signal.SIGINT)
    _, said = up.communicate(timeout=PATIENCE_S)
    assert up.returncode == ExitCode.OK, said
    assert nothing_is_left(config, [])


def test_down_ends_it_and_waits(config, up):
    pids = children_of(config, up)
    assert supervisor.down(config) == ExitCode.OK
    assert nothing_is_left(config, pids)
    with pytest.raises(Failure, match="supervisor is not running"):
        supervisor.down(config)


def test_killing_the_supervisor_leaves_no_process(config, up):
    pids = children_of(config, up)
    up.kill()
    up.wait()
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
