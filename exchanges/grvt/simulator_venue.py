"""The state of the simulated GRVT behind its sockets: exchange, sessions, orders on their way in, timers, faults.

Every call handler gets this and a `Call`. It owns no socket and no task.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from exchanges.grvt.simulator_auth import Sessions
from exchanges.grvt.simulator_errors import VenueError
from exchanges.simulator.book import MarketBook
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import REQUEST_KINDS, STREAM_KINDS, FaultRegistry
from exchanges.simulator.flow import MarketTrade
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.ledger import Account, Position
from exchanges.simulator.messages import MessageLog
from exchanges.simulator.orders import ExpiryReason, Order, OrderState

RECENT_TRADES: Final = 1000
FEE_STEP: Final = Decimal("1e-6")
COOKIE_EXPIRED: Final = "cookie_expired"
SEQUENCE_RESTART: Final = "sequence_restart"
"""The counters of all streams begin anew, as after a restart of the gateway."""
KINDS: Final = (
    *STREAM_KINDS,
    *(kind for kind in REQUEST_KINDS if not kind.startswith("http_418")),
    COOKIE_EXPIRED,
    SEQUENCE_RESTART,
)
"""What this venue's wire layer knows how to do."""


class GrvtPosition(Position):
    """Fees are cut toward zero at six decimals, as the venue books them."""

    __slots__ = ()

    def fee(self, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
        return (price * quantity * rate).quantize(FEE_STEP, rounding=ROUND_DOWN)


class GrvtAccount(Account):
    """One sub account."""

    __slots__ = ()

    def new_position(self, symbol: str) -> Position:
        return GrvtPosition()


@dataclass
class WireOrder:
    """An order as its client signed it. The exchange's order carries it along."""

    account: str
    symbol: str
    is_buy: bool
    market: bool
    time_in_force: str
    post_only: bool
    reduce_only: bool
    size: Decimal
    price: Decimal
    client_order_id: str
    signature: dict[str, Any]
    create_ns: int
    cancel_reason: str = "CLIENT_CANCEL"
    """Who or what canceled it, known at the moment it happens."""
    rest_status: str = "CANCELLED"
    """Status of what is left of an order that may not rest."""

    @property
    def may_rest(self) -> bool:
        return not self.market and self.time_in_force not in ("IMMEDIATE_OR_CANCEL", "FILL_OR_KILL")

    def end_status(self, order: Order) -> str:
        """Of an order that ended with something left of it."""
        return "CANCELLED" if self.may_rest or order.state is OrderState.CANCELED else self.rest_status

    def end_reason(self, order: Order) -> str:
        """reject_reason of an order that ended with something left of it."""
        if order.state is OrderState.CANCELED:
            return self.cancel_reason
        if order.expiry in (ExpiryReason.SELF_TRADE, ExpiryReason.IMMEDIATE_SELF_TRADE):
            return "SELF_TRADE_PROTECTION"
        if order.expiry is ExpiryReason.REDUCE_ONLY:
            return "FAIL_REDUCE_ONLY"
        if order.expiry is ExpiryReason.GOOD_TILL_DATE:
            return "EXPIRED"
        by_time_in_force = {"IMMEDIATE_OR_CANCEL": "IOC_CANCEL", "FILL_OR_KILL": "FOK_CANCEL"}
        return by_time_in_force.get(self.time_in_force, "MARKET_CANCEL")


@dataclass(slots=True)
class Call:
    """One request, whichever socket it came by. `account` is None where nobody is logged in."""

    body: dict[str, Any]
    account: str | None = None

    def owner(self) -> str:
        """The account that the request names, which must be the one that is logged in. Raises VenueError."""
        if self.account is None:
            raise VenueError(1000)
        named = self.body.get("sub_account_id")
        if named is not None:
            if not str(named).isdigit():
                raise VenueError(3020)
            if str(named) != self.account:
                raise VenueError(1001)
        return self.account

    def names(self, field_name: str) -> list[Any]:
        """A list of words to filter by; nothing = everything. Raises VenueError."""
        found = self.body.get(field_name) or []
        if not isinstance(found, list):
            raise VenueError(1003)
        return found

    @property
    def symbol(self) -> str:
        """The instrument of a create, for fault filters; "" where there is none."""
        order = self.body.get("order")
        legs = order.get("legs") if isinstance(order, dict) else None
        leg = legs[0] if isinstance(legs, list) and legs else None
        return str(leg.get("instrument", "")) if isinstance(leg, dict) else ""


@dataclass
class RememberedCancel:
    """A cancel by client order id that waits for its order."""

    account: str
    client_order_id: str
    until_ms: int
    received_ns: int


@dataclass
class Venue:
    """State shared by all handlers. `send_order`, `send_cancel` and `submit` are set by the server."""

    exchange: SimulatedExchange
    sessions: Sessions
    clock_ms: Callable[[], int]
    chain_id: int
    create_limit: int
    cancel_limit: int
    halted: set[str] = field(default_factory=set)
    incoming: dict[tuple[str, str], WireOrder] = field(default_factory=dict)
    """(account, client order id) of creates that were answered PENDING and have not reached the book."""
    remembered: dict[tuple[str, str], RememberedCancel] = field(default_factory=dict)
    remembers_cancels: bool = True
    """Off: a cancel that names a time to live is refused."""
    countdowns: dict[str, int] = field(default_factory=dict)
    recent_trades: dict[str, deque[MarketTrade]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    """By route and code, like "v1/create_order 1000"."""
    faults: FaultRegistry = field(default_factory=lambda: FaultRegistry(KINDS))
    messages: MessageLog = field(default_factory=MessageLog)
    rest_status: str = "CANCELLED"
    """Nobody outside knows whether what is left of an IOC order that never was open ends so, or as REJECTED."""
    submit: Callable[[WireOrder], None] = lambda wire: None
    send_order: Callable[[dict[str, Any]], None] = lambda order: None
    send_cancel: Callable[[dict[str, Any]], None] = lambda outcome: None
    refused: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Newest rejected orders by (account, client order id): a query still finds them."""
    _tokens: dict[tuple[str, str], deque[int]] = field(default_factory=dict)

    def instrument(self, symbol: Any) -> Instrument:
        instrument = self.exchange.instruments.get(str(symbol))
        if instrument is None:
            raise VenueError(3000)
        return instrument

    def book(self, symbol: str) -> MarketBook:
        return self.exchange.matchers[symbol].book

    def mark(self, symbol: str) -> Decimal:
        return self.exchange.mark(symbol)

    def take_tokens(self, account: str, kind: str, count: int = 1) -> None:
        """Of the second that ends now; VenueError 1006 where there are not so many."""
        limit = self.create_limit if kind == "create" else self.cancel_limit
        taken, now = self._tokens.setdefault((account, kind), deque()), self.clock_ms()
        while taken and taken[0] <= now - 1000:
            taken.popleft()
        if len(taken) + count > limit:
            raise VenueError(1006)
        taken.extend([now] * count)

    def cancel(self, order: Order, reason: str) -> None:
        """End an open order, and say why."""
        wire: WireOrder = order.request.venue
        wire.cancel_reason = reason
        self.exchange.cancel(order)

    def cancel_all(self, account: str, reason: str) -> int:
        """Everything open of this account; how many that were."""
        orders = self.exchange.open_orders(account)
        for order in orders:
            order.request.venue.cancel_reason = reason
        for symbol in self.exchange.instruments:
            self.exchange.cancel_all(account, symbol)
        return len(orders)

    def find(self, account: str, client_order_id: str) -> Order | None:
        """The newest order with this client id, in any instrument."""
        found = [
            order
            for symbol in self.exchange.instruments
            if (order := self.exchange.find(account, symbol, None, client_order_id)) is not None
        ]
        return max(found, key=lambda order: order.order_id) if found else None

    def on_timer(self) -> None:
        """Countdowns, and cancels whose order never came."""
        now = self.clock_ms()
        for account, due in list(self.countdowns.items()):
            if due <= now:
                del self.countdowns[account]
                self.cancel_all(account, "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED")
        for key, cancel in list(self.remembered.items()):
            if cancel.until_ms <= now:
                del self.remembered[key]
                self.send_cancel(cancel_outcome(cancel, "EXPIRED", now))


def cancel_outcome(cancel: RememberedCancel, status: str, now_ms: int) -> dict[str, Any]:
    """A v1.cancel feed."""
    return {
        "sub_account_id": cancel.account,
        "client_order_id": cancel.client_order_id,
        "order_id": "0x00",
        "reason": "CLIENT_CANCEL",
        "update_time": str(now_ms * 1_000_000),
        "cancel_status": status,
    }
