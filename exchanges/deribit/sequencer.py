"""When a book of snapshot and changes is right: the venue's own rule, step by step.

Docs: https://docs.deribit.com/articles/notifications, channel book.{instrument_name}.{interval}

1. Subscribe; the first message is a snapshot with its change_id.
2. Every later message must have prev_change_id equal to the change_id of the message before on the same channel.
3. Otherwise a message is missing: drop the book and everything that comes, unsubscribe, subscribe again, step 1.
4. Amounts are absolute. "new" and "change" both set the level, "delete" removes it.

change_id is a counter that more than this channel moves, so it jumps: only the equality of step 2 means anything. Each
interval (raw, 100ms) is a chain of its own. A gap is said, never repaired: the caller withdraws the book.

No I/O and no clock. The live case of step 2 is also compiled (`InstrumentFeed.follows`); what that does not take comes
here.
"""

from __future__ import annotations

from exchanges.book_step import SequencedBook, Step
from exchanges.market_events import BookDelta, BookSnapshot


class BookSequencer:
    """One book. `needs_snapshot` is the state: True from the start and from each gap until a snapshot came."""

    def __init__(self, target: SequencedBook) -> None:
        self._target = target
        self.resets = 0
        """Interruptions so far."""
        self.overlapping = False
        """Never here: a connection is not renewed beside another, because each subscribes to a chain of its own."""

    @property
    def needs_snapshot(self) -> bool:
        return not self._target.live

    def reset(self) -> None:
        """The stream was interrupted: changes that come connect to nothing."""
        self.resets += 1
        self._target.live = False

    # --- events -----------------------------------------------------------------------------------------------------
    def on_delta(self, delta: BookDelta) -> Step:
        """GAP comes with the book still as it was and `live` off; WAITING: dropped, there is no book to change."""
        target = self._target
        if not target.live:
            return Step.WAITING
        if self._follows(delta):
            self._apply(delta)
            return Step.APPLIED
        if self._repeats(delta):
            return Step.REPEATED
        self.reset()
        return Step.GAP

    def on_snapshot(self, snapshot: BookSnapshot) -> Step:
        """Step 1. Always LIVE: the stream's own word on the whole book, whatever stood before."""
        target = self._target
        target.book.apply_snapshot(snapshot.bids, snapshot.asks)
        target.update_id = snapshot.update_id
        target.live = True
        return Step.LIVE

    # --- the steps --------------------------------------------------------------------------------------------------
    def _follows(self, delta: BookDelta) -> bool:
        """Step 2."""
        return delta.previous_update_id == self._target.update_id

    def _repeats(self, delta: BookDelta) -> bool:
        """The very message applied last, sent again."""
        return delta.last_update_id == self._target.update_id

    def _apply(self, delta: BookDelta) -> None:
        """Step 4."""
        self._target.book.apply_delta(delta.bids, delta.asks)
        self._target.update_id = delta.last_update_id
