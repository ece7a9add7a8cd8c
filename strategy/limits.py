"""A strategy's limits: what the config allows at most, and what a person made of it while the trader runs.

The rule: the config is the hard cap. A change through control may lower a limit and raise it again up to the config's,
never beyond; all changes of one command take effect, or none. 0 is allowed where it means "only what reduces".

Called by risk.pyx (reads), strategy_runner.py and processes/trader.py (changes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol


class Limits(Protocol):
    """What the config says; decimal text, so that a limit is exactly what was written."""

    @property
    def max_order_quantity(self) -> str: ...  # the venue's quantity unit
    @property
    def max_order_notional(self) -> str: ...  # quote currency
    @property
    def max_position(self) -> str: ...  # the venue's quantity unit, either direction
    @property
    def price_band(self) -> float: ...  # fraction of the mid
    @property
    def max_orders_per_second(self) -> float: ...  # new orders and replaces; a burst of one second is allowed
    @property
    def max_open_orders(self) -> int: ...
    @property
    def max_loss(self) -> str: ...  # dollars of one UTC day, see mini_pms.py


class LimitError(ValueError):
    """A change of limits that is not allowed; one sentence."""


@dataclass(frozen=True, slots=True)
class ChangedLimits:
    """Limits by value; the fields of `Limits`."""

    max_order_quantity: str
    max_order_notional: str
    max_position: str
    price_band: float
    max_orders_per_second: float
    max_open_orders: int
    max_loss: str


NAMES: Final = tuple(field.name for field in fields(ChangedLimits))
_ABOVE_ZERO: Final = frozenset({"price_band", "max_orders_per_second"})


def values_of(limits: Limits) -> dict[str, Any]:
    """By name, for status and for the state file."""
    return {name: getattr(limits, name) for name in NAMES}


def changed(caps: Limits, current: Limits, changes: Mapping[str, Any]) -> ChangedLimits:
    """`current` with changes, all of them valid and none above its cap. Raises LimitError."""
    valid = {name: _valid(caps, name, value) for name, value in changes.items()}
    return ChangedLimits(**(values_of(current) | valid))


def _valid(caps: Limits, name: str, value: Any) -> str | float | int:
    if name not in NAMES:
        raise LimitError(f"limit {name}: there is no such limit, expected one of: {', '.join(NAMES)}")
    cap = getattr(caps, name)
    lowest = "a number above 0" if name in _ABOVE_ZERO else "a number from 0"
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or (name in _ABOVE_ZERO and number == 0):
        raise LimitError(f"limit {name}: found {value!r}, expected {lowest} to {cap}")
    if number > Decimal(str(cap)):
        raise LimitError(f"limit {name}: found {value!r}, the config allows at most {cap}")
    if isinstance(cap, str):
        return format(number, "f")
    if isinstance(cap, int):
        if number != number.to_integral_value():
            raise LimitError(f"limit {name}: found {value!r}, expected a whole number up to {cap}")
        return int(number)
    as_float = float(number)
    if not math.isfinite(1.0 / as_float if as_float else math.inf):
        raise LimitError(f"limit {name}: found {value!r}, expected {lowest} to {cap}")
    return as_float
