"""The closed form against hand-computed numbers, and against the exact solution it approximates."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest

from strategy import glft


def test_model_a_numbers_agree_with_an_independent_computation_in_decimal() -> None:
    # gamma 0.01, sigma 0.3, A 0.9, k 0.3: the parameters used in the 2013 paper's figures.
    getcontext().prec = 50
    gamma, sigma, a, k = Decimal("0.01"), Decimal("0.3"), Decimal("0.9"), Decimal("0.3")
    c1 = (1 + gamma / k).ln() / gamma
    root = (sigma**2 * gamma / (2 * k * a) * ((1 + gamma / k).ln() * (1 + k / gamma)).exp()).sqrt()
    got = glft.coefficients(intensity=0.9, decay=0.3, volatility=0.3, risk_aversion=0.01)
    assert got.skew == pytest.approx(float(root), rel=1e-13)
    assert got.half_spread == pytest.approx(float(c1 + root / 2), rel=1e-13)


def test_the_numbers_of_one_example_are_these() -> None:
    # ln(1 + 1) / 1 = 0.693147...; sqrt(1 * 4 / (2 * 1 * 1)) = 1.414213...  (gamma = k = A = sigma = 1)
    got = glft.coefficients(intensity=1.0, decay=1.0, volatility=1.0, risk_aversion=1.0)
    assert got.skew == pytest.approx(1.4142135623730951)
    assert got.half_spread == pytest.approx(0.6931471805599453 + 0.7071067811865476)


def test_distances_of_the_closed_form_are_close_to_the_exact_ones_of_the_matrix() -> None:
    numbers = {"intensity": 0.9, "decay": 0.3, "volatility": 0.3, "risk_aversion": 0.01}
    bid, ask = glft.exact_distances(**numbers, inventory_limit=30)
    model = glft.coefficients(**numbers)
    for inventory in range(-5, 6):
        approximate_bid = model.half_spread + inventory * model.skew
        approximate_ask = model.half_spread - inventory * model.skew
        # The approximation replaces a difference by a derivative; the paper shows errors of a few percent near 0.
        assert bid[inventory + 30] == pytest.approx(approximate_bid, rel=0.02)
        assert ask[inventory + 30] == pytest.approx(approximate_ask, rel=0.02)


def test_exact_distances_mirror_each_other_and_end_at_the_inventory_limit() -> None:
    bid, ask = glft.exact_distances(intensity=1.0, decay=0.5, volatility=1.0, risk_aversion=0.1, inventory_limit=4)
    assert np.allclose(bid[:-1], ask[::-1][:-1])
    assert math.isinf(bid[-1]) and math.isinf(ask[0])
    assert np.all(np.diff(bid[:-1]) > 0), "the longer the position, the farther the bid"


def test_the_order_size_scales_as_units_must() -> None:
    # Counting inventory in units ten times as small must not move the quotes of the same money:
    # q' = 10 q, Delta' = 10 Delta, gamma' = gamma / 10 gives the same distances.
    small = glft.coefficients(intensity=2.0, decay=0.4, volatility=1.5, risk_aversion=0.05, order_size=1.0)
    large = glft.coefficients(intensity=2.0, decay=0.4, volatility=1.5, risk_aversion=0.005, order_size=10.0)
    assert large.half_spread == pytest.approx(small.half_spread)
    assert large.skew * 10 == pytest.approx(small.skew)


def test_model_b_is_the_limit_of_small_xi_and_uses_e() -> None:
    zero = glft.coefficients(intensity=2.0, decay=0.4, volatility=1.5, risk_aversion=0.05, xi=0.0)
    tiny = glft.coefficients(intensity=2.0, decay=0.4, volatility=1.5, risk_aversion=0.05, xi=1e-9)
    assert tiny.half_spread == pytest.approx(zero.half_spread, rel=1e-6)
    expected_skew = 1.5 * math.sqrt(0.05 * math.e / (2 * 2.0 * 0.4))
    assert zero.skew == pytest.approx(expected_skew)
    assert zero.half_spread == pytest.approx(1 / 0.4 + expected_skew / 2)


def test_quotes_lean_against_the_inventory_and_keep_their_width() -> None:
    model = glft.coefficients(intensity=1.0, decay=1.0, volatility=1.0, risk_aversion=0.1)
    flat_bid, flat_ask = model.quotes(100.0, 0.0)
    long_bid, long_ask = model.quotes(100.0, 3.0)
    assert flat_ask - 100.0 == pytest.approx(100.0 - flat_bid)
    assert long_bid < flat_bid and long_ask < flat_ask
    assert long_ask - long_bid == pytest.approx(flat_ask - flat_bid)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("intensity", 0.0),
        ("decay", -1.0),
        ("volatility", math.nan),
        ("risk_aversion", math.inf),
        ("order_size", 0.0),
        ("xi", -1.0),
    ],
)
def test_an_impossible_parameter_is_named(name: str, value: float) -> None:
    numbers = {"intensity": 1.0, "decay": 1.0, "volatility": 1.0, "risk_aversion": 1.0, name: value}
    with pytest.raises(ValueError, match=name):
        glft.coefficients(**numbers)
