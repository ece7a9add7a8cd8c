"""The account's private stream: listen key, /private socket, frames out as facts and rows.

The rules
- One listen key per account, shared with whoever else uses the account: it is made (or found) by POST before each
  connection, extended every 30 of its 60 minutes, and never deleted.
- An expired key leaves the socket open and silent, so its event, a failed extension that says "does not exist", or an
  extension that names another key, drops the connection; the next one gets a new key.
- The stream does not replay: `on_up` is called after each (re)connect and its owner must recover over REST, `on_down`
  when the connection is gone.
- A frame that cannot be read may have been the only word about a fill: the connection is renewed, the owner recovers.
- Quiet for hours is normal here; a dead link is found by pings. A link that is open and says nothing is found by what
  it must have said: its owner calls `expect_word` when the venue confirmed a change over REST.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams

Who calls it: oms.py and pms.py, one stream each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from exchanges.adapter import ConnectionHealth, VenueRefused, VenueUnavailable
from exchanges.binance.account_fetcher import BinanceAccountFetcher
from exchanges.binance.endpoints import Endpoints
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import ListenKeyExpired, StreamMessage
from exchanges.echo_watch import ECHO_S, EchoWatch
from exchanges.frame_listener import FrameListener
from exchanges.order_wire import MalformedMessage
from exchanges.websocket import ConnectionFailed, WebSocketConnection, WebSocketPolicy

EXTEND_S: Final = 30 * 60.0
NO_SUCH_KEY: Final = -1125
POLICY: Final = WebSocketPolicy(first_message_timeout_s=None, stale_after_s=None)
"""No first message and no data are promised on a private stream; pings alone tell a dead link."""


class _Listener(FrameListener):
    """Hands each text frame's bytes to the stream."""

    def __init__(self, on_frame: Callable[[bytes, int], None]) -> None:
        super().__init__()
        self._on_frame = on_frame

    def on_message(self, payload: bytes, receive_time_ns: int) -> None:
        self._on_frame(payload, receive_time_ns)


class BinanceUserStream:
    def __init__(
        self,
        name: str,
        fetcher: BinanceAccountFetcher,
        codec: OrderCodec,
        urls: Endpoints,
        *,
        on_message: Callable[[StreamMessage, int], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        log: logging.Logger,
        on_malformed: Callable[[], None] = lambda: None,
        on_retry: Callable[[str], None] = lambda text: None,
        extend_s: float = EXTEND_S,
        echo_s: float = ECHO_S,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        self._fetcher, self._codec, self._urls, self._log = fetcher, codec, urls, log
        self._on_message, self._on_up, self._on_down, self._on_malformed = on_message, on_up, on_down, on_malformed
        self._extend_s = extend_s
        self._echo = EchoWatch(self._silent, echo_s)
        self._key = ""
        self._complained: set[str] = set()
        self._connection = WebSocketConnection(
            name,
            self._url,
            lambda: _Listener(self._on_frame),
            policy=policy,
            log=log,
            on_connected=on_up,
            on_disconnected=on_down,
            on_retry=on_retry,
        )

    @property
    def up(self) -> bool:
        return self._connection.connected

    @property
    def connects(self) -> int:
        """Connections made since the start."""
        return self._connection.counters.connects

    def health(self) -> ConnectionHealth:
        return ConnectionHealth(self._connection.name, self._connection.state, self._connection.receive_time_ns)

    def expect_word(self, since_ns: int) -> None:
        """The account changed since then (CLOCK_MONOTONIC ns): this stream has spoken since, or does so soon, or is
        dead though open and is given up."""
        if self.up:
            self._echo.expect(since_ns)

    def _silent(self, why: str) -> None:
        if self.up:
            self.reconnect(why)

    def reconnect(self, reason: str) -> None:
        """Give the present connection up and open another, with a fresh key."""
        self._connection.disconnect(reason)

    async def run(self) -> None:
        """Keep it up until close(). Raises VenueRefused where the key is wrong."""
        extension = asyncio.ensure_future(self._extend())
        try:
            await self._connection.run()
        finally:
            extension.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await extension

    def close(self) -> None:
        self._echo.forget()
        self._connection.close()

    async def _url(self) -> str:
        try:
            self._key = await self._fetcher.listen_key()
        except VenueUnavailable as failure:
            raise ConnectionFailed(str(failure)) from failure
        return self._urls.private(self._key)

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._extend_s)
            if not self.up:
                continue  # the next connection makes or finds the key anyway
            await self.extend_now()

    async def extend_now(self) -> None:
        """One extension of the listen key, with what its failures mean."""
        try:
            key = await self._fetcher.extend_listen_key()
        except VenueUnavailable as failure:
            self._log.warning("listen key could not be extended, tried again later: %s", failure)
        except VenueRefused as refused:
            if refused.code != NO_SUCH_KEY:
                raise
            self.reconnect("the listen key does not exist any more")
        else:
            if key and key != self._key:
                self.reconnect("the account has another listen key now")

    def _on_frame(self, payload: bytes, receive_time_ns: int) -> None:
        self._echo.word(receive_time_ns)
        try:
            message = self._codec.decode_stream(payload)
            if message is None:
                return
            if isinstance(message, ListenKeyExpired):
                self.reconnect("the listen key expired")
                return
            self._on_message(message, receive_time_ns)
        except MalformedMessage as failure:
            self._on_malformed()
            text = str(failure)
            if text[:60] not in self._complained and len(self._complained) < 100:
                self._complained.add(text[:60])
                self._log.error("%s; frame begins %r", text, payload[:200])
            self.reconnect("a frame could not be read: what it said is asked for anew")
