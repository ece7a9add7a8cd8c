"""Wire shapes of GRVT's public messages, with full and with lite keys.

Docs: https://api-docs.grvt.io/market_data_streams and the venue's api-spec (structs MiniTicker, Ticker,
OrderbookLevels, Trade, InstrumentDisplay). Prices, sizes, times (ns, UTC) and sequence numbers are JSON strings.
Unknown keys are ignored: recorded messages have nine that the description does not know.

A lite message is the same struct with shorter keys, so each shape is declared once and `lite` makes its twin. A lite
key means something only inside its struct ("s" is a size here and a stream there).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

WireTime = Annotated[str, Meta(pattern=r"^[0-9]{1,19}$")]
WireCount = Annotated[str, Meta(pattern=r"^[0-9]{1,18}$")] | Annotated[int, Meta(ge=0, le=999_999_999_999_999_999)]
"""A string on the wire, an integer in the venue's examples; 18 digits are what the compiled scanner takes."""

_NOTHING: Final = msgspec.Raw(b"")
S = TypeVar("S", bound=Struct)


# --- the envelope ---------------------------------------------------------------------------------------------------
class SubscribeResult(Struct, frozen=True):
    """`result` of subscribe and unsubscribe; the arrays run parallel to `subs`."""

    stream: str = ""
    subs: list[str] = []
    unsubs: list[str] = []
    num_snapshots: list[int] = []
    first_sequence_number: list[WireCount] = []
    latest_sequence_number: list[WireCount] = []


class RpcError(Struct, frozen=True):
    """`error` of a reply, and the body of a refused REST call."""

    code: int = 0
    message: str = ""


class Frame(Struct, frozen=True):
    """Any text frame of a market data socket, far enough to know what it is: feed frame or reply."""

    stream: str | None = None
    selector: str = ""
    sequence_number: WireCount = 0
    feed: msgspec.Raw = _NOTHING
    prev_sequence_number: WireCount = 0
    jsonrpc: str | None = None
    result: SubscribeResult | None = None
    error: RpcError | None = None
    id: int | None = None


# --- feeds ----------------------------------------------------------------------------------------------------------
class Level(Struct, frozen=True):
    price: str
    size: str
    num_orders: int = 0


class Book(Struct, frozen=True):
    """v1.book.s and v1.book.d: best first; in a delta sizes are absolute and 0 removes the level."""

    event_time: WireTime
    instrument: str
    bids: list[Level]
    asks: list[Level]


class Mini(Struct, frozen=True):
    """v1.mini.s and v1.mini.d. In a delta a missing key is unchanged, "" is null; "0.0" is an empty side's price."""

    event_time: WireTime
    instrument: str
    best_bid_price: str | UnsetType | None = UNSET
    best_bid_size: str | UnsetType | None = UNSET
    best_ask_price: str | UnsetType | None = UNSET
    best_ask_size: str | UnsetType | None = UNSET


class Ticker(Struct, frozen=True):
    """v1.ticker.s. The rate is in percent per interval."""

    event_time: WireTime
    instrument: str
    mark_price: str
    index_price: str = ""
    funding_rate: str = ""
    next_funding_time: str = ""


class Trade(Struct, frozen=True):
    """v1.trade. `trade_id` is "<execution>-<index>"."""

    event_time: WireTime
    instrument: str
    is_taker_buyer: bool
    size: str
    price: str
    trade_id: str


# --- REST -----------------------------------------------------------------------------------------------------------
class Instrument(Struct, frozen=True):
    """An element of all_instruments."""

    instrument: str
    instrument_hash: Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{1,64}$")]
    base: str
    quote: str
    kind: str
    base_decimals: Annotated[int, Meta(ge=0, le=18)]
    tick_size: str
    min_size: str
    max_position_size: str | None = None
    min_notional: str = "0"


class InstrumentsReply(Struct, frozen=True):
    result: list[Instrument]


class ServerTimeReply(Struct, frozen=True):
    """GET /time: ms."""

    server_time: Annotated[int, Meta(ge=0, le=9_000_000_000_000)]


# --- lite names -----------------------------------------------------------------------------------------------------
LITE_NAMES: Final[dict[type[Struct], dict[str, str]]] = {
    SubscribeResult: {
        "stream": "s", "subs": "s1", "unsubs": "u", "num_snapshots": "ns", "first_sequence_number": "fs",
        "latest_sequence_number": "ls",
    },
    RpcError: {"code": "c", "message": "m"},
    Frame: {
        "stream": "s", "selector": "s1", "sequence_number": "sn", "feed": "f", "prev_sequence_number": "ps",
        "jsonrpc": "j", "result": "r", "error": "e", "id": "i",
    },
    Level: {"price": "p", "size": "s", "num_orders": "no"},
    Book: {"event_time": "et", "instrument": "i", "bids": "b", "asks": "a"},
    Mini: {
        "event_time": "et", "instrument": "i", "best_bid_price": "bb", "best_bid_size": "bb1", "best_ask_price": "ba",
        "best_ask_size": "ba1",
    },
    Ticker: {
        "event_time": "et", "instrument": "i", "mark_price": "mp", "index_price": "ip", "funding_rate": "fr2",
        "next_funding_time": "nf",
    },
    Trade: {
        "event_time": "et", "instrument": "i", "is_taker_buyer": "it", "size": "s", "price": "p", "trade_id": "ti",
    },
}  # fmt: skip
_NESTED: Final[dict[str, Any]] = {"bids": Level, "asks": Level, "result": SubscribeResult, "error": RpcError}


def lite(shape: type[S]) -> type[S]:
    """The same struct under its lite keys: other bytes, equal attributes."""
    fields: list[tuple[str, Any, Any]] = []
    for entry in msgspec.structs.fields(shape):
        kind = entry.type
        if nested := _NESTED.get(entry.name):
            twin = lite(nested)
            kind = list[twin] if nested is Level else twin | None  # type: ignore[valid-type]
        default = msgspec.field(name=LITE_NAMES[shape][entry.name])
        if entry.default is not msgspec.NODEFAULT:
            default = msgspec.field(name=LITE_NAMES[shape][entry.name], default=entry.default)
        elif entry.default_factory is not msgspec.NODEFAULT:
            default = msgspec.field(name=LITE_NAMES[shape][entry.name], default_factory=entry.default_factory)
        fields.append((entry.name, kind, default))
    return cast("type[S]", msgspec.defstruct(f"Lite{shape.__name__}", fields, frozen=True))
