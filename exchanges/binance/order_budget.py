"""Binance's limits on orders and on request weight, with its headers and refusals read into them.

Numbers are those of exchangeInfo `rateLimits` in production (the testnet has more): 2400 weight a minute and address,
300 orders in 10 s and 1200 a minute and account. Source: General Info, "LIMITS", below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: oms.py (`admit_request`) and account_fetcher.py.
"""

from __future__ import annotations

import re
from typing import Final

from exchanges.http import HttpReply
from exchanges.rate_limit import Bucket, Lane, RateBudget
from shm.layout import RequestType
from shm.records import OrderRequest

QUERY_WEIGHT: Final = "weight_1m"
ORDERS_10S: Final = "orders_10s"
ORDERS_1M: Final = "orders_1m"
_SECOND: Final = 1_000_000_000

_HEADERS: Final = {
    "x-mbx-used-weight-1m": QUERY_WEIGHT,
    "x-mbx-order-count-10s": ORDERS_10S,
    "x-mbx-order-count-1m": ORDERS_1M,
}
_ONE_ORDER: Final = {ORDERS_10S: 1, ORDERS_1M: 1}
_ONE_WEIGHT: Final = {QUERY_WEIGHT: 1}
_COSTS: Final[dict[int, tuple[Lane, dict[str, int]]]] = {
    RequestType.NEW: (Lane.NEW, _ONE_ORDER),
    RequestType.REPLACE: (Lane.NEW, _ONE_ORDER),
    RequestType.CANCEL: (Lane.CANCEL, _ONE_WEIGHT),
    RequestType.CANCEL_ALL: (Lane.CANCEL, _ONE_WEIGHT),
    RequestType.QUERY: (Lane.QUERY, _ONE_WEIGHT),
}
_BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})")
WAIT_429_S: Final = 10
WAIT_418_S: Final = 120
"""Waits where the venue names no time: Retry-After is documented for Spot only."""


class OrderBudget(RateBudget):
    """Share it among all that sends with one account from one address in this process."""

    def __init__(self, weight: int = 2400, orders_10s: int = 300, orders_1m: int = 1200) -> None:
        super().__init__(
            (
                Bucket(QUERY_WEIGHT, weight, 60 * _SECOND),
                Bucket(ORDERS_10S, orders_10s, 10 * _SECOND),
                Bucket(ORDERS_1M, orders_1m, 60 * _SECOND),
            )
        )

    def admit_request(self, request: OrderRequest, venue_time_ns: int) -> int:
        """0: the request's cost is taken; else the venue time (ns) from which it may be tried."""
        lane, costs = _COSTS[request.request_type]
        return self.admit(lane, costs, venue_time_ns)

    def note(self, reply: HttpReply, code: int, message: str, venue_time_ns: int) -> None:
        """Learn from a reply: counts from its headers, waiting times from a 429 or 418."""
        for header, bucket in _HEADERS.items():
            text = reply.headers.get(header)
            if text is not None and text.isdecimal():  # "-1" was seen on order replies
                self.reported(bucket, int(text), venue_time_ns)
        if reply.status not in (418, 429):
            return
        until = venue_time_ns + (WAIT_418_S if reply.status == 418 else WAIT_429_S) * _SECOND
        retry_after = reply.headers.get("retry-after", "")
        if retry_after.isdecimal():
            until = venue_time_ns + int(retry_after) * _SECOND
        elif named := _BANNED_UNTIL.search(message):
            until = int(named[1]) * 1_000_000
        if code == -1015:  # the order counters only: cancels do not cost them
            self.block(ORDERS_10S, until)
            return
        for name in self.buckets:
            self.block(name, until)
