"""Streams of the simulated GRVT: selectors, channels with their sequence numbers, and the sockets that hear them.

A *channel* is one (stream, selector). It numbers its frames for everybody alike, as a gateway does: the first frames of
a subscription carry 0, the live ones go on where the channel is. Books and mini tickers of the ".d" kind are told as
what changed since the channel's own last frame, so a new subscriber is given the channel's state and not a newer one.

Public channels publish on their own grid of milliseconds (rate 0: each change), private ones at each event.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import orjson
from aiohttp import web

from exchanges.grvt import simulator_frames as frames
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_replies import fill, open_positions, position
from exchanges.grvt.simulator_venue import Venue
from exchanges.simulator.book import Level
from exchanges.simulator.connection import ClientConnection, frame_kinds
from exchanges.simulator.faults import CONNECTION_KINDS
from exchanges.simulator.flow import MarketTrade

RATES: Final = {
    "v1.mini.s": (200, 500, 1000, 5000),
    "v1.mini.d": (0, 50, 100, 200, 500, 1000, 5000),
    "v1.ticker.s": (500, 1000, 5000),
    "v1.book.s": (500, 1000),
    "v1.book.d": (50, 100, 500, 1000),
}
DEPTHS: Final = (10, 50, 100, 500)
TRADE_LIMITS: Final = (50, 200, 500, 1000)
SILENT: Final = ("v1.ticker.d", "v1.candle", "v1.transfer", "v1.deposit", "v1.withdrawal")
"""Can be subscribed, and never say anything."""
PRIVATE: Final = ("v1.order", "v1.state", "v1.fill", "v1.position", "v1.cancel", "v1.transfer", "v1.deposit",
                  "v1.withdrawal")  # fmt: skip
FILLS_REPLAYED: Final = 50
"""That v1.fill begins with some is known, and not how many."""
FIRST_SEQUENCE: Final = 36_000
"""Of the public counters: any number will do, as long as it is not 0 or 1."""
NS_PER_MS: Final = 1_000_000


class Channel:
    """One (stream, selector), its counter, and what its subscribers were told last."""

    kind = ""

    def __init__(self, venue: Venue, stream: str, selector: str, rate_ms: int = 0) -> None:
        self.venue, self.stream, self.selector = venue, stream, selector
        self.rate_ms = rate_ms
        self.sequence = FIRST_SEQUENCE if self.kind else 0
        self.listeners: dict[StreamConnection, bool] = {}
        """Connection -> with lite names."""
        self.due_ms = 0

    @property
    def is_chain(self) -> bool:
        """A frame that is lost is missed: it was a change since the one before, or the only word on an order."""
        return self.stream.endswith(".d") or self.stream in PRIVATE

    def snapshot(self) -> list[dict[str, Any]]:
        """Feeds that a new subscription begins with."""
        return []

    def changes(self, time_ns: int) -> dict[str, Any] | None:
        """The feed that is due at this point of the grid."""
        return None


class BookChannel(Channel):
    """v1.book.d and v1.book.s."""

    kind = "book"

    def __init__(self, venue: Venue, stream: str, symbol: str, selector: str, rate_ms: int, depth: int = 0) -> None:
        super().__init__(venue, stream, selector, rate_ms)
        self.symbol, self.depth = symbol, depth
        self._told: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        self._time_ns = 0
        self._take()

    def _take(self) -> None:
        shown = self.venue.book(self.symbol)
        self._told = (dict(shown.bids.quantities), dict(shown.asks.quantities))
        self._time_ns = _grid(self.rate_ms)

    def snapshot(self) -> list[dict[str, Any]]:
        if not self.listeners:
            self._take()
        bids, asks = (_sorted(side, falling) for side, falling in zip(self._told, (True, False), strict=True))
        if self.depth:
            bids, asks = bids[: self.depth], asks[: self.depth]
        return [frames.book(self.symbol, self._time_ns, bids, asks)]

    def changes(self, time_ns: int) -> dict[str, Any] | None:
        shown = self.venue.book(self.symbol)
        if self.depth:
            self._take()
            return self.snapshot()[0]
        sides = []
        for told, now, falling in zip(
            self._told, (shown.bids.quantities, shown.asks.quantities), (True, False), strict=True
        ):
            changed = {price: size for price, size in now.items() if told.get(price) != size}
            changed |= dict.fromkeys(told.keys() - now.keys(), Decimal(0))
            sides.append(_sorted(changed, falling))
        self._take()
        self._time_ns = time_ns
        return frames.book(self.symbol, time_ns, *sides) if sides[0] or sides[1] else None


class MiniChannel(Channel):
    """v1.mini.d, v1.mini.s and v1.ticker.s."""

    def __init__(self, venue: Venue, stream: str, symbol: str, selector: str, rate_ms: int) -> None:
        self.kind = "ticker" if stream == "v1.ticker.s" else "mini"
        super().__init__(venue, stream, selector, rate_ms)
        self.symbol = symbol
        self._told: dict[str, Any] = {}

    def _feed(self, time_ns: int) -> dict[str, Any]:
        made = frames.ticker if self.kind == "ticker" else frames.mini
        return made(self.venue, self.symbol, time_ns)

    def snapshot(self) -> list[dict[str, Any]]:
        if not self.listeners or not self._told:
            self._told = self._feed(_grid(self.rate_ms))
        return [self._told]

    def changes(self, time_ns: int) -> dict[str, Any] | None:
        now = self._feed(time_ns)
        told, self._told = self._told, now
        if not self.stream.endswith(".d"):
            return now
        changed = {key: value for key, value in now.items() if told.get(key) != value}
        if not changed.keys() - {"event_time"}:
            return None
        return {"event_time": now["event_time"], "instrument": self.symbol, **changed}


class TradeChannel(Channel):
    kind = "trade"

    def __init__(self, venue: Venue, symbol: str, selector: str, limit: int) -> None:
        super().__init__(venue, "v1.trade", selector)
        self.symbol, self.limit = symbol, limit

    def snapshot(self) -> list[dict[str, Any]]:
        newest = list(self.venue.recent_trades.get(self.symbol, ()))[-self.limit :]
        return [frames.trade(self.venue, event) for event in newest]


class PrivateChannel(Channel):
    def __init__(self, venue: Venue, stream: str, selector: str, account: str, symbol: str) -> None:
        super().__init__(venue, stream, selector)
        self.account, self.symbol = account, symbol

    def snapshot(self) -> list[dict[str, Any]]:
        """Positions as they are, and the newest fills once more, oldest first; of orders nothing is said."""
        if self.stream == "v1.fill":
            exchange = self.venue.exchange
            trades = [
                trade
                for trade in exchange.accounts[self.account].trades[-FILLS_REPLAYED:]
                if self.symbol in ("", trade.symbol)
            ]
            return [fill(self.venue, trade, exchange.orders[trade.order_id].request.venue) for trade in trades]
        if self.stream != "v1.position":
            return []
        if self.symbol:
            held = self.venue.exchange.accounts[self.account].positions.get(self.symbol)
            return [position(self.venue, self.account, self.symbol)] if held is not None and held.quantity else []
        return open_positions(self.venue, self.account)


class StreamHub:
    """All channels, by stream and selector."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.connections: set[StreamConnection] = set()
        self.channels: dict[tuple[str, str], Channel] = {}
        self.frames_sent: Counter[str] = Counter()

    # --- subscriptions ----------------------------------------------------------------------------------------------
    def channel(self, stream: str, selector: str, account: str | None) -> Channel:
        """The channel, made where nobody asked for it before. Raises VenueError."""
        found = self.channels.get((stream, selector))
        if found is not None and not isinstance(found, PrivateChannel):
            return found
        made = self._make(stream, selector, account)
        return self.channels.setdefault((stream, selector), made)

    def _make(self, stream: str, selector: str, account: str | None) -> Channel:
        venue = self.venue
        if stream in PRIVATE:
            if account is None:
                raise VenueError(1000)
            owner, _, symbol = selector.partition("-")
            if stream in SILENT:
                return Channel(venue, stream, selector)
            if not owner.isdigit():
                raise VenueError(3020)
            if owner != account:
                raise VenueError(1001)
            if symbol:
                venue.instrument(symbol)
            return PrivateChannel(venue, stream, selector, owner, symbol)
        if stream not in RATES and stream != "v1.trade" and stream not in SILENT:
            raise VenueError(1200)
        primary, at, secondary = selector.partition("@")
        if not at:
            raise VenueError(1101)
        symbol = venue.instrument(primary).symbol
        if stream in SILENT:
            return Channel(venue, stream, selector)
        values = secondary.split("-")
        if len(values) != (2 if stream == "v1.book.s" else 1) or not all(value.isdigit() for value in values):
            raise VenueError(1103)
        numbers = [int(value) for value in values]
        if stream == "v1.trade":
            if numbers[0] not in TRADE_LIMITS:
                raise VenueError(3011)
            return TradeChannel(venue, symbol, selector, numbers[0])
        if numbers[0] not in RATES[stream]:
            raise VenueError(3030)
        if stream.startswith("v1.book"):
            if len(numbers) == 2 and numbers[1] not in DEPTHS:
                raise VenueError(3031)
            return BookChannel(venue, stream, symbol, selector, *numbers)
        return MiniChannel(venue, stream, symbol, selector, numbers[0])

    # --- publishing -------------------------------------------------------------------------------------------------
    def publish(self, channel: Channel, feed: dict[str, Any]) -> None:
        """One live frame to everybody on the channel."""
        previous, channel.sequence = channel.sequence, channel.sequence + 1
        if not channel.listeners:
            return
        made: dict[bool, bytes] = {}
        key = f"{channel.stream} {channel.selector}"
        for connection, lite in tuple(channel.listeners.items()):
            if lite not in made:
                made[lite] = frame(channel, feed, channel.sequence, previous, lite)
            self.frames_sent[channel.stream] += 1
            if self.venue.faults.active:
                kinds = frame_kinds(channel.is_chain)
                connection.push_faulty(self.venue.faults, made[lite], key, kinds)
            else:
                connection.push(made[lite], key)

    def on_grid(self, now_ms: int) -> None:
        """Channels whose time has come."""
        for channel in self.channels.values():
            if not channel.rate_ms or not channel.listeners:
                continue
            point = now_ms // channel.rate_ms * channel.rate_ms
            if point > channel.due_ms:
                channel.due_ms = point
                if (feed := channel.changes(point * NS_PER_MS)) is not None:
                    self.publish(channel, feed)

    def on_top(self, symbol: str) -> None:
        """The best levels changed: the raw mini ticker says so at once."""
        channel = self.channels.get(("v1.mini.d", f"{symbol}@0"))
        if channel is not None and channel.listeners and (feed := channel.changes(time.time_ns())) is not None:
            self.publish(channel, feed)

    def on_trade(self, event: MarketTrade) -> None:
        feed = None
        for limit in TRADE_LIMITS:
            channel = self.channels.get(("v1.trade", f"{event.symbol}@{limit}"))
            if channel is not None:
                feed = feed or frames.trade(self.venue, event)
                self.publish(channel, feed)

    def tell(self, stream: str, account: str, symbol: str, feed: dict[str, Any]) -> None:
        """A private event, on the account's channel and on the instrument's."""
        for selector in (account, f"{account}-{symbol}"):
            channel = self.channels.get((stream, selector))
            if channel is not None:
                self.publish(channel, feed)

    def restart_sequences(self) -> None:
        for channel in self.channels.values():
            channel.sequence = 0

    def backlog(self) -> int:
        """Frames the slowest connection has not been sent yet."""
        return max((len(connection.queue) for connection in self.connections), default=0)

    def strike_connections(self) -> None:
        """Let armed disconnects and silences strike now, without waiting for a frame: once per armed count."""
        for connection in tuple(self.connections):
            for name in [f"{stream} {selector}" for stream, selector in connection.subscribed] or [""]:
                fault = self.venue.faults.strike(CONNECTION_KINDS, stream=name)
                if fault is not None:
                    connection.strike(fault)
                    break


class StreamConnection(ClientConnection):
    """One client socket and what it subscribed. `gateway`: "trades", "market", or "" for both."""

    def __init__(self, hub: StreamHub, socket: web.WebSocketResponse, gateway: str, lite: bool, account: str | None):
        super().__init__(socket)
        self.hub, self.gateway, self.lite, self.account = hub, gateway, lite, account
        self.subscribed: dict[tuple[str, str], Channel] = {}
        self.takes_orders = False
        """A private call was answered on it: its login is good."""

    def subscribe(self, stream: str, selectors: Iterable[str]) -> tuple[dict[str, Any], list[bytes]]:
        """The result, and the first frames, which go out behind the reply. Raises VenueError."""
        if self.gateway and (stream in PRIVATE) != (self.gateway == "trades"):
            raise VenueError(1100)
        wanted = [(selector, self.hub.channel(stream, selector, self.account)) for selector in selectors]
        result: dict[str, Any] = {
            "stream": stream, "subs": [], "unsubs": [], "num_snapshots": [], "first_sequence_number": [],
            "latest_sequence_number": [],
        }  # fmt: skip
        first: list[bytes] = []
        for selector, channel in wanted:
            for other in [key for key in self.subscribed if key[0] == stream and _replaces(selector, key[1])]:
                self._leave(other)
                result["unsubs"].append(other[1])
            feeds = channel.snapshot()
            channel.listeners[self] = self.lite
            self.subscribed[stream, selector] = channel
            result["subs"].append(selector)
            result["num_snapshots"].append(len(feeds))
            result["first_sequence_number"].append(str(channel.sequence + 1))
            result["latest_sequence_number"].append(str(channel.sequence))
            first += [frame(channel, feed, 0, 0, self.lite) for feed in feeds]
        return result, first

    def unsubscribe(self, stream: str, selectors: Iterable[str]) -> dict[str, Any]:
        gone = [selector for selector in selectors if (stream, selector) in self.subscribed]
        for selector in gone:
            self._leave((stream, selector))
        return {"stream": stream, "unsubs": gone}

    def _leave(self, key: tuple[str, str]) -> None:
        self.subscribed.pop(key).listeners.pop(self, None)

    def close(self) -> None:
        """Leave all lists."""
        self.forget_held()
        for key in list(self.subscribed):
            self._leave(key)
        self.hub.connections.discard(self)


def frame(channel: Channel, feed: dict[str, Any], sequence: int, previous: int, lite: bool) -> bytes:
    """A feed frame in the venue's key order."""
    short = lite and bool(channel.kind)
    whole = {
        "stream": channel.stream,
        "selector": channel.selector,
        "sequence_number": str(sequence),
        "feed": frames.brief(feed, channel.kind) if short else feed,
        "prev_sequence_number": str(previous),
    }
    return orjson.dumps({frames.ENVELOPE[key]: value for key, value in whole.items()} if short else whole)


def _replaces(selector: str, other: str) -> bool:
    """Another rate of the same instrument takes the place of the first."""
    return selector != other and "@" in selector and selector.partition("@")[0] == other.partition("@")[0]


def _sorted(side: dict[Decimal, Decimal], falling: bool) -> list[Level]:
    return sorted(side.items(), reverse=falling)


def _grid(rate_ms: int) -> int:
    now_ns = time.time_ns()
    step = rate_ms * NS_PER_MS
    return now_ns // step * step if step else now_ns
