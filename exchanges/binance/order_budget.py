"""Binance's limits on orders and on request weight, with its headers and refusals read into them.

What is counted: request weight per minute and address; orders per 10 s and per minute and account. Placing and
amending cost one order each and no weight; canceling and asking cost weight and no order. The limits are those of
exchangeInfo `rateLimits` (the testnet has others); the figures below stand until it was read.

What a refusal means here, and what happens to cancels after it:

| reply | new, replace | cancel | query |
|---|---|---|---|
| 418, until the time named, else WAIT_418_S: the address is banned | wait | wait: asking on prolongs a ban | wait |
| 429 with Retry-After | until then | until then: the venue's own word | until then |
| 429 -1015: the window named ("... per 10 SECOND") is full | until its end | go on: they cost no order | go on |
| 429, weight reported at its limit | to the minute's end | to the minute's end: it would be refused | as cancels |
| 429 otherwise: nobody said why or until when | QUIET_NS | one at a time, from 1 s on | QUIET_NS |

So a cancel waits only for what the venue has said, or for a count that it certainly refuses; in the doubtful case it
asks again, rarely enough that asking brings no ban (`exchanges/rate_limit.pyx`). In all of them the venue's countdown
goes on and pulls the book by itself when we cannot reach it for long enough.

Source: General Info, "LIMITS", and New Order, Cancel Order (the weight rows) below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: oms.py (`admit_request`), account_fetcher.py and data_fetcher.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from exchanges.binance.messages import RateLimit
from exchanges.http import HttpReply
from exchanges.rate_limit import Bucket, Lane, RateBudget
from shm.layout import RequestType
from shm.limits import LimitTable, LimitWindow

QUERY_WEIGHT: Final = "weight_1m"
ORDERS_10S: Final = "orders_10s"
ORDERS_1M: Final = "orders_1m"
_SECOND: Final = 1_000_000_000

WEIGHT_LIMIT: Final = 2400
ORDERS_10S_LIMIT: Final = 300
ORDERS_1M_LIMIT: Final = 1200
"""Of production, where the venue has not told its own yet."""

_HEADERS: Final = {
    "x-mbx-used-weight-1m": QUERY_WEIGHT,
    "x-mbx-order-count-10s": ORDERS_10S,
    "x-mbx-order-count-1m": ORDERS_1M,
}
_BY_RULE: Final = {
    ("REQUEST_WEIGHT", "MINUTE", 1): QUERY_WEIGHT,
    ("ORDERS", "SECOND", 10): ORDERS_10S,
    ("ORDERS", "MINUTE", 1): ORDERS_1M,
}
# An order costs no weight, but an address that may not ask anything may not place orders either.
_ONE_ORDER: Final = {QUERY_WEIGHT: 0, ORDERS_10S: 1, ORDERS_1M: 1}
_ONE_WEIGHT: Final = {QUERY_WEIGHT: 1}
_COSTS: Final[dict[int, tuple[Lane, dict[str, int]]]] = {
    RequestType.NEW: (Lane.NEW, _ONE_ORDER),
    RequestType.REPLACE: (Lane.NEW, _ONE_ORDER),
    RequestType.CANCEL: (Lane.CANCEL, _ONE_WEIGHT),
    RequestType.CANCEL_ALL: (Lane.CANCEL, _ONE_WEIGHT),
    RequestType.QUERY: (Lane.QUERY, _ONE_WEIGHT),
}
_BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})")
_ORDERS_PER: Final = re.compile(r"orders per (?:(\d+) )?(SECOND|MINUTE)", re.IGNORECASE)
TOO_MANY_ORDERS: Final = -1015
WAIT_ORDERS_S: Final = 10
"""After a -1015 that names no window: the shorter of the two has passed then."""
WAIT_418_S: Final = 120
"""The shortest ban that is documented."""


class OrderBudget(RateBudget):
    """Weight of this address and, where there is an account, its orders. One per process; the words are the host's."""

    def __init__(self, limits: LimitTable | None = None, account: str = "") -> None:
        """limits: the host's, or None: counted for this process alone. account: as `account_of` names it; empty: this
        process sends no orders."""
        table = LimitTable() if limits is None else limits
        buckets: dict[str, Bucket] = {
            QUERY_WEIGHT: LimitWindow(table, f"address {QUERY_WEIGHT}", WEIGHT_LIMIT, 60 * _SECOND)
        }
        if account:
            for name, limit, window_s in ((ORDERS_10S, ORDERS_10S_LIMIT, 10), (ORDERS_1M, ORDERS_1M_LIMIT, 60)):
                buckets[name] = LimitWindow(table, f"account {account} {name}", limit, window_s * _SECOND)
        super().__init__(buckets, _COSTS)

    def learn_limits(self, rules: Iterable[RateLimit]) -> None:
        """`rateLimits` of exchangeInfo: the limits for every process of the host. Kinds that are not ours are passed
        over."""
        for rule in rules:
            if (name := _BY_RULE.get((rule.rate_limit_type, rule.interval, rule.interval_num))) is not None:
                self.limit(name, rule.limit)

    def note(self, reply: HttpReply, code: int, message: str, venue_time_ns: int, asked_ns: int = 0) -> None:
        """Learn from a reply, one of the WebSocket API in REST's form: counts from its headers, waiting times from a
        429 or 418.

        asked_ns: venue time at which the request left; 0 where nobody knows."""
        counts = {
            bucket: int(text)
            for header, bucket in _HEADERS.items()
            if (text := reply.headers.get(header)) is not None and text.isdecimal()  # "-1" was seen on order replies
        }
        retry_after = reply.headers.get("retry-after", "")
        wait_s = int(retry_after) if retry_after.isdecimal() else None
        self._note(reply.status, counts, wait_s, code, message, venue_time_ns, asked_ns)

    def _note(
        self,
        status: int,
        counts: dict[str, int],
        retry_after_s: int | None,
        code: int,
        message: str,
        now_ns: int,
        asked_ns: int,
    ) -> None:
        for name, used in counts.items():
            bucket = self.buckets.get(name)
            if isinstance(bucket, LimitWindow) and asked_ns // bucket.window_ns in (0, now_ns // bucket.window_ns):
                bucket.reported(used, now_ns)  # else nobody knows which of the two windows was counted
        if status not in (418, 429):
            if asked_ns and status < 500:
                self.served(QUERY_WEIGHT, asked_ns)
            return
        until: int | None = None if retry_after_s is None else now_ns + retry_after_s * _SECOND
        if until is None and (named := _BANNED_UNTIL.search(message)):
            until = int(named[1]) * 1_000_000
        if code == TOO_MANY_ORDERS:
            self._orders_are_full(message, until, now_ns)
        elif until is not None:
            self.close(QUERY_WEIGHT, until)
        elif status == 418:
            self.close(QUERY_WEIGHT, now_ns + WAIT_418_S * _SECOND)
        elif counts.get(QUERY_WEIGHT, 0) < self.buckets[QUERY_WEIGHT].limit:
            self.hush(QUERY_WEIGHT, now_ns)

    def _orders_are_full(self, message: str, until: int | None, now_ns: int) -> None:
        if until is not None:
            self.close(ORDERS_10S, until)
            return
        named = _ORDERS_PER.search(message)
        name = _BY_RULE.get(("ORDERS", named[2].upper(), int(named[1] or 1))) if named else None
        bucket = self.buckets.get(name or "")
        if bucket is None:
            self.close(ORDERS_10S, now_ns + WAIT_ORDERS_S * _SECOND)
        else:
            bucket.reported(bucket.limit, now_ns)
