"""When a book of snapshot and deltas is right: the venue's own rule, step by step.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/How-to-manage-a-local-order-book-correctly

1. Open the depth stream and buffer its events.
2. Get a snapshot; L is its lastUpdateId.
3. Drop buffered events with u < L.
4. The first event applied must have U <= L and u >= L.
5. Every later event must have pu equal to the u of the event before; otherwise start again at step 2.
6. Quantities are absolute, 0 removes the level, removing an unknown level is normal (the book does that).

It differs from the venue's spot rule. Update ids come from one sequence for all symbols, so they jump: U == pu + 1 is
never expected. A gap is said, never repaired: the caller withdraws the book and gets another snapshot.

No I/O and no clock. The live case of step 5 is also compiled (`InstrumentFeed.follows`); what that does not take comes
here.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from exchanges.book_step import SequencedBook, Step
from exchanges.market_events import BookDelta, BookSnapshot

BUFFER_LIMIT: Final = 4096
"""Deltas kept for a snapshot that does not come: minutes. Beyond it the oldest go, the snapshot will be newer."""
AHEAD_LIMIT: Final = 64
"""Deltas that one of two overlapping connections may be ahead: seconds."""


class BookSequencer:
    """One book. `needs_snapshot` is the state: True from the start and from each gap until a snapshot fits."""

    def __init__(self, target: SequencedBook, buffer_limit: int = BUFFER_LIMIT) -> None:
        self._target = target
        self._buffer: deque[BookDelta] = deque(maxlen=buffer_limit)
        self._snapshot: BookSnapshot | None = None
        self.resets = 0
        """Interruptions so far: a snapshot asked for before the last one is not to be used after it."""
        self.overlapping = False
        """Two connections deliver the same stream (renewal), each whole and in order, but one behind the other: what is
        older than the book is a repetition then, and what is newer is kept until the slower one has caught up."""
        self._ahead: deque[BookDelta] = deque(maxlen=AHEAD_LIMIT)

    @property
    def needs_snapshot(self) -> bool:
        return not self._target.live and self._snapshot is None

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def reset(self) -> None:
        """The stream was interrupted: nothing that was buffered can connect to what comes."""
        self.resets += 1
        self._target.live = False
        self._snapshot = None
        self._buffer.clear()
        self._ahead.clear()

    # --- events -----------------------------------------------------------------------------------------------------
    def on_delta(self, delta: BookDelta) -> Step:
        """GAP comes with the book still as it was, `live` off and this delta as the first of the new buffer."""
        target = self._target
        if not target.live:
            self._buffer_delta(delta)
            return self._connect() if self._snapshot is not None else Step.BUFFERED
        moved = self._catch_up()
        if self._follows(delta):
            self._apply(delta)
            return Step.APPLIED
        if self._repeats(delta):
            return Step.APPLIED if moved else Step.REPEATED
        if self.overlapping and delta.previous_update_id > target.update_id:
            self._ahead.append(delta)
            return Step.APPLIED if moved else Step.AHEAD
        self.reset()
        self._buffer_delta(delta)
        return Step.GAP

    def on_snapshot(self, snapshot: BookSnapshot) -> Step:
        """LIVE, WAITING for a delta that reaches it, or TOO_OLD. A snapshot nobody waits for is REPEATED."""
        if self._target.live:
            return Step.REPEATED
        self._snapshot = snapshot
        return self._connect()

    # --- the steps --------------------------------------------------------------------------------------------------
    def _buffer_delta(self, delta: BookDelta) -> None:
        """Step 1. The buffer is a chain: what does not follow its end begins a new one."""
        if self._buffer and not _is_chained(self._buffer[-1], delta):
            if delta.last_update_id <= self._buffer[-1].last_update_id:
                return  # a repetition
            self._buffer.clear()
        self._buffer.append(delta)

    def _drop_older(self, last_update_id: int) -> None:
        """Step 3."""
        while self._buffer and self._buffer[0].last_update_id < last_update_id:
            self._buffer.popleft()

    def _connect(self) -> Step:
        """Steps 3 to 6 on the buffer: make the snapshot live if a delta reaches it."""
        snapshot = self._snapshot
        assert snapshot is not None
        self._drop_older(snapshot.update_id)
        if not self._buffer:
            return Step.WAITING
        if not _reaches(self._buffer[0], snapshot):
            self._snapshot = None
            return Step.TOO_OLD
        target = self._target
        target.book.apply_snapshot(snapshot.bids, snapshot.asks)
        while self._buffer:
            self._apply(self._buffer.popleft())
        self._snapshot = None
        target.live = True
        return Step.LIVE

    def _follows(self, delta: BookDelta) -> bool:
        """Step 5."""
        return delta.previous_update_id == self._target.update_id

    def _repeats(self, delta: BookDelta) -> bool:
        """The very event applied last, sent again; older ones too while two connections overlap. Anything else that
        does not follow is a gap: an event that comes late was missing before."""
        last = self._target.update_id
        return delta.last_update_id == last or (self.overlapping and delta.last_update_id < last)

    def _catch_up(self) -> bool:
        """Steps 5 and 6 on what came ahead; the compiled path may have moved the book since. True: so did we."""
        moved = False
        while self._ahead and self._ahead[0].previous_update_id <= self._target.update_id:
            delta = self._ahead.popleft()
            if self._follows(delta):
                self._apply(delta)
                moved = True
        return moved

    def _apply(self, delta: BookDelta) -> None:
        """Step 6."""
        self._target.book.apply_delta(delta.bids, delta.asks)
        self._target.update_id = delta.last_update_id


def _reaches(delta: BookDelta, snapshot: BookSnapshot) -> bool:
    """Step 4."""
    return delta.first_update_id <= snapshot.update_id <= delta.last_update_id


def _is_chained(before: BookDelta, after: BookDelta) -> bool:
    """Step 5, inside the buffer."""
    return after.previous_update_id == before.last_update_id
