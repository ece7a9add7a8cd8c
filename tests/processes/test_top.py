"""`corelane top` on a real terminal: it draws, takes keys, and leaves the terminal as it found it, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import shm_admin
from processes.config import load_config
from processes.exit_codes import ExitCode
from processes.set_watch import SetWatch
from shm.layout import EventType, OrderState
from shm.segment import SegmentError
from tests.processes.observed_set import ObservedSet

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[2]
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def observed(write_config: Callable[..., Path]) -> Iterator[ObservedSet]:
    made = ObservedSet(load_config(write_config()))
    made.all_ready()
    made.book()
    made.strategy(position=20)
    made.event(1, EventType.ACCEPTED, OrderState.OPEN)
    yield made
    made.close()


class OnTerminal:
    """`corelane top` on a pseudo terminal of its own."""

    def __init__(self, observed: ObservedSet, columns: int = 80, rows: int = 24) -> None:
        self.outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(inner)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "processes.cli", "top", "--config", observed.config.path, "--interval", "0.1"],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        self.inner = inner
        self.seen = b""

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, self.seen[-3000:].decode("utf-8", "replace")
            if select.select([self.outer], [], [], 0.05)[0]:
                self.seen += os.read(self.outer, 65536)

    def shows(self, text: str) -> None:
        """Wait until the text stands in a picture that was drawn from now on."""
        start = len(self.seen)
        self.until(lambda: text.encode() in self.seen[start:])

    def press(self, keys: str) -> None:
        os.write(self.outer, keys.encode())

    def ends(self) -> int:
        """Wait for its end, taking what it still draws; the exit code."""
        self.until(lambda: self.process.poll() is not None)
        while select.select([self.outer], [], [], 0)[0]:
            self.seen += os.read(self.outer, 65536)
        return int(self.process.returncode)

    def restored(self) -> bool:
        return termios.tcgetattr(self.inner) == self.before and self.seen.rindex(LEFT) > self.seen.rindex(ENTERED)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.outer)
        os.close(self.inner)


@pytest.fixture
def terminal(observed: ObservedSet) -> Iterator[OnTerminal]:
    made = OnTerminal(observed)
    yield made
    made.close()


def test_it_draws_takes_keys_and_ends_on_q_with_the_terminal_as_it_was(terminal: OnTerminal) -> None:
    terminal.shows("binance:BTCUSDT")
    assert termios.tcgetattr(terminal.inner) != terminal.before
    terminal.press("2")
    terminal.shows("position_server.binance")
    terminal.press("?")
    terminal.shows("Keys")
    terminal.press("x")
    terminal.press("3")
    terminal.shows("no fill yet")
    terminal.press(" ")
    terminal.shows("HELD")
    terminal.press(" +")
    terminal.press("\x1b[B")
    terminal.press("q")
    assert terminal.ends() == ExitCode.OK
    assert terminal.restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_the_terminal_as_it_was(terminal: OnTerminal, number: signal.Signals) -> None:
    terminal.shows("corelane")
    terminal.process.send_signal(number)
    assert terminal.ends() == ExitCode.OK
    assert terminal.restored()
    assert b"Traceback" not in terminal.seen


def test_ctrl_z_gives_the_terminal_back_and_going_on_takes_it_again(terminal: OnTerminal) -> None:
    """Without a shell above it nobody could wake it again, so the kernel lets it go on at once; a shell stops it."""
    terminal.shows("corelane")
    terminal.process.send_signal(signal.SIGTSTP)
    terminal.until(lambda: terminal.seen.count(ENTERED) == 2)
    assert terminal.seen.index(LEFT) < terminal.seen.rindex(ENTERED)
    terminal.press("q")
    assert terminal.ends() == ExitCode.OK
    assert terminal.restored()


def test_without_a_terminal_it_prints_one_picture(observed: ObservedSet) -> None:
    command = [sys.executable, "-m", "processes.cli", "top", "--config", observed.config.path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=True, encoding="utf-8"
    )
    assert "binance:BTCUSDT" in ended.stdout
    assert "\x1b" not in ended.stdout
    ended = subprocess.run([*command, "--json"], capture_output=True, timeout=PATIENCE_S, env=environment, check=True)
    told = json.loads(ended.stdout)
    assert told["snapshot"]["instance"] == observed.config.instance.name
    assert set(told) == {"snapshot", "problems"}


def test_a_set_that_does_not_run_is_one_sentence(write_config: Callable[..., Path]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "processes.cli", "top", "--config", str(write_config())],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == ExitCode.SHARED_MEMORY
    assert ended.stderr.startswith("corelane: ")
    assert "Traceback" not in ended.stderr


def test_a_set_that_goes_away_is_noticed_and_found_again(observed: ObservedSet) -> None:
    watch = SetWatch(observed.config)
    first = watch.look()
    assert first is not None
    observed.instance.close()
    shm_admin.instance_of(observed.config).remove()
    assert watch.look() is None
    watch.follow()
    assert watch.look() is None
    again = ObservedSet(observed.config)
    again.book(200.0, 200.1)
    second = watch.look()
    assert second is not None
    assert second.snapshot.venues[0].markets[0].bid == 200.0
    watch.close()
    again.close()
    with pytest.raises(SegmentError):
        SetWatch(observed.config)
