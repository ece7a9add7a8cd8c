"""The market server as a process of its own: the simulator's sockets on one side, shared memory on the other."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exchanges.binance.simulator import SimulatorOptions, SimulatorServer, serve
from processes import shm_admin
from processes.config import load_config
from processes.exit_codes import ExitCode
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import ConnectionState, ProcessState
from shm.records import BookRow, ProcessRow
from shm.ring import BroadcastReader
from shm.table import TableReader

ROOT = Path(__file__).parent.parent.parent


class Place:
    """One instance's segments, and market servers started in it."""

    def __init__(self, folder: Path, rest: str, stream: str, symbols: list[str]) -> None:
        self.file = folder / "corelane.toml"
        self.file.write_text(
            f"""
            [instance]
            name = "m{os.getpid()}-{folder.name[3:].lower().replace("_", "-")}"
            number = 99
            run_dir = "{folder / "run"}"
            state_dir = "{folder / "state"}"
            [venues.binance]
            symbols = {symbols}
            stale_after_ms = 30000
            rest_url = "{rest}"
            stream_url = "{stream}"
            ws_api_url = "{stream}"
            [log]
            directory = "{folder / "log"}"
            """
        )
        self.config = load_config(self.file)
        shm_admin.create(self.config)
        self.instance: Instance = shm_admin.instance_of(self.config)
        self.running: list[Process] = []

    async def start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "processes.cli", "market-server", "binance", "-c", str(self.file),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.running.append(process)
        return process

    def row(self) -> ProcessRow:
        row = ProcessRow()
        reader = TableReader(self.instance.segment("status"))
        reader.read(self.instance.process_row("market_server.binance"), row)
        return row

    def book(self, symbol: str) -> BookRow:
        row = BookRow()
        assert TableReader(self.instance.segment("binance.books")).read(
            self.instance.instruments("binance").row(symbol), row
        )
        return row

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                assert all(process.returncode is None for process in self.running), await self.errors()
                await asyncio.sleep(0.01)

    async def errors(self) -> str:
        assert self.running[-1].stderr is not None
        return (await self.running[-1].stderr.read()).decode()

    async def close(self) -> None:
        for process in self.running:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.instance.close()
        self.instance.remove()


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    server = await serve(SimulatorOptions(symbols=("BTCUSDT", "ETHUSDT"), seed=3, speed=2.0))
    yield server
    await server.close()


@pytest.fixture
async def places(directory: Path, simulator: SimulatorServer) -> AsyncIterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(
        rest: str = simulator.rest_url, stream: str = simulator.stream_url, symbols: str = "BTCUSDT ETHUSDT"
    ) -> Place:
        made.append(Place(directory, rest, stream, symbols.split()))
        return made[-1]

    yield make
    for place in made:
        await place.close()


Places = Callable[..., Place]


async def test_it_is_ready_with_live_books_and_withdraws_them_at_the_end(places: Places) -> None:
    place = places()
    process = await place.start()
    reader = BroadcastReader(place.instance.segment("binance.market"))
    await place.until(lambda: place.row().state == ProcessState.READY)
    await place.until(lambda: all(place.book(symbol).valid for symbol in ("BTCUSDT", "ETHUSDT")))
    await place.until(lambda: reader.poll() is not None)
    await place.until(lambda: list(place.row().connection_states[:2]) == [ConnectionState.UP] * 2)
    assert place.row().connection_receive_time_ns[0] > 0
    snapshot = CountersReader(place.instance.segment("counters.market_server.binance")).snapshot()
    for name in ("frames", "gaps", "book_checks", "book_agree", "malformed", "reconnects"):
        assert name in snapshot["counters"]
    assert snapshot["histograms"]["frame_to_publish"]["count"] > 0
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == ExitCode.OK
    assert place.row().state == ProcessState.STOPPED
    assert [place.book(symbol).valid for symbol in ("BTCUSDT", "ETHUSDT")] == [0, 0]
    assert place.row().connection_states[0] == ConnectionState.DOWN


async def test_a_killed_server_comes_back_with_the_next_epoch(places: Places) -> None:
    place = places(symbols="BTCUSDT")
    first = await place.start()
    await place.until(lambda: place.row().state == ProcessState.READY and place.book("BTCUSDT").valid)
    assert place.book("BTCUSDT").epoch == 1
    first.kill()
    await first.wait()
    place.running.clear()
    await place.start()
    await place.until(lambda: place.book("BTCUSDT").epoch == 2 and place.book("BTCUSDT").valid)


async def test_a_wrong_symbol_is_one_sentence_and_the_code_of_a_config_mistake(places: Places) -> None:
    place = places(symbols="BTCUSDT BTCUSTD")
    process = await place.start()
    errors = await asyncio.wait_for(place.errors(), 60)
    assert await process.wait() == ExitCode.CONFIG
    assert "the venue has no symbol 'BTCUSTD', it has BTCUSDT" in errors
    assert "Traceback" not in errors


async def test_an_unreachable_venue_is_said_and_waited_for(places: Places) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = places(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    process = await place.start()
    await place.until(lambda: place.row().state == ProcessState.CONNECTING and b"no instruments" in place.row().text)
    process.send_signal(signal.SIGTERM)
    errors = await asyncio.wait_for(place.errors(), 60)
    assert await process.wait() == ExitCode.OK
    assert "next try in" in errors
    assert "Traceback" not in errors


async def test_a_second_copy_ends_with_a_sentence_and_disturbs_nothing(places: Places) -> None:
    place = places(symbols="BTCUSDT")
    await place.start()
    await place.until(lambda: place.row().state == ProcessState.READY)
    second = await place.start()
    errors = await asyncio.wait_for(place.errors(), 60)
    assert await second.wait() == ExitCode.ALREADY_RUNNING
    assert "Traceback" not in errors
    place.running.remove(second)
    assert place.book("BTCUSDT").valid
