# cython: language_level=3, annotation_typing=False
"""The engine's own risk gate: the last check before the wire, independent of whatever the trader believes.

The rules
- No limits configured: no orders.
- An order that only reduces the net position, whatever else is open, always passes; so do cancels, which never come
  here.
- Everything else: size, notional, distance of the price from the book table's mid (a book that is invalid or old
  refuses), net position with all that is open on that side counted as filled, number of open orders, rate.
- The net position is the venue's, seeded by recovery, moved by every fill after it. A fill that the seed already holds
  (by the venue's time) is not counted again.
- A position beyond its limit means that something else trades on this account or that we are wrong: the gate trips,
  lets only reducing orders pass, and stays so over restarts until an operator resets it.

Who calls it: the order engine before each NEW and REPLACE; compiled because each waits for it.
"""

from libc.stdint cimport int64_t, uint64_t

from exchanges.order_store cimport OpenTotals, OrderStore
from exchanges.order_store cimport Order
from exchanges.rate_limit cimport TokenBucket
from shm.record cimport Record
from shm.records cimport OrderRequestRecord

from enum import IntEnum

from shm.layout import OrderType, Reason, Side
from shm.records import OrderRequest

cdef extern from *:
    """
    /* Whether a * b * c > limit, limit being high * 2^64 + low. -1: 128 bits do not tell. */
    static inline int cl_product_above(long long a, long long b, long long c, long long high, unsigned long long low) {
        __int128 product;
        if (__builtin_mul_overflow((__int128)a * b, (__int128)c, &product)) return -1;
        return product > (__int128)((unsigned __int128)(unsigned long long)high << 64 | low);
    }
    """
    int cl_product_above(int64_t a, int64_t b, int64_t c, int64_t high, uint64_t low) noexcept nogil

cdef enum:
    _RECENT_FILLS = 4096        # kept for laying a position snapshot over: far more than fit between request and reply

cdef int _BUY = Side.BUY, _SELL = Side.SELL, _MARKET = OrderType.MARKET
# Bound once: looking a member up in its enumeration costs more than a comparison.
cdef object _NONE = Reason.NONE, _NO_LIMITS = Reason.RISK_NO_LIMITS, _BAD_REQUEST = Reason.BAD_REQUEST


class GateState(IntEnum):
    NO_LIMITS = 0
    NOT_SEEDED = 1
    ACTIVE = 2
    TRIPPED = 3


cdef struct _Fill:
    int64_t time_ns, quantity       # the venue's time; signed


cdef class _Position:
    cdef object net, seed_time_ns
    cdef bint seeded
    cdef _Fill recent[_RECENT_FILLS]
    cdef uint64_t fills             # that were ever noted

    def __init__(self):
        self.net = self.seed_time_ns = 0

    cdef void note(self, int64_t time_ns, int64_t quantity) noexcept:
        self.recent[self.fills % _RECENT_FILLS] = _Fill(time_ns, quantity)
        self.fills += 1

    cdef object since(self, int64_t time_ns):
        """Sum of the fills after that time."""
        cdef uint64_t index
        total = 0
        for index in range(min(self.fills, _RECENT_FILLS)):
            if self.recent[index].time_ns > time_ns:
                total += self.recent[index].quantity
        return total


cdef class _Scaled:
    """An instrument as the checks want it: worked out once, for as long as it is that very object."""

    cdef object instrument
    cdef int64_t lot, tick, contract_size
    cdef double unit                # of a price
    cdef object largest, bound      # of an order, of the position; None: there is no limit, so no order
    cdef bint inverse, exact        # exact: 64 and 128 bits hold what follows
    cdef int64_t cap_high           # of what price, quantity and contract size may multiply to, * 2^64
    cdef uint64_t cap_low

    def __cinit__(self, instrument, limits):
        self.instrument = instrument
        self.lot, self.tick = instrument.lot_size, instrument.tick_size
        self.unit = 10**instrument.price_scale
        self.largest = limits.max_order_quantity.get(instrument.id)
        self.bound = limits.max_position.get(instrument.id)
        self.inverse = instrument.inverse
        # OrderInstrument.notional rounds price * quantity * contract size / unit up. That is above a whole number
        # exactly where the product is above this number of units.
        scale = instrument.quantity_scale + (0 if self.inverse else instrument.price_scale)
        if scale < 0:
            return
        cap = limits.max_order_notional * 10**scale
        size = instrument.contract_size
        if not -1 << 126 < cap < 1 << 126 or not -1 << 62 < size < 1 << 62:
            return
        self.contract_size = size
        self.cap_high, self.cap_low = cap >> 64, cap & 0xFFFF_FFFF_FFFF_FFFF
        self.exact = True

    cdef int above(self, int64_t price, int64_t quantity) noexcept:
        """Whether the notional is above its limit; -1: somebody else has to say."""
        if not self.exact:
            return -1
        return cl_product_above(1 if self.inverse else price, quantity, self.contract_size, self.cap_high, self.cap_low)


cdef class RiskGate:
    cdef object _limits, _mid_price, _trip_path
    cdef TokenBucket _rate
    cdef OrderStore _store
    cdef dict _scaled
    cdef double _collar
    cdef object _most_open
    cdef dict _positions
    cdef readonly str trip_text

    def __init__(self, limits, OrderStore store not None, mid_price, trip_path=None):
        """limits: RiskLimits, or None. mid_price: by instrument id from the book table, None where the book is invalid or
        stale. trip_path: where a trip is kept over restarts."""
        self._limits, self._store, self._mid_price = limits, store, mid_price
        self._positions, self._scaled = {}, {}
        self._rate = TokenBucket(limits.max_orders_per_second if limits else 1.0)
        if limits is not None:
            self._collar, self._most_open = limits.collar, limits.max_open_orders
        self._trip_path = trip_path
        self.trip_text = ""
        if trip_path is not None and trip_path.exists():
            self.trip_text = trip_path.read_text(errors="replace").strip() or "tripped before the restart"

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def state(self):
        if self._limits is None:
            return GateState.NO_LIMITS
        if self.trip_text:
            return GateState.TRIPPED
        cdef _Position position
        for position in self._positions.values():
            if not position.seeded:
                return GateState.NOT_SEEDED
        return GateState.ACTIVE

    def trip(self, str text not None):
        """From now on only reducing orders; `text` says why, in one sentence."""
        if self.trip_text:
            return
        self.trip_text = text
        if self._trip_path is not None:
            self._trip_path.parent.mkdir(parents=True, exist_ok=True)
            self._trip_path.write_text(text + "\n")

    def reset(self):
        """An operator has looked at it."""
        self.trip_text = ""
        if self._trip_path is not None:
            self._trip_path.unlink(missing_ok=True)

    # --- position ---------------------------------------------------------------------------------------------------
    cdef _Position _position(self, instrument_id):
        cdef _Position position = self._positions.get(instrument_id)
        if position is None:
            position = self._positions[instrument_id] = _Position()
        return position

    def net_position(self, instrument_id):
        """Signed mantissa in the quantity scale."""
        return self._position(instrument_id).net

    def seed(self, instrument_id, net, venue_time_ns):
        """The venue's position as of `venue_time_ns` (its own clock); fills after that are laid over it."""
        cdef _Position position = self._position(instrument_id)
        position.net = net + position.since(venue_time_ns)
        position.seed_time_ns = venue_time_ns
        position.seeded = True
        self._check_position(instrument_id, position)

    def on_fill(self, instrument_id, side, quantity, venue_time_ns):
        signed = quantity if side == _BUY else -quantity
        cdef _Position position = self._position(instrument_id)
        position.note(venue_time_ns, signed)
        if position.seeded and venue_time_ns <= position.seed_time_ns:
            return  # the snapshot was taken after this trade
        position.net += signed
        self._check_position(instrument_id, position)

    cdef int _check_position(self, instrument_id, _Position position) except -1:
        if self._limits is None or not position.seeded:
            return 0
        limit = self._limits.max_position.get(instrument_id)
        if limit is not None and abs(position.net) > limit:
            self.trip(
                f"instrument {instrument_id}: position {position.net} is beyond its limit {limit} (in lots' scale)"
            )

    # --- checks -----------------------------------------------------------------------------------------------------
    def check_new(self, Record request not None, instrument, int64_t now_ns):
        """NONE: may be sent (and one token of the rate is taken)."""
        cdef OrderRequestRecord* asked = _asked(request)
        cdef _Position position = self._position(instrument.id)
        cdef _Scaled scaled = None if self._limits is None else self._scaled_of(instrument)
        reason = self._malformed(asked, scaled, position)
        if reason or self._reduces(asked.side, asked.quantity, instrument.id, position):
            return reason
        reason = self._check(asked, scaled, asked.quantity, asked.side, position)
        if reason:
            return reason
        if self._store._open_count >= self._most_open:
            return Reason.RISK_OPEN_ORDERS
        return self._take_rate(now_ns)

    def check_replace(self, Record request not None, Order order not None, instrument, int64_t now_ns):
        """`request.quantity` is the new total; only what it adds to what is open already counts as more exposure."""
        cdef OrderRequestRecord* asked = _asked(request)
        cdef _Position position = self._position(instrument.id)
        cdef _Scaled scaled = None if self._limits is None else self._scaled_of(instrument)
        reason = self._malformed(asked, scaled, position)
        if reason:
            return reason
        added = max(0, asked.quantity - order.cumulative_quantity - order.remaining())
        if self._reduces(order.side, added, instrument.id, position):
            return _NONE
        reason = self._check(asked, scaled, added, order.side, position)
        return reason or self._take_rate(now_ns)

    def reduces(self, int side, quantity, instrument_id):
        """Whether `quantity` more on this side, with all that is open there, cannot take the position past zero."""
        return self._reduces(side, quantity, instrument_id, self._position(instrument_id))

    cdef bint _reduces(self, int side, quantity, instrument_id, _Position position) except -1:
        cdef OpenTotals totals
        if not position.seeded or position.net == 0:
            return False
        totals = self._store.totals(instrument_id)
        if side == _SELL:
            return position.net > 0 and totals.sell + quantity <= position.net
        return position.net < 0 and totals.buy + quantity <= -position.net

    cdef object _malformed(self, OrderRequestRecord* asked, _Scaled scaled, _Position position):
        """What no limit can repair: not a positive multiple of lot and tick."""
        if scaled is None:
            return _NO_LIMITS
        if not position.seeded:
            return Reason.NOT_READY
        if asked.quantity <= 0 or asked.quantity % scaled.lot:
            return _BAD_REQUEST
        if asked.order_type != _MARKET and (asked.price <= 0 or asked.price % scaled.tick):
            return _BAD_REQUEST
        return _NONE

    cdef _Scaled _scaled_of(self, instrument):
        """An instrument whose row has changed is another object, and is worked out anew."""
        cdef _Scaled known = self._scaled.get(instrument.id)
        if known is None or known.instrument is not instrument:
            known = self._scaled[instrument.id] = _Scaled(instrument, self._limits)
        return known

    cdef object _check(self, OrderRequestRecord* asked, _Scaled scaled, added, int side, _Position position):
        cdef OpenTotals totals
        cdef double mid, collar = self._collar
        cdef int above = -1
        if self.trip_text:
            return Reason.RISK_POSITION
        if scaled.largest is None or scaled.bound is None:
            return _NO_LIMITS
        if asked.quantity > scaled.largest:
            return Reason.RISK_SIZE
        identifier = scaled.instrument.id
        found = self._mid_price(identifier)
        if found is None:
            return Reason.RISK_STALE_DATA
        mid = found
        if asked.order_type == _MARKET:
            price = int(mid * scaled.unit * (1.0 + collar))
        else:
            price = asked.price
            if abs(asked.price / scaled.unit - mid) > collar * mid:
                return Reason.RISK_COLLAR
            above = scaled.above(asked.price, asked.quantity)
        if above < 0:
            above = scaled.instrument.notional(price, asked.quantity) > self._limits.max_order_notional
        if above:
            return Reason.RISK_NOTIONAL
        totals = self._store.totals(identifier)
        net = position.net
        worst = net + totals.buy + added if side == _BUY else -(net - totals.sell - added)
        return Reason.RISK_POSITION if worst > scaled.bound else _NONE

    cdef object _take_rate(self, int64_t now_ns):
        if not self._rate.available(now_ns):
            return Reason.RISK_RATE
        self._rate.take()
        return _NONE


cdef OrderRequestRecord* _asked(Record request) except NULL:
    if not isinstance(request, OrderRequest):
        raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
    return <OrderRequestRecord*> request.data
