"""Credits: what a request costs, and the buckets that refill while nobody asks.

Source: the rate-limits article. Non-matching requests draw from buckets that refill by 10,000 credits a second;
matching-engine requests from a rate and a burst that depend on the account's volume; `cancel_all` has its own. All are
per account; unauthenticated requests are counted by address, for which the venue publishes no numbers (ours: the same
as of an account).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

REFILL_PER_MS = 10
CANCEL_ALL_RATE, CANCEL_ALL_BURST = 200, 250


class Cost(Enum):
    """(cost, capacity) of the non-matching buckets."""

    DEFAULT = (500, 50_000)
    INSTRUMENTS = (10_000, 500_000)
    SUBSCRIBE = (3_000, 30_000)


class Matching(Enum):
    """Buckets of the matching engine."""

    TRADING = "trading"
    CANCEL_ALL = "cancel_all"


@dataclass(slots=True)
class _Bucket:
    capacity: float
    per_ms: float
    level: float
    at_ms: int

    def take(self, cost: float, now_ms: int) -> bool:
        self.level = min(self.capacity, self.level + max(now_ms - self.at_ms, 0) * self.per_ms)
        self.at_ms = now_ms
        if self.level < cost:
            return False
        self.level -= cost
        return True


@dataclass
class Credits:
    """Everybody's buckets. A rate of 0 switches the matching limit off, `enforced` False all of them."""

    matching_rate: int
    matching_burst: int
    enforced: bool = True
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)

    def take(self, owner: str, kind: Cost | Matching, now_ms: int) -> bool:
        """Draw one request of this kind; False when the bucket has not enough, and then nothing is drawn."""
        if not self.enforced:
            return True
        bucket = self._buckets.get((owner, kind.name))
        if isinstance(kind, Cost):
            cost, capacity = kind.value
            per_ms = float(REFILL_PER_MS)
        else:
            trading = kind is Matching.TRADING
            rate = self.matching_rate if trading else CANCEL_ALL_RATE
            if not rate:
                return True
            cost, capacity = 1, self.matching_burst if trading else CANCEL_ALL_BURST
            per_ms = rate / 1000
        if bucket is None:
            bucket = self._buckets[(owner, kind.name)] = _Bucket(capacity, per_ms, capacity, now_ms)
        return bucket.take(cost, now_ms)

    def describe(self) -> dict[str, Any]:
        """`limits` of the account summary."""
        return {
            "limits_per_currency": False,
            "non_matching_engine": {"rate": 20, "burst": 100},
            "matching_engine": {
                "trading": {"total": {"rate": self.matching_rate, "burst": self.matching_burst}},
                "spot": {"rate": 200, "burst": 250},
                "cancel_all": {"rate": CANCEL_ALL_RATE, "burst": CANCEL_ALL_BURST},
                "maximum_quotes": {"rate": 500, "burst": 500},
                "maximum_mass_quotes": {"rate": 10, "burst": 10},
                "guaranteed_mass_quotes": {"rate": 2, "burst": 2},
            },
        }
