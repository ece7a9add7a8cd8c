"""One WebSocket connection that is kept up: connect, watch, reconnect, renew.

The rule: a connection that is open but says nothing is worth less than a closed one. So each is watched: the first
message of every stream must come in time, data must not be older than the staleness limit, pings must be answered;
where one fails the connection is closed and opened anew, after a pause that doubles with each failure and is shortened
by a random part, so that many clients of a venue that restarts do not come back in the same millisecond. A venue that
refuses the handshake because too much was asked says how long to stay away, and that is kept. Before the
venue's own limit on a connection's age the next one is opened beside it and the old one is closed only when the new one
delivers (make before break); the listener's owner sees both during `on_overlap(True)`.

Who calls it: subscribers, OMS and PMS of every venue. Everything runs in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import picows

from exchanges.frame_listener import FrameListener
from shm.clock import monotonic_ns
from shm.layout import ConnectionState

STEP_SLACK_S: Final = 60.0
"""On top of what a step takes by its own bounds: the requests of a login, a host that is starved."""


@dataclass(frozen=True)
class WebSocketPolicy:
    """Seconds. None switches a limit off."""

    connect_timeout_s: float = 5.0
    first_message_timeout_s: float | None = 10.0
    stale_after_s: float | None = None
    """Longest silence of the whole connection. Only for streams that never rest; quiet ones live by pings."""
    ping_idle_s: float = 10.0
    ping_reply_s: float = 5.0
    backoff_first_s: float = 0.1
    backoff_limit_s: float = 20.0
    healthy_after_s: float = 10.0
    """A connection that lived this long makes the next pause short again."""
    too_many_s: float = 10.0
    banned_s: float = 120.0
    """How long to stay away after a handshake refused with HTTP 429 or 418 that named no time in Retry-After."""
    renew_after_s: float | None = None
    overlap_s: float = 2.0


@dataclass
class WebSocketCounters:
    """Totals since the start; the owner publishes them."""

    connects: int = 0
    failures: int = 0
    disconnects: int = 0
    silent: int = 0
    stale: int = 0
    renewals: int = 0


@dataclass(frozen=True)
class SilentStreams:
    """Streams that have not sent their first message. `required` ones make the connection useless."""

    required: list[str]
    optional: list[str]


class WebSocketConnection:
    """`run()` keeps it up until `close()`. Callbacks are plain functions, called in the loop; they must not block.

    url             asked before each attempt (a listen key may have changed); may raise, which counts as a failure
    make_listener   one FrameListener per connection
    on_connected    handshake done: subscribe, log in
    on_disconnected the last open connection is gone; the text says why
    on_retry        an attempt failed or the connection was lost: one sentence with the time of the next attempt
    silent_streams  asked once per connection, first_message_timeout_s after the handshake
    on_overlap      True: two connections deliver the same streams; False: one again
    log_in          awaited for each new connection before it counts as up; raises ConnectionFailed where it is useless
    retire          awaited at a renewal, when the new connection has taken over and before the old one is closed
    headers         asked after `url`: what goes with the handshake (a session's cookie)
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], Awaitable[str]],
        make_listener: Callable[[], FrameListener],
        *,
        policy: WebSocketPolicy,
        log: logging.Logger,
        on_connected: Callable[[], None] = lambda: None,
        on_disconnected: Callable[[str], None] = lambda reason: None,
        on_retry: Callable[[str], None] = lambda text: None,
        silent_streams: Callable[[], SilentStreams] | None = None,
        on_overlap: Callable[[bool], None] = lambda overlapping: None,
        log_in: Callable[[FrameListener], Awaitable[None]] | None = None,
        retire: Callable[[FrameListener], Awaitable[None]] | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
        jitter: random.Random | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.counters = WebSocketCounters()
        self.state = ConnectionState.NONE
        self._url = url
        self._make_listener = make_listener
        self._log = log
        self._picows_log = log.getChild("picows")
        self._picows_log.setLevel(logging.ERROR)  # what it would say about a lost connection is said here, once
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_retry = on_retry
        self._silent_streams = silent_streams
        self._on_overlap = on_overlap
        self._log_in = log_in
        self._retire = retire
        self._headers = headers
        self._renewal_asked = False
        self._jitter = jitter or random.Random()
        self._transport: picows.WSTransport | None = None
        self._listener: FrameListener | None = None
        self.listener: FrameListener | None = None
        """Of the connection that is up now; None where none is."""
        self._why = ""
        self._step_until_ns = 0
        """Until when the step to the next connection is surely over; 0 while connected."""
        self._closing = asyncio.Event()

    # --- seen from outside ------------------------------------------------------------------------------------------
    @property
    def receive_time_ns(self) -> int:
        """CLOCK_MONOTONIC of the newest message, 0 before the first of this connection."""
        return self._listener.receive_time_ns if self._listener is not None else 0

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def is_stuck(self) -> bool:
        """Whether the way to the next connection does not go on: far longer without a step than any step may take. A
        venue that is away is not that: its attempts fail in time, and others follow."""
        return 0 < self._step_until_ns < monotonic_ns()

    def _step_takes(self, seconds: float) -> None:
        self._step_until_ns = monotonic_ns() + int((seconds + STEP_SLACK_S) * 1e9)

    def send(self, message: bytes) -> bool:
        """Hand a text message to the socket. False: not connected, nothing was sent."""
        if self._transport is None:
            return False
        self._transport.send(picows.WSMsgType.TEXT, message)
        return True

    def disconnect(self, reason: str) -> None:
        """Give the present connection up; run() opens another."""
        self._why = self._why or reason
        if self._transport is not None:
            # Not graceful: a peer that went silent would hold the close up as well.
            self._transport.disconnect(graceful=False)

    def renew(self) -> None:
        """Make before break, within a second: the venue said that it is about to close this connection."""
        self._renewal_asked = True

    def close(self) -> None:
        self._closing.set()
        self.disconnect("closed here")

    # --- life -------------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            self.state = ConnectionState.CONNECTING
            self._step_takes(2 * self.policy.connect_timeout_s)
            self._why = ""
            self._renewal_asked = False
            try:
                transport, listener = await self._connect()
            except (OSError, TimeoutError, picows.WSError, ConnectionFailed) as failure:
                self.counters.failures += 1
                failures += 1
                away_s = self._away_s(failure)
                await self._pause(f"cannot be reached ({str(failure) or type(failure).__name__})", failures, away_s)
                continue
            began = monotonic_ns()
            self._step_until_ns = 0
            await self._live(transport, listener)
            lived_s = (monotonic_ns() - began) / 1e9
            if self._closing.is_set():
                break
            failures = 1 if lived_s >= self.policy.healthy_after_s else failures + 1
            await self._pause(f"was lost after {lived_s:.1f} s ({self._why})", failures)
        self.state = ConnectionState.DOWN
        self._step_until_ns = 0

    async def _connect(self) -> tuple[picows.WSTransport, FrameListener]:
        url = await self._url()
        async with asyncio.timeout(self.policy.connect_timeout_s):
            transport, listener = await picows.ws_connect(
                self._make_listener,
                url,
                websocket_handshake_timeout=self.policy.connect_timeout_s,
                logger_name=self._picows_log,
                enable_auto_ping=True,
                auto_ping_idle_timeout=self.policy.ping_idle_s,
                auto_ping_reply_timeout=min(self.policy.ping_reply_s, self.policy.ping_idle_s),
                extra_headers=self._headers() or None,
            )
        assert isinstance(listener, FrameListener)
        if self._log_in is not None:
            try:
                await self._log_in(listener)
            except BaseException:
                transport.disconnect(graceful=False)
                raise
        self.counters.connects += 1
        return transport, listener

    async def _live(self, transport: picows.WSTransport, listener: FrameListener) -> None:
        """From handshake to loss, over any number of renewals."""
        self._transport, self._listener = transport, listener
        self.listener = listener
        self.state = ConnectionState.UP
        try:
            if self._closing.is_set():
                self.disconnect("closed here")
            else:
                self._on_connected()
            while True:
                successor = await self._watch(transport, listener)
                if successor is None:
                    break
                transport, listener = successor
        finally:
            self._transport = self.listener = None
            self.state = ConnectionState.DOWN
            if not transport.is_disconnected:
                transport.disconnect(graceful=False)
            self.counters.disconnects += 1
            by_venue = f"closed by the venue: {listener.close_text}" if listener.close_text else "closed by the venue"
            self._why = self._why or by_venue
            self._on_disconnected(self._why)

    async def _watch(
        self, transport: picows.WSTransport, listener: FrameListener
    ) -> tuple[picows.WSTransport, FrameListener] | None:
        """Return when the connection is lost (None) or a successor took over."""
        policy = self.policy
        began = monotonic_ns()
        gone = asyncio.ensure_future(_gone(transport))
        limits = (policy.first_message_timeout_s, policy.stale_after_s, policy.renew_after_s)
        tick_s = min([1.0, *(limit / 4 for limit in limits if limit is not None)])
        first_message_checked = self._silent_streams is None or policy.first_message_timeout_s is None
        try:
            while True:
                await asyncio.wait({gone}, timeout=tick_s)
                if gone.done():
                    if failure := gone.result():
                        self._why = self._why or failure
                    return None
                now = monotonic_ns()
                age_s = (now - began) / 1e9
                if not first_message_checked and age_s >= (policy.first_message_timeout_s or 0.0):
                    first_message_checked = True
                    self._check_first_messages()
                if policy.stale_after_s is not None:
                    silent_s = (now - max(listener.receive_time_ns, began)) / 1e9
                    if silent_s > policy.stale_after_s:
                        self.counters.stale += 1
                        self.state = ConnectionState.STALE
                        self.disconnect(f"no data for {silent_s:.1f} s, limit {policy.stale_after_s:.1f} s")
                if self._renewal_asked or (policy.renew_after_s is not None and age_s >= policy.renew_after_s):
                    self._renewal_asked = False
                    began = now  # a failed renewal is tried again after the same time
                    if successor := await self._renew(transport, listener, gone):
                        return successor
        finally:
            gone.cancel()

    def _check_first_messages(self) -> None:
        assert self._silent_streams is not None
        silent = self._silent_streams()
        if silent.optional:
            self._log.warning("%s: no message yet on %s", self.name, ", ".join(silent.optional))
        if silent.required:
            self.counters.silent += 1
            self.disconnect(f"no first message on {', '.join(silent.required)}")

    async def _renew(
        self, old: picows.WSTransport, old_listener: FrameListener, gone: asyncio.Future[str]
    ) -> tuple[picows.WSTransport, FrameListener] | None:
        """Make before break. None: it failed, the old connection goes on."""
        try:
            transport, listener = await self._connect()
        except (OSError, TimeoutError, picows.WSError, ConnectionFailed) as failure:
            self.counters.failures += 1
            self._log.warning("%s: renewal failed, the old connection goes on: %s", self.name, failure)
            return None
        self._on_overlap(True)
        try:
            if self._log_in is None:  # the answer to a log-in says already that it delivers
                await self._overlap(transport, gone)
            if transport.is_disconnected or listener.frames == 0:
                transport.disconnect(graceful=False)
                self._log.warning("%s: renewal failed, the new connection delivered nothing", self.name)
                return None
            self._transport, self._listener = transport, listener
            self.listener = listener
            if self._retire is not None:
                await self._until_retired(self._retire(old_listener), transport)
            old.disconnect()
            self.counters.renewals += 1
            self._log.info("%s: renewed", self.name)
            return transport, listener
        finally:
            self._on_overlap(False)

    async def _overlap(self, transport: picows.WSTransport, gone: asyncio.Future[str]) -> None:
        arrived = asyncio.ensure_future(_gone(transport))
        try:
            await asyncio.wait({arrived, gone}, timeout=self.policy.overlap_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()

    async def _until_retired(self, retired: Awaitable[None], successor: picows.WSTransport) -> None:
        """Until nothing needs the old connection any more, or there is nothing to go on with."""
        waited: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(retired),
            asyncio.ensure_future(self._closing.wait()),
            asyncio.ensure_future(_gone(successor)),
        }
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waited:
                one.cancel()

    def _away_s(self, failure: Exception) -> float:
        """How long the venue wants us to stay away; 0: it did not say."""
        response = failure.response if isinstance(failure, picows.WSHandshakeError) else None
        if response is None or response.status not in (418, 429):
            return 0.0
        named = response.headers.get("Retry-After", "")
        if named.isdecimal():
            return float(named)
        return self.policy.banned_s if response.status == 418 else self.policy.too_many_s

    async def _pause(self, what: str, failures: int, least_s: float = 0.0) -> None:
        """Backoff, or `least_s` where that is longer; both with a random part, the second on top."""
        pause_s = min(self.policy.backoff_limit_s, self.policy.backoff_first_s * 2.0 ** min(failures - 1, 30))
        pause_s *= 0.5 + 0.5 * self._jitter.random()
        if pause_s < least_s:
            pause_s = least_s * (1.0 + 0.1 * self._jitter.random())
        text = f"{self.name} {what}, next try in {pause_s:.1f} s"
        self._log.warning("%s", text)
        self._on_retry(text)
        self._step_takes(pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), pause_s)


class ConnectionFailed(Exception):
    """For `url` and `log_in`: what the connection needs first (a listen key, a session) could not be had."""


async def _gone(transport: picows.WSTransport) -> str:
    """Wait for the end; "" or the exception's words where a listener raised."""
    try:
        await transport.wait_disconnected()
    except Exception as failure:
        return f"{type(failure).__name__}: {failure}"
    return ""
