"""Where Binance USDⓈ-M futures lives, what its streams are called, and which limits it documents.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info and
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice

The rule: since 2026 one stream socket carries one route. A stream asked for on the wrong route is accepted and then
never says anything, so the routes stand here beside the stream names and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exchanges.adapter import ConfigurationError, VenueSettings

VENUE: Final = "binance"

_REST: Final = {"live": "https://fapi.binance.com", "testnet": "https://demo-fapi.binance.com"}
_STREAM: Final = {"live": "wss://fstream.binance.com", "testnet": "wss://demo-fstream.binance.com"}
_WS_API: Final = {"live": "wss://ws-fapi.binance.com", "testnet": "wss://testnet.binancefuture.com"}
"""The demo-fstream host has no order socket; the testnet's own host does."""

# --- documented limits ----------------------------------------------------------------------------------------------
STREAMS_PER_CONNECTION: Final = 1024
STREAMS_PER_SOCKET: Final = 200
"""What we ask of one: their names stand in the URL, which servers and proxies take up to 8 KB of."""
CONNECTION_LIFETIME_S: Final = 24 * 3600.0
SNAPSHOT_LIMIT: Final = 1000
DEPTH_WEIGHTS: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))
"""(levels at most, weight) of a depth snapshot, of 2400 a minute and IP."""

# --- paths ----------------------------------------------------------------------------------------------------------
EXCHANGE_INFO: Final = "/fapi/v1/exchangeInfo"
DEPTH: Final = "/fapi/v1/depth"
SERVER_TIME: Final = "/fapi/v1/time"
PREMIUM_INDEX: Final = "/fapi/v1/premiumIndex"


@dataclass(frozen=True)
class Endpoints:
    """Base URLs without a trailing slash."""

    rest: str
    stream: str
    ws_api: str

    def public(self, streams: list[str]) -> str:
        """Order book and best bid and ask: route /public, combined frames."""
        return f"{self.stream}/public/stream?streams={'/'.join(streams)}"

    def market(self, streams: list[str]) -> str:
        """Trades and mark price: route /market, combined frames."""
        return f"{self.stream}/market/stream?streams={'/'.join(streams)}"

    def private(self, listen_key: str) -> str:
        """User data, bare frames."""
        return f"{self.stream}/private/ws/{listen_key}"

    def order_socket(self) -> str:
        return f"{self.ws_api}/ws-fapi/v1"


def endpoints(settings: VenueSettings) -> Endpoints:
    """URLs of the settings, or the environment's own. Raises ConfigurationError where a simulator has none."""
    environment = settings.environment
    found = {
        "rest_url": settings.rest_url or _REST.get(environment),
        "stream_url": settings.stream_url or _STREAM.get(environment),
        "ws_api_url": settings.ws_api_url or _WS_API.get(environment),
    }
    for key, url in found.items():
        if url is None:
            raise ConfigurationError(f'venues.binance.{key} is missing: environment "{environment}" has no default')
    rest, stream, ws_api = ((url or "").rstrip("/") for url in found.values())
    return Endpoints(rest, stream, ws_api)


# --- stream names: symbol in lower case, suffix as it is --------------------------------------------------------------
def depth_stream(symbol: str) -> str:
    return f"{symbol.lower()}@depth@100ms"


def book_ticker_stream(symbol: str) -> str:
    return f"{symbol.lower()}@bookTicker"


def trade_stream(symbol: str) -> str:
    """Not documented for futures; delivered all the same."""
    return f"{symbol.lower()}@trade"


def agg_trade_stream(symbol: str) -> str:
    return f"{symbol.lower()}@aggTrade"


def mark_price_stream(symbol: str) -> str:
    return f"{symbol.lower()}@markPrice@1s"


def liquidation_stream(symbol: str) -> str:
    return f"{symbol.lower()}@forceOrder"
