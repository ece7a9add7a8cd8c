"""The limits of one strategy as they are now: the config's, or what a person changed them to, over restarts.

The rule: what is stored never widens what the config says. A config that was tightened since wins over a change.
Called by the strategy's runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from strategy.limits import LimitError, Limits, changed, values_of

if TYPE_CHECKING:
    from strategy.risk_state import RiskState


class StoredLimits:
    """`current` is None where the config has no limits: nothing may be sent, so there is nothing to change."""

    def __init__(self, caps: Limits | None, state: RiskState, strategy_id: int) -> None:
        self._caps = caps
        self._state = state
        self._record = state.record(strategy_id)
        self.current = caps
        if caps is None:
            return
        for name, value in list(self._record.limits.items()):
            try:
                self.current = changed(caps, self.current or caps, {name: value})
            except LimitError as error:
                state.log.warning("strategy %d: a stored limit is dropped for the config's: %s", strategy_id, error)
                del self._record.limits[name]

    def change(self, changes: Mapping[str, Any]) -> Limits:
        """The new limits, stored. Raises LimitError; then nothing changed."""
        if self._caps is None or self.current is None:
            raise LimitError("the config names no limits for this strategy, so there are none to change")
        self.current = changed(self._caps, self.current, changes)
        self._record.limits.update({name: values_of(self.current)[name] for name in changes})
        self._state.save()
        return self.current
