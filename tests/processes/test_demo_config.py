"""What the demo writes is a config like any other, and its options are checked before anything starts."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from processes import demo_config
from processes.config import load_config
from processes.demo_config import MARKET_MAKING, DemoOptions, check_options, free_port, render
from processes.exit_codes import ExitCode, Failure

HEDGE = "strategy.quote_and_hedge:QuoteAndHedgeStrategy"
HEDGED = {"order_quantity": 0.02, "maximum_position": 0.05}
BOTH = ("BTCUSDT", "ETHUSDT")


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


def test_an_own_strategy_trades_all_symbols_with_its_parameters(directory):
    file = directory / "own.py"
    file.write_text(
        "import msgspec\n"
        "from strategy.abstract_strategy import AbstractStrategy\n"
        "class MyOwn(AbstractStrategy):\n"
        "    class Parameters(msgspec.Struct):\n"
        "        size: float\n"
        "        fast: bool = False\n"
        "        word: str = ''\n"
    )
    given = {"size": 0.5, "fast": True, "word": 'a "b"'}
    options = DemoOptions(symbols=("ETHUSDT", "BTCUSDT"), strategies=(f"{file}:MyOwn",), parameters=given)
    check_options(options)
    path = directory / "c.toml"
    path.write_text(render(options, None, 12345, "demo-1"), encoding="utf-8")
    [strategy] = load_config(path).strategies
    assert (strategy.name, strategy.module) == ("my-own", f"{file}:MyOwn")
    assert (strategy.instruments, strategy.parameters) == (["binance:ETHUSDT", "binance:BTCUSDT"], given)
    assert strategy.limits.max_order_quantity == "0.400"


def test_several_strategies_trade_their_symbols_with_the_parameters_that_they_have(directory):
    options = DemoOptions(
        symbols=("BTCUSDT", "ETHUSDT"),
        strategies=(f"{MARKET_MAKING}@BTCUSDT", f"{MARKET_MAKING}@BTCUSDT", HEDGE),
        parameters={"risk_aversion": 0.01} | HEDGED,
    )
    check_options(options)
    path = directory / "c.toml"
    path.write_text(render(options, None, 12345, "demo-1"), encoding="utf-8")
    first, second, third = load_config(path).strategies
    assert [first.id, second.id, third.id] == [1, 2, 3]
    assert [first.name, second.name, third.name] == ["mm-btcusdt", "mm-btcusdt-2", "quote-and-hedge-strategy"]
    assert first.instruments == ["binance:BTCUSDT"] and len(third.instruments) == 2
    assert first.parameters == {"order_quantity": 0.02, "risk_aversion": 0.01}
    assert third.parameters == {"order_quantity": 0.02, "maximum_position": 0.05}


def test_parameters_alone_are_those_of_market_making(directory):
    options = DemoOptions(symbols=("BTCUSDT", "ETHUSDT"), parameters={"risk_aversion": 0.01})
    check_options(options)
    path = directory / "c.toml"
    path.write_text(render(options, None, 12345, "demo-1"), encoding="utf-8")
    assert [one.parameters for one in load_config(path).strategies] == [
        {"order_quantity": 0.01, "risk_aversion": 0.01},
        {"order_quantity": 0.2, "risk_aversion": 0.01},
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (DemoOptions(strategies=("gone.py:One",)), "--strategy: .*there is no file"),
        (DemoOptions(strategies=("own.py",)), "--strategy: .*expected"),
        (DemoOptions(parameters={"sze": 1}), "--set: parameter 'sze' is not known"),
        (DemoOptions(strategies=("gone.py:One", "own.py")), "--strategy: .*there is no file"),
        (DemoOptions(strategies=(f"{MARKET_MAKING}@ETHUSDT",)), "--strategy: found @ETHUSDT, expected some of BTCUSDT"),
        (
            DemoOptions(strategies=(MARKET_MAKING, HEDGE), symbols=BOTH, parameters=HEDGED | {"sze": 1}),
            "--set: parameter 'sze' is not known to any of the strategies",
        ),
        (DemoOptions(parameters={"order_quantity": -1}), "--set: parameter order_quantity is -1"),
        (DemoOptions(parameters={"order_quantity": None}), "--set order_quantity: found None, expected a number"),
    ],
)
def test_a_strategy_that_cannot_be_is_said_before_anything_starts(options, sentence):
    with pytest.raises(Failure, match=sentence) as caught:
        check_options(options)
    assert caught.value.code is ExitCode.CONFIG


def test_each_exchange_has_its_symbols_its_simulator_and_its_servers_on_cores(tmp_path: Path) -> None:
    options = DemoOptions(exchanges=("binance", "deribit"), symbols=("BTCUSDT", "BTC-PERPETUAL"))
    check_options(options)
    path = tmp_path / "demo.toml"
    path.write_text(render(options, None, 12345, "demo-1"), encoding="utf-8")
    config = load_config(path)
    assert {name: venue.symbols for name, venue in config.venues.items()} == {
        "binance": ["BTCUSDT"], "deribit": ["BTC-PERPETUAL"],
    }  # fmt: skip
    assert config.venues["deribit"].settle_currency == "BTC"
    assert config.simulators["binance"].port == 12345 != config.simulators["deribit"].port
    (pair,) = config.strategies
    assert (pair.module, pair.instruments) == (HEDGE, ["binance:BTCUSDT", "deribit:BTC-PERPETUAL"])
    assert pair.parameters == {"order_quantity": 0.01, "maximum_position": 0.03, "price_from": "hedge"}
    assert "trading_engine.deribit" in config.cores


def test_the_first_venue_is_the_quoted_one_and_more_symbols_are_made_markets_in(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"

    def strategies(*symbols: str) -> list[list[str]]:
        options = DemoOptions(exchanges=("deribit", "binance"), symbols=symbols)
        check_options(options)
        path.write_text(render(options, None, 12345, "demo-1"), encoding="utf-8")
        return [strategy.instruments for strategy in load_config(path).strategies]

    assert strategies("BTCUSDT", "BTC-PERPETUAL") == [["deribit:BTC-PERPETUAL", "binance:BTCUSDT"]]
    assert strategies("BTCUSDT", "ETHUSDT", "BTC-PERPETUAL") == [
        ["binance:BTCUSDT"], ["binance:ETHUSDT"], ["deribit:BTC-PERPETUAL"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exchanges": ("kraken",)}, "--exchange: found 'kraken', expected some of binance, deribit"),
        ({"exchanges": ()}, "--exchange: expected at least one venue"),
        ({"exchanges": ("deribit",)}, "--symbols: found 'BTCUSDT', expected some of BTC-PERPETUAL, ETH-PERPETUAL"),
        ({"exchanges": ("binance", "deribit")}, "--symbols: found none of deribit"),
    ],
)
def test_a_mistake_about_exchanges_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure, match=re.escape(message)):
        check_options(DemoOptions(**changes))


def test_with_the_monitor_the_set_has_one_more_process_and_a_page(directory, monkeypatch):
    monkeypatch.setattr(demo_config, "free_port", lambda: 12346)
    path = directory / "corelane.toml"
    path.write_text(render(DemoOptions(monitor=True), None, 12345, "demo-1"), encoding="utf-8")
    config = load_config(path)
    assert config.processes()[0] == "monitor"
    assert config.monitor.port in (9464, 12346)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then another one has it, which is as good
            taken.bind(("127.0.0.1", 9464))
            taken.listen()
        path.write_text(render(DemoOptions(monitor=True), None, 12345, "demo-1"), encoding="utf-8")
        assert load_config(path).monitor.port == 12346
