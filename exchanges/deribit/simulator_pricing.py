"""What an option is worth: Black-76 on the forward of its expiry, without discounting.

Source: F. Black, "The pricing of commodity contracts" (1976), with interest rate 0:

    call = F N(d1) - K N(d2)     put = K N(-d2) - F N(-d1)     d1,2 = (ln(F/K) ± v²T/2) / (v √T)

An inverse option is quoted in coin: the same value over F. Greeks are in dollars as the venue shows them: delta per
coin, gamma per dollar of F, vega per percent of volatility, theta per day, rho per percent of interest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

YEAR_MS = 365 * 24 * 3600 * 1000
HIGHEST_VOLATILITY = 5.0
BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class Greeks:
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _d1(forward: float, strike: float, years: float, volatility: float) -> float:
    deviation = volatility * math.sqrt(years)
    return math.log(forward / strike) / deviation + deviation / 2


def value(is_call: bool, forward: float, strike: float, years: float, volatility: float) -> float:
    """In dollars; what it pays when no time or no volatility is left."""
    if years <= 0 or volatility <= 0:
        return max(forward - strike if is_call else strike - forward, 0.0)
    d1 = _d1(forward, strike, years, volatility)
    d2 = d1 - volatility * math.sqrt(years)
    if is_call:
        return forward * _normal(d1) - strike * _normal(d2)
    return strike * _normal(-d2) - forward * _normal(-d1)


def greeks(is_call: bool, forward: float, strike: float, years: float, volatility: float) -> Greeks:
    """Sensitivities of `value`; those of the payoff when no time is left."""
    if years <= 0 or volatility <= 0:
        inside = forward > strike if is_call else forward < strike
        return Greeks((1.0 if is_call else -1.0) if inside else 0.0, 0.0, 0.0, 0.0, 0.0)
    root = math.sqrt(years)
    d1 = _d1(forward, strike, years, volatility)
    d2 = d1 - volatility * root
    return Greeks(
        delta=_normal(d1) if is_call else _normal(d1) - 1,
        gamma=_density(d1) / (forward * volatility * root),
        vega=forward * _density(d1) * root / 100,
        theta=-forward * _density(d1) * volatility / (2 * root) / 365,
        rho=(strike * years * _normal(d2) if is_call else -strike * years * _normal(-d2)) / 100,
    )


def implied_volatility(is_call: bool, price: float, forward: float, strike: float, years: float) -> float:
    """The volatility at which the option is worth `price` dollars; 0 where none is (below its payoff)."""
    if years <= 0 or price <= value(is_call, forward, strike, years, 0.0):
        return 0.0
    low, high = 0.0, HIGHEST_VOLATILITY
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if value(is_call, forward, strike, years, middle) < price:
            low = middle
        else:
            high = middle
    return high
