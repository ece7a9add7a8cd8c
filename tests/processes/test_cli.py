"""The command line: help that is enough, one sentence for each mistake, exit codes that tell the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processes import cli, shm_admin
from processes.config import load_config
from processes.control import ControlError
from processes.exit_codes import ExitCode
from shm import hops
from shm.clock import monotonic_ns
from shm.counters import Counters
from shm.layout import EventType, Word
from shm.records import OrderEvent
from shm.segment import Segment
from shm.table import Words
from shm.trace import Trace

ROOT = Path(__file__).parent.parent.parent
RUNNER = CliRunner()


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def corelane(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The console script, called in this process."""

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["corelane", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Result(int(ended.value.code or 0), said.out, said.err)

    return call


def test_the_module_is_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "processes.cli", "config", "check", "-c", "nowhere.toml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == ExitCode.CONFIG
    assert result.stderr == "corelane: nowhere.toml: there is no such file; `corelane config example` prints one\n"


@pytest.mark.parametrize(
    "words",
    [[], ["demo"], ["up"], ["down"], ["market-server"],
     ["trading-engine"], ["position-server"], ["trader"], ["simulator"],
     ["ctl"], ["shm", "create"], ["shm", "ls"], ["shm", "rm"], ["config", "check"], ["config", "show"],
     ["config", "example"], ["latency"],
     ["kill-switch", "on"], ["kill-switch", "off"], ["kill-switch", "status"], ["flatten"]],
)  # fmt: skip
def test_every_command_has_help(words):
    result = RUNNER.invoke(cli.app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
    assert len(result.output.splitlines()) > 4


def test_a_table_of_the_config_keeps_its_brackets_in_the_help():
    assert "[cores]" in RUNNER.invoke(cli.app, ["doctor", "--help"]).output


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["config", "check", "-c", "nowhere.toml"], ExitCode.CONFIG, "nowhere.toml: there is no such file"),
        (["trader", "-c", "nowhere.toml"], ExitCode.CONFIG, "nowhere.toml: there is no such file"),
        (["demo", "--recording", "missing.gz"], ExitCode.CONFIG, "missing.gz is not a file"),
        (["demo", "--symbols", "DOGEUSDT"], ExitCode.CONFIG, "'DOGEUSDT', expected some of BTCUSDT"),
        (["demo", "--report", "/nowhere/at/all.json"], ExitCode.CONFIG, "/nowhere/at does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_traceback(corelane, words, code, sentence):
    result = corelane(*words)
    assert result.returncode == code
    assert result.stderr.startswith("corelane: ")
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_bad_config_lists_all_its_mistakes(corelane, write_config):
    path = write_config('[trader]\nheartbeat_timeout_ms = 1\n[log]\nlevel = "x"\n')
    result = corelane("config", "check", "-c", str(path))
    assert result.returncode == ExitCode.CONFIG
    assert "2 mistakes" in result.stderr
    assert "trader.heartbeat_timeout_ms: found 1, expected a whole number from 300 to 60000" in result.stderr


def test_the_file_may_come_from_the_environment(corelane, write_config, monkeypatch):
    path = write_config()
    monkeypatch.setenv("CORELANE_CONFIG", str(path))
    result = corelane("config", "check")
    assert result.returncode == 0, result.stderr
    assert f"{path}: good; 5 processes, 0 strategies" in result.stdout


def test_show_prints_the_whole_tree_as_json(write_config):
    result = RUNNER.invoke(cli.app, ["config", "show", "-c", str(write_config())])
    assert json.loads(result.output)["trader"]["heartbeat_timeout_ms"] == 2000


def test_the_example_is_a_good_config_and_the_one_in_the_root(directory):
    result = RUNNER.invoke(cli.app, ["config", "example"])
    path = directory / "corelane.toml"
    path.write_text(result.output)
    assert load_config(path).strategies[0].name == "mm-btcusdt"
    assert (ROOT / "corelane.example.toml").read_text() == result.output


def test_the_example_shows_every_key():
    import msgspec

    from processes import config_schema

    text = (ROOT / "corelane.example.toml").read_text()
    structs = [one for one in vars(config_schema).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    keys = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)} - {"path"}
    missing = sorted(key for key in keys if key not in text)
    assert not missing


def test_segments_are_made_listed_and_removed(config):
    assert RUNNER.invoke(cli.app, ["shm", "create", "-c", config.path]).exit_code == 0
    listed = RUNNER.invoke(cli.app, ["shm", "ls", "-c", config.path]).output
    assert "binance.requests" in listed
    assert "lossless ring" in listed
    words = Words(shm_admin.instance_of(config).segment("words"))
    words.store(Word.TRADER_EPOCH, 7)
    for name in ("words", shm_admin.instance_of(config).segment_name("words")):
        dumped = RUNNER.invoke(cli.app, ["shm", "dump", name, "-c", config.path]).output
        assert [json.loads(text)["value"] for text in dumped.splitlines()] == [7]
    assert "segments removed" in RUNNER.invoke(cli.app, ["shm", "rm", "-c", config.path]).output
    assert not Segment.names(shm_admin.instance_of(config).segment_name(""))


def test_the_kill_switch_says_what_it_did(config):
    shm_admin.create(config)
    result = RUNNER.invoke(cli.app, ["kill-switch", "on", "--word-only", "-c", config.path])
    assert result.exit_code == 0
    assert "kill switch ON (generation 1)\n  no engine runs" in result.output
    assert RUNNER.invoke(cli.app, ["kill-switch", "status", "-c", config.path]).exit_code == ExitCode.DIFFERENCE
    assert RUNNER.invoke(cli.app, ["kill-switch", "off", "-c", config.path]).exit_code == 0
    assert RUNNER.invoke(cli.app, ["kill-switch", "status", "-c", config.path]).exit_code == 0


def test_an_engine_that_does_not_confirm_is_named(corelane, config):
    from shm.layout import ProcessState
    from shm.records import ProcessRow
    from shm.table import TableWriter

    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    number = instance.process_row("trading_engine.binance")
    row = ProcessRow()
    row.pid, row.state = os.getpid(), int(ProcessState.READY)
    TableWriter(instance.segment("status"), row=number).write(number, row)
    result = corelane("kill-switch", "on", "--word-only", "-c", config.path)
    assert result.returncode == ExitCode.NO_ANSWER
    assert "trading_engine.binance did not confirm within 2 s" in result.stderr
    assert "has not confirmed, is at generation 0" in result.stdout
    instance.close()


def test_a_command_for_nobody_is_one_sentence(corelane, config):
    result = corelane("ctl", "trader", "status", "-c", config.path)
    assert result.returncode == ExitCode.NO_ANSWER
    assert "trader is not running: no socket" in result.stderr
    result = corelane("ctl", "all", "status", "-c", config.path)
    assert result.returncode == ExitCode.NO_ANSWER
    assert "nothing is running" in result.stderr


def test_a_command_that_is_refused_is_not_one_that_found_nobody(corelane, config, answering):
    def refuse(_arguments):
        raise ControlError("not today")

    answering(config, "trader", {"pause": refuse})
    result = corelane("ctl", "trader", "pause", "-c", config.path)
    assert (result.returncode, result.stderr) == (ExitCode.DIFFERENCE, "corelane: trader: not today\n")
    result = corelane("ctl", "trader,trading_engine.binance", "pause", "-c", config.path)
    assert result.returncode == ExitCode.NO_ANSWER


def test_the_shell_completes_commands():
    asked = {"_CORELANE_COMPLETE": "complete_bash", "COMP_WORDS": "corelane kill-switch o", "COMP_CWORD": "2"}
    assert RUNNER.invoke(cli.app, [], prog_name="corelane", env=asked).output.split() == ["on", "off"]


def test_several_processes_are_asked_and_each_failure_is_its_own_sentence(corelane, config):
    result = corelane("ctl", "trader,trading_engine.binance,trader", "status", "-c", config.path)
    assert result.returncode == ExitCode.NO_ANSWER
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == [
        " trader is not running", " trading_engine.binance is not running",
    ]  # fmt: skip


def test_arguments_of_a_command_are_key_value(corelane, config):
    result = corelane("ctl", "trader", "set-param", "mm", "gamma", "-c", config.path)
    assert result.returncode == ExitCode.CONFIG
    assert "argument 'gamma': expected key=value" in result.stderr
    result = corelane("ctl", "trader", "status", "--keep", "-c", config.path)
    assert result.returncode == ExitCode.CONFIG
    assert "--keep and --cancel: found with another command, expected with restart" in result.stderr


def test_a_venue_that_is_not_configured_is_one_sentence(corelane, config):
    result = corelane("market-server", "kraken", "-c", config.path)
    assert result.returncode == ExitCode.CONFIG
    assert "no process market_server.kraken in this file; did you mean" in result.stderr


def test_an_unforeseen_error_keeps_its_traceback(monkeypatch):
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_latency_shows_each_hop_of_the_traces_in_shared_memory(corelane, config):
    result = corelane("latency", "-c", config.path)
    assert (result.returncode, result.stderr.count("\n")) == (ExitCode.SHARED_MEMORY, 1)
    assert RUNNER.invoke(cli.app, ["shm", "create", "-c", config.path]).exit_code == 0
    segment = shm_admin.instance_of(config).segment("counters.trader")
    trace = Trace("binance", Counters(segment))
    assert "no order has been answered yet" in corelane("latency", "-c", config.path).stdout
    begin = monotonic_ns() - 10**6
    event = OrderEvent()
    event.event_type, event.request_id = EventType.ACCEPTED, 5
    event.request_publish_time_ns, event.request_poll_time_ns, event.sign_time_ns = begin + 5, begin + 6, begin + 7
    event.send_time_ns, event.receive_time_ns, event.publish_time_ns = begin + 8, begin + 30, begin + 31
    trace.begin(5, begin, begin + 1, begin + 2, begin + 3, begin + 4)
    trace.end(event, begin + 32)
    found = json.loads(corelane("latency", "--json", "-c", config.path).stdout)
    assert found["counters"] == {"traces": 1, "traces_broken": 0, "traces_unanswered": 0}
    tick = found["venues"]["binance"]
    assert list(tick) == [name for name, _ in (*hops.TICK_HOPS, *hops.TICK_TOTALS)]
    assert (tick["tick_to_trade"]["p50"], tick["venue"]["p50"], tick["decode"]["count"]) == (8, 22, 1)
    printed = corelane("latency", "-c", config.path).stdout
    assert "tick_to_trade" in printed
    assert "1 traces; 0 broken" in printed
    interval = corelane("latency", "--seconds", "0.01", "-c", config.path).stdout
    assert "no order has been answered" in interval
