"""The state of the simulated Deribit behind its sockets: exchange, contracts, tokens, credits, books, sessions, faults.

Every call handler gets this and a `Call`. It owns no socket and no task. A person's account is one account of the
exchange core per currency, named `demo:BTC`, because each currency has its own wallet.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from exchanges.deribit.simulator_auth import Token, Tokens
from exchanges.deribit.simulator_errors import VenueError
from exchanges.deribit.simulator_faults import KINDS
from exchanges.deribit.simulator_flow import forward
from exchanges.deribit.simulator_instruments import Listing
from exchanges.deribit.simulator_limits import Credits
from exchanges.deribit.simulator_open_points import OpenPoints
from exchanges.deribit.simulator_parameters import Parameters
from exchanges.simulator.book import MarketBook
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import FaultRegistry
from exchanges.simulator.flow import MarketTrade
from exchanges.simulator.ids import Ids
from exchanges.simulator.ledger import Account, Position
from exchanges.simulator.messages import MessageLog
from exchanges.simulator.orders import Order, Report, Trade

if TYPE_CHECKING:
    from exchanges.deribit.simulator_streams import RpcConnection, StreamHub

RECENT_TRADES = 1000
CURRENCIES = ("BTC", "ETH", "USDC")
USER_ID = 90_001
VERSION = "1.2.26"


@dataclass(slots=True)
class Call:
    """One request, whichever socket it came by. `connection` is None over HTTP, `token` for public calls."""

    method: str
    parameters: Parameters
    now_ms: int
    connection: RpcConnection | None = None
    token: Token | None = None
    after: list[bytes] = field(default_factory=list)
    """Frames that follow the answer at once: a subscription's snapshots."""
    closes: bool = False
    """The connection ends instead of an answer: a logout."""

    @property
    def owner(self) -> str:
        """The account of a call that needs one."""
        assert self.token is not None
        return self.token.account


@dataclass(slots=True)
class OrderNote:
    """What the venue remembers of an order beside what the exchange core does."""

    label: str
    post_only: bool = False
    reject_post_only: bool = False
    mmp: bool = False
    order_type: str = "limit"
    """As answers show it: a market order is a limit order at a protective price to the exchange core."""
    original_type: str = ""
    time_in_force: str = "good_til_cancelled"
    replaced: bool = False
    cancel_reason: str = ""
    connection: Any = None
    """The socket that created it: cancel-on-disconnect takes its orders only, whoever edits them later."""


@dataclass(slots=True)
class PublicTrade:
    """A trade of the market with the venue's own counters."""

    trade: MarketTrade
    seq: int
    trade_id: str
    tick_direction: int
    mark: Decimal
    index: Decimal


@dataclass(slots=True)
class MarketState:
    """What the public side knows of one contract beside its book."""

    listing: Listing
    state: str = "open"
    time_ms: int = 0
    trades: deque[PublicTrade] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))
    next_seq: int = 1
    last_price: Decimal | None = None
    tick_direction: int = 0
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal = Decimal(0)
    settlement_price: Decimal | None = None
    delivery_price: Decimal | None = None
    funding_rate: Decimal = Decimal(0)
    interest_value: Decimal = Decimal(0)


class Venue:
    """State shared by all handlers."""

    def __init__(
        self,
        exchange: SimulatedExchange,
        tokens: Tokens,
        credits: Credits,
        clock_ms: Callable[[], int],
        points: OpenPoints,
    ) -> None:
        self.exchange = exchange
        self.tokens = tokens
        self.credits = credits
        self.clock_ms = clock_ms
        self.faults = FaultRegistry(kinds=KINDS)
        self.messages = MessageLog()
        self.markets: dict[str, MarketState] = {}
        self.indices: dict[str, Decimal] = {}
        self.connections: set[RpcConnection] = set()
        self.requests: Counter[str] = Counter()
        self.sessions: dict[tuple[str, str], Position] = {}
        """Positions counted from the last settlement on, by (core account, symbol)."""
        self.trade_numbers: dict[int, tuple[int, int]] = {}
        """(trade_seq, tick_direction) of our own fills by the exchange core's id."""
        self._own_seq: dict[str, Ids] = {}
        self.account_cod: set[str] = set()
        """Accounts whose new connections start with cancel-on-disconnect."""
        self.failure: BaseException | None = None
        """What went wrong in a handler, by our own fault."""
        self.settlement_until_ms = 0
        self.maintenance_until_ms = 0
        self.points = points
        self.hub: StreamHub
        """Set by the server."""

    # --- contracts -------------------------------------------------------------------------------------------------
    def listing(self, name: str) -> Listing:
        return self.market(name).listing

    def market(self, name: str) -> MarketState:
        market = self.markets.get(name)
        if market is None:
            raise VenueError(13020)
        return market

    def named(self, call: Call) -> MarketState:
        """The contract that `instrument_name` names."""
        return self.market(call.parameters.text("instrument_name"))

    def book(self, name: str) -> MarketBook:
        return self.exchange.matchers[name].book

    def mark(self, name: str) -> Decimal:
        return self.exchange.mark(name)

    def index(self, name: str) -> Decimal:
        """Of the price index named so."""
        found = self.indices.get(name)
        if found is None:
            raise VenueError(13020)
        return found

    def forward(self, listing: Listing) -> float:
        """What the contract's expiry is worth of its underlying."""
        spot = float(self.mark(listing.underlying))
        return spot if listing.perpetual else forward(spot, listing.expiry_ms, self.clock_ms())

    # --- accounts --------------------------------------------------------------------------------------------------
    @staticmethod
    def core_account(owner: str, currency: str) -> str:
        return f"{owner}:{currency}"

    @staticmethod
    def owner_of(core_account: str) -> str:
        return core_account.rpartition(":")[0]

    def wallet(self, owner: str, currency: str) -> Account:
        """The account's wallet of one currency; -32602 where there is none."""
        account = self.exchange.accounts.get(self.core_account(owner, currency.upper()))
        if account is None:
            raise VenueError(-32602, data={"reason": "value not allowed", "param": "currency"})
        return account

    def orders_of(self, owner: str) -> list[Order]:
        """All orders ever of all currencies, oldest first."""
        return [order for order in self.exchange.orders.values() if self.owner_of(order.account) == owner]

    def open_orders(self, owner: str) -> list[Order]:
        rows = [
            order for currency in CURRENCIES for order in self.exchange.open_orders(self.core_account(owner, currency))
        ]
        return sorted(rows, key=lambda order: order.order_id)

    def trades_of(self, owner: str) -> list[Trade]:
        """All fills of all currencies, oldest first."""
        rows = [t for currency in CURRENCIES for t in self.wallet(owner, currency).trades]
        return sorted(rows, key=lambda trade: trade.trade_id)

    def session(self, core_account: str, symbol: str) -> Position:
        """The position counted from the last settlement on."""
        found = self.sessions.get((core_account, symbol))
        if found is None:
            found = self.sessions[(core_account, symbol)] = self.exchange.accounts[core_account].new_position(symbol)
        return found

    def book_session(self, core_account: str, reports: list[Report]) -> None:
        """Fills move the position of the session as they moved the real one, and get their numbers."""
        for report in reports:
            trade = report.trade
            if trade is not None:
                self.session(core_account, trade.symbol).fill(trade.is_buy, trade.price, trade.quantity)
                numbers = self._own_seq.setdefault(trade.symbol, Ids(self.clock_ms))
                direction = self.markets[trade.symbol].tick_direction
                self.trade_numbers[trade.trade_id] = (numbers.next(), direction)
