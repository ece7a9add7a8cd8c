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

Who calls it: order_engine.py before each NEW and REPLACE.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from exchanges.adapter import ConfigurationError
from exchanges.decimal_text import DecimalTextError, mantissa
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order, OrderStore
from exchanges.rate_limit import TokenBucket
from shm.layout import MONEY_SCALE, OrderType, Reason, Side
from shm.records import OrderRequest

RECENT_FILLS: Final = 4096
"""Fills kept for laying a position snapshot over: far more than fit between its request and its reply."""


class GateState(IntEnum):
    NO_LIMITS = 0
    NOT_SEEDED = 1
    ACTIVE = 2
    TRIPPED = 3


class RiskSettings(Protocol):
    """The config's RiskConfig."""

    @property
    def max_order_quantity(self) -> Mapping[str, str]: ...
    @property
    def max_order_notional(self) -> str: ...
    @property
    def max_position(self) -> Mapping[str, str]: ...
    @property
    def max_open_orders(self) -> int: ...
    @property
    def max_orders_per_second(self) -> float: ...
    @property
    def collar(self) -> float: ...


class RiskLimits(Struct, frozen=True):
    """Quantities by instrument id in its quantity scale, notional in MONEY_SCALE, collar as a fraction of the mid."""

    max_order_quantity: dict[int, int]
    max_order_notional: int
    max_position: dict[int, int]
    max_open_orders: int
    max_orders_per_second: float
    collar: float

    @classmethod
    def from_settings(cls, settings: RiskSettings, instruments: OrderInstruments) -> RiskLimits:
        """Raises ConfigurationError where a number is finer than the instrument allows."""
        return cls(
            max_order_quantity=_quantities("max_order_quantity", settings.max_order_quantity, instruments),
            max_order_notional=_mantissa("max_order_notional", settings.max_order_notional, MONEY_SCALE),
            max_position=_quantities("max_position", settings.max_position, instruments),
            max_open_orders=settings.max_open_orders,
            max_orders_per_second=settings.max_orders_per_second,
            collar=settings.collar,
        )


def _quantities(key: str, texts: Mapping[str, str], instruments: OrderInstruments) -> dict[int, int]:
    return {
        instrument.id: _mantissa(f"{key}.{instrument.symbol}", texts[instrument.symbol], instrument.quantity_scale)
        for instrument in instruments
        if instrument.symbol in texts
    }


def _mantissa(key: str, text: str, scale: int) -> int:
    try:
        return mantissa(text, scale)
    except DecimalTextError:
        raise ConfigurationError(f"risk.{key}: {text!r} has more than the {scale} decimals that count there") from None


class _Position:
    __slots__ = ("net", "recent", "seed_time_ns", "seeded")

    def __init__(self) -> None:
        self.net = 0
        self.seeded = False
        self.seed_time_ns = 0
        self.recent: deque[tuple[int, int]] = deque(maxlen=RECENT_FILLS)  # (venue time, signed quantity)


class RiskGate:
    def __init__(
        self,
        limits: RiskLimits | None,
        store: OrderStore,
        mid_price: Callable[[int], float | None],
        trip_path: Path | None = None,
    ) -> None:
        """mid_price: by instrument id from the book table, None where the book is invalid or stale. trip_path: where a
        trip is kept over restarts."""
        self._limits, self._store, self._mid_price = limits, store, mid_price
        self._positions: dict[int, _Position] = {}
        self._rate = TokenBucket(limits.max_orders_per_second if limits else 1.0)
        self._trip_path = trip_path
        self.trip_text = ""
        if trip_path is not None and trip_path.exists():
            self.trip_text = trip_path.read_text(errors="replace").strip() or "tripped before the restart"

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def state(self) -> GateState:
        if self._limits is None:
            return GateState.NO_LIMITS
        if self.trip_text:
            return GateState.TRIPPED
        if not all(position.seeded for position in self._positions.values()):
            return GateState.NOT_SEEDED
        return GateState.ACTIVE

    def trip(self, text: str) -> None:
        """From now on only reducing orders; `text` says why, in one sentence."""
        if self.trip_text:
            return
        self.trip_text = text
        if self._trip_path is not None:
            self._trip_path.parent.mkdir(parents=True, exist_ok=True)
            self._trip_path.write_text(text + "\n")

    def reset(self) -> None:
        """An operator has looked at it."""
        self.trip_text = ""
        if self._trip_path is not None:
            self._trip_path.unlink(missing_ok=True)

    # --- position ---------------------------------------------------------------------------------------------------
    def _position(self, instrument_id: int) -> _Position:
        position = self._positions.get(instrument_id)
        if position is None:
            position = self._positions[instrument_id] = _Position()
        return position

    def net_position(self, instrument_id: int) -> int:
        """Signed mantissa in the quantity scale."""
        return self._position(instrument_id).net

    def seed(self, instrument_id: int, net: int, venue_time_ns: int) -> None:
        """The venue's position as of `venue_time_ns` (its own clock); fills after that are laid over it."""
        position = self._position(instrument_id)
        position.net = net + sum(quantity for time_ns, quantity in position.recent if time_ns > venue_time_ns)
        position.seed_time_ns = venue_time_ns
        position.seeded = True
        self._check_position(instrument_id, position)

    def on_fill(self, instrument_id: int, side: int, quantity: int, venue_time_ns: int) -> None:
        signed = quantity if side == Side.BUY else -quantity
        position = self._position(instrument_id)
        position.recent.append((venue_time_ns, signed))
        if position.seeded and venue_time_ns <= position.seed_time_ns:
            return  # the snapshot was taken after this trade
        position.net += signed
        self._check_position(instrument_id, position)

    def _check_position(self, instrument_id: int, position: _Position) -> None:
        if self._limits is None or not position.seeded:
            return
        limit = self._limits.max_position.get(instrument_id)
        if limit is not None and abs(position.net) > limit:
            self.trip(
                f"instrument {instrument_id}: position {position.net} is beyond its limit {limit} (in lots' scale)"
            )

    # --- checks -----------------------------------------------------------------------------------------------------
    def check_new(self, request: OrderRequest, instrument: OrderInstrument, now_ns: int) -> Reason:
        """NONE: may be sent (and one token of the rate is taken)."""
        reason = self._malformed(request, instrument)
        if reason or self.reduces(request.side, request.quantity, instrument.id):
            return reason
        reason = self._check(request, instrument, request.quantity, request.side)
        if reason:
            return reason
        if self._limits is not None and self._store.open_count >= self._limits.max_open_orders:
            return Reason.RISK_OPEN_ORDERS
        return self._take_rate(now_ns)

    def check_replace(self, request: OrderRequest, order: Order, instrument: OrderInstrument, now_ns: int) -> Reason:
        """`request.quantity` is the new total; only what it adds to what is open already counts as more exposure."""
        reason = self._malformed(request, instrument)
        if reason:
            return reason
        added = max(0, request.quantity - order.cumulative_quantity - order.remaining_quantity)
        if self.reduces(order.side, added, instrument.id):
            return Reason.NONE
        reason = self._check(request, instrument, added, order.side)
        return reason or self._take_rate(now_ns)

    def reduces(self, side: int, quantity: int, instrument_id: int) -> bool:
        """Whether `quantity` more on this side, with all that is open there, cannot take the position past zero."""
        position = self._position(instrument_id)
        if not position.seeded:
            return False
        totals = self._store.totals(instrument_id)
        if side == Side.SELL:
            return position.net > 0 and totals.sell + quantity <= position.net
        return position.net < 0 and totals.buy + quantity <= -position.net

    def _malformed(self, request: OrderRequest, instrument: OrderInstrument) -> Reason:
        """What no limit can repair: not a positive multiple of lot and tick."""
        if self._limits is None:
            return Reason.RISK_NO_LIMITS
        if not self._position(instrument.id).seeded:
            return Reason.NOT_READY
        quantity, price = request.quantity, request.price
        if quantity <= 0 or quantity % instrument.lot_size:
            return Reason.BAD_REQUEST
        if request.order_type != OrderType.MARKET and (price <= 0 or price % instrument.tick_size):
            return Reason.BAD_REQUEST
        return Reason.NONE

    def _check(self, request: OrderRequest, instrument: OrderInstrument, added: int, side: int) -> Reason:
        limits = self._limits
        assert limits is not None
        if self.trip_text:
            return Reason.RISK_POSITION
        largest = limits.max_order_quantity.get(instrument.id)
        bound = limits.max_position.get(instrument.id)
        if largest is None or bound is None:
            return Reason.RISK_NO_LIMITS
        if request.quantity > largest:
            return Reason.RISK_SIZE
        mid = self._mid_price(instrument.id)
        if mid is None:
            return Reason.RISK_STALE_DATA
        unit = 10**instrument.price_scale
        if request.order_type == OrderType.MARKET:
            price = int(mid * unit * (1.0 + limits.collar))
        else:
            price = request.price
            if abs(price / unit - mid) > limits.collar * mid:
                return Reason.RISK_COLLAR
        if instrument.notional(price, request.quantity) > limits.max_order_notional:
            return Reason.RISK_NOTIONAL
        net, totals = self._position(instrument.id).net, self._store.totals(instrument.id)
        worst = net + totals.buy + added if side == Side.BUY else -(net - totals.sell - added)
        return Reason.RISK_POSITION if worst > bound else Reason.NONE

    def _take_rate(self, now_ns: int) -> Reason:
        if not self._rate.available(now_ns):
            return Reason.RISK_RATE
        self._rate.take()
        return Reason.NONE
