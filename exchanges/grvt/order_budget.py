"""GRVT's rate limits, counted here so that the venue never has to refuse.

What is counted, per account: creates, cancels and queries, each in a bucket of its own. The venue keeps separate limits
for create and cancel by tier, and publishes no numbers: those below are what other clients assume, and the config may
name the account's own (`requests_per_second`). The cancels of a bulk call count as one, its creates each for itself.

What a refusal (1006, HTTP 429) means here: new orders and queries rest for QUIET_NS, cancels go on one at a time,
rarely (`exchanges/rate_limit.pyx`).

Source: error codes 1006 and 2090 of the venue's api-spec; ccxt's weights for the numbers.

Who calls it: oms.py (`admit_request`), account_fetcher.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exchanges.grvt.error_codes import TOO_MANY
from exchanges.rate_limit import Bucket, Lane, RateBudget
from shm.layout import RequestType
from shm.limits import LimitCredits, LimitTable

CREATES: Final = "creates"
CANCELS: Final = "cancels"
QUERIES: Final = "queries"
_SECOND: Final = 1_000_000_000

ASSUMED_PER_S: Final[Mapping[str, float]] = {CREATES: 20.0, CANCELS: 20.0, QUERIES: 10.0}
QUERY_BURST_S: Final = 4
"""A recovery asks a dozen things at once; in a minute it stays far below what anybody assumes (1,200)."""

_COSTS: Final[dict[int, tuple[Lane, dict[str, int]]]] = {
    RequestType.NEW: (Lane.NEW, {CREATES: 1}),
    RequestType.REPLACE: (Lane.NEW, {CREATES: 1, CANCELS: 1}),
    RequestType.CANCEL: (Lane.CANCEL, {CANCELS: 1}),
    RequestType.CANCEL_ALL: (Lane.CANCEL, {CANCELS: 1}),
    RequestType.QUERY: (Lane.QUERY, {QUERIES: 1}),
}


class OrderBudget(RateBudget):
    """One per process; the words are the host's."""

    def __init__(
        self, limits: LimitTable | None = None, account: str = "", per_second: Mapping[str, float] = ASSUMED_PER_S
    ) -> None:
        """limits: the host's, or None: counted for this process alone. account: as `account_of` names it. per_second:
        by bucket; one that is not named has what is assumed."""
        table = LimitTable() if limits is None else limits
        buckets: dict[str, Bucket] = {}
        for name, rate in {**ASSUMED_PER_S, **per_second}.items():
            burst = max(1, int(rate * (QUERY_BURST_S if name == QUERIES else 1)))
            buckets[name] = LimitCredits(table, f"account {account} {name}", burst, int(_SECOND / rate))
            buckets[name].limit = burst  # the host's word may still say what the config said before
        super().__init__(buckets, _COSTS)

    def note(self, code: int, bucket: str, now_ns: int, asked_ns: int) -> None:
        """Learn from a reply. asked_ns: venue time at which the request left."""
        if code in TOO_MANY:
            self.hush(bucket, now_ns)
        else:
            self.served(bucket, asked_ns)
