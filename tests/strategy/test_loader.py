"""A strategy is found by module or file; whatever is wrong becomes one sentence that names the place."""

from pathlib import Path

import pytest

from strategy.loader import StrategyLoadError, load_strategy_class
from strategy.market_making import MarketMakingStrategy

GOOD = """
from strategy.abstract_strategy import AbstractStrategy

class Mine(AbstractStrategy):
    pass

class NotOne:
    pass
"""


def test_a_class_is_found_by_module_name() -> None:
    assert load_strategy_class("strategy.market_making:MarketMakingStrategy") is MarketMakingStrategy


def test_a_class_is_found_by_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert load_strategy_class("mine.py:Mine", tmp_path).__name__ == "Mine"
    assert load_strategy_class(f"{tmp_path}/mine.py:Mine").__name__ == "Mine"


def test_two_files_of_the_same_name_are_two_modules(tmp_path: Path) -> None:
    classes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GOOD)
        classes.append(load_strategy_class(f"{tmp_path / folder}/mine.py:Mine"))
    assert classes[0] is not classes[1] and classes[0].__module__ != classes[1].__module__


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nocolon", 'expected "package.module:Class" or "file.py:Class"'),
        (":Mine", "expected"),
        ("strategy.nothing:X", "there is no module strategy.nothing"),
        ("nopackage.mod:X", "there is no module nopackage"),
        ("gone.py:X", "there is no file"),
        ("strategy.market_making:Mine", "has no Mine; strategies there: MarketMakingStrategy"),
        ("good.py:NotOne", "is not a class derived from AbstractStrategy"),
        ("good.py:Other", "strategies there: Mine"),
        ("syntax.py:X", "SyntaxError at"),
        ("raises.py:X", "ZeroDivisionError at"),
        ("imports.py:X", "ModuleNotFoundError at"),
    ],
)
def test_whatever_is_wrong_is_one_sentence(tmp_path: Path, spec: str, words: str) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "syntax.py").write_text("\n\ndef broken(:\n")
    (tmp_path / "raises.py").write_text("x = 1\n\ny = 1 / 0\n")
    (tmp_path / "imports.py").write_text("import surely_not_here\n")
    with pytest.raises(StrategyLoadError) as caught:
        load_strategy_class(spec, tmp_path)
    text = str(caught.value)
    assert words in text and "\n" not in text
    if spec.startswith("raises"):
        assert "raises.py:3" in text
    if spec.startswith("syntax"):
        assert "syntax.py:3" in text
