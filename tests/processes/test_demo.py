"""The whole set against the embedded venue: books agree to the last digit, and nothing is left behind at any end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processes.demo import _processes_started, _remove_stale
from processes.exit_codes import ExitCode
from shm.segment import Segment

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 90.0


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """The real command; its temporary files are made below `directory`."""
    return subprocess.Popen(
        [sys.executable, "-m", "processes.cli", "demo", "--no-screen", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command_lines() -> list[str]:
    """Of all processes of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.append((entry / "cmdline").read_bytes().decode("utf-8", "replace"))
    return found


def assert_nothing_is_left(pid: int, directory: Path) -> None:
    assert Segment.names(f"/corelane.demo-{pid}.") == []
    assert list(directory.glob("corelane-demo-*")) == []
    assert not [line for line in command_lines() if f"{directory}/corelane-demo-" in line]


def wait_for_line(process: subprocess.Popen[str], word: str) -> str:
    """The first line of its output with this word in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(f"ended without saying {word!r}: {process.communicate()[1]}")


def test_it_trades_agrees_and_reports(directory):
    process = start(directory, "--seconds", "4", "--seed", "3", "--report", str(directory / "demo.json"), "--monitor")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.OK, out + err
    assert "AGREE: our books and the venue's are the same." in out
    assert "The page of the monitor: http://127.0.0.1:" in out
    assert "top -c " in out
    report = json.loads((directory / "demo.json").read_text())
    venue = report["venues"]["binance"]
    assert report["agree"] is True
    assert (report["seed"], report["processes_left"], report["segments_left"]) == (3, 0, 0)
    assert venue["ours"] == venue["venue"]
    assert (venue["orders_differ"], venue["trades_differ"], venue["open_orders_left"]) == (0, 0, 0)
    assert (venue["gaps"], venue["reconcile_corrections"]) == (0, 0)
    assert venue["frames"] > 500
    assert venue["orders"]["accepted"] > 0
    assert venue["orders"]["sent"] >= venue["orders"]["accepted"]
    assert all(count == 0 for count in report["restarts"].values())
    for hop in (
        "frame_to_publish",
        "publish_to_poll",
        "tick_to_request",
        "request_to_poll",
        "poll_to_send",
        "send_to_reply",
    ):
        assert report["latency_ns"][hop]["count"] > 0, hop
    assert_nothing_is_left(process.pid, directory)


def test_a_recording_is_played(directory, corpus):
    recording = corpus / "binance" / "hftbacktest-2024" / "btcusdt_20240808.gz"
    if not recording.is_file():
        pytest.skip(f"no recording: {recording} is not a file")
    process = start(directory, "--seconds", "3", "--recording", str(recording))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.OK, out + err
    assert "AGREE" in out
    assert_nothing_is_left(process.pid, directory)


def test_ctrl_c_ends_the_trading_early_and_the_books_are_still_compared(directory):
    process = start(directory, "--seconds", "600")
    wait_for_line(process, "trading")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.OK, out + err
    assert "AGREE" in out
    assert_nothing_is_left(process.pid, directory)


@pytest.mark.parametrize(("word", "number"), [("starting", signal.SIGINT), ("trading", signal.SIGTERM)])
def test_ended_hard_it_leaves_nothing(directory, word, number):
    process = start(directory, "--seconds", "600")
    wait_for_line(process, word)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.INTERRUPTED
    assert err == "corelane: interrupted; everything was torn down\n"
    assert_nothing_is_left(process.pid, directory)


def test_a_busy_port_is_one_sentence(directory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(directory, "--port", str(port))
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.ADDRESS_IN_USE
    assert str(port) in err
    assert len(err.strip().splitlines()) == 1
    assert_nothing_is_left(process.pid, directory)


def test_a_file_that_is_no_recording_is_one_sentence(directory):
    bad = directory / "bad.gz"
    bad.write_bytes(b"this is not gzip")
    process = start(directory, "--recording", str(bad))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.CONFIG
    assert "is not a gzip file" in err
    assert len(err.strip().splitlines()) == 1
    assert_nothing_is_left(process.pid, directory)


def test_a_killed_demo_leaves_no_process_and_the_next_one_sweeps_its_segments(directory):
    process = start(directory, "--seconds", "600")
    wait_for_line(process, "trading")
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while any(str(directory) in line for line in command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Segment.names(f"/corelane.demo-{process.pid}.")
    _remove_stale()
    assert Segment.names(f"/corelane.demo-{process.pid}.") == []
    assert not list(directory.rglob("*.ctl"))


def test_books_agree_although_the_wire_breaks_and_processes_die(directory):
    """Four processes die and every second something breaks; a plan of 14 s has two deaths or three."""
    arguments = ("--seconds", "14", "--seed", "5", "--fault-plan", "random", "--report", str(directory / "demo.json"))
    process = start(directory, *arguments)
    out, err = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == ExitCode.OK, out + err
    report = json.loads((directory / "demo.json").read_text())
    assert report["agree"] is True
    killed = sum(count["injected"] for kind, count in report["faults"].items() if kind.startswith("kill_"))
    assert killed >= 1
    assert sum(report["restarts"].values()) >= killed
    assert sum(count["injected"] for count in report["faults"].values()) > killed
    assert_nothing_is_left(process.pid, directory)


def test_parameters_code_and_the_trader_itself_are_changed_while_orders_are_open(directory):
    """Two strategies on two symbols; a parameter change, a code swap, a restart that keeps the orders."""
    script = directory / "live.txt"
    script.write_text("1 set-param mm-btcusdt requote_ticks=3\n1.5 swap-strategy mm-ethusdt\n2 restart --keep\n")
    arguments = ("--seconds", "8", "--symbols", "BTCUSDT,ETHUSDT", "--script", str(script))
    process = start(directory, *arguments, "--report", str(directory / "demo.json"))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.OK, out + err
    report = json.loads((directory / "demo.json").read_text())
    assert report["agree"] is True
    assert [one["good"] for one in report["actions"]] == [True, True, True], report["actions"]
    assert all(one["open_orders"] > 0 for one in report["actions"])
    assert report["restarts"]["trader"] == 1
    owners = report["venues"]["binance"]["owners"]
    assert owners["without_owner"] == owners["of_dead_epochs"] == []
    assert len(owners["orders_by_epoch"]) == 2 and owners["orders"] > 0
    assert_nothing_is_left(process.pid, directory)


def test_an_unknown_fault_plan_is_one_sentence(directory):
    process = start(directory, "--fault-plan", "some")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.CONFIG
    assert err.strip() == "corelane: --fault-plan: found 'some', expected none or random or trader"


def test_who_only_watches_a_demo_is_not_taken_for_one_of_its_processes(directory):
    sleep = [
        sys.executable,
        "-c",
        "import sys; print('up', flush=True); sys.stdin.read()",
        f"{directory}/corelane.toml",
    ]
    marked = {**os.environ, "CORELANE_PARENT": str(os.getpid())}
    with contextlib.ExitStack() as stack:
        ours, watcher = (
            stack.enter_context(
                subprocess.Popen(sleep, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for environment in (marked, {**os.environ})
        )
        for process in (ours, watcher):
            wait_for_line(process, "up")
        assert _processes_started() == [ours.pid]
        for process in (ours, watcher):
            process.kill()
