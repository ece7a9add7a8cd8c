"""Faults to be: what the wire layer asks before it answers, sends or accepts.

A fault has a kind, a count of times it strikes, and a filter over where it strikes. The registry only decides and
counts; the wire layer knows what each kind does. `with_order_in_flight` counts strikes while an order request was
being handled or had an answer or event not yet handed to its socket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exchanges.simulator.errors import SimulatorError

CONNECTION_KINDS: Final = ("disconnect", "silence")
"""Strike a connection of the streams, with or without a frame to send."""
FRAME_KINDS: Final = ("delay", "duplicate", "reorder", "sequence_gap", "malformed_frame")
"""Strike a frame of the streams."""
STREAM_KINDS: Final = CONNECTION_KINDS + FRAME_KINDS
REQUEST_KINDS: Final = (
    "http_429",
    "http_418",
    "http_503_unknown_executed",
    "http_503_unknown_not_executed",
    "http_503_unavailable",
    "http_503_internal",
    "http_503_throttled",
    "unknown_executed",
    "unknown_not_executed",
    "drop_reply",
    "delay_reply",
    "delay_request",
    "rejected_signature",
    "rejected_timestamp",
    "halted_instrument",
)
"""Strike a request before or instead of its answer."""
ACCOUNT_KINDS: Final = ("listen_key_expired",)
"""Strike at once, outside of any frame or request."""
KINDS: Final = STREAM_KINDS + REQUEST_KINDS + ACCOUNT_KINDS


@dataclass(slots=True)
class Fault:
    """One armed fault. Empty filter fields match everything.

    `stream`, `path` match when contained; `route`, `method`, `symbol` when equal. `with_order` lets a stream or account
    fault wait for the next order request and strike before that request is answered. `skip` matches pass first."""

    kind: str
    count: int = 1
    stream: str = ""
    route: str = ""
    path: str = ""
    method: str = ""
    symbol: str = ""
    delay_ms: int = 0
    skip: int = 0
    with_order: bool = False


@dataclass(slots=True)
class FaultRegistry:
    """Armed faults and what has struck. `active` is the cheap question of the hot path."""

    kinds: tuple[str, ...] = KINDS
    """What this venue's wire layer knows how to do."""
    armed: list[Fault] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    with_order_in_flight: Counter[str] = field(default_factory=Counter)
    orders_in_flight: int = 0
    active: bool = False

    def arm(self, description: Mapping[str, Any]) -> Fault:
        """Arm from the admin endpoint's JSON; SimulatorError names what is wrong."""
        kind = description.get("kind")
        if kind not in self.kinds:
            raise SimulatorError(f"fault kind: expected one of {', '.join(self.kinds)}, found {kind!r}")
        texts = ("stream", "route", "path", "method", "symbol")
        numbers = {"count": 1, "delay_ms": 0, "skip": 0}
        for name, value in description.items():
            if name in texts and isinstance(value, str):
                continue
            if name in numbers and isinstance(value, int) and not isinstance(value, bool) and value >= numbers[name]:
                continue
            if name == "with_order" and isinstance(value, bool):
                continue
            if name != "kind":
                raise SimulatorError(f"fault field {name!r}: unknown, of the wrong type or out of range ({value!r})")
        fault = Fault(**dict(description))
        self.armed.append(fault)
        self.active = True
        return fault

    def clear(self) -> None:
        self.armed.clear()
        self.active = False

    def strike(self, kinds: tuple[str, ...], /, **where: str) -> Fault | None:
        """The first armed fault of these kinds that matches `where`, counted as struck; None mostly."""
        for fault in self.armed:
            if fault.kind not in kinds or (fault.with_order and not self.orders_in_flight):
                continue
            if (
                (fault.stream and fault.stream not in where.get("stream", ""))
                or (fault.path and fault.path not in where.get("path", ""))
                or (fault.route and fault.route != where.get("route", ""))
                or (fault.method and fault.method != where.get("method", ""))
                or (fault.symbol and fault.symbol != where.get("symbol", ""))
            ):
                continue
            if fault.skip:
                fault.skip -= 1
                return None
            self.count(fault)
            return fault
        return None

    def awaits_order(self, kinds: tuple[str, ...], /) -> bool:
        """A fault of these kinds waits for an order request, and has not struck."""
        return any(fault.with_order and fault.kind in kinds for fault in self.armed)

    def count(self, fault: Fault) -> None:
        """One strike of `fault`: used up when its count is."""
        fault.count -= 1
        self.injected[fault.kind] += 1
        if self.orders_in_flight:
            self.with_order_in_flight[fault.kind] += 1
        if fault.count <= 0:
            self.armed.remove(fault)
            self.active = bool(self.armed)

    def report(self) -> dict[str, dict[str, int]]:
        """{kind: {"injected": n, "with_order_in_flight": n}} of the kinds that struck."""
        return {
            kind: {"injected": count, "with_order_in_flight": self.with_order_in_flight[kind]}
            for kind, count in sorted(self.injected.items())
        }
