"""The usual ratio of two prices: weighed by time, whatever the number of updates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.price_ratio import PriceRatio

SECOND = 10**9


def test_the_first_value_is_the_mean_and_a_new_one_counts_half_after_its_half_life() -> None:
    ratio = PriceRatio(half_life_s=10.0)
    assert ratio.update(1.0, 0) == 1.0
    assert ratio.update(2.0, 5 * SECOND) == 1.0, "it has not held for any time yet"
    assert ratio.update(2.0, 15 * SECOND) == pytest.approx(1.5)
    assert ratio.update(2.0, 25 * SECOND) == pytest.approx(1.75)


@given(st.lists(st.integers(0, 10 * SECOND), max_size=20))
def test_repeating_a_value_in_between_changes_nothing(times: list[int]) -> None:
    plain, often = PriceRatio(3.0), PriceRatio(3.0)
    for ratio in (plain, often):
        ratio.update(1.0, 0)
        ratio.update(1.25, 0)
    for time_ns in sorted(times):
        often.update(1.25, time_ns)
    assert often.update(1.0, 10 * SECOND) == pytest.approx(plain.update(1.0, 10 * SECOND), rel=1e-9)


def test_time_in_which_nothing_was_known_does_not_count() -> None:
    ratio = PriceRatio(10.0)
    ratio.update(1.0, 0)
    ratio.update(2.0, 0)
    ratio.pause(60 * SECOND)
    assert ratio.update(2.0, 70 * SECOND) == pytest.approx(1.5)


@pytest.mark.parametrize("half_life_s", [0.0, -1.0, float("nan")])
def test_a_half_life_is_above_zero(half_life_s: float) -> None:
    with pytest.raises(ValueError, match="expected above 0"):
        PriceRatio(half_life_s)
