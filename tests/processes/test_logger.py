"""The logger: every ring's lines in one file, what was lost said, whatever dies."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from processes import shm_admin
from processes.app_service import AppService
from processes.config import Config, load_config
from processes.exit_codes import ExitCode
from processes.journald import Journald, wanted
from processes.logger import AT_ONCE, Logger
from shm.instance import LOG_RING_SLOTS
from shm.log_ring import INFO, WARNING, LogRing

PATIENCE_S = 60.0


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Any:
    loaded = load_config(write_config("[observers]\nlogger = true\n"))
    shm_admin.create(loaded)
    yield loaded
    shm_admin.instance_of(loaded).remove()


@pytest.fixture
def trader(config: Config) -> Any:
    """The log ring of a process, without the process."""
    instance = shm_admin.instance_of(config)
    yield LogRing(instance.segment("log.trader"), "trader")
    instance.close()


def lines(config: Config) -> list[dict[str, Any]]:
    path = Path(config.log.directory) / "corelane.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def of_trader(config: Config) -> list[dict[str, Any]]:
    return [line for line in lines(config) if line["process"] == "trader"]


def written(config: Config, trader: LogRing, say: Callable[[], None] = lambda: None) -> None:
    """One life of a logger in this process: start, one turn, end."""
    service = AppService("logger", config, log_to_stderr=False)
    with service:
        worker = Logger(service)
        worker.on_start()
        say()
        worker.do_work()
        worker.on_close()


def test_lines_come_out_as_they_went_in_and_templates_are_filled(config: Config, trader: LogRing) -> None:
    def say() -> None:
        trader.line(WARNING, b"corelane.trader.mm", "price is 3 €".encode(), 1_700_000_000_123_456_000)
        trader.say(INFO, b"order {id} took {0:.1f} us", 12345678901234567890, 2.25)

    before = time.time()
    written(config, trader, say)
    plain, filled = of_trader(config)
    assert plain == {
        "time": "2023-11-14T22:13:20.123456+00:00",
        "level": "warning",
        "process": "trader",
        "logger": "corelane.trader.mm",
        "message": "price is 3 €",
    }
    assert filled["message"] == "order 12345678901234567890 took 2.2 us"
    assert before - 1 <= datetime.fromisoformat(filled["time"]).timestamp() <= time.time() + 1


def test_a_template_that_does_not_fit_its_values_is_still_a_line(config: Config, trader: LogRing) -> None:
    written(config, trader, lambda: trader.say(INFO, b"{0} and {1} of {nobody}", 7, 1.0))
    (line,) = of_trader(config)
    assert "{0} and {1} of {nobody} id=7 values=[1.0" in line["message"]


def test_what_was_said_before_the_logger_came_is_there(config: Config, trader: LogRing) -> None:
    for number in range(10):
        trader.say(INFO, b"line {id}", number)
    written(config, trader)
    assert [line["message"] for line in of_trader(config)] == [f"line {number}" for number in range(10)]


def test_lines_that_were_overwritten_are_counted_and_said(config: Config, trader: LogRing) -> None:
    def flood() -> None:
        for number in range(LOG_RING_SLOTS + 500):
            trader.say(INFO, b"line {id}", number)

    written(config, trader, flood)
    (said,) = [line for line in lines(config) if "overwritten" in line["message"]]
    lost = int(said["message"].split()[0])
    assert said["level"] == "warning"
    assert lost > 0
    assert lost + len(of_trader(config)) == LOG_RING_SLOTS + 500
    assert of_trader(config)[-1]["message"] == f"line {LOG_RING_SLOTS + 499}"


def test_one_process_that_talks_a_lot_does_not_silence_the_others(config: Config, trader: LogRing) -> None:
    instance = shm_admin.instance_of(config)
    other = LogRing(instance.segment("log.trading_engine.binance"), "trading_engine.binance")

    def say() -> None:
        for number in range(AT_ONCE * 3):
            trader.say(INFO, b"line {id}", number)
        other.say(INFO, b"here", 0)

    service = AppService("logger", config, log_to_stderr=False)
    with service:
        worker = Logger(service)
        worker.on_start()
        say()
        worker.do_work()
        assert any(line["process"] == "trading_engine.binance" for line in lines(config))
        assert len(of_trader(config)) == AT_ONCE
        worker.on_close()
    assert len(of_trader(config)) == AT_ONCE * 3
    instance.close()


def test_a_process_writes_its_own_lines_into_its_ring_with_the_kind_of_error(config: Config) -> None:
    service = AppService("trader", config, log_to_stderr=False)
    with service:
        service.log.info("plain %d", 1)
        try:
            raise ValueError("x" * 500)
        except ValueError:
            service.log.exception("broke")
        service.log.warning("ä" * 300)
    ring = shm_admin.instance_of(config)
    written(config, LogRing(ring.segment("log.position_server.binance"), "unused"))
    ring.close()
    messages = [line["message"] for line in of_trader(config)]
    assert "plain 1" in messages
    assert any(text.startswith("broke (ValueError; the traceback") for text in messages)
    cut = next(text for text in messages if text.startswith("ä"))
    assert cut == "ä" * (len(cut) - 1) + "…"


def test_file_level_keeps_a_processs_own_file_to_what_must_not_be_lost(write_config: Callable[..., Path]) -> None:
    loaded = load_config(write_config('[log]\nfile_level = "warning"\n'))
    shm_admin.create(loaded)
    try:
        with AppService("trader", loaded, log_to_stderr=False) as service:
            service.log.info("usual")
            service.log.warning("unusual")
        own = (Path(loaded.log.directory) / "trader.log").read_text()
        assert "unusual" in own
        assert '"usual"' not in own
    finally:
        shm_admin.instance_of(loaded).remove()


def test_a_level_can_be_changed_for_one_component(config: Config) -> None:
    with AppService("trader", config, log_to_stderr=False) as service:
        answer = service._answer_log_level({"level": "debug", "component": "mm"})
        assert answer == {"level": "debug", "component": "mm"}
        assert service.log.getChild("mm").isEnabledFor(logging.DEBUG)
        assert not service.log.isEnabledFor(logging.DEBUG)
        flags = [service.log_ring.debug]
        service._answer_log_level({"level": "debug"})
        assert [*flags, service.log_ring.debug] == [False, True]
        service.log.getChild("mm").setLevel(logging.NOTSET)


def test_killed_and_started_again_it_misses_no_line_that_still_stood_in_a_ring(config: Config, trader: LogRing) -> None:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "processes.cli", "logger", "--config", config.path],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "the logger did not write it in time"
            time.sleep(0.01)

    first = start()
    try:
        trader.say(INFO, b"one", 0)
        until(lambda: any(line["message"] == "one" for line in of_trader(config)))
    finally:
        first.kill()
        first.wait()
    trader.say(INFO, b"two", 0)
    second = start()
    try:
        until(lambda: any(line["message"] == "two" for line in of_trader(config)))
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == ExitCode.OK
    finally:
        second.kill()
        second.wait()


# --- the journal ------------------------------------------------------------------------------------------------------
def test_a_line_goes_to_the_journal_with_its_fields(directory: Path) -> None:
    path = directory / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        journal = Journald(path)
        journal.send(logging.ERROR, "two\nlines", "trader", "corelane.trader.mm", 42)
        data = listening.recv(4096)
        journal.close()
    assert b"MESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\nPRIORITY=3\n" in data
    assert b"CORELANE_PROCESS=trader\nCORELANE_LOGGER=corelane.trader.mm\nCORELANE_PID=42\n" in data
    assert b"SYSLOG_IDENTIFIER=corelane-trader\n" in data


def test_a_journal_that_does_not_take_lines_is_counted_and_not_waited_for(directory: Path) -> None:
    path = directory / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        journal = Journald(path)
        for _ in range(5_000):
            journal.send(logging.INFO, "x" * 1_000, "trader", "corelane.trader", 42)
        assert journal.dropped > 0
        journal.close()


def test_the_journal_is_used_where_systemd_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert [wanted(setting) for setting in ("on", "off", "auto")] == [True, False, False]
