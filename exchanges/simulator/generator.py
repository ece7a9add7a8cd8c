"""A made market: seeded, so a run repeats event by event.

What it imitates was measured on five minutes and 45 seconds of recorded BTCUSDT and ETHUSDT perpetual streams of
2024-08-08 (66,089 and 53,992 best-level updates, 21,313 and 14,076 trades, 6,551 and 6,586 deltas); the numbers
stand in the two profiles below. It does not imitate what a strategy could learn from: moves are a random walk.

All symbols share one sequence of update ids that jumps, as at the venues. Deltas come every 100 ms unless told else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from exchanges.simulator.aggregate import TradeAggregator
from exchanges.simulator.book import Level
from exchanges.simulator.flow import Delta, MarketEvent, MarketTrade, MarkTick, Snapshot, Top
from exchanges.simulator.ids import first_id
from exchanges.simulator.instrument import Instrument

WINDOW_NS = 100_000_000
MARK_EVERY_NS = 1_000_000_000
IDS_PER_SECOND = 79_400
"""Growth of the shared update id in both recordings (79,415 and 80,155 per second)."""
UPDATE_IDS_PER_MS = 100
"""Where they begin, from the clock: above those of any run before."""
SNAPSHOT_LEVELS = 1000
MAX_LEVELS = 3000


@dataclass(frozen=True)
class FlowProfile:
    """Rates per second; quantities in base units and jumps and distances in ticks as (mean, deviation) of the log."""

    top_rate: float
    taker_rate: float
    """Distinct (time, side) groups of trades."""
    trades_per_taker: float
    jump_rate: float
    jump_ticks: tuple[float, float]
    top_quantity: tuple[float, float]
    trade_quantity: tuple[float, float]
    deep_updates: float
    """Changed levels behind the best, per 100 ms."""
    deep_ticks: tuple[float, float]
    deep_quantity: tuple[float, float]
    removals: float
    level_gap_ticks: float
    """Mean distance of neighbouring levels in the recorded 1000-level snapshot."""


BTC_PROFILE = FlowProfile(
    top_rate=191.7,
    taker_rate=15.6,
    trades_per_taker=4.05,
    jump_rate=5.9,
    jump_ticks=(1.39, 1.4),  # median 4 ticks, 90 % below 21; 1 s deviation 75 ticks = 1.2e-4 of the price
    top_quantity=(0.31, 1.99),  # median 2.7, 5 %: 0.019, 95 %: 11.3
    trade_quantity=(-4.0, 1.87),  # median 0.016, mean 0.114
    deep_updates=60,  # median 34, mean 68 changed levels per 52 ms delta, many of them the same levels again
    deep_ticks=(5.2, 1.4),  # median 186 ticks from the best, quartiles 13 (5 %) and 470 (75 %)
    deep_quantity=(-2.0, 2.2),  # median 0.133
    removals=0.22,
    level_gap_ticks=1.6,  # 1000 levels span 1,468 and 1,759 ticks
)
ETH_PROFILE = FlowProfile(
    top_rate=156.6,
    taker_rate=10.2,
    trades_per_taker=4.05,
    jump_rate=6.9,
    jump_ticks=(0.69, 1.3),  # median 2, 90 % below 10; 1 s deviation 32 ticks
    top_quantity=(1.90, 2.10),  # median 13.5
    trade_quantity=(-2.52, 2.17),  # median 0.071, mean 0.65
    deep_updates=60,
    deep_ticks=(5.29, 1.5),
    deep_quantity=(0.98, 1.9),
    removals=0.14,
    level_gap_ticks=1.35,
)


def profile_for(instrument: Instrument) -> FlowProfile:
    """The measured profile; for other symbols BTC's with quantities and moves scaled to price, tick and unit."""
    price, tick = float(instrument.reference_price), float(instrument.tick_size)
    if instrument.base == "ETH":
        profile, measured_price, measured_tick = ETH_PROFILE, 2_681.0, 0.01
    else:
        profile, measured_price, measured_tick = BTC_PROFILE, 61_800.0, 0.1
    measured = instrument.base in ("BTC", "ETH")
    if measured and not instrument.inverse and tick == measured_tick:
        return profile
    shift = math.log(price if instrument.inverse else 1.0) + (0.0 if measured else math.log(measured_price / price))
    ticks = math.log(max((price / tick) / (measured_price / measured_tick), 0.25 / 4))
    quantity: dict[str, Any] = {
        name: (getattr(profile, name)[0] + shift, getattr(profile, name)[1])
        for name in ("top_quantity", "trade_quantity", "deep_quantity")
    }
    jump, deep = profile.jump_ticks, profile.deep_ticks
    moves: dict[str, Any] = {
        "jump_ticks": (jump[0] + ticks, jump[1]),
        "deep_ticks": (max(deep[0] + ticks, 2.0), deep[1]),
    }
    return replace(profile, **quantity, **moves)


class GeneratedFlow:
    """Endless market of several symbols; `base_ms` is the market clock at the start of the flow, `delta_every_ns` the
    time that one delta gathers, and `activity` scales all rates of the profiles."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int,
        base_ms: int,
        delta_every_ns: int = WINDOW_NS,
        activity: float = 1.0,
    ) -> None:
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.base_ms = base_ms
        self._every_ns = delta_every_ns
        self._activity = activity
        self._rng = np.random.default_rng(seed)
        self._update_id = base_ms * UPDATE_IDS_PER_MS + int(self._rng.integers(1_000_000))
        self._last_ns = 0
        self._window_ns = 0
        self._events: deque[MarketEvent] = deque()
        self._books = {i.symbol: _GeneratedBook(i, profile_for(i), self._rng, first_id(base_ms)) for i in instruments}
        self._snapshots = {
            symbol: Snapshot(book.levels(True), book.levels(False), self._update_id, base_ms, base_ms)
            for symbol, book in self._books.items()
        }
        for book in self._books.values():
            book.previous_id = self._update_id

    def snapshot(self, symbol: str) -> Snapshot:
        return self._snapshots[symbol]

    def next_due_ns(self) -> int | None:
        while not self._events:
            self._make_window()
        return self._events[0].due_ns

    def pop(self) -> MarketEvent:
        self.next_due_ns()
        return self._events.popleft()

    def next_delta_id(self, symbol: str) -> int | None:
        for event in self._events:
            if isinstance(event, Delta) and event.symbol == symbol:
                return event.first_id
        return None

    def _make_window(self) -> None:
        """All events until the next deltas."""
        start, end = self._window_ns, self._window_ns + self._every_ns
        rng = self._rng
        actions: list[tuple[int, str, str]] = []
        for symbol, book in self._books.items():
            profile = book.profile
            seconds = self._every_ns / 1e9 * self._activity
            # Takers and jumps also change the best levels; the rest of the measured rate is size changes.
            sizes = max(profile.top_rate - profile.taker_rate - 2 * profile.jump_rate, 1.0)
            rates = {
                "size": sizes * seconds,
                "take": profile.taker_rate * seconds,
                "jump": profile.jump_rate * seconds,
                "deep": profile.deep_updates * 10 * seconds,
            }
            for action, mean in rates.items():
                times = rng.integers(start, end, size=int(rng.poisson(mean)))
                actions.extend((int(due), symbol, action) for due in times)
        actions.sort()
        for due, symbol, action in actions:
            self._emit(symbol, due, self._books[symbol].act(action))
        for symbol, book in self._books.items():
            now = self._milliseconds(end)
            self._events.extend(book.aggregator.flush(end))
            if book.changed:
                self._advance(end, 1)
                bids, asks = book.take_changes()
                first = book.first_id
                self._events.append(
                    Delta(end, symbol, now, now, None, None, bids, asks, first, self._update_id, book.previous_id)
                )
                book.previous_id = self._update_id
                book.first_id = 0
        if end % MARK_EVERY_NS == 0:
            now = self._milliseconds(end)
            self._events.extend(MarkTick(end, symbol, now, now, None, None) for symbol in self.symbols)
        self._window_ns = end

    def _emit(self, symbol: str, due: int, happened: list[tuple[Decimal, Decimal, bool] | None]) -> None:
        """`happened`: None for a change of the book, else a trade, in order; a change of the best becomes a Top."""
        book = self._books[symbol]
        now = self._milliseconds(due)
        for item in happened:
            if item is None:
                self._advance(due, 1)
                book.first_id = book.first_id or self._update_id
                top = book.new_top()
                if top is not None:
                    self._events.append(Top(due, symbol, now, now, None, None, *top, self._update_id))
            else:
                price, quantity, buyer_is_maker = item
                trade = MarketTrade(
                    due, symbol, now, now, None, None, price, quantity, buyer_is_maker, book.next_trade_id
                )
                book.next_trade_id += 1
                self._events.extend(book.aggregator.push(trade))
                self._events.append(trade)

    def _advance(self, due: int, least: int) -> None:
        """The shared id grows with time, in jumps, and with every change."""
        elapsed = max(due - self._last_ns, 0) / 1e9
        self._update_id += least + int(self._rng.exponential(elapsed * IDS_PER_SECOND))
        self._last_ns = max(due, self._last_ns)

    def _milliseconds(self, due: int) -> int:
        return self.base_ms + due // 1_000_000


Happened = list[tuple[Decimal, Decimal, bool] | None]
TopValues = tuple[Decimal, Decimal, Decimal, Decimal]


class _GeneratedBook:
    """Book of one symbol in whole ticks and lots, and the changes since its last delta."""

    def __init__(
        self, instrument: Instrument, profile: FlowProfile, rng: np.random.Generator, first_trade_id: int
    ) -> None:
        self.profile = profile
        self.aggregator = TradeAggregator(first_trade_id)
        self.next_trade_id = first_trade_id
        self.previous_id = self.first_id = 0
        self._tick, self._lot = instrument.tick_size, instrument.lot_size
        self._lot_float = float(instrument.lot_size)
        self._rng = rng
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})  # asks, bids: indexed by is_bid
        self._changed: tuple[set[int], set[int]] = (set(), set())
        middle = int(instrument.reference_price / instrument.tick_size)
        self._best = [middle + 1, middle]
        for is_bid in (False, True):
            step = -1 if is_bid else 1
            gaps = rng.geometric(1 / profile.level_gap_ticks, size=SNAPSHOT_LEVELS)
            gaps[0] = 0
            for price in self._best[is_bid] + step * np.cumsum(gaps):
                if price > 0:
                    self._sides[is_bid][int(price)] = self._lots(profile.deep_quantity)
            self._sides[is_bid][self._best[is_bid]] = self._lots(profile.top_quantity)
        self._shown = self._top()

    @property
    def changed(self) -> bool:
        return bool(self._changed[0] or self._changed[1])

    def levels(self, is_bid: bool) -> list[Level]:
        """All levels, prices ascending."""
        return [self._level(price, lots) for price, lots in sorted(self._sides[is_bid].items())]

    def take_changes(self) -> tuple[list[Level], list[Level]]:
        """(bids, asks) changed since the last delta, prices ascending; a removed level has quantity 0."""
        asks, bids = (
            [self._level(price, self._sides[is_bid].get(price, 0)) for price in sorted(self._changed[is_bid])]
            for is_bid in (False, True)
        )
        self._changed[0].clear()
        self._changed[1].clear()
        return bids, asks

    def new_top(self) -> TopValues | None:
        """The best levels if they differ from what was last shown."""
        top = self._top()
        if top == self._shown:
            return None
        self._shown = top
        (bid, bid_lots), (ask, ask_lots) = top
        return (*self._level(bid, bid_lots), *self._level(ask, ask_lots))

    def act(self, action: str) -> Happened:
        if action == "take":
            return self._take(bool(self._rng.random() < 0.5))
        if action == "jump":
            return self._jump(bool(self._rng.random() < 0.5))
        is_bid = bool(self._rng.random() < 0.5)
        if action == "deep":
            return self._change_deep(is_bid)
        spread = self._best[False] - self._best[True]
        if spread > 1:  # somebody steps into a wide spread before anything else happens at the best
            self._set(
                is_bid,
                self._best[is_bid] + (spread - 1 if is_bid else 1 - spread),
                self._lots(self.profile.top_quantity),
            )
        else:
            self._set(is_bid, self._best[is_bid], self._lots(self.profile.top_quantity))
        return [None]

    def _take(self, buys: bool) -> Happened:
        """A taker of several fills; the changed level is shown before its trades, as in the recordings."""
        is_bid = not buys
        trades: Happened = []
        for _ in range(int(self._rng.geometric(1 / self.profile.trades_per_taker))):
            price = self._best[is_bid]
            there = self._sides[is_bid][price]
            lots = min(self._lots(self.profile.trade_quantity), there)
            if lots == there and len(self._sides[is_bid]) < 2:
                break
            self._set(is_bid, price, there - lots)
            trades.append((*self._level(price, lots), is_bid))
        return [None, *trades]

    def _jump(self, up: bool) -> Happened:
        """The price moves: a taker at the old best, the levels on the way leave, the other side follows."""
        ticks = max(1, min(round(math.exp(self._rng.normal(*self.profile.jump_ticks))), 500))
        left, follows = (False, True) if up else (True, False)  # asks leave when the price rises
        step = 1 if up else -1
        old = self._best[left]
        if old + step * ticks <= 1:
            return [None]
        lots = min(self._lots(self.profile.trade_quantity), self._sides[left][old])
        trade = (*self._level(old, lots), left)
        target = old + step * ticks
        if target not in self._sides[left]:
            self._set(left, target, self._lots(self.profile.top_quantity))
        for price in [p for p in self._sides[left] if (p < target if up else p > target)]:
            self._set(left, price, 0)
        happened: Happened = [None, trade]
        for price in {target - step * (1 + int(self._rng.integers(ticks))) for _ in range(2)} | {target - step}:
            self._set(follows, price, self._lots(self.profile.top_quantity))
        happened.append(None)
        return happened

    def _change_deep(self, is_bid: bool) -> Happened:
        side = self._sides[is_bid]
        if len(side) > MAX_LEVELS:
            self._set(is_bid, min(side) if is_bid else max(side), 0)
            return [None]
        distance = max(1, round(math.exp(self._rng.normal(*self.profile.deep_ticks))))
        price = self._best[is_bid] - distance if is_bid else self._best[is_bid] + distance
        if price <= 0:
            return []
        removed = self._rng.random() < self.profile.removals
        self._set(is_bid, price, 0 if removed else self._lots(self.profile.deep_quantity))
        return [None]

    def _set(self, is_bid: bool, price: int, lots: int) -> None:
        side = self._sides[is_bid]
        if lots:
            side[price] = lots
        else:
            side.pop(price, None)
        self._changed[is_bid].add(price)
        best = self._best[is_bid]
        if lots and (price > best if is_bid else price < best):
            self._best[is_bid] = price
        elif not lots and price == best:
            self._best[is_bid] = max(side) if is_bid else min(side)

    def _top(self) -> tuple[tuple[int, int], tuple[int, int]]:
        ask, bid = self._best
        return (bid, self._sides[True][bid]), (ask, self._sides[False][ask])

    def _lots(self, log_quantity: tuple[float, float]) -> int:
        return max(1, round(math.exp(self._rng.normal(*log_quantity)) / self._lot_float))

    def _level(self, ticks: int, lots: int) -> Level:
        return ticks * self._tick, lots * self._lot
