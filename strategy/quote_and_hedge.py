"""QuoteAndHedgeStrategy: quotes post-only on one instrument, hedges its fills on another. An example with two of them.

The rule: the first instrument of the config is quoted, one order a side; the second is the hedge. Quotes stand a fixed
distance behind the touch, or (`price_from = "hedge"`) around the hedge's mid, brought over by the usual ratio of both
prices, and then never through the touch: what moves on the hedge's venue moves them at once. What is held on the first
is wanted with the other sign on the second; any difference of a lot or more is sent at once as one IOC order, and while
that order is not over by the venue's word, no other one goes. Without a hedge that can be traded nothing is quoted. The
two may be of different venues.

Loaded as "strategy.quote_and_hedge:QuoteAndHedgeStrategy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from shm.layout import OrderState, Side, TimeInForce
from strategy.abstract_strategy import AbstractStrategy
from strategy.price_ratio import PriceRatio

if TYPE_CHECKING:
    from shm.records import Quote
    from strategy.instrument import Instrument
    from strategy.mini_pms import Position
    from strategy.order import Order

Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]


class QuoteAndHedgeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Units in each line; ticks are those of the instrument that the parameter is about."""

    order_quantity: Positive
    """Of each quote, in the unit of the quoted instrument (BTC for BTCUSDT)."""
    maximum_position: Positive
    """Of the quoted instrument, in its unit, either direction; open orders count."""
    hedge_ratio: Positive | None = None
    """Hedge units for one quoted unit; None = the same value in quote currency, by the two mids."""
    minimum_hedge_value: NotNegative = 100.0
    """Smaller differences wait, in quote currency of the hedge; not below the venue's smallest order."""
    price_from: Literal["touch", "hedge"] = "touch"
    """Where quotes are measured from: the best price of their side, or the hedge's mid."""
    distance_ticks: NotNegative = 1.0
    """How far a quote stands behind that."""
    ratio_half_life_s: Positive = 30.0
    """Of the usual ratio of both prices, where quotes are measured from the hedge."""
    requote_ticks: Positive = 5.0
    """A quote is moved when it is this many ticks or more from where it should be."""
    rejection_pause_ms: NotNegative = 250.0
    """After a quote was refused, here or at the venue, its side is not quoted for so long: what refused it (a market
    that had moved, a limit, a ban) is seldom over by the next quote, and each try costs."""
    hedge_slippage_ticks: NotNegative = 20.0
    """How far through the best opposite price the hedge's limit may go."""
    hedge_retry_s: Positive = 0.5
    """What is still to hedge is looked at this often, besides after every fill and every end of a hedge order."""


class QuoteAndHedgeStrategy(AbstractStrategy):
    """See the module docstring."""

    Parameters = QuoteAndHedgeParameters
    parameters: QuoteAndHedgeParameters

    def on_start(self) -> None:
        if len(self.instruments) != 2:
            raise ValueError(f"two instruments are expected, the quoted and the hedge; found {len(self.instruments)}")
        self._quoted, self._hedge = self.instruments
        self._quotes: dict[Side, Order | None] = {Side.BUY: None, Side.SELL: None}
        self._paused_until_ns = {Side.BUY: 0, Side.SELL: 0}
        self._hedge_order: Order | None = None
        self._ratio = PriceRatio(self.parameters.ratio_half_life_s)

    def on_ready(self) -> None:
        """Quotes from before an interruption are not where they should be; a position may have changed meanwhile."""
        self.cancel_all()
        self._quotes = {Side.BUY: None, Side.SELL: None}
        self.set_timer(self.parameters.hedge_retry_s, "hedge", repeat=True)
        self._hedge_now()

    # --- quotes -----------------------------------------------------------------------------------------------------
    def on_quote(self, quote: Quote) -> None:
        distance = self.parameters.distance_ticks * self._quoted.tick
        if self.parameters.price_from == "hedge":
            self._quote_around(distance)
        elif quote.instrument_id == self._quoted.id:
            self._quote_side(Side.BUY, quote.bid_price - distance)
            self._quote_side(Side.SELL, quote.ask_price + distance)

    def _quote_around(self, distance: float) -> None:
        """... the price that the hedge's mid means here, as the two usually stand to each other."""
        own, other, tick = self.market(self._quoted), self.market(self._hedge), self._quoted.tick
        if not own.fresh or not other.fresh:
            self._ratio.pause(self.now_ns)  # whose quotes are pulled, see on_stale
            return
        fair = self._ratio.update(own.mid / other.mid, self.now_ns) * other.mid
        self._quote_side(Side.BUY, min(fair - distance, own.ask_price - tick))
        self._quote_side(Side.SELL, max(fair + distance, own.bid_price + tick))

    def _quote_side(self, side: Side, price: float) -> None:
        parameters, order = self.parameters, self._quotes[side]
        if order is not None:
            moved = abs(price - order.price) >= (parameters.requote_ticks - 1e-6) * self._quoted.tick
            if order.is_working and (moved or not self._can_hedge()):
                self.cancel(order)
            return
        low, high = self.position(self._quoted).exposure
        worst = high if side == Side.BUY else -low
        if self.now_ns < self._paused_until_ns[side] or not self._can_hedge():
            return
        if worst + parameters.order_quantity > parameters.maximum_position + 1e-9:
            return
        send = self.buy if side == Side.BUY else self.sell
        order = send(self._quoted, price, parameters.order_quantity, post_only=True)
        self._quotes[side] = None if order.is_terminal else order

    def _can_hedge(self) -> bool:
        return self.market(self._hedge).fresh

    def on_stale(self, instrument: Instrument, reason: str) -> None:
        """The container pulls the orders of this instrument; a hedge that cannot be traded pulls the quotes too."""
        if instrument is self.instruments[-1]:
            self.cancel_all()

    # --- hedge ------------------------------------------------------------------------------------------------------
    def on_position(self, position: Position) -> None:
        if position.instrument is self._quoted:
            self._hedge_now()

    def on_timer(self, name: str) -> None:
        self._hedge_now()

    def on_order(self, order: Order) -> None:
        if not order.is_terminal:
            return
        if order.state == OrderState.REJECTED and order.instrument is self._quoted:
            pause_ns = int(self.parameters.rejection_pause_ms * 1e6)
            self._paused_until_ns[Side.BUY if order.is_buy else Side.SELL] = self.now_ns + pause_ns
        for side, known in self._quotes.items():
            if known is order:
                self._quotes[side] = None
        if order is self._hedge_order:
            self._hedge_order = None
            if order.filled_quantity > 0.0:
                self._hedge_now()  # what it left; one that got nothing is tried again by the timer, not in a circle

    def unhedged(self) -> float:
        """Units of the hedge still to buy (> 0) or to sell (< 0); NaN where there is no price to tell."""
        ratio = self.parameters.hedge_ratio
        if ratio is None:
            ratio = self._unit_value(self._quoted) / self._unit_value(self._hedge)
        return -ratio * self.position(self._quoted).position - self.position(self._hedge).position

    def _unit_value(self, instrument: Instrument) -> float:
        return instrument.unit_value(self.market(instrument).mid)

    def _hedge_now(self) -> None:
        """Send one IOC order for the difference, unless one is out or it is too small to matter."""
        view, instrument = self.market(self._hedge), self._hedge
        if self._hedge_order is not None or not view.fresh:
            return
        quantity = self.unhedged()
        value = abs(quantity) * self._unit_value(instrument)
        smallest = max(self.parameters.minimum_hedge_value, instrument.minimum_notional / 1e8)
        if not value >= smallest or abs(quantity) < instrument.lot:  # also false for NaN
            return
        slippage = self.parameters.hedge_slippage_ticks * instrument.tick
        if quantity > 0.0:
            order = self.buy(instrument, view.ask_price + slippage, quantity, time_in_force=TimeInForce.IOC)
        else:
            order = self.sell(instrument, view.bid_price - slippage, -quantity, time_in_force=TimeInForce.IOC)
        self._hedge_order = None if order.is_terminal else order
