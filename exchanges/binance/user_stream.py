"""The account's private stream: listen key, /private socket, frames out as facts and rows.

The rules
- One listen key per account, shared with whoever else uses the account: it is made (or found) by POST before each
  connection, extended every 30 of its 60 minutes, and never deleted.
- An expired key leaves the socket open and silent, so its event, a failed extension that says "does not exist", or an
  extension that names another key, drops the connection; the next one gets a new key.
- What holds for every private stream stands in exchanges/account_stream.py.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams

Who calls it: oms.py and pms.py, one stream each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from exchanges.account_stream import POLICY, AccountStream
from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.binance.account_fetcher import BinanceAccountFetcher
from exchanges.binance.endpoints import Endpoints
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import ListenKeyExpired, StreamMessage
from exchanges.echo_watch import ECHO_S
from exchanges.order_wire import MalformedMessage
from exchanges.websocket import ConnectionFailed, WebSocketPolicy

EXTEND_S: Final = 30 * 60.0
NO_SUCH_KEY: Final = -1125


class BinanceUserStream(AccountStream):
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
        super().__init__(
            name,
            log=log,
            on_connected=on_up,
            on_disconnected=on_down,
            on_malformed=on_malformed,
            on_retry=on_retry,
            echo_s=echo_s,
            policy=policy,
        )
        self._fetcher, self._codec, self._urls, self._on_message = fetcher, codec, urls, on_message
        self._extend_s, self._key = extend_s, ""

    async def run(self) -> None:
        """Keep it up until close(). Raises VenueRefused where the key is wrong."""
        extension = asyncio.ensure_future(self._extend())
        try:
            await super().run()
        finally:
            extension.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await extension

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
            self._malformed(failure, payload)
