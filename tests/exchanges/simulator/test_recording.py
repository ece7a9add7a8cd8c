"""`exchanges/simulator/recording.py`: lines in, or one sentence about what is wrong with the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.recording import read_lines


def test_lines_come_with_number_time_and_untouched_json(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(gzip.compress(b'17 {"a": 1}\n18 {"b":"x y"}\n'))
    assert list(read_lines(path)) == [(1, 17, b'{"a": 1}'), (2, 18, b'{"b":"x y"}')]


WHOLE = gzip.compress(b'1 {"a":1}\n' * 1000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"plain text", "is not a gzip file"),
        (b"", "holds nothing"),
        (WHOLE[:-20], "is cut off"),
        (WHOLE[:40] + b"\xff\xff\xff" + WHOLE[43:], "is not a gzip file"),
        (gzip.compress(b'1 {"a":1}\nsoon {"a":1}\n'), "line 2: expected '<receive time in ns> <JSON object>'"),
        (gzip.compress(b"1 [1]\n"), "line 1"),
        (gzip.compress(b"\n"), "line 1"),
    ],
)
def test_a_bad_file_is_one_sentence_naming_it(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "r.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SimulatorError) as error:
        list(read_lines(path))
    assert str(path) in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="cannot be read"):
        list(read_lines(tmp_path))
