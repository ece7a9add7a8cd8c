"""Where Deribit lives, what its channels are called, and which limits it documents.

Docs: https://docs.deribit.com/articles/json-rpc-overview, .../notifications, .../rate-limits,
.../connection-management-best-practices

The rule: everything goes to one path, so a method is a name and not an address; the same JSON-RPC is spoken over
WebSocket and over POST. A `.raw` channel (every event) is for authenticated connections only, `.100ms` for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exchanges.adapter import ConfigurationError, VenueSettings

VENUE: Final = "deribit"

_REST: Final = {"live": "https://www.deribit.com", "testnet": "https://test.deribit.com"}
_STREAM: Final = {"live": "wss://www.deribit.com", "testnet": "wss://test.deribit.com"}

# --- documented limits ----------------------------------------------------------------------------------------------
CHANNELS_PER_REQUEST: Final = 500
SUBSCRIBE_SPACING_S: Final = 0.35
"""A subscribe costs 3,000 of a bucket of 30,000 credits that refills by 10,000 a second."""
HEARTBEAT_S: Final = 10
"""The shortest interval of public/set_heartbeat: the soonest that the venue notices a dead line of ours."""
FRAME_LIMIT: Final = 32 * 1024
"""Bytes of a request; larger ones are refused."""

# --- paths ----------------------------------------------------------------------------------------------------------
API: Final = "/api/v2"
SOCKET: Final = "/ws/api/v2"

# --- methods --------------------------------------------------------------------------------------------------------
AUTH: Final = "public/auth"
SET_HEARTBEAT: Final = "public/set_heartbeat"
TEST: Final = "public/test"
SUBSCRIBE: Final = "public/subscribe"
UNSUBSCRIBE: Final = "public/unsubscribe"
GET_INSTRUMENTS: Final = "public/get_instruments"
GET_TIME: Final = "public/get_time"
GET_ORDER_BOOK: Final = "public/get_order_book"
TICKER: Final = "public/ticker"

RAW: Final = "raw"
AGGREGATED: Final = "100ms"
"""Intervals of book, trades and ticker channels."""


@dataclass(frozen=True)
class Endpoints:
    """Base URLs without a trailing slash."""

    rest: str
    stream: str
    ws_api: str

    def public(self) -> str:
        """Market data."""
        return f"{self.stream}{SOCKET}"

    def order_socket(self) -> str:
        """Orders and private channels."""
        return f"{self.ws_api}{SOCKET}"


def endpoints(settings: VenueSettings) -> Endpoints:
    """URLs of the settings, or the environment's own. Raises ConfigurationError where a simulator has none."""
    environment = settings.environment
    found = {
        "rest_url": settings.rest_url or _REST.get(environment),
        "stream_url": settings.stream_url or _STREAM.get(environment),
        "ws_api_url": settings.ws_api_url or _STREAM.get(environment),
    }
    for key, url in found.items():
        if url is None:
            raise ConfigurationError(f'venues.deribit.{key} is missing: environment "{environment}" has no default')
    rest, stream, ws_api = ((url or "").rstrip("/") for url in found.values())
    return Endpoints(rest, stream, ws_api)


# --- channel names ----------------------------------------------------------------------------------------------------
def book_channel(symbol: str, interval: str) -> str:
    """Snapshot and changes of the whole book."""
    return f"book.{symbol}.{interval}"


def quote_channel(symbol: str) -> str:
    return f"quote.{symbol}"


def trades_channel(symbol: str, interval: str) -> str:
    return f"trades.{symbol}.{interval}"


def ticker_channel(symbol: str, interval: str) -> str:
    """Mark and index price, funding; of options volatilities and greeks. Every message is the whole state."""
    return f"ticker.{symbol}.{interval}"


def index_channel(index: str) -> str:
    return f"deribit_price_index.{index}"


INSTRUMENT_STATE: Final = "instrument.state.any.any"
PLATFORM_STATE: Final = "platform_state"
