"""Where GRVT lives, what its streams are called, and which limits it documents.

Docs: https://api-docs.grvt.io (market data API, trading API) and the venue's api-spec repository.

The rule: three hosts have three jobs. Edge only logs in, "trades" has everything private, "market data" everything
public; a public stream asked for on the private host is refused. Every REST call is a POST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exchanges.adapter import ConfigurationError, VenueSettings

VENUE: Final = "grvt"

_DOMAIN: Final = {"live": "grvt.io", "testnet": "testnet.grvt.io"}

# --- documented limits ----------------------------------------------------------------------------------------------
SIGNATURE_LIFETIME_S: Final = 30 * 24 * 3600.0
"""A signature, and so an order, may not live longer (EXCEED_MAX_SIGNATURE_EXPIRATION)."""
TIME_TO_LIVE_LIMIT_MS: Final = 5_000
"""How long the venue remembers a cancel that came before its order; it rounds down to 100 ms."""
COUNTDOWN_LIMIT_MS: Final = 300_000
BULK_LIMIT: Final = 100
"""Orders, and cancels, of one bulk call."""
PAGE_LIMIT: Final = 1000
TRADES_REPLAYED: Final = 50
"""Smallest number of past trades that a trade stream begins with."""

# --- paths ----------------------------------------------------------------------------------------------------------
LOGIN: Final = "/auth/api_key/login"
INSTRUMENTS: Final = "/full/v1/all_instruments"
SERVER_TIME: Final = "/time"
"""GET; not in the venue's own description, used by other clients."""

WS_FULL: Final = "/ws/full"
WS_LITE: Final = "/ws/lite"


@dataclass(frozen=True)
class Endpoints:
    """Base URLs without a trailing slash; the sockets' with their path, which says full or lite names."""

    edge: str
    trades: str
    market_data: str
    stream: str
    order_socket: str

    @property
    def lite(self) -> bool:
        """Market data comes with short keys."""
        return self.stream.endswith(WS_LITE)


def endpoints(settings: VenueSettings) -> Endpoints:
    """URLs of the settings, or the environment's own. Raises ConfigurationError where a simulator has none.

    rest_url stands for all three hosts (a simulator has one port); stream_url and ws_api_url may end in /ws/full or
    /ws/lite, and get /ws/full where they do not. Orders always go with full names.
    """
    domain = _DOMAIN.get(settings.environment)
    given = {"rest_url": settings.rest_url, "stream_url": settings.stream_url, "ws_api_url": settings.ws_api_url}
    for key, url in given.items():
        if url is None and domain is None:
            raise ConfigurationError(
                f'venues.grvt.{key} is missing: environment "{settings.environment}" has no default'
            )
    edge, trades, market_data = (
        (settings.rest_url or f"https://{host}.{domain}").rstrip("/") for host in ("edge", "trades", "market-data")
    )
    stream = _socket(settings.stream_url or f"wss://market-data.{domain}")
    order_socket = _socket(settings.ws_api_url or f"wss://trades.{domain}")
    if order_socket.endswith(WS_LITE):
        raise ConfigurationError("venues.grvt.ws_api_url: found a path of /ws/lite, expected /ws/full for orders")
    return Endpoints(edge, trades, market_data, stream, order_socket)


def _socket(url: str) -> str:
    bare = url.rstrip("/")
    return bare if bare.endswith((WS_FULL, WS_LITE)) else bare + WS_FULL


# --- streams and their selectors --------------------------------------------------------------------------------------
BOOK: Final = "v1.book.d"
MINI: Final = "v1.mini.d"
TICKER: Final = "v1.ticker.s"
TRADE: Final = "v1.trade"


def book_selector(symbol: str) -> str:
    """All levels, changes every 50 ms: the fastest depth there is."""
    return f"{symbol}@50"


def mini_selector(symbol: str) -> str:
    """Rate 0: each change of the best bid and ask as it happens."""
    return f"{symbol}@0"


def ticker_selector(symbol: str) -> str:
    return f"{symbol}@500"


def trade_selector(symbol: str) -> str:
    return f"{symbol}@{TRADES_REPLAYED}"
