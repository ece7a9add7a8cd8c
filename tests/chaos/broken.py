"""A trading engine with one error put back, to prove that the tables notice it. Never imported by anything.

    python tests/chaos/broken.py commit_after_send trading-engine binance --config FILE

Each variant replaces one method from outside, so the code that trades has no switch for it. The engine core is
compiled, so there it is a subclass that the process is given in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from exchanges import order_merger
from exchanges.epoch_fence import EpochFence
from exchanges.fill_ledger import FillLedger
from exchanges.order_engine import OrderEngine
from exchanges.order_events import copy_request
from processes import cli, trading_engine
from processes.trading_engine import REQUESTS_A_TURN, TradingEngine
from shm.layout import EventType, RequestType


def replace_in_engine(**methods: Callable[..., Any]) -> None:
    broken: Any = type("BrokenEngine", (OrderEngine,), methods)
    trading_engine.OrderEngine = broken  # type: ignore[attr-defined]


def commit_after_send() -> None:
    """The ring's tail moves only after the bytes have left: here, with the next request."""

    def send(self: Any, request: Any, send: Any) -> None:
        self._events.request(request)
        send(copy_request(request))

    def drain(self: Any) -> int:
        count = 0
        while count < REQUESTS_A_TURN and self._reader.has_next():
            if not count:
                self._reader.commit()
            self._on_request(self._reader.poll())
            count += 1
        return count

    replace_in_engine(_send=send)
    TradingEngine._drain = drain  # type: ignore[method-assign]


def dedupe_off() -> None:
    """A part of a fill that is told twice counts twice."""

    def merge(_self: Any, _instrument_id: int, _trade_id: int, parts: int) -> int:
        return parts

    FillLedger.merge = merge  # type: ignore[method-assign, assignment]


def timeout_is_rejected() -> None:
    """No answer is taken for a refusal."""
    unknown = order_merger._FACTS[EventType.UNKNOWN]

    def refused(merger: Any, order: Any, fact: Any, in_flight: Any) -> None:
        kind = in_flight.request_type if in_flight is not None else fact.request_type
        (merger._rejected if kind == RequestType.NEW else unknown)(*_with(merger, order, fact, in_flight, kind))

    def _with(merger: Any, order: Any, fact: Any, in_flight: Any, kind: int) -> tuple[Any, ...]:
        return (order, fact, in_flight) if kind == RequestType.NEW else (merger, order, fact, in_flight)

    order_merger._FACTS[EventType.UNKNOWN] = refused


def fence_off() -> None:
    """Requests of every epoch pass: the fence says each time that the epoch which asks is the accepted one."""
    asking = 0

    def accepted(self: Any) -> int:
        return asking or int(self.__dict__.get("accepted", 0))

    def accept(self: Any, value: int) -> None:
        self.__dict__["accepted"] = value

    def pretending(act: Callable[..., Any]) -> Callable[..., Any]:
        def pretend(self: Any, request: Any, *rest: Any) -> Any:
            nonlocal asking
            asking = request.epoch if request.request_type != RequestType.RECOVER else 0
            try:
                return act(self, request, *rest)
            finally:
                asking = 0

        return pretend

    EpochFence.accepted = property(accepted, accept)  # type: ignore[assignment]
    replace_in_engine(on_request=pretending(OrderEngine.on_request), guard=pretending(OrderEngine.guard))


VARIANTS = {act.__name__: act for act in (commit_after_send, dedupe_off, timeout_is_rejected, fence_off)}

if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    sys.argv = ["corelane", *sys.argv[2:]]
    cli.main()
