"""A small exchange with one instrument for the tests of the core: round numbers, no filters in the way."""

from __future__ import annotations

from decimal import Decimal

from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.ledger import Account
from exchanges.simulator.orders import NewOrder, Order, OrderType, Report, SelfTrade, TimeInForce

D = Decimal
SYMBOL = "AAAUSDT"

INSTRUMENT = Instrument(
    symbol=SYMBOL,
    base="AAA",
    quote="USDT",
    tick_size=D("0.1"),
    lot_size=D("0.01"),
    min_price=D("0.1"),
    max_price=D("100000"),
    min_quantity=D("0.01"),
    max_quantity=D("1000"),
    market_max_quantity=D("1000"),
    min_notional=D("0.001"),
    price_precision=1,
    quantity_precision=2,
    percent_price=D("0.9"),
)


class Market:
    """An exchange at a hand-wound clock, with accounts "a" and "b", and what it reported."""

    def __init__(self, bids: str = "99.9:5 99.8:7", asks: str = "100.1:5 100.2:7", instrument: Instrument = INSTRUMENT):
        self.now = 1_000
        self.update_id = 1
        self.reports: list[Report] = []
        self.exchange = SimulatedExchange([instrument], lambda: self.now, self._collect)
        self.matcher = self.exchange.matchers[instrument.symbol]
        for name in ("a", "b"):
            self.exchange.add_account(Account(name, "USDT", D("100000"), D("0.0002"), D("0.0005")))
        self.matcher.book.load(levels(bids), levels(asks), 1)
        self._count = 0

    def _collect(self, account: str, reports: list[Report]) -> None:
        assert all(report.order.account == account for report in reports)
        self.reports += reports

    def place(
        self,
        side: str,
        quantity: str,
        price: str | None = None,
        account: str = "a",
        tif: TimeInForce = TimeInForce.GTC,
        stp: SelfTrade = SelfTrade.EXPIRE_MAKER,
        reduce_only: bool = False,
    ) -> Order:
        self._count += 1
        kind = OrderType.LIMIT if price is not None else OrderType.MARKET
        request = NewOrder(
            SYMBOL, side == "buy", kind, tif, D(quantity), D(price or 0), f"c{self._count}", reduce_only, stp
        )
        return self.exchange.place(account, request)

    def top(self, bid: str, ask: str, ms: int = 0) -> None:
        (bid_level,), (ask_level,) = levels(bid), levels(ask)
        self.update_id += 1
        self.exchange.on_top(SYMBOL, *bid_level, *ask_level, self.update_id, ms or self.now)

    def delta(self, bids: str = "", asks: str = "", ms: int = 0) -> None:
        self.update_id += 1
        self.exchange.on_delta(SYMBOL, levels(bids), levels(asks), self.update_id, ms or self.now)

    def trade(self, price: str, quantity: str, seller_takes: bool, ms: int = 0) -> None:
        self.exchange.on_trade(SYMBOL, D(price), D(quantity), seller_takes, ms or self.now)

    def fills(self, order: Order | None = None) -> list[tuple[str, str, bool]]:
        """(price, quantity, maker) of the fills so far."""
        return [
            (f"{r.trade.price}", f"{r.trade.quantity.normalize():f}", r.trade.maker)
            for r in self.reports
            if r.trade is not None and (order is None or r.order.order_id == order.order_id)
        ]


def levels(text: str) -> list[tuple[Decimal, Decimal]]:
    """ "99.9:5 99.8:7" as levels."""
    return [(D(price), D(quantity)) for price, _, quantity in (pair.partition(":") for pair in text.split())]
