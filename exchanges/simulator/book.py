"""The market's visible book as the flow shows it: what our orders queue behind and what takers hit.

Two sources feed it and each may be newer than the other: depth deltas (all levels, every 50-100 ms) and best-level
updates (at once). The venue's update id says which is newer, so a late best level never hides a later delta.
Own orders are not in here: the recorded market did not see them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from decimal import Decimal

ZERO = Decimal(0)
Level = tuple[Decimal, Decimal]


class Side:
    """Price levels of one side, prices ascending. Update O(log n) to find, O(n) memmove to insert."""

    __slots__ = ("prices", "quantities")

    def __init__(self) -> None:
        self.prices: list[Decimal] = []
        self.quantities: dict[Decimal, Decimal] = {}

    def set(self, price: Decimal, quantity: Decimal) -> None:
        if quantity:
            if price not in self.quantities:
                self.prices.insert(bisect_left(self.prices, price), price)
            self.quantities[price] = quantity
        elif price in self.quantities:
            del self.quantities[price]
            del self.prices[bisect_left(self.prices, price)]

    def clear(self) -> None:
        self.prices.clear()
        self.quantities.clear()


class MarketBook:
    """Book of one symbol; `bids` and `asks` hold what the deltas said, `best_*` what is best right now.

    `taken` is the quantity our own takers took from a level since the market last updated it: the recorded market
    does not know about us, so without this memory the same quantity could be taken twice.
    """

    def __init__(self) -> None:
        self.bids = Side()
        self.asks = Side()
        self.update_id = 0
        self.top_id = 0
        self.best_bid = self.best_bid_quantity = ZERO
        self.best_ask = self.best_ask_quantity = ZERO
        self._taken: dict[tuple[bool, Decimal], Decimal] = {}

    @property
    def ready(self) -> bool:
        """Both sides have a best level."""
        return bool(self.best_bid and self.best_ask)

    @property
    def mid(self) -> Decimal:
        return (self.best_bid + self.best_ask) / 2

    def load(self, bids: Iterable[Level], asks: Iterable[Level], update_id: int) -> None:
        """Replace all levels by a snapshot."""
        self.bids.clear()
        self.asks.clear()
        for price, quantity in bids:
            self.bids.set(price, quantity)
        for price, quantity in asks:
            self.asks.set(price, quantity)
        self.update_id = update_id
        self._taken.clear()
        self._top_from_levels(update_id)

    def apply_delta(self, bids: Iterable[Level], asks: Iterable[Level], update_id: int) -> None:
        """Absolute quantities per price; 0 removes."""
        for price, quantity in bids:
            self.bids.set(price, quantity)
            self._taken.pop((True, price), None)
        for price, quantity in asks:
            self.asks.set(price, quantity)
            self._taken.pop((False, price), None)
        self.update_id = update_id
        if update_id >= self.top_id:
            self._top_from_levels(update_id)

    def set_top(self, bid: Decimal, bid_quantity: Decimal, ask: Decimal, ask_quantity: Decimal, update_id: int) -> bool:
        """A best-level update; False when it is older than what is known and was ignored."""
        if update_id < self.top_id:
            return False
        if bid != self.best_bid or bid_quantity != self.best_bid_quantity:
            self._taken.pop((True, bid), None)
        if ask != self.best_ask or ask_quantity != self.best_ask_quantity:
            self._taken.pop((False, ask), None)
        self.best_bid, self.best_bid_quantity = bid, bid_quantity
        self.best_ask, self.best_ask_quantity = ask, ask_quantity
        self.top_id = update_id
        return True

    def _top_from_levels(self, update_id: int) -> None:
        bids, asks = self.bids, self.asks
        self.best_bid = bids.prices[-1] if bids.prices else ZERO
        self.best_bid_quantity = bids.quantities[self.best_bid] if bids.prices else ZERO
        self.best_ask = asks.prices[0] if asks.prices else ZERO
        self.best_ask_quantity = asks.quantities[self.best_ask] if asks.prices else ZERO
        self.top_id = update_id

    def quantity_at(self, bid_side: bool, price: Decimal) -> Decimal:
        """Quantity the market shows at `price` (0 where a newer best level says the price is empty)."""
        if bid_side:
            if price == self.best_bid:
                return self.best_bid_quantity
            return ZERO if price > self.best_bid else self.bids.quantities.get(price, ZERO)
        if price == self.best_ask:
            return self.best_ask_quantity
        return ZERO if price < self.best_ask else self.asks.quantities.get(price, ZERO)

    def levels(self, bid_side: bool) -> Iterator[Level]:
        """What is there to take, best first, without what our takers already took."""
        taken = self._taken
        side = self.bids if bid_side else self.asks
        best = self.best_bid if bid_side else self.best_ask
        if not best:
            return
        quantity = (self.best_bid_quantity if bid_side else self.best_ask_quantity) - taken.get((bid_side, best), ZERO)
        if quantity > 0:
            yield best, quantity
        if bid_side:
            deeper = range(bisect_left(side.prices, best) - 1, -1, -1)
        else:
            deeper = range(bisect_right(side.prices, best), len(side.prices))
        for index in deeper:
            price = side.prices[index]
            quantity = side.quantities[price] - taken.get((bid_side, price), ZERO)
            if quantity > 0:
                yield price, quantity

    def take(self, bid_side: bool, price: Decimal, quantity: Decimal) -> None:
        """Remember that our taker took `quantity` of the market's level."""
        key = (bid_side, price)
        self._taken[key] = self._taken.get(key, ZERO) + quantity

    def top_levels(self, bid_side: bool, limit: int) -> list[Level]:
        """The best `limit` levels as the deltas show them (the venue's REST snapshot)."""
        side = self.bids if bid_side else self.asks
        prices = side.prices[: -limit - 1 : -1] if bid_side else side.prices[:limit]
        return [(price, side.quantities[price]) for price in prices]
