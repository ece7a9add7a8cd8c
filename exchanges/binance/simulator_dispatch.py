"""One request, from its bytes to its answer: limits, faults, key, signature, timestamp, handler.

REST and the WebSocket API both come through `Dispatcher.answer`. The order of the checks is the venue's: rate limit,
key, signature, timestamp, then the call's own parameters.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from exchanges.binance.simulator_auth import check_matching_time, check_signature, check_timestamp, find_key
from exchanges.binance.simulator_calls import Endpoint, Security
from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_limits import BAN_MS, banned, too_many_requests
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_venue import Call, Venue
from exchanges.simulator.faults import FRAME_KINDS, REQUEST_KINDS, Fault

OrderEvents = Literal["any", "reply_first", "event_first"]
"""What an order's client sees first, the answer or the user events; "any" leaves it to the sockets."""

ANSWER_HELD_S: Final = 0.3
"""How long an order's answer waits for a frame that a fault is to strike meanwhile: three depth intervals."""
HELD_LOOK_S: Final = 0.005

UNKNOWN_503 = "Unknown error, please check your request or try again later."
TIMEOUT_1007 = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
)
INTERNAL = "Internal error; unable to process your request. Please try again."


class DropReply(Exception):
    """The request was executed; the connection is to be cut without an answer."""


@dataclass(slots=True)
class Asked:
    """A request as it came: parameters as text, what was signed, by whom it claims to be."""

    endpoint: Endpoint
    ip: str
    parameters: dict[str, str]
    payload: bytes = b""
    signature: str | None = None
    api_key: str | None = None
    signed_by_session: bool = False
    """A logged-on WebSocket API session needs no signature."""


@dataclass
class Dispatcher:
    """`strike_connections` lets faults of connections and accounts that wait for an order strike; `hold` and `release`
    gate an account's user events around an answer."""

    venue: Venue
    order_events: OrderEvents
    strike_connections: Callable[[], None]
    hold: Callable[[str], None]
    release: Callable[[str], None]
    drained: Callable[[str], Any]

    @contextmanager
    def in_flight(self, endpoint: Endpoint) -> Any:
        """While an order request is being handled."""
        faults = self.venue.faults
        faults.orders_in_flight += endpoint.changes_orders
        try:
            yield
        finally:
            faults.orders_in_flight -= endpoint.changes_orders

    async def answer(self, asked: Asked) -> tuple[Any, str | None]:
        """(the answer, the account whose events wait for `release`, if any). Raises VenueError or DropReply."""
        try:
            return await self._answer(asked)
        except VenueError as refusal:
            self.venue.refusals[refusal.code] += 1
            raise

    async def _answer(self, asked: Asked) -> tuple[Any, str | None]:
        venue, endpoint = self.venue, asked.endpoint
        now = venue.clock_ms()
        venue.requests[f"{endpoint.method} {endpoint.path}"] += 1
        parameters = Parameters(asked.parameters)
        fault = self._fault(asked) if venue.faults.active else None
        venue.limits.add_weight(asked.ip, endpoint.cost(parameters), now)
        if fault is not None:
            self._refuse(fault, asked, now)
        call = Call(parameters, now)
        if endpoint.security is not Security.NONE:
            key = find_key(venue.keys, asked.api_key)
            call.account, call.api_key = key.account, key.key
            if endpoint.security is Security.SIGNED:
                if not asked.signed_by_session:
                    check_signature(key, asked.payload, asked.signature)
                check_timestamp(asked.parameters, now)
        if endpoint.orders != (0, 0):
            venue.limits.add_orders(call.owner, *endpoint.orders, now)
        if fault is not None and fault.kind == "delay_request":
            await asyncio.sleep(fault.delay_ms / 1000)
            if endpoint.orders != (0, 0):
                check_matching_time(asked.parameters, venue.clock_ms())
        return await self._run(call, endpoint, fault)

    async def _run(self, call: Call, endpoint: Endpoint, fault: Fault | None) -> tuple[Any, str | None]:
        reply_first = endpoint.changes_orders and self.order_events == "reply_first"
        if reply_first:
            self.hold(call.owner)
        try:
            answer = endpoint.handler(self.venue, call)
            if endpoint.changes_orders and self.venue.faults.active:
                await self._let_frames_be_struck()
            if fault is not None:
                await self._after(fault)
        except BaseException:
            if reply_first:
                self.release(call.owner)
            raise
        if endpoint.changes_orders and self.order_events == "event_first":
            await self.drained(call.owner)
        return answer, call.owner if reply_first else None

    # --- faults ----------------------------------------------------------------------------------------------------
    def _fault(self, asked: Asked) -> Fault | None:
        endpoint = asked.endpoint
        if endpoint.changes_orders:
            self.strike_connections()
            kinds: tuple[str, ...] = REQUEST_KINDS
        else:  # what happens to the execution of a query is no fault of its own
            kinds = tuple(k for k in REQUEST_KINDS if "executed" not in k and k != "http_503_throttled")
            if endpoint.security is not Security.SIGNED:
                kinds = tuple(k for k in kinds if k not in ("rejected_signature", "rejected_timestamp"))
        return self.venue.faults.strike(
            kinds, path=endpoint.path, method=endpoint.method, symbol=asked.parameters.get("symbol", "")
        )

    async def _let_frames_be_struck(self) -> None:
        """Keep the order in flight while faults of frames wait for it: market frames come in their own time."""
        faults, due_s = self.venue.faults, time.monotonic() + ANSWER_HELD_S
        while faults.awaits_order(FRAME_KINDS) and time.monotonic() < due_s:
            await asyncio.sleep(HELD_LOOK_S)

    def _refuse(self, fault: Fault, asked: Asked, now: int) -> None:
        """Faults that come instead of the execution."""
        kind = fault.kind
        if kind == "http_429":
            raise too_many_requests(self.venue.limits.weight_1m, -(-fault.delay_ms // 1000))
        if kind == "http_418":
            raise banned(asked.ip, now + (fault.delay_ms or BAN_MS))
        if kind == "http_503_unknown_not_executed":
            raise VenueError(-1000, UNKNOWN_503, 503)
        if kind == "http_503_unavailable":
            raise VenueError(-1016, "Service Unavailable.", 503)
        if kind == "http_503_internal":
            raise VenueError(-1001, INTERNAL, 503)
        if kind == "http_503_throttled" and asked.parameters.get("reduceOnly") != "true":
            raise VenueError(-1008, THROTTLED, 503)
        if kind == "unknown_not_executed":
            raise VenueError(-1007, TIMEOUT_1007, 408)
        if kind == "rejected_signature":
            raise VenueError(-1022, "Signature for this request is not valid.")
        if kind == "rejected_timestamp":
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
        if kind == "halted_instrument":
            raise VenueError(-4140, "Invalid symbol status for opening position.")

    async def _after(self, fault: Fault) -> None:
        """Faults that come after the execution."""
        if fault.kind == "http_503_unknown_executed":
            raise VenueError(-1000, UNKNOWN_503, 503)
        if fault.kind == "unknown_executed":
            raise VenueError(-1007, TIMEOUT_1007, 408)
        if fault.kind == "drop_reply":
            raise DropReply
        if fault.kind == "delay_reply":
            await asyncio.sleep(fault.delay_ms / 1000)
