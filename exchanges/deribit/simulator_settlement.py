"""What the venue does to the money by itself: marks, indices, funding, daily settlement, expiry.

Source: funding specifications and book states. The index is a slow average of the perpetual's middle, the mark is the
middle; followers are marked by their fair value. Funding is paid as the market's clock runs; what is less than 1e-8 is
carried along. A settlement moves session results into the balance: positions count on from the settlement price.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from exchanges.deribit.simulator_flow import fair_value
from exchanges.deribit.simulator_instruments import DAY_MS, HOUR_OF_EXPIRY, Listing
from exchanges.deribit.simulator_publisher import Publisher
from exchanges.deribit.simulator_replies import currency_of, note_of
from exchanges.deribit.simulator_venue import MarketState, Venue
from exchanges.simulator.ledger import MONEY_STEP

INDEX_WEIGHT = Decimal("0.3")
"""Of the newest middle in the index, once a second."""
FUNDING_PERIOD_MS = 8 * 3600 * 1000
DAMPER = Decimal("0.00025")
CENT = Decimal("0.01")
OPTION_STEP = Decimal("0.0001")
ZERO = Decimal(0)


class Settlement:
    """Called for every mark tick and by the timer."""

    def __init__(self, venue: Venue, publisher: Publisher, pays_funding: bool) -> None:
        self.venue = venue
        self.publisher = publisher
        self.pays_funding = pays_funding
        self._carried: dict[tuple[str, str], Decimal] = {}
        self._marked_ms: dict[str, int] = {}
        self._next_ms = next_settlement_ms(venue.clock_ms())
        self._settles = False
        self._maintains = False

    # --- marks and funding -----------------------------------------------------------------------------------------
    def mark(self, market: MarketState, time_ms: int) -> None:
        """A new mark, and for a perpetual a new index and the funding since the last one."""
        venue, listing = self.venue, market.listing
        if market.state == "delivered":
            return
        if not listing.perpetual:
            price = Decimal(repr(fair_value(listing, float(venue.mark(listing.underlying)), time_ms)))
            step = OPTION_STEP if listing.option else CENT
            venue.exchange.set_mark(listing.name, max(price.quantize(step), step))
        else:
            book = venue.book(listing.name)
            if book.ready:
                middle = book.mid
                venue.exchange.set_mark(listing.name, middle.quantize(listing.instrument.tick_size / 10))
                before = venue.indices.get(listing.index, middle)
                venue.indices[listing.index] = (before + (middle - before) * INDEX_WEIGHT).quantize(CENT)
            self._fund(market, time_ms)
        self.publisher.on_mark(listing)

    def _fund(self, market: MarketState, time_ms: int) -> None:
        venue, listing = self.venue, market.listing
        mark, index = venue.mark(listing.name), venue.index(listing.index)
        elapsed = time_ms - self._marked_ms.get(listing.name, time_ms)
        self._marked_ms[listing.name] = time_ms
        market.funding_rate = funding_rate(mark, index)
        part = market.funding_rate * elapsed / FUNDING_PERIOD_MS
        market.interest_value += part * 100
        if not self.pays_funding or not part:
            return
        for name, account in venue.exchange.accounts.items():
            position = account.positions.get(listing.name)
            if position is None or not position.quantity:
                continue
            owed = self._carried.get((name, listing.name), ZERO)
            owed -= listing.instrument.value(mark, position.quantity) * part
            paid = owed.quantize(MONEY_STEP, ROUND_DOWN)
            self._carried[(name, listing.name)] = owed - paid
            if paid:
                account.fund(listing.name, paid)
                venue.session(name, listing.name).funding += paid
                self.publisher.on_money(venue.owner_of(name), currency_of(name))

    # --- time ------------------------------------------------------------------------------------------------------
    def on_timer(self, now_ms: int) -> None:
        venue = self.venue
        if now_ms >= self._next_ms:
            self._next_ms = next_settlement_ms(now_ms)
            self.begin(now_ms, 0)
        if self._settles and now_ms >= venue.settlement_until_ms:
            self._end()
        if self._maintains and now_ms >= venue.maintenance_until_ms:
            self._maintains = False
            self.publisher.platform_state({"maintenance": False})
        for market in tuple(venue.markets.values()):
            if market.listing.expiry_ms <= now_ms and market.state != "delivered":
                self.deliver(market)

    def begin(self, now_ms: int, length_ms: int) -> None:
        """Books go into settlement: no new orders and no edits, good_til_day orders end, sessions begin anew."""
        venue = self.venue
        venue.settlement_until_ms, self._settles = now_ms + length_ms, True
        for market in venue.markets.values():
            if market.state == "open":
                market.state = "settlement"
        for order in [order for order in venue.exchange.orders.values() if order.state.is_open]:
            if note_of(order).time_in_force == "good_til_day":
                note_of(order).cancel_reason = "settlement"
                venue.exchange.cancel(order)
        for index in venue.indices:
            self.publisher.platform_state({"price_index": index, "locked": True})
        for name, account in venue.exchange.accounts.items():
            for symbol, position in account.positions.items():
                market = venue.markets[symbol]
                session = account.new_position(symbol)
                if position.quantity and not market.listing.option:
                    session.fill(position.quantity > 0, venue.mark(symbol), abs(position.quantity))
                elif position.quantity:
                    session.fill(position.quantity > 0, position.entry_price, abs(position.quantity))
                venue.sessions[(name, symbol)] = session
            self.publisher.on_money(venue.owner_of(name), currency_of(name))
        for market in venue.markets.values():
            market.settlement_price = venue.mark(market.listing.name)

    def _end(self) -> None:
        self._settles = False
        for market in self.venue.markets.values():
            if market.state == "settlement":
                market.state = "open"
                self.publisher.instrument_state(market.listing, "settled")
        for index in self.venue.indices:
            self.publisher.platform_state({"price_index": index, "locked": False})

    def maintain(self, now_ms: int, length_ms: int) -> None:
        """Platform maintenance begins."""
        self.venue.maintenance_until_ms, self._maintains = now_ms + length_ms, True
        self.publisher.platform_state({"maintenance": True})

    def deliver(self, market: MarketState) -> None:
        """The contract expires at its index: orders end, positions are closed at what they are worth."""
        venue, listing = self.venue, market.listing
        price = delivery_price(listing, venue.index(listing.index))
        for order in venue.exchange.orders.values():
            if order.symbol == listing.name and order.state.is_open:
                note_of(order).cancel_reason = "settlement"
        held = {
            name: position.quantity
            for name, account in venue.exchange.accounts.items()
            if (position := account.positions.get(listing.name)) is not None and position.quantity
        }
        venue.exchange.deliver(listing.name, price)
        market.state, market.delivery_price = "delivered", price
        for name, quantity in held.items():
            venue.session(name, listing.name).fill(quantity < 0, price, abs(quantity))
            self.publisher.on_money(venue.owner_of(name), currency_of(name))
        self.publisher.instrument_state(listing, "closed")


def funding_rate(mark: Decimal, index: Decimal) -> Decimal:
    """Of 8 hours: what the premium has beyond 0.025 % on either side."""
    premium = (mark - index) / index
    return (max(DAMPER, premium) + min(-DAMPER, premium)).quantize(Decimal("1e-8"))


def delivery_price(listing: Listing, index: Decimal) -> Decimal:
    """Of a future the index, of an option its payoff in coins."""
    if not listing.option:
        return index
    inside = index - listing.strike if listing.is_call else listing.strike - index
    return max(inside / index, ZERO).quantize(Decimal("1e-8"))


def next_settlement_ms(now_ms: int) -> int:
    """The next 08:00 UTC."""
    today = now_ms - now_ms % DAY_MS + HOUR_OF_EXPIRY * 3600 * 1000
    return today if today > now_ms else today + DAY_MS
