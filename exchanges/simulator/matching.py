"""Price-time matching of our orders in one symbol against the market flow and against each other.

The queue model: a resting order waits behind the quantity that the market showed at its price when it arrived.
- A trade at that price eats the queue first, then the orders in their order of arrival, partially where it ends.
- A level that gets smaller than the queue cuts the queue: whoever left is assumed to have stood behind us.
- A trade through the price fills the order; so does a market that comes to stand across it, as far as the quantity
  standing there goes.
The same event shows twice: as a smaller level and as a trade of that time, in either order. What a level drop took
from a queue is therefore kept as `counted`, and a trade that is not later than the drop uses it up first.

Takers see the visible levels and the resting orders of all accounts merged by price, then time. Called by
`SimulatedExchange` only; every method is synchronous and leaves nothing half done.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from exchanges.simulator.book import Level, MarketBook
from exchanges.simulator.orders import ExpiryReason, Order, OrderType, SelfTrade, TimeInForce

ZERO = Decimal(0)
COUNTED_LIFE_MS = 50
"""A drop that no trade has explained within this time was a cancel."""


class MatchSink(Protocol):
    """What the matcher tells the exchange; the exchange changes states, money and makes the reports."""

    def filled(self, order: Order, price: Decimal, quantity: Decimal, maker: bool, time_ms: int) -> None: ...

    def expired(self, order: Order, reason: ExpiryReason, time_ms: int) -> None: ...

    def reducible(self, order: Order) -> Decimal: ...


class Matcher:
    """Resting orders and the market book of one symbol."""

    def __init__(self, sink: MatchSink) -> None:
        self.book = MarketBook()
        self.bids: list[Order] = []
        self.asks: list[Order] = []
        self._sink = sink

    # --- the market moves ------------------------------------------------------------------------------------------
    def on_top(
        self, bid: Decimal, bid_quantity: Decimal, ask: Decimal, ask_quantity: Decimal, update_id: int, time_ms: int
    ) -> None:
        """A best-level update of the market."""
        if self.book.set_top(bid, bid_quantity, ask, ask_quantity, update_id) and (self.bids or self.asks):
            self._shorten_queues(time_ms, None)
            self._cross(time_ms)

    def on_delta(self, bids: Iterable[Level], asks: Iterable[Level], update_id: int, time_ms: int) -> None:
        """A depth delta of the market."""
        bids, asks = list(bids), list(asks)
        self.book.apply_delta(bids, asks, update_id)
        if self.bids or self.asks:
            self._shorten_queues(time_ms, {price for price, _ in bids} | {price for price, _ in asks})
            self._cross(time_ms)

    def on_trade(self, price: Decimal, quantity: Decimal, buyer_is_maker: bool, time_ms: int) -> None:
        """A trade of the market: its taker sold when the buyer was the maker."""
        orders = self.bids if buyer_is_maker else self.asks
        left, eaten = quantity, ZERO
        for order in tuple(orders):
            if order.price == price:
                counted = order.counted if time_ms <= order.counted_ms else ZERO
                ahead = order.queue_ahead + counted
                eat = min(max(ahead - eaten, ZERO), left)
                eaten += eat
                left -= eat
                ahead -= min(ahead, eaten)
                order.queue_ahead = min(order.queue_ahead, ahead)
                order.counted = ahead - order.queue_ahead
                if left and not ahead:
                    left -= self._fill_resting(order, left, time_ms)
            elif (order.price > price) == buyer_is_maker:
                self._fill_resting(order, order.remaining, time_ms)
            else:
                break

    def _shorten_queues(self, time_ms: int, changed: set[Decimal] | None) -> None:
        """Cut queues to what the market shows; `changed` None means the best levels (and emptier ones before them)."""
        book = self.book
        for orders, bid_side, best in ((self.bids, True, book.best_bid), (self.asks, False, book.best_ask)):
            for order in orders:
                price = order.price
                behind = price < best if bid_side else price > best
                if behind and changed is None:
                    break
                if behind and changed is not None and price not in changed:
                    continue
                visible = book.quantity_at(bid_side, price)
                if visible < order.queue_ahead:
                    if time_ms - order.counted_ms > COUNTED_LIFE_MS:
                        order.counted = ZERO
                    order.counted += order.queue_ahead - visible
                    order.counted_ms = time_ms
                    order.queue_ahead = visible

    def _cross(self, time_ms: int) -> None:
        """Fill resting orders that the market now stands across, from the quantity that stands there."""
        book = self.book
        for orders, bid_side in ((self.bids, True), (self.asks, False)):
            for order in tuple(orders):
                best = book.best_ask if bid_side else book.best_bid
                if not best or (order.price < best if bid_side else order.price > best):
                    break
                for price, quantity in tuple(self._reachable(not bid_side, order.price)):
                    filled = self._fill_resting(order, quantity, time_ms)
                    book.take(not bid_side, price, filled)
                    if not order.state.is_open:
                        break

    def _reachable(self, bid_side: bool, limit: Decimal | None) -> Iterable[Level]:
        for price, quantity in self.book.levels(bid_side):
            if limit is not None and (price < limit if bid_side else price > limit):
                return
            yield price, quantity

    def _fill_resting(self, order: Order, quantity: Decimal, time_ms: int) -> Decimal:
        """Fill a maker with up to `quantity`; what it took. Removes it when done."""
        wanted = min(quantity, order.remaining)
        filled = wanted
        if order.request.reduce_only:
            filled = min(wanted, self._sink.reducible(order))
        if filled:
            self._sink.filled(order, order.price, filled, True, time_ms)
        if filled < wanted:
            self.remove(order)
            self._sink.expired(order, ExpiryReason.REDUCE_ONLY, time_ms)
        elif not order.remaining:
            self.remove(order)
        return filled

    # --- our orders ------------------------------------------------------------------------------------------------
    def would_take(self, order: Order, price: Decimal) -> bool:
        """Whether a limit at `price` would trade at once, with the market or with a resting order."""
        opposite = self.asks if order.is_buy else self.bids
        if opposite and (opposite[0].price <= price if order.is_buy else opposite[0].price >= price):
            return True
        return next(iter(self._reachable(not order.is_buy, price)), None) is not None

    def available(self, order: Order, limit: Decimal | None) -> Decimal:
        """What a taker could get within `limit` (None: any price)."""
        opposite = self.asks if order.is_buy else self.bids
        own = sum(
            (
                o.remaining
                for o in opposite
                if limit is None or (o.price <= limit if order.is_buy else o.price >= limit)
            ),
            ZERO,
        )
        return own + sum((quantity for _, quantity in self._reachable(not order.is_buy, limit)), ZERO)

    def take(self, order: Order, limit: Decimal | None, time_ms: int) -> None:
        """Match `order` as a taker as far as it goes; on return it is filled, expired, or has a remainder."""
        opposite = self.asks if order.is_buy else self.bids
        bid_side = not order.is_buy
        market = iter(self._reachable(bid_side, limit))
        level = next(market, None)
        while order.remaining:
            wanted = order.remaining
            if order.request.reduce_only:
                wanted = min(wanted, self._sink.reducible(order))
                if not wanted:
                    self._sink.expired(order, ExpiryReason.REDUCE_ONLY, time_ms)
                    return
            own = opposite[0] if opposite else None
            if own is not None and limit is not None and (own.price < limit if bid_side else own.price > limit):
                own = None
            if own is not None and (level is None or self._first(own, level, bid_side)):
                if not self._meet(order, own, wanted, time_ms):
                    return
                continue
            if level is None:
                return
            price, quantity = level
            quantity = min(quantity, wanted)
            if own is not None and own.price == price:
                quantity = min(quantity, own.queue_ahead)
            self.book.take(bid_side, price, quantity)
            for resting in opposite:
                if resting.price == price:
                    resting.queue_ahead = max(resting.queue_ahead - quantity, ZERO)
            left = level[1] - quantity
            level = (price, left) if left else next(market, None)
            self._sink.filled(order, price, quantity, False, time_ms)

    @staticmethod
    def _first(own: Order, level: Level, bid_side: bool) -> bool:
        """Whether the resting order comes before the market's level."""
        if own.price == level[0]:
            return not own.queue_ahead
        return own.price > level[0] if bid_side else own.price < level[0]

    def _meet(self, taker: Order, maker: Order, wanted: Decimal, time_ms: int) -> bool:
        """Two orders of ours meet; False when the taker has ended."""
        mode = taker.self_trade if maker.account == taker.account else SelfTrade.NONE
        if taker.request.time_in_force in (TimeInForce.FOK, TimeInForce.GTX):
            mode = SelfTrade.NONE
        if mode in (SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH):
            self.remove(maker)
            self._sink.expired(maker, ExpiryReason.SELF_TRADE, time_ms)
        if mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH):
            immediate = taker.request.time_in_force is TimeInForce.IOC or taker.request.type is OrderType.MARKET
            reason = ExpiryReason.IMMEDIATE_SELF_TRADE if immediate else ExpiryReason.SELF_TRADE
            self._sink.expired(taker, reason, time_ms)
            return False
        if mode is SelfTrade.NONE:
            filled = self._fill_resting(maker, wanted, time_ms)
            if filled:
                self._sink.filled(taker, maker.price, filled, False, time_ms)
        return True

    def rest(self, order: Order) -> None:
        """Put the remainder into the book, behind what the market shows there."""
        order.queue_ahead = self.book.quantity_at(order.is_buy, order.price)
        order.counted = ZERO
        if order.is_buy:
            insort(self.bids, order, key=lambda other: -other.price)
        else:
            insort(self.asks, order, key=lambda other: other.price)

    def remove(self, order: Order) -> None:
        """Take a resting order out; harmless when it is not in."""
        orders = self.bids if order.is_buy else self.asks
        for index, other in enumerate(orders):
            if other is order:
                del orders[index]
                return
