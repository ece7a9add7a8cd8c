"""Wire shapes of Deribit's public messages; its names are long enough to keep.

Docs: https://docs.deribit.com/subscriptions and one page per method.
Prices and amounts are JSON numbers, with an exponent now and then ("5.0e-8"), and must be exact: they are kept as the
bytes that came (`Raw`) until the scale is known. Keys come in no stable order, unknown ones are ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, field

Id = Annotated[int, Meta(ge=0, le=999_999_999_999_999_999)]
"""18 digits: what the compiled scanner takes; today's change ids have 12."""
Milliseconds = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Up to the year 2255, so that nanoseconds fit int64."""
Far = Annotated[int, Meta(ge=0)]
"""A time that may be beyond int64 nanoseconds: perpetuals expire in the year 3000."""
Direction = Literal["buy", "sell"]
WireLevel = tuple[Literal["new", "change", "delete"], Raw, Raw]
"""[action, price, amount]; the amount is the new total at the price."""

_NOTHING = Raw(b"")


# --- frames -----------------------------------------------------------------------------------------------------------
class Params(msgspec.Struct, frozen=True):
    """Of a notification: a channel's message, or a heartbeat's type."""

    channel: str = ""
    data: Raw = _NOTHING
    kind: str = field(default="", name="type")


class RpcError(msgspec.Struct, frozen=True):
    """`message` may carry a parameter after a space ("price_too_high 61500.0"): match on the code."""

    code: int = 0
    message: str = ""
    data: Raw = _NOTHING


class Frame(msgspec.Struct, frozen=True):
    """Any text frame: notification, heartbeat, reply."""

    method: str | None = None
    params: Params | None = None
    request_id: int | str | None = field(default=None, name="id")
    result: Raw = _NOTHING
    error: RpcError | None = None


# --- channels --------------------------------------------------------------------------------------------------------
class BookMessage(msgspec.Struct, frozen=True):
    """book.{instrument}.{raw|100ms|agg2}. `type` is missing before 2021: no prev_change_id means snapshot then. A side
    of which there is nothing to say was seen left out."""

    timestamp: Milliseconds
    instrument_name: str
    change_id: Id
    bids: list[WireLevel] = []
    asks: list[WireLevel] = []
    prev_change_id: Id | None = None
    type: Literal["snapshot", "change"] | None = None


class Quote(msgspec.Struct, frozen=True):
    """quote.{instrument}; an empty side has price null, or 0."""

    timestamp: Milliseconds
    instrument_name: str
    best_bid_price: Raw
    best_bid_amount: Raw
    best_ask_price: Raw
    best_ask_amount: Raw


class Trade(msgspec.Struct, frozen=True):
    """An entry of trades.{instrument}.{interval}. `trade_seq` rises by one per instrument; the taker's direction."""

    timestamp: Milliseconds
    instrument_name: str
    trade_seq: Id
    trade_id: str
    price: Raw
    amount: Raw
    direction: Direction


class WireGreeks(msgspec.Struct, frozen=True):
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    rho: float | None = None


class Ticker(msgspec.Struct, frozen=True):
    """ticker.{instrument}.{interval}, public/ticker. Volatilities are in percent; those and greeks are of options."""

    timestamp: Milliseconds
    instrument_name: str
    mark_price: Raw
    index_price: float | None = None
    current_funding: float | None = None
    underlying_price: float | None = None
    mark_iv: float | None = None
    bid_iv: float | None = None
    ask_iv: float | None = None
    greeks: WireGreeks | None = None


class PriceIndex(msgspec.Struct, frozen=True):
    """deribit_price_index.{index}."""

    timestamp: Milliseconds
    index_name: str
    price: float


class InstrumentState(msgspec.Struct, frozen=True):
    """instrument.state.{kind}.{currency}."""

    timestamp: Milliseconds
    instrument_name: str
    state: str


class PlatformState(msgspec.Struct, frozen=True):
    """platform_state: {"price_index":"btc_usd","locked":true} or {"maintenance":true}."""

    price_index: str = ""
    locked: bool = False
    maintenance: bool | None = None


# --- replies ---------------------------------------------------------------------------------------------------------
class TickSizeStep(msgspec.Struct, frozen=True):
    above_price: Raw
    tick_size: Raw


class InstrumentInfo(msgspec.Struct, frozen=True):
    """An entry of public/get_instruments. `state`, `instrument_type` and others came with later years."""

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    tick_size: Raw
    contract_size: Raw
    min_trade_amount: Raw
    is_active: bool
    expiration_timestamp: Far = 0
    settlement_period: str = ""
    settlement_currency: str = ""
    instrument_type: str = ""
    future_type: str = ""
    price_index: str = ""
    state: str = ""
    strike: float = 0.0
    option_type: str = ""
    block_trade_tick_size: Raw = _NOTHING
    tick_size_steps: list[TickSizeStep] = []


class OrderBookReply(msgspec.Struct, frozen=True):
    """public/get_order_book; pairs [price, amount], best first."""

    timestamp: Milliseconds
    instrument_name: str
    change_id: Id
    bids: list[tuple[Raw, Raw]]
    asks: list[tuple[Raw, Raw]]
