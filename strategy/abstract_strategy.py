"""AbstractStrategy: what a strategy may do and what it is told.

The rule: plain synchronous callbacks, one event each, every one optional. They run in the trader's one loop, so a
callback returns quickly and never waits; one that raises stops the strategy and pulls its orders. Prices and quantities
are floats here; they become exact ticks and lots on the way out, and an order that cannot be is refused with a Reason
and one sentence. Records handed to a callback (`quote`, `book`, `trade`, `ticker`, `balance`) are reused for the next
event: take what is needed, or `copy()`.

When what is called:
    on_start      first and once, when every venue of the strategy is Ready; orders adopted before stand in `orders`
    on_ready      each time all its venues became Ready (also the first, after on_start)
    on_quote on_book on_trade on_ticker   market data of its instruments, never on stale, gapped or crossed data
    on_stale      once when an instrument stops being fit to quote (data or trading engine); its orders are being pulled
    on_order      an order changed state, price or quantity, or was refused (state REJECTED, `reason`, `text`)
    on_fill       quantity and price of a trade, once per trade
    on_position   own position, profit or fees changed
    on_balance    a balance of a venue it uses changed
    on_timer      a timer set with `set_timer` is due
    on_error      a request that is not a new order could not be made, or a limit tripped
    on_stop       before its orders are canceled at the end (not at a code swap, nor where a restart keeps its orders)
    export_state  asked of the old code at a code swap: plain values that the new code shall know
    import_state  given to the new code at a code swap, in place of on_start; see there
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from shm.layout import Side, TimeInForce
from strategy.parameters import NoParameters

if TYPE_CHECKING:
    import logging
    from decimal import Decimal

    from shm.records import BalanceRow, BookTop, Quote, Ticker, Trade
    from strategy.instrument import Instrument
    from strategy.market_view import MarketView
    from strategy.mini_pms import Position
    from strategy.order import Fill, Order
    from strategy.refusal import Refusal
    from strategy.strategy_runner import StrategyRunner


# Bound once: a look-up of an enum member in its class is slow, and these stand on the way of every order.
_BUY, _SELL = Side.BUY, Side.SELL


class AbstractStrategy:
    """Derive from this. Do not override __init__ with arguments; prepare in `on_start`."""

    Parameters: ClassVar[type[msgspec.Struct]] = NoParameters
    """A msgspec Struct with defaults and bounds; `self.parameters` is one, replaced as a whole when changed live."""

    _runner: StrategyRunner
    parameters: Any

    # --- what it knows ----------------------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        return self._runner.name

    @property
    def log(self) -> logging.Logger:
        return self._runner.log

    @property
    def instruments(self) -> list[Instrument]:
        """Its instruments, in the order of the config."""
        return self._runner.instruments

    @property
    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, the clock of every `_time_ns` here but `exchange_time_ns`."""
        return self._runner.clock()

    @property
    def orders(self) -> list[Order]:
        """Its orders that are not closed."""
        return self._runner.open_orders()

    def market(self, instrument: Instrument) -> MarketView:
        """Best prices and freshness, as of the last event."""
        return self._runner.view(instrument)

    def position(self, instrument: Instrument) -> Position:
        """What this strategy holds; `exposure` is the range that its open orders still allow."""
        return self._runner.position(instrument)

    # --- what it does -----------------------------------------------------------------------------------------------
    def buy(
        self, instrument: Instrument, price: float | Decimal | None, quantity: float | Decimal, *,
        post_only: bool = False, time_in_force: TimeInForce = TimeInForce.GTC, reduce_only: bool = False,
        tag: Any = None,
    ) -> Order:  # fmt: skip
        """Send a buy order. `price` in quote units (None = market order), `quantity` in the venue's unit.

        Rounded to the tick (towards the passive side if post-only, else nearest) and down to the lot. Always returns
        an Order; one that was refused has state REJECTED with its reason, and on_order follows.
        """
        return self._runner.submit(instrument, _BUY, price, quantity, post_only, time_in_force, reduce_only, tag)

    def sell(
        self, instrument: Instrument, price: float | Decimal | None, quantity: float | Decimal, *,
        post_only: bool = False, time_in_force: TimeInForce = TimeInForce.GTC, reduce_only: bool = False,
        tag: Any = None,
    ) -> Order:  # fmt: skip
        """Send a sell order; see `buy`."""
        return self._runner.submit(instrument, _SELL, price, quantity, post_only, time_in_force, reduce_only, tag)

    def cancel(self, order: Order) -> bool:
        """Ask for the end of an order. False: it is over already, or its cancel is on the way."""
        return self._runner.cancel(order)

    def replace(
        self, order: Order, *, price: float | Decimal | None = None, quantity: float | Decimal | None = None
    ) -> bool:
        """Ask for a new price and/or *total* quantity (what is filled counts). False: refused, on_error follows."""
        return self._runner.replace(order, price, quantity)

    def cancel_all(self) -> int:
        """Cancel every live order of this strategy; how many cancels were asked for."""
        return self._runner.cancel_all()

    def set_timer(self, seconds: float, name: str = "", repeat: bool = False) -> None:
        """Call on_timer(name) after `seconds` (every `seconds` with repeat). The same name again moves the timer."""
        self._runner.set_timer(seconds, name, repeat)

    def cancel_timer(self, name: str = "") -> None:
        """Forget a timer; an unknown name is no error."""
        self._runner.cancel_timer(name)

    # --- what it is told --------------------------------------------------------------------------------------------
    def on_start(self) -> None: ...
    def on_stop(self) -> None: ...
    def on_ready(self) -> None: ...
    def on_quote(self, quote: Quote) -> None: ...
    def on_book(self, book: BookTop) -> None: ...
    def on_trade(self, trade: Trade) -> None: ...
    def on_ticker(self, ticker: Ticker) -> None: ...
    def on_order(self, order: Order) -> None: ...
    def on_fill(self, fill: Fill) -> None: ...
    def on_position(self, position: Position) -> None: ...
    def on_balance(self, balance: BalanceRow) -> None: ...
    def on_timer(self, name: str) -> None: ...
    def on_stale(self, instrument: Instrument, reason: str) -> None: ...
    def on_error(self, refusal: Refusal) -> None: ...

    # --- when its code is swapped -----------------------------------------------------------------------------------
    def export_state(self) -> Any:
        """What the code that replaces this one shall know: numbers, texts, lists, dicts; a tuple arrives as a list.

        Called by `corelane ctl trader swap-strategy`, between two callbacks. The default gives an empty dict.
        """
        return {}

    def import_state(self, state: Any) -> None:
        """Take over from the code before this: called in place of on_start; orders, positions and timers are there.

        Read everything, set timers, send nothing yet. An exception here leaves the old code running. Code that does
        not write this method starts as after an interruption: on_start, then on_ready.
        """
        self.on_start()
