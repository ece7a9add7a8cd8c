"""What each channel tells: market events and order reports become the venue's notifications.

Own fills do not appear in the public trades, as the market does not see our orders; their `trade_seq` counts on its
own.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from exchanges.deribit.simulator_channels import Channel
from exchanges.deribit.simulator_instruments import Listing
from exchanges.deribit.simulator_replies import (
    changes_of,
    currency_of,
    order_object,
    portfolio_object,
    position_object,
    prefixed,
    ticker_object,
    trade_object,
)
from exchanges.deribit.simulator_streams import (
    BookFeed,
    ChangesFeed,
    DirtyFeed,
    Feed,
    IncrementalTickerFeed,
    ListFeed,
    OrdersFeed,
    StreamHub,
)
from exchanges.deribit.simulator_venue import CURRENCIES, MarketState, PublicTrade, Venue
from exchanges.simulator.flow import Delta, MarketTrade
from exchanges.simulator.orders import Report

GROUP_TICKS = {"ETH": 100}
"""For ETH the group's number is a hundred times the real one."""


class Publisher:
    """The only writer of feeds."""

    def __init__(self, venue: Venue, hub: StreamHub) -> None:
        self.venue = venue
        self.hub = hub
        hub.make_feed = self.make_feed
        self._quotes: dict[str, tuple[Decimal, ...]] = {}

    def make_feed(self, channel: Channel, owner: str) -> Feed:
        """A feed that nobody listens to yet."""
        hub, venue, family = self.hub, self.venue, channel.family
        if family == "book":
            return BookFeed(hub, channel, owner)
        if family == "grouped_book":
            return DirtyFeed(hub, channel, owner, lambda: grouped_book(venue, channel))
        if family in ("ticker", "incremental_ticker"):
            market = venue.markets[channel.subject]
            kind = DirtyFeed if family == "ticker" else IncrementalTickerFeed
            return kind(hub, channel, owner, lambda: ticker_object(venue, market))
        if family == "quote":
            return DirtyFeed(hub, channel, owner, lambda: quote_object(venue, channel.subject))
        if family == "perpetual":
            return DirtyFeed(hub, channel, owner, lambda: perpetual_object(venue, channel.subject), tells_first=False)
        if family == "deribit_price_index":
            return DirtyFeed(hub, channel, owner, lambda: index_object(venue, channel.subject))
        if family in ("trades", "user.trades"):
            return ListFeed(hub, channel, owner)
        if family == "user.orders":
            return OrdersFeed(hub, channel, owner)
        if family == "user.changes":
            return ChangesFeed(hub, channel, owner)
        if family == "user.portfolio":
            return PortfolioFeed(hub, channel, owner)
        return Feed(hub, channel, owner)

    # --- the market ------------------------------------------------------------------------------------------------
    def on_delta(self, event: Delta) -> None:
        for feed in self.hub.of("book", event.symbol):
            assert isinstance(feed, BookFeed)
            feed.gather(event.bids, event.asks)
        self._touch("grouped_book", event.symbol)
        self.on_best(event.symbol)

    def on_best(self, symbol: str) -> None:
        """The best levels may have changed."""
        book = self.venue.book(symbol)
        best = (book.best_bid, book.best_bid_quantity, book.best_ask, book.best_ask_quantity)
        if self._quotes.get(symbol) != best:
            self._quotes[symbol] = best
            for family in ("quote", "ticker", "incremental_ticker"):
                self._touch(family, symbol)

    def on_trade(self, market: MarketState, event: MarketTrade) -> None:
        """Number the trade, keep it, tell it."""
        price = event.price
        if market.last_price is not None and price != market.last_price:
            market.tick_direction = 0 if price > market.last_price else 2
        elif market.tick_direction in (0, 2):
            market.tick_direction += 1
        market.last_price = price
        market.high = price if market.high is None else max(market.high, price)
        market.low = price if market.low is None else min(market.low, price)
        market.volume += event.quantity
        market.next_seq += 1
        listing = market.listing
        trade = PublicTrade(
            event,
            market.next_seq,
            prefixed(listing.currency, event.trade_id),
            market.tick_direction,
            self.venue.mark(listing.name),
            self.venue.index(listing.index),
        )
        market.trades.append(trade)
        feeds = [
            feed
            for subject in (listing.name, "")
            for feed in self.hub.of("trades", subject)
            if feed.channel.wants(listing.name, listing.kind, listing.currency)
        ]
        if feeds:
            row = public_trade(listing, trade)
            for feed in feeds:
                assert isinstance(feed, ListFeed)
                feed.add(trade.trade_id, row)
                if not feed.interval_ms:
                    feed.flush()

    def on_mark(self, listing: Listing) -> None:
        """A new mark price, and for a perpetual a new index."""
        for family in ("ticker", "incremental_ticker", "perpetual"):
            self._touch(family, listing.name)
        if listing.perpetual:
            self._touch("deribit_price_index", listing.index)

    def platform_state(self, data: dict[str, Any]) -> None:
        for feed in self.hub.of("platform_state"):
            feed.tell(self.hub.numbers.dumps(data))

    def instrument_state(self, listing: Listing, event: str) -> None:
        """`event`: created, started, settled, closed, deactivated or terminated."""
        data = {"instrument_name": listing.name, "state": event, "timestamp": self.venue.clock_ms()}
        for feed in self.hub.of("instrument.state"):
            if feed.channel.wants(listing.name, listing.kind, listing.currency):
                feed.tell(self.hub.numbers.dumps(data))
        for family in ("ticker", "incremental_ticker"):
            self._touch(family, listing.name)

    def _touch(self, family: str, subject: str) -> None:
        for feed in self.hub.of(family, subject):
            assert isinstance(feed, DirtyFeed)
            feed.touch()

    # --- accounts --------------------------------------------------------------------------------------------------
    def on_reports(self, core_account: str, reports: list[Report]) -> None:
        """One moment of one account: orders, fills, changes, portfolio."""
        venue, hub = self.venue, self.hub
        owner, currency = venue.owner_of(core_account), currency_of(core_account)
        for symbol, (orders, fills) in changes_of(venue, reports).items():
            kind = venue.markets[symbol].listing.kind
            order_rows = [order_object(venue, order) for order in orders]
            trade_rows = [trade_object(venue, trade, state) for trade, state in fills]
            for row in order_rows:
                venue.messages.note("event", hub.numbers.dumps(row).decode())
            for family in ("user.orders", "user.trades", "user.changes"):
                for feed in (*hub.of(family, symbol, owner), *hub.of(family, "", owner)):
                    if not feed.channel.wants(symbol, kind, currency):
                        continue
                    if isinstance(feed, ChangesFeed):
                        feed.add(symbol, order_rows, trade_rows, _position(venue, core_account, symbol))
                    else:
                        assert isinstance(feed, ListFeed)
                        rows, key = (order_rows, "order_id") if family == "user.orders" else (trade_rows, "trade_id")
                        for row in rows:
                            feed.add(row[key], row)
                    if not feed.interval_ms:
                        feed.flush()
        self.on_money(owner, currency)

    def on_money(self, owner: str, currency: str) -> None:
        """The portfolio of one currency has changed."""
        for feed in self.hub.of("user.portfolio", "", owner):
            assert isinstance(feed, PortfolioFeed)
            feed.tell_currency(currency)


class PortfolioFeed(Feed):
    """user.portfolio.{currency}; `any` tells one message per currency."""

    def first(self) -> list[bytes]:
        if not self.hub.venue.points.portfolio_on_subscribe:
            return []
        return [self._body(currency) for currency in CURRENCIES if self._wants(currency)]

    def tell_currency(self, currency: str) -> None:
        if self._wants(currency):
            self.tell(self._body(currency))

    def _wants(self, currency: str) -> bool:
        return self.channel.currency in ("any", currency)

    def _body(self, currency: str) -> bytes:
        return self.hub.numbers.dumps(portfolio_object(self.hub.venue, self.owner, currency))


def _position(venue: Venue, core_account: str, symbol: str) -> Any:
    return lambda: position_object(venue, core_account, symbol, in_changes=True)


def public_trade(listing: Listing, trade: PublicTrade) -> dict[str, Any]:
    """A row of a trades channel and of public/get_last_trades."""
    event = trade.trade
    return {
        "timestamp": event.time_ms,
        "price": event.price,
        "amount": event.quantity,
        "contracts": event.quantity / listing.contract_size,
        "direction": "sell" if event.buyer_is_maker else "buy",
        "index_price": trade.index,
        "mark_price": trade.mark,
        "instrument_name": listing.name,
        "trade_seq": trade.seq,
        "trade_id": trade.trade_id,
        "tick_direction": trade.tick_direction,
    }


def quote_object(venue: Venue, symbol: str) -> dict[str, Any]:
    book = venue.book(symbol)
    return {
        "timestamp": venue.markets[symbol].time_ms,
        "instrument_name": symbol,
        "best_bid_price": book.best_bid or None,
        "best_bid_amount": book.best_bid_quantity,
        "best_ask_price": book.best_ask or None,
        "best_ask_amount": book.best_ask_quantity,
    }


def index_object(venue: Venue, index: str) -> dict[str, Any]:
    return {"index_name": index, "price": venue.index(index), "timestamp": venue.clock_ms()}


def perpetual_object(venue: Venue, symbol: str) -> dict[str, Any]:
    market = venue.markets[symbol]
    return {
        "interest": market.interest_value,
        "index_price": venue.index(market.listing.index),
        "timestamp": market.time_ms,
    }


def grouped_book(venue: Venue, channel: Channel) -> dict[str, Any]:
    """The best levels, prices rounded away from the middle to the group; a whole replacement each time."""
    book, listing = venue.book(channel.subject), venue.markets[channel.subject].listing
    step: Decimal | None = None
    if channel.group != "none":
        step = Decimal(channel.group) * listing.instrument.tick_size
        if listing.instrument.base in GROUP_TICKS:
            step = Decimal(channel.group) / GROUP_TICKS[listing.instrument.base]
    sides = []
    for bid_side in (True, False):
        levels: dict[Decimal, Decimal] = {}
        for price, quantity in book.top_levels(bid_side, 10_000 if step else channel.depth):
            if step is not None:
                price = (price / step).to_integral_value(ROUND_FLOOR if bid_side else ROUND_CEILING) * step
            if price not in levels and len(levels) == channel.depth:
                break
            levels[price] = levels.get(price, Decimal(0)) + quantity
        sides.append([list(level) for level in levels.items()])
    return {
        "timestamp": venue.markets[channel.subject].time_ms,
        "instrument_name": channel.subject,
        "change_id": book.update_id,
        "bids": sides[0],
        "asks": sides[1],
    }
