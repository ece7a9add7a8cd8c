"""What can be traded, and the filters an order must pass.

All numbers are Decimal in the venue's own units. `check_*` raise `OrderRefused`; the venue words the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from exchanges.simulator.errors import OrderRefused, Refusal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One contract. Linear: quantity in `base`, money in `quote`; `inverse`: quantity in `quote`, money in `base`.

    `price_precision` and `quantity_precision` are the decimals shown on the wire, which may be more than the tick
    needs. `market_max_quantity` bounds MARKET orders, `percent_price` the distance of a limit price from the mark.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_price: Decimal
    max_price: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    market_max_quantity: Decimal
    min_notional: Decimal
    price_precision: int
    quantity_precision: int
    percent_price: Decimal = Decimal("0.05")
    max_open_orders: int = 200
    reference_price: Decimal = Decimal(1)
    """Where a generated market starts."""
    inverse: bool = False
    option: bool = False
    """Charged as an option: by its quantity, never more than an eighth of its premium."""
    tick_steps: tuple[tuple[Decimal, Decimal], ...] = ()
    """(from this price on, this tick), ascending; below the first one `tick_size`."""
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    """Rates of this contract; None: the account's."""

    def value(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Of `quantity` at `price`, in the currency of profit."""
        return quantity / price if self.inverse else price * quantity

    @property
    def settle(self) -> str:
        """The currency of profit, fees and margin."""
        return self.base if self.inverse else self.quote

    def tick_at(self, price: Decimal) -> Decimal:
        """The tick that `price` must be a multiple of."""
        tick = self.tick_size
        for above, step in self.tick_steps:
            if price >= above:
                tick = step
        return tick

    def check_price(self, price: Decimal) -> None:
        """Bounds first, then decimals, then the tick: the order in which a price is wrong."""
        if price <= 0:
            raise OrderRefused(Refusal.PRICE_NOT_POSITIVE)
        if price < self.min_price:
            raise OrderRefused(Refusal.PRICE_TOO_LOW)
        if price > self.max_price:
            raise OrderRefused(Refusal.PRICE_TOO_HIGH)
        if decimals(price) > self.price_precision:
            raise OrderRefused(Refusal.PRECISION)
        if price % self.tick_at(price):
            raise OrderRefused(Refusal.PRICE_OFF_TICK)

    def check_quantity(self, quantity: Decimal, market: bool) -> None:
        """LOT_SIZE, or the market variant of it."""
        if quantity <= 0:
            raise OrderRefused(Refusal.QUANTITY_NOT_POSITIVE)
        if decimals(quantity) > self.quantity_precision:
            raise OrderRefused(Refusal.PRECISION)
        if quantity < self.min_quantity:
            raise OrderRefused(Refusal.QUANTITY_TOO_SMALL)
        if quantity > (self.market_max_quantity if market else self.max_quantity):
            raise OrderRefused(Refusal.QUANTITY_TOO_LARGE)
        if quantity % self.lot_size:
            raise OrderRefused(Refusal.QUANTITY_OFF_LOT)

    def check_mark_band(self, price: Decimal, mark: Decimal, is_buy: bool) -> None:
        """A buy may not be far above the mark, a sell not far below it."""
        if is_buy and price > mark * (1 + self.percent_price):
            raise OrderRefused(Refusal.PRICE_ABOVE_MARK_BAND, str(mark * (1 + self.percent_price)))
        if not is_buy and price < mark * (1 - self.percent_price):
            raise OrderRefused(Refusal.PRICE_BELOW_MARK_BAND, str(mark * (1 - self.percent_price)))


def decimals(value: Decimal) -> int:
    """Significant decimal places: 0.10 has one."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -int(exponent))
