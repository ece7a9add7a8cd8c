"""An order and its fills as the strategy sees them: float properties over exact integers.

The rule: `Order` is only a record. MiniOMS alone changes it, by the table in `mini_oms.py`; a strategy reads it and
hands it back to `cancel` and `replace`. Mantissas end in `_mantissa`; a name without it is a float in the venue's unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shm.layout import MONEY_SCALE, TERMINAL_STATES, ExecFlag, OrderState, Side

if TYPE_CHECKING:
    from strategy.instrument import Instrument


_WORKING: Final = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})
_BUY: Final = int(Side.BUY)


class Fill:
    """One trade of an order. Its parts arrive in any order; `parts` (FillPart) tells which are known."""

    __slots__ = (
        "exchange_time_ns",
        "fee_currency",
        "fee_mantissa",
        "liquidity",
        "order",
        "parts",
        "price_mantissa",
        "quantity_mantissa",
        "trade_id",
    )

    def __init__(self, order: Order, trade_id: bytes) -> None:
        self.order = order
        self.trade_id = trade_id
        self.parts = 0
        self.price_mantissa = 0
        self.quantity_mantissa = 0
        self.fee_mantissa = 0
        """MONEY_SCALE of `fee_currency`; positive = paid."""
        self.fee_currency = ""
        self.liquidity = 0
        self.exchange_time_ns = 0

    @property
    def instrument(self) -> Instrument:
        return self.order.instrument

    @property
    def side(self) -> int:
        return self.order.side

    @property
    def price(self) -> float:
        return self.order.instrument.price_of(self.price_mantissa)

    @property
    def quantity(self) -> float:
        return self.order.instrument.quantity_of(self.quantity_mantissa)

    @property
    def signed_quantity(self) -> float:
        return self.quantity if self.order.side == _BUY else -self.quantity

    @property
    def fee(self) -> float:
        return self.fee_mantissa / 10**MONEY_SCALE

    def __repr__(self) -> str:
        trade_id = self.trade_id.decode("ascii", "replace")
        return f"Fill({trade_id}, {self.quantity}@{self.price}, fee {self.fee} {self.fee_currency})"


class Order:
    """One order from the moment a strategy asks for it until the venue's last word and its last fill.

    Defaults stand in the class, so that making an order on the hot path writes only what is its own.
    """

    order_type: int = 0
    time_in_force: int = 0
    exec_flags: int = 0
    price_mantissa: int = 0
    quantity_mantissa: int = 0
    """Total quantity (FIX OrderQty); 0 = not known yet (an order that was met by its fill before its status)."""
    pending_price_mantissa: int = 0
    pending_quantity_mantissa: int = 0
    """Of a replace that is in flight; 0 = none. Nothing else says that a replace is in flight."""
    state: int = OrderState.NONE
    accepted: bool = False
    """The venue has confirmed that it exists."""
    cancel_pending: bool = False
    cumulative_mantissa: int = 0
    """The venue's word on the filled quantity; `filled_mantissa` is the sum of the fills that are here."""
    filled_mantissa: int = 0
    filled_value: int = 0
    """Sum of price * quantity mantissas of the fills."""
    closed: bool = False
    """State is terminal and the fills add up: nothing more is expected."""
    closed_state: int = 0
    """The state it was closed in; 0 while it is not closed."""
    external: bool = False
    """Not made by this system: seen, reported, never touched."""
    adopted: bool = False
    """Made by an earlier trader of this instance and found at the venue."""
    doubted: bool = False
    """The venue's words contradict each other: a query has been or will be asked."""
    recovered: bool = False
    """Met inside the recovery bracket that is going on."""
    counted_leaves: int = 0
    counted_open: bool = False
    """What of it stands in MiniOMS's running totals."""
    exchange_order_id: bytes = b""
    reason: int = 0
    error_code: int = 0
    text: str = ""
    create_time_ns: int = 0
    state_time_ns: int = 0
    last_query_time_ns: int = 0
    tag: Any = None
    """Free for the strategy."""

    def __init__(self, client_order_id: int, strategy_id: int, instrument: Instrument, side: int) -> None:
        self.client_order_id = client_order_id
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.side = side
        self.fills: dict[bytes, Fill] = {}

    # --- what a strategy reads --------------------------------------------------------------------------------------
    @property
    def price(self) -> float:
        return self.instrument.price_of(self.price_mantissa)

    @property
    def quantity(self) -> float:
        return self.instrument.quantity_of(self.quantity_mantissa)

    @property
    def filled_quantity(self) -> float:
        return self.instrument.quantity_of(self.filled_mantissa)

    @property
    def remaining_mantissa(self) -> int:
        return max(0, self.quantity_mantissa - self.filled_mantissa)

    @property
    def remaining_quantity(self) -> float:
        return self.instrument.quantity_of(self.remaining_mantissa)

    @property
    def average_price(self) -> float:
        """Of its fills; NaN before the first."""
        if self.filled_mantissa == 0:
            return float("nan")
        return self.instrument.price_of(1) * self.filled_value / self.filled_mantissa

    @property
    def is_buy(self) -> bool:
        return self.side == _BUY

    @property
    def is_terminal(self) -> bool:
        """The venue said that it ended (or nothing of it ever left this host)."""
        return self.state in TERMINAL_STATES

    @property
    def is_working(self) -> bool:
        """Open at the venue, with no request of ours in flight: it can be replaced."""
        return self.state in _WORKING

    @property
    def is_live(self) -> bool:
        """May still trade, as far as anybody here knows."""
        return not self.is_terminal

    @property
    def post_only(self) -> bool:
        return bool(self.exec_flags & ExecFlag.POST_ONLY)

    @property
    def reduce_only(self) -> bool:
        return bool(self.exec_flags & ExecFlag.REDUCE_ONLY)

    def __repr__(self) -> str:
        return (
            f"Order({self.client_order_id}, {self.instrument.name}, {Side(self.side).name} "
            f"{self.filled_quantity}/{self.quantity}@{self.price}, {OrderState(self.state).name})"
        )
