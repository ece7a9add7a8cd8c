"""An instrument as a strategy sees it: sizes, scales, and the one way from floats to exact mantissas.

The rule: a price or quantity becomes a whole number of ticks or lots here, or it is refused here; nothing behind this
file ever rounds. Made by the container from a row of the instruments table, refreshed when that row changes.
"""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final

from shm.layout import MONEY_SCALE, InstrumentStatus, Side

if TYPE_CHECKING:
    from shm.records import InstrumentRow

SNAP: Final = 1e-6
"""Part of a tick or lot within which a float counts as being on the grid: 0.1 * 3 must not fall to the tick below.
Prices have at most about 10 significant digits and a float64 carries 15, so this never moves a price by a tick."""

_BUY: Final = int(Side.BUY)
MONEY_UNIT: Final = 10**MONEY_SCALE


class InstrumentError(ValueError):
    """A price or quantity that cannot be an order of this instrument; one sentence."""


class Instrument:
    """Static data of one instrument. Floats are for reading, mantissas for orders. Not shared between threads."""

    __slots__ = (
        "_last_mantissa",
        "_last_quantity",
        "base_currency",
        "contract_size",
        "id",
        "inverse",
        "lot",
        "lot_size",
        "maximum_price",
        "maximum_quantity",
        "minimum_notional",
        "minimum_price",
        "minimum_quantity",
        "name",
        "notional_divisor",
        "notional_factor",
        "price_scale",
        "price_unit",
        "quantity_scale",
        "quantity_unit",
        "quote_currency",
        "settle_currency",
        "status",
        "symbol",
        "tick",
        "tick_size",
        "tick_steps",
        "venue",
    )

    def __init__(self, name: str, row: InstrumentRow) -> None:
        """`name` is "venue:SYMBOL". Raises InstrumentError where the row has no tick or lot size."""
        self.name = name
        self.id: int = row.instrument_id
        self.venue: int = row.venue
        self.price_scale: int = row.price_scale
        self.quantity_scale: int = row.quantity_scale
        self.price_unit = 10.0**row.price_scale
        self.quantity_unit = 10.0**row.quantity_scale
        self.refresh(row)

    def refresh(self, row: InstrumentRow) -> None:
        """Take over a changed row. The scales stand in every mantissa that is alive, so they may not change."""
        if row.tick_size <= 0 or row.lot_size <= 0:
            raise InstrumentError(
                f"{self.name} has tick size {row.tick_size} and lot size {row.lot_size}, expected both > 0"
            )
        if (row.price_scale, row.quantity_scale) != (self.price_scale, self.quantity_scale):
            raise InstrumentError(
                f"{self.name} changed its scales from {self.price_scale}/{self.quantity_scale} to "
                f"{row.price_scale}/{row.quantity_scale}; restart the trader"
            )
        self.symbol = bytes(row.symbol).decode("ascii", "replace")
        self.base_currency = bytes(row.base_currency).decode("ascii", "replace")
        self.quote_currency = bytes(row.quote_currency).decode("ascii", "replace")
        self.settle_currency = bytes(row.settle_currency).decode("ascii", "replace")
        self.status = row.status
        self.inverse = bool(row.inverse)
        self._last_quantity: float | Decimal = math.nan  # equal to nothing
        self._last_mantissa = 0
        self.tick_size: int = row.tick_size
        self.lot_size: int = row.lot_size
        self.tick = row.tick_size / self.price_unit
        self.lot = row.lot_size / self.quantity_unit
        self.minimum_quantity: int = row.minimum_quantity
        self.maximum_quantity: int = row.maximum_quantity
        self.minimum_price: int = row.minimum_price
        self.maximum_price: int = row.maximum_price
        self.minimum_notional: int = row.minimum_notional
        self.contract_size: int = row.contract_size or MONEY_UNIT
        self.tick_steps = tuple(
            (int(price), int(size))
            for price, size in zip(row.tick_step_prices, row.tick_step_sizes, strict=True)
            if size > 0
        )
        # notional in 1e-8 = price * quantity * contract_size / 10**(price_scale + quantity_scale + 8 - 8), kept as one
        # factor and one divisor; where the contract is 1.0 and the scales add up to <= 8 the divisor is 1: exact.
        # The quantity of an inverse contract is its value already: its notional is quantity * contract_size.
        scale = self.quantity_scale if self.inverse else self.price_scale + self.quantity_scale
        factor: int = self.contract_size
        divisor: int = 10**scale
        common = math.gcd(factor, divisor)
        self.notional_factor = factor // common
        self.notional_divisor = divisor // common

    def __repr__(self) -> str:
        return f"Instrument({self.name!r})"

    @property
    def is_trading(self) -> bool:
        return self.status in (InstrumentStatus.TRADING, InstrumentStatus.NONE)

    # --- mantissa -> float ------------------------------------------------------------------------------------------
    def price_of(self, mantissa: int) -> float:
        return mantissa / self.price_unit

    def quantity_of(self, mantissa: int) -> float:
        return mantissa / self.quantity_unit

    # --- float -> mantissa ------------------------------------------------------------------------------------------
    def tick_at(self, price_mantissa: int) -> int:
        """Tick size (mantissa) that holds at this price."""
        size = self.tick_size
        for above, step in self.tick_steps:
            if price_mantissa >= above:
                size = step
        return size

    def price_mantissa(self, price: float | Decimal, side: int, passive: bool) -> int:
        """The tick of a price: with `passive` a buy goes down and a sell up to the next tick, otherwise to the nearest.

        Raises InstrumentError for a price that is not a positive number or outside the venue's own bounds.
        """
        try:
            scaled = (price if type(price) is float else float(price)) * self.price_unit
        except (TypeError, ValueError):
            raise InstrumentError(f"price {price!r} of {self.name} is not a number") from None
        if not 0.0 < scaled < 9e18:  # also false for NaN
            raise InstrumentError(f"price {price!r} of {self.name} is not a positive number")
        tick = self.tick_size if not self.tick_steps else self.tick_at(int(scaled))
        ticks = scaled / tick
        nearest = round(ticks)
        if passive and not -SNAP <= ticks - nearest <= SNAP:
            nearest = math.floor(ticks) if side == _BUY else math.ceil(ticks)
        mantissa = nearest * tick
        if mantissa <= 0 or mantissa < self.minimum_price:
            raise InstrumentError(
                f"price {price} of {self.name} is below its lowest, {self.price_of(self.minimum_price or tick)}"
            )
        if 0 < self.maximum_price < mantissa:
            raise InstrumentError(
                f"price {price} of {self.name} is above its highest, {self.price_of(self.maximum_price)}"
            )
        return mantissa

    def quantity_mantissa(self, quantity: float | Decimal) -> int:
        """Whole lots, rounded down. Raises InstrumentError below the smallest or above the largest order."""
        if quantity == self._last_quantity:  # most strategies send one size for hours
            return self._last_mantissa
        try:
            scaled = float(quantity) * self.quantity_unit
        except (TypeError, ValueError):
            raise InstrumentError(f"quantity {quantity!r} of {self.name} is not a number") from None
        if not 0.0 < scaled < 9e18:
            raise InstrumentError(f"quantity {quantity!r} of {self.name} is not a positive number")
        lots = scaled / self.lot_size
        nearest = round(lots)
        whole = nearest if abs(lots - nearest) <= SNAP else math.floor(lots)
        mantissa = whole * self.lot_size
        if mantissa <= 0 or mantissa < self.minimum_quantity:
            smallest = self.quantity_of(max(self.minimum_quantity, self.lot_size))
            raise InstrumentError(f"quantity {quantity} of {self.name} is below its smallest order, {smallest}")
        if 0 < self.maximum_quantity < mantissa:
            largest = self.quantity_of(self.maximum_quantity)
            raise InstrumentError(f"quantity {quantity} of {self.name} is above its largest order, {largest}")
        self._last_quantity, self._last_mantissa = quantity, mantissa
        return mantissa

    def exact_quantity(self, text: str) -> int:
        """Mantissa of a limit written as decimal text, rounded down: a limit is never widened."""
        return int(Decimal(text).scaleb(self.quantity_scale).to_integral_value(ROUND_FLOOR))

    def unit_value(self, price: float) -> float:
        """Value of one unit of quantity in quote currency, for what is decided and never for the ledger."""
        return self.contract_size / MONEY_UNIT * (1.0 if self.inverse else price)

    def notional(self, price_mantissa: int, quantity_mantissa: int) -> int:
        """Value in 1e-8 of the quote currency, rounded up: used by limits only, never by the ledger."""
        if self.inverse:
            value = quantity_mantissa * self.notional_factor
        else:
            value = price_mantissa * quantity_mantissa * self.notional_factor
        if self.notional_divisor == 1:
            return value
        # Floor division of the negated value: rounded up.
        return -(-value // self.notional_divisor)
