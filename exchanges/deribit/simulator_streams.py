"""Connections, their subscriptions, and the feeds behind the channels.

A feed is one channel for all who listen (for one account, where it is private). It gathers what happened until its
interval is over and then tells everybody the same; `raw` tells at once. Each book feed is a chain of its own:
`prev_change_id` is the `change_id` this feed told last, whatever other intervals said meanwhile, and its actions (new,
change, delete) count from what this feed told last. Whoever joins gets a snapshot after the others got what was
pending, so one chain fits all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from exchanges.deribit.simulator_auth import Token
from exchanges.deribit.simulator_channels import Channel
from exchanges.deribit.simulator_numbers import Numbers
from exchanges.deribit.simulator_venue import Venue
from exchanges.simulator.connection import ClientConnection, frame_kinds
from exchanges.simulator.faults import CONNECTION_KINDS

TOO_SLOW: Final = b"connection_too_slow"


class RpcConnection(ClientConnection):
    """One WebSocket: its login, its subscriptions, its heartbeat, and the orders it takes along when it is lost."""

    def __init__(self, venue: Venue, socket: web.WebSocketResponse, ip: str) -> None:
        super().__init__(socket)
        self.venue = venue
        self.ip = ip
        self.token: Token | None = None
        self.feeds: dict[str, Feed] = {}
        self.labels: dict[str, str] = {}
        self.cancel_on_disconnect = False
        self.order_ids: list[int] = []
        self.heartbeat_s = 0
        self.next_beat_ms = 0
        self.test_due_ms = 0
        self._heard = False
        self.last_inbound_ms = venue.clock_ms()
        self.logged_out = False
        self.mass_cancels = 0

    @property
    def authenticated(self) -> bool:
        """Has logged in, and its token has not ended."""
        return self.token is not None and self.venue.tokens.valid(self.token, self.venue.clock_ms())

    def fell_behind(self) -> None:
        if self.venue.points.too_slow_close == "abort":
            self.abort()
        else:
            self.queue.clear()
            self.go_away(1008, TOO_SLOW)

    # --- heartbeat -------------------------------------------------------------------------------------------------
    def set_heartbeat(self, interval_s: int, now_ms: int) -> None:
        """0 ends it."""
        self.heartbeat_s, self.test_due_ms, self._heard = interval_s, 0, False
        self.next_beat_ms = now_ms + interval_s * 1000

    def heard(self, now_ms: int) -> None:
        """A message came: no test is owed any more."""
        self.last_inbound_ms = now_ms
        self.test_due_ms, self._heard = 0, True

    def beat(self, now_ms: int) -> bool:
        """Send what is due; False when the answer to a test_request is overdue."""
        if self.test_due_ms and now_ms >= self.test_due_ms:
            return False
        if self.heartbeat_s and now_ms >= self.next_beat_ms and not self.test_due_ms:
            interval_ms = self.heartbeat_s * 1000
            quiet, self._heard = not self._heard, False
            self.next_beat_ms = now_ms + interval_ms
            if quiet:
                grace = self.venue.points.heartbeat_grace_s
                self.test_due_ms = now_ms + int(1000 * (self.heartbeat_s if grace is None else grace))
            kind = "test_request" if quiet else "heartbeat"
            self.push(orjson.dumps({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": kind}}))
        return True


class Feed:
    """One channel. `gather` is fed by the hub; `flush` tells what was gathered."""

    def __init__(self, hub: StreamHub, channel: Channel, owner: str) -> None:
        self.hub = hub
        self.channel = channel
        self.owner = owner
        self.subscribers: dict[RpcConnection, None] = {}
        agg2 = channel.name.endswith(".agg2")
        self.interval_ms = hub.venue.points.agg2_ms if agg2 else channel.interval_ms
        self._next_ms = hub.venue.clock_ms() + self.interval_ms

    def first(self) -> list[bytes]:
        """What a new subscriber is told at once."""
        return []

    def flush(self) -> None:
        """Tell what was gathered."""

    def due(self, now_ms: int) -> None:
        """Flush when the interval is over."""
        if self.interval_ms and now_ms >= self._next_ms:
            self._next_ms = now_ms + self.interval_ms
            self.flush()

    def tell(self, data: bytes, is_delta: bool = False) -> None:
        """The same to every subscriber."""
        for connection in tuple(self.subscribers):
            self.hub.send(connection, self, data, is_delta)


class BookFeed(Feed):
    """book.{instrument}.{interval}: a snapshot, then the chain of changes."""

    def __init__(self, hub: StreamHub, channel: Channel, owner: str) -> None:
        super().__init__(hub, channel, owner)
        self._book = hub.venue.book(channel.subject)
        self._market = hub.venue.markets[channel.subject]
        self._change_id = self._book.update_id
        self._told = (dict(self._book.bids.quantities), dict(self._book.asks.quantities))
        self._pending: tuple[set[Any], set[Any]] = (set(), set())

    def gather(self, bids: list[Any], asks: list[Any]) -> None:
        self._pending[0].update(price for price, _ in bids)
        self._pending[1].update(price for price, _ in asks)
        if not self.interval_ms:
            self.flush()

    def first(self) -> list[bytes]:
        self.flush()
        number = self.hub.numbers.write
        sides = []
        for told, descending in zip(self._told, (True, False), strict=True):
            levels = sorted(told.items(), reverse=descending)
            sides.append(",".join(f'["new",{number(price)},{number(quantity)}]' for price, quantity in levels))
        return [
            (
                f'{{"type":"snapshot","timestamp":{self._time()},"instrument_name":"{self.channel.subject}",'
                f'"change_id":{self._change_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'
            ).encode()
        ]

    def flush(self) -> None:
        sides = [self._changes(index) for index in (0, 1)]
        if not sides[0] and not sides[1]:
            return
        before, self._change_id = self._change_id, self._book.update_id
        self.tell(
            (
                f'{{"type":"change","timestamp":{self._time()},"instrument_name":"{self.channel.subject}",'
                f'"prev_change_id":{before},"change_id":{self._change_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'
            ).encode(),
            is_delta=True,
        )

    def _changes(self, index: int) -> str:
        told, pending = self._told[index], self._pending[index]
        now = (self._book.asks if index else self._book.bids).quantities
        number = self.hub.numbers.write
        rows = []
        for price in sorted(pending, reverse=not index):
            quantity, old = now.get(price), told.get(price)
            if quantity == old:
                continue
            if quantity is None:
                del told[price]
                rows.append(f'["delete",{number(price)},0.0]')
            else:
                told[price] = quantity
                rows.append(f'["{"new" if old is None else "change"}",{number(price)},{number(quantity)}]')
        pending.clear()
        return ",".join(rows)

    def _time(self) -> int:
        return self._market.time_ms


class DirtyFeed(Feed):
    """A feed that tells the present state whenever it has changed: `make` words it, None to say nothing."""

    def __init__(
        self, hub: StreamHub, channel: Channel, owner: str, make: Callable[[], Any], tells_first: bool = True
    ) -> None:
        super().__init__(hub, channel, owner)
        self.make = make
        self._tells_first = tells_first
        self._dirty = False

    def touch(self) -> None:
        self._dirty = True
        if not self.interval_ms:
            self.flush()

    def first(self) -> list[bytes]:
        return [self.hub.numbers.dumps(self.make())] if self._tells_first else []

    def flush(self) -> None:
        if self._dirty:
            self._dirty = False
            self.tell(self.hub.numbers.dumps(self.make()))


class IncrementalTickerFeed(DirtyFeed):
    """The whole ticker once, then only the fields that changed."""

    def __init__(self, hub: StreamHub, channel: Channel, owner: str, make: Callable[[], Any]) -> None:
        super().__init__(hub, channel, owner, make)
        self._told: dict[str, Any] = {}

    def first(self) -> list[bytes]:
        self.flush()
        self._told = self.make()
        return [self.hub.numbers.dumps({"type": "snapshot"} | self._told)]

    def flush(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        now, told = self.make(), self._told
        change = {name: value for name, value in now.items() if told.get(name) != value}
        for part in ("stats", "greeks"):
            if part in change and part in told:
                change[part] = {name: value for name, value in now[part].items() if told[part].get(name) != value}
        self._told = now
        keys = {"type": "change", "instrument_name": now["instrument_name"], "timestamp": now["timestamp"]}
        self.tell(self.hub.numbers.dumps(keys | change))


class ListFeed(Feed):
    """A feed of an array: trades, user trades, orders of an interval."""

    def __init__(self, hub: StreamHub, channel: Channel, owner: str = "") -> None:
        super().__init__(hub, channel, owner)
        self._rows: dict[Any, Any] = {}

    def add(self, key: Any, row: Any) -> None:
        """A later row of the same key replaces the earlier one and goes behind."""
        self._rows.pop(key, None)
        self._rows[key] = row

    def flush(self) -> None:
        if self._rows:
            rows, self._rows = list(self._rows.values()), {}
            self.tell(self.hub.numbers.dumps(rows))


class OrdersFeed(ListFeed):
    """user.orders: one object per message when raw, an array of the newest states otherwise."""

    def flush(self) -> None:
        if self.interval_ms:
            super().flush()
            return
        rows, self._rows = list(self._rows.values()), {}
        for row in rows:
            self.tell(self.hub.numbers.dumps(row))


class ChangesFeed(Feed):
    """user.changes: orders, trades and position of one contract together, one message per contract."""

    def __init__(self, hub: StreamHub, channel: Channel, owner: str) -> None:
        super().__init__(hub, channel, owner)
        self._by_symbol: dict[str, tuple[dict[str, Any], list[Any], Callable[[], Any]]] = {}

    def add(self, symbol: str, orders: list[Any], trades: list[Any], position: Callable[[], Any]) -> None:
        gathered = self._by_symbol.setdefault(symbol, ({}, [], position))
        for order in orders:
            gathered[0][order["order_id"]] = order
        gathered[1].extend(trades)

    def flush(self) -> None:
        by_symbol, self._by_symbol = self._by_symbol, {}
        for symbol, (orders, trades, position) in by_symbol.items():
            data = {"instrument_name": symbol, "orders": list(orders.values()), "trades": trades}
            self.tell(self.hub.numbers.dumps(data | {"positions": [position()]}))


class StreamHub:
    """All feeds that somebody listens to."""

    def __init__(self, venue: Venue, numbers: Numbers) -> None:
        self.venue = venue
        self.numbers = numbers
        self.feeds: dict[tuple[str, str], Feed] = {}
        self._by_subject: dict[tuple[str, str, str], dict[str, Feed]] = {}
        self.frames_sent: Counter[str] = Counter()
        self.make_feed: Callable[[Channel, str], Feed] = lambda channel, owner: Feed(self, channel, owner)
        """Set by the publisher, which knows what each family tells."""

    def of(self, family: str, subject: str = "", owner: str = "") -> tuple[Feed, ...]:
        """Feeds of a family that somebody listens to; a cheap question where nobody does."""
        found = self._by_subject.get((owner, family, subject))
        return tuple(found.values()) if found else ()

    # --- subscriptions ---------------------------------------------------------------------------------------------
    def subscribe(self, connection: RpcConnection, channel: Channel, label: str) -> list[bytes]:
        """Join; the frames the subscriber is told first, to be sent after the reply."""
        if channel.name in connection.feeds:
            feed = connection.feeds[channel.name]
            return self._framed(connection, feed) if self.venue.points.snapshot_on_resubscribe else []
        owner = connection.token.account if channel.private and connection.token is not None else ""
        feed = self.feeds.get((owner, channel.name)) or self.make_feed(channel, owner)
        frames = feed.first()  # before joining: what was pending goes to the others
        self.feeds[(owner, channel.name)] = feed
        self._by_subject.setdefault((owner, channel.family, channel.subject), {})[channel.name] = feed
        feed.subscribers[connection] = None
        connection.feeds[channel.name] = feed
        if label and channel.private:
            connection.labels[channel.name] = label
        return [self.frame(connection, channel.name, data) for data in frames]

    def _framed(self, connection: RpcConnection, feed: Feed) -> list[bytes]:
        return [self.frame(connection, feed.channel.name, data) for data in feed.first()]

    def unsubscribe(self, connection: RpcConnection, name: str) -> bool:
        feed = connection.feeds.pop(name, None)
        connection.labels.pop(name, None)
        if feed is None:
            return False
        feed.subscribers.pop(connection, None)
        if not feed.subscribers:
            self.feeds.pop((feed.owner, name), None)
            self._by_subject[(feed.owner, feed.channel.family, feed.channel.subject)].pop(name, None)
        return True

    def leave(self, connection: RpcConnection) -> None:
        """The connection has ended."""
        for name in tuple(connection.feeds):
            self.unsubscribe(connection, name)
        connection.forget_held()
        self.venue.connections.discard(connection)

    # --- sending ---------------------------------------------------------------------------------------------------
    @staticmethod
    def frame(connection: RpcConnection, name: str, data: bytes) -> bytes:
        label = connection.labels.get(name)
        tail = b"" if label is None else b',"label":' + orjson.dumps(label)
        head = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":'
        return head + orjson.dumps(name) + b',"data":' + data + tail + b"}}"

    def send(self, connection: RpcConnection, feed: Feed, data: bytes, is_delta: bool) -> None:
        name = feed.channel.name
        needs_token = feed.channel.private and not self.venue.points.private_channels_outlive_token
        if needs_token and not connection.authenticated:
            return
        self.frames_sent[name] += 1
        frame = self.frame(connection, name, data)
        if self.venue.faults.active:
            connection.push_faulty(self.venue.faults, frame, name, frame_kinds(is_delta))
        else:
            connection.push(frame, name)

    def on_timer(self, now_ms: int) -> None:
        for feed in tuple(self.feeds.values()):
            feed.due(now_ms)

    def backlog(self) -> int:
        """Frames the slowest connection has not been sent yet."""
        return max((len(connection.queue) for connection in self.venue.connections), default=0)

    def strike_connections(self) -> None:
        """Let armed disconnects and silences strike now, without waiting for a frame: once per armed count."""
        for connection in tuple(self.venue.connections):
            for name in tuple(connection.feeds) or ("",):
                fault = self.venue.faults.strike(CONNECTION_KINDS, stream=name)
                if fault is not None:
                    connection.strike(fault)
                    break
