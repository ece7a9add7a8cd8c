# cython: language_level=3, annotation_typing=False
"""MiniOMS: what this trader knows about its orders, as a table.

The theory
----------
An order is in one of the ten states of `shm.layout.OrderState`. Six are live (it may still trade), four are terminal.
`TRANSITIONS` gives, for every (state, input) pair, what happens; there is no other code that changes a state. Inputs
are our own wishes (ASK_*), the venue's words as the engine reports them, and two facts about the way there
(ENGINE_LOST, ABSENT). The rules behind the table:

1. *Only the venue's word ends an order.* A timeout, a lost engine, a recovery that does not mention it: UNKNOWN, never
   CANCELED. REJECTED is also the word for "refused on this host, nothing was sent".
2. *States in flight exist before the venue answers.* A cancel wish makes PENDING_CANCEL at once. When the answer is a
   refusal, the order goes back to what it would be without that request (RESUME): PENDING_NEW if the venue never
   confirmed it, PENDING_REPLACE if a replace is still unanswered, else OPEN or PARTIALLY_FILLED by its fills.
3. *Fills are money, states are opinion.* A fill is applied whatever the state says, once per trade id; after a cancel
   it is legal (it crossed), after a rejection it is illegal and applied all the same.
4. *FILLED is an equality of integers*: the fills reach the total quantity, or the larger total of a replace in flight,
   because the venue may have raised it before those fills.
5. *Terminal is not closed.* CANCELED and EXPIRED carry the venue's cumulative quantity; the order is closed, and may
   age out of memory, only when the fills that are here add up to it.
6. *An illegal pair changes nothing*, is counted and logged, and makes the order doubted: the trader asks the venue
   (QUERY). The answer to such a question is taken even where the table forbids it, and may revive an order that was
   thought to be over: an order that lives at the venue and not in our books is the worst of all errors.

Orders of an earlier trader of this instance ("adopted", found by a recovery) start as UNKNOWN and move by the same
table. Orders without our id bits ("external") are tracked and reported, never touched.

Called by the container for every OrderEvent of every venue and every wish of a strategy. One thread, no I/O.
Compiled, as `order.pyx` is, because a new order passes here on its way to the request ring.
"""

import logging
from collections import OrderedDict
from enum import IntEnum
from typing import Final, Protocol

from strategy.order cimport Fill, Order, Working

from shm.layout import (
    TERMINAL_STATES,
    EventType,
    FillPart,
    OrderState,
    Reason,
    RequestType,
    Side,
    instance_of,
    strategy_of,
)


class Input(IntEnum):
    """Everything that can happen to an order."""

    ASK_CANCEL = 0
    ASK_REPLACE = 1
    SENT = 2
    ACCEPTED = 3
    FILL = 4
    FILL_FEE = 5
    CANCELED = 6
    EXPIRED = 7
    REJECTED = 8
    CANCEL_REJECTED = 9
    REPLACED = 10
    REPLACE_REJECTED = 11
    UNKNOWN = 12
    STATUS_WORKING = 13
    """Read from the venue by the engine: open there."""
    STATUS_FILLED = 14
    STATUS_CANCELED = 15
    STATUS_EXPIRED = 16
    STATUS_REJECTED = 17
    STATUS_SILENT = 18
    """A status without a word about the state (the engine does not know either)."""
    CONFIRMED_WORKING = 19
    """As STATUS_WORKING, but the answer to our own question: newer than anything that stood before it."""
    ENGINE_LOST = 20
    """The engine died or was replaced: what was in flight is unknown."""
    ABSENT = 21
    """A recovery bracket ended and did not mention this live order."""


class Step(IntEnum):
    """What the table says where it does not simply name the next state (values beyond any OrderState)."""

    SAME = 100
    RESUME = 101
    """The state it would have without the request just answered (theory, 2)."""
    WORKING = 102
    """OPEN, PARTIALLY_FILLED or FILLED by its fills; nothing of ours is in flight any more."""
    IF_COMPLETE = 103
    """FILLED when the fills reach the quantity, otherwise no change."""
    IF_NEVER_ACCEPTED = 104
    """REJECTED, but illegal for an order that the venue has confirmed."""
    REVIVE = 105
    """WORKING, and counted as illegal."""
    ILLEGAL = 106


STATES: Final = (
    OrderState.PENDING_NEW, OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.PENDING_CANCEL,
    OrderState.PENDING_REPLACE, OrderState.UNKNOWN,
    OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED,
)  # fmt: skip

# The words of the table: three letters each, so that a row is a line.
_CXL, _REP, _UNK = OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE, OrderState.UNKNOWN
_FIL, _CAN, _REJ, _EXP = OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED
_SAM, _RES, _WRK, _IFC = Step.SAME, Step.RESUME, Step.WORKING, Step.IF_COMPLETE
_IFN, _REV, ____ = Step.IF_NEVER_ACCEPTED, Step.REVIVE, Step.ILLEGAL

# One row per input, one column per state in the order of STATES; ____ is illegal.
_TABLE: Final[dict[Input, tuple[int, ...]]] = {
    #                         P_NEW OPEN  PARTL P_CXL P_REP UNKN  FILL  CANC  REJE  EXPI
    Input.ASK_CANCEL:        (_CXL, _CXL, _CXL, ____, _CXL, _SAM, ____, ____, ____, ____),
    Input.ASK_REPLACE:       (____, _REP, _REP, ____, ____, ____, ____, ____, ____, ____),
    Input.SENT:              (_SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM),
    Input.ACCEPTED:          (_RES, _RES, _RES, _RES, _RES, _RES, _SAM, _SAM, ____, _SAM),
    Input.FILL:              (_RES, _RES, _RES, _RES, _RES, _IFC, _SAM, _SAM, ____, _SAM),
    Input.FILL_FEE:          (_SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM),
    Input.CANCELED:          (_CAN, _CAN, _CAN, _CAN, _CAN, _CAN, ____, _SAM, ____, ____),
    Input.EXPIRED:           (_EXP, _EXP, _EXP, _EXP, _EXP, _EXP, ____, ____, ____, _SAM),
    Input.REJECTED:          (_REJ, ____, ____, _IFN, ____, _REJ, ____, ____, _SAM, ____),
    Input.CANCEL_REJECTED:   (_SAM, _SAM, _SAM, _RES, _SAM, _RES, _SAM, _SAM, _SAM, _SAM),
    Input.REPLACED:          (_RES, _RES, _RES, _RES, _RES, _RES, ____, _SAM, ____, _SAM),
    Input.REPLACE_REJECTED:  (_SAM, _SAM, _SAM, _RES, _RES, _RES, _SAM, _SAM, _SAM, _SAM),
    Input.UNKNOWN:           (_UNK, _UNK, _UNK, _UNK, _UNK, _SAM, _SAM, _SAM, _SAM, _SAM),
    Input.STATUS_WORKING:    (_RES, _RES, _RES, _RES, _RES, _WRK, ____, ____, ____, ____),
    Input.STATUS_FILLED:     (_FIL, _FIL, _FIL, _FIL, _FIL, _FIL, _SAM, ____, ____, ____),
    Input.STATUS_CANCELED:   (_CAN, _CAN, _CAN, _CAN, _CAN, _CAN, ____, _SAM, ____, ____),
    Input.STATUS_EXPIRED:    (_EXP, _EXP, _EXP, _EXP, _EXP, _EXP, ____, ____, ____, _SAM),
    Input.STATUS_REJECTED:   (_REJ, ____, ____, _IFN, ____, _REJ, ____, ____, _SAM, ____),
    Input.STATUS_SILENT:     (_SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM, _SAM),
    Input.CONFIRMED_WORKING: (_WRK, _WRK, _WRK, _WRK, _WRK, _WRK, _REV, _REV, _REV, _REV),
    Input.ENGINE_LOST:       (_UNK, _SAM, _SAM, _UNK, _UNK, _SAM, _SAM, _SAM, _SAM, _SAM),
    Input.ABSENT:            (_UNK, _UNK, _UNK, _UNK, _UNK, _SAM, _SAM, _SAM, _SAM, _SAM),
}  # fmt: skip

TRANSITIONS: Final[dict[tuple[int, int], int]] = {
    (int(state), int(given)): int(step)
    for given, row in _TABLE.items()
    for state, step in zip(STATES, row, strict=True)
}

# The same table for the methods below: _STEPS[state][input].
cdef int _STEPS[16][32]
for (_state, _given), _step in TRANSITIONS.items():
    _STEPS[<int> _state][<int> _given] = _step

_EVENT_INPUTS: Final[dict[int, Input]] = {
    EventType.SENT: Input.SENT,
    EventType.ACCEPTED: Input.ACCEPTED,
    EventType.FILL: Input.FILL,
    EventType.FILL_FEE: Input.FILL_FEE,
    EventType.CANCELED: Input.CANCELED,
    EventType.EXPIRED: Input.EXPIRED,
    EventType.REJECTED: Input.REJECTED,
    EventType.CANCEL_REJECTED: Input.CANCEL_REJECTED,
    EventType.REPLACED: Input.REPLACED,
    EventType.REPLACE_REJECTED: Input.REPLACE_REJECTED,
    EventType.UNKNOWN: Input.UNKNOWN,
}
_STATUS_INPUTS: Final[dict[int, Input]] = {
    OrderState.OPEN: Input.STATUS_WORKING,
    OrderState.PARTIALLY_FILLED: Input.STATUS_WORKING,
    OrderState.PENDING_CANCEL: Input.STATUS_WORKING,
    OrderState.PENDING_REPLACE: Input.STATUS_WORKING,
    OrderState.FILLED: Input.STATUS_FILLED,
    OrderState.CANCELED: Input.STATUS_CANCELED,
    OrderState.EXPIRED: Input.STATUS_EXPIRED,
    OrderState.REJECTED: Input.STATUS_REJECTED,
}
_CONFIRMED_STATES: Final[dict[Input, OrderState]] = {
    Input.STATUS_FILLED: OrderState.FILLED,
    Input.STATUS_CANCELED: OrderState.CANCELED,
    Input.STATUS_EXPIRED: OrderState.EXPIRED,
    Input.STATUS_REJECTED: OrderState.REJECTED,
}
# Inputs after which the venue is known to have the order.
_PROOF_OF_LIFE: Final = frozenset({
    Input.ACCEPTED, Input.FILL, Input.REPLACED, Input.STATUS_WORKING, Input.CONFIRMED_WORKING,
    Input.STATUS_FILLED, Input.STATUS_CANCELED, Input.STATUS_EXPIRED, Input.CANCELED, Input.EXPIRED,
})  # fmt: skip

_FILLS: Final = frozenset({Input.FILL, Input.FILL_FEE})
_NAMES_TERMS: Final = frozenset({Input.REPLACED, Input.CONFIRMED_WORKING, Input.STATUS_FILLED})
_HAS_TEXT: Final = frozenset({
    Input.REJECTED, Input.CANCEL_REJECTED, Input.REPLACE_REJECTED, Input.CANCELED, Input.EXPIRED,
})  # fmt: skip

# Bound once, as C integers: the methods below compare a dozen of them per event.
cdef int _IN_ABSENT = Input.ABSENT, _IN_ACCEPTED = Input.ACCEPTED, _IN_ASK_CANCEL = Input.ASK_CANCEL
cdef int _IN_ASK_REPLACE = Input.ASK_REPLACE, _IN_CANCEL_REJECTED = Input.CANCEL_REJECTED
cdef int _IN_CONFIRMED_WORKING = Input.CONFIRMED_WORKING, _IN_ENGINE_LOST = Input.ENGINE_LOST
cdef int _IN_REPLACED = Input.REPLACED, _IN_REPLACE_REJECTED = Input.REPLACE_REJECTED
cdef int _IN_STATUS_SILENT = Input.STATUS_SILENT, _IN_STATUS_WORKING = Input.STATUS_WORKING
cdef int _IN_UNKNOWN = Input.UNKNOWN
cdef int _STEP_IF_COMPLETE = Step.IF_COMPLETE, _STEP_IF_NEVER_ACCEPTED = Step.IF_NEVER_ACCEPTED
cdef int _STEP_ILLEGAL = Step.ILLEGAL, _STEP_RESUME = Step.RESUME, _STEP_REVIVE = Step.REVIVE
cdef int _STEP_SAME = Step.SAME, _STEP_WORKING = Step.WORKING
cdef int _ST_FILLED = OrderState.FILLED, _ST_NONE = OrderState.NONE, _ST_OPEN = OrderState.OPEN
cdef int _ST_PARTIALLY_FILLED = OrderState.PARTIALLY_FILLED, _ST_PENDING_CANCEL = OrderState.PENDING_CANCEL
cdef int _ST_PENDING_NEW = OrderState.PENDING_NEW, _ST_PENDING_REPLACE = OrderState.PENDING_REPLACE
cdef int _ST_REJECTED = OrderState.REJECTED, _ST_UNKNOWN = OrderState.UNKNOWN
cdef int _EV_CANCEL_REJECTED = EventType.CANCEL_REJECTED, _EV_FILL = EventType.FILL
cdef int _EV_REPLACE_REJECTED = EventType.REPLACE_REJECTED, _EV_SENT = EventType.SENT, _EV_STATUS = EventType.STATUS
cdef int _RQ_CANCEL = RequestType.CANCEL, _RQ_NEW = RequestType.NEW, _RQ_QUERY = RequestType.QUERY
cdef int _PART_FEE = FillPart.FEE, _PART_QUANTITY = FillPart.QUANTITY
cdef int _SIDE_BUY = Side.BUY, _SIDE_SELL = Side.SELL

CLOSED_KEPT: Final = 1024
"""Closed orders kept whole, so that late duplicates of their fills are still recognised by trade id."""
cdef enum:
    _AGED_KEPT = 16_384
AGED_KEPT: Final = _AGED_KEPT
"""Ids kept of orders that aged out: their late events are dropped and counted instead of looking like strays. Plain
numbers in one block, there from the start: as Python integers in a dictionary they took 2 MB, which a busy trader grew
into over its first half hour. One is looked for only where an event is about no order known: 16,384 comparisons then.
"""


class OrderListener(Protocol):
    """Who is told. Called while the event is being applied, after the order carries the news."""

    def on_order(self, order: Order) -> None:
        """State, price, quantity or a refusal changed."""

    def on_fill(self, order: Order, fill: Fill) -> None:
        """Quantity and price of a trade, once per trade id."""

    def on_fee(self, order: Order, fill: Fill) -> None:
        """Fee of a trade, once per trade id; may come before or after its quantity."""


cdef class MiniOMS:
    """All orders of this trader. `orders` holds what is not closed; counters are plain ints read by the trader."""

    cdef readonly object instance, listener, log
    cdef readonly dict orders, final_states
    cdef readonly object closed
    cdef unsigned long long _aged[_AGED_KEPT]
    cdef int _next_aged
    cdef dict _doubted_closed, _working
    cdef readonly long created, illegal_transitions, duplicate_fills, overfills, fill_mismatches, late_events
    cdef readonly long external_orders

    def __init__(self, instance, listener, logger=None):
        self.instance = instance
        self.listener = listener
        self.log = logger or logging.getLogger(__name__)
        self.orders = {}
        self.closed = OrderedDict()
        self._doubted_closed = {}
        self._working = {}
        self.final_states = dict.fromkeys((int(state) for state in TERMINAL_STATES), 0)

    # --- reading ----------------------------------------------------------------------------------------------------
    def working(self, strategy_id, instrument_id):
        """The running totals of one strategy and instrument: the same object for ever, so it may be kept."""
        key = (strategy_id, instrument_id)
        found = self._working.get(key)
        if found is None:
            found = self._working[key] = Working()
        return found

    def orders_of(self, strategy_id):
        """Orders of a strategy that are not closed."""
        return [order for order in self.orders.values() if order.strategy_id == strategy_id and not order.external]

    def open_count(self, strategy_id):
        """Live orders of a strategy over all instruments."""
        return sum(working.orders for (owner, _), working in self._working.items() if owner == strategy_id)

    # --- our wishes -------------------------------------------------------------------------------------------------
    def create(
        self, client_order_id, int strategy_id, instrument, int side, price_mantissa, quantity_mantissa,
        long long now_ns, Working working=None,
    ):
        """An order that is about to be published. `working`: its running totals, where the caller has them at hand."""
        cdef Order order = Order(client_order_id, strategy_id, instrument, side)
        order.state = _ST_PENDING_NEW
        order.price_mantissa = price_mantissa
        order.quantity_mantissa = order.counted_leaves = quantity_mantissa
        order.counted_open = True
        order.create_time_ns = order.state_time_ns = now_ns
        self.orders[client_order_id] = order
        self.created += 1
        if working is None:
            working = self.working(strategy_id, instrument.id)
        if side == _SIDE_BUY:
            working.buy += quantity_mantissa
        else:
            working.sell += quantity_mantissa
        working.orders += 1
        return order

    cdef int count(self, Order order) except -1:
        """Bring the running totals of its strategy and instrument up to date with this order."""
        cdef Working working
        cdef bint is_open
        if order.closed:
            leaves = 0
        elif order.state in TERMINAL_STATES:
            leaves = max(0, order.cumulative_mantissa - order.filled_mantissa)
        else:
            leaves = max(0, max(order.quantity_mantissa, order.pending_quantity_mantissa) - order.filled_mantissa)
        is_open = order.state not in TERMINAL_STATES
        working = self.working(order.strategy_id, order.instrument.id)
        if order.side == _SIDE_BUY:
            working.buy += leaves - order.counted_leaves
        else:
            working.sell += leaves - order.counted_leaves
        working.orders += is_open - order.counted_open
        order.counted_leaves = leaves
        order.counted_open = is_open

    def ask_cancel(self, Order order not None, long long now_ns):
        """Note the wish. False: there is nothing to send (it is over, or a cancel is already on its way)."""
        step = _STEPS[order.state][_IN_ASK_CANCEL]
        if step == _STEP_ILLEGAL or order.cancel_pending or order.external:
            return False
        order.cancel_pending = True
        if step != _STEP_SAME:
            order.state = step
            order.state_time_ns = now_ns
        return True

    def ask_replace(self, Order order not None, price_mantissa, quantity_mantissa, long long now_ns):
        """Note the wish for a new price and a new *total* quantity. False: not in a state that can be replaced."""
        step = _STEPS[order.state][_IN_ASK_REPLACE]
        if step == _STEP_ILLEGAL or order.external:
            return False
        order.pending_price_mantissa = price_mantissa
        order.pending_quantity_mantissa = quantity_mantissa
        order.state = step
        order.state_time_ns = now_ns
        self.count(order)
        return True

    def not_published(self, Order order not None, int request_type, int reason, str text, long long now_ns):
        """The request could not even be put into the ring: nothing left, so the wish is undone here and now."""
        if request_type == _RQ_NEW:
            order.state = _ST_REJECTED
        elif request_type == _RQ_CANCEL:
            order.cancel_pending = False
            order.state = self._next(order, _STEP_RESUME)
        else:
            order.pending_price_mantissa = order.pending_quantity_mantissa = 0
            order.state = self._next(order, _STEP_RESUME)
        order.reason, order.text, order.state_time_ns = reason, text, now_ns
        self._settle(order)
        self.listener.on_order(order)

    # --- the venue's words ------------------------------------------------------------------------------------------
    def apply(self, event, instrument, long long now_ns):
        """Apply one event. `instrument` is that of the event, None where it is not known here.

        Returns the order, or None where the event is about none (answers to cancel-all, late events of aged orders).
        """
        cdef int given
        cdef bint asked, news
        order_id = event.client_order_id
        cdef Order order = self.orders.get(order_id)
        if order is None:
            order = self.closed.get(order_id)
            if order is None:
                if order_id == 0:
                    return None
                if self._is_aged(order_id):
                    self.late_events += 1
                    if event.event_type == _EV_FILL:
                        self.log.warning(
                            "fill %r of order %d came after it aged out; dropped", event.trade_id, order_id
                        )
                    return None
                order = self._meet(event, instrument, now_ns)
                if order is None:
                    return None
        given = self._input_of(event)
        if given < 0:
            self.illegal_transitions += 1
            self.log.error("order %d: event type %d is not known here", order_id, event.event_type)
            return order
        order.recovered = True
        asked = event.event_type == _EV_STATUS and event.request_type == _RQ_QUERY
        news = self._take_facts(order, event, given)
        if given in _FILLS and not self._take_fill(order, event):
            return order
        self._step(order, given, event.reason, news, now_ns, asked)
        return order

    def engine_lost(self, int venue, long long now_ns):
        """The engine of this venue died or was replaced: whatever was in flight is UNKNOWN until the venue's word."""
        cdef Order order
        for order in self._live_at(venue):
            order.cancel_pending = False
            self._step(order, _IN_ENGINE_LOST, Reason.DISCONNECTED, False, now_ns)

    def begin_recovery(self, int venue):
        """A bracket begins: from here on, which orders does it mention?"""
        cdef Order order
        for order in self._live_at(venue):
            order.recovered = False

    def end_recovery(self, int venue, long long now_ns):
        """The bracket ended. Live orders that it did not mention are UNKNOWN; they are returned, to be queried."""
        cdef Order order
        cdef list absent = [order for order in self._live_at(venue) if not order.recovered]
        for order in absent:
            self._step(order, _IN_ABSENT, Reason.VENUE_STATUS_UNKNOWN, False, now_ns)
        return absent

    def questionable(self, long long now_ns, long long patience_ns):
        """Orders whose truth the venue should be asked for: an answer or a fill is overdue, or its words disagree."""
        cdef Order order
        cdef list found = []
        for order in self.orders.values():
            waits = order.doubted or (order.state != _ST_OPEN and order.state != _ST_PARTIALLY_FILLED)
            if (
                waits
                and not order.external
                and now_ns - max(order.state_time_ns, order.last_query_time_ns) >= patience_ns
            ):
                found.append(order)
        for order in self._doubted_closed.values():
            if now_ns - order.last_query_time_ns >= patience_ns:
                found.append(order)
        return found

    # --- steps ------------------------------------------------------------------------------------------------------
    cdef int _input_of(self, event) except -2:
        """-1: an event type that is not known here."""
        cdef int event_type = event.event_type
        if event_type != _EV_STATUS:
            return _EVENT_INPUTS.get(event_type, -1)
        cdef int given = _STATUS_INPUTS.get(event.order_state, _IN_STATUS_SILENT)
        if given == _IN_STATUS_WORKING and event.request_type == _RQ_QUERY:
            return _IN_CONFIRMED_WORKING
        return given

    cdef Order _meet(self, event, instrument, long long now_ns):
        """An order that this trader did not make: of an earlier trader of this instance, or somebody else's."""
        ours = instance_of(event.client_order_id) == self.instance
        if event.event_type in (_EV_CANCEL_REJECTED, _EV_REPLACE_REJECTED, _EV_SENT):
            self.late_events += 1  # answers about an order that nobody here knows say nothing that could be kept
            return None
        if event.side not in (_SIDE_BUY, _SIDE_SELL):
            self.log.error("order %d is not known here and its event names no side; dropped", event.client_order_id)
            self.late_events += 1
            return None
        if instrument is None:
            self.log.warning(
                "order %d is of instrument id %d, which is not known here", event.client_order_id, event.instrument_id
            )
            self.late_events += 1
            return None
        cdef Order order = Order(event.client_order_id, strategy_of(event.client_order_id) if ours else 0, instrument, event.side)
        order.state = _ST_UNKNOWN
        order.adopted, order.external = ours, not ours
        order.create_time_ns = order.state_time_ns = now_ns
        order.order_type, order.time_in_force, order.exec_flags = (
            event.order_type,
            event.time_in_force,
            event.exec_flags,
        )
        order.price_mantissa, order.quantity_mantissa = event.price, event.quantity
        self.orders[order.client_order_id] = order
        self.external_orders += not ours
        self.count(order)
        return order

    cdef bint _take_facts(self, Order order, event, int given) except -1:
        """What an event says besides its kind. True where the strategy should hear of it even if the state stays."""
        cdef bint news = False, first_acceptance, names_terms
        first_acceptance = given == _IN_ACCEPTED and not order.accepted
        if given in _PROOF_OF_LIFE:
            order.accepted = True
        if not order.exchange_order_id and event.exchange_order_id:
            order.exchange_order_id = event.exchange_order_id
        if event.cumulative_quantity > order.cumulative_mantissa:
            order.cumulative_mantissa = event.cumulative_quantity
        # An acceptance that was overtaken by a replace carries terms of the past: only the first one names them.
        names_terms = given in _NAMES_TERMS or (
            (first_acceptance or given == _IN_STATUS_WORKING)
            and (order.state == _ST_UNKNOWN or not order.pending_quantity_mantissa)
        )
        if names_terms and event.quantity > 0:
            news = (event.price, event.quantity) != (order.price_mantissa, order.quantity_mantissa)
            order.price_mantissa, order.quantity_mantissa = event.price, event.quantity
        if given in (_IN_REPLACED, _IN_REPLACE_REJECTED):
            order.pending_price_mantissa = order.pending_quantity_mantissa = 0
            news = True
        elif given == _IN_CANCEL_REJECTED or (given == _IN_UNKNOWN and event.request_type == _RQ_CANCEL):
            order.cancel_pending = False
            news = True
        if given in _HAS_TEXT:
            order.text = event.text.decode("utf-8", "replace") if event.text else ""
            order.error_code = event.error_code
        return news

    cdef bint _take_fill(self, Order order, event) except -1:
        """Merge the parts of a trade. False where nothing of it is new."""
        cdef bytes trade_id = event.trade_id
        cdef Fill fill = order.fills.get(trade_id)
        if fill is None:
            fill = order.fills[trade_id] = Fill(order, trade_id)
        cdef int parts = event.parts
        cdef int new = parts & ~fill.parts
        if parts & fill.parts & _PART_QUANTITY and (event.last_price, event.last_quantity) != (
            fill.price_mantissa, fill.quantity_mantissa,
        ):  # fmt: skip
            self.fill_mismatches += 1
            self.log.error(
                "order %d: trade %r was %d@%d and is now reported as %d@%d; the first is kept", order.client_order_id,
                trade_id, fill.quantity_mantissa, fill.price_mantissa, event.last_quantity, event.last_price,
            )  # fmt: skip
        if not new:
            self.duplicate_fills += 1
            return False
        fill.parts |= new
        if event.liquidity:
            fill.liquidity = event.liquidity
        if new & _PART_QUANTITY:
            fill.price_mantissa, fill.quantity_mantissa = event.last_price, event.last_quantity
            fill.exchange_time_ns = event.exchange_time_ns
            order.filled_mantissa += event.last_quantity
            order.filled_value += event.last_price * event.last_quantity
            if order.filled_mantissa > order.cumulative_mantissa:
                order.cumulative_mantissa = order.filled_mantissa
            limit = max(order.quantity_mantissa, order.pending_quantity_mantissa)
            if 0 < limit < order.filled_mantissa:
                self.overfills += 1
                self.log.error("order %d is filled with %d of %d", order.client_order_id, order.filled_mantissa, limit)
            self.count(order)
            self.listener.on_fill(order, fill)
        if new & _PART_FEE:
            fill.fee_mantissa = event.fee
            fill.fee_currency = event.fee_currency.decode("ascii", "replace")
            self.listener.on_fee(order, fill)
        return True

    cdef int _step(
        self, Order order, int given, int reason, bint news, long long now_ns, bint asked=False
    ) except -1:
        cdef int before = order.state
        cdef bint was_closed = order.closed
        cdef int step = _STEPS[before][given]
        if step == _STEP_IF_NEVER_ACCEPTED:
            step = _STEP_ILLEGAL if order.accepted else _ST_REJECTED
        if step == _STEP_ILLEGAL:
            self._illegal(order, given)
            if not asked:
                self._settle(order)
                return 0
            step = _CONFIRMED_STATES[given]
        elif step == _STEP_REVIVE:
            self._illegal(order, given)
        if asked:
            order.doubted = False
        if step != _STEP_SAME:
            order.state = self._next(order, step)
        if order.state == _ST_FILLED and order.cumulative_mantissa < order.quantity_mantissa:
            order.cumulative_mantissa = order.quantity_mantissa
        if order.state != before:
            order.state_time_ns = now_ns
            order.reason = reason
        elif news and reason:
            order.reason = reason
        self._settle(order)
        if news or order.state != before or order.closed != was_closed:
            self.listener.on_order(order)

    cdef int _next(self, Order order, int step) except -1:
        """The state that a step means for this order."""
        if step < _STEP_SAME:
            if step in TERMINAL_STATES:
                order.cancel_pending = False
                order.pending_price_mantissa = order.pending_quantity_mantissa = 0
            return step
        if step in (_STEP_WORKING, _STEP_REVIVE):
            order.cancel_pending = False
            order.pending_price_mantissa = order.pending_quantity_mantissa = 0
        quantity = max(order.quantity_mantissa, order.pending_quantity_mantissa)
        if 0 < quantity <= order.filled_mantissa:
            order.cancel_pending = False
            order.pending_price_mantissa = order.pending_quantity_mantissa = 0
            return _ST_FILLED
        if step == _STEP_IF_COMPLETE:
            return order.state
        if not order.accepted:
            # Still unknown, or back to waiting for the answer to NEW with or without a cancel behind it.
            if order.state == _ST_UNKNOWN:
                return _ST_UNKNOWN
            return _ST_PENDING_CANCEL if order.cancel_pending else _ST_PENDING_NEW
        if order.cancel_pending:
            return _ST_PENDING_CANCEL
        if order.pending_quantity_mantissa:
            return _ST_PENDING_REPLACE
        return _ST_PARTIALLY_FILLED if order.filled_mantissa else _ST_OPEN

    cdef int _settle(self, Order order) except -1:
        """Bring totals and the place of the order (open, closed, aged) up to date with its state and fills."""
        cdef bint closed = order.state in TERMINAL_STATES and order.filled_mantissa >= order.cumulative_mantissa
        if closed and not order.closed:
            order.closed = True
            self.orders.pop(order.client_order_id, None)
            self.closed[order.client_order_id] = order
            self._count_final(order, order.state)
            self._age()
        elif order.closed and not closed:
            order.closed = False
            self.closed.pop(order.client_order_id, None)
            self.orders[order.client_order_id] = order
            self._count_final(order, _ST_NONE)
        elif closed and order.state != order.closed_state:
            self._count_final(order, order.state)
        if order.closed and order.doubted and not order.external:
            self._doubted_closed[order.client_order_id] = order
        elif self._doubted_closed:
            self._doubted_closed.pop(order.client_order_id, None)
        self.count(order)

    cdef int _count_final(self, Order order, int state) except -1:
        """Keep `final_states` the number of closed orders by the state they closed in."""
        if order.closed_state:
            self.final_states[order.closed_state] -= 1
        if state:
            self.final_states[state] += 1
        order.closed_state = state

    cdef int _age(self) except -1:
        while len(self.closed) > CLOSED_KEPT:
            order_id, order = self.closed.popitem(last=False)
            # Order and fills point at each other: broken here, both end without the collector, which looks only at
            # young objects while the trader is busy.
            order.fills.clear()
            self._doubted_closed.pop(order_id, None)
            self._aged[self._next_aged] = order_id
            self._next_aged = (self._next_aged + 1) % _AGED_KEPT

    cdef bint _is_aged(self, unsigned long long order_id):
        cdef int place
        for place in range(_AGED_KEPT):
            if self._aged[place] == order_id:
                return True
        return False

    cdef int _illegal(self, Order order, int given) except -1:
        self.illegal_transitions += 1
        order.doubted = True
        self.log.error(
            "order %d: %s is not possible in state %s; the venue will be asked",
            order.client_order_id, Input(given).name, OrderState(order.state).name,
        )  # fmt: skip

    cdef list _live_at(self, int venue):
        cdef Order order
        return [
            order for order in self.orders.values()
            if order.instrument.venue == venue and order.state not in TERMINAL_STATES and not order.external
        ]  # fmt: skip
