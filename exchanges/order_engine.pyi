import logging
from collections.abc import Callable
from typing import Final, Protocol

from exchanges.epoch_fence import EpochFence
from exchanges.event_log import EventLog
from exchanges.fill_ledger import FillLedger
from exchanges.order_instruments import OrderInstruments
from exchanges.order_merger import CounterSink, HistogramSink, OrderMerger
from exchanges.order_store import OrderStore
from exchanges.risk_gate import RiskGate
from shm.layout import Reason
from shm.records import OrderRequest

COUNTERS: Final[tuple[str, ...]]
HISTOGRAMS: Final[tuple[str, ...]]

class Gateway(Protocol):
    """The sending half of a venue's OMS. None of these waits; outcomes come back as facts with the request's ids."""

    def admit(self, request: OrderRequest) -> int: ...
    def new(self, request: OrderRequest) -> None: ...
    def cancel(self, request: OrderRequest) -> None: ...
    def replace(self, request: OrderRequest) -> None: ...
    def query(self, request: OrderRequest) -> None: ...
    def cancel_all(self, request: OrderRequest | None) -> None: ...

class Recoverer(Protocol):
    """recovery.RecoveryBracket."""

    def request(self, nonce: int, epoch: int, asked_time_ns: int) -> None: ...

class OrderEngine:
    merger: OrderMerger
    recoverer: Recoverer | None
    ready: bool
    """The private stream is up and its state was recovered. Until then only cancels, queries and RECOVER pass."""
    def __init__(
        self,
        *,
        instance_number: int,
        instruments: OrderInstruments,
        store: OrderStore,
        ledger: FillLedger,
        gate: RiskGate,
        fence: EpochFence,
        events: EventLog,
        gateway: Gateway,
        clock: Callable[[], int],
        kill_switch: Callable[[], int],
        armed: Callable[[int], bool],
        commit: Callable[[], None],
        counters: CounterSink,
        histogram: Callable[[str], HistogramSink],
        log: logging.Logger,
    ) -> None: ...
    def on_request(self, request: OrderRequest) -> None: ...
    def refuse(self, request: OrderRequest, reason: int, text: str = ...) -> None: ...
    def refuse_not_sent(self, request: OrderRequest) -> None: ...
    def guard(self, request: OrderRequest) -> Reason: ...
    def refuse_duplicate(self, request: OrderRequest) -> None: ...
