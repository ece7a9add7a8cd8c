"""The state of the simulated Binance behind its sockets: exchange, keys, books, listen keys, recent trades, faults.

Every call handler gets this and a `Call`. It owns no socket and no task.
"""

from __future__ import annotations

import secrets
import string
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_auth import ApiKey
from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_funding import FundingPayment
from exchanges.binance.simulator_limits import RateLimits
from exchanges.binance.simulator_parameters import Parameters
from exchanges.simulator.book import MarketBook
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import FaultRegistry
from exchanges.simulator.flow import MarketFlow, MarketTrade, Snapshot
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.ledger import Account
from exchanges.simulator.messages import MessageLog

LISTEN_KEY_LIFE_MS = 60 * 60 * 1000
RECENT_TRADES = 1000
_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class Call:
    """One request, whichever socket it came by. `account` is None for public calls."""

    parameters: Parameters
    now_ms: int
    account: str | None = None
    api_key: str = ""

    @property
    def owner(self) -> str:
        """The account of a call that needs one."""
        assert self.account is not None
        return self.account


@dataclass(slots=True)
class ListenKey:
    key: str
    account: str
    expires_ms: int


@dataclass(slots=True)
class SymbolMarket:
    """What the public side knows of one symbol beside its book."""

    flow: MarketFlow
    snapshot: Snapshot
    event_ms: int = 0
    time_ms: int = 0
    synced: bool = False
    """The stream has reached the snapshot: from here the book moves with it."""
    trades: deque[MarketTrade] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))


class Venue:
    """State shared by all handlers."""

    def __init__(
        self,
        exchange: SimulatedExchange,
        keys: dict[str, ApiKey],
        limits: RateLimits,
        clock_ms: Callable[[], int],
        with_averages: bool,
    ) -> None:
        self.exchange = exchange
        self.keys = keys
        self.limits = limits
        self.clock_ms = clock_ms
        self.with_averages = with_averages
        self.faults = FaultRegistry()
        self.markets: dict[str, SymbolMarket] = {}
        self.listen_keys: dict[str, ListenKey] = {}
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[int] = Counter()
        self.halted: set[str] = set()
        self.hedged: set[str] = set()
        """Accounts in hedge mode: they can be set so and are refused orders, so that a client's check can be tried."""
        self.funding: list[FundingPayment] = []
        self.messages = MessageLog()
        self.configuration_events: Callable[[str, dict[str, Any]], None] = lambda account, event: None
        """Sends an ACCOUNT_CONFIG_UPDATE body to an account's sockets; set by the server."""

    def instrument(self, symbol: str) -> Instrument:
        instrument = self.exchange.instruments.get(symbol)
        if instrument is None:
            raise VenueError(-1121, "Invalid symbol.")
        return instrument

    def symbol(self, call: Call) -> str:
        return self.instrument(call.parameters.text("symbol")).symbol

    def optional_symbol(self, call: Call) -> str | None:
        return self.symbol(call) if call.parameters.has("symbol") else None

    def book(self, symbol: str) -> MarketBook:
        return self.exchange.matchers[symbol].book

    def account(self, call: Call) -> Account:
        return self.exchange.accounts[call.owner]

    def mark(self, symbol: str) -> Decimal:
        return self.exchange.mark(symbol)

    # --- listen keys -----------------------------------------------------------------------------------------------
    def open_listen_key(self, account: str, now_ms: int) -> ListenKey:
        """The account's live key, extended, or a new one."""
        for entry in self.listen_keys.values():
            if entry.account == account:
                entry.expires_ms = now_ms + LISTEN_KEY_LIFE_MS
                return entry
        entry = ListenKey("".join(secrets.choice(_ALPHABET) for _ in range(64)), account, now_ms + LISTEN_KEY_LIFE_MS)
        self.listen_keys[entry.key] = entry
        return entry

    def extend_listen_key(self, account: str, now_ms: int) -> ListenKey:
        for entry in self.listen_keys.values():
            if entry.account == account:
                entry.expires_ms = now_ms + LISTEN_KEY_LIFE_MS
                return entry
        raise VenueError(-1125, "This listenKey does not exist.")

    def close_listen_key(self, account: str) -> ListenKey:
        for entry in self.listen_keys.values():
            if entry.account == account:
                return self.listen_keys.pop(entry.key)
        raise VenueError(-1125, "This listenKey does not exist.")
