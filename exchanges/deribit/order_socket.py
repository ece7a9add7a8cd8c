"""A private connection to Deribit: login, heartbeat, cancel-on-disconnect, private channels, and requests by id.

The rules
- Before a line counts as up it is logged in, the venue watches it (set_heartbeat), cancel-on-disconnect is on *and the
  venue said so when asked*, and every private channel is confirmed. One missing: the line is given up.
- Orders are canceled by the venue when this very connection ends, so all orders go over one, and it is never renewed
  beside another. Where it has to go (a session that could not be refreshed), `on_ending` pulls the orders first.
- A test_request of the venue is answered at once: unanswered, it ends the connection, and every order with it.

Docs: https://docs.deribit.com/articles/connection-management-best-practices, private/enable_cancel_on_disconnect.

Who calls it: oms.py (orders and user.changes), pms.py (user.changes and user.portfolio, no orders).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from exchanges.adapter import VenueRefused
from exchanges.deribit.endpoints import AUTH, HEARTBEAT_S, SET_HEARTBEAT, TEST
from exchanges.deribit.error_codes import KEY_CODES, SESSION_LOST
from exchanges.deribit.order_codec import parameters
from exchanges.deribit.order_connection import OrderConnection
from exchanges.deribit.order_messages import Reply
from exchanges.deribit.session import LoginFailed, Session
from exchanges.order_wire import MalformedMessage
from exchanges.request_failure import OutcomeUnknown, RequestFailure
from exchanges.request_line import Line
from exchanges.request_socket import POLICY, Waiter
from exchanges.venue_order_socket import VenueOrderSocket
from exchanges.websocket import ConnectionFailed, WebSocketPolicy
from shm.layout import Reason

SUBSCRIBE: Final = "private/subscribe"
ENABLE_SWITCH: Final = "private/enable_cancel_on_disconnect"
GET_SWITCH: Final = "private/get_cancel_on_disconnect"
CONNECTION_SCOPE: Final = {"scope": "connection"}


async def _nothing() -> None:
    return None


class DeribitOrderSocket(VenueOrderSocket[Reply]):
    """See exchanges/venue_order_socket.py for the part that all venues share."""

    def __init__(
        self,
        name: str,
        connection: OrderConnection,
        *,
        session: str,
        scopes: str,
        channels: Sequence[str],
        carries_orders: bool,
        on_message: Callable[[str, msgspec.Raw, int], None],
        log: logging.Logger,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda why: None,
        on_ending: Callable[[], Awaitable[None]] = _nothing,
        timeout_s: float = 5.0,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        """session: a name of its own for each role of an instance. on_message: channel, data, receive time; it raises
        MalformedMessage where the data cannot be read, and the line is given up then: it may have been the only word
        about a fill. on_ending: awaited before a line is given up that still works."""
        super().__init__(name, log=log, on_up=self._up, on_down=self._down, timeout_s=timeout_s, policy=policy)
        self._connection, self._channels = connection, list(channels)
        self._carries_orders, self._on_message, self._on_ending = carries_orders, on_message, on_ending
        self._session = Session(connection.signer, connection.clock.now_ms, session, scopes)
        self._codec = connection.codec
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._logged_in = asyncio.Event()
        self._proven = False
        self._ending: asyncio.Task[None] | None = None
        self._told_up, self._told_down = on_up, on_down

    # --- state ------------------------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        """Logged in and subscribed."""
        return self._proven

    # --- requests ---------------------------------------------------------------------------------------------------
    def message(self, method: str, text: str) -> tuple[int, bytes]:
        """The request's id and text, for `send`; `text`: its parameters as JSON."""
        identity = self._socket.next_identity()
        return identity, worded(identity, method, text)

    def send(self, identity: int, message: bytes, waiter: Waiter[Reply]) -> bool:
        return self._proven and super().send(identity, message, waiter)

    def session_lost(self) -> None:
        """A request was refused for want of a login: this line is of no use any more."""
        self._end("the login is not valid any more")

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        waited: set[asyncio.Future[None]] = {
            asyncio.ensure_future(super().run()),
            asyncio.ensure_future(self._refresh()),
            self._refused,
        }
        try:
            ended, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                if not one.cancelled():
                    one.result()
        finally:
            for one in waited:
                one.cancel()
            await asyncio.gather(*waited, return_exceptions=True)

    def close(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        super().close()

    async def _url(self) -> str:
        return self._connection.urls.order_socket()

    async def _log_in(self, line: Line[Reply]) -> None:
        """Raises ConnectionFailed; a wrong key ends run() besides."""
        try:
            self._session.granted(await self._ask(line, AUTH, self._session.login()))
            await self._ask(line, SET_HEARTBEAT, {"interval": HEARTBEAT_S})
            if self._carries_orders:
                await self._ask(line, ENABLE_SWITCH, CONNECTION_SCOPE)
                if not self._codec.decode_switch(await self._ask(line, GET_SWITCH, CONNECTION_SCOPE)):
                    raise ConnectionFailed("cancel-on-disconnect was enabled, and the venue says that it is off")
            granted = msgspec.json.decode(await self._ask(line, SUBSCRIBE, {"channels": self._channels}))
            if missing := [channel for channel in self._channels if channel not in granted]:
                raise ConnectionFailed(f"the venue did not subscribe {', '.join(missing)}")
        except LoginFailed as failure:
            self._end_for_good(VenueRefused(str(failure), reason=Reason.VENUE_SIGNATURE))
            raise ConnectionFailed(str(failure)) from failure
        except (MalformedMessage, msgspec.DecodeError, TypeError) as failure:
            raise ConnectionFailed(f"an answer of the login could not be read: {failure}") from failure

    async def _ask(self, line: Line[Reply], method: str, values: dict[str, Any]) -> bytes:
        """The result. Raises ConnectionFailed."""
        identity = self._socket.next_identity()
        try:
            reply = await line.ask(identity, worded(identity, method, parameters(values)))
        except RequestFailure as failure:
            raise ConnectionFailed(f"{method}: {failure}") from failure
        if reply.error is not None:
            error = reply.error
            if error.code in KEY_CODES:
                self._end_for_good(VenueRefused(error.message, code=error.code, reason=Reason.VENUE_SIGNATURE))
            raise ConnectionFailed(f"{method} was refused: {error.message} ({error.code})")
        return bytes(reply.result)

    def _end_for_good(self, refused: VenueRefused) -> None:
        if not self._refused.done():
            self._refused.set_exception(refused)

    def _up(self) -> None:
        self._proven = True
        self._logged_in.set()
        self._told_up()

    def _down(self, why: str) -> None:
        self._proven = False
        if (line := self._socket.line) is not None:
            line.withheld = True
        self._logged_in.clear()
        self._told_down(why)

    async def _refresh(self) -> None:
        """Extend the session well before it ends. Where that fails the line goes, orders first."""
        while True:
            await self._logged_in.wait()
            line, connects = self._socket.line, self.connects
            await asyncio.sleep(self._session.refresh_in_s)
            if line is None or line is not self._socket.line or connects != self.connects:
                continue  # another line has logged in since
            try:
                self._session.granted(await self._ask(line, AUTH, self._session.refresh()))
            except (ConnectionFailed, LoginFailed) as failure:
                self._end(f"the login could not be refreshed: {failure}")
                await asyncio.sleep(1.0)

    def _end(self, reason: str) -> None:
        """Give up a line that still works: no new orders, the open ones pulled, then the line."""
        if self._ending is None or self._ending.done():
            self._ending = asyncio.get_running_loop().create_task(self._end_line(reason))

    async def _end_line(self, reason: str) -> None:
        self._log.warning("%s is given up: %s", self._socket.name, reason)
        self._down(reason)
        await self._on_ending()
        self._socket.drop(reason)

    # --- frames -----------------------------------------------------------------------------------------------------
    def _decode(self, payload: bytes) -> tuple[int | None, Reply]:
        reply = self._codec.decode_reply(payload)
        return reply.identity, reply

    def _on_unasked(self, reply: Reply, receive_time_ns: int) -> None:
        params = reply.params
        if reply.method == "subscription" and params is not None:
            try:
                self._on_message(params.channel, params.data, receive_time_ns)
            except MalformedMessage as failure:
                self._log.error("%s: %s; data begins %r", self._socket.name, failure, bytes(params.data)[:200])
                self._end("a notification could not be read: what it said is asked for anew")
        elif reply.method == "heartbeat" and params is not None:
            if params.kind == "test_request":
                identity = self._socket.next_identity()
                self._socket.send(identity, worded(identity, TEST, "{}"), _Nobody())
        elif reply.error is not None and reply.error.code in SESSION_LOST:
            self.session_lost()


class _Nobody:
    """Waits for the reply to a test: that it comes is all."""

    def replied(self, reply: Reply, receive_time_ns: int) -> None: ...
    def lost(self, failure: OutcomeUnknown) -> None: ...
    def replied_late(self, reply: Reply, receive_time_ns: int) -> None: ...


def worded(identity: int, method: str, text: str) -> bytes:
    """A request as it is sent; `text`: its parameters as JSON."""
    return f'{{"jsonrpc":"2.0","id":{identity},"method":"{method}","params":{text}}}'.encode()
