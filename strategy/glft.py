"""Optimal quotes of a market maker: the closed-form asymptotics of Guéant, Lehalle and Fernandez-Tapia.

The model
---------
The mid price S is a Brownian motion of volatility sigma (price units per square root of a second). A quote at distance
d from the mid is hit with intensity lambda(d) = A * exp(-k * d) (A per second, k per price unit), each time for
`order_size` (Delta). The market maker maximises utility with risk aversion gamma (1 / money) and holds q units.

Far from the horizon the optimal distances no longer depend on time, and are approximated in closed form by

    bid distance(q) = c1 + (2 q + Delta) / 2 * sigma * c2
    ask distance(q) = c1 - (2 q - Delta) / 2 * sigma * c2

    c1 = ln(1 + xi * Delta / k) / (xi * Delta)                                       (xi -> 0:  1 / k)
    c2 = sqrt( gamma / (2 * A * Delta * k) * (1 + xi * Delta / k) ** (k / (xi * Delta) + 1) )
                                                                                     (xi -> 0:  the power is e)

that is: half spread = c1 + Delta / 2 * sigma * c2 around a reservation price S - q * sigma * c2.

Sources
-------
- O. Guéant, C.-A. Lehalle, J. Fernandez-Tapia, "Dealing with the inventory risk: a solution to the market making
  problem", Mathematics and Financial Economics 7(4), 2013 (arXiv:1105.3115), section 4: the case xi = gamma, Delta = 1.
- O. Guéant, "Optimal market making", Applied Mathematical Finance 24(2), 2017 (arXiv:1605.01862): any order size, and
  xi between 0 (inventory risk is penalised, non-execution risk is not: "Model B") and gamma (CARA utility: "Model A").

`exact_distances` computes the same distances without the continuous approximation, from the ground state of the
tridiagonal matrix of the 2013 paper; it is the yardstick of the tests and of anybody who doubts the approximation.
Pure functions: no state, no clock. Called by `market_making.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class GlftCoefficients:
    """Price units. `half_spread` = c1 + Delta / 2 * sigma * c2; `skew` = sigma * c2 per unit of inventory."""

    half_spread: float
    skew: float

    def reservation_price(self, mid: float, inventory: float) -> float:
        """The price around which to quote: below the mid when long, above it when short."""
        return mid - inventory * self.skew

    def quotes(self, mid: float, inventory: float) -> tuple[float, float]:
        """Optimal bid and ask, not yet rounded to ticks."""
        centre = self.reservation_price(mid, inventory)
        return centre - self.half_spread, centre + self.half_spread


def coefficients(
    *, intensity: float, decay: float, volatility: float, risk_aversion: float, order_size: float = 1.0,
    xi: float | None = None,
) -> GlftCoefficients:  # fmt: skip
    """Half spread and skew.

    intensity A > 0 (1/s), decay k > 0 (1/price), volatility sigma >= 0 (price/sqrt(s)), risk_aversion gamma > 0
    (1/money), order_size Delta > 0; xi from 0 (Model B) to gamma (Model A, the default).
    Raises ValueError, naming the parameter, for anything else.
    """
    for name, value in (
        ("intensity", intensity), ("decay", decay), ("risk_aversion", risk_aversion), ("order_size", order_size),
    ):  # fmt: skip
        if not (value > 0.0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value}, expected a positive number")
    if not (volatility >= 0.0 and math.isfinite(volatility)):
        raise ValueError(f"volatility is {volatility}, expected a number of at least 0")
    if xi is None:
        xi = risk_aversion
    if not (xi >= 0.0 and math.isfinite(xi)):
        raise ValueError(f"xi is {xi}, expected a number of at least 0")
    x = xi * order_size / decay
    # log1p keeps both terms right down to xi = 0, where they tend to 1/k and e (relative error below 1e-12).
    if x < 1e-12:
        c1, power = 1.0 / decay, math.e
    else:
        c1 = math.log1p(x) / (x * decay)
        power = math.exp((1.0 / x + 1.0) * math.log1p(x))
    c2 = math.sqrt(risk_aversion / (2.0 * intensity * order_size * decay) * power)
    skew = volatility * c2
    return GlftCoefficients(c1 + order_size / 2.0 * skew, skew)


def exact_distances(
    *, intensity: float, decay: float, volatility: float, risk_aversion: float, inventory_limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask distances for inventories -inventory_limit..inventory_limit, Delta = 1 and xi = gamma.

    With alpha = k / 2 * gamma * sigma**2 and eta = A * (1 + gamma / k) ** -(1 + k / gamma), let f be the positive
    eigenvector to the smallest eigenvalue of the matrix with alpha * q**2 on the diagonal and -eta beside it. Then
    bid distance(q) = ln(f(q) / f(q + 1)) / k + ln(1 + gamma / k) / gamma, and the ask with f(q - 1).
    Where quoting is not allowed (the bid at the upper limit, the ask at the lower one) the distance is infinite.
    """
    inventory = np.arange(-inventory_limit, inventory_limit + 1, dtype=float)
    alpha = decay / 2.0 * risk_aversion * volatility**2
    eta = intensity * (1.0 + risk_aversion / decay) ** -(1.0 + decay / risk_aversion)
    side = np.full(len(inventory) - 1, -eta)
    matrix = np.diag(alpha * inventory**2) + np.diag(side, 1) + np.diag(side, -1)
    _, vectors = np.linalg.eigh(matrix)
    ground = np.abs(vectors[:, 0])
    constant = math.log1p(risk_aversion / decay) / risk_aversion
    bid = np.full(len(inventory), np.inf)
    ask = np.full(len(inventory), np.inf)
    bid[:-1] = np.log(ground[:-1] / ground[1:]) / decay + constant
    ask[1:] = np.log(ground[1:] / ground[:-1]) / decay + constant
    return bid, ask
