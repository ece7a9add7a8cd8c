"""A command is always answered: with its result, or with one sentence."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from processes.control import ControlError, ControlServer, ask, control_path, running


@pytest.fixture
def server(directory) -> Iterator[ControlServer]:
    made = ControlServer(directory / "run", "trader", logging.getLogger("test"))
    yield made
    made.close()


@contextmanager
def polling(server: ControlServer) -> Iterator[None]:
    """Turns the server's poll() in another thread, as a process's loop would."""
    done = threading.Event()

    def loop() -> None:
        while not done.wait(0.001):
            server.poll()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_command_is_answered_with_its_result(server, directory):
    server.on("add", lambda arguments: {"sum": arguments["a"] + arguments["b"]})
    with polling(server):
        assert ask(directory / "run", "trader", "add", {"a": 2, "b": 3}) == {"sum": 5}


def test_an_unknown_command_is_told_what_is_known(server, directory):
    with polling(server), pytest.raises(ControlError, match="unknown command 'jump'; expected one of commands"):
        ask(directory / "run", "trader", "jump")


def test_what_a_handler_refuses_reaches_the_asker(server, directory):
    def refuse(_arguments):
        raise ControlError("gamma: found -1, expected a number above 0")

    server.on("set-param", refuse)
    with polling(server), pytest.raises(ControlError, match="gamma: found -1, expected a number above 0"):
        ask(directory / "run", "trader", "set-param")


def test_a_bug_in_a_handler_does_not_end_the_process(server, directory):
    server.on("bug", lambda _arguments: {}["missing"])
    with polling(server):
        with pytest.raises(ControlError, match="KeyError"):
            ask(directory / "run", "trader", "bug")
        assert "bug" in ask(directory / "run", "trader", "commands")["commands"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"\xff", "not JSON"),
        (b"[]", "expected an object with version 1"),
        (b'{"version": 2, "command": "commands"}', "expected an object with version 1"),
        (b'{"version": 1}', "unknown command None"),
        (b'{"version": 1, "command": "commands", "arguments": 3}', "expected an object"),
    ],
)
def test_malformed_requests_get_an_error_reply(server, raw, sentence):
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(f"ipc://{server.path}")
    try:
        socket.send(raw)
        with polling(server):
            assert socket.poll(5000)
        reply = json.loads(socket.recv())
    finally:
        context.destroy(linger=0)
    assert reply["ok"] is False
    assert reply["version"] == 1
    assert sentence in reply["error"]


def test_an_event_loop_is_woken_for_each_of_many_commands(server, directory):
    server.on("echo", lambda arguments: arguments)

    async def main() -> list[dict[str, int]]:
        loop = asyncio.get_running_loop()
        loop.add_reader(server.fileno(), server.poll)
        try:
            return await asyncio.gather(
                *(asyncio.to_thread(ask, directory / "run", "trader", "echo", {"n": n}, 10.0) for n in range(20))
            )
        finally:
            loop.remove_reader(server.fileno())

    assert [answer["n"] for answer in asyncio.run(main())] == list(range(20))


def test_polling_without_commands_returns_at_once(server):
    assert server.poll() == 0


def test_only_the_owner_may_enter_the_directory(server):
    assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700


def test_a_process_that_does_not_run_is_one_sentence(directory):
    with pytest.raises(ControlError, match="trader is not running: no socket"):
        ask(directory, "trader", "status")


def test_a_process_that_does_not_answer_is_one_sentence(server, directory):
    with pytest.raises(ControlError, match=r"did not answer within 0\.05 s"):
        ask(directory / "run", "trader", "status", timeout_s=0.05)


def test_the_socket_goes_with_the_server_and_a_stale_one_is_replaced(directory):
    path = control_path(directory, "trader")
    path.touch()
    first = ControlServer(directory, "trader", logging.getLogger("test"))
    assert running(directory) == ["trader"]
    first.close()
    first.close()
    assert not path.exists()


def test_a_run_directory_too_deep_for_a_socket_is_one_sentence(directory):
    deep = directory / ("d" * 120)
    with pytest.raises(ControlError, match="expected at most 107"):
        ControlServer(deep, "trader", logging.getLogger("test"))
