"""What a public market data message says, free of any venue's field names.

The rule: prices and quantities are int64 mantissas in the scales of the instrument row; times are the venue's UTC in
ns; nothing here knows where it came from. Events of the order book carry the update ids its sequencer needs.

Who makes them: each venue's MarketCodec, and the compiled scanners in tests. Who takes them: sequencers and
instrument feeds.
"""

from __future__ import annotations

import msgspec

from shm.layout import InstrumentStatus, Side, TradeFlag

Levels = list[tuple[int, int]]
"""(price, quantity) mantissas; in a delta the quantity is absolute and 0 removes the level."""


class BookSnapshot(msgspec.Struct, frozen=True):
    """The whole book, best first, as of `update_id`."""

    symbol: str
    update_id: int
    exchange_time_ns: int
    bids: Levels
    asks: Levels


class BookDelta(msgspec.Struct, frozen=True):
    """Changes of (previous_update_id, last_update_id]; what the ids promise is the venue's rule."""

    symbol: str
    first_update_id: int
    last_update_id: int
    previous_update_id: int
    exchange_time_ns: int
    bids: Levels
    asks: Levels


class BestQuote(msgspec.Struct, frozen=True):
    """Best bid and ask. A side with quantity 0 is empty. `update_id` 0: the venue's quotes have none."""

    symbol: str
    update_id: int
    exchange_time_ns: int
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int


class QuoteChange(msgspec.Struct, frozen=True):
    """What changed of the best bid and ask, None where nothing did; the one before it must have been applied.

    Sequence 0: the whole quote, what it does not name is empty."""

    symbol: str
    sequence: int
    previous_sequence: int
    exchange_time_ns: int
    bid_price: int | None
    bid_quantity: int | None
    ask_price: int | None
    ask_quantity: int | None


class PublicTrade(msgspec.Struct, frozen=True):
    """A trade, `trade_count` of them that the venue merged into one (aggregated), or a report on some (TradeFlag)."""

    symbol: str
    trade_id: int
    exchange_time_ns: int
    price: int
    quantity: int
    aggressor_side: Side
    aggregated: bool = False
    trade_count: int = 1
    flags: TradeFlag = TradeFlag.NONE


class PublicTrades(msgspec.Struct, frozen=True):
    """Trades that the venue sent in one message, oldest first."""

    trades: tuple[PublicTrade, ...]


class Greeks(msgspec.Struct, frozen=True):
    """An option's, as the venue computes them; volatilities of a year as fractions (0.5 = 50 %), NaN where none."""

    underlying_price: float
    mark_volatility: float
    bid_volatility: float
    ask_volatility: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


class MarkPrice(msgspec.Struct, frozen=True):
    """Mark price exactly (MONEY_SCALE); index and funding as floats, NaN where the venue sent none."""

    symbol: str
    exchange_time_ns: int
    mark_price: int
    index_price: float
    funding_rate: float
    next_funding_time_ns: int
    greeks: Greeks | None = None


class IndexPrice(msgspec.Struct, frozen=True):
    """An index that several instruments are settled against."""

    index: str
    exchange_time_ns: int
    price: float


class PlatformChange(msgspec.Struct, frozen=True):
    """Trading in the instruments of an index ("" = in all) is locked, or possible again."""

    index: str
    locked: bool


class Heartbeat(msgspec.Struct, frozen=True):
    """The venue is there; with `asks` it closes the connection unless it is told that we are too."""

    asks: bool


class InstrumentChange(msgspec.Struct, frozen=True):
    """An instrument was listed, halted, resumed or closed."""

    symbol: str
    exchange_time_ns: int
    status: InstrumentStatus


class ControlReply(msgspec.Struct, frozen=True):
    """The venue's answer to something we sent on a public stream; `error` is empty where it agreed."""

    request_id: int | None
    error: str = ""
    result: bytes = b""
    """What it says where it agreed, as JSON; only for venues that answer more than "done"."""
    code: int = 0
    """The venue's number of the error; 0 where it agreed, or where nobody needs it."""


class Subscribed(msgspec.Struct, frozen=True):
    """The venue agreed to send a stream: by selector, the sequence number of its first live frame."""

    stream: str
    first_sequences: dict[str, int]


class Ignored(msgspec.Struct, frozen=True):
    """A well-formed message that is not for us. `expected`: every connection sends such, so nobody need be told."""

    kind: str
    expected: bool = False


_Data = BookSnapshot | BookDelta | BestQuote | QuoteChange | PublicTrade | PublicTrades | MarkPrice
_State = IndexPrice | InstrumentChange | PlatformChange | Heartbeat | Subscribed | ControlReply
MarketEvent = _Data | _State | Ignored


class MalformedFrame(Exception):
    """The venue sent what its protocol does not allow. `kind` is one of few texts, for counting and logging once."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
