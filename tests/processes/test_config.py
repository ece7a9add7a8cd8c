"""The config is right or it is refused, with every mistake in one report."""

from __future__ import annotations

import contextlib
import copy
import os
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.config import Config, ConfigError, config_path, load_config
from processes.config_example import text as example
from processes.config_reading import substitute

STRATEGY = """
[[strategies]]
id = 1
name = "mm"
module = "mine.py:Mine"
instruments = ["binance:BTCUSDT"]
[strategies.limits]
max_order_quantity = "0.01"
max_order_notional = "1000"
max_position = "0.05"
max_orders_per_second = 5
max_open_orders = 4
max_loss = "100"
"""


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return caught.value.problems


def test_a_minimal_file_gives_a_complete_tree_with_absolute_paths(write_config: Callable[..., Path]) -> None:
    path = write_config(STRATEGY)
    config = load_config(path)
    assert config.path == str(path)
    assert config.instance.state_dir == str(path.parent / "state")
    assert config.log.directory == str(path.parent / "state" / "log")
    assert config.venues["binance"].rest_url == "http://127.0.0.1:19999"
    assert config.venues["binance"].stream_url == "ws://127.0.0.1:19999"
    assert config.strategies[0].module == f"{path.parent}/mine.py:Mine"
    assert config.core("trader").core is None


def test_processes_come_in_start_order(config: Config) -> None:
    assert config.processes() == [
        "simulator.binance",
        "market_server.binance",
        "trading_engine.binance",
        "position_server.binance",
        "trader",
    ]


def test_the_monitor_has_a_port_of_its_own(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config("[observers]\nmonitor = true\n"))
    assert config.processes()[0] == "monitor"
    assert config.monitor.host == "127.0.0.1"
    assert problems_of(write_config("[observers]\nmonitor = true\n[monitor]\nport = 19999\n")) == [
        "simulators.binance.port: found 19999, that of monitor, expected another"
    ]
    assert load_config(write_config("[monitor]\nport = 19999\n")).monitor.port == 19999  # nobody listens there


def test_what_the_monitor_serves_and_tells_is_checked(write_config: Callable[..., Path]) -> None:
    found = problems_of(
        write_config(
            '[monitor]\nhost = "0.0.0.0"\nwebhook = "https://hooks.example/x"\ncommand = "page-me"\n'
            'least_severity = "bad"\nmin_interval_s = -1.0\n'
        )
    )
    assert found == [
        'monitor.host: found "0.0.0.0", expected one of 127.0.0.1, ::1, localhost',
        'monitor.webhook: found a text that is not shown here, expected the name of a URL, like "alerts", '
        "not the URL itself",
        'monitor.command: found "page-me", expected a list',
        'monitor.least_severity: found "bad", expected one of warning, critical',
        "monitor.min_interval_s: found -1.0, expected a number from 0 to 86400",
    ]


def test_every_mistake_is_in_one_report(write_config: Callable[..., Path]) -> None:
    found = problems_of(
        write_config(
            """
[log]
level = "loud"
colour = true
[trader]
heartbeat_timeout_ms = "soon"
[cores]
trader = { core = 1.5 }
"""
        )
    )
    assert found == [
        'log.level: found "loud", expected one of debug, info, warning, error',
        "log.colour: unknown key; expected one of directory, file_level, journald, level",
        'trader.heartbeat_timeout_ms: found "soon", expected a whole number from 300 to 60000',
        "cores.trader.core: found 1.5, expected a whole number from 0",
    ]


def test_an_unknown_key_names_the_near_one(write_config: Callable[..., Path]) -> None:
    assert problems_of(write_config("[trader]\nheartbeat_timeuot_ms = 500\n")) == [
        'trader.heartbeat_timeuot_ms: unknown key; did you mean "heartbeat_timeout_ms"?'
    ]


@pytest.mark.parametrize(
    ("top", "of_venue", "tables", "sentence"),
    [
        ("", 'logn = "secret"', "", 'venues.binance.logn: unknown key; did you mean "login"?'),
        ("", "", '[monitor]\nwebhok = "x"', 'monitor.webhok: unknown key; did you mean "webhook"?'),
        ("", "", "[moniter]\nport = 1", 'moniter: unknown key; did you mean "monitor"?'),
        (
            'path = "x"', "", "", "path: unknown key; expected one of cores, instance, log, monitor, observers, "
            "recorder, simulators, strategies, trader, venues",
        ),
    ],
)  # fmt: skip
def test_a_slip_in_a_newer_key_is_named_too(
    directory: Path, top: str, of_venue: str, tables: str, sentence: str
) -> None:
    path = directory / "corelane.toml"
    venue = f'[venues.binance]\nsymbols = ["BTCUSDT"]\n{of_venue}\n[simulators.binance]\nport = 1\n'
    path.write_text(f"{top}\n{venue}{tables}\n")
    assert problems_of(path) == [sentence]


def test_mistakes_of_types_and_of_rules_are_in_one_report(write_config: Callable[..., Path]) -> None:
    found = problems_of(
        write_config(
            """
[log]
level = "loud"
[trader]
hartbeat_timeout_ms = 1000
[cores]
trader = { core = 0, wait = "spin" }
market_server.binance = { core = 0, wait = "spin" }
position_server.binance = { core = "two" }
trading_engine.deribit = { core = 0 }
"""
        )
    )
    assert found == [
        'log.level: found "loud", expected one of debug, info, warning, error',
        'trader.hartbeat_timeout_ms: unknown key; did you mean "heartbeat_timeout_ms"?',
        'cores.position_server.binance.core: found "two", expected a whole number from 0',
        "cores.market_server.binance.core: 0 is the core of trader and both spin, expected another core or wait",
        'cores.trading_engine.deribit: no such process in this file; did you mean "trading_engine.binance"?',
    ]


def test_what_may_follow_from_a_mistake_beside_it_is_not_told(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config('[cores]\ntrader = { cor = 0, wait = "spin" }\n'))
    assert found == ['cores.trader.cor: unknown key; did you mean "core"?']


def test_a_secret_that_was_pasted_where_a_name_belongs_is_not_shown(directory: Path) -> None:
    path = directory / "corelane.toml"
    path.write_text(
        '[venues.binance]\nsymbols = ["BTCUSDT"]\ncredentials = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgw"\n'
        'rest_url = "http://somebody:hunter2@127.0.0.1:1"\n[simulators.binance]\nport = 1\n'
    )
    found = problems_of(path)
    assert [one.partition(":")[0] for one in found] == ["venues.binance.credentials", "venues.binance.rest_url"]
    assert "vmPU" not in str(found)
    assert "hunter2" not in str(found)


def test_missing_keys_are_named_with_what_was_expected(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config('[[strategies]]\nid = 1\nname = "mm"\n'))
    assert "strategies[0].limits: missing, expected a table" in found
    assert 'strategies[0].module: missing, expected "package.module:Class" or "file.py:Class"' in found


def test_a_table_where_text_belongs_is_one_sentence(write_config: Callable[..., Path]) -> None:
    assert problems_of(write_config("[trader.request_deadline_ms]\nx = 1\n")) == [
        "trader.request_deadline_ms: found a table, expected a whole number from 1 to 60000"
    ]


def test_environment_variables_stand_in_for_texts_and_numbers(
    write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLINE", "250")
    monkeypatch.setenv("LEVEL", "debug")
    config = load_config(
        write_config(
            '[trader]\nrequest_deadline_ms = "${DEADLINE}"\n[log]\nlevel = "${LEVEL}"\ndirectory = "${L:-logs}"\n'
        )
    )
    assert config.trader.request_deadline_ms == 250
    assert config.log.level == "debug"
    assert config.log.directory.endswith("/logs")


def test_a_missing_variable_is_told_once(write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    found = problems_of(write_config('[trader]\nrequest_deadline_ms = "${NOT_THERE}"\n'))
    assert found == [
        "trader.request_deadline_ms: the environment has no NOT_THERE; expected it to be set, or ${NOT_THERE:-default}"
    ]


def test_a_number_as_text_is_refused_unless_it_came_from_the_environment(write_config: Callable[..., Path]) -> None:
    assert len(problems_of(write_config('[trader]\nrequest_deadline_ms = "250"\n'))) == 1


def test_two_spinning_processes_on_one_core_are_refused(write_config: Callable[..., Path]) -> None:
    found = problems_of(
        write_config(
            '[cores]\ntrader = { core = 0, wait = "spin" }\nmarket_server.binance = { core = 0, wait = "spin" }\n'
        )
    )
    assert found == [
        "cores.market_server.binance.core: 0 is the core of trader and both spin, expected another core or wait"
    ]


def test_two_processes_that_wait_may_share_a_core(write_config: Callable[..., Path]) -> None:
    config = load_config(
        write_config('[cores]\ntrader = { core = 0 }\n"market_server.binance" = { core = 0, wait = "spin" }\n')
    )
    assert config.core("market_server.binance").wait == "spin"


def test_a_core_that_this_machine_lacks_is_refused(write_config: Callable[..., Path]) -> None:
    missing = (os.cpu_count() or 1) + 100
    assert "expected one of this machine" in problems_of(write_config(f"[cores]\ntrader = {{ core = {missing} }}\n"))[0]


def test_spinning_needs_a_core_of_its_own(write_config: Callable[..., Path]) -> None:
    assert 'found "spin" without a core' in problems_of(write_config('[cores]\ntrader = { wait = "spin" }\n'))[0]


def test_a_process_that_does_not_exist_cannot_be_placed(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config("[cores]\ntrading_engine.deribit = { core = 0 }\n"))
    assert found[0].startswith("cores.trading_engine.deribit: no such process in this file")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("id = 1", "id = 0"), "strategies[0].id: found 0, expected a whole number from 1 and below 256"),
        (("BTCUSDT", "BTCUSD"), 'strategies[0].instruments[0]: "BTCUSD" is not in venues.binance.symbols'),
        (("binance:", "kraken:"), 'strategies[0].instruments[0]: no venue "kraken" in this file'),
        (('"0.01"', "0.01"), 'max_order_quantity: found 0.01, expected a decimal number as text, like "0.010"'),
    ],
)
def test_a_strategy_must_fit_the_rest_of_the_file(
    write_config: Callable[..., Path], change: tuple[str, str], sentence: str
) -> None:
    assert sentence in problems_of(write_config(STRATEGY.replace(*change)))[0]


def test_strategy_ids_and_names_are_their_own(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config(STRATEGY + STRATEGY))
    assert found == [
        'strategies[1].id: found 1, which is "mm"; expected an id of its own',
        'strategies[1].name: found "mm" a second time, expected a name of its own',
    ]


def test_live_trading_needs_the_explicit_word(directory: Path) -> None:
    path = directory / "c.toml"
    path.write_text('[venues.binance]\nsymbols = ["BTCUSDT"]\nenvironment = "live"\n')
    assert problems_of(path) == [
        'venues.binance.environment: found "live", expected i_understand_live_trading = true beside it'
    ]


def test_a_strategy_never_mixes_live_with_others(directory: Path) -> None:
    path = directory / "c.toml"
    path.write_text(
        '[venues.binance]\nsymbols = ["BTCUSDT"]\nenvironment = "live"\ni_understand_live_trading = true\n'
        '[venues.deribit]\nsymbols = ["BTC-PERPETUAL"]\nenvironment = "testnet"\n'
        + STRATEGY.replace('["binance:BTCUSDT"]', '["binance:BTCUSDT", "deribit:BTC-PERPETUAL"]')
    )
    assert "found live venues beside testnet" in problems_of(path)[0]


def test_no_instance_is_called_what_all_instances_share(write_config: Callable[..., Path]) -> None:
    path = write_config()
    path.write_text(path.read_text().replace('name = "t', 'name = "host" # "t', 1))
    assert problems_of(path) == [
        'instance.name: found "host", expected another: it names what all instances of a host share'
    ]


def test_leverage_is_expected_of_configured_symbols_only(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config("[venues.binance.expect]\nleverage = { BTCUSD = 5 }\n"))
    assert found == [
        'venues.binance.expect.leverage.BTCUSD: not one of venues.binance.symbols; did you mean "BTCUSDT"?'
    ]
    assert problems_of(write_config('[venues.binance.expect]\nmargin_mode = "crossed"\n')) == [
        'venues.binance.expect.margin_mode: found "crossed", expected one of cross, isolated'
    ]


def test_ring_sizes_are_powers_of_two(directory: Path) -> None:
    path = directory / "c.toml"
    path.write_text('[venues.binance]\nsymbols = ["BTCUSDT"]\nenvironment = "testnet"\nevent_ring_slots = 1000\n')
    assert problems_of(path) == ["venues.binance.event_ring_slots: found 1000, expected a power of two like 1024"]


def test_the_engines_risk_names_every_symbol(write_config: Callable[..., Path]) -> None:
    found = problems_of(
        write_config(
            '[venues.binance.risk]\nmax_order_quantity = { BTCUSDT = "1" }\nmax_order_notional = "1"\n'
            'max_position = { ETHUSDT = "1" }\nmax_open_orders = 1\nmax_orders_per_second = 1\n'
        )
    )
    assert len(found) == 2
    assert found[0].startswith("venues.binance.risk.max_position.ETHUSDT: not a symbol of this venue")
    assert found[1].startswith("venues.binance.risk.max_position.BTCUSDT: missing")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a = = 1", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[venues]\n", "found none, expected at least one"),
    ],
)
def test_a_file_that_cannot_be_understood_is_one_sentence(directory: Path, content: bytes, sentence: str) -> None:
    path = directory / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_one_sentence(directory: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `corelane config example` prints one"):
        load_config(directory / "nothing.toml")


def test_the_file_is_the_given_one_else_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORELANE_CONFIG", "/etc/x.toml")
    assert config_path("mine.toml") == Path("mine.toml")
    assert config_path(None) == Path("/etc/x.toml")
    monkeypatch.delenv("CORELANE_CONFIG")
    assert config_path(None) == Path("corelane.toml")


TOML_VALUES = st.recursive(
    st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.booleans(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
    max_leaves=10,
)
KEYS = st.sampled_from(["venues", "instance", "cores", "trader", "strategies", "simulators", "log", "path", "x"])


@given(st.dictionaries(KEYS, TOML_VALUES, max_size=4))
def test_any_tree_is_either_a_config_or_a_list_of_sentences(tree: dict[str, object]) -> None:
    from processes.config_reading import check_tree

    problems: list[str] = []
    check_tree(substitute(tree, "", problems, {}), Config, "", problems)
    assert all(isinstance(problem, str) and ": " in problem for problem in problems)


@given(st.text(max_size=40), st.text(max_size=10))
def test_substitution_leaves_texts_without_variables_alone(text: str, value: str) -> None:
    problems: list[str] = []
    if "${" not in text:
        assert substitute(text, "k", problems, {}) == text
    assert substitute(f"{text.replace('$', '')}${{V}}", "k", problems, {"V": value}) == text.replace("$", "") + value
    assert not problems


@pytest.mark.parametrize(
    ("venue", "given", "words"),
    [
        ("grvt", "{ creates = 100, cancels = 200.5, queries = 5 }", ""),
        ("grvt", "{ create = 100 }", 'requests_per_second.create: no such limit; did you mean "creates"?'),
        ("grvt", "{ creates = 0 }", "requests_per_second.creates: found 0"),
        ("deribit", "{ creates = 100 }", "found limits, expected none: this venue tells its own"),
    ],
)
def test_what_a_tier_allows_can_be_said_where_the_venue_does_not_tell(
    write_config: Callable[..., Path], venue: str, given: str, words: str
) -> None:
    found = problems_of(write_config(f'[venues.{venue}]\nsymbols = ["X"]\nrequests_per_second = {given}\n'))
    told = [problem for problem in found if "requests_per_second" in problem]
    assert len(told) == bool(words) and all(words in problem for problem in told)


@pytest.mark.parametrize(("countdown_ms", "good"), [(0, True), (60_000, True), (500, False), (300_001, False)])
def test_a_countdown_that_the_venue_would_refuse_is_found_here(
    write_config: Callable[..., Path], countdown_ms: int, good: bool
) -> None:
    found = problems_of(write_config(f'[venues.grvt]\nsymbols = ["BTC_USDT_Perp"]\ncountdown_ms = {countdown_ms}\n'))
    words = f"venues.grvt.countdown_ms: found {countdown_ms}, expected 0 (off) or 1001 to 300000"
    assert (words not in found) == good


WRONG: tuple[Any, ...] = ([], {}, "x", -1, [[]])


def places(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of a tree that holds something."""
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    return [(*path, key) for key, _ in items] + [found for key, item in items for found in places(item, (*path, key))]


def test_anything_wrong_anywhere_in_a_good_file_is_one_report(tmp_path: Path) -> None:
    file, good = tmp_path / "corelane.toml", tomllib.loads(example())
    file.write_text("")
    for *above, last in places(good):
        for wrong in WRONG:
            tree: Any = copy.deepcopy(good)
            table = tree
            for step in above:
                table = table[step]
            table[last] = copy.deepcopy(wrong)
            with mock.patch("processes.config.tomllib.loads", return_value=tree), contextlib.suppress(ConfigError):
                load_config(file)


def test_a_list_that_is_empty_is_one_of_the_mistakes(write_config: Callable[..., Path]) -> None:
    found = problems_of(write_config('[venues.deribit]\nsymbols = []\n[log]\nlevel = "loud"\n'))
    assert set(found) == {
        'log.level: found "loud", expected one of debug, info, warning, error',
        "venues.deribit.symbols: found an empty list, expected at least 1 entry",
    }
