"""What `corelane new-strategy` writes runs as it is, and nothing is ever overwritten."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from processes.exit_codes import ExitCode, Failure
from processes.new_strategy import write
from strategy.testing import StrategyRig

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_written_test_passes_and_the_command_says_what_to_do_next(tmp_path):
    result = run("processes.cli", "new-strategy", "mean-reversion", "--folder", "mine", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[1:] == [
        "  pytest mine/test_mean_reversion.py",
        "  corelane demo --seconds 20 --strategy mine/mean_reversion.py:MeanReversion",
    ]
    tested = run("pytest", "-q", "-p", "no:cacheprovider", "mine/test_mean_reversion.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout


def test_the_written_test_can_fail(tmp_path):
    strategy, test, _ = write("broken", tmp_path)
    text = strategy.read_text()
    changed = text.replace("self.buy(self.instrument, price,", "self.buy(self.instrument, price - 1.0,")
    assert changed != text
    strategy.write_text(changed)
    assert "3 failed, 1 passed" in run("pytest", "-q", "-p", "no:cacheprovider", str(test), cwd=tmp_path).stdout


def test_both_files_are_clean_python_without_a_leftover_of_the_template(tmp_path):
    strategy, test, kind = write("a2_b", tmp_path)
    assert (strategy.name, test.name, kind) == ("a2_b.py", "test_a2_b.py", "A2B")
    for file in (strategy, test):
        text = file.read_text()
        ast.parse(text)
        assert "{Class}" not in text and "{name}" not in text and "{{" not in text
        assert max(map(len, text.splitlines())) <= 120
    with StrategyRig(f"{strategy}:{kind}") as rig:
        rig.quote(60_000.0, 60_000.1)
        assert len(rig.orders) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Momentum", "found 'Momentum', expected lower-case words"),
        ("2fast", "expected lower-case words"),
        ("", "expected lower-case words"),
        ("../up", "expected lower-case words"),
        ("a__b", "expected lower-case words"),
        ("x" * 41, "at most 40 characters"),
        ("momentum.py", "expected a name without .py"),
        ("class", "'class' has a meaning already"),
        ("match", "'match' has a meaning already"),
        ("strategy", "'strategy' has a meaning already"),
        ("test-it", "'test_it' has a meaning already"),
    ],
)
def test_a_bad_name_is_one_sentence_and_nothing_is_written(tmp_path, name, sentence):
    with pytest.raises(Failure, match=sentence) as caught:
        write(name, tmp_path / "new")
    assert caught.value.code is ExitCode.CONFIG
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("existing", ["mine.py", "test_mine.py"])
def test_what_exists_stays_and_its_pair_is_not_written(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(Failure, match=rf"{existing} exists already and stays as it is"):
        write("mine", tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(existing, "precious")]


def test_a_folder_that_is_none_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Failure, match="is not a directory"):
            write("mine", folder)
