"""Rate limits as exchangeInfo states them: request weight per IP and minute, orders per account, 429 and then 418.

Windows are aligned to the clock, as the venue's counters are. Everything comes from loopback, so "IP" is the peer
address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from exchanges.binance.simulator_errors import VenueError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
REFUSALS_BEFORE_BAN = 20
"""429 answers within one minute that an IP may collect before 418; the venue names no number."""
BAN_MS = 120_000
"""The shortest ban the documentation names."""


@dataclass
class _Window:
    length_ms: int
    index: int = -1
    count: int = 0

    def at(self, now_ms: int) -> int:
        index = now_ms // self.length_ms
        if index != self.index:
            self.index, self.count = index, 0
        return self.count


@dataclass
class RateLimits:
    """Counters of everybody; limits of 0 are off."""

    weight_1m: int = 2400
    orders_10s: int = 300
    orders_1m: int = 1200
    _weights: dict[str, _Window] = field(default_factory=dict)
    _refusals: dict[str, _Window] = field(default_factory=dict)
    _bans: dict[str, int] = field(default_factory=dict)
    _orders: dict[tuple[str, int], _Window] = field(default_factory=dict)

    def describe(self) -> list[dict[str, Any]]:
        """`rateLimits` of exchangeInfo."""
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_1m},
            *self.describe_orders(),
        ]

    def describe_orders(self) -> list[dict[str, Any]]:
        return [
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": self.orders_1m},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.orders_10s},
        ]

    def add_weight(self, ip: str, weight: int, now_ms: int) -> None:
        """Count a request; 418 while banned, 429 over the limit."""
        until = self._bans.get(ip, 0)
        if now_ms < until:
            raise banned(ip, until)
        window = self._weights.setdefault(ip, _Window(MINUTE_MS))
        if self.weight_1m and window.at(now_ms) + weight > self.weight_1m:
            refusals = self._refusals.setdefault(ip, _Window(MINUTE_MS))
            refusals.at(now_ms)
            refusals.count += 1
            if refusals.count > REFUSALS_BEFORE_BAN:
                self._bans[ip] = now_ms + BAN_MS
                raise banned(ip, now_ms + BAN_MS)
            raise too_many_requests(self.weight_1m)
        window.at(now_ms)
        window.count += weight

    def add_orders(self, account: str, in_10s: int, in_1m: int, now_ms: int) -> None:
        """Count an order request; 429 -1015 over the limit, and then it is not counted."""
        windows = []
        for cost, length, limit, words in (
            (in_10s, TEN_SECONDS_MS, self.orders_10s, "10 SECOND"),
            (in_1m, MINUTE_MS, self.orders_1m, "1 MINUTE"),
        ):
            window = self._orders.setdefault((account, length), _Window(length))
            if limit and window.at(now_ms) + cost > limit:
                raise VenueError(-1015, f"Too many new orders; current limit is {limit} orders per {words}.", 429)
            windows.append((window, cost))
        for window, cost in windows:
            window.at(now_ms)
            window.count += cost

    def headers(self, ip: str, account: str | None, now_ms: int) -> dict[str, str]:
        """Response headers: used weight always, order counts for an order's answer."""
        weight = self._weights.get(ip)
        shown = {"X-MBX-USED-WEIGHT-1M": str(weight.at(now_ms) if weight else 0)}
        if account is not None:
            shown["X-MBX-ORDER-COUNT-10S"] = str(self.orders_used(account, TEN_SECONDS_MS, now_ms))
            shown["X-MBX-ORDER-COUNT-1M"] = str(self.orders_used(account, MINUTE_MS, now_ms))
        return shown

    def orders_used(self, account: str, length_ms: int, now_ms: int) -> int:
        window = self._orders.get((account, length_ms))
        return window.at(now_ms) if window else 0

    def weight_used(self, ip: str, now_ms: int) -> int:
        window = self._weights.get(ip)
        return window.at(now_ms) if window else 0


def banned(ip: str, until_ms: int) -> VenueError:
    return VenueError(
        -1003,
        f"Way too many requests; IP({ip}) banned until {until_ms}. "
        f"Please use the websocket for live updates to avoid bans.",
        418,
    )


def too_many_requests(limit: int, retry_after_s: int = 0) -> VenueError:
    """`retry_after_s` is told in a header, which is documented for the spot venue only; 0: none."""
    return VenueError(
        -1003,
        f"Too many requests; current limit is {limit} requests per minute. "
        f"Please use the websocket for live updates to avoid polling the API.",
        429,
        retry_after_s,
    )
