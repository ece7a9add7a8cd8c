from typing import Any

from strategy.instrument import Instrument

class Working:
    """What one strategy still has out in one instrument: quantities that may trade, and the number of live orders."""

    buy: int
    sell: int
    orders: int

class Fill:
    """One trade of an order. Its parts arrive in any order; `parts` (FillPart) tells which are known."""

    parts: int
    price_mantissa: int
    quantity_mantissa: int
    fee_mantissa: int
    """MONEY_SCALE of `fee_currency`; positive = paid."""
    fee_currency: str
    liquidity: int
    exchange_time_ns: int
    def __init__(self, order: Order, trade_id: bytes) -> None: ...
    @property
    def order(self) -> Order: ...
    @property
    def trade_id(self) -> bytes: ...
    @property
    def instrument(self) -> Instrument: ...
    @property
    def side(self) -> int: ...
    @property
    def price(self) -> float: ...
    @property
    def quantity(self) -> float: ...
    @property
    def signed_quantity(self) -> float: ...
    @property
    def fee(self) -> float: ...

class Order:
    """One order from the moment a strategy asks for it until the venue's last word and its last fill."""

    order_type: int
    time_in_force: int
    exec_flags: int
    price_mantissa: int
    quantity_mantissa: int
    """Total quantity (FIX OrderQty); 0 = not known yet (an order that was met by its fill before its status)."""
    pending_price_mantissa: int
    pending_quantity_mantissa: int
    """Of a replace that is in flight; 0 = none. Nothing else says that a replace is in flight."""
    state: int
    """OrderState."""
    accepted: bool
    """The venue has confirmed that it exists."""
    cancel_pending: bool
    cumulative_mantissa: int
    """The venue's word on the filled quantity; `filled_mantissa` is the sum of the fills that are here."""
    filled_mantissa: int
    filled_value: int
    """Sum of price * quantity mantissas of the fills."""
    closed: bool
    """State is terminal and the fills add up: nothing more is expected."""
    closed_state: int
    """The state it was closed in; 0 while it is not closed."""
    external: bool
    """Not made by this system: seen, reported, never touched."""
    adopted: bool
    """Made by an earlier trader of this instance and found at the venue."""
    doubted: bool
    """The venue's words contradict each other: a query has been or will be asked."""
    recovered: bool
    """Met inside the recovery bracket that is going on."""
    counted_leaves: int
    """Quantity of it that stands in MiniOMS's running totals: what may still trade, as far as anybody here knows."""
    counted_open: bool
    exchange_order_id: bytes
    reason: int
    error_code: int
    text: str
    create_time_ns: int
    state_time_ns: int
    last_query_time_ns: int
    tag: Any
    """Free for the strategy."""
    def __init__(self, client_order_id: int, strategy_id: int, instrument: Instrument, side: int) -> None: ...
    @property
    def client_order_id(self) -> int: ...
    @property
    def strategy_id(self) -> int: ...
    @property
    def instrument(self) -> Instrument: ...
    @property
    def side(self) -> int: ...
    @property
    def fills(self) -> dict[bytes, Fill]:
        """By trade id; emptied when a thousand later orders are closed and this one is forgotten."""

    @property
    def price(self) -> float: ...
    @property
    def quantity(self) -> float: ...
    @property
    def filled_quantity(self) -> float: ...
    @property
    def remaining_mantissa(self) -> int: ...
    @property
    def remaining_quantity(self) -> float: ...
    @property
    def average_price(self) -> float:
        """Of its fills; NaN before the first."""

    @property
    def is_buy(self) -> bool: ...
    @property
    def is_terminal(self) -> bool:
        """The venue said that it ended (or nothing of it ever left this host)."""

    @property
    def is_working(self) -> bool:
        """Open at the venue, with no request of ours in flight: it can be replaced."""

    @property
    def is_live(self) -> bool:
        """May still trade, as far as anybody here knows."""

    @property
    def post_only(self) -> bool: ...
    @property
    def reduce_only(self) -> bool: ...
