"""Which codes are the venue's no, and which say nothing."""

from __future__ import annotations

import pytest

from exchanges.deribit.error_codes import (
    FAILED_CODES,
    GONE_CODES,
    NOT_FOUND_CODES,
    OTHER_REFUSALS,
    REFUSED_CODES,
    UNKNOWN_CODES,
    classify,
)
from exchanges.verdict import Outcome
from shm.layout import Reason


def test_no_code_stands_in_two_tables() -> None:
    tables = (set(UNKNOWN_CODES), set(FAILED_CODES), set(REFUSED_CODES), set(OTHER_REFUSALS))
    assert sum(map(len, tables)) == len(set().union(*tables))


@pytest.mark.parametrize("code", [0, *UNKNOWN_CODES])
def test_what_says_nothing_about_the_execution_is_unknown(code: int) -> None:
    assert classify(code) == (Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)


def test_failures_may_pass_and_refusals_do_not() -> None:
    assert classify(10047) == (Outcome.FAILED, Reason.VENUE_RATE_LIMIT)
    assert classify(13888) == (Outcome.FAILED, Reason.VENUE_TIMESTAMP)
    assert classify(13666).outcome is Outcome.FAILED  # a later cancel took it out of the queue
    assert classify(10009) == (Outcome.REFUSED, Reason.VENUE_INSUFFICIENT_MARGIN)
    assert classify(10013) == (Outcome.REFUSED, Reason.VENUE_REJECTED)


@pytest.mark.parametrize("code", [12345, 10051, -32603, 13777])
def test_a_code_that_the_venues_table_does_not_call_a_no_ends_nothing(code: int) -> None:
    assert classify(code) == (Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)


def test_only_not_found_says_that_there_is_no_such_order() -> None:
    ended = GONE_CODES - NOT_FOUND_CODES
    assert sorted(ended) == [10010, 11008, 11044]


def test_every_code_of_a_late_cancel_means_that_the_order_is_gone() -> None:
    assert {classify(code).reason for code in GONE_CODES} == {Reason.VENUE_UNKNOWN_ORDER}
