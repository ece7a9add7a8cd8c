"""MARGIN_CALL: the venue's warning that an account's margin is nearly used up. It liquidates nobody here.

The rule: sent when the maintenance margin of all positions has come to CALL_RATIO of the margin balance, at every mark
price at which that is so, but once in CALL_EVERY_MS at most. The venue documents the event and not its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from exchanges.binance.simulator_account_calls import MAINTENANCE_RATE
from exchanges.binance.simulator_frames import plain, text
from exchanges.binance.simulator_venue import Venue
from exchanges.simulator.ledger import Account

CALL_RATIO: Final = Decimal("0.8")
CALL_EVERY_MS: Final = 60_000


class MarginCalls:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._called_ms: dict[str, int] = {}

    def due(self, now_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """(account, event) of every account that is to be warned now."""
        for name, account in self._venue.exchange.accounts.items():
            if now_ms - self._called_ms.get(name, -CALL_EVERY_MS) < CALL_EVERY_MS:
                continue
            positions = [self._position(account, symbol) for symbol in account.positions]
            maintenance = sum((Decimal(row["mm"]) for row in positions), Decimal(0))
            balance = account.wallet + sum((Decimal(row["up"]) for row in positions), Decimal(0))
            if maintenance and maintenance >= CALL_RATIO * balance:
                self._called_ms[name] = now_ms
                held = [row for row in positions if Decimal(row["pa"])]
                yield name, {"e": "MARGIN_CALL", "E": now_ms, "cw": text(account.wallet, 8), "p": held}

    def _position(self, account: Account, symbol: str) -> dict[str, str]:
        exchange, quantity, mark = self._venue.exchange, account.position(symbol).quantity, self._venue.mark(symbol)
        return {
            "s": symbol,
            "ps": "BOTH",
            "pa": plain(quantity),
            "mt": "CROSSED",
            "iw": "0",
            "mp": text(mark, 8),
            "up": text(exchange.unrealized(account.name, symbol), 8),
            "mm": text(abs(quantity) * mark * MAINTENANCE_RATE, 8),
        }
