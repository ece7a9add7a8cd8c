"""The drill: everything of ours is gone at the venue after one command, with the engine alive, dead or stopped, and
with nothing of the set there at all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from exchanges.binance.simulator import SimulatorServer
from processes import cli, cli_kill_switch, emergency, stalls
from processes.config import Config, load_config
from processes.exit_codes import ExitCode, Failure
from processes.kill_switch import Command, KillSwitch, is_on
from shm.layout import EventType, Word, client_order_id
from shm.segment import Segment
from tests.exchanges.binance.simulator_client import Client, venue
from tests.processes.engine_place import NUMBER, ROOT, Place

RUNNER = CliRunner()
ORDERS = 100
FOREIGN = "somebody-elses-order"


@pytest.fixture
async def market() -> AsyncIterator[tuple[SimulatorServer, Client]]:
    async with venue() as (server, client):
        yield server, client


@pytest.fixture
async def place(directory: Path, market: tuple[SimulatorServer, Client]) -> AsyncIterator[Place]:
    made = Place(directory, market[0])
    yield made
    await made.close()


async def corelane(file: Path, *words: str) -> tuple[int, dict[str, Any], str, float]:
    """Exit code, result, stderr, and how long it took as a shell would see it."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "processes.cli", *words, "--json", "-c", str(file),
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(said or b"{}"), complained.decode(), time.monotonic() - started


def open_ids(server: SimulatorServer) -> list[str]:
    return [order.client_order_id for order in server.exchange.open_orders(next(iter(server.exchange.accounts)))]


async def hundred(place: Place) -> None:
    for number in range(ORDERS):
        place.new(price=6_170_000 - 10 * number)
        if number % 20 == 19:
            await place.until(lambda: count(place, EventType.ACCEPTED) > number)  # noqa: B023
    await place.until(lambda: count(place, EventType.ACCEPTED) == ORDERS)


def count(place: Place, kind: EventType) -> int:
    return sum(getattr(event, "event_type", None) == kind for event in place.events)


async def foreign_order(client: Client) -> None:
    assert (await client.order("BUY", "0.010", "60000.00", newClientOrderId=FOREIGN))[0] == 200


def show(name: str, result: dict[str, Any], shell_s: float) -> None:
    facts = result["venues"]["binance"]
    times = f"gone after {facts['gone_after_s']:.3f} s, verified after {facts['verified_after_s']:.3f} s"
    print(f"\n{name}: {facts['canceled_by_command']} by the command; {times}, {shell_s:.2f} s in the shell")


async def test_a_hundred_orders_are_gone_while_the_engine_lives(
    place: Place, market: tuple[SimulatorServer, Client]
) -> None:
    await place.recovered()
    await hundred(place)
    assert len(open_ids(market[0])) == ORDERS
    code, result, errors, shell_s = await corelane(place.file, "kill-switch", "on")
    assert (code, errors) == (ExitCode.OK, "")
    facts = result["venues"]["binance"]
    assert open_ids(market[0]) == []
    assert facts["left"] == []
    assert facts["verified_after_s"] > facts["gone_after_s"]
    assert facts["canceled_by_command"] + facts["ended_by_others"] == facts["orders_seen"]
    assert facts["canceled_in_engine"] == ORDERS
    await place.until(lambda: count(place, EventType.CANCELED) == ORDERS)
    show("engine alive", result, shell_s)


async def test_a_hundred_orders_are_gone_with_the_engine_killed_and_the_segments_lost(
    place: Place, market: tuple[SimulatorServer, Client]
) -> None:
    server, client = market
    engine = await place.recovered()
    await hundred(place)
    await foreign_order(client)
    engine.kill()
    await engine.wait()
    place.trader_alive = False
    place.instance.remove()  # as after a reboot
    code, result, errors, shell_s = await corelane(place.file, "kill-switch", "on")
    assert (code, errors) == (ExitCode.OK, "")
    facts = result["venues"]["binance"]
    assert (facts["orders_seen"], facts["canceled_by_command"], facts["ended_by_others"]) == (ORDERS, ORDERS, 0)
    assert open_ids(server) == [FOREIGN]
    assert is_on(KillSwitch(place.instance.state_dir).generation())
    assert not Segment.names(place.instance.segment_name(""))
    show("engine killed", result, shell_s)


async def test_an_engine_stopped_between_its_last_look_and_the_send_is_named_and_pulls_what_it_sends_later(
    place: Place, market: tuple[SimulatorServer, Client], directory: Path
) -> None:
    server, _ = market
    held = directory / "stalls"
    held.mkdir()
    engine = await place.start(**{stalls.VARIABLE: str(held)})
    await place.recover()
    await hundred(place)
    (held / "engine.guarded").write_text("0")
    late = place.new(price=6_160_000)
    await place.until((held / "engine.guarded.reached").exists)
    assert place.row().pid == engine.pid
    code, result, errors, shell_s = await corelane(place.file, "kill-switch", "on")
    assert code == ExitCode.NO_ANSWER
    assert "trading_engine.binance lives and has not obeyed" in errors
    assert result["venues"]["binance"]["canceled_by_command"] == ORDERS
    assert open_ids(server) == []
    engine.send_signal(signal.SIGCONT)
    # Nobody could know at the last look. The venue takes it, and it is pulled; or it was signed too long ago by then.
    await place.until(lambda: {EventType.CANCELED, EventType.REJECTED} & set(place.kinds(late)))
    await place.until(lambda: place.row().kill_switch_echo == place.words.load(Word.KILL_SWITCH))
    assert open_ids(server) == []
    show("engine stopped", result, shell_s)


CONFIG = """
[instance]
name = "{name}"
number = {number}
run_dir = "{folder}/run"
state_dir = "{folder}/state"
[venues.binance]
symbols = ["BTCUSDT"]
environment = "simulator"
rest_url = "{rest}"
stream_url = "{stream}"
ws_api_url = "{stream}"
receive_window_ms = 100
"""


@pytest.fixture
def bare(directory: Path, market: tuple[SimulatorServer, Client]) -> Path:
    """A config of an instance of which nothing was ever made."""
    return bare_config(directory, market[0].rest_url, market[0].stream_url)


def bare_config(directory: Path, rest: str, stream: str) -> Path:
    file = directory / "corelane.toml"
    name = f"k{os.getpid()}-{directory.name[3:].lower().replace('_', '-')}"
    file.write_text(CONFIG.format(name=name, number=NUMBER, folder=directory, rest=rest, stream=stream))
    return file


async def test_flatten_closes_the_position_with_nothing_but_the_venue_there(
    bare: Path, market: tuple[SimulatorServer, Client]
) -> None:
    server, client = market
    ours = str(client_order_id(NUMBER, 1, 1, 1))
    assert (await client.order("BUY", "0.010", "61000.00", newClientOrderId=ours))[0] == 200
    await foreign_order(client)
    assert (await client.order("BUY", "0.250"))[0] == 200
    command = Command(time.monotonic_ns(), 1, {})
    result = await asyncio.to_thread(emergency.flatten, load_config(bare), command, 5.0)
    assert result.code == ExitCode.OK
    (there,) = result.venues
    assert there.flat is not None
    assert [(row.symbol, row.quantity) for row in there.flat.found] == [("BTCUSDT", "0.250")]
    assert there.flat.left == []
    rows = (await client.call("GET", "/fapi/v3/positionRisk"))[1]
    assert [float(row["positionAmt"]) for row in rows] == [0.0]  # listed for the order of somebody else
    assert open_ids(server) == [FOREIGN]


@pytest.mark.parametrize("typed", ["", "no\n", "flatten live\n"])
def test_flatten_without_the_word_does_nothing(config: Config, typed: str) -> None:
    result = RUNNER.invoke(cli.app, ["flatten", "-c", config.path], input=typed)
    assert isinstance(result.exception, Failure)
    assert str(result.exception) == f'flatten: found {typed.strip()!r}, expected "flatten"; nothing was done'
    assert not is_on(KillSwitch(config.instance.state_dir).generation())


def test_on_a_live_venue_yes_alone_is_not_the_word(config: Config) -> None:
    venues = {"binance": msgspec.structs.replace(config.venues["binance"], environment="live")}
    live = msgspec.structs.replace(config, venues=venues)
    with pytest.raises(Failure, match="binance is live, where --yes alone is not enough; expected --live too"):
        cli_kill_switch._ask(live, yes=True, live=False)
    cli_kill_switch._ask(live, yes=True, live=True)


def test_a_venue_that_does_not_answer_is_one_sentence_and_the_switch_is_on_all_the_same(directory: Path) -> None:
    file = bare_config(directory, "http://127.0.0.1:9", "ws://127.0.0.1:9")
    result = RUNNER.invoke(cli.app, ["kill-switch", "on", "--patience", "0.5", "-c", str(file)])
    assert result.exit_code == ExitCode.VENUE
    assert "  binance: not known what is open\n" in result.stdout
    assert result.stderr.startswith("corelane: binance: GET http://127.0.0.1:9/fapi/v1/openOrders: ")
    assert result.stderr.count("\n") == 1
    assert is_on(KillSwitch(load_config(file).instance.state_dir).generation())
