"""Orders of ours, and the reports the exchange makes about them.

A report is a snapshot: it carries copies of what the order, the position and the wallet were when it happened, so a
venue may word and send it later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

ZERO = Decimal(0)


class OrderType(Enum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(Enum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    """Post-only: refused, or canceled by an amendment, rather than taking."""
    GTD = "GTD"


class SelfTrade(Enum):
    """What ends when an order would meet another order of its own account; the taker's mode decides."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class OrderState(Enum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        return self in (OrderState.NEW, OrderState.PARTIALLY_FILLED)


class ReportKind(Enum):
    ACCEPTED = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDED = "AMENDMENT"


class ExpiryReason(Enum):
    NONE = "none"
    SELF_TRADE = "self trade"
    IMMEDIATE_REMAINDER = "IOC remainder"
    IMMEDIATE_SELF_TRADE = "IOC remainder because of a self trade"
    REDUCE_ONLY = "the position it reduces is gone"
    MARKET_REMAINDER = "no more book for a market order"
    GOOD_TILL_DATE = "its date came"


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Where venues differ in what becomes of an order."""

    unique_client_order_ids: bool = True
    """A second open order of the same client order id is refused."""
    refuses_fill_or_kill: bool = True
    """A FOK order that cannot be filled is refused; else it is accepted and ends unfilled."""
    amend_ends_self_trade_mode: bool = True
    """An amended order meets the account's own orders as any other."""
    smaller_amend_keeps_place: bool = False
    """An amendment to no more quantity at the same price stays in its place in the queue."""


@dataclass(slots=True)
class NewOrder:
    """What a client asks for. `price` is 0 for MARKET. `venue` is what the venue's wire layer wants to remember."""

    symbol: str
    is_buy: bool
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    client_order_id: str
    reduce_only: bool = False
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER
    good_till_ms: int = 0
    venue: Any = None


@dataclass(slots=True)
class Order:
    """One order and where it stands. `quote_filled` is the exact sum of price * quantity over its fills.

    `queue_ahead` is the market's quantity before this order at its price; `counted` is the part of its last drop that
    the market has shown as a smaller level but not yet as a trade (see matching), valid for trades not after
    `counted_ms`.
    """

    order_id: int
    account: str
    request: NewOrder
    price: Decimal
    quantity: Decimal
    create_ms: int
    update_ms: int
    state: OrderState = OrderState.NEW
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER
    expiry: ExpiryReason = ExpiryReason.NONE
    amendments: int = 0
    modify_id: str = ""
    queue_ahead: Decimal = ZERO
    counted: Decimal = ZERO
    counted_ms: int = 0
    trade_ids: list[int] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def is_buy(self) -> bool:
        return self.request.is_buy

    @property
    def client_order_id(self) -> str:
        return self.request.client_order_id

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.quote_filled / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of one order; `realized` is before the fee, both in the quote currency."""

    trade_id: int
    order_id: int
    client_order_id: str
    account: str
    symbol: str
    is_buy: bool
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    realized: Decimal
    maker: bool
    time_ms: int


@dataclass(frozen=True, slots=True)
class AccountState:
    """Wallet and one position just after a trade."""

    wallet: Decimal
    quantity: Decimal
    entry_price: Decimal
    break_even_price: Decimal
    realized: Decimal
    unrealized: Decimal


@dataclass(frozen=True, slots=True)
class Report:
    """One fact about one order. `order` is a copy; `open_bids` and `open_asks` are the account's open notionals in
    this symbol after the fact."""

    kind: ReportKind
    order: Order
    time_ms: int
    open_bids: Decimal = ZERO
    open_asks: Decimal = ZERO
    trade: Trade | None = None
    account: AccountState | None = None
