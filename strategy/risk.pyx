# cython: language_level=3, annotation_typing=False, cdivision=True
"""The trader's own limits, per strategy: protection against accidents, before anything is published.

The rule: a request passes all checks or none of it leaves. Orders that reduce the position, and cancels, always pass:
a limit must never hold a strategy in a position. No limits = no orders. The engine checks again, by its own limits and
its own idea of the position; neither trusts the other.

Called by the strategy's runner for each new order and replace. All limits are mantissas computed once per change of
limits; quantities and prices stay Python integers, so no size overflows. Compiled: it stands between a quote and its
request, and as Python it cost a fifth of that way.
"""

from decimal import Decimal

from strategy.order cimport Working

from shm.layout import MONEY_SCALE, Reason, Side

PASS = 0
cdef int _BUY = Side.BUY


cdef class RateLimit:
    """At most `per_second` in the long run and one second's worth (at least one) in a burst: a leaky bucket in time.

    `full_at_ns` is the moment up to which capacity has been spent; each order moves it on by one interval.
    """

    cdef long long _interval_ns, _burst_ns, _full_at_ns

    def __init__(self, double per_second):
        self._interval_ns = round(1e9 / per_second)
        self._burst_ns = max(1_000_000_000, self._interval_ns) - self._interval_ns

    cpdef bint take(self, long long now_ns):
        """Spend one; False (and nothing spent) where none is left."""
        cdef long long full_at = self._full_at_ns
        if full_at < now_ns:
            full_at = now_ns
        if full_at - now_ns > self._burst_ns:
            return False
        self._full_at_ns = full_at + self._interval_ns
        return True


cdef class _InstrumentLimits:
    """The limits in the mantissas of one instrument."""

    cdef object instrument, position, quantity
    cdef double price_unit

    def __init__(self, limits, instrument):
        self.instrument = instrument
        self.quantity = instrument.exact_quantity(limits.max_order_quantity)
        self.position = instrument.exact_quantity(limits.max_position)
        self.price_unit = instrument.price_unit


cdef class StrategyRisk:
    """The gate of one strategy. `check` returns a Reason (0 = passes); `text` is the sentence when it refuses.

    `blocked` is set by the loss guard: while it is not empty, only what reduces passes, and it is the sentence.
    """

    cdef readonly object limits
    cdef readonly str text
    cdef readonly long refusals
    cdef public str blocked
    cdef list _instruments
    cdef dict _by_instrument
    cdef object _notional
    cdef double _band
    cdef long _open_orders
    cdef RateLimit _rate

    def __init__(self, limits, instruments):
        self.text = self.blocked = ""
        self._instruments = list(instruments)
        self._by_instrument = {}
        self.limits = None
        if limits is not None:
            self.set_limits(limits)

    def set_limits(self, limits):
        """From now on these. What the rate has already spent is forgotten only where the rate itself changed."""
        before = self.limits
        if before is None or before.max_orders_per_second != limits.max_orders_per_second:
            self._rate = RateLimit(limits.max_orders_per_second)
        self.limits = limits
        self._notional = int(Decimal(limits.max_order_notional).scaleb(MONEY_SCALE))
        self._band = limits.price_band
        self._open_orders = limits.max_open_orders
        self._by_instrument = {one.id: _InstrumentLimits(limits, one) for one in self._instruments}

    def reduces(self, position, int side, quantity, already, bint reduce_only):
        """True where this can only make the position smaller, even if every order on the same side fills.

        `already`: quantity on that side which is out without this order.
        """
        return reduce_only or _reduces(position.position_mantissa, side, already + quantity)

    def check(
        self, position, int side, price, quantity, replaced, notional, double mid, long open_orders, long long now_ns,
        bint reduce_only=False,
    ):
        """May this order (or replace: `replaced` is the quantity of that order that is out now, else 0) be sent?

        `price` mantissa (0 = market order), `quantity` mantissa still to trade, `notional` of both in 1e-8,
        `mid` float (NaN = none known), `open_orders` live orders of the strategy without this one.
        """
        cdef Working working = position.working
        cdef _InstrumentLimits own
        held = position.position_mantissa
        would_be_out = (working.buy if side == _BUY else working.sell) - replaced + quantity
        if reduce_only or _reduces(held, side, would_be_out):
            return 0
        instrument = position.instrument
        own = self._by_instrument.get(instrument.id)
        if own is None:
            return self._refuse(Reason.RISK_NO_LIMITS, "no limits are configured, so no order is allowed")
        if self.blocked:
            return self._refuse(Reason.RISK_LOSS, self.blocked)
        if quantity > own.quantity:
            return self._refuse(
                Reason.RISK_SIZE,
                f"quantity {instrument.quantity_of(quantity)} is above the limit of {self.limits.max_order_quantity}",
            )
        # The worse end: everything on this side that is out trades, nothing of the other side does.
        worst = would_be_out + held if side == _BUY else would_be_out - held
        if worst > own.position:
            return self._refuse(
                Reason.RISK_POSITION,
                f"the position could reach {instrument.quantity_of(worst)}, the limit is {self.limits.max_position}",
            )
        if not mid > 0.0:
            return self._refuse(
                Reason.RISK_STALE_DATA, f"{instrument.name} has no mid price to check the order against"
            )
        cdef double mid_mantissa = mid * own.price_unit
        cdef double band = self._band * mid_mantissa
        cdef double limit_price = price
        if limit_price != 0.0 and not -band <= limit_price - mid_mantissa <= band:
            return self._refuse(
                Reason.RISK_COLLAR,
                f"price {instrument.price_of(price)} is more than {self._band:.2%} from the mid {mid}",
            )
        if limit_price == 0.0:
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
        return 0

    cdef object _refuse(self, reason, str text):
        self.refusals += 1
        self.text = text
        return reason


cdef inline bint _reduces(held, int side, out) except -1:
    """All of `out` trades on this side: is what is held smaller then, and not turned around?"""
    if side != _BUY:
        return held > 0 and out <= held
    return held < 0 and out <= -held
