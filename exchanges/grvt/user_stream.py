"""The account's private streams: login, socket with the session's headers, subscriptions, frames out with their feeds.

The rules
- It counts as up when every subscription was agreed to.
- Numbers of a stream follow each other; a missing one may have been the only word about something, so the connection is
  given up and everything is read anew. `check_gaps=False` switches that off, as for market data.
- A refusal of a subscription for want of a login (1000) means that the cookie ended: log in and connect again.
- What holds for every private stream stands in exchanges/account_stream.py.

Source: https://api-docs.grvt.io/trading_streams

Who calls it: oms.py and pms.py, one stream each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import Logger

import msgspec

from exchanges.account_stream import POLICY, AccountStream
from exchanges.adapter import VenueUnavailable
from exchanges.echo_watch import ECHO_S
from exchanges.grvt.account_codec import AccountCodec
from exchanges.grvt.error_codes import NOT_LOGGED_IN
from exchanges.grvt.order_messages import PrivateFrame
from exchanges.grvt.session import Session
from exchanges.market_events import MalformedFrame
from exchanges.order_wire import MalformedMessage
from exchanges.websocket import ConnectionFailed, WebSocketPolicy


class GrvtUserStream(AccountStream):
    """`run()` keeps it up until `close()`. on_feed(stream, feed, receive_time_ns) raises MalformedFrame or
    MalformedMessage for what it cannot read."""

    def __init__(
        self,
        name: str,
        session: Session,
        codec: AccountCodec,
        url: str,
        streams: Sequence[str],
        *,
        on_feed: Callable[[str, bytes, int], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        log: Logger,
        on_malformed: Callable[[], None] = lambda: None,
        on_retry: Callable[[str], None] = lambda text: None,
        check_gaps: bool = True,
        echo_s: float = ECHO_S,
        policy: WebSocketPolicy = POLICY,
    ) -> None:
        super().__init__(
            name,
            log=log,
            on_connected=self._subscribe,
            on_disconnected=lambda why: self._lost(on_down, why),
            on_malformed=on_malformed,
            on_retry=on_retry,
            echo_s=echo_s,
            policy=policy,
        )
        self._session, self._codec, self._wanted, self._target = session, codec, tuple(streams), url
        self._on_feed, self._on_up, self._check = on_feed, on_up, check_gaps
        self._handshake: dict[str, str] = {}
        self._agreed: set[str] = set()
        self._last: dict[str, int] = {}

    @property
    def up(self) -> bool:
        return super().up and len(self._agreed) == len(self._wanted)

    async def _url(self) -> str:
        try:
            await self._session.ensure()
        except VenueUnavailable as failure:
            raise ConnectionFailed(str(failure)) from failure
        return self._target

    def _headers(self) -> dict[str, str]:
        self._handshake = self._session.headers
        return self._handshake

    def _subscribe(self) -> None:
        self._agreed.clear()
        self._last.clear()
        for identity, stream in enumerate(self._wanted, start=1):
            command = {
                "jsonrpc": "2.0", "method": "subscribe", "id": identity,
                "params": {"stream": stream, "selectors": [self._session.account]},
            }  # fmt: skip
            self._connection.send(msgspec.json.encode(command))

    def _lost(self, on_down: Callable[[str], None], why: str) -> None:
        self._agreed.clear()
        self._echo.forget()
        on_down(why)

    # --- frames -----------------------------------------------------------------------------------------------------
    def _on_frame(self, payload: bytes, receive_time_ns: int) -> None:
        try:
            frame = self._codec.decode_frame(payload)
            if frame.stream is not None:
                self._echo.word(receive_time_ns)
                if self._in_order(frame):
                    self._on_feed(frame.stream, bytes(frame.feed), receive_time_ns)
            elif frame.error is not None:
                self._refused(frame.error.code, frame.error.message)
            elif frame.result is not None:
                self._on_agreed(frame.result.stream)
        except (MalformedFrame, MalformedMessage) as failure:
            self._malformed(failure, payload)

    def _on_agreed(self, stream: str) -> None:
        was_up = self.up
        self._agreed.add(stream)
        if self.up and not was_up:
            self._on_up()

    def _refused(self, code: int, message: str) -> None:
        if code == NOT_LOGGED_IN:
            self._session.lost(self._handshake)
        self.reconnect(f"a subscription was refused: {message} (code {code})")

    def _in_order(self, frame: PrivateFrame) -> bool:
        """Whether the frame may be used. False for a repetition, and for one that shows that another is missing."""
        sequence, previous = int(frame.sequence_number), int(frame.prev_sequence_number)
        if sequence == 0:
            return True
        last = self._last.get(frame.stream or "")
        if last == sequence:
            return False
        if last is not None and previous != last and self._check:
            self.reconnect(f"{frame.stream}: {sequence} follows {previous}, {last} was expected")
            return False
        self._last[frame.stream or ""] = sequence
        return True
