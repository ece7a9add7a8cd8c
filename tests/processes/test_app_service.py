"""One life for every process: locked, placed, heard, ended in time, with an exit code that tells the truth."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import shm_admin
from processes.app_service import AppService
from processes.config import Config, load_config
from processes.control import ControlError, ask, control_path
from processes.exit_codes import ExitCode
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import ProcessState
from shm.records import ProcessRow
from shm.segment import Segment
from shm.table import TableReader

ROOT = Path(__file__).parent.parent.parent
BODY = Path(__file__).parent / "process_body.py"
PATIENCE_S = 60.0


def start(config: Config, body: str, process: str = "trader", **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(BODY), config.path, process, body],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def row_of(instance: Instance, process: str) -> ProcessRow:
    row = ProcessRow()
    TableReader(instance.segment("status")).read(instance.process_row(process), row)
    return row


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def instance(config: Config) -> Iterator[Instance]:
    shm_admin.create(config)
    made = shm_admin.instance_of(config)
    yield made
    made.close()


@pytest.fixture
def running(config: Config, instance: Instance) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a body and waits until it is READY; kills what a test leaves."""
    started: list[subprocess.Popen[str]] = []

    def run(body: str, process: str = "trader", **environment: str) -> subprocess.Popen[str]:
        child = start(config, body, process, **environment)
        started.append(child)
        wait_until(lambda: row_of(instance, process).pid == child.pid, child)
        wait_until(lambda: row_of(instance, process).state == ProcessState.READY, child)
        return child

    yield run
    for child in started:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("body", ["serve", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_leaves_no_socket(config, instance, running, body, number):
    child = running(body)
    assert control_path(config.instance.run_dir, "trader").is_socket()
    child.send_signal(number)
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.OK
    assert out == "closed\n"
    assert row_of(instance, "trader").state == ProcessState.STOPPED
    assert not control_path(config.instance.run_dir, "trader").exists()


@pytest.mark.parametrize("body", ["serve", "worker"])
def test_control_answers_and_shuts_down(config, running, body):
    child = running(body)
    status = ask(config.instance.run_dir, "trader", "status")
    assert (status["state"], status["pid"]) == ("READY", child.pid)
    assert ask(config.instance.run_dir, "trader", "log-level", {"level": "debug"}) == {"level": "debug"}
    with pytest.raises(ControlError, match="level: found 'loud'"):
        ask(config.instance.run_dir, "trader", "log-level", {"level": "loud"})
    ask(config.instance.run_dir, "trader", "shutdown")
    assert child.wait(PATIENCE_S) == ExitCode.OK


def test_a_handler_of_the_process_may_refuse(config, running):
    running("serve")
    with pytest.raises(ControlError, match="trader: not today"):
        ask(config.instance.run_dir, "trader", "refuse")


@pytest.mark.parametrize("body", ["serve", "worker"])
def test_the_heart_beats_about_ten_times_a_second(instance, running, body):
    child = running(body)
    first = row_of(instance, "trader").heartbeat_time_ns
    beats = []
    while len(beats) < 5:
        wait_until(lambda: row_of(instance, "trader").heartbeat_time_ns != (beats[-1] if beats else first), child)
        beats.append(row_of(instance, "trader").heartbeat_time_ns)
    gaps = sorted(after - before for before, after in itertools.pairwise(beats))
    assert 90e6 <= gaps[0] < 500e6


def test_a_second_copy_ends_with_a_sentence_that_names_the_first(config, instance, running):
    first = running("serve")
    second = start(config, "serve")
    _, said = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == ExitCode.ALREADY_RUNNING
    assert re.search(rf"trader already runs as process {first.pid}\b", said)
    assert row_of(instance, "trader").pid == first.pid
    assert ask(config.instance.run_dir, "trader", "status")["pid"] == first.pid


def test_a_crash_is_in_the_log_with_its_traceback_and_has_its_own_exit_code(config, instance):
    child = start(config, "crash")
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.CRASH
    assert "crashed: ZeroDivisionError: a bug" in said
    assert "Traceback" not in said
    row = row_of(instance, "trader")
    assert row.state == ProcessState.FAILED
    assert row.text == b"ZeroDivisionError: a bug"
    lines = [json.loads(line) for line in Path(config.log.directory, "trader.log").read_text().splitlines()]
    assert "ZeroDivisionError" in lines[-1]["traceback"]
    [report] = Path(config.instance.state_dir, "crashes").iterdir()
    assert lines[-1]["message"].endswith(f"; report: {report}")
    found = json.loads(report.read_text())
    assert (found["process"], found["error"]) == ("trader", "ZeroDivisionError: a bug")
    assert any('raise ZeroDivisionError("a bug")' in line for line in found["traceback"])
    assert found["rings"]["log.trader"][-1]["text"] == "READY"


def test_a_hung_loop_that_is_shot_says_where_it_hung(running):
    child = running("worker")
    child.send_signal(signal.SIGABRT)
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert "_turn" in said


def test_a_failure_that_is_understood_is_one_sentence(config, instance):
    child = start(config, "lose_memory")
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.SHARED_MEMORY
    assert said.strip().endswith("segment /x is gone")


@pytest.mark.parametrize("body", ["serve", "worker"])
def test_shared_memory_that_is_removed_under_it_ends_it_in_order_with_its_own_code(instance, running, body):
    child = running(body)
    Segment.remove(instance.segment_name("status"))
    out, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.SHARED_MEMORY
    assert out == "closed\n"
    assert said.count("status was removed while this process used it") == 1


@pytest.mark.parametrize("body", ["never_stop", "slow_worker"])
def test_a_body_that_does_not_stop_is_ended_within_the_bound(running, body):
    child = running(body)
    child.terminate()
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.STOP_TIMEOUT
    assert "trader did not stop within 0.3 s" in said


def test_without_segments_it_says_which_command_makes_them(config):
    child = start(config, "serve")
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == ExitCode.SHARED_MEMORY
    assert "`corelane shm create` makes it" in said


def test_systemd_hears_of_ready_stopping_and_the_watchdog(directory, running):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(PATIENCE_S)
        child = running("worker", NOTIFY_SOCKET=str(directory / "notify"), WATCHDOG_USEC="200000")
        child.terminate()
        heard: list[bytes] = []
        while b"STOPPING=1" not in heard:
            heard += manager.recv(4096).split(b"\n")
        child.communicate(timeout=PATIENCE_S)
    assert b"READY=1" in heard
    assert heard.index(b"READY=1") < heard.index(b"STOPPING=1")
    assert b"WATCHDOG=1" in heard


def test_what_is_stuck_does_not_feed_the_watchdog(config, instance, monkeypatch, tmp_path):
    monkeypatch.setenv("WATCHDOG_USEC", "2")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, AppService("trader", config) as service:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        service.stuck = "order socket"
        service.heartbeat()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
        service.stuck = ""
        service.heartbeat()
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_it_is_pinned_where_the_config_says(write_config, instance):
    core = min(os.sched_getaffinity(0))
    config = load_config(write_config(f"[cores]\ntrader = {{ core = {core} }}\n"))
    child = start(config, "serve")
    try:
        wait_until(lambda: row_of(instance, "trader").state == ProcessState.READY, child)
        assert os.sched_getaffinity(child.pid) == {core}
        assert row_of(instance, "trader").core == core
    finally:
        child.terminate()
        child.communicate(timeout=PATIENCE_S)


def test_its_counters_are_readable_from_outside(instance, running):
    child = running("worker")
    reader = CountersReader(instance.segment("counters.trader"))
    wait_until(lambda: reader.counters().get("heartbeats", 0) >= 2, child)
    snapshot = reader.snapshot()
    assert snapshot["counters"]["turns"] > 0
    assert snapshot["histograms"]["heartbeat_delay"]["count"] >= 2


def test_it_ends_when_its_parent_is_killed(config, instance, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "env = {**os.environ, 'CORELANE_PARENT': str(os.getpid())}\n"
        f"child = subprocess.Popen([sys.executable, {str(BODY)!r}, {config.path!r}, 'trader', 'worker'], env=env)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_until(lambda: row_of(instance, "trader").state == ProcessState.READY)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: row_of(instance, "trader").state == ProcessState.STOPPED)
    wait_until(lambda: not shm_admin.running_processes(instance))


def test_one_whose_parent_is_gone_already_does_not_start(config, instance):
    child = start(config, "serve", CORELANE_PARENT="1" if os.getpid() != 1 else "2")
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 1
    assert row_of(instance, "trader").pid == 0


def test_declaring_counters_twice_is_a_mistake_of_the_code(config, instance):
    with AppService("trader", config, log_to_stderr=False) as service:
        service.declare(["a"])
        with pytest.raises(RuntimeError, match="declared twice"):
            service.declare(["b"])
