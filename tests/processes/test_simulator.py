"""The simulator as a process: serves what the config asks, ends on SIGTERM, says in one sentence why it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import shm_admin
from processes.config import Config, load_config
from processes.exit_codes import ExitCode
from shm.layout import ProcessState
from shm.records import ProcessRow
from shm.table import TableReader

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 60.0


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def prepared(write_config: Callable[..., Path], port: int) -> Iterator[Callable[[str], Config]]:
    """Loads a config with these extra lines of [simulators.binance] and makes its segments."""
    made: list[Config] = []

    def prepare(extra: str = "") -> Config:
        config = load_config(write_config(extra, port))
        shm_admin.create(config)
        made.append(config)
        return config

    yield prepare
    for config in made:
        shm_admin.instance_of(config).remove()


def start(config: Config, venue: str = "binance") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "processes.cli", "simulator", venue, "-c", config.path],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def state(config: Config, venue: str = "binance") -> int:
    row = ProcessRow()
    instance = shm_admin.instance_of(config)
    TableReader(instance.segment("status")).read(instance.process_row(f"simulator.{venue}"), row)
    return int(row.state)


def until_ready(process: subprocess.Popen[bytes], config: Config, venue: str = "binance") -> None:
    until = time.monotonic() + TIMEOUT_S
    while state(config, venue) != ProcessState.READY:
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < until
        time.sleep(0.01)


def ask(port: int, path: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        return json.loads(response.read())


def ends(process: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    """Exit code and what it said on standard error."""
    _, said = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, said.decode().strip().splitlines()


def test_it_becomes_ready_serves_what_the_config_asks_and_ends_on_sigterm(
    prepared: Callable[[str], Config], port: int
) -> None:
    config = prepared('seed = 9\nwallet_balance = "1234.5"\ntaker_fee = "0.0004"\n')
    process = start(config)
    try:
        until_ready(process, config)
        assert ask(port, "/admin/health")["flows"][0] | {"position_s": 0, "delivered": 0} == {
            "symbols": ["BTCUSDT"],
            "kind": "generator",
            "state": "playing",
            "delivered": 0,
            "position_s": 0,
            "failure": None,
        }
        truth = ask(port, "/admin/truth")
        assert {account["wallet_balance"] for account in truth["accounts"].values()} == {"1234.5"}
        process.send_signal(signal.SIGTERM)
        code, said = ends(process)
        assert (code, [line for line in said if "Traceback" in line]) == (ExitCode.OK, [])
        assert state(config) == ProcessState.STOPPED
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        ('recording = "nowhere.gz"\n', ExitCode.CONFIG, "nowhere.gz"),
        ('recording = "{plain}"\n', ExitCode.CONFIG, "is not a gzip file"),
    ],
)
def test_a_bad_recording_ends_it_with_one_sentence(
    prepared: Callable[[str], Config], directory: Path, extra: str, code: ExitCode, words: str
) -> None:
    plain = directory / "plain.gz"
    plain.write_text("not gzip")
    config = prepared(extra.replace("{plain}", str(plain)))
    found, said = ends(start(config))
    assert found == code
    assert sum(words in line for line in said) >= 1
    assert not any("Traceback" in line for line in said)


def test_a_busy_port_ends_it_with_one_sentence_and_a_code_of_its_own(
    prepared: Callable[[str], Config], port: int
) -> None:
    config = prepared("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found, said = ends(start(config))
    assert found == ExitCode.ADDRESS_IN_USE
    assert any(f"127.0.0.1:{port} is busy" in line for line in said)
    assert not any("Traceback" in line for line in said)


DERIBIT = """
[instance]
name = "{name}"
number = 77
run_dir = "run"
state_dir = "state"

[venues.deribit]
symbols = ["BTC-PERPETUAL"]

[simulators.deribit]
port = {port}
wallet_balance = "122000"
maker_fee = "0"
"""


@pytest.fixture
def deribit(directory: Path, port: int) -> Iterator[Callable[[str], Config]]:
    """Loads a config of a Deribit simulator with these extra lines and makes its segments."""
    made: list[Config] = []

    def prepare(extra: str = "") -> Config:
        path = directory / "corelane.toml"
        name = f"d{os.getpid()}-{directory.name[3:].lower().replace('_', '-')}"
        path.write_text(DERIBIT.format(name=name, port=port) + extra)
        made.append(load_config(path))
        shm_admin.create(made[-1])
        return made[-1]

    yield prepare
    for config in made:
        shm_admin.instance_of(config).remove()


def test_the_deribit_simulator_serves_what_its_section_asks(deribit: Callable[[str], Config], port: int) -> None:
    config = deribit("option_chain = true\n")
    process = start(config, "deribit")
    try:
        until_ready(process, config, "deribit")
        rows = ask(port, "/api/v2/public/get_instruments?currency=BTC")["result"]
        assert "BTC-PERPETUAL" in [row["instrument_name"] for row in rows]
        assert sum(row["kind"] == "option" for row in rows) == 20
        (account,) = ask(port, "/admin/truth")["accounts"].values()
        assert account["currencies"]["BTC"]["wallet_balance"] == "2"
        process.send_signal(signal.SIGTERM)
        code, said = ends(process)
        assert (code, [line for line in said if "Traceback" in line]) == (ExitCode.OK, [])
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_recording_for_the_deribit_simulator_is_refused_in_one_sentence(deribit: Callable[[str], Config]) -> None:
    config = deribit("")
    path = Path(config.path)
    path.write_text(path.read_text() + 'recording = "x.gz"\n')
    found, said = ends(start(config, "deribit"))
    assert found == ExitCode.CONFIG
    assert any("simulators.deribit.recording" in line for line in said) and not any(
        "Traceback" in line for line in said
    )


# --- GRVT -------------------------------------------------------------------------------------------------------------
GRVT = """
[instance]
name = "{name}"
run_dir = "run"
state_dir = "state"

[venues.grvt]
symbols = ["ETH_USDT_Perp"]
account = "77"

[simulators.grvt]
port = {port}
"""


@pytest.fixture
def grvt(directory: Path, port: int) -> Iterator[Config]:
    """A config of a GRVT simulator, with its segments."""
    path = directory / "corelane.toml"
    name = f"g{os.getpid()}-{directory.name[3:].lower().replace('_', '-')}"
    path.write_text(GRVT.format(name=name, port=port))
    config = load_config(path)
    shm_admin.create(config)
    yield config
    shm_admin.instance_of(config).remove()


def test_the_grvt_simulator_serves_the_configured_symbols_and_account(grvt: Config, port: int) -> None:
    process = start(grvt, "grvt")
    try:
        until_ready(process, grvt, "grvt")
        assert ask(port, "/time")["server_time"] > 1_700_000_000_000
        assert ask(port, "/admin/health")["flows"][0]["symbols"] == ["ETH_USDT_Perp"]
        assert list(ask(port, "/admin/truth")["accounts"]) == ["77"]
        process.send_signal(signal.SIGTERM)
        code, said = ends(process)
        assert (code, [line for line in said if "Traceback" in line]) == (ExitCode.OK, [])
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
