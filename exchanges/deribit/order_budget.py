"""Deribit's credits, counted here so that the venue never has to refuse.

What is counted, per account: matching-engine requests (orders, edits and cancels alike) in a bucket that its 7-day
volume sizes, and everything else in credits, 500 a request of 50,000 that refill by 10,000 a second. The account's own
figures are read from its summary at the start; those below are of the smallest tier.

What a refusal (10028) means here: new orders and queries rest for QUIET_NS, cancels go on one at a time, rarely
(`exchanges/rate_limit.pyx`). The venue may close the connection with it, and cancels on disconnect what it carried.

Source: https://docs.deribit.com/articles/rate-limits.

Who calls it: oms.py (`admit_request`), account_fetcher.py.
"""

from __future__ import annotations

from typing import Final

from exchanges.deribit.error_codes import TOO_MANY
from exchanges.deribit.order_messages import AccountLimits
from exchanges.rate_limit import Bucket, Lane, RateBudget
from shm.layout import RequestType
from shm.limits import LimitCredits, LimitTable

MATCHING: Final = "matching"
CREDITS: Final = "credits"
_SECOND: Final = 1_000_000_000

REQUEST_COST: Final = 500
CREDITS_LIMIT: Final = 50_000
CREDITS_PER_S: Final = 10_000
MATCHING_BURST: Final = 20
MATCHING_PER_S: Final = 5.0

_ONE_MATCH: Final = {MATCHING: 1}
_ONE_QUERY: Final = {CREDITS: REQUEST_COST}
_COSTS: Final[dict[int, tuple[Lane, dict[str, int]]]] = {
    RequestType.NEW: (Lane.NEW, _ONE_MATCH),
    RequestType.REPLACE: (Lane.NEW, _ONE_MATCH),
    RequestType.CANCEL: (Lane.CANCEL, _ONE_MATCH),
    RequestType.CANCEL_ALL: (Lane.CANCEL, _ONE_MATCH),
    RequestType.QUERY: (Lane.QUERY, _ONE_QUERY),
}


class OrderBudget(RateBudget):
    """One per process; the words are the host's."""

    def __init__(self, limits: LimitTable | None = None, account: str = "") -> None:
        """limits: the host's, or None: counted for this process alone. account: as `account_of` names it."""
        self._table = LimitTable() if limits is None else limits
        self._account = account
        buckets: dict[str, Bucket] = {
            MATCHING: self._matching(MATCHING_BURST, MATCHING_PER_S),
            CREDITS: LimitCredits(self._table, f"account {account} {CREDITS}", CREDITS_LIMIT, _SECOND // CREDITS_PER_S),
        }
        super().__init__(buckets, _COSTS)

    def _matching(self, burst: int, per_second: float) -> LimitCredits:
        return LimitCredits(self._table, f"account {self._account} {MATCHING}", burst, int(_SECOND / per_second))

    def learn_limits(self, limits: AccountLimits) -> None:
        """Of the account's summary."""
        total = limits.matching_engine.trading.total
        if total.rate > 0 and total.burst > 0:
            self.buckets[MATCHING] = self._matching(int(total.burst), total.rate)
            self.limit(MATCHING, int(total.burst))  # the host's word may still say what it was before

    def note(self, code: int, bucket: str, now_ns: int, asked_ns: int) -> None:
        """Learn from a reply. asked_ns: venue time at which the request left."""
        if code in TOO_MANY:
            self.hush(bucket, now_ns)
        else:
            self.served(bucket, asked_ns)
