from collections.abc import Callable
from typing import Any

from shm.record import Record
from shm.ring import LosslessReader, LosslessWriter
from shm.trace import Trace
from strategy.order import Order

class Cause:
    sequence: int
    receive_time_ns: int
    poll_time_ns: int
    is_market: bool
    @property
    def decode_time_ns(self) -> int: ...
    @property
    def publish_time_ns(self) -> int: ...
    @property
    def venue(self) -> int: ...
    def clear(self) -> None: ...
    def take(self, record: Record, now_ns: int, /) -> None: ...

class ShmOMSAdapter:
    venue: str
    venue_code: int
    requests: LosslessWriter
    events: LosslessReader
    epoch: int
    published: int
    refused: int
    """Requests that found the ring full."""
    def __init__(
        self,
        venue: str,
        venue_code: int,
        requests: LosslessWriter,
        events: LosslessReader,
        cause: Cause,
        deadline_ns: int,
        trace: Trace | None = None,
    ) -> None: ...
    @property
    def trace(self) -> Trace | None: ...
    @property
    def poll(self) -> Callable[[], Any]: ...
    @property
    def commit(self) -> Callable[[], None]: ...
    def begin_epoch(self, epoch: int) -> None: ...
    def new(self, order: Order, now_ns: int) -> bool: ...
    def cancel(self, order: Order, now_ns: int) -> bool: ...
    def replace(self, order: Order, price_mantissa: int, quantity_mantissa: int, now_ns: int) -> bool: ...
    def query(self, order: Order, now_ns: int) -> bool: ...
    def cancel_all(self, now_ns: int) -> bool: ...
    def recover(self, now_ns: int) -> int: ...
