"""The order socket of GRVT: the session's headers at the handshake, calls by id, a fresh line after each login.

The rules
- The venue lets a socket open without a good cookie and refuses each call then, so a line counts as up when one
  private question was answered on it.
- Nothing of an order hangs on this connection: the dead-man's switch is a countdown of the account. So a line is
  renewed beside the old one after each login, and given up without ceremony.
- A call that is refused for want of a login (1000) was not carried out. The line takes no more of them; what comes
  until the next one is up goes over REST.

Source: https://api-docs.grvt.io, "JSON RPC" of trading_api.

Who calls it: oms.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from exchanges.adapter import VenueUnavailable
from exchanges.grvt.account_fetcher import OPEN_ORDERS
from exchanges.grvt.error_codes import NOT_LOGGED_IN
from exchanges.grvt.order_budget import QUERIES
from exchanges.grvt.order_connection import OrderConnection
from exchanges.grvt.order_messages import Reply
from exchanges.rate_limit import Lane
from exchanges.request_failure import RequestFailure
from exchanges.request_line import Line
from exchanges.request_socket import POLICY
from exchanges.venue_order_socket import VenueOrderSocket
from exchanges.websocket import ConnectionFailed, WebSocketPolicy


class GrvtOrderSocket(VenueOrderSocket[Reply]):
    """See exchanges/venue_order_socket.py for the part that all venues share."""

    def __init__(
        self,
        name: str,
        connection: OrderConnection,
        *,
        log: logging.Logger,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda why: None,
        timeout_s: float = 5.0,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        super().__init__(name, log=log, on_up=on_up, on_down=on_down, timeout_s=timeout_s, policy=policy)
        self._connection = connection
        self._codec, self._session = connection.codec, connection.session
        self._handshake: dict[str, str] = {}

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def usable(self) -> bool:
        line = self._socket.line
        return line is not None and line.session and line.usable

    # --- requests ---------------------------------------------------------------------------------------------------
    def message(self, route: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        """The call's id and text, for `send`."""
        identity = self._socket.next_identity()
        return identity, self._codec.encode_call(route, body, identity)

    async def ask(self, route: str, body: Mapping[str, Any]) -> Reply:
        """Send a call and wait for its reply. Raises NotSent or OutcomeUnknown."""
        return await self._socket.ask(*self.message(route, body))

    def session_lost(self) -> None:
        """A call was refused for want of a login: log in anew, and open another line with that."""
        line = self._socket.line
        if line is not None and line.session:
            line.session = False  # what comes until the new line is there goes over REST
            self._session.lost(self._handshake)
            self._socket.renew()

    def renew(self) -> None:
        """There is a new login: another line with it, beside this one until that is up."""
        line = self._socket.line
        if line is not None and line.session and self._handshake is not self._session.headers:
            self._socket.renew()

    # --- life -------------------------------------------------------------------------------------------------------
    async def _url(self) -> str:
        try:
            await self._session.ensure()
        except VenueUnavailable as failure:
            raise ConnectionFailed(str(failure)) from failure
        return self._connection.urls.order_socket

    def _headers(self) -> dict[str, str]:
        self._handshake = self._session.headers
        return self._handshake

    async def _log_in(self, line: Line[Reply]) -> None:
        """The handshake was the login; that the venue took it shows when it answers."""
        clock = self._connection.clock
        if until := self._connection.budget.admit(Lane.NEW, {QUERIES: 1}, clock.now_ns()):
            raise ConnectionFailed(f"rate limit, not before {(until - clock.now_ns()) / 1e9:.1f} s from now")
        identity = self._socket.next_identity()
        body = {"sub_account_id": self._session.account}
        try:
            reply = await line.ask(identity, self._codec.encode_call(OPEN_ORDERS, body, identity))
        except RequestFailure as failure:
            raise ConnectionFailed(str(failure)) from failure
        if reply.error is not None:
            if reply.error.code == NOT_LOGGED_IN:
                self._session.lost(self._handshake)
            raise ConnectionFailed(f"{OPEN_ORDERS} was refused: {reply.error.message} ({reply.error.code})")
        line.session = True

    # --- frames -----------------------------------------------------------------------------------------------------
    def _decode(self, payload: bytes) -> tuple[int | None, Reply]:
        reply = self._codec.decode_reply(payload)
        return reply.id or None, reply  # id 0 answers a frame that the venue could not read

    def _on_unasked(self, reply: Reply, receive_time_ns: int) -> None:
        if reply.error is not None:
            error = reply.error
            self._socket.drop(f"an error that answers no request: {error.message} ({error.code})")
