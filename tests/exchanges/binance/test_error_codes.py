"""What each documented refusal means for the request that got it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.error_codes import FAILED_CODES, REFUSED_CODES, UNKNOWN_CODES, classify
from exchanges.verdict import Outcome
from shm.layout import Reason

REFUSED, FAILED, UNKNOWN = Outcome.REFUSED, Outcome.FAILED, Outcome.UNKNOWN

TABLE = [
    # the four variants of 503
    (503, 0, "Unknown error, please check your request or try again later.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (503, -1000, "Unknown error, please check your request or try again later.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (503, 0, "Service Unavailable.", FAILED, Reason.VENUE_DOWN),
    (503, -1001, "Internal error; unable to process your request. Please try again.", FAILED, Reason.VENUE_DOWN),
    (503, -1008, "Request throttled by system-level protection.", FAILED, Reason.VENUE_RATE_LIMIT),
    # execution status unknown, whatever the status
    (408, -1007, "Timeout waiting for response from backend server.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (400, -1007, "Timeout waiting for response from backend server.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (400, -1006, "Execution status unknown.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (400, -1000, "Request occur unknown error.", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (408, 0, "", UNKNOWN, Reason.TIMEOUT),
    (500, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (502, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (504, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (503, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (409, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    # a 400 whose body is not the venue's JSON proves nothing
    (400, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    (302, 0, "", UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    # limits and the firewall
    (429, -1003, "Too many requests", FAILED, Reason.VENUE_RATE_LIMIT),
    (429, -1015, "Too many new orders", FAILED, Reason.VENUE_RATE_LIMIT),
    (429, 0, "", FAILED, Reason.VENUE_RATE_LIMIT),
    (418, -1003, "IP banned until 1790000000000", FAILED, Reason.VENUE_RATE_LIMIT),
    (403, 0, "", FAILED, Reason.VENUE_RATE_LIMIT),
    # keys and clocks
    (401, -2014, "API-key format invalid.", REFUSED, Reason.VENUE_SIGNATURE),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", REFUSED, Reason.VENUE_SIGNATURE),
    (400, -1022, "Signature for this request is not valid.", REFUSED, Reason.VENUE_SIGNATURE),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", FAILED, Reason.VENUE_TIMESTAMP),
    (400, -5028, "Timestamp for this request is outside of the ME recvWindow.", FAILED, Reason.VENUE_TIMESTAMP),
    # refusals of orders
    (400, -5022, "Post Only", REFUSED, Reason.VENUE_POST_ONLY),
    (400, -2019, "Margin is insufficient.", REFUSED, Reason.VENUE_INSUFFICIENT_MARGIN),
    (400, -2022, "ReduceOnly Order is rejected.", REFUSED, Reason.VENUE_REDUCE_ONLY),
    (400, -4164, "Order's notional must be no smaller than 5", REFUSED, Reason.VENUE_FILTER),
    (400, -1111, "Precision is over the maximum defined for this asset.", REFUSED, Reason.VENUE_FILTER),
    (400, -4014, "Price not increased by tick size.", REFUSED, Reason.VENUE_FILTER),
    (400, -2011, "Unknown order sent.", REFUSED, Reason.VENUE_UNKNOWN_ORDER),
    (400, -2013, "Order does not exist.", REFUSED, Reason.VENUE_UNKNOWN_ORDER),
    (400, -4116, "ClientOrderId is duplicated.", REFUSED, Reason.VENUE_DUPLICATE_ID),
    (400, -5027, "No need to modify the order.", REFUSED, Reason.VENUE_NOTHING_TO_CHANGE),
    (400, -4141, "Symbol is closed.", REFUSED, Reason.VENUE_NOT_TRADING),
    (400, -2023, "User in liquidation mode now.", REFUSED, Reason.VENUE_LIQUIDATION),
    (400, -9999, "something of next year", REFUSED, Reason.VENUE_REJECTED),
    (404, -5000, "Path /fapi/v1/x, Method GET is invalid", REFUSED, Reason.VENUE_REJECTED),
]


@pytest.mark.parametrize(("status", "code", "message", "outcome", "reason"), TABLE)
def test_documented_answers(status: int, code: int, message: str, outcome: Outcome, reason: Reason) -> None:
    assert classify(status, code, message) == (outcome, reason)


def test_no_code_stands_in_two_tables() -> None:
    assert not UNKNOWN_CODES.keys() & FAILED_CODES.keys()
    assert not UNKNOWN_CODES.keys() & REFUSED_CODES.keys()
    assert not FAILED_CODES.keys() & REFUSED_CODES.keys()


@given(st.integers(500, 599), st.integers(-9999, 0), st.text(max_size=40))
def test_a_server_error_is_never_a_refusal_unless_its_words_are_documented(
    status: int, code: int, message: str
) -> None:
    verdict = classify(status, code, message)
    if code not in FAILED_CODES and not message.strip().lower().startswith("service unavailable"):
        assert verdict.outcome is Outcome.UNKNOWN


@given(st.integers(-9999, 0), st.text(max_size=40))
def test_an_unknown_execution_status_is_unknown_at_every_http_status(code: int, message: str) -> None:
    for status in (400, 401, 403, 404, 408, 409, 418, 429, 500, 503):
        if code in UNKNOWN_CODES:
            assert classify(status, code, message).outcome is Outcome.UNKNOWN
