"""Stream connections: names, subscriptions, control messages, and who gets which frame.

Streams are grouped by *key*: all speeds of a symbol's diff depth are one chain of frames here and share one key, so
`btcusdt@depth`, `@depth@100ms` and a recording's `@depth@0ms` carry the same frames, each under the name its client
subscribed. A frame's bytes are never changed; a combined connection wraps them.

Sending never waits (`exchanges/simulator/connection.py`). Control messages and their errors follow the
live-subscribing page; error objects are nested as live frames show.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from exchanges.binance.simulator_keepalive import KeepAlive, Pulse
from exchanges.simulator.connection import ClientConnection, frame_kinds
from exchanges.simulator.faults import CONNECTION_KINDS, Fault, FaultRegistry

MAX_STREAMS: Final = 1024
MAX_MESSAGES_PER_SECOND: Final = 10

PUBLIC, MARKET, PRIVATE = "public", "market", "private"
USER_STREAM: Final = "user"
"""Name of user streams for fault filters."""

_SPEED = r"(?:@(?:0|100|250|500)ms)?"
_KINDS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(rf"depth{_SPEED}\Z"), "depth", PUBLIC),
    (re.compile(rf"(depth(?:5|10|20)){_SPEED}\Z"), "", PUBLIC),
    (re.compile(r"bookTicker\Z"), "bookTicker", PUBLIC),
    (re.compile(r"rpiDepth@500ms\Z"), "rpiDepth", PUBLIC),
    (re.compile(r"trade\Z"), "trade", MARKET),
    (re.compile(r"aggTrade\Z"), "aggTrade", MARKET),
    (re.compile(r"markPrice(?:@3s)?\Z"), "markPrice", MARKET),
    (re.compile(r"markPrice@1s\Z"), "markPrice@1s", MARKET),
    (re.compile(r"((?:kline_|continuousKline_|perpetual@continuousKline_)\d+[mhdwM])\Z"), "", MARKET),
    (re.compile(r"(miniTicker|ticker|forceOrder|compositeIndex|assetIndex)\Z"), "", MARKET),
)
_ALL_MARKETS = re.compile(r"!(?:bookTicker|[A-Za-z]+(?:@arr(?:@1s)?)?)\Z")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class StreamName:
    """A subscribed name: its key, its route, its symbol ("" for all-market streams)."""

    __slots__ = ("key", "name", "route", "symbol")

    def __init__(self, name: str, key: str, route: str, symbol: str) -> None:
        self.name, self.key, self.route, self.symbol = name, key, route, symbol


def parse_stream(name: str) -> StreamName | None:
    """None when there is no such kind of stream. Upper-case names are accepted and stay silent, as live."""
    symbol, at, kind = name.partition("@")
    if name.startswith("!"):
        if not _ALL_MARKETS.match(name):
            return None
        return StreamName(name, name, PUBLIC if name.startswith("!bookTicker") else MARKET, "")
    if not symbol or not at:
        return None
    for pattern, kind_key, route in _KINDS:
        found = pattern.match(kind)
        if found:
            return StreamName(name, f"{symbol}@{kind_key or found.group(1)}", route, symbol.upper())
    return None


class StreamHub:
    """Connections by stream key and by account."""

    def __init__(self, faults: FaultRegistry, strict_routes: bool) -> None:
        self.faults = faults
        self.strict_routes = strict_routes
        self.connections: set[StreamConnection] = set()
        self.subscribers: dict[str, dict[StreamConnection, list[bytes | None]]] = {}
        self.users: dict[str, dict[StreamConnection, bytes | None]] = {}
        self.frames_sent: Counter[str] = Counter()
        self.on_subscribed: Callable[[str], None] = lambda symbol: None

    def delivers(self, route: str | None, stream: StreamName) -> bool:
        """Whether a stream of this kind says anything on this route. `@trade` is not documented for either route and
        is served on both; strict routes keep it to /market and leave the unrouted paths their /public kinds."""
        if route is None:
            return not self.strict_routes or stream.route == PUBLIC
        if stream.key.endswith("@trade") and not self.strict_routes:
            return route in (PUBLIC, MARKET)
        return route == stream.route

    def publish(self, key: str, frame: bytes) -> None:
        """Send one payload to everybody subscribed to `key`."""
        subscribers = self.subscribers.get(key)
        if not subscribers:
            return
        faulty = self.faults.active
        for connection, prefixes in tuple(subscribers.items()):
            for prefix in prefixes:
                whole = frame if prefix is None else prefix + frame + b"}"
                self.frames_sent[key] += 1
                if faulty:
                    self._send_faulty(connection, key, whole)
                else:
                    connection.push(whole, key)

    def publish_user(self, listen_key: str, kind: str, frame: bytes) -> None:
        """Send one user event to the sockets of a listen key that want its kind."""
        for connection, prefix in tuple(self.users.get(listen_key, {}).items()):
            wanted = connection.event_filters.get(listen_key)
            if wanted and kind not in wanted:
                continue
            whole = frame if prefix is None else prefix + frame + b"}"
            self.frames_sent[USER_STREAM] += 1
            if self.faults.active:
                self._send_faulty(connection, USER_STREAM, whole)
            else:
                connection.push(whole, USER_STREAM)

    def backlog(self) -> int:
        """Frames the slowest connection has not been sent yet."""
        return max((len(connection.queue) for connection in self.connections), default=0)

    async def drained(self, listen_keys: list[str]) -> None:
        """Until all that was queued for these users' sockets is written."""
        for key in listen_keys:
            for connection in tuple(self.users.get(key, {})):
                await connection.drained()

    # --- faults ----------------------------------------------------------------------------------------------------
    def _send_faulty(self, connection: StreamConnection, stream: str, frame: bytes) -> None:
        connection.push_faulty(self.faults, frame, stream, frame_kinds("@depth" in stream), connection.route or "")

    def strike_connections(self) -> None:
        """Let armed disconnects and silences strike now, without waiting for a frame: once per armed count."""
        for connection in tuple(self.connections):
            names = [stream.key for stream in connection.streams.values()] or [""]
            if connection.event_filters:
                names = [USER_STREAM]
            for name in names:
                fault: Fault | None = self.faults.strike(CONNECTION_KINDS, stream=name, route=connection.route or "")
                if fault is not None:
                    connection.strike(fault)
                    break


class StreamConnection(ClientConnection):
    """One client socket and what it subscribed."""

    def __init__(self, hub: StreamHub, socket: web.WebSocketResponse, route: str | None, combined: bool) -> None:
        super().__init__(socket)
        self.hub = hub
        self.route = route
        self.combined = combined
        self.streams: dict[str, StreamName] = {}
        self.event_filters: dict[str, frozenset[str]] = {}
        self._received: deque[float] = deque(maxlen=MAX_MESSAGES_PER_SECOND + 1)

    # --- subscriptions ---------------------------------------------------------------------------------------------
    def _prefix(self, name: str) -> bytes | None:
        return b'{"stream":' + orjson.dumps(name) + b',"data":' if self.combined else None

    def subscribe(self, name: str) -> bool:
        """False for a name of no kind. A stream of another route is accepted and stays silent."""
        if name in self.streams:
            return True
        stream = parse_stream(name)
        if stream is None:
            return False
        self.streams[name] = stream
        if self.hub.delivers(self.route, stream):
            self._join(stream)
            self.hub.on_subscribed(stream.symbol)
        return True

    def _join(self, stream: StreamName) -> None:
        self.hub.subscribers.setdefault(stream.key, {}).setdefault(self, []).append(self._prefix(stream.name))

    def unsubscribe(self, name: str) -> None:
        stream = self.streams.pop(name, None)
        if stream is None:
            return
        entry = self.hub.subscribers.get(stream.key, {})
        prefixes = entry.get(self)
        if prefixes:
            prefixes.remove(self._prefix(name))
            if not prefixes:
                del entry[self]

    def listen(self, listen_key: str, events: frozenset[str] = frozenset()) -> None:
        """Attach user events; a key that does not exist stays silent, as live."""
        self.event_filters[listen_key] = events
        self.hub.users.setdefault(listen_key, {})[self] = self._prefix(listen_key)

    def set_combined(self, combined: bool) -> None:
        names, keys = list(self.streams), dict(self.event_filters)
        for name in names:
            self.unsubscribe(name)
        self.combined = combined
        for name in names:
            self.subscribe(name)
        for key, events in keys.items():
            self.listen(key, events)

    def close(self) -> None:
        """Leave all lists."""
        self.forget_held()
        for name in list(self.streams):
            self.unsubscribe(name)
        for key in self.event_filters:
            self.hub.users.get(key, {}).pop(self, None)
        self.hub.connections.discard(self)

    # --- control messages ------------------------------------------------------------------------------------------
    def control(self, message: str) -> bytes:
        """The reply to one text message."""
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError as error:
            return _error(3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}", None)
        end = len(message)
        if not isinstance(request, dict):
            return _error(3, f"Invalid JSON: expected value at line 1 column {end}", None)
        identity = request.get("id")
        if isinstance(identity, bool) or not isinstance(identity, int) or identity < 0:
            return _error(2, "Invalid request: request ID must be an unsigned integer", None)
        method = request.get("method")
        if method is None:
            return _error(2, f"Invalid request: missing field `method` at line 1 column {end}", identity)
        if method not in _METHODS:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(
                2,
                f"Invalid request: unknown variant {method}, expected one of {expected} at line 1 column 28",
                identity,
            )
        parameters = request.get("params", [])
        if not isinstance(parameters, list):
            return _error(2, "Invalid request: params must be an array", identity)
        return self._run(method, parameters, identity)

    def _run(self, method: str, parameters: list[Any], identity: int) -> bytes:
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            if not all(isinstance(name, str) for name in parameters):
                return _error(2, "Invalid request: invalid stream", identity)
            if method == "UNSUBSCRIBE":
                for name in parameters:
                    self.unsubscribe(name)
                return _result(None, identity)
            if len(self.streams.keys() | set(parameters)) > MAX_STREAMS:
                return _error(2, "Invalid request: too many parameters", identity)
            for name in parameters:
                if self.route in (None, PRIVATE) and "@" not in name and not name.startswith("!"):
                    self.listen(name)
                elif not self.subscribe(name):
                    return _error(2, "Invalid request: invalid stream", identity)
            return _result(None, identity)
        if method == "LIST_SUBSCRIPTIONS":
            return _result([*self.streams, *self.event_filters], identity)
        if not parameters or not isinstance(parameters[0], str):
            return _error(2, "Invalid request: property name must be a string", identity)
        if len(parameters) > (2 if method == "SET_PROPERTY" else 1):
            return _error(2, "Invalid request: too many parameters", identity)
        if parameters[0] != "combined":
            return _error(0, "Unknown property", identity)
        if method == "GET_PROPERTY":
            return _result(self.combined, identity)
        if len(parameters) < 2 or not isinstance(parameters[1], bool):
            return _error(1, "Invalid value type: expected Boolean", identity)
        self.set_combined(parameters[1])
        return _result(None, identity)

    # --- life ------------------------------------------------------------------------------------------------------
    async def serve(self, request: web.Request, keep_alive: KeepAlive) -> None:
        """Read until the client, a limit or the end of the connection's life ends it."""
        self.hub.connections.add(self)
        async with self.sending(request):
            try:
                async with keep_alive.guard(self.socket) as pulse:
                    await self._read(pulse)
            finally:
                self.close()

    async def _read(self, pulse: Pulse) -> None:
        async for message in self.socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG) and self._too_fast():
                await self.socket.close(code=1008, message=b"Too many requests")
                return
            if message.type is WSMsgType.TEXT:
                self.reply(self.control(message.data))
            elif message.type is WSMsgType.PING:
                await self.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                pulse.beat()

    def _too_fast(self) -> bool:
        now = time.monotonic()
        self._received.append(now)
        return len(self._received) > MAX_MESSAGES_PER_SECOND and now - self._received[0] < 1.0


def _result(result: Any, identity: int) -> bytes:
    return orjson.dumps({"result": result, "id": identity})


def _error(code: int, message: str, identity: int | None) -> bytes:
    # json, not orjson: a refused method name may carry lone surrogates.
    return json.dumps({"error": {"code": code, "msg": message}, "id": identity}, separators=(",", ":")).encode()
