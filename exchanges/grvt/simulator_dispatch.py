"""One request, from its body to its answer: faults, login, handler; whether it came over REST or a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from exchanges.grvt.simulator_calls import Endpoint
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_venue import Call, Venue
from exchanges.simulator.faults import FRAME_KINDS, REQUEST_KINDS, Fault

ANSWER_HELD_S: Final = 0.3
"""How long an order's answer waits for a frame that a fault is to strike meanwhile."""
HELD_LOOK_S: Final = 0.005
_CREATES: Final = ("v1/create_order", "v2/bulk_orders")
_OF_CREATES: Final = {"rejected_signature": 2002, "rejected_timestamp": 2001, "halted_instrument": 2060}
"""Nothing else is signed, or opens anything."""
_REFUSED_INSTEAD: Final = {
    "http_429": 1006,
    "http_503_unavailable": 1009,
    "http_503_throttled": 1009,
    "http_503_internal": 1009,
    "http_503_unknown_not_executed": 1002,
    "unknown_not_executed": 1002,
    **_OF_CREATES,
}
"""Faults that come instead of the execution."""
_OF_LOGINS: Final = tuple(kind for kind in REQUEST_KINDS if "executed" not in kind and kind not in _OF_CREATES)


class DropReply(Exception):
    """The request was executed; the connection is to be cut without an answer."""


@dataclass
class Dispatcher:
    """`strike_waiting` lets faults of connections and accounts that wait for an order strike."""

    venue: Venue
    strike_waiting: Callable[[], None]

    async def answer(self, endpoint: Endpoint, call: Call) -> Any:
        """Raises VenueError or DropReply."""
        venue = self.venue
        venue.requests[endpoint.route] += 1
        with self._in_flight(endpoint), self._refusals_counted(endpoint):
            fault = self._fault(endpoint, call) if venue.faults.active else None
            if fault is not None:
                await _before(fault)
            if endpoint.private and call.account is None:
                raise VenueError(1000)
            answer = endpoint.handler(venue, call)
            if endpoint.changes_orders and venue.faults.active:
                await self._let_frames_be_struck()
            if fault is not None:
                await _after(fault)
            return answer

    async def log_in(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers of a login's answer. Raises VenueError or DropReply."""
        fault = self.venue.faults.strike(_OF_LOGINS, path=path, method="POST")
        if fault is not None:
            await _before(fault)
        answer = self.venue.sessions.log_in(path, body)
        if fault is not None:
            await _after(fault)
        return answer

    @contextmanager
    def _refusals_counted(self, endpoint: Endpoint) -> Iterator[None]:
        try:
            yield
        except VenueError as error:
            self.venue.refusals[f"{endpoint.route} {error.code}"] += 1
            raise

    @contextmanager
    def _in_flight(self, endpoint: Endpoint) -> Iterator[None]:
        faults = self.venue.faults
        faults.orders_in_flight += endpoint.changes_orders
        try:
            yield
        finally:
            faults.orders_in_flight -= endpoint.changes_orders

    def _fault(self, endpoint: Endpoint, call: Call) -> Fault | None:
        if endpoint.changes_orders:
            self.strike_waiting()
            kinds: tuple[str, ...] = REQUEST_KINDS
        else:  # what happens to the execution of a query is no fault of its own
            kinds = tuple(kind for kind in REQUEST_KINDS if "executed" not in kind)
        if endpoint.route not in _CREATES:
            kinds = tuple(kind for kind in kinds if kind not in _OF_CREATES)
        return self.venue.faults.strike(kinds, path=endpoint.route, method="POST", symbol=call.symbol)

    async def _let_frames_be_struck(self) -> None:
        """Keep the order in flight while faults of frames wait for it: market frames come in their own time."""
        faults, due_s = self.venue.faults, time.monotonic() + ANSWER_HELD_S
        while faults.awaits_order(FRAME_KINDS) and time.monotonic() < due_s:
            await asyncio.sleep(HELD_LOOK_S)


async def _before(fault: Fault) -> None:
    """Faults that come before the execution, or instead of it."""
    if code := _REFUSED_INSTEAD.get(fault.kind):
        raise VenueError(code)
    if fault.kind == "delay_request":
        await asyncio.sleep(fault.delay_ms / 1000)


async def _after(fault: Fault) -> None:
    """Faults that come after the execution."""
    if fault.kind in ("http_503_unknown_executed", "unknown_executed"):
        raise VenueError(1002)
    if fault.kind == "drop_reply":
        raise DropReply
    if fault.kind == "delay_reply":
        await asyncio.sleep(fault.delay_ms / 1000)
