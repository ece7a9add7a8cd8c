"""What a venue must supply: the interfaces between the processes and an exchange package.

The rule: a process names only these Protocols, never a venue's class; `exchanges/factory.py` makes the objects by the
venue's name. Everything that crosses them is a record of `shm/layout.py`, so the strategy side and the venue side meet
nowhere else. Failures a caller must tell apart are the exceptions at the end; what a venue says about an order is never
an exception, it is an OrderEvent.

Who calls it: processes/market_server.py (subscriber), processes/trading_engine.py (OMS), processes/position_server.py
(PMS), and those same parts for state recovery (data fetcher).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from exchanges.alerts import Alerts
    from shm.counters import Counters
    from shm.layout import ConnectionState, ProcessState, Reason
    from shm.limits import LimitTable
    from shm.records import BalanceRow, InstrumentRow, OrderEvent, OrderRequest, PositionRow, Recovery
    from shm.segment import Segment


# --- what a process hands to a venue --------------------------------------------------------------------------------
class VenueSettings(Protocol):
    """The part of the config's VenueConfig that exchange packages read. Read-only; None = the environment's default."""

    @property
    def environment(self) -> str: ...  # "simulator" | "testnet" | "live"
    @property
    def symbols(self) -> list[str]: ...  # the venue's own spelling, e.g. BTCUSDT
    @property
    def rest_url(self) -> str | None: ...
    @property
    def stream_url(self) -> str | None: ...
    @property
    def ws_api_url(self) -> str | None: ...
    @property
    def order_path(self) -> str: ...  # "websocket" (REST where it is down) | "rest"
    @property
    def receive_window_ms(self) -> int: ...
    @property
    def stale_after_ms(self) -> int: ...
    @property
    def settle_currency(self) -> str: ...
    @property
    def check_gaps(self) -> bool: ...
    @property
    def login(self) -> str: ...  # "signature" | "secret"
    @property
    def account(self) -> str: ...
    @property
    def requests_per_second(self) -> Mapping[str, float]: ...  # what the account's tier allows, by kind of request
    @property
    def expect(self) -> AccountExpectations: ...


class AccountExpectations(Protocol):
    """How the account should be set up at the venue, where somebody said so."""

    @property
    def leverage(self) -> Mapping[str, int]: ...  # by symbol
    @property
    def margin_mode(self) -> str | None: ...  # "cross" | "isolated"
    @property
    def multi_assets(self) -> bool: ...


class Credentials(Protocol):
    """Resolved by the process; never logged, so nothing here has a repr of its own."""

    @property
    def api_key(self) -> str: ...
    @property
    def secret(self) -> str: ...


class InstrumentIds(Protocol):
    """The append-only symbol <-> id table of one venue (shm/instance.py)."""

    def id(self, symbol: str, /) -> int: ...
    def symbol(self, instrument_id: int, /) -> str: ...


@dataclass(frozen=True)
class ExchangeContext:
    """What every part of a venue is made from. One per process; nothing in it is opened by the part that gets it
    except through `segment`."""

    venue: str  # "binance"
    settings: VenueSettings
    instruments: InstrumentIds
    segment: Callable[[str], Segment]  # logical name ("binance.market") -> attached segment, closed by the process
    counters: Counters
    log: logging.Logger
    state_dir: Path
    set_state: Callable[[ProcessState, str], None]  # state and one sentence for the process row
    credentials: Credentials | None = None
    alerts: Alerts | None = None  # what a person must look at; None: logged and counted only
    limits: LimitTable | None = None  # rate limits that all processes of the host count on; None: this process alone

    def key(self) -> Credentials:
        """The key of the account. Raises ConfigurationError where there is none."""
        if self.credentials is None:
            raise ConfigurationError(
                f"venues.{self.venue}.credentials is missing: orders, positions and balances need a key"
            )
        return self.credentials


@dataclass(frozen=True)
class ConnectionHealth:
    """One link as the process row shows it."""

    name: str
    state: ConnectionState
    receive_time_ns: int  # CLOCK_MONOTONIC of the last byte that meant something; 0 = never
    stuck: bool = False  # the attempts to connect do not go on: only a new process helps


# --- what a venue supplies ------------------------------------------------------------------------------------------
class ExchangeSubscriber(Protocol):
    """Public streams -> market ring, books, tickers and instruments tables. Lives in one event loop."""

    @property
    def ready(self) -> bool:
        """Every configured instrument has a live book."""
        ...

    async def run(self) -> None:
        """Connect and publish until cancelled or closed; reconnects by itself. Raises ConfigurationError where going
        on is pointless (a symbol the venue does not have)."""
        ...

    def connections(self) -> Sequence[ConnectionHealth]: ...

    async def close(self) -> None:
        """Withdraw every book (rows invalid) and disconnect. Idempotent."""
        ...


class ExchangeOMS(Protocol):
    """Orders of one account at one venue, for one engine. Outcomes come through the sink given at construction
    (`EventSink`), in the venue's order, from the event loop; the methods below hand bytes to a socket before they
    return and never wait for the venue."""

    @property
    def ready(self) -> bool:
        """Logged in, the private stream is up and its state was recovered: orders may be sent."""
        ...

    async def run(self) -> None:
        """Keep the private stream and the order path up until closed; after each reconnect, recover."""
        ...

    def new(self, request: OrderRequest) -> None: ...
    def cancel(self, request: OrderRequest) -> None: ...
    def replace(self, request: OrderRequest) -> None: ...
    def query(self, request: OrderRequest) -> None: ...
    def cancel_all(self, request: OrderRequest | None) -> None:
        """Cancel every order of this instance, and only those. None: asked by the engine itself."""
        ...

    def recover(self, nonce: int) -> None:
        """Emit a recovery bracket (design 6.4) through the sink; nonce 0 = begun by the engine."""
        ...

    def connections(self) -> Sequence[ConnectionHealth]: ...
    async def close(self) -> None: ...


class ExchangePMS(Protocol):
    """Positions and balances of one account -> positions and balances tables. Lives in one event loop."""

    @property
    def ready(self) -> bool:
        """Both tables hold a complete snapshot taken since the last reconnect."""
        ...

    async def run(self) -> None: ...
    def connections(self) -> Sequence[ConnectionHealth]: ...
    async def close(self) -> None: ...


class ExchangeDataFetcher(Protocol):
    """Public state over REST. Raises the exceptions below; never retries by itself."""

    async def instruments(self) -> list[InstrumentRow]: ...
    async def server_time(self) -> int:
        """The venue's UTC clock, ns."""
        ...

    async def close(self) -> None: ...


class ExchangeAccountFetcher(Protocol):
    """The private half of the data fetcher: account state over signed REST, for recovery and audits. Orders come as
    OrderEvent(STATUS), own trades as OrderEvent(FILL), each a fresh record."""

    async def open_orders(self, symbols: Sequence[str]) -> list[OrderEvent]: ...
    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None:
        """The venue's newest word on one order; None: it says that it knows no such order."""
        ...

    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]: ...
    async def positions(self) -> list[PositionRow]: ...
    async def balances(self) -> list[BalanceRow]: ...
    async def close(self) -> None: ...


EventSink = Callable[["OrderEvent | Recovery"], None]
"""Where an OMS puts its events. The record belongs to the OMS: the sink copies what it keeps."""


# --- failures a caller tells apart ----------------------------------------------------------------------------------
class ConfigurationError(Exception):
    """The configuration asks for what the venue does not have: one sentence for the operator, nothing to retry."""


class VenueUnavailable(Exception):
    """The venue could not be reached or did not answer usefully; trying again later is right. Nothing was changed."""


class VenueRefused(Exception):
    """The venue's own word: no. `code` and `message` are the venue's."""

    def __init__(self, message: str, *, code: int = 0, http_status: int = 0, reason: Reason | None = None) -> None:
        super().__init__(f"venue refused: {message} (code {code}, HTTP {http_status})")
        self.message = message
        self.code = code
        self.http_status = http_status
        self.reason = reason
