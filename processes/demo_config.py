"""The config of a demo: one instance of its own in a temporary directory, written as TOML like any other.

The rule: the demo has no way of its own to configure; what it writes here goes through `load_config` in every process.
Numbers of the strategy fit a perpetual of about 60,000 (BTC) or 2,500 (ETH). Called by `demo.py`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from processes.config_schema import MonitorConfig
from processes.exit_codes import ExitCode, Failure
from processes.fault_plan import PLANS
from strategy import parameters
from strategy.loader import StrategyLoadError, load_strategy_class

RECORDED = "binance"
"""The venue whose simulator plays recordings."""
INSTANCE_NUMBER = 101
SYMBOLS = {
    "binance": ("BTCUSDT", "ETHUSDT"),
    "deribit": ("BTC-PERPETUAL", "ETH-PERPETUAL"),
    "grvt": ("BTC_USDT_Perp", "ETH_USDT_Perp"),
}
"""What can be traded on each venue; the first is traded where nobody names any."""
VENUE_OF = {symbol: venue for venue, symbols in SYMBOLS.items() for symbol in symbols}
ORDER_QUANTITY = {
    "BTCUSDT": "0.010", "ETHUSDT": "0.200",
    "BTC-PERPETUAL": "600", "ETH-PERPETUAL": "500",
    "BTC_USDT_Perp": "0.010", "ETH_USDT_Perp": "0.200",
}  # fmt: skip
"""Per symbol: about 600 and 500 dollars an order; inverse contracts count dollars."""
SETTLE = {"deribit": "BTC"}
"""Where it is not the config's default."""


@dataclass(frozen=True)
class DemoOptions:
    """What `corelane demo` was asked for."""

    seconds: float = 60.0
    recordings: tuple[str, ...] = ()
    seed: int = 1
    speed: float = 1.0
    report: Path | None = None
    screen: bool = True
    symbols: tuple[str, ...] = ("BTCUSDT",)
    keep: bool = False
    port: int | None = None
    """The simulator's; None: a free one."""
    fault_plan: str = "none"
    """One of `fault_plan.PLANS`."""
    strategies: tuple[str, ...] = ()
    """"file.py:Class" or "package.module:Class" each, on all symbols in their order, or on those behind an "@". Empty:
    with one symbol on each of two venues, one strategy that quotes the first against the second's mid and hedges there;
    else market making, one strategy a symbol."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As in the config; each strategy gets those that it has."""
    script: Path | None = None
    """Live actions, see demo_script.py."""
    exchanges: tuple[str, ...] = ("binance",)
    monitor: bool = False
    """Run the monitor too, on its usual port where that is free."""


MARKET_MAKING = "strategy.market_making:MarketMakingStrategy"
QUOTE_AND_HEDGE = "strategy.quote_and_hedge:QuoteAndHedgeStrategy"


def check_options(options: DemoOptions) -> Path | None:
    """The recording to play, absolute, or None for the generator. Raises Failure with one sentence."""
    if options.fault_plan not in PLANS:
        known = " or ".join(PLANS)
        raise Failure(f"--fault-plan: found {options.fault_plan!r}, expected {known}", ExitCode.CONFIG)
    for exchange in options.exchanges:
        if exchange not in SYMBOLS:
            known = ", ".join(SYMBOLS)
            raise Failure(f"--exchange: found {exchange!r}, expected some of {known}", ExitCode.CONFIG)
    if len(set(options.exchanges)) != len(options.exchanges) or not options.exchanges:
        raise Failure("--exchange: expected at least one venue, each once", ExitCode.CONFIG)
    for symbol in options.symbols:
        if VENUE_OF.get(symbol) not in options.exchanges:
            known = ", ".join(name for exchange in options.exchanges for name in SYMBOLS[exchange])
            raise Failure(f"--symbols: found {symbol!r}, expected some of {known}", ExitCode.CONFIG)
    if len(set(options.symbols)) != len(options.symbols) or not options.symbols:
        raise Failure("--symbols: expected at least one symbol, each once", ExitCode.CONFIG)
    if idle := [exchange for exchange in options.exchanges if not _symbols_at(exchange, options)]:
        raise Failure(f"--symbols: found none of {', '.join(idle)}, expected at least one a venue", ExitCode.CONFIG)
    if options.report is not None and not options.report.absolute().parent.is_dir():
        raise Failure(f"--report: the directory {options.report.absolute().parent} does not exist", ExitCode.CONFIG)
    _check_strategies(options)
    found: dict[str, Path] = {}
    for text in options.recordings:
        name, separator, rest = text.partition("=")
        venue, file = (name, rest) if separator and "/" not in name else (RECORDED, text)
        if venue != RECORDED or venue not in options.exchanges:
            raise Failure(f"--recording: found venue {venue!r}, expected {RECORDED}", ExitCode.CONFIG)
        if venue in found:
            raise Failure(f"--recording: found a second file for {venue}, expected one a venue", ExitCode.CONFIG)
        path = Path(file).absolute()
        if not path.is_file():
            raise Failure(f"--recording: {file} is not a file, expected a recording", ExitCode.CONFIG)
        found[venue] = path
    return found.get(RECORDED)


def default_symbols(exchanges: tuple[str, ...]) -> tuple[str, ...]:
    """One of each venue."""
    return tuple(SYMBOLS[exchange][0] for exchange in exchanges if exchange in SYMBOLS)


def _symbols_at(exchange: str, options: DemoOptions) -> list[str]:
    return [symbol for symbol in options.symbols if VENUE_OF.get(symbol) == exchange]


@dataclass(frozen=True)
class _Chosen:
    """One strategy that shall trade."""

    name: str
    module: str
    symbols: list[str]
    parameters: dict[str, Any]


def _check_strategies(options: DemoOptions) -> None:
    """Load each here once: a mistake is said before anything starts."""
    for key, value in options.parameters.items():
        if not isinstance(value, bool | int | float | str):
            raise Failure(f"--set {key}: found {value!r}, expected a number, a text, true or false", ExitCode.CONFIG)
    taken: set[str] = set()
    for chosen in _chosen(options):
        for symbol in chosen.symbols:
            if symbol not in options.symbols:
                known = ", ".join(options.symbols)
                raise Failure(f"--strategy: found @{symbol}, expected some of {known}", ExitCode.CONFIG)
        try:
            kind = load_strategy_class(chosen.module).Parameters
            parameters.build(kind, chosen.parameters)
        except StrategyLoadError as error:
            raise Failure(f"--strategy: {error}", ExitCode.CONFIG) from None
        except parameters.ParameterError as error:
            raise Failure(f"--set: {error}", ExitCode.CONFIG) from None
        taken |= chosen.parameters.keys()
    for key in options.parameters.keys() - taken:
        raise Failure(f"--set: parameter {key!r} is not known to any of the strategies", ExitCode.CONFIG)


def _chosen(options: DemoOptions) -> list[_Chosen]:
    """The strategies with their symbols and parameters."""
    if not options.strategies and len(options.exchanges) == len(options.symbols) == 2:
        pair = [symbol for exchange in options.exchanges for symbol in _symbols_at(exchange, options)]
        return [_Chosen("pair", QUOTE_AND_HEDGE, pair, _pair_parameters(pair[0], options))]
    if not options.strategies:
        return [
            _Chosen(_maker_of(symbol), MARKET_MAKING, [symbol], _parameters_of(MARKET_MAKING, [symbol], options))
            for symbol in options.symbols
        ]
    found: list[_Chosen] = []
    for text in options.strategies:
        module, colon, rest = text.rpartition(":")
        kind, at, own = rest.partition("@")
        spec, symbols = f"{module}{colon}{kind}", own.split(",") if at else list(options.symbols)
        name = _maker_of(symbols[0]) if spec == MARKET_MAKING else _name_of(kind)
        same = sum(one.name.rstrip("0123456789").rstrip("-") == name for one in found)
        found.append(
            _Chosen(f"{name}-{same + 1}" if same else name, spec, symbols, _parameters_of(spec, symbols, options))
        )
    return found


def _pair_parameters(quoted: str, options: DemoOptions) -> dict[str, Any]:
    quantity = Decimal(ORDER_QUANTITY[quoted])
    own = {"order_quantity": float(quantity), "maximum_position": float(3 * quantity), "price_from": "hedge"}
    return own | dict(options.parameters)


def _parameters_of(module: str, symbols: list[str], options: DemoOptions) -> dict[str, Any]:
    """With one strategy every parameter is meant for it; of several, each takes those that it has."""
    given = dict(options.parameters)
    if len(options.strategies) > 1:
        try:
            known = {field.name for field in msgspec.structs.fields(load_strategy_class(module).Parameters)}
        except StrategyLoadError as error:
            raise Failure(f"--strategy: {error}", ExitCode.CONFIG) from None
        given = {key: value for key, value in given.items() if key in known}
    if module == MARKET_MAKING and symbols[0] in ORDER_QUANTITY:
        given = {"order_quantity": float(ORDER_QUANTITY[symbols[0]]), **given}
    return given


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def render(options: DemoOptions, recording: Path | None, port: int, instance: str) -> str:
    """The TOML text. port: the first venue's; further ones listen on free ones."""
    lines = [
        "[instance]",
        f"name = {_text(instance)}",
        f"number = {INSTANCE_NUMBER}",
        'run_dir = "run"',
        'state_dir = "state"',
        "",
    ]
    for index, exchange in enumerate(options.exchanges):
        lines += _venue(exchange, options, recording, free_port() if index else port)
    if options.monitor:
        lines += ["[observers]", "monitor = true", "", "[monitor]", f"port = {_monitor_port()}", ""]
    lines += _cores(options.exchanges)
    for number, chosen in enumerate(_chosen(options), start=1):
        lines += _strategy(number, chosen)
    return "\n".join(lines) + "\n"


def _monitor_port() -> int:
    """The one that a bookmark knows, or a free one where another set has it."""
    usual = MonitorConfig().port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one is free
        try:
            probe.bind(("127.0.0.1", usual))
        except OSError:
            return free_port()
    return usual


def _venue(exchange: str, options: DemoOptions, recording: Path | None, port: int) -> list[str]:
    symbols = _symbols_at(exchange, options)
    played: list[str] = []
    if recording is not None and exchange == RECORDED:
        played = [f"recording = {_text(str(recording))}", f"speed = {options.speed}"]
    return [
        f"[venues.{exchange}]",
        f"symbols = {_text(symbols)}",
        *([f"settle_currency = {_text(SETTLE[exchange])}"] if exchange in SETTLE else []),
        "",
        f"[venues.{exchange}.risk]",
        f"max_order_quantity = {_table({symbol: _times(symbol, 2) for symbol in symbols})}",
        'max_order_notional = "5000"',
        f"max_position = {_table({symbol: _times(symbol, 10) for symbol in symbols})}",
        "max_open_orders = 20",
        "max_orders_per_second = 50.0",
        "collar = 0.02",
        "",
        f"[simulators.{exchange}]",
        f"port = {port}",
        f"seed = {options.seed}",
        *played,
        "",
    ]


def _absolute(spec: str) -> str:
    """The config stands in another directory than the user."""
    module, _, name = spec.rpartition(":")
    return f"{Path(module).expanduser().absolute()}:{name}" if module.endswith(".py") else spec


def _name_of(kind: str) -> str:
    """QuoteAndHedge -> quote-and-hedge, as the config wants names."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind).lower()
    return re.sub(r"[^a-z0-9]+", "-", words)[:24].strip("-") or "strategy"


def _maker_of(symbol: str) -> str:
    """BTC_USDT_Perp -> mm-btc-usdt-perp."""
    return "mm-" + symbol.lower().replace("_", "-")


def _strategy(number: int, chosen: _Chosen) -> list[str]:
    """Its limits are one for all its symbols: those of the one with the largest order; the engine's are per symbol."""
    largest = max(chosen.symbols, key=lambda symbol: Decimal(ORDER_QUANTITY[symbol]))
    return [
        "[[strategies]]",
        f"id = {number}",
        f"name = {_text(chosen.name)}",
        f"module = {_text(_absolute(chosen.module))}",
        f"instruments = {_text([f'{VENUE_OF[symbol]}:{symbol}' for symbol in chosen.symbols])}",
        f"parameters = {_table(chosen.parameters)}",
        "",
        "[strategies.limits]",
        f"max_order_quantity = {_text(_times(largest, 2))}",
        'max_order_notional = "5000"',
        f"max_position = {_text(_times(largest, 5))}",
        "max_orders_per_second = 20.0",
        "max_open_orders = 8",
        'max_loss = "500"',
        "price_band = 0.01",
        "",
    ]


def _cores(exchanges: tuple[str, ...]) -> list[str]:
    """The trader and the hot servers spread over what this process may use; everything waits politely."""
    cores = sorted(os.sched_getaffinity(0))
    hot = ("market_server", "trading_engine")
    processes = [*(f"{role}.{exchange}" for exchange in exchanges for role in hot), "trader"]
    lines = ["[cores]"]
    for index, process in enumerate(processes):
        lines.append(f'{_text(process)} = {{ core = {cores[(index + 1) % len(cores)]}, wait = "backoff" }}')
    return [*lines, ""]


def _times(symbol: str, factor: int) -> str:
    return str(Decimal(ORDER_QUANTITY[symbol]) * factor)


def _text(value: object) -> str:
    """A text, a number, true, false, or a list of texts as TOML: all are written as JSON writes them."""
    return json.dumps(value, ensure_ascii=False)


def _table(values: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{_text(key)} = {_text(value)}" for key, value in values.items()) + " }"
