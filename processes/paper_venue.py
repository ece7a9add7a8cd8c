"""A venue that fills orders against recorded market data: what `corelane replay --strategy` trades on.

The rule: it is the embedded simulator's own matching, so it promises what that does and no more. An order of ours waits
behind the quantity that was shown at its price when it came; trades there use the queue up first, a smaller level cuts
it (who left is assumed to have stood behind us), a trade through the price or a market that comes to stand across it
fills, takers get the recorded levels. The recorded market never sees us: no impact. Margin is not counted. A perpetual
pays its funding at the time and rate that its tickers had named, at the mark of then; one whose tickers name no time
(Deribit pays all the while) pays none. The exchange here counts in units, the strategy in contracts of `contract_size`.
Requests take `latency_ns` to the venue and its answers as long back. Used by replay_strategy.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from exchanges.simulator.errors import OrderRefused, Refusal
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.ledger import Account, coins, money
from exchanges.simulator.orders import NewOrder, OrderType, Report, ReportKind, SelfTrade, TimeInForce
from shm import layout
from shm.layout import (
    MONEY_SCALE,
    ROW_MASK,
    ContractKind,
    EventType,
    ExecFlag,
    FillPart,
    Liquidity,
    MarketStatusCode,
    Reason,
    RequestType,
    Side,
)
from shm.records import BookRow, BookTop, InstrumentRow, MarketStatus, OrderRequest, Quote, Ticker, TickerRow, Trade
from shm.table import TableWriter
from strategy.testing import Listing, StrategyRig, VenueSide

WALLET: Final = Decimal(10**12)
"""So large that margin never refuses: the strategy's limits are what bounds it here."""
ANY_DISTANCE: Final = Decimal(100)
MOST: Final = Decimal(10**12)
TIMES_IN_FORCE: Final = {
    layout.TimeInForce.GTC: TimeInForce.GTC,
    layout.TimeInForce.IOC: TimeInForce.IOC,
    layout.TimeInForce.FOK: TimeInForce.FOK,
}
REASONS: Final = {
    Refusal.POST_ONLY_WOULD_TAKE: Reason.VENUE_POST_ONLY,
    Refusal.REDUCE_ONLY: Reason.VENUE_REDUCE_ONLY,
    Refusal.UNKNOWN_ORDER: Reason.VENUE_UNKNOWN_ORDER,
    Refusal.AMEND_NO_CHANGE: Reason.VENUE_NOTHING_TO_CHANGE,
}
"""The others are filters."""
GONE: Final = (MarketStatusCode.GAP, MarketStatusCode.DISCONNECTED, MarketStatusCode.CROSSED, MarketStatusCode.STALE)
Recorded = Quote | Trade | BookTop | Ticker | MarketStatus | InstrumentRow


@dataclass(frozen=True)
class RecordedListing(Listing):
    """An instrument as its market server had written it."""

    recorded: InstrumentRow = field(default_factory=InstrumentRow)

    def row(self, identifier: int, venue: int) -> InstrumentRow:
        row = self.recorded.copy()
        row.instrument_id, row.venue = identifier, venue
        return row


class PaperVenue(VenueSide):
    """One venue of a replay; `play` is its market, `answer` and `deliver` are its way to the strategy and back."""

    def __init__(
        self, rig: StrategyRig, name: str, listings: list[Listing], latency_ns: int, maker: Decimal, taker: Decimal
    ) -> None:
        super().__init__(rig, name, listings)
        self._latency_ns = latency_ns
        self._to_venue: deque[tuple[int, OrderRequest]] = deque()
        self._to_us: deque[tuple[int, Callable[[], None]]] = deque()
        self._tickers = TableWriter(rig.instance.segment(f"{name}.tickers"))
        self._instruments = TableWriter(rig.instance.segment(f"{name}.instruments"))
        self._symbols: dict[int, str] = {}
        self._rows: dict[int, BookRow] = {}
        self._listed: dict[str, InstrumentRow] = {}
        self._levels: dict[str, tuple[set[Decimal], set[Decimal]]] = {}
        self._funding: dict[str, _Funding] = {}
        self._update = 0
        ids = rig.instance.instruments(name)
        for listing in listings:
            symbol = listing.name.partition(":")[2]
            self._symbols[ids.id(symbol)] = symbol
            self._listed[symbol] = listing.row(ids.id(symbol), self.code)
        self.exchange = SimulatedExchange(
            [_instrument(symbol, row) for symbol, row in self._listed.items()], self._clock_ms, self._on_reports
        )
        for asset in {instrument.settle for instrument in self.exchange.instruments.values()}:
            self.exchange.add_account(Account(asset, asset, WALLET, maker, taker))
        self.reports: list[Report] = []
        """Everything that became of the orders, in order."""
        self.refused: list[str] = []
        """Why the venue did not take an order."""

    def _clock_ms(self) -> int:
        return self._rig.utc_ns // 1_000_000

    # --- the recorded market ----------------------------------------------------------------------------------------
    def play(self, record: Recorded) -> None:
        """One record as the market server published it; its instrument id is the rig's."""
        symbol = self._symbols[record.instrument_id]
        if isinstance(record, InstrumentRow):
            self._instruments.write(record.instrument_id & ROW_MASK, record)
            return
        self._update += 1
        if isinstance(record, Quote):
            self._on_quote(symbol, record)
        elif isinstance(record, BookTop):
            self._on_book(symbol, record)
        elif isinstance(record, Trade):
            maker_bought = record.aggressor_side == Side.SELL
            price, quantity = self._price(symbol, record.price), self._quantity(symbol, record.quantity)
            self.exchange.on_trade(symbol, price, quantity, maker_bought, self._clock_ms())
        elif isinstance(record, Ticker):
            if record.next_funding_time_ns and math.isfinite(record.funding_rate):
                self._funding.setdefault(symbol, _Funding()).learn(record.next_funding_time_ns, record.funding_rate)
            if record.mark_price_mantissa > 0:
                self.exchange.set_mark(symbol, Decimal(record.mark_price_mantissa).scaleb(-MONEY_SCALE))
            self._tickers.write(record.instrument_id & ROW_MASK, _as_row(record))
        elif record.code in GONE:
            self._withdraw(record)
        self.market.publish(record, stamp=False)

    def _on_quote(self, symbol: str, quote: Quote) -> None:
        if quote.instrument_id not in self._rows and quote.bid_price < quote.ask_price:
            row = self._book_row(quote)  # a recording that begins between two books
            row.bid_count = row.ask_count = 1
            row.bid_prices[0], row.bid_quantities[0] = quote.bid_price, quote.bid_quantity
            row.ask_prices[0], row.ask_quantities[0] = quote.ask_price, quote.ask_quantity
            self.books.write(quote.instrument_id & ROW_MASK, row)
        if math.isfinite(quote.bid_price) and math.isfinite(quote.ask_price):
            self.exchange.on_top(
                symbol,
                self._price(symbol, quote.bid_price),
                self._quantity(symbol, quote.bid_quantity),
                self._price(symbol, quote.ask_price),
                self._quantity(symbol, quote.ask_quantity),
                self._update,
                self._clock_ms(),
            )

    def _on_book(self, symbol: str, book: BookTop) -> None:
        """The recorded levels are all that is known of the book: what is not among them any more is taken for gone."""
        row = self._book_row(book)
        row.bid_count, row.ask_count = book.bid_count, book.ask_count
        changes: list[list[tuple[Decimal, Decimal]]] = []
        known = self._levels.get(symbol, (set(), set()))
        now: list[set[Decimal]] = []
        for side, count in enumerate((book.bid_count, book.ask_count)):
            prices = book.ask_prices if side else book.bid_prices
            quantities = book.ask_quantities if side else book.bid_quantities
            for index in range(count):
                target = (row.ask_prices, row.ask_quantities) if side else (row.bid_prices, row.bid_quantities)
                target[0][index], target[1][index] = prices[index], quantities[index]
            levels = {
                self._price(symbol, prices[index]): self._quantity(symbol, quantities[index]) for index in range(count)
            }
            changes.append([*levels.items(), *((price, Decimal(0)) for price in known[side] - levels.keys())])
            now.append(set(levels))
        self._levels[symbol] = (now[0], now[1])
        self.books.write(book.instrument_id & ROW_MASK, row)
        self.exchange.on_delta(symbol, changes[0], changes[1], self._update, self._clock_ms())

    def _book_row(self, record: Quote | BookTop) -> BookRow:
        row = self._rows.setdefault(record.instrument_id, BookRow())
        row.instrument_id, row.venue = record.instrument_id, self.code
        row.valid, row.status = 1, int(MarketStatusCode.LIVE)
        row.receive_time_ns, row.exchange_time_ns = record.receive_time_ns, record.exchange_time_ns
        return row

    def _withdraw(self, status: MarketStatus) -> None:
        row = self._rows.get(status.instrument_id)
        if row is not None:
            row.valid, row.status = 0, status.code
            self.books.write(status.instrument_id & ROW_MASK, row)
            del self._rows[status.instrument_id]

    # --- orders -----------------------------------------------------------------------------------------------------
    def answer(self) -> None:
        """Take requests on their way; recoveries are answered at once, as an engine does from its own books."""
        while (request := self.requests.poll()) is not None:
            self.requests.commit()
            if request.request_type == RequestType.RECOVER:
                self._rig.beat(f"trading_engine.{self.name}", accepted_trader_epoch=request.epoch)
                self._bracket(request.request_id)
            else:
                self._to_venue.append((self._rig.now_ns + self._latency_ns, request.copy()))

    @property
    def next_ns(self) -> int:
        """When something that is on its way arrives, or a funding is due."""
        arriving = min(line[0][0] if line else 1 << 62 for line in (self._to_venue, self._to_us))
        utc_offset_ns = self._rig.utc_ns - self._rig.now_ns
        return min([arriving, *(one.time_ns - utc_offset_ns for one in self._funding.values() if one.time_ns)])

    def deliver(self) -> int:
        """Let arrive what is due; how much."""
        now, count = self._rig.now_ns, 0
        for symbol, funding in self._funding.items():
            if funding.time_ns and self._rig.utc_ns >= funding.time_ns:
                self._pay(symbol, funding.take())
        while self._to_venue and self._to_venue[0][0] <= now:
            self._on_request(self._to_venue.popleft()[1])
            count += 1
        while self._to_us and self._to_us[0][0] <= now:
            self._to_us.popleft()[1]()
            count += 1
        return count

    def _pay(self, symbol: str, rate: Decimal) -> None:
        account = self.exchange.accounts[self._account(symbol)]
        quantity = account.position(symbol).quantity
        if quantity:
            mark = self.exchange.mark(symbol)
            inverse = self.exchange.instruments[symbol].inverse
            account.fund(symbol, coins(-quantity / mark * rate) if inverse else money(-quantity * mark * rate))

    @property
    def without_funding(self) -> list[str]:
        """Perpetuals of which no ticker has named a time of funding."""
        perpetual = (ContractKind.LINEAR_PERPETUAL, ContractKind.INVERSE_PERPETUAL)
        return [
            name for name, row in self._listed.items() if row.contract_kind in perpetual and name not in self._funding
        ]

    def _later(self, act: Callable[[], None]) -> None:
        self._to_us.append((self._rig.now_ns + self._latency_ns, act))

    def _on_request(self, request: OrderRequest) -> None:
        symbol, kind = self._symbols.get(request.instrument_id, ""), request.request_type
        if kind == RequestType.NEW:
            self.taken[request.client_order_id], self.filled[request.client_order_id] = request, 0
            try:
                self.exchange.place(self._account(symbol), self._new_order(symbol, request))
            except OrderRefused as refused:
                self.refused.append(_words(refused))
                self._over(EventType.REJECTED, request, reason=_reason(refused), text=_words(refused).encode())
        elif kind in (RequestType.CANCEL, RequestType.REPLACE):
            self._change(symbol, request)

    def _change(self, symbol: str, request: OrderRequest) -> None:
        order = self.exchange.find(self._account(symbol), symbol, None, str(request.client_order_id))
        cancel = request.request_type == RequestType.CANCEL
        refusal = EventType.CANCEL_REJECTED if cancel else EventType.REPLACE_REJECTED
        try:
            if order is None or not order.state.is_open:
                self._later(lambda: self.send(refusal, request, reason=Reason.VENUE_UNKNOWN_ORDER))
            elif cancel:
                self.exchange.cancel(order)
            else:
                before, self.taken[request.client_order_id] = self.taken[request.client_order_id], request
                try:
                    self.exchange.amend(order, *self._asked(symbol, request))
                except OrderRefused:
                    self.taken[request.client_order_id] = before
                    raise
        except OrderRefused as refused:
            reason, text = _reason(refused), _words(refused).encode()
            self._later(lambda: self.send(refusal, request, reason=reason, text=text))

    def _on_reports(self, _account: str, reports: list[Report]) -> None:
        for report in reports:
            self.reports.append(report)
            request = self.taken.get(int(report.order.client_order_id))
            if request is not None:
                self._tell(report, request)

    def _tell(self, report: Report, request: OrderRequest) -> None:
        if report.kind is ReportKind.ACCEPTED:
            number = b"%d" % report.order.order_id
            self._later(lambda: self.send(EventType.ACCEPTED, request, exchange_order_id=number))
        elif report.kind is ReportKind.TRADE:
            self._tell_fill(report, request)
        elif report.kind is ReportKind.AMENDED:
            self._later(lambda: self.send(EventType.REPLACED, request))
        else:
            kind = EventType.CANCELED if report.kind is ReportKind.CANCELED else EventType.EXPIRED
            self._over(kind, request)

    def _tell_fill(self, report: Report, request: OrderRequest) -> None:
        trade, row = report.trade, self._listed[report.order.symbol]
        assert trade is not None
        filled = self._mantissa(self.contracts(report.order.symbol, report.order.filled), row.quantity_scale)
        self.filled[request.client_order_id] = filled
        fields = {
            "last_quantity": self._mantissa(self.contracts(report.order.symbol, trade.quantity), row.quantity_scale),
            "last_price": self._mantissa(trade.price, row.price_scale),
            "parts": int(FillPart.QUANTITY | FillPart.FEE), "trade_id": b"%d" % trade.trade_id, "request_type": 0,
            "fee": self._mantissa(trade.fee, MONEY_SCALE), "fee_currency": trade.fee_asset.encode(),
            "cumulative_quantity": filled, "liquidity": int(Liquidity.MAKER if trade.maker else Liquidity.TAKER),
        }  # fmt: skip
        if not report.order.remaining:
            self.taken.pop(request.client_order_id, None)
        self._later(lambda: self.send(EventType.FILL, request, **fields))

    def _over(self, kind: EventType, request: OrderRequest, **fields: object) -> None:
        filled = self.filled.pop(request.client_order_id, 0)
        self.taken.pop(request.client_order_id, None)
        self._later(lambda: self.send(kind, request, cumulative_quantity=filled, **fields))

    # --- numbers ----------------------------------------------------------------------------------------------------
    def _account(self, symbol: str) -> str:
        found = self.exchange.instruments.get(symbol)
        return found.settle if found is not None else ""

    def _new_order(self, symbol: str, request: OrderRequest) -> NewOrder:
        price, quantity = self._asked(symbol, request)
        market = request.order_type == layout.OrderType.MARKET
        return NewOrder(
            symbol=symbol,
            is_buy=request.side == Side.BUY,
            type=OrderType.MARKET if market else OrderType.LIMIT,
            time_in_force=TimeInForce.GTX
            if request.exec_flags & ExecFlag.POST_ONLY
            else TIMES_IN_FORCE.get(layout.TimeInForce(request.time_in_force), TimeInForce.GTC),
            quantity=quantity,
            price=price,
            client_order_id=str(request.client_order_id),
            reduce_only=bool(request.exec_flags & ExecFlag.REDUCE_ONLY),
            self_trade=SelfTrade.EXPIRE_MAKER,
        )

    def _asked(self, symbol: str, request: OrderRequest) -> tuple[Decimal, Decimal]:
        row = self._listed[symbol]
        quantity = Decimal(request.quantity).scaleb(-row.quantity_scale) * _size(row)
        return Decimal(request.price).scaleb(-row.price_scale), quantity

    def contracts(self, symbol: str, quantity: Decimal) -> Decimal:
        """A quantity of the exchange's, as the strategy counts it."""
        return quantity / _size(self._listed[symbol])

    @staticmethod
    def _mantissa(value: Decimal, scale: int) -> int:
        return int(value.scaleb(scale))

    def _price(self, symbol: str, price: float) -> Decimal:
        """The recorded float is a venue price with at most so many decimals: the nearest of those is that price."""
        scale = self._listed[symbol].price_scale
        return Decimal(round(price * 10**scale)).scaleb(-scale)

    def _quantity(self, symbol: str, quantity: float) -> Decimal:
        row = self._listed[symbol]
        return Decimal(round(quantity * 10**row.quantity_scale)).scaleb(-row.quantity_scale) * _size(row)


class _Funding:
    """The next payment of a perpetual, as its newest ticker tells it; time_ns 0: it was paid, and none is known yet."""

    def __init__(self) -> None:
        self.time_ns = 0
        self._rate = Decimal(0)
        self._paid_ns = 0

    def learn(self, time_ns: int, rate: float) -> None:
        if time_ns > self._paid_ns:
            self.time_ns, self._rate = time_ns, Decimal(repr(rate))

    def take(self) -> Decimal:
        """The rate of the payment that is due; it is paid with this."""
        self._paid_ns, self.time_ns = self.time_ns, 0
        return self._rate


def _size(row: InstrumentRow) -> Decimal:
    """Units in a contract; a recorded 0 is a 1."""
    return Decimal(row.contract_size or 10**MONEY_SCALE).scaleb(-MONEY_SCALE).normalize()


def _instrument(symbol: str, row: InstrumentRow) -> Instrument:
    """The exchange's view of a recorded row; absent bounds are wide ones."""

    def price(mantissa: int) -> Decimal:
        return Decimal(mantissa).scaleb(-row.price_scale)

    def quantity(mantissa: int) -> Decimal:
        return Decimal(mantissa).scaleb(-row.quantity_scale) * _size(row)

    option = row.contract_kind == ContractKind.OPTION
    most = quantity(row.maximum_quantity) or MOST
    settle, base = bytes(row.settle_currency).decode(), bytes(row.base_currency).decode()
    return Instrument(
        symbol=symbol,
        base=settle if row.inverse else base,
        quote=bytes(row.quote_currency).decode() if row.inverse else settle,
        tick_size=price(row.tick_size),
        lot_size=quantity(row.lot_size),
        min_price=price(row.minimum_price or row.tick_size),
        max_price=price(row.maximum_price) or MOST,
        min_quantity=quantity(row.minimum_quantity or row.lot_size),
        max_quantity=most,
        market_max_quantity=most,
        min_notional=Decimal(0) if row.inverse else Decimal(row.minimum_notional).scaleb(-MONEY_SCALE),
        price_precision=row.price_scale,
        quantity_precision=row.quantity_scale + max(0, -int(_size(row).as_tuple().exponent)),
        percent_price=ANY_DISTANCE,
        max_open_orders=10_000,
        inverse=bool(row.inverse) and not option,
        option=option,
        tick_steps=tuple(
            (price(above), price(step))
            for above, step in zip(row.tick_step_prices, row.tick_step_sizes, strict=True)
            if step > 0
        ),
    )


def _as_row(ticker: Ticker) -> TickerRow:
    """The tickers table holds the same fields."""
    row = TickerRow()
    for name in ("instrument_id", "venue", "receive_time_ns", "exchange_time_ns", "mark_price", "mark_price_mantissa",
                 "index_price", "funding_rate", "next_funding_time_ns"):  # fmt: skip
        setattr(row, name, getattr(ticker, name))
    return row


def _reason(refused: OrderRefused) -> int:
    return int(REASONS.get(refused.refusal, Reason.VENUE_FILTER))


def _words(refused: OrderRefused) -> str:
    return refused.refusal.name.lower().replace("_", " ") + (f" {refused.detail}" if refused.detail else "")
