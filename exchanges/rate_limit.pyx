# cython: language_level=3, annotation_typing=False
"""Request budgets by the venue's own rules, kept here so that the venue never has to refuse.

The rules
- A budget is a set of buckets, each of which belongs to one address or one account at one venue and environment. All
  processes of the host count on the same words (`shm/limits.pyx`, attached by `shm/host.py`): market server, trading
  engine and position server of every instance. Without a segment a budget counts for itself alone.
- A bucket is a window (so many units per minute of the venue's clock) or credits (so many at most, and so many back a
  second). What the venue reports only ever raises our count: others may share the account or the address, but nobody
  gives us budget back.
- Lanes: cancel > new > query. New orders fill a bucket up to their share, queries up to theirs, cancels all of it.
  A refusal is local, immediate, and says until when.
- The venue said until when (a ban, a Retry-After): nothing goes before, for anybody; asking on prolongs a ban.
- The venue refused and said no time: `hush`. Nothing new and no query for QUIET_NS. Cancels go on one at a time, over
  all processes together, the first a second later, each pause twice the one before: an order left in the market is a
  risk, and half a dozen refused requests a minute are not what gets an address banned. The first that is served opens
  the way for the others.

Which reply of a venue means which of these stands in the venue's own budget module (binance/order_budget.py).

Compiled because every request is admitted here, and every new order by the gate's own rate as well.

Who calls it: the senders of every venue (through the engine's admission check) and the fetchers; risk_gate.pyx.
"""

from libc.stdint cimport int64_t, uint64_t

from shm.limits cimport _Limited
from shm.record cimport Record
from shm.records cimport OrderRequestRecord

import hashlib
from enum import IntEnum

from shm.limits import LimitCredits, LimitWindow
from shm.records import OrderRequest


class Lane(IntEnum):
    CANCEL = 0
    NEW = 1
    QUERY = 2


SHARES = (1000, 900, 600)
"""Thousandths of a bucket's limit that each lane may fill it to, by Lane."""
QUIET_NS = 10_000_000_000
"""How long a refusal without a time keeps new orders and queries back."""

Bucket = LimitWindow | LimitCredits

cdef tuple _SHARES = SHARES
cdef int _CANCEL = Lane.CANCEL


def account_of(str api_key not None):
    """What the counters of a key are filed under: a fingerprint, because keys stand in no segment.

    Two keys of one account count apart here; what the venue reports brings them together again, where it does."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:16]


cdef class RateBudget:
    """The buckets that one process uses at a venue. Times are the venue's UTC in ns, as the caller estimates it."""

    def __init__(self, buckets, dict costs=None):
        """costs: by RequestType the lane and what it takes, for `admit_request`."""
        self.buckets = dict(buckets)
        self._costs = costs if costs is not None else {}

    cpdef admit_request(self, Record request, uint64_t now_ns):
        """`admit` what this request costs."""
        if not isinstance(request, OrderRequest):
            raise TypeError(f"{type(request).__name__} found, an OrderRequest was expected")
        lane, costs = self._costs[(<OrderRequestRecord*> request.data).request_type]
        return self.admit(lane, costs, now_ns)

    cpdef admit(self, int lane, dict costs, uint64_t now_ns):
        """Take `costs` (bucket name -> units) from every bucket, or from none. 0: taken; else the time to try again.

        A cost of 0 takes nothing and asks only whether the bucket is shut."""
        cdef dict buckets = self.buckets
        cdef uint64_t share = _SHARES[lane], until
        cdef bint urgent = lane == _CANCEL
        for name, cost in costs.items():
            until = (<_Limited?> buckets[name]).take(cost, share, urgent, now_ns)
            if until:
                for other, taken in costs.items():
                    if other == name:
                        break
                    buckets[other].give_back(taken, now_ns)
                return until
        return 0

    def reported(self, str name, used, now_ns):
        """The venue's own count; lower or negative ones, and buckets that are not ours, are ignored."""
        if used > 0 and (bucket := self.buckets.get(name)) is not None:
            bucket.reported(used, now_ns)

    def limit(self, str name, units):
        """The venue told its limit."""
        if units > 0 and (bucket := self.buckets.get(name)) is not None:
            bucket.limit = units

    def close(self, str name, until_ns):
        """The venue named a time: nothing that needs `name` before `until_ns`, cancels neither."""
        if (bucket := self.buckets.get(name)) is not None:
            bucket.close(until_ns)

    def hush(self, str name, now_ns):
        """The venue refused and named no time."""
        if (bucket := self.buckets.get(name)) is not None:
            bucket.hush(now_ns, QUIET_NS)

    def served(self, str name, asked_ns):
        """A request that left at `asked_ns` was carried out."""
        if (bucket := self.buckets.get(name)) is not None:
            bucket.served(asked_ns, QUIET_NS)


cdef class TokenBucket:
    """A smooth rate: `per_second` on average, at most `burst` at once. Our own limit, not the venue's."""

    def __init__(self, double per_second, burst=None):
        self._burst = max(1.0, per_second if burst is None else burst)
        self._per_ns = per_second / 1e9
        self._tokens = self._burst
        self._time_ns = 0

    cpdef bint available(self, int64_t now_ns):
        """Whether one token is there; does not take it."""
        if now_ns > self._time_ns:
            self._tokens = min(self._burst, self._tokens + <double> (now_ns - self._time_ns) * self._per_ns)
            self._time_ns = now_ns
        return self._tokens >= 1.0

    cpdef take(self):
        self._tokens -= 1.0
