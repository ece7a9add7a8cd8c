"""Words become arguments: pairs as JSON where they are JSON, the others by their place."""

from __future__ import annotations

import pytest

from processes.control_arguments import called_as, key_value, parse
from processes.exit_codes import ExitCode, Failure


def test_a_value_is_read_as_json_where_it_is_json():
    assert key_value("gamma=0.1") == ("gamma", 0.1)
    assert key_value("name=a=b") == ("name", "a=b")
    assert key_value("improve=true") == ("improve", True)


@pytest.mark.parametrize("text", ["gamma", "=1"])
def test_what_is_no_pair_is_one_sentence(text):
    with pytest.raises(Failure, match=f"argument '{text}': expected key=value") as caught:
        key_value(text)
    assert caught.value.code is ExitCode.CONFIG


def test_words_without_a_key_are_named_by_their_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    assert parse("set-param", ["mm", "gamma=0.1"]) == {"strategy": "mm", "gamma": 0.1}
    assert parse("swap-strategy", ["mm", "mine.py:Mine"]) == {"strategy": "mm", "module": f"{tmp_path}/mine.py:Mine"}
    assert parse("swap-strategy", ["mm", "beside_the_config.py:Mine", "size=2"]) == {
        "strategy": "mm",
        "module": "beside_the_config.py:Mine",
        "size": 2,
    }
    assert parse("swap-strategy", []) == {}
    with pytest.raises(Failure, match="argument 'loud': expected key=value"):
        parse("status", ["loud"])


@pytest.mark.parametrize(
    ("argument", "name"),
    [(".venv/bin/corelane", ".venv/bin/corelane"), ("/x/processes/cli.py", "corelane"), ("-c", "corelane")],
)
def test_a_line_to_copy_names_the_program_as_it_was_called(monkeypatch, argument, name):
    monkeypatch.setattr("sys.argv", [argument, "demo"])
    assert called_as() == name
