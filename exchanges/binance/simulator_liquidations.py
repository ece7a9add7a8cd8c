"""Liquidation reports of a made market: some of its trades are taken for liquidations and reported as the venue does.

At most one report a second and symbol, the largest of that second, about a second after its trade (the venue's rule
since 2026-04). Nobody's account is liquidated here: the reports only tell of trades that the trade streams told too.

Called by `simulator.py` with every trade of a market that brings no reports of its own.
"""

from __future__ import annotations

from typing import Final

from exchanges.simulator.flow import MarketTrade

SHARE: Final = 40
"""One trade in so many, by its id, so that a seed repeats them."""
REPORT_MS: Final = 1000


class LiquidationReports:
    """One symbol."""

    def __init__(self) -> None:
        self._largest: MarketTrade | None = None
        self._opened_ms = 0

    def on_trade(self, trade: MarketTrade) -> MarketTrade | None:
        """The trade to report now, if any."""
        due = self._due(trade.time_ms)
        if trade.trade_id % SHARE == 0:
            if self._largest is None:
                self._opened_ms = trade.time_ms
            if self._largest is None or trade.quantity > self._largest.quantity:
                self._largest = trade
        return due

    def _due(self, now_ms: int) -> MarketTrade | None:
        if self._largest is None or now_ms < self._opened_ms + REPORT_MS:
            return None
        due, self._largest = self._largest, None
        return due
