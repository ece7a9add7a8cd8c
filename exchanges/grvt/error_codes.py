"""What a refusal of GRVT means for the request that got it: refused for sure, failed for now, or outcome unknown; and
why an order ended.

The rule: a request counts as refused only where the venue's own list of codes says that this answer means it, or an
HTTP status of 4xx does. Whatever else is no success is UNKNOWN, and settlement asks. Over a socket an error has no HTTP
status, so a code that nobody has listed says nothing there, and a listed one means what it means over REST.

Source: error codes and OrderRejectReason of the venue's api-spec.

Who calls it: order_codec.py's callers for every reply that is an error, and for the `reject_reason` of orders.
"""

from __future__ import annotations

from typing import Final

from exchanges.verdict import Outcome, Verdict
from shm.layout import Reason

UNKNOWN_CODES: Final = frozenset({1002, 1005, 3004, 3005, 3006})
"""Internal Server Error, Unknown Error, and three more of HTTP 500: they say nothing about the execution."""

FAILED_CODES: Final = {
    1000: Reason.VENUE_SIGNATURE,
    1006: Reason.VENUE_RATE_LIMIT,
    1009: Reason.VENUE_DOWN,
    2001: Reason.VENUE_TIMESTAMP,
    2090: Reason.VENUE_RATE_LIMIT,
}
"""Not carried out, and may succeed later: after a login, in the next second, with a new signature."""

REFUSED_CODES: Final = {
    **dict.fromkeys((1001, 1008, 1012, 1400, 2000, 2002, 2003, 2004, 2005, 2006, 2007), Reason.VENUE_SIGNATURE),
    1004: Reason.VENUE_UNKNOWN_ORDER,
    2012: Reason.VENUE_DUPLICATE_ID,
    **dict.fromkeys((2062, 2063, 2064, 2065, 2066, 2067, 7201), Reason.VENUE_FILTER),
    **dict.fromkeys((2080, 2081, 2082, 2083, 2084), Reason.VENUE_INSUFFICIENT_MARGIN),
    **dict.fromkeys((2060, 2061, 3000, 7304), Reason.VENUE_NOT_TRADING),
    **dict.fromkeys((2400, 2401, 2402), Reason.VENUE_REDUCE_ONLY),
}
"""Codes with a reason of their own."""

OTHER_REFUSALS: Final = frozenset(
    {
        *(1003, 1100, 1101, 1102, 1103, 1200),
        *(2010, 2011, 2020, 2021, 2030, 2031, 2032, 2040, 2041, 2042, 2050, 2051, 2070),
        *range(2110, 2118),
        *(2222, *range(2232, 2247)),
        *(2300, 2301, 2413, 2450, 2451, 2452, 2453),
        *(3007, 3011, 3013, 3020, 3021, 3030, 3031, 6000),
    }
)
"""Every other code of a 4xx that the calls made here may meet: VENUE_REJECTED."""

NOT_LOGGED_IN: Final = 1000
"""The cookie is not known, or not any more: nothing was carried out, and a login heals it."""

TIME_TO_LIVE_OFF: Final = 2300
"""The venue remembers no cancels now: one that names a time is refused, one that does not is carried out."""

GONE_CODES: Final = frozenset({1004})
"""The venue knows no such order."""

TOO_MANY: Final = frozenset({1006})
"""The rate limit of the tier; 2090 counts open orders, and a pause does not help."""

KEY_CODES: Final = frozenset({1001, 1008, 1012, 1400, 2000, 2002, 2003, 2004})
"""Key, signer, chain or account are wrong: no order will ever work."""

END_REASONS: Final = {
    "UNSPECIFIED": Reason.NONE,
    "CLIENT_CANCEL": Reason.VENUE_USER_CANCEL,
    "CLIENT_BULK_CANCEL": Reason.VENUE_USER_CANCEL,
    "CLIENT_SESSION_END": Reason.VENUE_USER_CANCEL,
    "CLIENT_REPLACE": Reason.VENUE_USER_CANCEL,
    "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED": Reason.DISCONNECTED,
    "MARKET_CANCEL": Reason.VENUE_EXPIRED,
    "IOC_CANCEL": Reason.VENUE_EXPIRED,
    "AON_CANCEL": Reason.VENUE_EXPIRED,
    "FOK_CANCEL": Reason.VENUE_EXPIRED,
    "EXPIRED": Reason.VENUE_EXPIRED,
    "EXCEED_MAX_SIGNATURE_EXPIRATION": Reason.VENUE_TIMESTAMP,
    "FAIL_POST_ONLY": Reason.VENUE_POST_ONLY,
    "FAIL_REDUCE_ONLY": Reason.VENUE_REDUCE_ONLY,
    "REDUCE_ONLY_LIMIT": Reason.VENUE_REDUCE_ONLY,
    "SELF_TRADE_PROTECTION": Reason.VENUE_SELF_TRADE,
    "SELF_MATCHED_SUBACCOUNT": Reason.VENUE_SELF_TRADE,
    "OVERLAPPING_CLIENT_ORDER_ID": Reason.VENUE_DUPLICATE_ID,
    "BELOW_MARGIN": Reason.VENUE_INSUFFICIENT_MARGIN,
    "BELOW_MARGIN_WITH_PENALTY_DEVIATION": Reason.VENUE_INSUFFICIENT_MARGIN,
    "INSUFFICIENT_BALANCE": Reason.VENUE_INSUFFICIENT_MARGIN,
    "EXCEED_MAX_POSITION_SIZE": Reason.VENUE_INSUFFICIENT_MARGIN,
    "LIQUIDATION": Reason.VENUE_LIQUIDATION,
    "INSTRUMENT_INVALID": Reason.VENUE_NOT_TRADING,
    "INSTRUMENT_DEACTIVATED": Reason.VENUE_NOT_TRADING,
    "SYSTEM_FAILOVER": Reason.VENUE_DOWN,
    "UNAUTHORISED": Reason.VENUE_SIGNATURE,
    "SESSION_KEY_EXPIRED": Reason.VENUE_SIGNATURE,
    "NO_TRADE_PERMISSION": Reason.VENUE_SIGNATURE,
    "INVALID_CHAIN_ID": Reason.VENUE_SIGNATURE,
    "TOO_MANY_MAKER_ORDERS": Reason.VENUE_RATE_LIMIT,
}
"""`reject_reason` of an order that ended; every other word is VENUE_REJECTED."""


def classify(status: int | None, code: int) -> Verdict:
    """Of an error reply. status: HTTP's, None over a socket; code 0: the body was not the venue's."""
    if code == 0 or code in UNKNOWN_CODES:
        return Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
    if code in FAILED_CODES:
        return Verdict(Outcome.FAILED, FAILED_CODES[code])
    if code in REFUSED_CODES:
        return Verdict(Outcome.REFUSED, REFUSED_CODES[code])
    if code in OTHER_REFUSALS or (status is not None and 400 <= status < 500):
        return Verdict(Outcome.REFUSED, Reason.VENUE_REJECTED)
    return Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)


def end_reason(word: str) -> Reason:
    """Why an order ended, by its `reject_reason`."""
    return END_REASONS.get(word, Reason.VENUE_REJECTED)
