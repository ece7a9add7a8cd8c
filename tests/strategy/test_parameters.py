"""Parameters are checked and changed as a whole; every refusal is one sentence that names the parameter."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from strategy import parameters
from strategy.parameters import ParameterError


class Some(msgspec.Struct, frozen=True):
    size: Annotated[float, Meta(gt=0)]
    count: int = 3
    quick: bool = False

    def __post_init__(self) -> None:
        if self.count > 100 * self.size:
            raise ValueError("count is more than 100 times size")


def test_text_from_a_command_line_becomes_numbers_and_booleans() -> None:
    assert parameters.build(Some, {"size": "0.5", "count": "7", "quick": "true"}) == Some(0.5, 7, True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 1.0, "sise": 2}, "'sise' is not known, expected one of: size, count, quick"),
        ({"size": "x"}, "parameter size is 'x'"),
        ({"size": -1.0}, "parameter size is -1.0"),
        ({"size": 1.0, "count": 1.5}, "parameter count is 1.5"),
        ({}, "size"),
        ({"size": 0.001, "count": 5}, "count is more than 100 times size"),
    ],
)
def test_a_wrong_set_is_refused_with_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.build(Some, values)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_change_is_all_or_nothing() -> None:
    current = Some(1.0)
    assert parameters.change(current, {"count": "50"}) == Some(1.0, 50)
    with pytest.raises(ParameterError):
        parameters.change(current, {"size": 0.01, "count": 50})
    assert current == Some(1.0)


def test_values_are_plain() -> None:
    assert parameters.values_of(Some(1.0)) == {"size": 1.0, "count": 3, "quick": False}
