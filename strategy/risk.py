"""The trader's own limits, per strategy: protection against accidents of the strategy, before anything is published.

The rule: a request passes all checks or none of it leaves. Orders that reduce the position, and cancels, always pass:
a limit must never hold a strategy in a position. No limits = no orders. The engine checks again, by its own limits and
its own idea of the position; neither trusts the other.

Called by the strategy's runner for each new order and replace. All limits are mantissas computed once at load, the
hot path compares integers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from shm.layout import MONEY_SCALE, Reason, Side

if TYPE_CHECKING:
    from strategy.instrument import Instrument
    from strategy.mini_pms import Position

PASS: Final = 0
_BUY: Final = int(Side.BUY)


class Limits(Protocol):
    """What the config says; decimal text, so that a limit is exactly what was written."""

    @property
    def max_order_quantity(self) -> str: ...
    @property
    def max_order_notional(self) -> str: ...  # quote currency
    @property
    def max_position(self) -> str: ...  # base units, either direction
    @property
    def price_band(self) -> float: ...  # fraction of the mid
    @property
    def max_orders_per_second(self) -> float: ...  # new orders and replaces; a burst of one second is allowed
    @property
    def max_open_orders(self) -> int: ...
    @property
    def max_loss(self) -> str: ...  # quote currency


class _InstrumentLimits:
    """The limits in the mantissas of one instrument."""

    __slots__ = ("position", "quantity")

    def __init__(self, limits: Limits, instrument: Instrument) -> None:
        self.quantity = instrument.exact_quantity(limits.max_order_quantity)
        self.position = instrument.exact_quantity(limits.max_position)


class RateLimit:
    """At most `per_second` in the long run and one second's worth (at least one) in a burst: a leaky bucket in time.

    `full_at_ns` is the moment up to which capacity has been spent; each order moves it on by one interval.
    """

    __slots__ = ("_burst_ns", "_full_at_ns", "_interval_ns")

    def __init__(self, per_second: float) -> None:
        self._interval_ns = round(1e9 / per_second)
        self._burst_ns = max(1_000_000_000, self._interval_ns) - self._interval_ns
        self._full_at_ns = 0

    def take(self, now_ns: int) -> bool:
        """Spend one; False (and nothing spent) where none is left."""
        full_at = self._full_at_ns
        if full_at < now_ns:
            full_at = now_ns
        if full_at - now_ns > self._burst_ns:
            return False
        self._full_at_ns = full_at + self._interval_ns
        return True


class StrategyRisk:
    """The gate of one strategy. `check` returns a Reason (0 = passes); `text` is the sentence when it refuses."""

    def __init__(self, limits: Limits | None, instruments: list[Instrument]) -> None:
        self.limits = limits
        self.text = ""
        self.refusals = 0
        self.loss_tripped = False
        """Once true it stays: losses do not heal by themselves. A person resets it by a new start."""
        self._by_instrument: dict[int, _InstrumentLimits] = {}
        if limits is None:
            return
        self._notional = int(Decimal(limits.max_order_notional).scaleb(MONEY_SCALE))
        self._max_loss = int(Decimal(limits.max_loss).scaleb(MONEY_SCALE))
        self._band = limits.price_band
        self._open_orders = limits.max_open_orders
        self._rate = RateLimit(limits.max_orders_per_second)
        for instrument in instruments:
            self._by_instrument[instrument.id] = _InstrumentLimits(limits, instrument)

    def reduces(self, position: Position, side: int, quantity: int, already: int, reduce_only: bool) -> bool:
        """True where this can only make the position smaller, even if every order on the same side fills.

        `already`: quantity on that side which is out without this order.
        """
        if reduce_only:
            return True
        held = position.position_mantissa
        if side != _BUY:
            return held > 0 and already + quantity <= held
        return held < 0 and already + quantity <= -held

    def check(
        self, position: Position, side: int, price: int, quantity: int, replaced: int, notional: int,
        mid: float, open_orders: int, now_ns: int, reduce_only: bool = False,
    ) -> int:  # fmt: skip
        """May this order (or replace: `replaced` is the quantity of that order that is out now, else 0) be sent?

        `price` mantissa (0 = market order), `quantity` mantissa still to trade, `notional` of both in 1e-8,
        `mid` float (NaN = none known), `open_orders` live orders of the strategy without this one.
        """
        held = position.position_mantissa
        already = (position.working.buy if side == _BUY else position.working.sell) - replaced
        if (reduce_only or held) and self.reduces(position, side, quantity, already, reduce_only):
            return PASS
        own = self._by_instrument.get(position.instrument.id)
        if self.limits is None or own is None:
            return self._refuse(Reason.RISK_NO_LIMITS, "no limits are configured, so no order is allowed")
        if self.loss_tripped:
            return self._refuse(Reason.RISK_LOSS, f"the loss limit of {self.limits.max_loss} was reached")
        instrument = position.instrument
        if quantity > own.quantity:
            return self._refuse(
                Reason.RISK_SIZE,
                f"quantity {instrument.quantity_of(quantity)} is above the limit of {self.limits.max_order_quantity}",
            )
        # The worse end: everything on this side that is out trades, nothing of the other side does.
        worst = already + quantity + (held if side == _BUY else -held)
        if worst > own.position:
            return self._refuse(
                Reason.RISK_POSITION,
                f"the position could reach {instrument.quantity_of(worst)}, the limit is {self.limits.max_position}",
            )
        if not mid > 0.0:
            return self._refuse(
                Reason.RISK_STALE_DATA, f"{instrument.name} has no mid price to check the order against"
            )
        mid_mantissa = mid * instrument.price_unit
        band = self._band * mid_mantissa
        if price and not -band <= price - mid_mantissa <= band:
            return self._refuse(
                Reason.RISK_COLLAR,
                f"price {instrument.price_of(price)} is more than {self._band:.2%} from the mid {mid}",
            )
        if not price:
            notional = instrument.notional(round(mid_mantissa), quantity)
        if notional > self._notional:
            return self._refuse(
                Reason.RISK_NOTIONAL,
                f"notional {notional / 10**MONEY_SCALE:.2f} is above the limit of {self.limits.max_order_notional}",
            )
        if open_orders >= self._open_orders:
            return self._refuse(
                Reason.RISK_OPEN_ORDERS, f"{open_orders} orders are open, the limit is {self._open_orders}"
            )
        if not self._rate.take(now_ns):
            return self._refuse(
                Reason.RISK_RATE, f"more than {self.limits.max_orders_per_second:g} orders per second were asked for"
            )
        return PASS

    def check_loss(self, worst_profit: int | None) -> bool:
        """Trip the loss limit. `worst_profit` in 1e-8: profit at the worse end of the range; None = not known now.

        True the first time it trips.
        """
        if self.limits is None or self.loss_tripped or worst_profit is None or worst_profit >= -self._max_loss:
            return False
        self.loss_tripped = True
        return True

    def _refuse(self, reason: Reason, text: str) -> int:
        self.refusals += 1
        self.text = text
        return reason
