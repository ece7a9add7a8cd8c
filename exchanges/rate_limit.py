"""Request budgets by the venue's own rules, kept here so that the venue never has to refuse.

The rules
- A bucket counts within fixed windows of the venue's clock, as the venue does. What the venue's response headers
  report only ever raises our count: others may share the account or the address, but nobody gives us budget back.
- Lanes: cancel > new > query. New orders use a bucket up to NEW_SHARE, queries up to QUERY_SHARE, cancels all of it.
  A refusal is local, immediate, and says until when.
- After the venue said "too many" or banned us, everything that costs that bucket waits until the given time, cancels
  too: sending into a ban prolongs it.

Counts live in this process: one engine and one position server share an address, so each is given its part by `limit`.

Who calls it: the senders of every venue (through the engine's admission check) and the account fetchers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final


class Lane(IntEnum):
    CANCEL = 0
    NEW = 1
    QUERY = 2


NEW_SHARE: Final = 0.9
QUERY_SHARE: Final = 0.6


class Bucket:
    """`limit` units per window of `window_ns`, both the venue's."""

    __slots__ = ("_by_lane", "_window", "blocked_until_ns", "limit", "name", "used", "window_ns")

    def __init__(self, name: str, limit: int, window_ns: int) -> None:
        if limit < 1 or window_ns < 1:
            raise ValueError(f"bucket {name}: limit {limit} and window {window_ns} ns must be positive")
        self.name, self.limit, self.window_ns = name, limit, window_ns
        # A lane gets at least one unit, or a tiny limit would shut it out for ever.
        self._by_lane = (limit, max(1, int(limit * NEW_SHARE)), max(1, int(limit * QUERY_SHARE)))
        self._window = -1
        self.used = 0
        self.blocked_until_ns = 0

    def _roll(self, now_ns: int) -> None:
        window = now_ns // self.window_ns
        if window > self._window:  # a clock that was set back must not refill the bucket
            self._window, self.used = window, 0

    def wait_until(self, lane: Lane, cost: int, now_ns: int) -> int:
        """0: `cost` fits now; otherwise the venue time (ns) from which it may."""
        self._roll(now_ns)
        if now_ns < self.blocked_until_ns:
            return self.blocked_until_ns
        if self.used + cost <= self._by_lane[lane]:
            return 0
        return (self._window + 1) * self.window_ns

    def take(self, cost: int, now_ns: int) -> None:
        self._roll(now_ns)
        self.used += cost

    def reported(self, used: int, now_ns: int) -> None:
        """The venue's own count of the present window; lower or negative ones are ignored."""
        self._roll(now_ns)
        self.used = max(self.used, used)


class RateBudget:
    """All buckets of one account and address. Times are the venue's UTC in ns, as the caller estimates it."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self.buckets = {bucket.name: bucket for bucket in buckets}

    def admit(self, lane: Lane, costs: Mapping[str, int], now_ns: int) -> int:
        """Take `costs` (bucket name -> units) from every bucket, or from none. 0: taken; else the time to try again."""
        until = 0
        for name, cost in costs.items():
            until = max(until, self.buckets[name].wait_until(lane, cost, now_ns))
        if until == 0:
            for name, cost in costs.items():
                self.buckets[name].take(cost, now_ns)
        return until

    def reported(self, name: str, used: int, now_ns: int) -> None:
        if (bucket := self.buckets.get(name)) is not None:
            bucket.reported(used, now_ns)

    def block(self, name: str, until_ns: int) -> None:
        """The venue refused: nothing more that costs `name` before `until_ns`."""
        if (bucket := self.buckets.get(name)) is not None:
            bucket.blocked_until_ns = max(bucket.blocked_until_ns, until_ns)


class TokenBucket:
    """A smooth rate: `per_second` on average, at most `burst` at once. Our own limit, not the venue's."""

    __slots__ = ("_burst", "_per_ns", "_time_ns", "_tokens")

    def __init__(self, per_second: float, burst: float | None = None) -> None:
        self._burst = max(1.0, per_second if burst is None else burst)
        self._per_ns = per_second / 1e9
        self._tokens = self._burst
        self._time_ns = 0

    def available(self, now_ns: int) -> bool:
        """Whether one token is there; does not take it."""
        if now_ns > self._time_ns:
            self._tokens = min(self._burst, self._tokens + (now_ns - self._time_ns) * self._per_ns)
            self._time_ns = now_ns
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0
