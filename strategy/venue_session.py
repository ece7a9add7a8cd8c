"""The trader's side of recovery, per venue: when may orders be sent, and which events still count.

The rule: a venue is Ready only after the END of the recovery bracket that this trader asked for, and only while its
engine lives and has accepted this trader's epoch. Every doubt about that (engine silent, other engine, other epoch,
events lost) leads back to asking for a bracket; nothing is ever assumed to have gone well.

    AWAY      no engine, or one that does not serve yet
    ASKED     RECOVER was published; its nonce has not come back
    BRACKET   between BEGIN and END (ours, or one that the engine began by itself: nonce 0)
    READY     orders may be sent

Events before the first BEGIN of ours are void (`drops_events`): they speak about orders of a trader that is gone, and
the bracket tells their state. Later brackets of the same trader drop nothing: its orders are known, fills are applied
once by trade id, and what stood in the ring before BEGIN may be the only copy that this trader sees.

Pure logic: told what happens, it answers with what to do; the container does it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from shm.layout import ProcessState, RecoveryPhase

if TYPE_CHECKING:
    from shm.records import ProcessRow, Recovery

ASK_AGAIN_NS: Final = 10_000_000_000
"""A bracket holds REST downloads; an engine that has not begun one by then has lost the request."""
REFUSED_PAUSE_NS: Final = 500_000_000
READING: Final = "the state of orders at the venue is being read"
SERVING: Final = frozenset({ProcessState.RECOVERING, ProcessState.READY, ProcessState.UNHEALTHY, ProcessState.PAUSED})
"""States in which an engine reads its request ring: a RECOVER published earlier would be refused as not sent."""


class SessionState(IntEnum):
    AWAY = 0
    ASKED = 1
    BRACKET = 2
    READY = 3


class VenueSession:
    """One per venue. `reason` says in one sentence why it is not READY."""

    def __init__(self, heartbeat_limit_ns: int) -> None:
        self._heartbeat_limit_ns = heartbeat_limit_ns
        self.state = SessionState.AWAY
        self.is_ready = False
        """state is READY; kept beside it for the hot path."""
        self.reason = "the trading engine has not started"
        self.drops_events = True
        self.dropped = 0
        self.brackets = 0
        self.engine_pid = 0
        self._engine_start_ns = 0
        self._nonce = 0
        self._ask_at_ns = 0
        self.ready_time_ns = 0
        self._owes_bracket = True
        """Ready needs a bracket of ours that has not ended yet."""

    # --- the engine's row -------------------------------------------------------------------------------------------
    def on_engine_row(self, row: ProcessRow | None, now_ns: int) -> bool:
        """The engine's newest row (None: never written). True where an engine that served us is gone or is another."""
        if row is None:
            return self._away("the trading engine has not started")
        other = (row.pid, row.start_time_ns) != (self.engine_pid, self._engine_start_ns)
        if other:
            had_one = self.engine_pid != 0
            self.engine_pid, self._engine_start_ns = row.pid, row.start_time_ns
            lost = self._away("the trading engine was restarted") if had_one else False
            self._ask_at_ns = now_ns
            if had_one:
                return lost
        age_ns = now_ns - row.heartbeat_time_ns
        if age_ns > self._heartbeat_limit_ns:
            return self._away(f"the trading engine gave no heartbeat for {self._heartbeat_limit_ns / 1e6:.0f} ms")
        if row.state not in SERVING:
            return self._away(f"the trading engine is {ProcessState(row.state).name.lower()}")
        if self.state == SessionState.AWAY and self.reason.startswith("the trading engine"):
            self.reason = "the state of orders at the venue is not known yet"
        return False

    def _away(self, reason: str) -> bool:
        """True where this is news."""
        was_away = self.state == SessionState.AWAY
        self._move(SessionState.AWAY, reason)
        self._owes_bracket = True
        self._nonce = 0
        if not was_away:
            self._ask_at_ns = 0  # the wait that runs was for the bracket of an engine that is gone
        return not was_away

    # --- asking -----------------------------------------------------------------------------------------------------
    def doubt(self, reason: str, now_ns: int, pause_ns: int = 0) -> None:
        """Something was lost or refused: not Ready until another bracket of ours, to be asked for after `pause_ns`."""
        self._move(SessionState.AWAY, reason)
        self._owes_bracket = True
        self._nonce = 0
        self._ask_at_ns = now_ns + pause_ns

    def should_ask(self, row: ProcessRow | None, now_ns: int) -> bool:
        """Is it time to publish a RECOVER?"""
        if not self._owes_bracket or row is None or row.state not in SERVING:
            return False
        if now_ns - row.heartbeat_time_ns > self._heartbeat_limit_ns:
            return False
        return now_ns >= self._ask_at_ns

    def asked(self, nonce: int, now_ns: int) -> None:
        """A RECOVER with this nonce was published."""
        self._nonce = nonce
        self._ask_at_ns = now_ns + ASK_AGAIN_NS
        if self.state == SessionState.AWAY:
            self._move(SessionState.ASKED, READING)

    # --- the bracket ------------------------------------------------------------------------------------------------
    def on_recovery(self, record: Recovery, now_ns: int) -> RecoveryPhase:
        """Take a bracket record. Returns BEGIN or END where it counts, NONE where it belongs to somebody else."""
        ours = self._nonce != 0 and record.nonce == self._nonce
        if record.phase == RecoveryPhase.BEGIN:
            if ours:
                self.drops_events = False
                self._ask_at_ns = now_ns + ASK_AGAIN_NS
            elif self.drops_events or record.nonce:
                return RecoveryPhase.NONE
            self._move(SessionState.BRACKET, READING)
            return RecoveryPhase.BEGIN
        if self.state != SessionState.BRACKET or not (ours or record.nonce == 0):
            return RecoveryPhase.NONE
        self.brackets += 1
        if ours:
            self._owes_bracket = False
            self._nonce = 0
        if self._owes_bracket:
            self._move(SessionState.ASKED if self._nonce else SessionState.AWAY, self.reason)
        else:
            self._move(SessionState.READY, "")
            self.ready_time_ns = now_ns
        return RecoveryPhase.END

    def _move(self, state: SessionState, reason: str) -> None:
        self.state, self.reason = state, reason
        self.is_ready = state == SessionState.READY
