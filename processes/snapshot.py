"""One picture of the whole set as plain data: what the web page, `corelane top`, metrics, status and health draw from.

The rule: no reader knows anything that is not in here, and nothing in here is computed twice. What is not known is
None (null in JSON), never 0. Prices and quantities are floats for people; nothing that decides anything reads them.
Made by `set_view.py` about once a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

Level = tuple[float, float]
"""(price, quantity)"""
REFUSED: Final = "refused: "
"""Begins what a strategy says whose orders its own limits refuse."""


@dataclass(frozen=True)
class ConnectionLine:
    """One link of a process to its venue. age_ms: since it last heard anything; None before."""

    state: str
    age_ms: float | None


@dataclass(frozen=True)
class ProcessLine:
    """One process as its own row tells it. pid 0: never started; core -1: not pinned; age_ms: since its heartbeat."""

    name: str
    pid: int
    core: int
    state: str
    age_ms: float
    restarts: int
    text: str
    uptime_s: float = 0.0
    kill_switch_echo: int = 0
    connections: tuple[ConnectionLine, ...] = ()

    @property
    def role(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class RingLine:
    """Fill of one ring: records so far, and how many its consumer has not taken (None: it has no one consumer)."""

    name: str
    published: int
    depth: int | None
    capacity: int


@dataclass(frozen=True)
class MarketLine:
    """One instrument: its book, its mark, and the position that the venue says the account has.

    valid False: the book is withdrawn, `status` says why. bids, asks: best first, of a valid book only. age_ms: since
    its newest frame. position in the venue's quantity unit; entry_price and unrealized_pnl are the venue's own, told
    position_age_ms ago."""

    symbol: str
    valid: bool
    status: str
    age_ms: float | None
    bids: list[Level]
    asks: list[Level]
    mark: float | None
    mark_mantissa: int
    position: float | None
    position_mantissa: int | None
    entry_price: float | None
    unrealized_pnl: float | None
    position_age_ms: float | None
    price_decimals: int
    quantity_decimals: int
    currency: str

    @property
    def bid(self) -> float:
        return self.bids[0][0] if self.bids else 0.0

    @property
    def bid_quantity(self) -> float:
        return self.bids[0][1] if self.bids else 0.0

    @property
    def ask(self) -> float:
        return self.asks[0][0] if self.asks else 0.0

    @property
    def ask_quantity(self) -> float:
        return self.asks[0][1] if self.asks else 0.0


@dataclass(frozen=True)
class BalanceLine:
    """Balance of one currency as the venue reported it, in that currency."""

    currency: str
    wallet: float
    available: float
    unrealized_pnl: float
    age_ms: float


@dataclass(frozen=True)
class BudgetLine:
    """How much of one of the venue's request limits is used now, by all processes of the host together.

    closed_s: how long nothing may be sent (a ban); quiet_s: how long only cancels may."""

    name: str
    used: int
    limit: int
    closed_s: float
    quiet_s: float


@dataclass(frozen=True)
class OrderLine:
    """One own order that is not over, as its engine last told it. unknown: it, or the last request about it, was sent
    and nobody knows what became of it. age_s: since the engine's last word on it."""

    client_order_id: str
    strategy: str
    instrument: str
    side: str
    price: float
    quantity: float
    filled: float
    state: str
    unknown: bool
    age_s: float


@dataclass(frozen=True)
class FillLine:
    """One own fill. time: the venue's, UTC, ISO 8601."""

    time: str
    strategy: str
    instrument: str
    side: str
    price: float
    quantity: float
    liquidity: str
    trade_id: str


@dataclass(frozen=True)
class StrategyLine:
    """One strategy on one instrument. Quantities in the venue's unit, money in `currency`; bid, ask: its own best
    quotes, None without. lowest, highest: where the position ends if what is open fills. profit: realized and
    unrealized, after fees; None while there is no mark. text: why it FAILED, else why its orders are refused
    just now (begins with REFUSED), else why only what reduces may be sent."""

    name: str
    instrument: str
    state: str
    stale: bool
    open_orders: int
    fills: int
    position: float
    lowest: float
    highest: float
    average_price: float
    realized_pnl: float
    unrealized_pnl: float | None
    fees: float
    profit: float | None
    currency: str
    bid: float | None
    bid_quantity: float
    ask: float | None
    ask_quantity: float
    text: str
    age_ms: float
    position_mantissa: int

    @property
    def only_reducing(self) -> bool:
        """A loss limit, or a profit that nobody knows, keeps it from adding to its position."""
        return bool(self.text) and self.state != "FAILED" and not self.refused

    @property
    def refused(self) -> bool:
        """Some of its orders were refused by its limits a moment ago."""
        return self.text.startswith(REFUSED)


@dataclass(frozen=True)
class DurationSummary:
    """Of one histogram, ns."""

    count: int
    p50: int
    p90: int
    p99: int
    p999: int
    max: int


@dataclass(frozen=True)
class HopLine:
    """One hop of a tick or an order through the set, merged over processes. recent: since the snapshot before this.
    is_stage: a stage of the trader's trace of whole orders at one venue, like "binance.decode"."""

    name: str
    total: DurationSummary
    recent: DurationSummary | None

    @property
    def is_stage(self) -> bool:
        return "." in self.name


@dataclass(frozen=True)
class HistogramLine:
    """One histogram of one process, for Prometheus: how many were at most as long as each of hop_view.BOUNDS_NS."""

    process: str
    name: str
    count: int
    sum_ns: int
    at_most: list[int]


@dataclass(frozen=True)
class KillSwitchLine:
    """obeyed_by: {engine: whether it has confirmed this generation}."""

    on: bool
    generation: int
    obeyed_by: dict[str, bool]


@dataclass(frozen=True)
class VenueSnapshot:
    """One venue. stale_after_ms: its limit for the age of a book. orders_complete False: events were missed, so orders
    may be lacking or over, until the engine has next told all of them. budgets None: they cannot be read."""

    name: str
    environment: str
    stale_after_ms: int
    markets: list[MarketLine]
    rings: list[RingLine]
    budgets: list[BudgetLine] | None
    balances: list[BalanceLine]
    orders: list[OrderLine]
    orders_complete: bool
    fills: list[FillLine]


@dataclass(frozen=True)
class Snapshot:
    """Of one moment. time: UTC, ISO 8601; monotonic_ns: the same moment on this host's clock. counters: by process."""

    time: str
    monotonic_ns: int
    instance: str
    kill_switch: KillSwitchLine
    processes: list[ProcessLine]
    venues: list[VenueSnapshot]
    strategies: list[StrategyLine]
    hops: list[HopLine]
    counters: dict[str, dict[str, int]]
    histograms: list[HistogramLine]

    def markets(self) -> Iterator[tuple[str, VenueSnapshot, MarketLine]]:
        """("venue:SYMBOL", its venue, the market) of every configured instrument."""
        for venue in self.venues:
            for market in venue.markets:
                yield f"{venue.name}:{market.symbol}", venue, market


def encode(value: object) -> bytes:
    """As JSON; None, NaN and the infinities become null."""
    return msgspec.json.encode(value)
