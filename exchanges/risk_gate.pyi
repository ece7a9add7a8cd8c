from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from exchanges.order_instruments import OrderInstrument
from exchanges.order_store import Order, OrderStore
from exchanges.risk_limits import RiskLimits
from shm.layout import Reason
from shm.records import OrderRequest

class GateState(IntEnum):
    NO_LIMITS = 0
    NOT_SEEDED = 1
    ACTIVE = 2
    TRIPPED = 3

class RiskGate:
    def __init__(
        self,
        limits: RiskLimits | None,
        store: OrderStore,
        mid_price: Callable[[int], float | None],
        trip_path: Path | None = None,
    ) -> None: ...
    @property
    def trip_text(self) -> str: ...
    @property
    def state(self) -> GateState: ...
    def trip(self, text: str) -> None: ...
    def reset(self) -> None: ...
    def net_position(self, instrument_id: int) -> int: ...
    def seed(self, instrument_id: int, net: int, venue_time_ns: int) -> None: ...
    def on_fill(self, instrument_id: int, side: int, quantity: int, venue_time_ns: int) -> None: ...
    def check_new(self, request: OrderRequest, instrument: OrderInstrument, now_ns: int) -> Reason: ...
    def check_replace(
        self, request: OrderRequest, order: Order, instrument: OrderInstrument, now_ns: int
    ) -> Reason: ...
    def reduces(self, side: int, quantity: int, instrument_id: int) -> bool: ...
