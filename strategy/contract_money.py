"""The money of one position in integers: what a fill costs, what a part of it realises, what is open at a mark.

The rule (one-way positions, average cost; all roundings half-even): Q is the signed position, C the signed cost of what
is held, both start at 0 and C has the sign of Q.
- A fill that opens or adds moves C by the fill's value.
- A fill that takes q off |Q| removes |C| * q / |Q| from |C| and realises the difference to the fill's value.
- A fill larger than the position closes it (removing all of C, so no crumb is left) and opens the rest.
Sums are never rounded again. Profit, fees and marks are counted in units of 1e-8 (MONEY_SCALE).

                 LinearRule: settled in quote currency        InverseRule: settled in base currency, the "coin"
    quantity     base units * contract size                   quote units (US dollars) * contract size
    value        price * quantity in 1e-8                     quantity / price in 1e-18
    realised     value - removed for a long position          removed - value for a long one, rounded to 1e-8
    unrealised   Q * mark - C, rounded once                   C - Q / mark, rounded once

The inverse column is s * A * (1 / average price - 1 / exit) with average price = sum of A / sum of A / price (Deribit,
"Inverse perpetual"). Its cost is finer than its profit, or ten dollars at 60,000 would forget their entry price.
Kept apart from `exchanges/simulator/ledger.py` on purpose: the same rule in Decimal, which the tests hold against it.

Called by strategy/mini_pms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from shm.layout import MONEY_SCALE

if TYPE_CHECKING:
    from strategy.instrument import Instrument

MONEY_UNIT: Final = 10**MONEY_SCALE
COIN_UNIT: Final = 10**18
_COIN_TO_MONEY: Final = COIN_UNIT // MONEY_UNIT


def round_half_even_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, halves to the even one. denominator > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


class MoneyRule(Protocol):
    """The formulae of one contract. Costs are in `cost_unit`ths of the settle currency, profits in 1e-8 of it."""

    cost_unit: int

    def value(self, price_mantissa: int, quantity_mantissa: int) -> int:
        """Of a fill, as a cost. price and quantity > 0."""

    def cost_of(self, entry_price: float, quantity_mantissa: int) -> int:
        """Of a quantity that was entered at the venue's average price, a float > 0 taken exactly."""

    def long_profit(self, removed: int, value: int) -> int:
        """What a long position realises that gives up `removed` of its cost for `value`; a short one the negative."""

    def unrealized(self, position: int, cost: int, mark_mantissa: int) -> int:
        """Of what is held, at a mark > 0 with MONEY_SCALE decimals."""

    def average_price(self, position: int, cost: int) -> float:
        """Of what is held; position and cost are not 0."""


class LinearRule:
    """Profit in quote currency. Exact wherever the venue's price and quantity decimals add up to 8 or fewer."""

    __slots__ = ("_contract_size", "_divisor", "_factor", "_mark_divisor", "cost_unit")

    def __init__(self, instrument: Instrument) -> None:
        self.cost_unit = MONEY_UNIT
        self._factor = instrument.notional_factor
        self._divisor = instrument.notional_divisor
        self._contract_size = instrument.contract_size
        # mark has MONEY_SCALE decimals: Q * mark * contract_size / 10**(quantity_scale + 8) is in 1e-8.
        self._mark_divisor = 10**instrument.quantity_scale * MONEY_UNIT

    def value(self, price_mantissa: int, quantity_mantissa: int) -> int:
        if self._divisor == 1:
            return price_mantissa * quantity_mantissa * self._factor
        return round_half_even_ratio(price_mantissa * quantity_mantissa * self._factor, self._divisor)

    def cost_of(self, entry_price: float, quantity_mantissa: int) -> int:
        numerator, denominator = entry_price.as_integer_ratio()
        return round_half_even_ratio(
            numerator * quantity_mantissa * self._contract_size * MONEY_UNIT, denominator * self._mark_divisor
        )

    def long_profit(self, removed: int, value: int) -> int:
        return value - removed

    def unrealized(self, position: int, cost: int, mark_mantissa: int) -> int:
        divisor = self._mark_divisor
        return round_half_even_ratio(position * mark_mantissa * self._contract_size - cost * divisor, divisor)

    def average_price(self, position: int, cost: int) -> float:
        price: float = cost * self._mark_divisor / (position * self._contract_size) / MONEY_UNIT
        return price


class InverseRule:
    """Profit in base currency ("coin")."""

    __slots__ = ("_contract_size", "_quantity_unit", "_value_divisor", "_value_factor", "cost_unit")

    def __init__(self, instrument: Instrument) -> None:
        self.cost_unit = COIN_UNIT
        self._contract_size = instrument.contract_size
        self._quantity_unit = 10**instrument.quantity_scale
        self._value_factor = instrument.contract_size * COIN_UNIT * 10**instrument.price_scale
        self._value_divisor = self._quantity_unit * MONEY_UNIT

    def value(self, price_mantissa: int, quantity_mantissa: int) -> int:
        return round_half_even_ratio(quantity_mantissa * self._value_factor, price_mantissa * self._value_divisor)

    def cost_of(self, entry_price: float, quantity_mantissa: int) -> int:
        numerator, denominator = entry_price.as_integer_ratio()
        dollars = quantity_mantissa * self._contract_size
        return round_half_even_ratio(dollars * denominator * COIN_UNIT, numerator * self._value_divisor)

    def long_profit(self, removed: int, value: int) -> int:
        return round_half_even_ratio(removed - value, _COIN_TO_MONEY)

    def unrealized(self, position: int, cost: int, mark_mantissa: int) -> int:
        # cost / 1e10 - dollars * 1e8 / mark, over one denominator: one rounding
        divisor = self._quantity_unit * mark_mantissa
        dollars = position * self._contract_size
        return round_half_even_ratio(cost * divisor - dollars * COIN_UNIT, divisor * _COIN_TO_MONEY)

    def average_price(self, position: int, cost: int) -> float:
        price: float = position * self._contract_size * COIN_UNIT / (cost * self._value_divisor)
        return price


def rule_of(instrument: Instrument) -> MoneyRule:
    return InverseRule(instrument) if instrument.inverse else LinearRule(instrument)
