"""Each own trade once: parts of a fill merged by trade id, replays dropped below a watermark.

The rules
- A fill is known by (instrument, trade id). Its parts may come apart (quantity first, fee later) and each may come
  many times; `merge` says which part was news.
- The watermark of an instrument is a trade id up to which the venue's own trade history was read and merged. At or
  below it everything is a replay. It moves only when such a read is complete, never because a later trade was seen: a
  trade whose event was lost would fall under it unseen.
- So memory holds only the trades since the last read. Watermarks are journaled as they move (`journal_replay.py`).

Trade ids must be integers that rise per instrument, which holds on the venues that number trades per instrument.

Who calls it: order_engine.pyx for every fill fact, settlement and recovery when a read is complete.
"""

from __future__ import annotations

from typing import Final

from shm.layout import FillPart

QUANTITY: Final = int(FillPart.QUANTITY)
FEE: Final = int(FillPart.FEE)
ALL_PARTS: Final = QUANTITY | FEE


class FillLedger:
    def __init__(self) -> None:
        self._parts: dict[int, dict[int, int]] = {}
        self._watermarks: dict[int, int] = {}

    def watermark(self, instrument_id: int) -> int | None:
        """None: the trade history of this instrument was never read."""
        return self._watermarks.get(instrument_id)

    def merge(self, instrument_id: int, trade_id: int, parts: int) -> int:
        """Note `parts` (FillPart) of a trade; returns those that were not known before (0: a duplicate)."""
        if trade_id <= self._watermarks.get(instrument_id, -1):
            return 0
        trades = self._parts.setdefault(instrument_id, {})
        known = trades.get(trade_id, 0)
        news = parts & ALL_PARTS & ~known
        if news:
            trades[trade_id] = known | news
        return news

    def knows(self, instrument_id: int, trade_id: int) -> bool:
        """Whether the quantity of this trade was merged (or lies under the watermark)."""
        if trade_id <= self._watermarks.get(instrument_id, -1):
            return True
        return bool(self._parts.get(instrument_id, {}).get(trade_id, 0) & QUANTITY)

    def advance(self, instrument_id: int, trade_id: int) -> bool:
        """Everything up to `trade_id` was read and merged. True: the watermark moved (journal it)."""
        old = self._watermarks.get(instrument_id)
        if old is not None and trade_id <= old:
            return False
        self._watermarks[instrument_id] = trade_id
        trades = self._parts.get(instrument_id)
        if trades:
            # A trade whose fee is still to come stays known as such: the read that moved the mark had both parts.
            self._parts[instrument_id] = {known: parts for known, parts in trades.items() if known > trade_id}
        return True

    def __len__(self) -> int:
        """Trades kept in memory."""
        return sum(len(trades) for trades in self._parts.values())
