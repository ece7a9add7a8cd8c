"""What an error reply of Deribit means for the request that got it: refused for sure, or outcome unknown.

The rule: a request counts as refused only where the venue's own table lists the code and its meaning is a no. A code
that nobody has listed says nothing, nor does one that says that something went wrong inside: UNKNOWN, and settlement
asks. Match on the code: the message may carry a parameter. Source: the RPC error table of https://docs.deribit.com (the
page articles/errors shows other meanings for many codes, and no client sees those).

Who calls it: order_codec.py and account_fetcher.py for every reply that has an `error`.
"""

from __future__ import annotations

from typing import Final

from exchanges.verdict import Outcome, Verdict
from shm.layout import Reason

UNKNOWN_CODES: Final = {
    10001: "error: general failure",
    10040: "retry",
    11031: "other_error",
    11094: "internal_server_error",
    13503: "unavailable",
    13777: "replaced",
}
"""Codes that say nothing about the execution. 13777: an edit gave way to another one; whether it was carried out before
that is not said."""

FAILED_CODES: Final = {
    10028: Reason.VENUE_RATE_LIMIT,
    10041: Reason.VENUE_NOT_TRADING,
    10047: Reason.VENUE_RATE_LIMIT,
    10050: Reason.VENUE_RATE_LIMIT,
    10066: Reason.VENUE_RATE_LIMIT,
    11051: Reason.VENUE_DOWN,
    11056: Reason.VENUE_DOWN,
    13025: Reason.VENUE_DOWN,
    13028: Reason.VENUE_DOWN,
    13666: Reason.VENUE_REJECTED,
    13888: Reason.VENUE_TIMESTAMP,
}
"""Not carried out, and may succeed later. 13666: a later cancel took the request out of the queue; 13888: `valid_until`
had passed before the engine began."""

REFUSED_CODES: Final = {
    **dict.fromkeys((10000, 13004, 13009, 13021, 13668), Reason.VENUE_SIGNATURE),
    **dict.fromkeys((10004, 10010, 10025, 11008, 11044), Reason.VENUE_UNKNOWN_ORDER),
    **dict.fromkeys((10009, 10039), Reason.VENUE_INSUFFICIENT_MARGIN),
    10003: Reason.VENUE_SELF_TRADE,
    **dict.fromkeys(
        (10002, 10005, 10006, 10007, 10011, 10021, 10023, 10026, 10027, 10034, 10035, 10036, 10043, 10044, -32602),
        Reason.VENUE_FILTER,
    ),
    **dict.fromkeys((10012, 10019, 10020, 11098, 13019, 13020), Reason.VENUE_NOT_TRADING),
    **dict.fromkeys((11021, 11054, 11055), Reason.VENUE_POST_ONLY),
}
"""Codes with a reason of their own."""

OTHER_REFUSALS: Final = frozenset(
    {
        *(-32700, -32601, -32600, -32000),
        *(*range(10013, 10019), 10029, 10030, 10031, 10037, 10038, 10049),
        *(11029, 11030, 11035, 11036, 11042, 11043, 11047, 11049, 11050, 11052, 12003),
        *(13010, 13030, 13032, 13040, 13042, 13043, 13403, 13778, 13780, 13901, 13902, 13903),
    }
)
"""Every other code of the venue's table that is a no: VENUE_REJECTED."""

KEY_CODES: Final = frozenset({13004, 13021})
"""The key, the secret or its scope is wrong: no request will ever work, so a process ends instead of retrying. Not
13009: a session that ended says that too, and a new login mends it."""
SESSION_LOST: Final = frozenset({10000, 13009})
GONE_CODES: Final = frozenset({10004, 10010, 11008, 11044})
"""A late cancel: known no more, or over. Which of them comes is not documented."""
NOT_FOUND_CODES: Final = frozenset({10004})
"""A query: the venue knows no such order. The others say that it was there, and ended."""
TOO_MANY: Final = frozenset({10028, 10066})


def classify(code: int) -> Verdict:
    """The verdict on an error reply; code 0: the body was not the venue's JSON."""
    if code in FAILED_CODES:
        return Verdict(Outcome.FAILED, FAILED_CODES[code])
    if code in REFUSED_CODES:
        return Verdict(Outcome.REFUSED, REFUSED_CODES[code])
    if code in OTHER_REFUSALS:
        return Verdict(Outcome.REFUSED, Reason.VENUE_REJECTED)
    return Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
