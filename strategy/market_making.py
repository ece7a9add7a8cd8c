"""MarketMakingStrategy: two-sided post-only quotes around the GLFT reservation price.

The rule: at most one quote a side. Each decision starts from the same line: mid → model quotes (`glft.py`) from
volatility and arrival intensity estimated while it runs → bounded by the distance limits → never through the touch →
rounded to ticks by the order entry. A standing quote is left alone while it is closer to the wanted price than the
requote threshold, and never touched before its minimum lifetime: queue position is worth more than a tick. At the
position limit the side that would add is not quoted. On stale data nothing is quoted; the container pulls the orders.

The estimates need data; until they have it, and whenever the fit fails, the priors of the parameters stand in. One
object quotes each of its instruments independently. Orders that are open when it becomes Ready (kept over a restart of
the trader) and when its code is swapped are its quotes from then on; the estimates go over to the new code. Loaded as
"strategy.market_making:MarketMakingStrategy".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from shm.layout import OrderState, Side
from strategy import glft
from strategy.abstract_strategy import AbstractStrategy
from strategy.intensity import IntensityEstimator
from strategy.volatility import VolatilityEstimator

if TYPE_CHECKING:
    from shm.records import Quote, Trade
    from strategy.instrument import Instrument
    from strategy.mini_pms import Position
    from strategy.order import Order

Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]

MODEL_PERIOD_S: Final = 1.0
"""Time between two fits of the estimates: they move slowly, and a fit costs some 100 us."""


class MarketMakingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Units in each line. `price` is the quote currency, `quantity` the venue's unit (BTC for BTCUSDT)."""

    order_quantity: Positive
    """Quantity of each quote. It is also the unit of inventory of the model."""
    maximum_inventory_orders: Annotated[float, Meta(ge=1.0)] = 3.0
    """In order quantities; beyond it, open orders counted, the side that adds is not quoted. The config's limits hold
    besides."""
    risk_aversion: Positive = 0.001
    """gamma in 1 / tick, for one order quantity of inventory: how strongly quotes lean against it. At 0.001 a BTCUSDT
    quote (tick 0.1, volatility 45 ticks) leans 2 to 3 ticks per order held and stands some 9 ticks from the mid."""
    xi_ratio: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    """xi / gamma: 1 also fears not being filled (Model A), 0 only fears inventory (Model B)."""
    minimum_half_spread_ticks: NotNegative = 0.5
    """Distance from the reservation price that a quote has at least, in ticks."""
    maximum_half_spread_ticks: Positive = 20.0
    """... and at most: what the model may ask for when volatility is high."""
    maximum_skew_ticks: NotNegative = 20.0
    """How far inventory may move the reservation price from the mid, in ticks."""
    touch_distance_ticks: NotNegative = 0.0
    """Quotes stay at least this far behind the best price of their own side, in ticks; 0 = they may join it."""
    improve: bool = False
    """True: a quote may be better than the best price of its side, inside the spread."""
    requote_ticks: Positive = 2.0
    """A quote is moved when it is this many ticks or more from where it should be."""
    minimum_lifetime_ms: NotNegative = 250.0
    """A quote is not moved earlier after it was confirmed; inventory that reached its limit is the exception."""
    rejection_pause_ms: NotNegative = 250.0
    """After an order was refused, here or at the venue, its side is not quoted for so long: what refused it (a market
    that had moved, a limit, a ban) is seldom over by the next quote, and each try costs."""
    use_replace: bool = False
    """True: move a quote by replace (amend); False: cancel, and a new order after the cancel is confirmed."""
    volatility_interval_s: Positive = 0.5
    volatility_half_life_s: Positive = 60.0
    intensity_half_life_s: Positive = 60.0
    prior_volatility_ticks: Positive = 20.0
    """sigma in ticks per square root of a second, until there is an estimate."""
    prior_intensity: Positive = 2.0
    """A in arrivals per second and side."""
    prior_decay_ticks: Positive = 0.25
    """k in 1 / tick: 1 / k is the distance at which arrivals have fallen to 37 %."""

    def __post_init__(self) -> None:
        if self.maximum_half_spread_ticks < self.minimum_half_spread_ticks:
            raise ValueError("maximum_half_spread_ticks is smaller than minimum_half_spread_ticks")


class _Quoter:
    """The quotes of one instrument."""

    __slots__ = (
        "ask", "bid", "half_spread", "instrument", "intensity", "model", "next_model_ns", "paused_until_ns", "position",
        "skew", "volatility",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, position: Position, parameters: MarketMakingParameters) -> None:
        self.instrument = instrument
        self.position = position
        self.bid: Order | None = None
        self.ask: Order | None = None
        self.volatility = VolatilityEstimator(parameters.volatility_interval_s, parameters.volatility_half_life_s)
        self.intensity = IntensityEstimator(instrument.tick, parameters.intensity_half_life_s)
        self.model: MarketMakingParameters | None = None
        self.next_model_ns = 0
        self.half_spread = math.inf
        self.skew = 0.0
        self.paused_until_ns = {Side.BUY: 0, Side.SELL: 0}
        """After a rejection."""


class MarketMakingStrategy(AbstractStrategy):
    """See the module docstring."""

    Parameters = MarketMakingParameters
    parameters: MarketMakingParameters

    def on_start(self) -> None:
        self._quoters = {
            instrument.id: _Quoter(instrument, self.position(instrument), self.parameters)
            for instrument in self.instruments
        }

    def on_ready(self) -> None:
        """Orders that are open (taken over, or from before an interruption) are quotes like any other: one a side."""
        for order in self._take_over_orders():
            self.cancel(order)

    def export_state(self) -> dict[str, Any]:
        """The estimates, by instrument; orders are found again among the strategy's own."""
        return {
            instrument.name: {
                "volatility": self._quoters[instrument.id].volatility.export_state(),
                "intensity": self._quoters[instrument.id].intensity.export_state(),
            }
            for instrument in self.instruments
        }

    def import_state(self, state: dict[str, Any]) -> None:
        """Go on with the estimates and the quotes of the code before; of other code nothing but the quotes is taken."""
        self.on_start()
        for instrument in self.instruments:
            learnt = state.get(instrument.name, {})
            if "volatility" in learnt and "intensity" in learnt:
                self._quoters[instrument.id].volatility.import_state(learnt["volatility"])
                self._quoters[instrument.id].intensity.import_state(learnt["intensity"])
        self._take_over_orders()

    def _take_over_orders(self) -> list[Order]:
        """Make the newest open order of each side the quote of that side; the others."""
        for quoter in self._quoters.values():
            quoter.bid = quoter.ask = None
        others = []
        for order in sorted(self.orders, key=lambda order: order.client_order_id, reverse=True):
            quoter = self._quoters[order.instrument.id]
            if order.is_terminal:
                continue
            if order.is_buy and quoter.bid is None:
                quoter.bid = order
            elif not order.is_buy and quoter.ask is None:
                quoter.ask = order
            else:
                others.append(order)
        return others

    def on_stop(self) -> None:
        for name, quoter in ((one.name, self._quoters[one.id]) for one in self.instruments):
            self.log.info("%s: last half spread %.4f, skew %.4f per order", name, quoter.half_spread, quoter.skew)

    # --- market data ------------------------------------------------------------------------------------------------
    def on_quote(self, quote: Quote) -> None:
        quoter = self._quoters[quote.instrument_id]
        now_ns = quote.receive_time_ns
        mid = 0.5 * (quote.bid_price + quote.ask_price)
        quoter.volatility.update(mid, now_ns)
        if now_ns >= quoter.next_model_ns or quoter.model is not self.parameters:
            self._refit(quoter, now_ns)
        self._requote(quoter, quote.bid_price, quote.ask_price, mid)

    def on_trade(self, trade: Trade) -> None:
        quoter = self._quoters[trade.instrument_id]
        mid = self.market(quoter.instrument).mid
        if mid == mid:  # not NaN
            quoter.intensity.update(trade.price, mid, trade.aggressor_side, trade.exchange_time_ns)

    def on_stale(self, instrument: Instrument, reason: str) -> None:
        """The container pulls the orders; what the pause hides must not enter the estimates."""
        quoter = self._quoters[instrument.id]
        quoter.volatility.reset()
        quoter.intensity.pause()

    # --- own orders -------------------------------------------------------------------------------------------------
    def on_order(self, order: Order) -> None:
        quoter = self._quoters.get(order.instrument.id)
        if quoter is None or not order.is_terminal:
            return
        if order.state == OrderState.REJECTED:
            pause_ns = int(self.parameters.rejection_pause_ms * 1e6)
            quoter.paused_until_ns[Side.BUY if order.is_buy else Side.SELL] = self.now_ns + pause_ns
        if order is quoter.bid:
            quoter.bid = None
        elif order is quoter.ask:
            quoter.ask = None

    # --- model ------------------------------------------------------------------------------------------------------
    def _refit(self, quoter: _Quoter, now_ns: int) -> None:
        """New half spread and skew (price, per order size of inventory) from the estimates or the priors."""
        parameters, tick = self.parameters, quoter.instrument.tick
        quoter.intensity.fade(now_ns)
        volatility = quoter.volatility.value()
        if volatility is None:
            volatility = parameters.prior_volatility_ticks * tick
        intensity, decay = quoter.intensity.value() or (parameters.prior_intensity, parameters.prior_decay_ticks / tick)
        model = glft.coefficients(
            intensity=intensity, decay=decay, volatility=volatility, risk_aversion=parameters.risk_aversion / tick,
            order_size=1.0, xi=parameters.xi_ratio * parameters.risk_aversion / tick,
        )  # fmt: skip
        quoter.half_spread = min(
            max(model.half_spread, parameters.minimum_half_spread_ticks * tick),
            parameters.maximum_half_spread_ticks * tick,
        )
        quoter.skew = model.skew
        quoter.model = parameters
        quoter.next_model_ns = now_ns + int(MODEL_PERIOD_S * 1e9)

    # --- quotes -----------------------------------------------------------------------------------------------------
    def _requote(self, quoter: _Quoter, best_bid: float, best_ask: float, mid: float) -> None:
        parameters, position = self.parameters, quoter.position
        tick = quoter.instrument.tick
        held = position.position
        most = parameters.maximum_skew_ticks * tick
        lean = min(max(held / parameters.order_quantity * quoter.skew, -most), most)
        centre = mid - lean
        behind = parameters.touch_distance_ticks * tick
        if parameters.improve:
            bid = min(centre - quoter.half_spread, best_ask - tick - behind)
            ask = max(centre + quoter.half_spread, best_bid + tick + behind)
        else:
            bid = min(centre - quoter.half_spread, best_bid - behind)
            ask = max(centre + quoter.half_spread, best_ask + behind)
        room = parameters.maximum_inventory_orders * parameters.order_quantity
        low, high = position.exposure
        out_buy, out_sell = high - held, held - low
        half_lot = 0.5 * quoter.instrument.lot
        # Each side may add up to the limit with what it has out already; its own standing quote is part of that.
        self._quote_side(
            quoter, Side.BUY, bid, held + max(out_buy, parameters.order_quantity) <= room + half_lot, out_buy
        )
        self._quote_side(
            quoter, Side.SELL, ask, held - max(out_sell, parameters.order_quantity) >= -room - half_lot, out_sell
        )

    def _quote_side(self, quoter: _Quoter, side: Side, price: float, wanted: bool, out: float) -> None:
        parameters = self.parameters
        order = quoter.bid if side == Side.BUY else quoter.ask
        if order is None:
            # `out`: an order that was given up is not confirmed to be over yet; one quote a side is the rule.
            if wanted and out < 0.5 * quoter.instrument.lot and self.now_ns >= quoter.paused_until_ns[side]:
                self._place(quoter, side, price)
            return
        if not order.is_working:
            return  # a request is in flight: its answer comes first
        if not wanted:
            self.cancel(order)
            return
        if abs(price - order.price) < parameters.requote_ticks * quoter.instrument.tick - 1e-9 * price:
            return
        if self.now_ns - order.state_time_ns < parameters.minimum_lifetime_ms * 1e6:
            return
        if parameters.use_replace:
            if self._moves(quoter, side, order, price):
                self.replace(order, price=price)
        else:
            self.cancel(order)

    def _moves(self, quoter: _Quoter, side: Side, order: Order, price: float) -> bool:
        """False where rounding leads back to the price it has."""
        return quoter.instrument.price_mantissa(price, side, passive=True) != order.price_mantissa

    def _place(self, quoter: _Quoter, side: Side, price: float) -> None:
        if side == Side.BUY:
            order = quoter.bid = self.buy(quoter.instrument, price, self.parameters.order_quantity, post_only=True)
            if order.is_terminal:
                quoter.bid = None
        else:
            order = quoter.ask = self.sell(quoter.instrument, price, self.parameters.order_quantity, post_only=True)
            if order.is_terminal:
                quoter.ask = None
