"""What the demo writes is a config like any other, and its options are checked before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from processes.config import load_config
from processes.demo_config import DemoOptions, check_options, free_port, render
from processes.exit_codes import ExitCode, Failure


def test_what_is_written_can_be_read(directory):
    recording = directory / 'a "strange" name.gz'
    options = DemoOptions(seed=9, speed=2.5, symbols=("BTCUSDT", "ETHUSDT"))
    path = directory / "c.toml"
    path.write_text(render(options, recording, 12345, "demo-1"), encoding="utf-8")
    config = load_config(path)
    simulator = config.simulators["binance"]
    assert (simulator.port, simulator.seed, simulator.speed) == (12345, 9, 2.5)
    assert simulator.recording == str(recording)
    assert config.venues["binance"].symbols == ["BTCUSDT", "ETHUSDT"]
    assert [strategy.instruments for strategy in config.strategies] == [["binance:BTCUSDT"], ["binance:ETHUSDT"]]
    assert set(config.venues["binance"].risk.max_position) == {"BTCUSDT", "ETHUSDT"}


def test_a_recording_is_found_with_or_without_its_venue(directory):
    file = directory / "r.gz"
    file.write_bytes(b"")
    assert check_options(DemoOptions(recordings=(str(file),))) == file
    assert check_options(DemoOptions(recordings=(f"binance={file}",))) == file
    assert check_options(DemoOptions()) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (DemoOptions(recordings=("gone.gz",)), "gone.gz is not a file"),
        (DemoOptions(recordings=("kraken=x.gz",)), "found venue 'kraken', expected binance"),
        (DemoOptions(recordings=(__file__, __file__)), "found a second file for binance"),
        (DemoOptions(symbols=("XRPUSDT",)), "found 'XRPUSDT', expected some of BTCUSDT, ETHUSDT"),
        (DemoOptions(symbols=()), "expected at least one symbol"),
        (DemoOptions(symbols=("BTCUSDT", "BTCUSDT")), "each once"),
        (DemoOptions(report=Path("/nowhere/x.json")), "the directory /nowhere does not exist"),
    ],
)
def test_a_bad_option_is_one_sentence(options, sentence):
    with pytest.raises(Failure, match=sentence) as caught:
        check_options(options)
    assert caught.value.code is ExitCode.CONFIG


def test_a_free_port_can_be_bound():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
