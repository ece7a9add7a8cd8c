"""StrategyRunner: one strategy inside the trader: its state, its guarded callbacks, and its way to the request ring.

The rule: a strategy cannot hurt anybody else. Its callbacks are caught and timed; an exception stops it, pulls its
orders and is said with file and line. Its orders pass one straight line: round → state and freshness → risk → MiniOMS →
request ring; each station may refuse with a Reason and one sentence, and what is refused never existed for the others.
A callback never runs inside another one: refusals made while a callback runs are handed over after it.

States: LOADED → RUNNING ⇄ PAUSED → STOPPING → STOPPED; FAILED from any after an exception; HANDED_ON where a planned
restart of the trader leaves its orders to its next self. Only RUNNING gets market data and may send orders; order
events, fills and positions always arrive, until it is STOPPED, FAILED or HANDED_ON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from shm.layout import ExecFlag, OrderState, OrderType, Reason, RequestType, TimeInForce
from strategy.abstract_strategy import AbstractStrategy
from strategy.instrument import InstrumentError
from strategy.limits import values_of
from strategy.loader import where
from strategy.loss_guard import LossGuard
from strategy.order import Order
from strategy.refusal import Refusal
from strategy.risk import StrategyRisk
from strategy.stored_limits import StoredLimits

if TYPE_CHECKING:
    from decimal import Decimal

    from shm.layout import Side
    from strategy.container import StrategyContainer
    from strategy.instrument import Instrument
    from strategy.market_view import MarketView
    from strategy.mini_pms import Position
    from strategy.venue_link import VenueLink

CALLBACK_BUDGET_NS: Final = 5_000_000
"""A callback that takes longer is named in the log: everything else of the trader stood still meanwhile."""
SLOW_LOG_EVERY_NS: Final = 1_000_000_000

CALLBACKS: Final = (
    "on_start", "on_stop", "on_ready", "on_quote", "on_book", "on_trade", "on_ticker", "on_order", "on_fill",
    "on_position", "on_balance", "on_timer", "on_stale", "on_error",
)  # fmt: skip


_POST_ONLY: Final = int(ExecFlag.POST_ONLY)
_REDUCE_ONLY: Final = int(ExecFlag.REDUCE_ONLY)
_LIMIT: Final = int(OrderType.LIMIT)
_MARKET: Final = int(OrderType.MARKET)


class RunnerState(IntEnum):
    LOADED = 0
    RUNNING = 1
    PAUSED = 2
    STOPPING = 3
    STOPPED = 4
    FAILED = 5
    HANDED_ON = 6


_RUNNING: Final = RunnerState.RUNNING
_SILENT: Final = frozenset({RunnerState.STOPPED, RunnerState.FAILED, RunnerState.HANDED_ON})
LEFT_ALONE: Final = frozenset({RunnerState.LOADED, RunnerState.RUNNING, RunnerState.HANDED_ON})
"""Whose orders nobody cancels behind its back."""


class StrategyRunner:
    """Made by the container; `strategy` is the user's object."""

    def __init__(
        self, container: StrategyContainer, strategy: AbstractStrategy, strategy_id: int, name: str,
        instruments: list[tuple[VenueLink, Instrument]], risk: StrategyRisk, on_start: str, module: str,
    ) -> None:  # fmt: skip
        self.container = container
        self.id = strategy_id
        self.name = name
        self.risk = risk
        self.loss = LossGuard(risk, container.risk_state, strategy_id)
        self.stored_limits = StoredLimits(risk.limits, container.risk_state, strategy_id)
        if self.stored_limits.current is not None:
            risk.set_limits(self.stored_limits.current)
        self.adopts = on_start == "adopt"
        self.log = logging.getLogger(f"{container.log.name}.{name}")
        self.clock = container.clock
        self.state = RunnerState.LOADED
        self.text = ""
        self.started = False
        self.is_ready = False
        self.instruments = [instrument for _, instrument in instruments]
        self.links: dict[int, VenueLink] = {instrument.id: link for link, instrument in instruments}
        self.venues = list({link.name: link for link, _ in instruments}.values())
        self.stale: dict[int, int] = {instrument.id: 0 for instrument in self.instruments}
        """Instruments it may not quote now, and since when (0: it has not had the first quote yet)."""
        self.positions = {
            instrument.id: container.pms.position(strategy_id, instrument) for instrument in self.instruments
        }
        self._working = [position.working for position in self.positions.values()]
        self._desks = {
            instrument.id: (self.positions[instrument.id], link, link.mds.views[instrument.id])
            for link, instrument in instruments
        }
        self._busy = False
        self._budget_ns = container.callback_budget_ns
        self._slow_logged_ns = 0
        self.slow_callbacks = 0
        self.slowest_callback_ns = 0
        self.take_over(strategy, module)

    def take_over(self, strategy: AbstractStrategy, module: str) -> None:
        """From now on this object is what runs here; `module` is where its code comes from."""
        self.strategy = strategy
        self.module = module
        strategy._runner = self
        # None where the strategy did not write the callback: nothing is called, nothing is timed.
        self.handlers: dict[str, Callable[..., None] | None] = {
            name: getattr(strategy, name)
            if getattr(type(strategy), name) is not getattr(AbstractStrategy, name)
            else None
            for name in CALLBACKS
        }
        self.quote_handler = self.handlers["on_quote"]
        self.book_handler = self.handlers["on_book"]
        self.trade_handler = self.handlers["on_trade"]

    # --- callbacks --------------------------------------------------------------------------------------------------
    def call(self, handler: Callable[..., None], *arguments: Any) -> None:
        """Run one callback, guarded and timed."""
        begin = self.clock()
        self._busy = True
        try:
            handler(*arguments)
        except (Exception, SystemExit) as error:
            self._busy = False
            self.fail(handler.__name__, error)
            return
        self._busy = False
        taken = self.clock() - begin
        if taken > self._budget_ns:
            self._say_slow(handler.__name__, taken, begin)

    def notify(self, name: str, *arguments: Any) -> None:
        """Run a callback by name if the strategy has it and is alive; after the running one, where one runs.

        Nothing is called before on_start: orders that recovery adopts before that are found in `open_orders`.
        """
        handler = self.handlers[name]
        if handler is None or self.state in _SILENT or not self.started:
            return
        if self._busy:
            self.container.later(self, name, arguments)
        else:
            self.call(handler, *arguments)

    def fail(self, callback: str, error: BaseException) -> None:
        """An exception came out of a callback: this strategy is over, its orders are pulled."""
        self.text = f"{type(error).__name__} in {callback} at {where(error)}: {error}"
        self.log.error("strategy %s is stopped and its orders are canceled: %s", self.name, self.text, exc_info=error)
        self.state = RunnerState.FAILED
        self.container.strategy_errors += 1
        self.container.timers.cancel_all(self)
        self.cancel_all()

    def _say_slow(self, callback: str, taken_ns: int, now_ns: int) -> None:
        self.slow_callbacks += 1
        self.slowest_callback_ns = max(self.slowest_callback_ns, taken_ns)
        if now_ns - self._slow_logged_ns >= SLOW_LOG_EVERY_NS:
            self._slow_logged_ns = now_ns
            self.log.warning(
                "strategy %s: %s took %.1f ms, its budget is %g ms (%d slow callbacks so far)", self.name, callback,
                taken_ns / 1e6, self._budget_ns / 1e6, self.slow_callbacks,
            )  # fmt: skip

    # --- life -------------------------------------------------------------------------------------------------------
    def update_readiness(self) -> None:
        """Start it, or tell it that it is Ready, when all its venues are."""
        ready = all(link.session.is_ready for link in self.venues)
        if ready == self.is_ready:
            return
        self.is_ready = ready
        if not ready or self.state not in (RunnerState.LOADED, RunnerState.RUNNING, RunnerState.PAUSED):
            return
        if not self.started:
            self.started = True
            if self.state == RunnerState.LOADED:
                self.state = RunnerState.RUNNING
            self.log.info("strategy %s starts on %s", self.name, ", ".join(one.name for one in self.instruments))
            self.notify("on_start")
        if self.state == RunnerState.RUNNING:
            self.notify("on_ready")

    def pause(self) -> None:
        """Pull its orders and stop its market data until `resume`."""
        if self.state in (RunnerState.LOADED, RunnerState.RUNNING):
            self.state = RunnerState.PAUSED
            self.log.info("strategy %s is paused", self.name)
            self.cancel_all()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.state == RunnerState.PAUSED:
            self.state = RunnerState.RUNNING if self.started else RunnerState.LOADED
            self.log.info("strategy %s goes on", self.name)
            if self.started and self.is_ready:
                self.notify("on_ready")

    def begin_anew(self) -> None:
        """New code stands here and knows nothing of what is open: as after an interruption."""
        if self.state == RunnerState.FAILED:
            self.text = ""
            self.state = RunnerState.RUNNING if self.started else RunnerState.LOADED
        if self.started and self.is_ready and self.state == RunnerState.RUNNING:
            self.notify("on_ready")

    def hand_on(self) -> bool:
        """The trader restarts and leaves its orders as they are. False: it was paused, stopped or failed."""
        if self.state not in (RunnerState.LOADED, RunnerState.RUNNING):
            return False
        self.state = RunnerState.HANDED_ON
        self.container.timers.cancel_all(self)
        return True

    def stop(self) -> None:
        """Say goodbye, cancel everything; STOPPED when the venue's word on each order is here."""
        if self.state in (RunnerState.STOPPING, RunnerState.STOPPED):
            return
        if self.started and self.state != RunnerState.FAILED:
            self.notify("on_stop")
        if self.state != RunnerState.FAILED:
            self.state = RunnerState.STOPPING
        self.container.timers.cancel_all(self)
        self.cancel_all()
        self.finish_stop()

    def finish_stop(self) -> None:
        """STOPPING becomes STOPPED once no order of it is open."""
        if self.state == RunnerState.STOPPING and not self.open_orders():
            self.state = RunnerState.STOPPED
            self.log.info("strategy %s is stopped, no order of it is open", self.name)

    def set_stale(self, instrument_id: int, reason: str) -> None:
        """An instrument stopped being fit to quote: say so once, pull its orders."""
        if instrument_id in self.stale:
            return
        self.stale[instrument_id] = self.clock()
        instrument = self.instrument_by_id(instrument_id)
        self.log.warning("strategy %s: %s is stale: %s", self.name, instrument.name, reason)
        self.container.stale_episodes += 1
        for order in self.open_orders():
            if order.instrument.id == instrument_id:
                self.cancel(order)
        self.notify("on_stale", instrument, reason)

    def set_fresh(self, instrument_id: int) -> None:
        """The first good quote after `set_stale` is here; the strategy hears of it by that quote."""
        since_ns = self.stale.pop(instrument_id, 0)
        if since_ns:
            seconds = (self.clock() - since_ns) / 1e9
            name = self.instrument_by_id(instrument_id).name
            self.log.info("strategy %s: %s is fresh again after %.1f s", self.name, name, seconds)

    def instrument_by_id(self, instrument_id: int) -> Instrument:
        return self.positions[instrument_id].instrument

    # --- reading ----------------------------------------------------------------------------------------------------
    def open_orders(self) -> list[Order]:
        return self.container.oms.orders_of(self.id)

    def view(self, instrument: Instrument) -> MarketView:
        return self.links[instrument.id].mds.views[instrument.id]

    def position(self, instrument: Instrument) -> Position:
        return self.positions[instrument.id]

    # --- order entry: the hot path ----------------------------------------------------------------------------------
    def submit(
        self, instrument: Instrument, side: Side, price: float | Decimal | None, quantity: float | Decimal,
        post_only: bool, time_in_force: TimeInForce, reduce_only: bool, tag: Any,
    ) -> Order:  # fmt: skip
        """See AbstractStrategy.buy."""
        now_ns = self.clock()
        container, risk = self.container, self.risk
        desk = self._desks.get(instrument.id)
        if desk is None:
            text = f"{instrument.name} is not an instrument of strategy {self.name}"
            return self._refused(instrument, side, Reason.BAD_REQUEST, text, tag)
        position, link, view = desk
        try:
            amount = instrument.quantity_mantissa(quantity)
            limit = 0 if price is None else instrument.price_mantissa(price, side, post_only)
        except InstrumentError as error:
            return self._refused(instrument, side, Reason.BAD_REQUEST, str(error), tag)
        if self.state is not _RUNNING or not link.session.is_ready or not view.fresh:
            reason, text = self._unfit(link, view)
            out = position.working.buy if side == 1 else position.working.sell
            # Stale data stops what adds, never what reduces.
            if reason != Reason.RISK_STALE_DATA or not risk.reduces(position, side, amount, out, reduce_only):
                return self._refused(instrument, side, reason, text, tag, limit, amount)
        notional = instrument.notional(limit, amount)
        if notional < instrument.minimum_notional and limit and not reduce_only:
            smallest = instrument.minimum_notional / 1e8
            text = f"notional {notional / 1e8:g} is below {instrument.name}'s smallest, {smallest:g}"
            return self._refused(instrument, side, Reason.BAD_REQUEST, text, tag, limit, amount)
        open_orders = 0
        for working in self._working:
            open_orders += working.orders  # a generator would cost more than the sum
        refusal = risk.check(position, side, limit, amount, 0, notional, view.mid, open_orders, now_ns, reduce_only)
        if refusal:
            return self._refused(instrument, side, refusal, risk.text, tag, limit, amount)
        order = container.oms.create(
            container.next_order_id(self.id), self.id, instrument, side, limit, amount, now_ns, position.working
        )
        order.order_type = _LIMIT if limit else _MARKET
        order.time_in_force = time_in_force
        if post_only or reduce_only:
            order.exec_flags = (_POST_ONLY if post_only else 0) + (_REDUCE_ONLY if reduce_only else 0)
        if tag is not None:
            order.tag = tag
        if link.oms.new(order, now_ns):
            container.measure_request(now_ns)
        else:
            container.oms.not_published(order, RequestType.NEW, Reason.RING_FULL, "the request ring is full", now_ns)
        return order

    def _unfit(self, link: VenueLink, view: MarketView) -> tuple[Reason, str]:
        """Why nothing (or, on stale data, nothing that adds) may be sent now."""
        if self.state is not _RUNNING:
            return Reason.STRATEGY_STOPPED, f"strategy {self.name} is {self.state.name.lower()}"
        if not link.session.is_ready:
            return Reason.NOT_READY, f"{link.name} is not ready: {link.session.reason}"
        return Reason.RISK_STALE_DATA, f"{view.instrument.name} is stale: {view.reason}"

    def cancel(self, order: Order) -> bool:
        """See AbstractStrategy.cancel. A cancel that cannot be sent now is kept and sent as soon as it can be."""
        if order.strategy_id != self.id or order.external:
            return False
        return self.container.cancel_order(order)

    def replace(self, order: Order, price: float | Decimal | None, quantity: float | Decimal | None) -> bool:
        """See AbstractStrategy.replace."""
        now_ns = self.clock()
        instrument = order.instrument
        desk = self._desks.get(instrument.id)
        if desk is None or order.strategy_id != self.id:
            text = f"order {order.client_order_id} is not of strategy {self.name}"
            return self._refuse(Reason.BAD_REQUEST, text, order)
        position, link, view = desk
        if not order.is_working:
            state = OrderState(order.state).name
            return self._refuse(Reason.BAD_REQUEST, f"an order in state {state} cannot be replaced", order)
        try:
            limit = (
                order.price_mantissa if price is None else instrument.price_mantissa(price, order.side, order.post_only)
            )
            total = order.quantity_mantissa if quantity is None else instrument.quantity_mantissa(quantity)
        except InstrumentError as error:
            return self._refuse(Reason.BAD_REQUEST, str(error), order)
        if (limit, total) == (order.price_mantissa, order.quantity_mantissa):
            return self._refuse(Reason.BAD_REQUEST, "the replace changes nothing", order)
        remaining = total - order.filled_mantissa
        if remaining <= 0:
            filled = order.filled_quantity
            return self._refuse(Reason.BAD_REQUEST, f"the new total is not above the {filled} that is filled", order)
        if self.state is not _RUNNING or not link.session.is_ready or not view.fresh:
            return self._refuse(*self._unfit(link, view), order)
        out = order.counted_leaves
        open_orders = sum(working.orders for working in self._working) - 1
        refusal = self.risk.check(
            position, order.side, limit, remaining, out, instrument.notional(limit, remaining), view.mid, open_orders,
            now_ns, order.reduce_only,
        )  # fmt: skip
        if refusal:
            return self._refuse(Reason(refusal), self.risk.text, order)
        oms = self.container.oms
        oms.ask_replace(order, limit, total, now_ns)
        if not link.oms.replace(order, limit, total, now_ns):
            oms.not_published(order, RequestType.REPLACE, Reason.RING_FULL, "the request ring is full", now_ns)
            return self._refuse(Reason.RING_FULL, "the request ring is full", order)
        self.container.measure_request(now_ns)
        return True

    def cancel_all(self) -> int:
        """See AbstractStrategy.cancel_all."""
        return sum(self.container.cancel_order(order) for order in self.open_orders())

    def _refused(
        self, instrument: Instrument, side: int, reason: int, text: str, tag: Any, price: int = 0, quantity: int = 0
    ) -> Order:
        """An order that never was: REJECTED from the start, unknown to MiniOMS."""
        order = Order(0, self.id, instrument, side)
        order.price_mantissa, order.quantity_mantissa = price, quantity
        order.state, order.closed = OrderState.REJECTED, True
        order.reason, order.text, order.tag = reason, text, tag
        self.container.refusals += 1
        self.container.later(self, "on_order", (order,))
        return order

    def _refuse(self, reason: Reason, text: str, order: Order) -> bool:
        self.container.refusals += 1
        self.container.later(self, "on_error", (Refusal(reason, text, order),))
        return False

    # --- limits and timers ------------------------------------------------------------------------------------------
    def check_loss(self, marks: dict[int, int]) -> None:
        """Trip the loss limit at the worse end of the range; then only what reduces may still be sent."""
        pms = self.container.pms
        if self.loss.update(
            pms.profit(self.id, marks),
            pms.open_loss(self.id, marks, self.open_orders()),
            pms.taken_over_profit(self.id, marks),
        ):
            text = self.loss.text
            self.log.error("strategy %s: %s; its orders are canceled, only reducing orders pass", self.name, text)
            self.cancel_all()
            self.notify("on_error", Refusal(Reason.RISK_LOSS, text))

    def set_limits(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change limits within the config's, all or nothing, over restarts; all of them. Raises LimitError."""
        limits = self.stored_limits.change(changes)
        self.risk.set_limits(limits)
        self.log.warning("strategy %s: limits changed: %s", self.name, dict(changes))
        return values_of(limits)

    def set_timer(self, seconds: float, name: str, repeat: bool) -> None:
        self.check_timer(seconds, name)
        interval_ns = round(seconds * 1e9)
        self.container.timers.set(self, name, self.clock() + interval_ns, interval_ns if repeat else 0)

    def check_timer(self, seconds: float, name: str) -> None:
        """Raises ValueError."""
        if not seconds > 0.0:
            raise ValueError(f"timer {name!r} is to run after {seconds} s, expected a positive number")

    def cancel_timer(self, name: str) -> None:
        self.container.timers.cancel(self, name)
