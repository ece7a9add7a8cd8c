"""The fit gives back the A and k of arrivals that were drawn from them, and falls back where it must."""

import math
import random

import pytest

from strategy.intensity import DEEPEST, IntensityEstimator

SECOND = 1_000_000_000


def feed(estimator: IntensityEstimator, rate: float, k: float, tick: float, seconds: int, seed: int = 1) -> None:
    """Arrivals of both sides with lambda(d) = rate * exp(-k d), at prices on a grid half a tick off the mid."""
    source = random.Random(seed)
    estimator.fade(SECOND)
    now = 0.0
    last_second = 0
    while True:
        now += source.expovariate(2 * rate)
        if now >= seconds:
            break
        for second in range(last_second + 1, int(now) + 1):
            estimator.fade(SECOND + second * SECOND)
            last_second = second
        depth = source.expovariate(k)
        if depth < tick / 2:
            continue  # does not reach the first price: no trade
        ticks = math.floor((depth - tick / 2) / tick)
        distance = tick / 2 + ticks * tick
        side = source.choice((1, 2))
        mid = 100.0
        estimator.update(mid + distance if side == 1 else mid - distance, mid, side, int(now * 1e9))
    estimator.fade(SECOND + seconds * SECOND)


@pytest.mark.parametrize(("rate", "k", "tick"), [(3.0, 1.2, 0.1), (8.0, 0.4, 0.1), (2.0, 20.0, 0.01)])
def test_arrivals_drawn_from_a_and_k_give_back_a_and_k(rate: float, k: float, tick: float) -> None:
    estimator = IntensityEstimator(tick, half_life_s=100_000.0)
    feed(estimator, rate, k, tick, seconds=4000)
    found = estimator.value()
    assert found is not None
    assert found[0] == pytest.approx(rate, rel=0.1)
    assert found[1] == pytest.approx(k, rel=0.1)


def test_the_estimate_follows_a_change_of_the_market() -> None:
    estimator = IntensityEstimator(0.1, half_life_s=20.0)
    feed(estimator, 10.0, 1.0, 0.1, seconds=200)
    for second in range(200, 400):  # the market went quiet
        estimator.fade(SECOND + second * SECOND)
    found = estimator.value()
    assert found is None or found[0] < 1.0


def test_trades_of_one_aggressor_are_one_arrival_of_its_deepest_price() -> None:
    one, many = IntensityEstimator(0.1, minimum_arrivals=1), IntensityEstimator(0.1, minimum_arrivals=1)
    for estimator in (one, many):
        estimator.fade(SECOND)
    for arrival in range(100):
        depths = (0.05, 0.15, 0.05 + 0.1 * (arrival % 7))
        for depth in depths:
            many.update(100.0 + depth, 100.0, 1, arrival * SECOND + 1)
        one.update(100.0 + max(depths), 100.0, 1, arrival * SECOND + 1)
    for estimator in (one, many):
        estimator.fade(101 * SECOND)
    assert one.value() == many.value() is not None


def test_too_little_data_is_said_and_not_guessed() -> None:
    estimator = IntensityEstimator(0.1, minimum_arrivals=30)
    assert estimator.value() is None
    estimator.fade(SECOND)
    for arrival in range(29):
        estimator.update(100.05, 100.0, 1, arrival)
    estimator.fade(2 * SECOND)
    assert estimator.value() is None


def test_a_single_depth_gives_a_steep_but_bounded_decay() -> None:
    estimator = IntensityEstimator(0.1)
    estimator.fade(SECOND)
    for arrival in range(100):
        estimator.update(100.05, 100.0, 1, arrival)
    estimator.fade(11 * SECOND)
    found = estimator.value()
    assert found is not None
    rate, k = found
    assert k == pytest.approx(1 / (0.25 * 0.1))
    assert rate * math.exp(-k * 0.05) == pytest.approx(5.0, rel=0.1), "100 arrivals in 10 s on two sides reach 0.05"


def test_depths_beyond_the_grid_stay_within_the_bounds() -> None:
    estimator = IntensityEstimator(0.1)
    estimator.fade(SECOND)
    for arrival in range(300):
        estimator.update(100.0 + 1000.0 * (arrival % 3), 100.0, 1, arrival)
    estimator.fade(11 * SECOND)
    found = estimator.value()
    assert found is not None
    assert 1 / (DEEPEST * 0.1) <= found[1] <= 1 / (0.25 * 0.1)


def test_a_pause_does_not_count_as_time_without_trades() -> None:
    estimator = IntensityEstimator(0.1, half_life_s=10_000.0)
    estimator.fade(SECOND)
    for arrival in range(100):
        estimator.update(100.05 + 0.1 * (arrival % 3), 100.0, 1, arrival)
    estimator.fade(11 * SECOND)
    before = estimator.value()
    estimator.pause()
    estimator.fade(1000 * SECOND)
    assert estimator.value() == before
