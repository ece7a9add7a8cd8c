"""`corelane systemd` shows before it writes, refuses what could not start, and says by its exit code what is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from processes import cli, systemd_units
from processes.config import Config
from processes.exit_codes import ExitCode, Failure

RUNNER = CliRunner()
TRADER = "etc/systemd/system/corelane-trader.service"


@pytest.fixture
def everything_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the units saw /tmp, where the config of a test lies."""
    monkeypatch.setattr(systemd_units, "HIDDEN", {})


def test_an_install_that_could_not_start_shows_the_difference_and_writes_nothing(
    config: Config, tmp_path: Path
) -> None:
    ended = RUNNER.invoke(cli.app, ["systemd", "install", "-c", config.path, "--root", str(tmp_path)])
    assert isinstance(ended.exception, Failure) and ended.exception.code is ExitCode.CONFIG
    assert f"found {config.path}, expected a place outside of /tmp" in str(ended.exception)
    assert f"+++ /{TRADER}" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("everything_seen")
def test_install_status_and_uninstall_agree_with_each_other(config: Config, tmp_path: Path) -> None:
    place = ["-c", config.path, "--root", str(tmp_path)]
    assert RUNNER.invoke(cli.app, ["systemd", "status", *place]).exit_code == ExitCode.DIFFERENCE
    assert RUNNER.invoke(cli.app, ["systemd", "install", "--dry-run", *place]).exit_code == ExitCode.OK
    assert list(tmp_path.iterdir()) == []
    first = RUNNER.invoke(cli.app, ["systemd", "install", *place])
    assert first.exit_code == ExitCode.OK and f"wrote {tmp_path / TRADER}" in first.stdout
    assert RUNNER.invoke(cli.app, ["systemd", "install", *place]).stdout == "nothing to change\n"
    assert RUNNER.invoke(cli.app, ["systemd", "status", *place]).exit_code == ExitCode.OK
    removed = RUNNER.invoke(cli.app, ["systemd", "uninstall", "--root", str(tmp_path)])
    assert removed.exit_code == ExitCode.OK
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("everything_seen")
def test_a_file_of_somebody_else_is_named_and_makes_the_exit_code_1(config: Config, tmp_path: Path) -> None:
    foreign = tmp_path / TRADER
    foreign.parent.mkdir(parents=True)
    foreign.write_text("[Service]\nExecStart=/bin/mine\n")
    ended = RUNNER.invoke(cli.app, ["systemd", "install", "-c", config.path, "--root", str(tmp_path)])
    assert ended.exit_code == ExitCode.DIFFERENCE
    assert f"/{TRADER} is not written by corelane, and was left as it is" in ended.stderr
    assert foreign.read_text() == "[Service]\nExecStart=/bin/mine\n"


def test_render_prints_units_and_drop_ins_that_start_this_very_program(config: Config) -> None:
    ended = RUNNER.invoke(cli.app, ["systemd", "render", "-c", config.path])
    assert f"ExecStart={systemd_units.program()} trader" in ended.stdout
    assert systemd_units.PROGRAM not in ended.stdout or systemd_units.program() == systemd_units.PROGRAM
    assert f"Environment=CORELANE_CONFIG={config.path}" in ended.stdout


def test_cores_are_suggested_for_the_processes_of_the_config(config: Config) -> None:
    ended = RUNNER.invoke(cli.app, ["doctor", "--suggest-cores", "-c", config.path])
    assert ended.exit_code == ExitCode.OK
    assert ended.stdout.startswith("[cores]\n")
    for process in config.processes():
        assert f"\n{process} = {{" in ended.stdout
