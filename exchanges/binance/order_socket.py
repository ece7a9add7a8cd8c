"""The WebSocket API of Binance USDⓈ-M futures (ws-fapi/v1) as an order path: sessions, signatures, renewal.

The rules
- A line is used when it has proven itself: an Ed25519 key logs on to a session, after which requests carry neither key
  nor signature; with an HMAC key (or where the venue refuses the session) each is signed and `time` is the proof.
- The line is renewed before the venue's 24 hours are over, and when the venue says that it shuts down.
- An error without an id concerns the connection, not a request (a revoked key): the line is given up.
- There is no cancel-all, countdown or listing of orders here; those go over REST (account_fetcher.py).
- The handshake costs 5 of the address's weight, a logon 2, `time` 1: taken from the budget before each attempt, so that
  a venue that bans us is not asked for connections.

Source: WebSocket API General Info and "Authentication requests" below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: oms.py makes one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import orjson

from exchanges.binance.auth import Parameters
from exchanges.binance.endpoints import CONNECTION_LIFETIME_S
from exchanges.binance.error_codes import classify
from exchanges.binance.order_budget import QUERY_WEIGHT
from exchanges.binance.order_connection import OrderConnection
from exchanges.binance.order_messages import SocketReply
from exchanges.order_wire import MalformedMessage
from exchanges.rate_limit import Lane
from exchanges.request_failure import RequestFailure
from exchanges.request_line import Line
from exchanges.request_socket import POLICY
from exchanges.venue_order_socket import VenueOrderSocket
from exchanges.verdict import Outcome
from exchanges.websocket import ConnectionFailed, WebSocketPolicy
from shm.layout import Reason

RENEW_AFTER_S: Final = CONNECTION_LIFETIME_S - 3600.0
OPENING_WEIGHT: Final = {QUERY_WEIGHT: 5 + 2}
"""Of a handshake and a logon."""
SHUTDOWN: Final = "serverShutdown"


class BinanceOrderSocket(VenueOrderSocket[SocketReply]):
    """See exchanges/venue_order_socket.py for the part that all venues share."""

    def __init__(
        self,
        name: str,
        connection: OrderConnection,
        *,
        log: logging.Logger,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda why: None,
        on_clock_wrong: Callable[[], None] = lambda: None,
        timeout_s: float = 5.0,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        """on_clock_wrong: the venue refused a logon over its timestamp."""
        super().__init__(
            name,
            log=log,
            on_up=on_up,
            on_down=on_down,
            timeout_s=timeout_s,
            policy=replace(policy, renew_after_s=RENEW_AFTER_S),
        )
        self._connection, self._on_clock_wrong = connection, on_clock_wrong
        self._codec, self._signer, self._clock = connection.codec, connection.signer, connection.clock
        self._logs_on = connection.signer.logs_on

    # --- requests ---------------------------------------------------------------------------------------------------
    def message(self, method: str, parameters: Parameters, window_ms: int) -> tuple[int, bytes]:
        """The request's id and text: stamped, signed where no session stands. For `send` at once, nothing awaited
        between. `parameters` is changed."""
        line = self._socket.line
        identity = self._socket.next_identity()
        session = line is not None and line.session
        return identity, self._message(identity, method, parameters, window_ms, session)

    def _message(self, identity: int, method: str, parameters: Parameters, window_ms: int, session: bool) -> bytes:
        stamped(parameters, window_ms, self._clock.now_ms())
        return worded(identity, method, parameters if session else self._signer.signed_parameters(parameters))

    def session_lost(self) -> None:
        """A request was refused for its missing key although a session stood: log on anew."""
        line = self._socket.line
        if line is not None and line.session:
            line.session = False  # what comes until the new line is there is signed
            self._socket.renew()

    # --- life -------------------------------------------------------------------------------------------------------
    async def _url(self) -> str:
        now = self._clock.now_ns()
        if until := self._connection.budget.admit(Lane.QUERY, OPENING_WEIGHT, now):
            raise ConnectionFailed(f"rate limit, not before {(until - now) / 1e9:.1f} s from now")
        return self._connection.urls.order_socket()

    async def _log_in(self, line: Line[SocketReply]) -> None:
        if self._logs_on:
            reply = await self._ask(line, "session.logon", {})
            if reply.status == 200:
                line.session = True
                return
            self._logon_refused(reply)
        identity = self._socket.next_identity()
        reply = await _answer(line, identity, worded(identity, "time", {}))
        if reply.status != 200:
            raise ConnectionFailed(f"time was answered with status {reply.status}")

    def _logon_refused(self, reply: SocketReply) -> None:
        """Returns where requests can be signed one by one instead; raises ConnectionFailed where it may pass."""
        code, message = self._codec.decode_error(reply.error)
        verdict = classify(reply.status, code, message)
        if verdict.reason == Reason.VENUE_TIMESTAMP:
            self._on_clock_wrong()
        if verdict.outcome is not Outcome.REFUSED:
            raise ConnectionFailed(f"session.logon was answered with status {reply.status} ({code} {message})")
        self._log.error("session.logon was refused (%d %s): each request is signed instead", code, message)

    async def _ask(self, line: Line[SocketReply], method: str, parameters: Parameters) -> SocketReply:
        identity = self._socket.next_identity()
        window_ms = self._connection.receive_window_ms
        return await _answer(line, identity, self._message(identity, method, parameters, window_ms, session=False))

    # --- frames -----------------------------------------------------------------------------------------------------
    def _decode(self, payload: bytes) -> tuple[int | None, SocketReply]:
        reply = self._codec.decode_socket_reply(payload)
        identity = reply.identity
        if isinstance(identity, str):
            raise MalformedMessage(f"WebSocket API: a reply to {identity!r}, but ids are numbers here")
        return identity, reply

    def _on_unasked(self, reply: SocketReply, receive_time_ns: int) -> None:
        if reply.event is not None:
            if reply.event.event == SHUTDOWN:
                self._log.info("%s: the venue shuts this connection down soon", self._socket.name)
                self._socket.renew()
        elif reply.error:
            code, message = self._codec.decode_error(reply.error)
            self._socket.drop(f"an error that answers no request: status {reply.status}, {code} {message}")


async def _answer(line: Line[SocketReply], identity: int, message: bytes) -> SocketReply:
    try:
        return await line.ask(identity, message)
    except RequestFailure as failure:
        raise ConnectionFailed(str(failure)) from failure


def stamped(parameters: Parameters, window_ms: int, time_ms: int) -> None:
    """What every request says of its own time. time_ms: the venue's UTC."""
    parameters["recvWindow"], parameters["timestamp"] = window_ms, time_ms


def worded(identity: int, method: str, parameters: Parameters) -> bytes:
    """A request as it is sent."""
    return orjson.dumps({"id": identity, "method": method, "params": parameters})
