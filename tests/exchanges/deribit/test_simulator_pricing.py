"""`exchanges/deribit/simulator_pricing.py`: Black-76 against itself and against what the venue showed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.simulator_flow import fair_value
from exchanges.deribit.simulator_instruments import listing_for
from exchanges.deribit.simulator_pricing import YEAR_MS, greeks, implied_volatility, value

forwards = st.floats(1_000, 200_000)
moneyness = st.floats(0.6, 1.6)
times = st.floats(0.02, 2)
volatilities = st.floats(0.2, 1.5)


@given(forwards, moneyness, times, volatilities)
def test_a_call_less_a_put_is_the_forward_less_the_strike(f: float, m: float, t: float, v: float) -> None:
    difference = value(True, f, f * m, t, v) - value(False, f, f * m, t, v)
    assert difference == pytest.approx(f - f * m, abs=1e-6 * f)


@given(st.booleans(), forwards, moneyness, times, volatilities)
def test_the_volatility_of_a_price_is_found_again(call: bool, f: float, m: float, t: float, v: float) -> None:
    price = value(call, f, f * m, t, v)
    if price - value(call, f, f * m, t, 0) > 1e-4 * f:
        assert implied_volatility(call, price, f, f * m, t) == pytest.approx(v, abs=1e-3)


@given(st.booleans(), forwards, moneyness, times, volatilities)
def test_greeks_are_the_slopes_of_the_value(call: bool, f: float, m: float, t: float, v: float) -> None:
    k, found, h = f * m, greeks(call, f, f * m, t, v), f * 1e-4

    def at(forward: float, volatility: float, years: float) -> float:
        return value(call, forward, k, years, volatility)

    assert found.delta == pytest.approx((at(f + h, v, t) - at(f - h, v, t)) / (2 * h), abs=1e-4)
    assert found.vega == pytest.approx((at(f, v + 1e-4, t) - at(f, v - 1e-4, t)) / 0.02, abs=1e-5 * f)
    day = 1 / 365
    assert found.theta == pytest.approx((at(f, v, t - day * 1e-3) - at(f, v, t)) / 1e-3, rel=0.02, abs=1e-5 * f)


def test_without_time_an_option_is_worth_its_payoff_and_below_it_there_is_no_volatility() -> None:
    assert value(True, 61_000, 60_000, 0, 0.5) == 1000
    assert value(False, 61_000, 60_000, 0, 0.5) == 0
    assert greeks(True, 61_000, 60_000, 0, 0.5).delta == 1
    assert greeks(False, 61_000, 60_000, 0, 0.5).delta == 0
    assert implied_volatility(True, 999, 61_000, 60_000, 0.1) == 0


def test_recorded_marks_and_greeks_of_the_venue_come_out(corpus: Path) -> None:
    compared = 0
    for name in ("DERIBIT-5dd9ce.0", "DERIBIT.ws.1.0", "DERIBIT.ws.30.0"):
        path = corpus / "deribit" / "cryptofeed" / name
        if not path.is_file():
            pytest.skip(f"no recorded data: {path} is missing")
        for line in path.read_text().splitlines():
            _, _, text = line.partition(": ")
            if not text.startswith("{") or '"greeks"' not in text:
                continue
            data = json.loads(text)["params"]["data"]
            expiry, strike, letter = data["instrument_name"].split("-")[1:]
            when = datetime.strptime(expiry, "%d%b%y").replace(hour=8, tzinfo=UTC)
            years = (when.timestamp() * 1000 - data["timestamp"]) / YEAR_MS
            f, k, v, call = data["underlying_price"], float(strike), data["mark_iv"] / 100, letter == "C"
            ours, theirs = greeks(call, f, k, years, v), data["greeks"]
            assert value(call, f, k, years, v) / f == pytest.approx(data["mark_price"], abs=2e-3)
            assert ours.delta == pytest.approx(theirs["delta"], abs=5e-3)
            assert ours.vega == pytest.approx(theirs["vega"], rel=0.02, abs=0.05)
            assert ours.gamma == pytest.approx(theirs["gamma"], abs=2e-5)
            if years > 3 / 365:  # nearer to the end the venue shows no more than what is left to lose
                assert ours.theta == pytest.approx(theirs["theta"], rel=0.03, abs=0.5)
            assert ours.rho == pytest.approx(theirs["rho"], rel=0.03, abs=0.5)
            compared += 1
    assert compared > 100


def test_the_made_smile_prices_what_the_flow_shows() -> None:
    now = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
    names = [f"BTC-25DEC26-{strike}-{letter}" for letter in "CP" for strike in (56_000, 61_000, 66_000)]
    values = [fair_value(listing_for(name, Decimal(0), Decimal(0)), 61_000, now) for name in names]
    assert values[0] > values[1] > values[2] > 0, "calls fall with the strike"
    assert 0 < values[3] < values[4] < values[5], "puts rise with it"
    assert math.isclose(
        fair_value(listing_for("BTC-25DEC26", Decimal(0), Decimal(0)), 61_000, now), 61_000 * 1.0026, rel_tol=5e-4
    )
