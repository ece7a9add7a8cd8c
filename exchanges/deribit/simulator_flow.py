"""The market of a whole venue: perpetuals walk at random, dated futures and options follow theirs.

A follower's book is made anew around its fair value several times a second: a future at its perpetual's middle with
the carry of its time, an option at its Black-76 value on that future. So a chain always fits its underlying, and a
seed repeats all of it. Events come out in time order; ids of all symbols rise together, as the venue's do.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from exchanges.deribit.simulator_instruments import Listing
from exchanges.deribit.simulator_pricing import YEAR_MS, value
from exchanges.simulator.book import Level
from exchanges.simulator.flow import AggregateTrade, Delta, MarketEvent, MarketTrade, MarkTick, Snapshot, Top
from exchanges.simulator.generator import GeneratedFlow
from exchanges.simulator.ids import first_id

RAW_EVERY_NS = 20_000_000
"""Time that one change of the raw book gathers."""
FOLLOW_EVERY_NS = 250_000_000
MARK_EVERY_NS = 1_000_000_000
CARRY_PER_YEAR = 0.04
LEVELS = 5
TRADE_CHANCE = 0.02
"""Of one follower to trade, each time it is made anew."""
ACTIVITY = 0.5
"""Of the generator's measured rates: a second venue is a quieter one."""


def forward(spot: float, expiry_ms: int, now_ms: int) -> float:
    """Price of delivery at `expiry_ms`."""
    return spot * math.exp(CARRY_PER_YEAR * max(expiry_ms - now_ms, 0) / YEAR_MS)


def volatility(listing: Listing, spot: float, now_ms: int) -> float:
    """A made smile: 55 % at the money, more on both sides, a little more below."""
    years = max(listing.expiry_ms - now_ms, 0) / YEAR_MS
    if not years:
        return 0.0
    distance = math.log(listing.strike / forward(spot, listing.expiry_ms, now_ms))
    away = max(-1.5, min(distance / math.sqrt(years), 1.5))
    return 0.55 * (1 + 0.25 * away * away - 0.08 * away)


def fair_value(listing: Listing, spot: float, now_ms: int) -> float:
    """In the contract's own price unit: dollars of a future, coins of an option."""
    price = forward(spot, listing.expiry_ms, now_ms)
    if not listing.option:
        return price
    years = max(listing.expiry_ms - now_ms, 0) / YEAR_MS
    return value(listing.is_call, price, listing.strike, years, volatility(listing, spot, now_ms)) / price


class VenueFlow:
    """Endless market of perpetuals and their followers; `base_ms` is the market clock at its start."""

    def __init__(self, perpetuals: Sequence[Listing], followers: Sequence[Listing], seed: int, base_ms: int) -> None:
        self._inner = GeneratedFlow(
            [listing.instrument for listing in perpetuals], seed, base_ms, RAW_EVERY_NS, ACTIVITY
        )
        self.base_ms = base_ms
        self._rng = np.random.default_rng(seed + 1)
        self._middles: dict[str, float] = {}
        self._last_id = 0
        self._snapshots: dict[str, Snapshot] = {}
        for listing in perpetuals:
            snapshot = self._inner.snapshot(listing.name)
            self._snapshots[listing.name] = snapshot
            self._last_id = max(self._last_id, snapshot.update_id)
            self._middles[listing.name] = float(snapshot.bids[-1][0] + snapshot.asks[0][0]) / 2
        self._followers: dict[str, _Follower] = {}
        self._events: deque[MarketEvent] = deque()
        self._next: MarketEvent | None = None
        self._made_ns = 0
        for listing in followers:
            self.follow(listing)

    @property
    def symbols(self) -> tuple[str, ...]:
        return (*self._inner.symbols, *self._followers)

    @symbols.setter
    def symbols(self, names: tuple[str, ...]) -> None:
        raise AttributeError("the symbols of a flow are those it was made with")

    def follow(self, listing: Listing) -> Snapshot:
        """A contract begins to trade; its first book."""
        now_ms = self.base_ms + self._made_ns // 1_000_000
        follower = _Follower(listing, self._rng, first_id(now_ms) + listing.instrument_id * 1000)
        self._last_id += 1
        follower.last_id = self._last_id
        follower.make(self._middles[listing.underlying], now_ms)
        snapshot = Snapshot(*follower.levels(), self._last_id, now_ms, now_ms)
        self._followers[listing.name] = follower
        self._snapshots[listing.name] = snapshot
        return snapshot

    def leave(self, name: str) -> None:
        """A contract trades no more."""
        self._followers.pop(name, None)
        self._events = deque(event for event in self._events if event.symbol != name)

    def snapshot(self, symbol: str) -> Snapshot:
        return self._snapshots[symbol]

    def next_due_ns(self) -> int | None:
        due = self._upcoming().due_ns
        if self._events:
            return min(due, self._events[0].due_ns)
        while self._followers and self._made_ns + FOLLOW_EVERY_NS <= due:
            self._make()
            if self._events:
                return self._events[0].due_ns
        return due

    def pop(self) -> MarketEvent:
        due = self.next_due_ns()
        if self._events and self._events[0].due_ns == due:
            return self._events.popleft()
        event, self._next = self._upcoming(), None
        if isinstance(event, Top):
            self._middles[event.symbol] = float(event.bid + event.ask) / 2
            self._last_id = max(self._last_id, event.update_id)
        elif isinstance(event, Delta):
            self._last_id = max(self._last_id, event.last_id)
        return event

    def _upcoming(self) -> MarketEvent:
        """The next event of the perpetuals; this venue has no aggregate trades."""
        while self._next is None:
            event = self._inner.pop()
            if not isinstance(event, AggregateTrade):
                self._next = event
        return self._next

    def next_delta_id(self, symbol: str) -> int | None:
        return self._inner.next_delta_id(symbol) if symbol in self._inner.symbols else None

    def _make(self) -> None:
        """All followers anew."""
        self._made_ns += FOLLOW_EVERY_NS
        due = self._made_ns
        now_ms = self.base_ms + due // 1_000_000
        for name, follower in self._followers.items():
            trade = follower.trade(due, now_ms)
            if trade is not None:
                self._events.append(trade)
            bids, asks = follower.make(self._middles[follower.listing.underlying], now_ms)
            if bids or asks:
                self._last_id += 1
                before, follower.last_id = follower.last_id, self._last_id
                self._events.append(
                    Delta(due, name, now_ms, now_ms, None, None, bids, asks, self._last_id, self._last_id, before)
                )
            if due % MARK_EVERY_NS == 0:
                self._events.append(MarkTick(due, name, now_ms, now_ms, None, None))


class _Follower:
    """Book of one follower."""

    def __init__(self, listing: Listing, rng: np.random.Generator, first_trade_id: int) -> None:
        self.listing = listing
        self.last_id = 0
        self._rng = rng
        self._bids: dict[Decimal, Decimal] = {}
        self._asks: dict[Decimal, Decimal] = {}
        self._next_trade_id = first_trade_id

    def levels(self) -> tuple[list[Level], list[Level]]:
        return sorted(self._bids.items()), sorted(self._asks.items())

    def make(self, spot: float, now_ms: int) -> tuple[list[Level], list[Level]]:
        """A new book around the fair value; (bids, asks) that changed, prices ascending."""
        fair = Decimal(repr(fair_value(self.listing, spot, now_ms)))
        half = fair * (Decimal("0.01") if self.listing.option else Decimal("0.0001"))
        changed = []
        for is_bid in (True, False):
            old = self._bids if is_bid else self._asks
            new = self._side(is_bid, fair, half, old)
            changed.append(
                sorted(
                    [(price, quantity) for price, quantity in new.items() if old.get(price) != quantity]
                    + [(price, Decimal(0)) for price in old if price not in new]
                )
            )
            if is_bid:
                self._bids = new
            else:
                self._asks = new
        return changed[0], changed[1]

    def _side(self, is_bid: bool, fair: Decimal, half: Decimal, old: dict[Decimal, Decimal]) -> dict[Decimal, Decimal]:
        """Up to five levels; a level that stays mostly keeps its quantity."""
        instrument = self.listing.instrument
        side: dict[Decimal, Decimal] = {}
        wanted = fair - half if is_bid else fair + half
        for _ in range(LEVELS):
            tick = instrument.tick_at(max(wanted, instrument.tick_size))
            ticks = (wanted / tick).to_integral_value(ROUND_FLOOR if is_bid else ROUND_CEILING)
            price = ticks * tick
            if price < instrument.min_price:
                if is_bid:
                    break
                price = instrument.min_price
            keeps = price in old and self._rng.random() < 0.9
            side[price] = old[price] if keeps else self._quantity()
            wanted = price - tick if is_bid else price + tick
        return side

    def _quantity(self) -> Decimal:
        instrument = self.listing.instrument
        mean = 3.0 if self.listing.option else 6.0
        lots = max(1, round(math.exp(self._rng.normal(mean, 0.8))))
        return lots * instrument.lot_size

    def trade(self, due: int, now_ms: int) -> MarketTrade | None:
        """Sometimes somebody takes a part of the best level."""
        if self._rng.random() >= TRADE_CHANCE:
            return None
        hits_bid = bool(self._rng.random() < 0.5)
        side = self._bids if hits_bid else self._asks
        if not side:
            return None
        price = max(side) if hits_bid else min(side)
        quantity = min(self.listing.instrument.lot_size * int(self._rng.integers(1, 20)), side[price])
        trade = MarketTrade(
            due, self.listing.name, now_ms, now_ms, None, None, price, quantity, hits_bid, self._next_trade_id
        )
        self._next_trade_id += 1
        return trade
