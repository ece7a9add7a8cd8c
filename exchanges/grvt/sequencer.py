"""When a book of snapshot and deltas is right: the venue's own rule, step by step.

Docs: https://api-docs.grvt.io/market_data_streams (sequence numbers, delta streams)

1. Subscribe. The first frame has sequence number 0 and is the whole book; nothing is asked for over REST.
2. The first delta after it is taken whatever it names as its predecessor, unless the subscription said where it begins:
   then it must not be before that.
3. Every later delta must name the sequence number of the delta before as its predecessor.
4. The very number applied last is a repetition. Any other that does not follow is a gap, also a lower one: the counter
   begins anew when a gateway restarts.
5. After a gap: unsubscribe, subscribe, step 1.
6. Sizes are absolute, 0 removes the level, removing an unknown level is normal (the book does that).

Nobody outside knows whether the counter is kept per selector or shared by the selectors of a stream; in the second case
step 3 would see gaps that are none. So `check_gaps=False` switches it off: what would have been a gap is applied and
counted (`unchecked`). A gap is said, never repaired: the caller withdraws the book.

No I/O and no clock. The live case of step 3 is also compiled (`InstrumentFeed.follows`); what that does not take comes
here. The same rule for the changes of a mini ticker is quote_sequencer.pyx.

Who calls it: subscriber.py, through exchanges/market_subscriber.py.
"""

from __future__ import annotations

from exchanges.book_step import SequencedBook, Step
from exchanges.market_events import BookDelta, BookSnapshot


class BookSequencer:
    """One book. `needs_snapshot` is the state: True from the start and from each gap until sequence number 0 comes."""

    def __init__(self, target: SequencedBook, *, check_gaps: bool = True) -> None:
        self._target = target
        self._check = check_gaps
        self._first: int | None = None
        self._snapshot_id: int | None = None
        self.overlapping = False
        """Never the case here: the venue documents no end of a connection, so none is renewed."""
        self.unchecked = 0
        """Deltas that did not follow and were applied all the same."""

    @property
    def needs_snapshot(self) -> bool:
        return not self._target.live

    @property
    def _fresh(self) -> bool:
        """No delta was applied since the snapshot, here or in the compiled path."""
        return self._target.update_id == self._snapshot_id

    def reset(self) -> None:
        """The stream was interrupted: nothing connects before the next snapshot."""
        self._target.live = False
        self._first = self._snapshot_id = None

    def begins_at(self, first_sequence: int) -> None:
        """Step 2: what the subscription said of the first delta to come."""
        self._first = first_sequence

    # --- events -----------------------------------------------------------------------------------------------------
    def on_delta(self, delta: BookDelta) -> Step:
        """GAP comes with the book still as it was and `live` off."""
        target = self._target
        if not target.live:
            return Step.WAITING
        if delta.last_update_id == target.update_id and not self._fresh:
            return Step.REPEATED
        if not self._follows(delta):
            if self._check:
                self.reset()
                return Step.GAP
            self.unchecked += 1
        target.book.apply_delta(delta.bids, delta.asks)
        target.update_id = delta.last_update_id
        self._snapshot_id = None
        return Step.APPLIED

    def on_snapshot(self, snapshot: BookSnapshot) -> Step:
        """Step 1. A snapshot of a live book begins it anew: the venue has sent it for a reason."""
        target = self._target
        target.book.apply_snapshot(snapshot.bids, snapshot.asks)
        target.update_id = snapshot.update_id or max((self._first or 1) - 1, 0)
        self._snapshot_id = target.update_id
        target.live = True
        return Step.LIVE

    def _follows(self, delta: BookDelta) -> bool:
        """Steps 2 and 3."""
        if delta.previous_update_id == self._target.update_id:
            return True
        return self._fresh and delta.last_update_id >= (self._first or 0)
