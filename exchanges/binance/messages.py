"""Wire shapes of Binance's public messages: the venue's key names beside ours.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
Prices and quantities are JSON strings, ids and times (ms, UTC) JSON integers. Unknown keys are ignored: the venue adds
some every year (`ps`, `st`, `nq` and `ap` came in 2025 and 2026).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

Id = Annotated[int, Meta(ge=0, le=999_999_999_999_999_999)]
"""18 digits: what the compiled scanner takes; today's ids have 13."""
Milliseconds = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Up to the year 2255, so that nanoseconds fit int64."""
WireLevel = tuple[str, str]
"""[price, quantity]."""

USD_MARGINED = 1
"""`st`: 1 USDⓈ-M, 2 COIN-M; both share a backend since 2026-06 and some streams mix them."""


_NOTHING = msgspec.Raw(b"")


# --- frames of the streams ------------------------------------------------------------------------------------------
class Frame(msgspec.Struct, frozen=True):
    """Any text frame, far enough to know what it is: combined wrapper, bare payload or reply to a command."""

    stream: str | None = None
    data: msgspec.Raw = _NOTHING
    event: str | None = field(default=None, name="e")
    request_id: int | None = field(default=None, name="id")
    error: msgspec.Raw = _NOTHING


class Payload(msgspec.Struct, frozen=True):
    """The part that all payloads share."""

    event: str = field(name="e")
    contract_type: int = field(default=USD_MARGINED, name="st")


class DepthUpdate(msgspec.Struct, frozen=True):
    """`<symbol>@depth@100ms`: {"e":"depthUpdate","E":..,"T":..,"s":..,"U":..,"u":..,"pu":..,"b":[["p","q"]],"a":[]}"""

    event_time: Milliseconds = field(name="E")
    transaction_time: Milliseconds = field(name="T")
    symbol: str = field(name="s")
    first_update_id: Id = field(name="U")
    last_update_id: Id = field(name="u")
    previous_update_id: Id = field(name="pu")
    bids: list[WireLevel] = field(name="b")
    asks: list[WireLevel] = field(name="a")


class BookTicker(msgspec.Struct, frozen=True):
    """`<symbol>@bookTicker`: {"e":"bookTicker","u":..,"s":..,"b":"p","B":"q","a":"p","A":"q","T":..,"E":..}"""

    update_id: Id = field(name="u")
    symbol: str = field(name="s")
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time: Milliseconds = field(name="T")
    event_time: Milliseconds = field(name="E")


class Trade(msgspec.Struct, frozen=True):
    """`<symbol>@trade`: {"e":"trade","E":..,"T":..,"s":..,"t":..,"p":..,"q":..,"X":"MARKET","m":..}

    Not documented for futures; the shape is the recorded one.
    """

    event_time: Milliseconds = field(name="E")
    trade_time: Milliseconds = field(name="T")
    symbol: str = field(name="s")
    trade_id: Id = field(name="t")
    price: str = field(name="p")
    quantity: str = field(name="q")
    origin: str = field(name="X")
    buyer_is_maker: bool = field(name="m")


class AggTrade(msgspec.Struct, frozen=True):
    """`<symbol>@aggTrade`: {"e":"aggTrade","E":..,"a":..,"s":..,"p":..,"q":..,"nq":..,"f":..,"l":..,"T":..,"m":..}"""

    event_time: Milliseconds = field(name="E")
    aggregate_id: Id = field(name="a")
    symbol: str = field(name="s")
    price: str = field(name="p")
    quantity: str = field(name="q")
    first_trade_id: Id = field(name="f")
    last_trade_id: Id = field(name="l")
    trade_time: Milliseconds = field(name="T")
    buyer_is_maker: bool = field(name="m")


class MarkPriceUpdate(msgspec.Struct, frozen=True):
    """`<symbol>@markPrice@1s`: {"e":"markPriceUpdate","E":..,"s":..,"p":..,"ap":..,"P":..,"i":..,"r":..,"T":..}"""

    event_time: Milliseconds = field(name="E")
    symbol: str = field(name="s")
    mark_price: str = field(name="p")
    index_price: str = field(name="i")
    funding_rate: str = field(name="r")  # "" for delivery contracts
    next_funding_time: Milliseconds = field(name="T")


class LiquidatedOrder(msgspec.Struct, frozen=True):
    """`o` of a liquidation report. `st` stands in here, not beside it as the docs have it."""

    symbol: str = field(name="s")
    side: Literal["BUY", "SELL"] = field(name="S")
    average_price: str = field(name="ap")
    filled_quantity: str = field(name="z")
    trade_time: Milliseconds = field(name="T")
    contract_type: int = field(default=USD_MARGINED, name="st")


class ForceOrder(msgspec.Struct, frozen=True):
    """`<symbol>@forceOrder`: {"e":"forceOrder","E":..,"o":{"s":..,"S":..,"q":..,"p":..,"ap":..,"l":..,"z":..,"T":..}}

    At most one a second and symbol, the largest of that second.
    """

    event_time: Milliseconds = field(name="E")
    order: LiquidatedOrder = field(name="o")

    @property
    def symbol(self) -> str:
        return self.order.symbol


# --- REST replies ---------------------------------------------------------------------------------------------------
class DepthReply(msgspec.Struct, frozen=True):
    """GET /fapi/v1/depth; bids descend, asks ascend."""

    last_update_id: Id = field(name="lastUpdateId")
    event_time: Milliseconds = field(name="E")
    bids: list[WireLevel]
    asks: list[WireLevel]


class ServerTimeReply(msgspec.Struct, frozen=True):
    """GET /fapi/v1/time."""

    server_time: Milliseconds = field(name="serverTime")


class PremiumIndexReply(msgspec.Struct, frozen=True):
    """GET /fapi/v1/premiumIndex?symbol=."""

    symbol: str
    mark_price: str = field(name="markPrice")
    index_price: str = field(name="indexPrice")
    funding_rate: str = field(name="lastFundingRate")
    next_funding_time: Milliseconds = field(name="nextFundingTime")
    time: Milliseconds


class ErrorReply(msgspec.Struct, frozen=True):
    """Body of a refusal: {"code":-1121,"msg":"Invalid symbol."}."""

    code: int = 0
    message: str = field(default="", name="msg")


class SymbolFilter(msgspec.Struct, frozen=True):
    """One entry of `filters`; filters and their keys come in any order, so all kinds share one lax shape."""

    kind: str = field(name="filterType")
    minimum_price: str = field(default="0", name="minPrice")
    maximum_price: str = field(default="0", name="maxPrice")
    tick_size: str = field(default="0", name="tickSize")
    minimum_quantity: str = field(default="0", name="minQty")
    maximum_quantity: str = field(default="0", name="maxQty")
    step_size: str = field(default="0", name="stepSize")
    notional: str = "0"
    multiplier_up: str = field(default="0", name="multiplierUp")
    multiplier_down: str = field(default="0", name="multiplierDown")


class SymbolInfo(msgspec.Struct, frozen=True):
    """One entry of `symbols` in exchangeInfo."""

    symbol: str
    pair: str
    contract_type: str = field(name="contractType")
    status: str
    base_asset: str = field(name="baseAsset")
    quote_asset: str = field(name="quoteAsset")
    margin_asset: str = field(name="marginAsset")
    price_precision: int = field(name="pricePrecision")
    quantity_precision: int = field(name="quantityPrecision")
    filters: list[SymbolFilter]
    delivery_date: Milliseconds = field(default=0, name="deliveryDate")  # far in the future for perpetuals


class RateLimit(msgspec.Struct, frozen=True, rename="camel"):
    """Element of `rateLimits` of exchangeInfo."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class RateLimitsReply(msgspec.Struct, frozen=True):
    """exchangeInfo again, for those who need nothing else of it."""

    rate_limits: list[RateLimit] = msgspec.field(name="rateLimits", default_factory=list)


class ExchangeInfoReply(msgspec.Struct, frozen=True):
    """GET /fapi/v1/exchangeInfo. Its serverTime is cached, sometimes days old: never read here."""

    symbols: list[SymbolInfo]
    rate_limits: list[RateLimit] = msgspec.field(name="rateLimits", default_factory=list)
