"""The exchange our accounts trade on: order entry, matching against the market flow, money, reports.

Rule: one call is one moment. Whatever a call causes (fills of several orders, expiries) carries its time and is handed
to `on_reports` as one list per account, in the order it happened, before the call returns. Refusals raise
`OrderRefused` and change nothing. A venue's wire layer is the only caller; times are milliseconds of the venue's clock.

All orders and trades are kept for as long as the exchange lives, because the truth is asked for all of them: about
2 KB per order, so a soak of many hours should expect it to grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from exchanges.simulator.book import Level
from exchanges.simulator.errors import OrderRefused, Refusal
from exchanges.simulator.ids import Ids
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.ledger import Account, money
from exchanges.simulator.matching import Matcher
from exchanges.simulator.orders import (
    AccountState,
    ExpiryReason,
    NewOrder,
    Order,
    OrderRules,
    OrderState,
    OrderType,
    Report,
    ReportKind,
    SelfTrade,
    TimeInForce,
    Trade,
)

ZERO = Decimal(0)
MAX_AMENDMENTS = 10_000

DEFAULT_RULES = OrderRules()
OnReports = Callable[[str, list[Report]], None]


class SimulatedExchange:
    """All symbols and all accounts. Not thread-safe: one event loop owns it."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        clock_ms: Callable[[], int],
        on_reports: OnReports,
        rules: OrderRules = DEFAULT_RULES,
    ) -> None:
        self.rules = rules
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.matchers = {symbol: Matcher(self) for symbol in self.instruments}
        self.accounts: dict[str, Account] = {}
        self.orders: dict[int, Order] = {}
        self.marks: dict[str, Decimal] = {}
        self._clock_ms = clock_ms
        self._moment_ms = 0
        self._on_reports = on_reports
        self._by_client: dict[tuple[str, str, str], Order] = {}
        self._open: dict[tuple[str, str], dict[int, Order]] = {}
        self._countdowns: dict[tuple[str, str], int] = {}
        self._good_till: dict[int, Order] = {}
        self._order_ids, self._trade_ids = Ids(clock_ms), Ids(clock_ms)
        self._reports: list[Report] = []
        self._depth = 0

    def add_account(self, account: Account) -> None:
        self.accounts[account.name] = account
        self._describe_instruments(account)

    def _describe_instruments(self, account: Account) -> None:
        listed = self.instruments.items()
        account.inverse = {symbol for symbol, instrument in listed if instrument.inverse}
        account.options = {symbol for symbol, instrument in listed if instrument.option}
        rates: dict[str, tuple[Decimal, Decimal]] = {}
        for symbol, instrument in listed:
            if instrument.maker_fee is not None and instrument.taker_fee is not None:
                rates[symbol] = (instrument.maker_fee, instrument.taker_fee)
        account.rates = rates

    # --- listing ---------------------------------------------------------------------------------------------------
    def list_instrument(self, instrument: Instrument) -> None:
        """A new contract, from now on."""
        self.instruments[instrument.symbol] = instrument
        self.matchers[instrument.symbol] = Matcher(self)
        for account in self.accounts.values():
            self._describe_instruments(account)

    def deliver(self, symbol: str, price: Decimal) -> None:
        """The contract ends: open orders are canceled, positions closed at `price` without a trade or a fee."""
        self.marks[symbol] = price
        with self._moment():
            for account in self.accounts.values():
                self.cancel_all(account.name, symbol)
                position = account.positions.get(symbol)
                if position is not None and position.quantity:
                    account.wallet += position.fill(position.quantity < 0, price, abs(position.quantity))
                    position.update_ms = self._now()

    # --- the market ------------------------------------------------------------------------------------------------
    def on_top(
        self,
        symbol: str,
        bid: Decimal,
        bid_quantity: Decimal,
        ask: Decimal,
        ask_quantity: Decimal,
        update_id: int,
        time_ms: int,
    ) -> None:
        """Best levels of the market; `time_ms` is the market's own time and only compared with its own."""
        with self._moment():
            self.matchers[symbol].on_top(bid, bid_quantity, ask, ask_quantity, update_id, time_ms)

    def on_delta(self, symbol: str, bids: Iterable[Level], asks: Iterable[Level], update_id: int, time_ms: int) -> None:
        with self._moment():
            self.matchers[symbol].on_delta(bids, asks, update_id, time_ms)

    def on_trade(self, symbol: str, price: Decimal, quantity: Decimal, buyer_is_maker: bool, time_ms: int) -> None:
        matcher = self.matchers[symbol]
        if matcher.bids or matcher.asks:
            with self._moment():
                matcher.on_trade(price, quantity, buyer_is_maker, time_ms)

    def set_mark(self, symbol: str, mark: Decimal) -> None:
        self.marks[symbol] = mark

    def mark(self, symbol: str) -> Decimal:
        """The last mark sent, or the middle of the book before the first one."""
        mark = self.marks.get(symbol)
        if mark is None:
            book = self.matchers[symbol].book
            return money(book.mid) if book.ready else self.instruments[symbol].reference_price
        return mark

    # --- orders ----------------------------------------------------------------------------------------------------
    def place(self, account: str, request: NewOrder, dry_run: bool = False) -> Order:
        """Check, accept and match one order; `dry_run` stops after the checks and gives the order that would be."""
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            raise OrderRefused(Refusal.UNKNOWN_SYMBOL, request.symbol)
        self._check(account, request, instrument)
        matcher = self.matchers[request.symbol]
        with self._moment():
            now = self._now()
            order = Order(0, account, request, request.price, request.quantity, now, now)
            order.self_trade = request.self_trade
            if request.time_in_force is TimeInForce.GTX and matcher.would_take(order, request.price):
                raise OrderRefused(Refusal.POST_ONLY_WOULD_TAKE)
            limit = self._limit(order, instrument)
            fok = request.time_in_force is TimeInForce.FOK
            killed = fok and matcher.available(order, limit) < request.quantity
            if killed and self.rules.refuses_fill_or_kill:
                raise OrderRefused(Refusal.FILL_OR_KILL)
            if dry_run:
                return order
            order.order_id = self._order_ids.next()
            self.orders[order.order_id] = order
            self._by_client[(account, request.symbol, request.client_order_id)] = order
            self._open_orders(account, request.symbol)[order.order_id] = order
            if request.good_till_ms:
                self._good_till[order.order_id] = order
            self._report(ReportKind.ACCEPTED, order, now)
            if killed:
                self.expired(order, ExpiryReason.IMMEDIATE_REMAINDER, now)
            else:
                self._match(order, limit, now)
        return order

    def cancel(self, order: Order) -> None:
        """Cancel an open order; `UNKNOWN_ORDER` when it has ended."""
        if not order.state.is_open:
            raise OrderRefused(Refusal.UNKNOWN_ORDER)
        with self._moment():
            self.matchers[order.symbol].remove(order)
            self._end(order, OrderState.CANCELED, ReportKind.CANCELED, ExpiryReason.NONE, self._now())

    def cancel_all(self, account: str, symbol: str) -> list[Order]:
        """Cancel every open order of the account in `symbol`."""
        orders = list(self._open_orders(account, symbol).values())
        with self._moment():
            for order in orders:
                self.cancel(order)
        return orders

    def amend(self, order: Order, price: Decimal, quantity: Decimal, modify_id: str = "") -> None:
        """New price and total quantity; the order goes to the end of the queue at its price, unless the rules let it
        keep its place.

        It is canceled instead when the new quantity is already filled, or when it is post-only and would take."""
        if not order.state.is_open:
            raise OrderRefused(Refusal.UNKNOWN_ORDER)
        if order.request.type is not OrderType.LIMIT:
            raise OrderRefused(Refusal.AMEND_NOT_LIMIT)
        if order.amendments >= MAX_AMENDMENTS:
            raise OrderRefused(Refusal.AMEND_TOO_MANY)
        keeps_place = self.rules.smaller_amend_keeps_place and price == order.price and quantity <= order.quantity
        if not keeps_place and price == order.price and quantity == order.quantity:
            raise OrderRefused(Refusal.AMEND_NO_CHANGE)
        instrument = self.instruments[order.symbol]
        instrument.check_price(price)
        instrument.check_quantity(quantity, False)
        instrument.check_mark_band(price, self.mark(order.symbol), order.is_buy)
        if not order.request.reduce_only and instrument.value(price, quantity) < instrument.min_notional:
            raise OrderRefused(Refusal.AMEND_NOTIONAL_TOO_SMALL, str(instrument.min_notional))
        added = instrument.value(price, quantity - order.filled) - instrument.value(order.price, order.remaining)
        self._check_margin(order.account, order.symbol, order.is_buy, quantity - order.filled, added, order)
        matcher = self.matchers[order.symbol]
        if keeps_place and quantity > order.filled:
            with self._moment():
                order.quantity, order.update_ms = quantity, self._now()
                order.amendments += 1
                order.modify_id = modify_id
                self._report(ReportKind.AMENDED, order, order.update_ms)
            return
        with self._moment():
            now = self._now()
            matcher.remove(order)
            post_only = order.request.time_in_force is TimeInForce.GTX
            if quantity <= order.filled or (post_only and matcher.would_take(order, price)):
                self._end(order, OrderState.CANCELED, ReportKind.CANCELED, ExpiryReason.NONE, now)
                return
            order.price, order.quantity, order.update_ms = price, quantity, now
            order.amendments += 1
            order.modify_id = modify_id
            if self.rules.amend_ends_self_trade_mode:
                order.self_trade = SelfTrade.NONE
            self._report(ReportKind.AMENDED, order, now)
            self._match(order, price, now)

    def find(self, account: str, symbol: str, order_id: int | None, client_order_id: str | None) -> Order | None:
        """The order by the venue's id, else the newest with that client id."""
        if order_id is not None:
            order = self.orders.get(order_id)
            return order if order is not None and order.account == account and order.symbol == symbol else None
        return self._by_client.get((account, symbol, client_order_id or ""))

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """Open orders in order of their ids."""
        symbols = self.instruments if symbol is None else (symbol,)
        orders = [order for name in symbols for order in self._open_orders(account, name).values()]
        return sorted(orders, key=lambda order: order.order_id)

    def open_count(self) -> int:
        """How many orders stand in the market, of all accounts."""
        return sum(len(orders) for orders in self._open.values())

    def orders_of(self, account: str, symbol: str | None = None) -> Iterator[Order]:
        """All orders ever, oldest first."""
        return (o for o in self.orders.values() if o.account == account and (symbol is None or o.symbol == symbol))

    def set_countdown(self, account: str, symbol: str, milliseconds: int) -> None:
        """Cancel all of the account's orders in `symbol` after this time, unless set again; 0 stops it."""
        if milliseconds:
            self._countdowns[(account, symbol)] = self._now() + milliseconds
        else:
            self._countdowns.pop((account, symbol), None)

    def on_timer(self) -> None:
        """Run what is due: countdowns and good-till dates. Call it about every 10 ms."""
        now = self._now()
        for (account, symbol), due in list(self._countdowns.items()):
            if due <= now:
                del self._countdowns[(account, symbol)]
                self.cancel_all(account, symbol)
        for order_id, order in list(self._good_till.items()):
            if not order.state.is_open:
                del self._good_till[order_id]
            elif order.request.good_till_ms <= now:
                with self._moment():
                    self.matchers[order.symbol].remove(order)
                    self._end(order, OrderState.EXPIRED, ReportKind.EXPIRED, ExpiryReason.GOOD_TILL_DATE, now)

    # --- money -----------------------------------------------------------------------------------------------------
    def unrealized(self, account: str, symbol: str) -> Decimal:
        return self.accounts[account].position(symbol).unrealized(self.mark(symbol))

    def margin_used(self, account: str) -> Decimal:
        """Initial margin of positions and of the larger open side, at the set leverage."""
        symbols = self.symbols_of(account)
        return sum((self.position_margin(account, s) + self.order_margin(account, s) for s in symbols), ZERO)

    def symbols_of(self, account: str) -> list[str]:
        """Contracts that settle in the account's asset: no other can give it a position."""
        asset = self.accounts[account].asset
        return [symbol for symbol, instrument in self.instruments.items() if instrument.settle == asset]

    def position_margin(self, account: str, symbol: str) -> Decimal:
        owner = self.accounts[account]
        held = abs(owner.position(symbol).quantity)
        return self.instruments[symbol].value(self.mark(symbol), held) / owner.leverage_of(symbol) if held else ZERO

    def order_margin(self, account: str, symbol: str) -> Decimal:
        bids, asks = self.open_notionals(account, symbol)
        return max(bids, asks) / self.accounts[account].leverage_of(symbol)

    def available(self, account: str) -> Decimal:
        """Wallet plus open profit less margin in use, not below 0."""
        owner = self.accounts[account]
        open_profit = sum((self.unrealized(account, symbol) for symbol in owner.positions), ZERO)
        return max(ZERO, money(owner.wallet + open_profit - self.margin_used(account)))

    def open_notionals(self, account: str, symbol: str) -> tuple[Decimal, Decimal]:
        """Values of what remains of the open bids and asks."""
        bids = asks = ZERO
        value = self.instruments[symbol].value
        for order in self._open_orders(account, symbol).values():
            if order.is_buy:
                bids += value(order.price, order.remaining)
            else:
                asks += value(order.price, order.remaining)
        return bids, asks

    # --- checks ----------------------------------------------------------------------------------------------------
    def _check(self, account: str, request: NewOrder, instrument: Instrument) -> None:
        market = request.type is OrderType.MARKET
        mark = self.mark(request.symbol)
        instrument.check_quantity(request.quantity, market)
        if not market:
            instrument.check_price(request.price)
            instrument.check_mark_band(request.price, mark, request.is_buy)
        price = mark if market else request.price
        value = instrument.value(price, request.quantity)
        if not request.reduce_only and value < instrument.min_notional:
            raise OrderRefused(Refusal.NOTIONAL_TOO_SMALL, str(instrument.min_notional))
        duplicate = self._by_client.get((account, request.symbol, request.client_order_id))
        if self.rules.unique_client_order_ids and duplicate is not None and duplicate.state.is_open:
            raise OrderRefused(Refusal.DUPLICATE_CLIENT_ORDER_ID)
        if len(self._open_orders(account, request.symbol)) >= instrument.max_open_orders:
            raise OrderRefused(Refusal.TOO_MANY_OPEN_ORDERS)
        if request.reduce_only:
            position = self.accounts[account].position(request.symbol).quantity
            if not position or (position > 0) == request.is_buy:
                raise OrderRefused(Refusal.REDUCE_ONLY)
            return
        self._check_margin(account, request.symbol, request.is_buy, request.quantity, value, None)

    def _check_margin(
        self, account: str, symbol: str, is_buy: bool, quantity: Decimal, added: Decimal, amended: Order | None
    ) -> None:
        """Enough balance for `added` notional; an order that only reduces the position always passes."""
        if added <= 0 or (amended is not None and amended.request.reduce_only):
            return
        owner = self.accounts[account]
        position = owner.position(symbol).quantity
        if position and (position > 0) != is_buy:
            same_side = sum(
                (
                    o.remaining
                    for o in self._open_orders(account, symbol).values()
                    if o.is_buy == is_buy and o is not amended
                ),
                ZERO,
            )
            if quantity + same_side <= abs(position):
                return
        if added / owner.leverage_of(symbol) > self.available(account):
            raise OrderRefused(Refusal.MARGIN)

    def _limit(self, order: Order, instrument: Instrument) -> Decimal | None:
        """The worst price it may take: its own, or for MARKET the bound from the mark."""
        if order.request.type is OrderType.LIMIT:
            return order.price
        mark, bound = self.mark(order.symbol), instrument.percent_price
        limit = mark * (1 + bound if order.is_buy else 1 - bound)
        book = self.matchers[order.symbol].book
        best = book.best_ask if order.is_buy else book.best_bid
        if best and (best > limit if order.is_buy else best < limit):
            raise OrderRefused(Refusal.NO_MARKET)
        return limit

    # --- matching --------------------------------------------------------------------------------------------------
    def _match(self, order: Order, limit: Decimal | None, now: int) -> None:
        matcher = self.matchers[order.symbol]
        matcher.take(order, limit, now)
        if not order.state.is_open:
            return
        if order.request.type is OrderType.MARKET:
            self.expired(order, ExpiryReason.MARKET_REMAINDER, now)
        elif order.request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.expired(order, ExpiryReason.IMMEDIATE_REMAINDER, now)
        else:
            matcher.rest(order)

    def reducible(self, order: Order) -> Decimal:
        """How much of a reduce-only order the position still allows."""
        position = self.accounts[order.account].position(order.symbol).quantity
        return abs(position) if position and (position > 0) != order.is_buy else ZERO

    def filled(self, order: Order, price: Decimal, quantity: Decimal, maker: bool, time_ms: int) -> None:
        """Called by the matcher: one fill. The report's time is the venue's clock, not the market flow's."""
        now = self._now()
        account = self.accounts[order.account]
        fee, realized = account.apply(order.symbol, order.is_buy, price, quantity, maker, now)
        trade = Trade(
            self._trade_ids.next(),
            order.order_id,
            order.client_order_id,
            order.account,
            order.symbol,
            order.is_buy,
            price,
            quantity,
            price * quantity,
            fee,
            account.asset,
            realized,
            maker,
            now,
        )
        account.trades.append(trade)
        order.filled += quantity
        order.quote_filled += trade.quote_quantity
        order.update_ms = now
        order.trade_ids.append(trade.trade_id)
        order.state = OrderState.PARTIALLY_FILLED if order.remaining else OrderState.FILLED
        if not order.remaining:
            self._forget(order)
        self._report(ReportKind.TRADE, order, now, trade)

    def expired(self, order: Order, reason: ExpiryReason, time_ms: int) -> None:
        """Called by the matcher: the rest of the order has ended."""
        self_trade = reason in (ExpiryReason.SELF_TRADE, ExpiryReason.IMMEDIATE_SELF_TRADE)
        state = OrderState.EXPIRED_IN_MATCH if self_trade else OrderState.EXPIRED
        self._end(order, state, ReportKind.EXPIRED, reason, self._now())

    def _end(self, order: Order, state: OrderState, kind: ReportKind, reason: ExpiryReason, now: int) -> None:
        order.state, order.expiry, order.update_ms = state, reason, now
        self._forget(order)
        self._report(kind, order, now)

    def _forget(self, order: Order) -> None:
        self._open_orders(order.account, order.symbol).pop(order.order_id, None)

    def _open_orders(self, account: str, symbol: str) -> dict[int, Order]:
        return self._open.setdefault((account, symbol), {})

    def _now(self) -> int:
        """The clock, standing still within one moment: all that happens in it has the same time."""
        return self._moment_ms if self._depth else self._clock_ms()

    # --- reports ---------------------------------------------------------------------------------------------------
    def _report(self, kind: ReportKind, order: Order, now: int, trade: Trade | None = None) -> None:
        bids, asks = self.open_notionals(order.account, order.symbol)
        state = None
        if trade is not None:
            account = self.accounts[order.account]
            position = account.position(order.symbol)
            entry = position.entry_price
            toll = 1 + account.taker_rate if position.quantity > 0 else 1 - account.taker_rate
            state = AccountState(
                account.wallet,
                position.quantity,
                entry,
                entry * toll,
                position.realized,
                position.unrealized(self.mark(order.symbol)),
            )
        self._reports.append(Report(kind, replace(order), now, bids, asks, trade, state))

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Collects reports of everything inside; the outermost hands them over."""
        if not self._depth:
            self._moment_ms = self._clock_ms()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._reports:
                reports, self._reports = self._reports, []
                by_account: dict[str, list[Report]] = {}
                for report in reports:
                    by_account.setdefault(report.order.account, []).append(report)
                for account, own in by_account.items():
                    self._on_reports(account, own)
