"""Merges trades of one side and price that happen within 100 ms, as aggregate-trade streams do.

A group closes when a trade of another side or price comes (published at once) or when its 100 ms are over. Used for
recordings, which lack the aggregate stream, and for generated markets.
"""

from __future__ import annotations

from exchanges.simulator.flow import AggregateTrade, MarketTrade

GROUP_NS = 100_000_000
GROUP_MS = 100


class TradeAggregator:
    """Groups the trades of one symbol; ids count on from `first_id`."""

    def __init__(self, first_id: int) -> None:
        self._next_id = first_id
        self._open: AggregateTrade | None = None
        self._closes_ns = 0

    def push(self, trade: MarketTrade) -> list[AggregateTrade]:
        """Groups that end because of this trade or before it."""
        done = self.flush(trade.due_ns)
        group = self._open
        if group is not None and group.price == trade.price and group.buyer_is_maker == trade.buyer_is_maker:
            group.quantity += trade.quantity
            group.last_trade_id = trade.trade_id
            group.time_ms = trade.time_ms
            return done
        if group is not None:
            group.due_ns, group.event_ms = trade.due_ns, trade.event_ms
            done.append(group)
        self._open = AggregateTrade(
            trade.due_ns,
            trade.symbol,
            trade.event_ms + GROUP_MS,
            trade.time_ms,
            None,
            None,
            trade.price,
            trade.quantity,
            trade.buyer_is_maker,
            self._next_id,
            trade.trade_id,
            trade.trade_id,
        )
        self._next_id += 1
        self._closes_ns = trade.due_ns + GROUP_NS
        return done

    def flush(self, now_ns: int) -> list[AggregateTrade]:
        """The open group, if its time is over at `now_ns`."""
        group = self._open
        if group is None or now_ns < self._closes_ns:
            return []
        group.due_ns = self._closes_ns
        self._open = None
        return [group]
