"""What a sequencer says became of a book event, the same words for every venue, and what it keeps in step.

The rule of when a book is right is each venue's own (its sequencer.py); what a caller does about it is not.

Who calls it: sequencer.py of every venue, market_subscriber.py.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from exchanges.market_events import BookDelta
from exchanges.order_book import OrderBook


class SequencedBook(Protocol):
    """What the sequencer keeps in step: an InstrumentFeed."""

    @property
    def book(self) -> OrderBook: ...

    live: bool
    update_id: int


class Step(Enum):
    """What became of an event, and so what its caller does."""

    BUFFERED = "kept until there is a snapshot"
    APPLIED = "the book moved on"
    LIVE = "the book is right from here on"
    WAITING = "of no use until there is another snapshot, or newer than all deltas so far"
    REPEATED = "nothing new in it"
    AHEAD = "kept: the other connection is a little behind"
    GAP = "an event is missing: the book is void, get a snapshot"
    TOO_OLD = "the snapshot is older than the first delta: get another"


class Sequencer(Protocol):
    """BookSequencer of a venue, as far as the subscriber of every venue uses it."""

    overlapping: bool

    @property
    def needs_snapshot(self) -> bool: ...

    def reset(self) -> None:
        """The stream was interrupted: nothing from before can connect to what comes."""
        ...

    def on_delta(self, delta: BookDelta) -> Step: ...
