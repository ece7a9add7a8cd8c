"""Control over ZeroMQ: one REP socket per process, JSON both ways. Never for market data or orders.

The rule: a command is answered, always: with its result, or with one sentence that says why not. Handlers run in the
process's own loop, one at a time, so they may touch its state; they return quickly.

    -> {"version": 1, "command": "set-param", "arguments": {"gamma": "0.1"}}
    <- {"version": 1, "process": "trader", "ok": true, "result": {...}}
    <- {"version": 1, "process": "trader", "ok": false, "error": "..."}

Sockets are ipc://<run dir>/<process>.ctl in a directory of mode 0700: who may enter it may command. The server side is
opened by `app_service.py` and `supervisor.py`, the client side is `corelane ctl`, the supervisor and the demo.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import zmq

VERSION = 1
SUFFIX = ".ctl"
MAX_REQUEST_BYTES = 1 << 20
SOCKET_PATH_LIMIT = 107  # sun_path without its final NUL

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlError(Exception):
    """A command that cannot be done, or an answer that did not come: one sentence."""


class CommandRefused(ControlError):
    """The process is there and understood, and does not do it."""


def control_path(run_dir: str | Path, process: str) -> Path:
    return Path(run_dir) / f"{process}{SUFFIX}"


def make_context(housekeeping_cores: Iterable[int] = ()) -> zmq.Context[zmq.Socket[bytes]]:
    """A ZeroMQ context whose threads stay on the given cores; they would otherwise inherit the pinned one."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
    for core in housekeeping_cores:
        context.set(zmq.THREAD_AFFINITY_CPU_ADD, core)  # type: ignore[attr-defined,unused-ignore]
    return context


class ControlServer:
    """The commands of one process. `poll()` answers what has come and never waits: for spin loops and event loops."""

    def __init__(
        self, run_dir: str | Path, process: str, log: logging.Logger, housekeeping_cores: Iterable[int] = ()
    ) -> None:
        """Raises ControlError where the path cannot be bound. Call only under the process's lock: a stale socket file
        of a dead predecessor is replaced."""
        self._process = process
        self._log = log
        self._handlers: dict[str, Handler] = {}
        self.path = control_path(run_dir, process)
        if len(str(self.path)) > SOCKET_PATH_LIMIT:
            raise ControlError(
                f"instance.run_dir: the socket path {self.path} has {len(str(self.path))} characters, "
                f"expected at most {SOCKET_PATH_LIMIT}"
            )
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.chmod(0o700)
        self._context = make_context(housekeeping_cores)
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        try:
            self._socket.bind(f"ipc://{self.path}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ControlError(f"cannot bind the control socket {self.path}: {error.strerror}") from None
        self.on("commands", lambda _: {"commands": sorted(self._handlers)})

    def on(self, command: str, handler: Handler) -> None:
        """Answer `command` with what the handler returns, or with the sentence of the ControlError that it raises."""
        self._handlers[command] = handler

    def fileno(self) -> int:
        """Becomes readable on arrivals, once each: after it did, poll() until it returns 0 (poll does so itself)."""
        return int(self._socket.getsockopt(zmq.FD))

    def poll(self) -> int:
        """Answer everything that waits; the number of commands answered."""
        answered = 0
        while True:
            try:
                request = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return answered
            self._socket.send(json.dumps(self._answer(request), default=str).encode())
            answered += 1

    def _answer(self, request: bytes) -> dict[str, Any]:
        base: dict[str, Any] = {"version": VERSION, "process": self._process}
        try:
            return {**base, "ok": True, "result": self._call(request)}
        except ControlError as error:
            return {**base, "ok": False, "error": str(error)}
        except Exception as error:  # a bug in a handler must not end the process that trades
            self._log.exception("control command failed")
            return {**base, "ok": False, "error": f"{type(error).__name__}: {error}"}

    def _call(self, request: bytes) -> dict[str, Any]:
        try:
            message = json.loads(request)
        except ValueError:
            raise ControlError("the command is not JSON") from None
        if not isinstance(message, dict) or message.get("version") != VERSION:
            raise ControlError(f"expected an object with version {VERSION}")
        command, arguments = message.get("command"), message.get("arguments", {})
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            raise ControlError(f"unknown command {command!r}; expected one of {', '.join(sorted(self._handlers))}")
        if not isinstance(arguments, dict):
            raise ControlError(f"arguments of {command}: expected an object")
        return handler(arguments)

    def close(self) -> None:
        """Unbind and remove the socket file. Idempotent."""
        self._context.destroy(linger=0)
        self.path.unlink(missing_ok=True)


def ask(
    run_dir: str | Path,
    process: str,
    command: str,
    arguments: dict[str, Any] | None = None,
    timeout_s: float = 2.0,
) -> dict[str, Any]:
    """Send one command and wait for its answer; returns the result. Raises ControlError with one sentence:
    CommandRefused where the process answered, and the answer is no."""
    path = control_path(run_dir, process)
    if not path.exists():
        raise ControlError(f"{process} is not running: no socket {path}")
    context = make_context()
    try:
        socket = context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{path}")
        socket.send(json.dumps({"version": VERSION, "command": command, "arguments": arguments or {}}).encode())
        if not socket.poll(int(timeout_s * 1000)):
            raise ControlError(f"{process} did not answer within {timeout_s:g} s")
        reply = json.loads(socket.recv())
    finally:
        context.destroy(linger=0)
    if not reply.get("ok"):
        raise CommandRefused(f"{process}: {reply.get('error')}")
    result = reply.get("result")
    return result if isinstance(result, dict) else {}


def running(run_dir: str | Path) -> list[str]:
    """Processes that have a control socket here, by name; one of a killed process may be among them."""
    return sorted(path.name.removesuffix(SUFFIX) for path in Path(run_dir).glob(f"*{SUFFIX}"))
