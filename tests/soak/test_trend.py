"""A slope is told from noise, and growth of small counts from a moment's more."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.trend import BLOCKS, Slope, has_grown, slope

TIMES = [index / 12 for index in range(300)]
"""Minutes, a sample every five seconds."""


def test_a_straight_line_has_its_slope_and_no_noise() -> None:
    found = slope(TIMES, [20_000 + 7 * time for time in TIMES])
    assert found is not None
    assert found.value == pytest.approx(7.0)
    assert found.noise == pytest.approx(0.0, abs=1e-6)


@given(st.integers(min_value=0, max_value=1 << 32))
def test_a_flat_series_is_seldom_taken_for_growth(seed: int) -> None:
    """97.5 % of the time it is not; beyond a limit that is many times the noise it never is."""
    noise = random.Random(seed)
    found = slope(TIMES, [20_000 + noise.gauss(0, 100) for _ in TIMES])
    assert found is not None
    assert found.least < 20


@given(st.integers(min_value=0, max_value=1 << 32), st.floats(min_value=50, max_value=10_000))
def test_growth_is_seen_through_noise(seed: int, rate: float) -> None:
    noise = random.Random(seed)
    found = slope(TIMES, [20_000 + rate * time + noise.gauss(0, 100) for time in TIMES])
    assert found is not None
    assert found.value == pytest.approx(rate, abs=4 * found.noise + 5)
    assert found.least > 0


def test_one_step_is_noise_and_many_are_growth() -> None:
    """A table that doubles once looks like a slope to a plain regression; its interval here holds 0 or nearly."""
    once = slope(TIMES, [20_000 + 500 * (time > 12) for time in TIMES])
    often = slope(TIMES, [20_000 + 500 * int(time) for time in TIMES])
    assert once is not None and often is not None
    assert once.least < 30
    assert often.least > 400


def test_too_few_samples_or_a_hole_give_no_slope() -> None:
    assert slope(TIMES[: 2 * BLOCKS - 1], TIMES[: 2 * BLOCKS - 1]) is None
    holed = [time for time in TIMES if not 5 < time < 12]
    assert slope(holed, holed) is None


def test_least_is_the_lower_end() -> None:
    assert Slope(60.0, 8.0).least == 52.0


@pytest.mark.parametrize(
    ("counts", "grown"),
    [
        ([17] * 30, False),
        ([17] * 12 + [18] + [17] * 17, False),
        ([17] * 29 + [18], False),
        ([17, 18] * 15, False),
        ([17] * 15 + [18] * 15, True),
        (list(range(17, 47)), True),
        ([20] * 15 + [17] * 15, False),
        ([17, 18], False),
    ],
)
def test_only_what_never_comes_down_again_has_grown(counts: list[int], grown: bool) -> None:
    assert has_grown(counts) is grown
