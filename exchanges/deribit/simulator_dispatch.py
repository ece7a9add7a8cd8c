"""One request, from its bytes to its answer: envelope, faults, credits, login, scope, handler.

WebSocket and HTTP both come through `Dispatcher`. Matching-engine requests of one account and currency wait for each
other: at most eight (10047), and a mass cancel refuses those of its connection that still wait (13666). Without
`order_latency_ms` nobody ever waits.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from exchanges.deribit.simulator_auth import Token
from exchanges.deribit.simulator_calls import BY_METHOD, EXEMPT_FROM_MAINTENANCE, Endpoint
from exchanges.deribit.simulator_errors import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    VenueError,
    invalid,
)
from exchanges.deribit.simulator_faults import EXECUTION_KINDS
from exchanges.deribit.simulator_numbers import Numbers
from exchanges.deribit.simulator_parameters import Parameters
from exchanges.deribit.simulator_streams import RpcConnection
from exchanges.deribit.simulator_venue import Call, Venue
from exchanges.simulator.faults import FRAME_KINDS, Fault

LOG = logging.getLogger("corelane.simulator.deribit")
OrderEvents = Literal["any", "reply_first", "event_first"]
"""What an order's client sees first, the answer or the notifications; "any" decides anew each time, by the seed."""
OnRateLimit = Literal["error", "error_then_close"]

MAX_FRAME: Final = 32 * 1024
MAX_WAITING: Final = 8
ANSWER_HELD_S: Final = 0.3
"""How long an order's answer waits for a frame that a fault is to strike meanwhile: three intervals of a book."""
HELD_LOOK_S: Final = 0.005
_INSTEAD: Final = {
    "retry": 10040,
    "queue_full": 10047,
    "timed_out": 13888,
    "internal_error_not_executed": 11094,
    "halted_instrument": 10019,
    "rate_limit": 10028,
    "rejected_signature": 13004,
}
"""Faults that come instead of the execution, and what they answer."""


class NoReply(Exception):
    """The client hears nothing; `cut`: not even that the line is still there."""

    def __init__(self, cut: bool) -> None:
        super().__init__("no reply")
        self.cut = cut


@dataclass(slots=True)
class Answer:
    """What goes back: the bytes of the reply, the frames behind it, how the line ends, whose events may go now."""

    body: bytes
    status: int = 200
    after: list[bytes] = field(default_factory=list)
    closes: bool = False
    rate_limited: bool = False
    release: str | None = None


@dataclass
class Dispatcher:
    """`strike` lets faults of connections and of the venue that wait for an order strike; `hold` and `release` gate an
    account's notifications around an answer."""

    venue: Venue
    numbers: Numbers
    order_events: OrderEvents
    order_latency_ms: float
    seed: int
    strike: Callable[[], None]
    hold: Callable[[str], None]
    release: Callable[[str], None]

    def __post_init__(self) -> None:
        self._chance = random.Random(f"order events {self.seed}")
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._waiting: Counter[tuple[str, str]] = Counter()

    # --- WebSocket -------------------------------------------------------------------------------------------------
    async def on_message(self, connection: RpcConnection, message: str) -> Answer | None:
        """The answer to one text message; None when the client hears nothing."""
        received = microseconds()
        identity: Any = None
        try:
            if len(message) > MAX_FRAME:
                raise VenueError(INVALID_REQUEST)
            try:
                request = orjson.loads(message)
            except orjson.JSONDecodeError:
                raise VenueError(PARSE_ERROR) from None
            if not isinstance(request, dict) or not isinstance(request.get("method"), str):
                raise VenueError(INVALID_REQUEST, data={"reason": "expected an object with a method"})
            identity = request.get("id")
            if isinstance(identity, bool) or not isinstance(identity, (int, str, type(None))):
                identity = None
                raise invalid("id")
            if identity is None and self.venue.points.id_required:
                raise VenueError(INVALID_REQUEST, data={"reason": "expected an id"})
            parameters = request.get("params", {})
            if not isinstance(parameters, dict):
                raise invalid("params", "must be an object")
            return await self._answer(
                str(request["method"]), Parameters(parameters), connection, connection.ip, identity, received, None
            )
        except VenueError as error:
            return self._error(error, identity, received)
        except NoReply as silence:
            if silence.cut:
                connection.abort()
            return None

    # --- HTTP ------------------------------------------------------------------------------------------------------
    async def on_http(
        self, method: str, parameters: Parameters, identity: Any, ip: str, authorize: Callable[[], Token | None]
    ) -> Answer:
        """The answer to one HTTP request. Raises NoReply."""
        received = microseconds()
        try:
            return await self._answer(method, parameters, None, ip, identity, received, authorize)
        except VenueError as error:
            return self._error(error, identity, received)

    def refuse(self, error: VenueError) -> Answer:
        """The answer to a request that was not understood."""
        return self._error(error, None, microseconds())

    # --- both ------------------------------------------------------------------------------------------------------
    async def _answer(
        self,
        method: str,
        parameters: Parameters,
        connection: RpcConnection | None,
        ip: str,
        identity: Any,
        received: int,
        authorize: Callable[[], Token | None] | None,
    ) -> Answer:
        venue = self.venue
        endpoint = BY_METHOD.get(method.lstrip("/"))
        if endpoint is None:
            raise VenueError(METHOD_NOT_FOUND)
        venue.requests[endpoint.method] += 1
        call = Call(endpoint.method, parameters, venue.clock_ms(), connection)
        with self._in_flight(endpoint):
            what = f"{endpoint.method} {shown(parameters)}"
            if endpoint.matching:
                venue.messages.note("request", what)
            try:
                result, release = await self._run(call, endpoint, ip, authorize)
            except VenueError as error:
                venue.messages.note("answer", f"{what} -> {error.body}")
                raise
            except NoReply:
                venue.messages.note("answer", f"{what} -> nothing")
                raise
            except Exception as error:  # ours, not the client's: told by health and log, and the line goes on
                LOG.exception("%s broke the simulator", endpoint.method)
                venue.failure = error
                raise VenueError(11094) from None
        answer = self._envelope({"result": result}, identity, received)
        answer.after, answer.closes, answer.release = call.after, call.closes, release
        return answer

    async def _run(
        self, call: Call, endpoint: Endpoint, ip: str, authorize: Callable[[], Token | None] | None
    ) -> tuple[Any, str | None]:
        """(the result, the account whose notifications wait for the answer to go out)."""
        venue, now = self.venue, call.now_ms
        fault = self._fault(call, endpoint) if venue.faults.active else None
        if now < venue.maintenance_until_ms and endpoint.method not in EXEMPT_FROM_MAINTENANCE:
            raise VenueError(11051)
        known = call.connection.token if call.connection is not None else None
        if endpoint.private or authorize is not None:
            try:
                call.token = self._login(call, endpoint, authorize)
            except VenueError:
                self._take_credit(f"ip {ip}", endpoint, now)
                raise
        owner = call.token.account if call.token else known.account if known else f"ip {ip}"
        self._take_credit(owner, endpoint, now)
        if fault is not None and fault.kind in _INSTEAD:
            raise VenueError(_INSTEAD[fault.kind])
        if fault is not None and fault.kind == "unknown_not_executed":
            raise NoReply(cut=False)
        if endpoint.scope is not None:
            kind, write = endpoint.scope
            assert call.token is not None
            if not call.token.allows(kind, write):
                raise VenueError(13021)
        if not endpoint.matching:
            result = endpoint.handler(venue, call)
            if fault is not None:
                await self._after(fault, call)
            return result, None
        return await self._match(call, endpoint, fault)

    def _login(self, call: Call, endpoint: Endpoint, authorize: Callable[[], Token | None] | None) -> Token | None:
        """Whose request it is. 13009 (an open point) for a private one that is nobody's."""
        venue, now = self.venue, call.now_ms
        access = call.parameters.optional_text("access_token")
        if access is not None:
            return venue.tokens.find(access, call.connection, now)
        if authorize is not None:
            token = authorize()
        else:
            assert call.connection is not None
            token = call.connection.token
            if token is not None and not venue.tokens.valid(token, now):
                raise VenueError(13009)
            if venue.points.strict_tokens and (token is None or token.session is None):
                token = None
        if token is None and endpoint.private:
            raise VenueError(venue.points.unauthenticated_code)
        return token

    def _take_credit(self, owner: str, endpoint: Endpoint, now: int) -> None:
        if not self.venue.credits.take(owner, endpoint.cost, now):
            raise VenueError(10028)

    # --- the matching engine ---------------------------------------------------------------------------------------
    async def _match(self, call: Call, endpoint: Endpoint, fault: Fault | None) -> tuple[Any, str | None]:
        if self.order_latency_ms:
            await self._wait_in_line(call, endpoint)
        reply_first = self.order_events == "reply_first" or (self.order_events == "any" and self._chance.random() < 0.5)
        if reply_first:
            self.hold(call.owner)
        try:
            result = endpoint.handler(self.venue, call)
            if self.venue.faults.active:
                await self._let_frames_be_struck()
            if fault is not None:
                await self._after(fault, call)
        except BaseException:
            if reply_first:
                self.release(call.owner)
            raise
        return result, call.owner if reply_first else None

    async def _wait_in_line(self, call: Call, endpoint: Endpoint) -> None:
        """The user's lock of a currency, held for the latency of the engine."""
        name = call.parameters.values.get("instrument_name")
        listing = self.venue.markets[name].listing if name in self.venue.markets else None
        key = (call.owner, listing.currency if listing is not None else "")
        if self._waiting[key] >= MAX_WAITING:
            raise VenueError(10047)
        connection = call.connection
        if endpoint.mass_cancel and connection is not None:
            connection.mass_cancels += 1
        began = connection.mass_cancels if connection is not None else 0
        self._waiting[key] += 1
        try:
            async with self._locks.setdefault(key, asyncio.Lock()):
                await asyncio.sleep(self.order_latency_ms / 1000)
        finally:
            self._waiting[key] -= 1
        if connection is not None and connection.mass_cancels != began:
            raise VenueError(13666)

    async def _let_frames_be_struck(self) -> None:
        """Keep the order in flight while faults of frames wait for it: market frames come in their own time."""
        faults, due_s = self.venue.faults, time.monotonic() + ANSWER_HELD_S
        while faults.awaits_order(FRAME_KINDS) and time.monotonic() < due_s:
            await asyncio.sleep(HELD_LOOK_S)

    # --- faults ----------------------------------------------------------------------------------------------------
    @contextmanager
    def _in_flight(self, endpoint: Endpoint) -> Iterator[None]:
        """While an order request is being handled."""
        faults = self.venue.faults
        faults.orders_in_flight += endpoint.matching
        try:
            yield
        finally:
            faults.orders_in_flight -= endpoint.matching

    def _fault(self, call: Call, endpoint: Endpoint) -> Fault | None:
        kinds: tuple[str, ...] = ("rate_limit", "delay_reply")
        if endpoint.matching:
            self.strike()
            kinds += EXECUTION_KINDS
        if endpoint.method == "public/auth" or (endpoint.private and call.connection is None):
            kinds += ("rejected_signature",)
        symbol = str(call.parameters.values.get("instrument_name", ""))
        return self.venue.faults.strike(kinds, path=endpoint.method, method=endpoint.method, symbol=symbol)

    async def _after(self, fault: Fault, call: Call) -> None:
        """Faults that come after the execution."""
        if fault.kind == "internal_error_executed":
            raise VenueError(11094)
        if fault.kind in ("unknown_executed", "drop_reply"):
            raise NoReply(cut=fault.kind == "drop_reply")
        if fault.kind == "delay_reply":
            if call.after and call.connection is not None:  # the snapshots must not overtake the answer
                call.connection.push(fault.delay_ms / 1000)
            else:
                await asyncio.sleep(fault.delay_ms / 1000)

    # --- envelopes -------------------------------------------------------------------------------------------------
    def _envelope(self, content: dict[str, Any], identity: Any, received: int) -> Answer:
        sent = microseconds()
        head: dict[str, Any] = {"jsonrpc": "2.0"}
        if identity is not None:
            head["id"] = identity
        times = {"usIn": received, "usOut": sent, "usDiff": sent - received, "testnet": True}
        return Answer(self.numbers.dumps(head | content | times))

    def _error(self, error: VenueError, identity: Any, received: int) -> Answer:
        answer = self._envelope({"error": error.body}, identity, received)
        answer.status, answer.rate_limited = error.status, error.code == 10028
        return answer


def shown(parameters: Parameters) -> str:
    """Parameters for the message log, without secrets."""
    hidden = ("client_secret", "signature", "access_token", "refresh_token")
    return " ".join(f"{name}={value}" for name, value in parameters.values.items() if name not in hidden)


def microseconds() -> int:
    return time.time_ns() // 1000
