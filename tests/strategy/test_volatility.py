"""The estimator against a known process and against the same sum done by hand."""

import math
import random

import pytest

from strategy.volatility import VolatilityEstimator

SECOND = 1_000_000_000


def test_a_random_walk_gives_back_its_volatility() -> None:
    source = random.Random(5)
    estimator = VolatilityEstimator(interval_s=1.0, half_life_s=1000.0)
    mid, sigma = 60000.0, 4.5
    for step in range(40_000):
        mid += source.gauss(0.0, sigma * math.sqrt(0.1))
        estimator.update(mid, SECOND + step * SECOND // 10)
    assert estimator.value() == pytest.approx(sigma, rel=0.05)


def test_bounce_inside_the_spread_between_grid_points_is_not_volatility() -> None:
    estimator = VolatilityEstimator(interval_s=1.0)
    for step in range(1000):
        # up and down ten times a second, but the same price at each full second
        estimator.update(100.0 + (step % 10 in (3, 4, 5)), SECOND + step * SECOND // 10)
    assert estimator.value() == 0.0


def test_weights_are_those_of_the_formula() -> None:
    estimator = VolatilityEstimator(
        interval_s=1.0, half_life_s=1.0, minimum_samples=3
    )  # weight of the newest: one half
    for second, mid in enumerate([100.0, 101.0, 103.0, 102.0], start=1):
        estimator.update(mid, second * SECOND)
    # changes known at t=4 s on the grid points 2, 3, 4: mids before them are 100, 101, 103 -> 0, 1, 2
    expected = (0.25 * 0.5 * 0**2 + 0.5 * 0.5 * 1**2 + 0.5 * 2**2) / (0.125 + 0.25 + 0.5)
    assert estimator.samples == 3
    assert estimator.value() == pytest.approx(math.sqrt(expected))


def test_nothing_is_said_before_enough_intervals_are_over() -> None:
    estimator = VolatilityEstimator(minimum_samples=3)
    for second in range(1, 4):
        estimator.update(100.0 + second, second * SECOND)
        assert estimator.value() is None
    estimator.update(105.0, 4 * SECOND)
    assert estimator.value() is not None


def test_a_jump_over_a_long_pause_or_a_reset_does_not_count() -> None:
    estimator = VolatilityEstimator(interval_s=1.0, minimum_samples=1)
    for second in range(1, 6):
        estimator.update(100.0, second * SECOND)
    estimator.update(500.0, 100 * SECOND)
    estimator.update(500.0, 101 * SECOND)
    assert estimator.value() == 0.0
    estimator.reset()
    estimator.update(900.0, 102 * SECOND)
    estimator.update(900.0, 103 * SECOND)
    assert estimator.value() == 0.0


@pytest.mark.parametrize(("interval", "half_life"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_impossible_settings_are_refused(interval: float, half_life: float) -> None:
    with pytest.raises(ValueError, match="expected both above 0"):
        VolatilityEstimator(interval, half_life)
