"""What an error reply of Binance means for the request that got it: refused for sure, or outcome unknown.

The rule: a request counts as refused only where the venue's documentation says that this answer means it. Everything
else that is not a success is UNKNOWN, and settlement asks. Sources: General Info (HTTP status, the four 503 variants)
and Error Codes below developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: order_codec.py for every reply that is not a 2xx with a readable body.
"""

from __future__ import annotations

from typing import Final

from exchanges.verdict import Outcome, Verdict
from shm.layout import Reason

WRONG_TIMESTAMP: Final = -1021
"""Outside of recvWindow, or a second ahead of the venue's clock: not carried out."""

UNKNOWN_CODES: Final = {
    -1000: "may carry 'Request occur unknown error.'",
    -1006: "Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
}
"""Codes that say nothing about the execution, whatever the HTTP status."""

FAILED_CODES: Final = {
    -1001: Reason.VENUE_DOWN,
    -1003: Reason.VENUE_RATE_LIMIT,
    -1008: Reason.VENUE_RATE_LIMIT,
    -1015: Reason.VENUE_RATE_LIMIT,
    -1016: Reason.VENUE_DOWN,
    WRONG_TIMESTAMP: Reason.VENUE_TIMESTAMP,
    -5028: Reason.VENUE_TIMESTAMP,
}
"""Not carried out, and may succeed later."""

REFUSED_CODES: Final = {
    **dict.fromkeys((-1002, -1022, -2014, -2015, -2017), Reason.VENUE_SIGNATURE),
    **dict.fromkeys((-2011, -2013), Reason.VENUE_UNKNOWN_ORDER),
    **dict.fromkeys((-2018, -2019, -2024, -2027, -2028, -4050, -4051), Reason.VENUE_INSUFFICIENT_MARGIN),
    **dict.fromkeys((-2022, -2026, -4062, -4118, -4138), Reason.VENUE_REDUCE_ONLY),
    -2023: Reason.VENUE_LIQUIDATION,
    **dict.fromkeys(
        (-1013, -1111, -2025, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024, -4131, -4164,
         -5029, -5040, -5041),
        Reason.VENUE_FILTER,
    ),
    -4116: Reason.VENUE_DUPLICATE_ID,
    **dict.fromkeys((-1122, -4022, -4087, -4088, -4109, -4140, -4141, -4192, -4400, -4401, -5024),
                    Reason.VENUE_NOT_TRADING),
    -5022: Reason.VENUE_POST_ONLY,
    -5027: Reason.VENUE_NOTHING_TO_CHANGE,
}  # fmt: skip
"""Codes with a reason of their own; every other code of a 4xx is VENUE_REJECTED."""

KEY_CODES: Final = frozenset({-1002, -1022, -2014, -2015, -2017})
"""The key or the secret is wrong: no request will ever work, so a process ends instead of retrying."""

_UNAVAILABLE: Final = "service unavailable"
"""503 variant documented as failed for sure. The one that says 'Unknown error, please check ...' is not."""


def classify(http_status: int, code: int, message: str) -> Verdict:
    """The verdict on one reply. code 0 and an empty message: the body was not the venue's JSON.

    Call it for anything but a 2xx whose body was understood; a 2xx that was not understood is UNKNOWN.
    """
    if code in UNKNOWN_CODES:
        return Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
    if code in FAILED_CODES:
        return Verdict(Outcome.FAILED, FAILED_CODES[code])
    if http_status in (418, 429):
        return Verdict(Outcome.FAILED, Reason.VENUE_RATE_LIMIT)
    if http_status == 403:  # the firewall in front of the venue: the request never got in
        return Verdict(Outcome.FAILED, Reason.VENUE_RATE_LIMIT)
    if http_status == 401:
        return Verdict(Outcome.REFUSED, Reason.VENUE_SIGNATURE)
    if http_status == 404:
        return Verdict(Outcome.REFUSED, Reason.VENUE_REJECTED)
    if http_status == 503 and message.strip().lower().startswith(_UNAVAILABLE):
        return Verdict(Outcome.FAILED, Reason.VENUE_DOWN)
    if 400 <= http_status < 500 and http_status not in (408, 409) and code < 0:
        return Verdict(Outcome.REFUSED, REFUSED_CODES.get(code, Reason.VENUE_REJECTED))
    if http_status == 408:
        return Verdict(Outcome.UNKNOWN, Reason.TIMEOUT)
    return Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
