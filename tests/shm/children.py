"""Child processes for tests: a function run in a forked copy, its result by pipe, ended whatever happens to the test.

A fork and not a fresh interpreter: it starts in milliseconds. The tests that use it run no threads at that time.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any


class ChildFailed(AssertionError):
    """The child raised, or died where it was to live."""


class Child:
    """One forked process that runs `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, core: int | None = None) -> None:
        read_end, write_end = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read_end)
            status = 1
            try:
                if core is not None:
                    with contextlib.suppress(OSError):
                        os.sched_setaffinity(0, {core})
                result = (True, function(*arguments))
                status = 0
            except BaseException:
                result = (False, traceback.format_exc())
            with contextlib.suppress(OSError), os.fdopen(write_end, "wb") as stream:
                pickle.dump(result, stream)
            os._exit(status)
        os.close(write_end)
        self._read_end = read_end
        self._status: int | None = None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap(10.0)

    def wait_killed(self, timeout_s: float = 30.0) -> None:
        """Wait for a child that kills itself. ChildFailed where it ended in another way."""
        self._reap(timeout_s)
        if self._status != -signal.SIGKILL:
            raise ChildFailed(f"child ended with {self._status}, a SIGKILL was expected\n{self._output()}")

    def result(self, timeout_s: float = 60.0) -> Any:
        """What the function returned. ChildFailed with its traceback where it raised."""
        # Read first: a result larger than the pipe's buffer keeps the child alive until it is read.
        output = self._output()
        self._reap(timeout_s)
        if not isinstance(output, tuple):
            raise ChildFailed(f"child {self.pid} ended with {self._status} and said nothing")
        good, value = output
        if not good:
            raise ChildFailed(f"child {self.pid} failed:\n{value}")
        return value

    @property
    def running(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is None

    @property
    def killed(self) -> bool:
        """Ended by kill -9: ours, or its own."""
        return not self.running and self._status == -signal.SIGKILL

    def close(self) -> None:
        self.kill()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _output(self) -> Any:
        if self._read_end < 0:
            return None
        with os.fdopen(self._read_end, "rb") as stream:
            self._read_end = -1
            data = stream.read()
        return pickle.loads(data) if data else None

    def _reap(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                raise ChildFailed(f"child {self.pid} still runs after {timeout_s} s")
            time.sleep(0.0005)


@contextlib.contextmanager
def children() -> Iterator[Callable[..., Child]]:
    """`start(function, *arguments, core=None)` within the block; every child is gone after it."""
    started: list[Child] = []

    def start(function: Callable[..., Any], *arguments: Any, core: int | None = None) -> Child:
        child = Child(function, *arguments, core=core)
        started.append(child)
        return child

    try:
        yield start
    finally:
        for child in started:
            child.close()
