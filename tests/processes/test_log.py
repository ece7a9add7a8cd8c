"""JSON lines for machines, short lines for people."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest

from processes.config import LogConfig
from processes.exit_codes import Failure
from processes.log import LogManager
from shm.log_ring import LogRing


def test_each_line_of_the_file_is_an_object_and_stderr_is_for_people(directory, capsys):
    log = LogManager("trader", LogConfig(level="info", directory=str(directory)))
    logger = log.logger
    logger.info("started %s", "now")
    logger.debug("not wanted")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger.exception("broke")
    log.close()
    path = Path(directory / "trader.log")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["started now", "broke"]
    assert lines[0]["process"] == "trader"
    assert lines[0]["level"] == "info"
    assert "ZeroDivisionError" in lines[1]["traceback"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = capsys.readouterr().err
    assert "trader  started now" in shown
    assert "Traceback" not in shown


def test_opening_again_does_not_write_twice(directory):
    for _ in range(3):
        log = LogManager("trader", LogConfig(directory=str(directory)), stderr=False)
    log.logger.warning("once")
    log.close()
    assert len((directory / "trader.log").read_text().splitlines()) == 1


def test_a_directory_that_cannot_be_written_is_one_sentence(directory):
    (directory / "file").write_text("")
    with pytest.raises(Failure, match=r"log\.directory: .*file: File exists"):
        LogManager("trader", LogConfig(directory=str(directory / "file")))


class _Ring(LogRing):
    """Takes lines, writes none."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def set_level(self, _level: int) -> None:
        return

    def line(self, _level: int, _logger: bytes, text: bytes, _wall_time_ns: int) -> None:
        self.lines.append(text)


def test_what_a_package_says_for_itself_is_a_line_of_the_process(directory):
    log = LogManager("trader", LogConfig(directory=str(directory)), stderr=False)
    logging.getLogger("shm.segment").warning("not locked")
    log.close()
    logging.getLogger("shm.segment").warning("nobody's")
    [line] = map(json.loads, (directory / "trader.log").read_text().splitlines())
    assert (line["process"], line["logger"], line["message"]) == ("trader", "shm.segment", "not locked")


def test_lines_that_the_logger_puts_into_the_journal_are_not_there_twice_but_errors(directory, capsys):
    log, ring = LogManager("trader", LogConfig(directory=str(directory))), _Ring()
    log.attach(ring, journaled=True)
    log.logger.warning("by the logger")
    log.logger.error("by both")
    log.detach()
    log.logger.info("by nobody else any more")
    log.close()
    assert ring.lines == [b"by the logger", b"by both"]
    assert [line.partition("  ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "  trader  by both",
        "   trader  by nobody else any more",
    ]
