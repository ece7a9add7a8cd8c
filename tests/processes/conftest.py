"""Configs and instances of their own for tests that start processes."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from exchanges.binance.simulator import SimulatorServer
from processes import shm_admin
from processes.config import Config, load_config
from processes.control import ControlServer, Handler
from tests.exchanges.binance.simulator_client import Client, venue
from tests.processes.engine_place import Place, Places

MINIMAL = """
[instance]
name = "{name}"
number = 77
run_dir = "run"
state_dir = "state"

[venues.binance]
symbols = ["BTCUSDT"]
market_ring_slots = 1024

[simulators.binance]
port = {port}
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory with a short path: socket paths have a limit of 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="cl-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def write_config(directory: Path) -> Callable[..., Path]:
    """Writes a config of an instance of its own; `extra` is appended as it is."""

    def write(extra: str = "", port: int = 19999) -> Path:
        path = directory / "corelane.toml"
        path.write_text(
            MINIMAL.format(name=f"t{os.getpid()}-{directory.name[3:].lower().replace('_', '-')}", port=port) + extra
        )
        return path

    return write


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Iterator[Config]:
    """A minimal config whose segments, if any were made, are removed afterwards."""
    loaded = load_config(write_config())
    yield loaded
    shm_admin.instance_of(loaded).remove()


@pytest.fixture
async def market() -> AsyncIterator[tuple[SimulatorServer, Client]]:
    """Binance's simulator in the test's own loop, and a client of its own."""
    async with venue() as (server, client):
        yield server, client


@pytest.fixture
async def places(directory: Path, market: tuple[SimulatorServer, Client]) -> AsyncIterator[Places]:
    """Makes sets with one engine or position server at that venue."""
    made: list[Place] = []

    def make(**options: object) -> Place:
        made.append(Place(directory, market[0], **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for place in made:
        await place.close()


@pytest.fixture
def answering() -> Iterator[Callable[[Config, str, dict[str, Handler]], None]]:
    """Lets nothing but the control socket of a process be there: answering(config, process, {command: handler})."""
    ended, threads = threading.Event(), list[threading.Thread]()

    def serve(config: Config, process: str, handlers: dict[str, Handler]) -> None:
        server = ControlServer(config.instance.run_dir, process, logging.getLogger("test"), {0})
        for command, handler in handlers.items():
            server.on(command, handler)

        def turn() -> None:
            while not ended.wait(0.01):
                server.poll()
            server.close()

        threads.append(threading.Thread(target=turn))
        threads[-1].start()

    yield serve
    ended.set()
    for thread in threads:
        thread.join()
