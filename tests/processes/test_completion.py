"""What Tab offers, asked as a shell asks: through the environment variable that typer's script sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processes.cli import app
from processes.config import load_config

STRATEGY = """
[[strategies]]
id = 1
name = "mm-btc"
module = "mine.py:Mine"
instruments = ["binance:BTCUSDT"]
limits = { max_order_quantity = "1", max_order_notional = "1", max_position = "1", max_orders_per_second = 1, \
max_open_orders = 1, max_loss = "1" }
"""


def offered(config: Path, *words: str) -> list[str]:
    """The words that bash is given for the last one, which may be begun."""
    line = ["corelane", "ctl", *words]
    result = CliRunner().invoke(
        app,
        prog_name="corelane",
        env={
            "_CORELANE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": str(len(line) - 1),
            "CORELANE_CONFIG": str(config),
        },
    )
    return result.stdout.split()


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Path:
    return write_config(STRATEGY)


@pytest.fixture
def trader(config: Path, answering: Callable[..., None]) -> None:
    """A trader that answers, and nothing else."""
    answering(load_config(config), "trader", {"set-param": lambda _: {}})


def test_processes_of_the_config_where_none_runs(config: Path) -> None:
    assert offered(config, "t") == ["trading_engine.binance", "trader"]
    assert offered(config, "a") == ["all"]


@pytest.mark.usefixtures("trader")
def test_what_runs_is_offered_alone(config: Path) -> None:
    assert offered(config, "t") == ["trader"]


def test_a_second_process_behind_a_comma_is_another_one(config: Path) -> None:
    assert offered(config, "trader,t") == ["trader,trading_engine.binance"]


@pytest.mark.usefixtures("trader")
def test_commands_are_those_that_the_process_knows(config: Path) -> None:
    assert offered(config, "trader", "s") == ["set-param"]


def test_a_strategy_is_offered_where_the_command_takes_one(config: Path) -> None:
    assert offered(config, "trader", "set-param", "mm") == ["mm-btc"]
    assert offered(config, "trader", "status", "mm") == []


def test_nothing_is_offered_and_nothing_said_where_the_config_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "corelane.toml"
    broken.write_text("[[[")
    assert offered(broken, "t") == []
    assert offered(tmp_path / "none.toml", "trader", "s") == []
