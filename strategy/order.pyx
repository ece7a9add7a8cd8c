# cython: language_level=3, annotation_typing=False
"""An order and its fills as the strategy sees them: float properties over exact integers.

The rule: `Order` is only a record. MiniOMS alone changes it, by the table in `mini_oms.pyx`; a strategy reads it and
hands it back to `cancel` and `replace`. Mantissas end in `_mantissa`; a name without it is a float in the venue's unit.

Compiled because an order is made on the way from a quote to a request: as a Python class its creation and the fields
that MiniOMS, risk and the request take from it were a quarter of that way. The fields are described in `order.pyi`.
"""

from shm.layout import MONEY_SCALE, TERMINAL_STATES, ExecFlag, OrderState
from shm.layout import Side as _Side

cdef int _BUY = _Side.BUY, _OPEN = OrderState.OPEN, _PARTIALLY_FILLED = OrderState.PARTIALLY_FILLED
cdef int _POST_ONLY = ExecFlag.POST_ONLY, _REDUCE_ONLY = ExecFlag.REDUCE_ONLY
cdef double _MONEY_UNIT = 10.0**MONEY_SCALE


cdef class Working:
    """What one strategy still has out in one instrument: quantities that may trade, and the number of live orders."""

    def __init__(self):
        self.buy = self.sell = 0


cdef class Fill:
    """One trade of an order. Its parts arrive in any order; `parts` (FillPart) tells which are known."""

    def __init__(self, Order order not None, bytes trade_id not None):
        self.order = order
        self.trade_id = trade_id
        self.price_mantissa = self.quantity_mantissa = self.fee_mantissa = self.exchange_time_ns = 0
        self.fee_currency = ""

    @property
    def instrument(self):
        return self.order.instrument

    @property
    def side(self):
        return self.order.side

    @property
    def price(self):
        return self.order.instrument.price_of(self.price_mantissa)

    @property
    def quantity(self):
        return self.order.instrument.quantity_of(self.quantity_mantissa)

    @property
    def signed_quantity(self):
        return self.quantity if self.order.side == _BUY else -self.quantity

    @property
    def fee(self):
        return self.fee_mantissa / _MONEY_UNIT

    def __repr__(self):
        trade_id = self.trade_id.decode("ascii", "replace")
        return f"Fill({trade_id}, {self.quantity}@{self.price}, fee {self.fee} {self.fee_currency})"


cdef class Order:
    """One order from the moment a strategy asks for it until the venue's last word and its last fill."""

    def __init__(self, client_order_id, int strategy_id, instrument, int side):
        self.client_order_id = client_order_id
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.side = side
        self.fills = {}
        self.price_mantissa = self.quantity_mantissa = 0
        self.pending_price_mantissa = self.pending_quantity_mantissa = 0
        self.cumulative_mantissa = self.filled_mantissa = self.filled_value = self.counted_leaves = 0
        self.exchange_order_id = b""
        self.text = ""

    # --- what a strategy reads ---------------------------------------------------------------------------------------
    @property
    def price(self):
        return self.instrument.price_of(self.price_mantissa)

    @property
    def quantity(self):
        return self.instrument.quantity_of(self.quantity_mantissa)

    @property
    def filled_quantity(self):
        return self.instrument.quantity_of(self.filled_mantissa)

    @property
    def remaining_mantissa(self):
        return max(0, self.quantity_mantissa - self.filled_mantissa)

    @property
    def remaining_quantity(self):
        return self.instrument.quantity_of(self.remaining_mantissa)

    @property
    def average_price(self):
        if self.filled_mantissa == 0:
            return float("nan")
        return self.instrument.price_of(1) * self.filled_value / self.filled_mantissa

    @property
    def is_buy(self):
        return self.side == _BUY

    @property
    def is_terminal(self):
        return self.state in TERMINAL_STATES

    @property
    def is_working(self):
        return self.state == _OPEN or self.state == _PARTIALLY_FILLED

    @property
    def is_live(self):
        return self.state not in TERMINAL_STATES

    @property
    def post_only(self):
        return self.exec_flags & _POST_ONLY != 0

    @property
    def reduce_only(self):
        return self.exec_flags & _REDUCE_ONLY != 0

    def __repr__(self):
        return (
            f"Order({self.client_order_id}, {self.instrument.name}, {_Side(self.side).name} "
            f"{self.filled_quantity}/{self.quantity}@{self.price}, {OrderState(self.state).name})"
        )
