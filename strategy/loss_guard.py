"""The loss limit of one strategy: the day's profit at its worse end, over restarts, until a person resets it.

The rule: the day is the UTC day. Its profit is what was carried over from before a restart of this trader plus what
positions made since; what a position had gained or lost when this trader took it over is not of its making, and what
the mark did while no trader ran is not counted. The limit looks at the worse end: every open order that would lose
against the mark trades now. Beyond it the strategy is tripped, which a new day or a restart does not heal: only
`reset` does, and the day's count begins anew there.
A profit that nobody can tell (something is held and has no mark) blocks new risk too, after UNKNOWN_PATIENCE_NS.

Called by the strategy's runner on each fill and every 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from time import time_ns
from typing import TYPE_CHECKING, Final

from shm.layout import MONEY_SCALE

if TYPE_CHECKING:
    from strategy.limits import Limits
    from strategy.risk import StrategyRisk
    from strategy.risk_state import RiskState

DAY_NS: Final = 86_400_000_000_000
UNKNOWN_PATIENCE_NS: Final = 1_000_000_000
UNKNOWN: Final = "the profit is not known: something is held that has no mark price"


class LossGuard:
    """Sets `risk.blocked`. One thread."""

    def __init__(
        self, risk: StrategyRisk, state: RiskState, strategy_id: int, utc_ns: Callable[[], int] = time_ns
    ) -> None:
        self._risk = risk
        self._state = state
        self._record = state.record(strategy_id)
        self._utc_ns = utc_ns
        self._carried = self._record.profit
        self._base: int | None = None
        """Profit that does not count: made before this trader, or before the day or the reset."""
        self._profit: int | None = None
        self._unknown_since_ns = 0
        self._limits: Limits | None = None
        self._max_loss = 0
        risk.blocked = self._record.tripped

    @property
    def tripped(self) -> bool:
        return bool(self._record.tripped)

    @property
    def text(self) -> str:
        """Why only reducing orders pass; empty where all do."""
        return self._risk.blocked

    @property
    def day_profit(self) -> int:
        """Of this UTC day so far, in 1e-8 dollars."""
        return self._record.profit

    def update(self, profit: int | None, open_loss: int | None, taken_over: int | None) -> bool:
        """All in 1e-8 dollars, None = not known now. True the moment it trips.

        `profit` since this trader began, `open_loss` (<= 0) what open orders would add to it at the worse end,
        `taken_over` the profit that positions carried when they were taken over.
        """
        now_ns = self._utc_ns()
        if profit is None or open_loss is None or (self._base is None and taken_over is None):
            self._wait(now_ns)
            return False
        self._unknown_since_ns = 0
        self._profit = profit
        record = self._record
        day = now_ns // DAY_NS
        if self._base is None:
            self._base = taken_over or 0
            if day > record.day:
                self._carried = 0
        elif day > record.day:
            self._carried, self._base = 0, profit
        record.day = max(day, record.day)
        record.profit = self._carried + profit - self._base
        if not record.tripped:
            self._risk.blocked = ""
            return self._trip_beyond_limit(record.profit + open_loss)
        return False

    def reset(self) -> None:
        """A person has looked at it: trade on, and count the day's profit from here."""
        self._record.tripped = ""
        self._record.profit = self._carried = 0
        if self._profit is not None:
            self._base = self._profit
        self._risk.blocked = ""
        self._state.save()

    def _trip_beyond_limit(self, worst: int) -> bool:
        limits = self._risk.limits
        if limits is None:
            return False
        if limits is not self._limits:
            self._limits, self._max_loss = limits, int(Decimal(limits.max_loss).scaleb(MONEY_SCALE))
        if worst >= -self._max_loss:
            return False
        lost = -worst / 10**MONEY_SCALE
        self._record.tripped = f"the loss limit of {limits.max_loss} was reached: {lost:.2f} at the worse end"
        self._risk.blocked = self._record.tripped
        self._state.save()
        return True

    def _wait(self, now_ns: int) -> None:
        if not self._unknown_since_ns:
            self._unknown_since_ns = now_ns
        elif now_ns - self._unknown_since_ns >= UNKNOWN_PATIENCE_NS and not self._risk.blocked:
            self._risk.blocked = UNKNOWN
