"""The WebSocket API (`/ws-fapi/v1`): the same calls by method name, over one socket.

Source: the WebSocket API general-info page. Signed with the parameters sorted by name (`apiKey` included), or by a
session that logged on with an Ed25519 key. Methods come from the table of calls; a version prefix `v1/` is accepted.
No user events are pushed here.

Every request is answered as soon as its answer is there, so one that is delayed holds up no other and answers may come
in another order than the requests, as the venue says. Faults of frames strike answers too, as stream "ws-fapi".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from exchanges.binance.simulator_auth import (
    ApiKey,
    check_signature,
    check_timestamp,
    find_key,
    socket_payload,
    unknown_key,
)
from exchanges.binance.simulator_calls import BY_SOCKET_METHOD, Endpoint, Security
from exchanges.binance.simulator_dispatch import Asked, Dispatcher, DropReply
from exchanges.binance.simulator_errors import VenueError, missing
from exchanges.binance.simulator_keepalive import KeepAlive, Pulse
from exchanges.binance.simulator_limits import MINUTE_MS, TEN_SECONDS_MS
from exchanges.binance.simulator_market_calls import Encoded
from exchanges.simulator.connection import ClientConnection, frame_kinds

LOG = logging.getLogger("corelane.simulator.binance")
HANDSHAKE_WEIGHT = 5
LOGON_WEIGHT = 2
STREAM: Final = "ws-fapi"
"""What faults of frames call the answers of this socket."""
_NOT_FOR_CALLS = frozenset({"signature", "apiKey", "returnRateLimits"})


class WebSocketApi(ClientConnection):
    """One connection."""

    def __init__(self, socket: web.WebSocketResponse, dispatcher: Dispatcher, ip: str, show_limits: bool) -> None:
        super().__init__(socket)
        self._dispatcher = dispatcher
        self._venue = dispatcher.venue
        self._ip = ip
        self._show_limits = show_limits
        self._session: ApiKey | None = None
        self._connected_ms = self._venue.clock_ms()
        self._authorized_ms: int | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._leaving: asyncio.Task[None] | None = None

    async def serve(self, request: web.Request, keep_alive: KeepAlive) -> None:
        """Until the client leaves or a fault cuts the line."""
        async with self.sending(request), keep_alive.guard(self.socket) as pulse:
            try:
                await self._read(pulse)
            finally:
                self.forget_held()
                for task in self._answering:
                    task.cancel()  # what was asked is done; there is nobody to tell any more

    async def _read(self, pulse: Pulse) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.PING:
                await self.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                pulse.beat()
            elif message.type is WSMsgType.TEXT:
                task = asyncio.get_running_loop().create_task(self._answer(message.data))
                self._answering.add(task)
                task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            LOG.error("a request of the WebSocket API was not answered", exc_info=failure)
            self.abort()  # a client that waits for the answer is not left waiting

    async def _answer(self, message: str) -> None:
        with contextlib.ExitStack() as flight:
            try:
                reply, release = await self.reply_to(message, flight)
            except DropReply:
                self._venue.messages.note("answer", f"{message} -> the connection is cut")
                self.abort()
                return
            self.push_faulty(self._venue.faults, reply, STREAM, frame_kinds(is_delta=False), route=STREAM)
        if release is not None:
            await self.drained()
            self._dispatcher.release(release)

    def go_away(self, code: int = 1001, reason: bytes = b"") -> None:
        """Close in order: what is being answered still gets its answer."""
        self._leaving = asyncio.get_running_loop().create_task(self._go_away(code, reason))

    async def _go_away(self, code: int, reason: bytes) -> None:
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self.drained()
        super().go_away(code, reason)

    async def reply_to(self, message: str, flight: contextlib.ExitStack) -> tuple[bytes, str | None]:
        """(the answer to one text message, the account whose events wait for its sending). An order is in flight until
        the caller leaves `flight`."""
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("params", {}), dict):
            error = VenueError(-1013, "INVALID_MESSAGE.")
            return self._error(None, error, None, None, True), None
        identity = request.get("id")
        parameters: dict[str, Any] = dict(request.get("params", {}))
        show = parameters.get("returnRateLimits", self._show_limits) is not False
        method = str(request.get("method", "")).removeprefix("v1/")
        account: str | None = None
        endpoint: Endpoint | None = None
        release: str | None = None
        if self._session is not None and self._session.key not in self._venue.keys:
            self._session = self._authorized_ms = None  # the key was revoked: not this request's own error
            return self._error(None, unknown_key(), None, None, show), None
        try:
            if method.startswith("session."):
                result: Any = self._session_call(method, parameters)
            else:
                endpoint = BY_SOCKET_METHOD.get(method)
                if endpoint is None:
                    raise VenueError(-1102, f"Unknown method '{method}'.")
                self._venue.requests[method] += 1
                asked, account = self._asked(endpoint, parameters)
                flight.enter_context(self._dispatcher.in_flight(endpoint))
                if endpoint.changes_orders:
                    self._venue.messages.note("request", _shown(method, asked))
                result, release = await self._dispatcher.answer(asked)
        except VenueError as error:
            if endpoint is not None and endpoint.changes_orders:
                self._venue.messages.note("answer", f"{_shown(method, asked)} -> {error.status} {error.body}")
            return self._error(identity, error, endpoint, account, show), None
        body = bytes(result) if isinstance(result, Encoded) else orjson.dumps(result)
        head = b'{"id":' + orjson.dumps(identity) + b',"status":200,"result":' + body
        return head + self._limits(endpoint, account, show) + b"}", release

    def _asked(self, endpoint: Endpoint, parameters: dict[str, Any]) -> tuple[Asked, str | None]:
        explicit = "apiKey" in parameters and (
            "signature" in parameters or endpoint.security is not Security.SIGNED or self._session is None
        )
        key = parameters.get("apiKey") if explicit else self._session.key if self._session else None
        texts = {name: _text(value) for name, value in parameters.items() if name not in _NOT_FOR_CALLS}
        asked = Asked(
            endpoint,
            self._ip,
            texts,
            socket_payload(parameters),
            None if parameters.get("signature") is None else str(parameters["signature"]),
            None if key is None else str(key),
            signed_by_session=not explicit and self._session is not None,
        )
        known = self._venue.keys.get(asked.api_key or "")
        return asked, known.account if known else None

    # --- session ---------------------------------------------------------------------------------------------------
    def _session_call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        now = self._venue.clock_ms()
        self._venue.requests[method] += 1
        self._venue.limits.add_weight(self._ip, LOGON_WEIGHT, now)
        if method == "session.logon":
            if "apiKey" not in parameters:
                raise missing("apiKey")
            key = find_key(self._venue.keys, str(parameters["apiKey"]))
            if not key.public_key_pem:
                raise VenueError(-4056, "Invalid API-key type: session.logon needs an Ed25519 key.")
            check_signature(key, socket_payload(parameters), str(parameters.get("signature", "")))
            check_timestamp({name: _text(value) for name, value in parameters.items()}, now)
            self._session, self._authorized_ms = key, now
        elif method == "session.logout":
            self._session = self._authorized_ms = None
        elif method != "session.status":
            raise VenueError(-1102, f"Unknown method '{method}'.")
        return {
            "apiKey": self._session.key if self._session else None,
            "authorizedSince": self._authorized_ms,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._show_limits,
            "serverTime": now,
        }

    # --- answers ---------------------------------------------------------------------------------------------------
    def _error(
        self, identity: Any, error: VenueError, endpoint: Endpoint | None, account: str | None, show: bool
    ) -> bytes:
        head = orjson.dumps({"id": identity, "status": error.status, "error": error.body})[:-1]
        return head + self._limits(endpoint, account, show) + b"}"

    def _limits(self, endpoint: Endpoint | None, account: str | None, show: bool) -> bytes:
        if not show:
            return b""
        limits, now = self._venue.limits, self._venue.clock_ms()
        rows: list[dict[str, Any]] = []
        if endpoint is not None and endpoint.orders != (0, 0) and account is not None:
            ten = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limits.orders_10s}
            minute = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": limits.orders_1m}
            rows.append(ten | {"count": limits.orders_used(account, TEN_SECONDS_MS, now)})
            rows.append(minute | {"count": limits.orders_used(account, MINUTE_MS, now)})
        weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits.weight_1m}
        rows.append(weight | {"count": limits.weight_used(self._ip, now)})
        return b',"rateLimits":' + orjson.dumps(rows)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _shown(method: str, asked: Asked) -> str:
    """The request for the log of messages."""
    return f"{method} {' '.join(f'{name}={value}' for name, value in asked.parameters.items())}"
