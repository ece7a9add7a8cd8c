"""When a venue may be traded: brackets asked for, and asked for again."""

from __future__ import annotations

import pytest

from shm.layout import ProcessState, RecoveryPhase
from shm.records import ProcessRow, Recovery
from strategy.venue_session import ASK_AGAIN_NS, SessionState, VenueSession

LIMIT_NS = 2_000_000_000
MS = 1_000_000


def engine(now_ns: int, state: ProcessState = ProcessState.READY, pid: int = 7) -> ProcessRow:
    row = ProcessRow()
    row.pid, row.start_time_ns, row.heartbeat_time_ns, row.state = pid, pid, now_ns, state
    return row


def bracket(session: VenueSession, nonce: int, now_ns: int) -> None:
    for phase in (RecoveryPhase.BEGIN, RecoveryPhase.END):
        record = Recovery()
        record.phase, record.nonce = phase, nonce
        session.on_recovery(record, now_ns)


@pytest.fixture
def session() -> VenueSession:
    """Ready at 10 ms by the bracket with nonce 5."""
    made = VenueSession(LIMIT_NS)
    made.on_engine_row(engine(0), 0)
    assert made.should_ask(engine(0), 0)
    made.asked(5, 0)
    bracket(made, 5, 10 * MS)
    assert made.is_ready
    return made


def test_it_is_ready_after_its_own_bracket_only(session):
    other = VenueSession(LIMIT_NS)
    other.on_engine_row(engine(0), 0)
    other.asked(6, 0)
    bracket(other, 5, 10 * MS)
    assert (session.is_ready, other.is_ready) == (True, False)


def test_an_engine_that_lost_its_stream_is_asked_for_a_bracket_at_once(session):
    assert session.on_engine_row(engine(50 * MS, ProcessState.CONNECTING), 50 * MS)
    assert not session.should_ask(engine(60 * MS, ProcessState.CONNECTING), 60 * MS)
    session.on_engine_row(engine(80 * MS, ProcessState.RECOVERING), 80 * MS)
    assert session.should_ask(engine(80 * MS, ProcessState.RECOVERING), 80 * MS), "not after the old wait of 10 s"


def test_a_request_without_an_answer_is_repeated_after_a_while_only(session):
    session.on_engine_row(engine(50 * MS, ProcessState.CONNECTING), 50 * MS)
    session.on_engine_row(engine(80 * MS), 80 * MS)
    session.asked(9, 80 * MS)
    session.on_engine_row(engine(90 * MS), 90 * MS)
    assert not session.should_ask(engine(90 * MS), 90 * MS)
    late = 80 * MS + ASK_AGAIN_NS
    assert session.should_ask(engine(late), late)


def test_a_silent_engine_is_away_and_its_reason_stays_the_same_text(session):
    assert session.on_engine_row(engine(0), LIMIT_NS + 1)
    reason = session.reason
    assert not session.on_engine_row(engine(0), LIMIT_NS + 50 * MS)
    assert (session.state, session.reason) == (SessionState.AWAY, reason)


def test_another_engine_is_news_and_its_bracket_is_asked_for_at_once(session):
    assert session.on_engine_row(engine(50 * MS, pid=8), 50 * MS)
    assert session.should_ask(engine(50 * MS, pid=8), 50 * MS)
