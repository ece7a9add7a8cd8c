"""Names of channels: what each carries, how often it speaks, and who may listen.

    book.{instrument}.{interval}            trades.{instrument}.{interval}    trades.{kind}.{currency}.{interval}
    book.{instrument}.{group}.{depth}.{interval}                              ticker.{instrument}.{interval}
    incremental_ticker.{instrument}         quote.{instrument}                perpetual.{instrument}.{interval}
    deribit_price_index.{index}             platform_state                    instrument.state.{kind}.{currency}
    user.{orders|trades|changes}.{instrument}.{interval}
    user.{orders|trades|changes}.{kind}.{currency}.{interval}                 user.portfolio.{currency}

Names of other documented kinds are accepted and stay silent. A name of no kind, or of an instrument that does not
exist, is left out of the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

AGG2_MS: Final = 1000
"""The pages disagree (1 or 2 s); an open point, so `OpenPoints.agg2_ms` has the last word."""
INTERVALS: Final = {"raw": 0, "100ms": 100, "agg2": AGG2_MS}
"""Milliseconds."""
KINDS: Final = ("future", "option", "spot", "future_combo", "option_combo", "combo", "any")
CURRENCIES: Final = ("BTC", "ETH", "USDC", "USDT", "EURR", "any")
GROUPS: Final = ("none", "1", "2", "5", "10", "25", "100", "250")
DEPTHS: Final = ("1", "10", "20")
_SILENT: Final = re.compile(
    r"(announcements|chart\.trades\..+|deribit_volatility_index\..+|estimated_expiration_price\..+|"
    r"deribit_price_ranking\..+|deribit_price_statistics\..+|markprice\.options\..+|platform_state\.public_methods_state|"
    r"user\.(lock|access_log|mmp_trigger\..+|combo_trades\..+)|rfq\..+)\Z"
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. `subject` is its instrument or index; "" where `kind` and `currency` select."""

    name: str
    family: str
    """book, grouped_book, trades, ticker, incremental_ticker, quote, perpetual, deribit_price_index, platform_state,
    instrument.state, user.orders, user.trades, user.changes, user.portfolio, or silent."""
    subject: str = ""
    kind: str = "any"
    currency: str = "any"
    interval_ms: int = 0
    group: str = ""
    depth: int = 0

    @property
    def private(self) -> bool:
        return self.name.startswith("user.")

    @property
    def raw(self) -> bool:
        return self.name.endswith(".raw")

    def wants(self, name: str, kind: str, currency: str) -> bool:
        """Whether a contract is meant."""
        if self.subject:
            return self.subject == name
        return self.kind in ("any", kind) and self.currency in ("any", currency)


def parse_channel(name: str) -> Channel | None:
    """None when there is no such kind of channel; whether its instrument exists is asked elsewhere."""
    if _SILENT.match(name):
        return Channel(name, "silent")
    words = name.split(".")
    head, rest = words[0], words[1:]
    if head == "user" and rest:
        return _user(name, rest)
    if name == "platform_state":
        return Channel(name, "platform_state")
    if words[:2] == ["instrument", "state"] and len(words) == 4 and words[2] in KINDS and words[3] in CURRENCIES:
        return Channel(name, "instrument.state", kind=words[2], currency=words[3])
    if head in ("quote", "incremental_ticker", "deribit_price_index") and len(rest) == 1:
        return Channel(name, head, rest[0], interval_ms=1000 if head == "incremental_ticker" else 0)
    if not rest or rest[-1] not in INTERVALS:
        return None
    interval = INTERVALS[rest[-1]]
    if head in ("book", "ticker", "trades", "perpetual") and len(rest) == 2:
        return Channel(name, head, rest[0], interval_ms=interval)
    if head == "trades" and len(rest) == 3 and rest[0] in KINDS and rest[1] in CURRENCIES:
        return Channel(name, head, kind=rest[0], currency=rest[1], interval_ms=interval)
    if head == "book" and len(rest) == 4 and rest[1] in GROUPS and rest[2] in DEPTHS and interval:
        return Channel(name, "grouped_book", rest[0], interval_ms=interval, group=rest[1], depth=int(rest[2]))
    return None


def _user(name: str, words: list[str]) -> Channel | None:
    family, rest = words[0], words[1:]
    if family == "portfolio" and len(rest) == 1:
        return Channel(name, "user.portfolio", currency="any" if rest[0] == "any" else rest[0].upper())
    if family not in ("orders", "trades", "changes") or not rest or rest[-1] not in INTERVALS:
        return None
    interval = INTERVALS[rest[-1]]
    if len(rest) == 2:
        return Channel(name, f"user.{family}", rest[0], interval_ms=interval)
    if len(rest) == 3 and rest[0] in KINDS and rest[1] in CURRENCIES:
        return Channel(name, f"user.{family}", kind=rest[0], currency=rest[1], interval_ms=interval)
    return None
