"""Levels far from the touch that a live book lacks, filled in from a second snapshot, and the book audited by it.

A snapshot has the 1000 best levels a side. What lay beyond is unknown until it changes, so after a long move of the
price a book that never missed a delta lacks old levels all the same (the venue's page on local order books leaves that
to its readers; https://github.com/bmoscon/cryptofeed/issues/604 shows it).

The rule: the book stays good all the while. The deltas that are applied from `begin` on are kept; the snapshot and
those deltas together are the venue's book at the very update id of ours. A level that we lack is filled in where no
snapshot had told of its range before; any other difference means that our book was wrong, and says so.

No I/O and no clock. Who calls it: subscriber.py. Comparing 1000 levels a side takes about a millisecond, once in a
quarter of an hour.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from exchanges.binance.endpoints import SNAPSHOT_LIMIT
from exchanges.book_step import SequencedBook
from exchanges.market_events import BookDelta, BookSnapshot, Levels

KEPT_LIMIT: Final = 600
"""Deltas: a minute of them. A snapshot that takes longer is given up."""
ALL_PRICES: Final = 10**18
"""Above every price mantissa."""


class TappedBook(SequencedBook, Protocol):
    """An InstrumentFeed."""

    tapped: bool


class Refresh(Enum):
    """Where a refresh stands."""

    IDLE = "none is under way"
    WAITING = "for the snapshot, or for deltas that reach it"
    DONE = "the book is as complete as the snapshot"
    GIVEN_UP = "snapshot and deltas do not meet: try again later"
    DIFFERENT = "the book is not the venue's: it must be built anew"


class BookRefresh:
    """One book. `begin`, then every applied delta and one snapshot in any order, until it is no longer WAITING."""

    def __init__(self, target: TappedBook) -> None:
        self._target = target
        self._state = Refresh.IDLE
        self._kept: list[BookDelta] = []
        self._from = self._to = 0
        self._snapshot: BookSnapshot | None = None
        self._lowest_bid = 0
        """Lowest bid and highest ask that any snapshot has told of: between them nothing is unknown."""
        self._highest_ask = 0
        self.newest_range = (0, ALL_PRICES)
        """The same of the newest snapshot alone: where the price may go before there should be another."""

    @property
    def state(self) -> Refresh:
        return self._state

    def on_first_snapshot(self, snapshot: BookSnapshot) -> None:
        """The one that the book was built from."""
        self.cancel()
        self.newest_range = self._lowest_bid, self._highest_ask = _range(snapshot)

    def begin(self) -> None:
        self._kept.clear()
        self._snapshot = None
        self._from = self._to = self._target.update_id
        self._state, self._target.tapped = Refresh.WAITING, True

    def cancel(self) -> None:
        self._end(Refresh.IDLE)

    def on_applied(self, delta: BookDelta) -> Refresh:
        """The book has just moved on by this delta."""
        if self._state is not Refresh.WAITING:
            return self._state
        if delta.previous_update_id != self._to or len(self._kept) == KEPT_LIMIT:
            return self._end(Refresh.GIVEN_UP)
        self._kept.append(delta)
        self._to = delta.last_update_id
        return self._meet()

    def on_snapshot(self, snapshot: BookSnapshot) -> Refresh:
        if self._state is Refresh.WAITING:
            self._snapshot = snapshot
            return self._meet()
        return self._state

    def _end(self, state: Refresh) -> Refresh:
        self._state, self._target.tapped = state, False
        self._kept.clear()
        self._snapshot = None
        return state

    def _meet(self) -> Refresh:
        """Compare once the kept deltas lead from the snapshot to where the book is."""
        snapshot, target = self._snapshot, self._target
        if snapshot is None:
            return Refresh.WAITING
        if snapshot.update_id < self._from or self._to != target.update_id:
            return self._end(Refresh.GIVEN_UP)
        if snapshot.update_id > self._to:
            return Refresh.WAITING
        bids, asks = dict(snapshot.bids), dict(snapshot.asks)
        for delta in self._kept:
            if delta.last_update_id >= snapshot.update_id:
                _apply(bids, delta.bids)
                _apply(asks, delta.asks)
        lowest, highest = _range(snapshot)
        missing_bids = _missing(dict(target.book.bids()), bids, lowest, None, self._lowest_bid, None)
        missing_asks = _missing(dict(target.book.asks()), asks, None, highest, None, self._highest_ask)
        if missing_bids is None or missing_asks is None:
            return self._end(Refresh.DIFFERENT)
        target.book.apply_delta(missing_bids, missing_asks)
        self.newest_range = lowest, highest
        self._lowest_bid, self._highest_ask = min(lowest, self._lowest_bid), max(highest, self._highest_ask)
        return self._end(Refresh.DONE)


def _range(snapshot: BookSnapshot) -> tuple[int, int]:
    """Lowest bid and highest ask that it tells of: a side with fewer levels than were asked for is all there is."""
    bids, asks = snapshot.bids, snapshot.asks
    return (
        bids[-1][0] if len(bids) >= SNAPSHOT_LIMIT else 0,
        asks[-1][0] if len(asks) >= SNAPSHOT_LIMIT else ALL_PRICES,
    )


def _apply(side: dict[int, int], levels: Levels) -> None:
    for price, quantity in levels:
        if quantity:
            side[price] = quantity
        else:
            side.pop(price, None)


def _missing(
    ours: dict[int, int], theirs: dict[int, int], low: int | None, high: int | None,
    known_low: int | None, known_high: int | None,
) -> Levels | None:  # fmt: skip
    """Their levels that we may lack. None: the sides differ where they must not. Only prices from `low` to `high` are
    compared; only beyond `known_low` or `known_high` may one be lacking."""
    missing: Levels = []
    for price, quantity in theirs.items():
        if price in ours or not _within(price, low, high):
            continue
        if _within(price, known_low, known_high):
            return None
        missing.append((price, quantity))
    for price, quantity in ours.items():
        if _within(price, low, high) and theirs.get(price) != quantity:
            return None
    return missing


def _within(price: int, low: int | None, high: int | None) -> bool:
    return (low is None or price >= low) and (high is None or price <= high)
