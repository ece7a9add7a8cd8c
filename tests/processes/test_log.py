"""JSON lines for machines, short lines for people."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from processes.config import LogConfig
from processes.exit_codes import Failure
from processes.log import LogManager


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
