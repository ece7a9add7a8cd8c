"""Every code of the venue has a verdict, and only its own words count as a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchanges.grvt.error_codes import (
    END_REASONS,
    FAILED_CODES,
    OTHER_REFUSALS,
    REFUSED_CODES,
    UNKNOWN_CODES,
    classify,
    end_reason,
)
from exchanges.verdict import Outcome
from shm.layout import Reason


@pytest.mark.parametrize(
    ("status", "code", "outcome", "reason"),
    [
        (500, 1002, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (None, 1002, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (200, 0, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (502, 0, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (500, 3004, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (429, 1006, Outcome.FAILED, Reason.VENUE_RATE_LIMIT),
        (503, 1009, Outcome.FAILED, Reason.VENUE_DOWN),
        (401, 1000, Outcome.FAILED, Reason.VENUE_SIGNATURE),
        (403, 2002, Outcome.REFUSED, Reason.VENUE_SIGNATURE),
        (400, 2064, Outcome.REFUSED, Reason.VENUE_FILTER),
        (404, 1004, Outcome.REFUSED, Reason.VENUE_UNKNOWN_ORDER),
        (None, 2012, Outcome.REFUSED, Reason.VENUE_DUPLICATE_ID),
        (400, 2999, Outcome.REFUSED, Reason.VENUE_REJECTED),
        (None, 2999, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (200, 2999, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (None, 3004, Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (None, 2011, Outcome.REFUSED, Reason.VENUE_REJECTED),
    ],
)
def test_a_code_means_what_the_venues_list_says(status, code, outcome, reason) -> None:
    assert classify(status, code) == (outcome, reason)


def test_no_code_has_two_meanings() -> None:
    tables = (UNKNOWN_CODES, FAILED_CODES.keys(), REFUSED_CODES.keys(), OTHER_REFUSALS)
    assert sum(map(len, tables)) == len(set().union(*tables))


def test_every_listed_code_is_in_the_venues_list_with_a_status_that_fits(corpus: Path) -> None:
    listed = json.loads((corpus / "grvt" / "error_codes.json").read_text())
    known = {int(code): int(entry["status"]) for code, entry in listed.items()}
    reported = {7201}  # by clients only
    for code in {*FAILED_CODES, *REFUSED_CODES, *UNKNOWN_CODES} - reported:
        assert code in known, code
    for code, status in known.items():
        verdict = classify(status, code)
        assert (verdict.outcome is Outcome.UNKNOWN) == (status >= 500 and code not in FAILED_CODES), code


def test_a_code_of_our_calls_means_the_same_over_a_socket_as_over_rest(corpus: Path) -> None:
    listed = json.loads((corpus / "grvt" / "error_codes.json").read_text())
    calls = {"/create_order", "/cancel_order", "/cancel_all_orders", "/bulk_orders", "/order", "/open_orders"}
    ours = {int(code): int(entry["status"]) for code, entry in listed.items() if calls & set(entry["on"])}
    assert len(ours) > 70
    for code, status in ours.items():
        assert classify(None, code) == classify(status, code), code


def test_why_an_order_ended_is_typed() -> None:
    assert end_reason("FAIL_POST_ONLY") == Reason.VENUE_POST_ONLY
    assert end_reason("a new one") == Reason.VENUE_REJECTED
    assert all(reason == Reason.NONE or reason >= 64 for reason in END_REASONS.values())
