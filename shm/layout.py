"""Every byte that two processes share, declared once.

The rule of this file: offsets, sizes, enum codes and magic numbers stand here and nowhere else. The build turns the
dtypes below into C structs (`records.pxd`), into Python record classes (`records.py`) and into their type stubs, so a
field is named, placed and typed in exactly one line.

Conventions
- All integers little endian, all fields naturally aligned, every record a multiple of 8 bytes.
- Times end in `_time_ns`. `exchange_time_ns` is the venue's UTC clock; all others are CLOCK_MONOTONIC of this host.
- Market data carries float64: strategies compute with it. Orders, fills, fees, positions and balances carry int64
  *mantissas*: value = mantissa * 10**-scale with the scale of the instrument row (price_scale, quantity_scale) or of
  the currency (MONEY_SCALE). Decimal text to mantissa is exact, sums stay exact, FILLED is an equality.
- Enum codes are only ever appended, never renumbered. A change of any dtype or a removed code raises LAYOUT_VERSION.

Who uses it: everyone. Who changes it: whoever is ready to have every process restarted.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np

LAYOUT_VERSION: Final = 3
MAGIC: Final = 0x454E414C45524F43  # the text "CORELANE" read as a little-endian word
CACHE_LINE: Final = 64

# --- sizes that readers and writers must agree on -------------------------------------------------------------------
BOOK_TOP_DEPTH: Final = 10
"""Levels a side in a BookTop record: what fits a strategy's glance; the whole published book is the books table."""
BOOK_TABLE_DEPTH: Final = 50
"""Levels a side in a row of the books table."""
ID_TEXT_SIZE: Final = 40
"""Bytes for a venue's own order or trade id (longest seen: 36-character UUIDs, 20-digit integers)."""
REASON_TEXT_SIZE: Final = 80
LOG_TEXT_SIZE: Final = 208
LOG_VALUES: Final = 4
LOG_PLAIN: Final = 0xFFFF
"""value_count of a line that is no template."""
SYMBOL_SIZE: Final = 32
PROCESS_NAME_SIZE: Final = 32
CONNECTIONS_PER_PROCESS: Final = 6
MONEY_SCALE: Final = 8
"""Decimal places of fee, balance and profit mantissas: the finest any of the three venues reports."""
DOORBELLS: Final = 64
"""Readers that may ask to be woken by one instance's writers: one bit each in a ring header's armed word."""
CANCEL_RESERVE_SHIFT: Final = 3
"""1 / 2**3 of a request ring is kept for cancels: a full ring of quotes must not stop us from pulling them."""


# --- codes ----------------------------------------------------------------------------------------------------------
class RecordKind(IntEnum):
    """First two bytes of every record."""

    NONE = 0
    QUOTE = 1
    TRADE = 2
    BOOK_TOP = 3
    TICKER = 4
    MARKET_STATUS = 5
    ORDER_REQUEST = 6
    ORDER_EVENT = 7
    RECOVERY = 8
    LOG = 9
    AUDIT_DIFFERENCE = 10
    # rows of tables
    INSTRUMENT_ROW = 32
    BOOK_ROW = 33
    TICKER_ROW = 34
    POSITION_ROW = 35
    BALANCE_ROW = 36
    PROCESS_ROW = 37
    STRATEGY_ROW = 38


class Venue(IntEnum):
    """High 16 bits of an instrument id. 0 is nobody, so a zeroed record names no venue."""

    NONE = 0
    BINANCE = 1
    DERIBIT = 2
    GRVT = 3


class Side(IntEnum):
    """FIX tag 54 values."""

    NONE = 0
    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    NONE = 0
    MARKET = 1
    LIMIT = 2


class TimeInForce(IntEnum):
    """FIX tag 59 by name. GTD takes `expire_time_ns`."""

    NONE = 0
    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class ExecFlag(IntFlag):
    """Instructions beside the time in force (FIX tag 18)."""

    NONE = 0
    POST_ONLY = 1
    REDUCE_ONLY = 2
    EXPIRE_TAKER = 4
    """Self-trade prevention: where it would trade with an order of our own, this one ends."""
    EXPIRE_MAKER = 8
    """... the resting one ends. Both flags: both end. Neither: as the venue does by default."""


class RequestType(IntEnum):
    NONE = 0
    NEW = 1
    CANCEL = 2
    REPLACE = 3
    CANCEL_ALL = 4
    QUERY = 5
    RECOVER = 6


class EventType(IntEnum):
    """What an OrderEvent says. Only the venue's word makes one of the terminal kinds.

    SENT            the request's bytes were handed to the socket; nothing else is known
    ACCEPTED        the venue has the order and it is working (FIX ExecType New)
    FILL            a trade of this order; `parts` tells which of its fields are known yet
    FILL_FEE        the fee of a trade whose quantity was reported before
    CANCELED / EXPIRED / REJECTED   the order is over, by the venue's word (REJECTED also: refused here, never sent)
    CANCEL_REJECTED / REPLACE_REJECTED   the request failed, the order lives on as it was, or its end is told apart
    REPLACED        price and total quantity are now those of the event
    UNKNOWN         sent, outcome not known: only the venue's own word may end this state
    STATUS          a state read from the venue by query or recovery, cumulative fields are the venue's
    """

    NONE = 0
    SENT = 1
    ACCEPTED = 2
    FILL = 3
    FILL_FEE = 4
    CANCELED = 5
    EXPIRED = 6
    REJECTED = 7
    CANCEL_REJECTED = 8
    REPLACED = 9
    REPLACE_REJECTED = 10
    UNKNOWN = 11
    STATUS = 12


class OrderState(IntEnum):
    """States of MiniOMS and of the engine's own order store; the legal steps are a table in strategy/mini_oms.pyx."""

    NONE = 0
    PENDING_NEW = 1
    OPEN = 2
    PARTIALLY_FILLED = 3
    PENDING_CANCEL = 4
    PENDING_REPLACE = 5
    UNKNOWN = 6
    FILLED = 7
    CANCELED = 8
    REJECTED = 9
    EXPIRED = 10


TERMINAL_STATES: Final = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})


class Reason(IntEnum):
    """Why an event happened. 1-63: decided on this host, so nothing reached the venue. From 64: the venue's word."""

    NONE = 0
    STALE_EPOCH = 1
    DEADLINE_PASSED = 2
    KILL_SWITCH = 3
    RISK_SIZE = 4
    RISK_NOTIONAL = 5
    RISK_COLLAR = 6
    RISK_POSITION = 7
    RISK_OPEN_ORDERS = 8
    RISK_RATE = 9
    RISK_NO_LIMITS = 10
    RISK_STALE_DATA = 11
    RISK_LOSS = 12
    NOT_SENT = 13
    RATE_LIMIT = 14
    NOT_READY = 15
    BAD_REQUEST = 16
    UNKNOWN_ORDER_HERE = 17
    RESYNC = 18
    RING_FULL = 19
    STRATEGY_STOPPED = 20
    SAFE_NOT_CONNECTED = 21

    VENUE_REJECTED = 64
    VENUE_POST_ONLY = 65
    VENUE_INSUFFICIENT_MARGIN = 66
    VENUE_UNKNOWN_ORDER = 67
    VENUE_FILTER = 68
    VENUE_RATE_LIMIT = 69
    VENUE_TIMESTAMP = 70
    VENUE_SIGNATURE = 71
    VENUE_REDUCE_ONLY = 72
    VENUE_SELF_TRADE = 73
    VENUE_USER_CANCEL = 74
    VENUE_EXPIRED = 75
    VENUE_LIQUIDATION = 76
    VENUE_DUPLICATE_ID = 77
    VENUE_DOWN = 78
    VENUE_NOT_TRADING = 79
    VENUE_NOTHING_TO_CHANGE = 80

    TIMEOUT = 128
    DISCONNECTED = 129
    VENUE_STATUS_UNKNOWN = 130
    SETTLED_EXECUTED = 131
    SETTLED_ABSENT = 132


class FillPart(IntFlag):
    """Which fields of a fill are known; parts of one trade id merge."""

    NONE = 0
    QUANTITY = 1
    FEE = 2


class Liquidity(IntEnum):
    NONE = 0
    MAKER = 1
    TAKER = 2


class RecoveryPhase(IntEnum):
    NONE = 0
    BEGIN = 1
    END = 2


class AuditSubject(IntEnum):
    """What two sides of an audit differ about."""

    NONE = 0
    ORDER = 1
    TRADE = 2
    POSITION = 3


class TradeFlag(IntFlag):
    """`flags` of a public trade.

    LIQUIDATION   one side was being liquidated
    REPORT        no trade of its own: the venue's report on trades that its trade stream tells too, never to be counted
                  as volume. `quantity` and `price` are the report's total and average
    """

    NONE = 0
    LIQUIDATION = 1
    REPORT = 2


class MarketStatusCode(IntEnum):
    """Hints about the state that stands in the books table; never the only word about it."""

    NONE = 0
    SNAPSHOT = 1
    GAP = 2
    DISCONNECTED = 3
    CONNECTED = 4
    CROSSED = 5
    STALE = 6
    LIVE = 7


class InstrumentStatus(IntEnum):
    NONE = 0
    PENDING = 1
    TRADING = 2
    HALTED = 3
    CLOSED = 4


class ContractKind(IntEnum):
    NONE = 0
    LINEAR_PERPETUAL = 1
    INVERSE_PERPETUAL = 2
    LINEAR_FUTURE = 3
    INVERSE_FUTURE = 4
    OPTION = 5


class OptionKind(IntEnum):
    NONE = 0
    CALL = 1
    PUT = 2


class ProcessState(IntEnum):
    NONE = 0
    STARTING = 1
    CONNECTING = 2
    RECOVERING = 3
    READY = 4
    PAUSED = 5
    UNHEALTHY = 6
    STOPPING = 7
    STOPPED = 8
    FAILED = 9
    RESTARTING = 10
    """Ended to be started again at once: its silence is meant."""


class ConnectionState(IntEnum):
    NONE = 0
    CONNECTING = 1
    UP = 2
    STALE = 3
    DOWN = 4


class SegmentKind(IntEnum):
    NONE = 0
    BROADCAST_RING = 1
    LOSSLESS_RING = 2
    TABLE = 3
    WORDS = 4
    COUNTERS = 5
    JOURNAL = 6
    LIMITS = 7


class Word(IntEnum):
    """Index into the words segment: one atomic uint64 each, a level and not an edge.

    KILL_SWITCH_*   generation; odd = on. Set by anyone through the command, read by every engine before each send,
                    echoed by it in its process row after its last send under the old generation.
    CANCEL_ALL      generation; each rise asks every engine to cancel all of this instance.
    RESYNC_*        1 = events of this venue were lost; only the end of a recovery bracket clears it.
    """

    KILL_SWITCH = 0
    CANCEL_ALL = 1
    TRADER_EPOCH = 2
    RESYNC_BINANCE = 8
    RESYNC_DERIBIT = 9
    RESYNC_GRVT = 10


WORD_COUNT: Final = 64

# --- instrument ids -------------------------------------------------------------------------------------------------
VENUE_SHIFT: Final = 16
ROW_MASK: Final = 0xFFFF


def instrument_id(venue: int, row: int) -> int:
    """Id of the instrument that stands in `row` of its venue's tables. Append-only: an id never moves."""
    return (venue << VENUE_SHIFT) | row


# --- segment header -------------------------------------------------------------------------------------------------
#
#   byte 0      one page, the same for every segment; payload begins at HEADER_SIZE
#   +--------+--------+--------+--------+--------+--------+--------+--------+
#   | magic                             | version         | kind            |  0   written by `shm create`, constant
#   | layout_hash                       | capacity (slots, rows, words)     | 16
#   | stride (bytes a slot)             | total_size (bytes of the segment) | 32
#   | writer_pid      | writer_epoch    | created_time_ns                   | 48   the writer, when it attaches
#   +--------+--------+--------+--------+--------+--------+--------+--------+
#   | cursor: last published sequence / number of row writes                | 64   writer's own cache line
#   +-----------------------------------------------------------------------+
#   | tail: last sequence the consumer took       | consumer_pid            | 128  consumer's own cache line (lossless)
#   |   (instruments table: hash of the id table it was made for; journal file: see JOURNAL_STRIDE)
#   +-----------------------------------------------------------------------+
#   | armed: one bit per doorbell that wants a ring                         | 192  by sleepers; read by the writer
#   +-----------------------------------------------------------------------+
#   | name[64]                                                              | 256  the segment's own name, for `shm ls`
#   +-----------------------------------------------------------------------+
HEADER_SIZE: Final = 4096

SEGMENT_HEADER: Final = np.dtype(
    {
        "names": [
            "magic", "layout_version", "segment_kind", "layout_hash", "capacity", "stride", "total_size",
            "writer_pid", "writer_epoch", "created_time_ns", "cursor", "tail", "consumer_pid", "armed", "name",
        ],
        "formats": [
            "<u8", "<u4", "<u4", "<u8", "<u8", "<u8", "<u8",
            "<u4", "<u4", "<i8", "<u8", "<u8", "<u4", "<u8", "S64",
        ],
        "offsets": [0, 8, 12, 16, 24, 32, 40, 48, 52, 56, 64, 128, 136, 192, 256],
        "itemsize": HEADER_SIZE,
    }
)  # fmt: skip

# A ring slot, a table row and a journal entry all begin with one word: the sequence (or version) that ring.pyx and
# table.pyx write first as busy and last as valid. The record follows at SLOT_HEADER_SIZE.
SLOT_HEADER_SIZE: Final = 8
BUSY_BIT: Final = 1 << 63
"""Set in a slot's sequence while its record is being written; a killed writer leaves it set: it is never readable."""

# --- records --------------------------------------------------------------------------------------------------------
#
#   the first 16 bytes of every record
#   +--------+--------+--------+--------+--------+--------+--------+--------+
#   | kind u16        | size u16        | instrument_id u32                 |  0
#   | venue  | flags  | strategy_id u16 | epoch u32                         |  8
#   +--------+--------+--------+--------+--------+--------+--------+--------+
# `epoch` is the writer's: of the book (market records and rows) or of the trader (requests and their events).
_HEAD: Final = [
    ("kind", "<u2"), ("size", "<u2"), ("instrument_id", "<u4"),
    ("venue", "u1"), ("flags", "u1"), ("strategy_id", "<u2"), ("epoch", "<u4"),
]  # fmt: skip
# Times of a market record: the venue's, its frame's arrival, its numbers understood, its publication.
_MARKET_HEAD: Final = [
    *_HEAD,
    ("exchange_time_ns", "<i8"), ("receive_time_ns", "<i8"), ("decode_time_ns", "<i8"), ("publish_time_ns", "<i8"),
]  # fmt: skip


def _record(fields: list[Any]) -> np.dtype[np.void]:
    """A packed dtype whose fields are all naturally aligned; anything else is a mistake found at import."""
    dtype: np.dtype[np.void] = np.dtype(fields)
    assert dtype.fields is not None
    assert dtype.itemsize % 8 == 0, f"record of {dtype.itemsize} bytes is not a multiple of 8"
    for name in dtype.names or ():
        base = dtype.fields[name][0].base
        alignment = 1 if base.kind == "S" else base.itemsize
        assert dtype.fields[name][1] % alignment == 0, f"field {name} is not aligned"
    return dtype


QUOTE: Final = _record([
    *_MARKET_HEAD,                                                                              # 0-48
    ("update_id", "<u8"),                                                                       # 48 the venue's
    ("bid_price", "<f8"), ("bid_quantity", "<f8"), ("ask_price", "<f8"), ("ask_quantity", "<f8"),  # 56-88
])  # fmt: skip
"""Best bid and ask. Market server -> market ring. An empty side has quantity 0 and price NaN."""

TRADE: Final = _record([
    *_MARKET_HEAD,
    ("trade_id", "<u8"),                                    # 48 first id where the venue merged several
    ("price", "<f8"), ("quantity", "<f8"),                  # 56, 64 quantity as the venue counts: contracts, base
    ("aggressor_side", "u1"), ("aggregated", "u1"), ("pad0", "<u2"), ("trade_count", "<u4"),  # 72-80
])  # fmt: skip
"""A public trade; head `flags` are TradeFlag. `aggregated` 1: the venue merged `trade_count` fills of one aggressor and
price. A report's `trade_id` is its time in ms."""

BOOK_TOP: Final = _record([
    *_MARKET_HEAD,
    ("update_id", "<u8"),
    ("bid_count", "u1"), ("ask_count", "u1"), ("pad0", "<u2"), ("pad1", "<u4"),
    ("bid_prices", "<f8", (BOOK_TOP_DEPTH,)), ("bid_quantities", "<f8", (BOOK_TOP_DEPTH,)),
    ("ask_prices", "<f8", (BOOK_TOP_DEPTH,)), ("ask_quantities", "<f8", (BOOK_TOP_DEPTH,)),
])  # fmt: skip
"""Best levels after a book update, best first. Entries at and above the counts are NaN and 0."""

TICKER: Final = _record([
    *_MARKET_HEAD,
    ("mark_price", "<f8"), ("index_price", "<f8"), ("funding_rate", "<f8"),  # NaN where the venue sent none
    ("next_funding_time_ns", "<i8"),                        # venue UTC
    ("mark_price_mantissa", "<i8"),                         # exact, MONEY_SCALE decimals
    ("underlying_price", "<f8"),                            # 88 from here on options only, else NaN
    ("mark_volatility", "<f8"), ("bid_volatility", "<f8"), ("ask_volatility", "<f8"),  # 96 a year's, 0.5 = 50 %
    ("delta", "<f8"), ("gamma", "<f8"), ("vega", "<f8"), ("theta", "<f8"), ("rho", "<f8"),  # 120 as the venue says
])  # fmt: skip
"""Mark, index and funding, and an option's greeks. Market server -> market ring and tickers table."""

MARKET_STATUS: Final = _record([
    *_MARKET_HEAD,
    ("update_id", "<u8"), ("code", "<u2"), ("pad0", "<u2"), ("pad1", "<u4"),
])  # fmt: skip
"""A hint that the state of an instrument changed (MarketStatusCode); the books table holds the truth."""

ORDER_REQUEST: Final = _record([
    *_HEAD,                                                 # epoch: the trader's
    ("client_order_id", "<u8"),                             # 16
    ("request_type", "u1"), ("side", "u1"), ("order_type", "u1"), ("time_in_force", "u1"),  # 24
    ("exec_flags", "u1"), ("account", "u1"), ("cause_venue", "u1"), ("pad0", "u1"),         # 28
    ("price", "<i8"), ("quantity", "<i8"),                  # 32 mantissas; REPLACE: new *total* quantity (FIX OrderQty)
    ("request_id", "<u8"),                                  # 48 rises by one in an epoch; RECOVER: the nonce
    ("deadline_ns", "<i8"),                                 # 56 monotonic; not sent after it. 0 only for cancels
    ("expire_time_ns", "<i8"),                              # 64 venue UTC, for GTD
    ("cause_sequence", "<u8"), ("cause_receive_time_ns", "<i8"),  # 72 the market record (cause_venue's) it answers
    ("cause_poll_time_ns", "<i8"),                          # 88 when the trader polled that record
    ("create_time_ns", "<i8"), ("publish_time_ns", "<i8"),  # 96 strategy decided, ring publish
    ("exchange_order_id", f"S{ID_TEXT_SIZE}"),              # 112 for orders not ours
])  # fmt: skip
"""Trader -> request ring -> trading engine."""

ORDER_EVENT: Final = _record([
    *_HEAD,                                                 # epoch: the trader's that owns the order
    ("client_order_id", "<u8"),                             # 16 synthetic where the order is not ours
    ("event_type", "u1"), ("order_state", "u1"), ("side", "u1"), ("order_type", "u1"),      # 24 state: the venue's view
    ("time_in_force", "u1"), ("exec_flags", "u1"), ("liquidity", "u1"), ("parts", "u1"),    # 28
    ("request_type", "u1"), ("account", "u1"), ("reason", "<u2"), ("error_code", "<i4"),    # 32 it answers; venue's
    ("price", "<i8"), ("quantity", "<i8"), ("cumulative_quantity", "<i8"),                  # 40 of the order
    ("last_price", "<i8"), ("last_quantity", "<i8"),        # 64 of the fill
    ("fee", "<i8"), ("fee_currency", "S8"),                 # 80 mantissa in MONEY_SCALE, positive = paid
    ("exchange_time_ns", "<i8"), ("receive_time_ns", "<i8"), ("publish_time_ns", "<i8"),    # 96
    ("request_sequence", "<u8"), ("request_id", "<u8"),     # 120 of the request ring; 0 = answers none
    ("cause_sequence", "<u8"), ("cause_receive_time_ns", "<i8"),  # 136
    ("request_publish_time_ns", "<i8"), ("request_poll_time_ns", "<i8"),                    # 152 of the request
    ("sign_time_ns", "<i8"), ("send_time_ns", "<i8"),       # 168 its bytes ready, and handed to the socket
    ("exchange_order_id", f"S{ID_TEXT_SIZE}"),              # 184
    ("trade_id", f"S{ID_TEXT_SIZE}"),                       # 224
    ("text", f"S{REASON_TEXT_SIZE}"),                       # 264 the venue's message, cut
])  # fmt: skip
"""Trading engine -> event ring -> trader; the same records stand in the journal."""

RECOVERY: Final = _record([
    *_HEAD,
    ("phase", "u1"), ("pad0", "u1"), ("reason", "<u2"), ("pad1", "<u4"),
    ("nonce", "<u8"),                                       # of the RECOVER request; 0: the engine began it by itself
    ("open_orders", "<u4"), ("fills", "<u4"),               # END: how many of each stood inside the bracket
    ("watermark", "<u8"),                                   # END: event-ring sequence up to which state is complete
    ("exchange_time_ns", "<i8"), ("receive_time_ns", "<i8"), ("publish_time_ns", "<i8"),
])  # fmt: skip
"""Brackets a download of venue state in the event ring: what stands before BEGIN is void, Ready comes after END."""

AUDIT_DIFFERENCE: Final = _record([
    *_HEAD,
    ("client_order_id", "<u8"),                             # of the order, or of the trade's order; 0: a position
    ("subject", "u1"), ("pad0", "u1"), ("pad1", "<u2"), ("pad2", "<u4"),
    ("ours", "<i8"), ("theirs", "<i8"),                     # quantity scale: open quantity, traded quantity, position
    ("receive_time_ns", "<i8"), ("publish_time_ns", "<i8"),
    ("trade_id", f"S{ID_TEXT_SIZE}"),
])  # fmt: skip
"""Our side and the venue's, where an audit found them different. Engine -> event ring and journal; a report, nothing
is to be done about it: what heals it follows as order events."""

LOG: Final = _record([
    *_HEAD,
    ("wall_time_ns", "<i8"), ("publish_time_ns", "<i8"),    # CLOCK_REALTIME; 0: only publish_time_ns was taken
    ("level", "<u2"), ("value_count", "<u2"), ("pid", "<u4"),
    ("subject", "<u8"), ("values", "<f8", (LOG_VALUES,)),   # {id} and {0}, {1} … of the text, where value_count says so
    ("process", f"S{PROCESS_NAME_SIZE}"),
    ("logger", "S32"),
    ("text", f"S{LOG_TEXT_SIZE}"),
])  # fmt: skip
"""One log line, cut to fit. `value_count` LOG_PLAIN: the text stands as it is; else it is a template that the logger
process fills with the id and so many values."""

# --- rows of tables -------------------------------------------------------------------------------------------------
INSTRUMENT_ROW: Final = _record([
    *_HEAD,
    ("status", "u1"), ("contract_kind", "u1"), ("inverse", "u1"), ("price_scale", "u1"),
    ("quantity_scale", "u1"), ("option_kind", "u1"), ("pad1", "<u2"),
    ("tick_size", "<i8"), ("lot_size", "<i8"),              # mantissas in price_scale / quantity_scale
    ("minimum_quantity", "<i8"), ("maximum_quantity", "<i8"),
    ("minimum_price", "<i8"), ("maximum_price", "<i8"),
    ("minimum_notional", "<i8"),                            # MONEY_SCALE, quote currency (inverse: contracts value)
    ("contract_size", "<i8"),                               # MONEY_SCALE, 1.0 where contracts are base units
    ("price_band_up", "<f8"), ("price_band_down", "<f8"),   # multipliers of the mark price; 0 = none
    ("tick_step_prices", "<i8", (4,)), ("tick_step_sizes", "<i8", (4,)),  # above price[i]: size[i]; 0 = unused
    ("expiration_time_ns", "<i8"), ("strike", "<f8"),       # venue UTC, 0 = never; strike of options, else 0
    ("receive_time_ns", "<i8"),
    ("symbol", f"S{SYMBOL_SIZE}"), ("base_currency", "S8"), ("quote_currency", "S8"), ("settle_currency", "S8"),
])  # fmt: skip
"""Written by the venue's market server; last contents persist in the state directory."""

BOOK_ROW: Final = _record([
    *_MARKET_HEAD,                                          # epoch: rises with every snapshot
    ("update_id", "<u8"),
    ("valid", "u1"), ("status", "u1"), ("bid_count", "<u2"), ("ask_count", "<u2"), ("pad0", "<u2"),
    ("bid_prices", "<f8", (BOOK_TABLE_DEPTH,)), ("bid_quantities", "<f8", (BOOK_TABLE_DEPTH,)),
    ("ask_prices", "<f8", (BOOK_TABLE_DEPTH,)), ("ask_quantities", "<f8", (BOOK_TABLE_DEPTH,)),
])  # fmt: skip
"""Newest book of an instrument, best first. `valid` 0: withdrawn (gap, resync, crossed), do not quote on it;
`status` is the MarketStatusCode that says why."""

TICKER_ROW: Final = TICKER
"""The tickers table holds the same fields as the Ticker record: a state, so it may be read at any time."""

POSITION_ROW: Final = _record([
    *_HEAD,
    ("position", "<i8"),                                    # signed mantissa in quantity_scale
    ("entry_price", "<f8"),                                 # as the venue reports it
    ("unrealized_pnl", "<i8"), ("accumulated_realized_pnl", "<i8"),  # MONEY_SCALE, the venue's own figures
    ("exchange_time_ns", "<i8"), ("receive_time_ns", "<i8"), ("publish_time_ns", "<i8"),
    ("valid", "u1"), ("account", "u1"), ("pad0", "<u2"), ("pad1", "<u4"),
])  # fmt: skip
"""One row per (venue, account, instrument). Position server -> trader, engine, monitor."""

BALANCE_ROW: Final = _record([
    *_HEAD,
    ("wallet_balance", "<i8"), ("available_balance", "<i8"), ("unrealized_pnl", "<i8"),  # MONEY_SCALE
    ("exchange_time_ns", "<i8"), ("receive_time_ns", "<i8"), ("publish_time_ns", "<i8"),
    ("valid", "u1"), ("account", "u1"), ("pad0", "<u2"), ("pad1", "<u4"),
    ("currency", "S8"),
])  # fmt: skip
"""One row per (venue, account, currency)."""

PROCESS_ROW: Final = _record([
    *_HEAD,
    ("state", "u1"), ("pad0", "u1"), ("pad1", "<u2"), ("pid", "<u4"),
    ("heartbeat_time_ns", "<i8"), ("start_time_ns", "<i8"), ("ready_time_ns", "<i8"),
    ("accepted_trader_epoch", "<u4"), ("core", "<i4"),      # engines: the one epoch they serve; core -1 = not pinned
    ("kill_switch_echo", "<u8"),                            # generation this engine has obeyed
    ("clock_offset_ns", "<i8"),                             # CLOCK_REALTIME - CLOCK_MONOTONIC at the heartbeat
    ("restarts", "<u4"), ("pad2", "<u4"),
    ("connection_states", "u1", (8,)),                      # ConnectionState of its first CONNECTIONS_PER_PROCESS links
    ("connection_receive_time_ns", "<i8", (CONNECTIONS_PER_PROCESS,)),
    ("process", f"S{PROCESS_NAME_SIZE}"),
    ("text", f"S{REASON_TEXT_SIZE}"),                       # why it is not ready, in one sentence
])  # fmt: skip
"""One row per process, written by itself at every heartbeat."""

STRATEGY_ROW: Final = _record([
    *_HEAD,                                                 # epoch: the trader's
    ("state", "u1"), ("stale", "u1"), ("pad0", "<u2"), ("open_orders", "<u4"),  # state: strategy_runner.RunnerState
    ("position", "<i8"), ("lowest", "<i8"), ("highest", "<i8"),  # quantity scale: net, and its range with open orders
    ("average_price", "<f8"),
    ("realized_pnl", "<f8"), ("unrealized_pnl", "<f8"), ("fees", "<f8"),  # for people; NaN: no mark price yet
    ("bid_price", "<f8"), ("bid_quantity", "<f8"), ("ask_price", "<f8"), ("ask_quantity", "<f8"),  # own best; NaN: none
    ("fills", "<u8"), ("publish_time_ns", "<i8"),
    ("name", "S24"), ("instrument", "S40"), ("text", f"S{REASON_TEXT_SIZE}"),
])  # fmt: skip
"""One row per strategy and instrument, written by the trader some ten times a second for those who watch."""

RECORD_DTYPES: Final[dict[RecordKind, np.dtype[np.void]]] = {
    RecordKind.QUOTE: QUOTE,
    RecordKind.TRADE: TRADE,
    RecordKind.BOOK_TOP: BOOK_TOP,
    RecordKind.TICKER: TICKER,
    RecordKind.MARKET_STATUS: MARKET_STATUS,
    RecordKind.ORDER_REQUEST: ORDER_REQUEST,
    RecordKind.ORDER_EVENT: ORDER_EVENT,
    RecordKind.RECOVERY: RECOVERY,
    RecordKind.LOG: LOG,
    RecordKind.AUDIT_DIFFERENCE: AUDIT_DIFFERENCE,
    RecordKind.INSTRUMENT_ROW: INSTRUMENT_ROW,
    RecordKind.BOOK_ROW: BOOK_ROW,
    RecordKind.TICKER_ROW: TICKER_ROW,
    RecordKind.POSITION_ROW: POSITION_ROW,
    RecordKind.BALANCE_ROW: BALANCE_ROW,
    RecordKind.PROCESS_ROW: PROCESS_ROW,
    RecordKind.STRATEGY_ROW: STRATEGY_ROW,
}
MAX_RECORD_SIZE: Final = max(dtype.itemsize for dtype in RECORD_DTYPES.values())


def slot_stride(*kinds: RecordKind) -> int:
    """Bytes of a slot that can hold any of these records: whole cache lines, so that two slots never share one."""
    size = SLOT_HEADER_SIZE + max(RECORD_DTYPES[kind].itemsize for kind in kinds)
    return (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


MARKET_RING_KINDS: Final = (
    RecordKind.QUOTE, RecordKind.TRADE, RecordKind.BOOK_TOP, RecordKind.TICKER, RecordKind.MARKET_STATUS,
)  # fmt: skip
REQUEST_RING_KINDS: Final = (RecordKind.ORDER_REQUEST,)
EVENT_RING_KINDS: Final = (RecordKind.ORDER_EVENT, RecordKind.RECOVERY, RecordKind.AUDIT_DIFFERENCE)
JOURNAL_KINDS: Final = (RecordKind.ORDER_REQUEST, *EVENT_RING_KINDS)
LOG_RING_KINDS: Final = (RecordKind.LOG,)

# A journal file is a segment in a file: the header, then slots whose last word is the CRC-32 of the record. A killed
# process leaves whole slots by the rules of a ring; the check is for a power cut, after which any page may be missing.
# Its header's `tail` is the place in the series of the last record before the file's first.
JOURNAL_CHECK_SIZE: Final = 8
JOURNAL_STRIDE: Final = (
    (SLOT_HEADER_SIZE + max(RECORD_DTYPES[kind].itemsize for kind in JOURNAL_KINDS) + JOURNAL_CHECK_SIZE)
    + CACHE_LINE - 1
) // CACHE_LINE * CACHE_LINE  # fmt: skip


# --- counters -------------------------------------------------------------------------------------------------------
#
#   payload of a counters segment (one "row" of COUNTERS_STRIDE bytes)
#   +-------------------------------------------------+
#   | counter names   COUNTER_LIMIT x NAME_SIZE       |  written once by the process, at start
#   | histogram names HISTOGRAM_LIMIT x NAME_SIZE     |
#   | counters        COUNTER_LIMIT x uint64          |  one store each
#   | histograms      HISTOGRAM_LIMIT x HISTOGRAM_SIZE|  count, sum, minimum, maximum, buckets[]
#   +-------------------------------------------------+
# Buckets are log-linear: values below 2**(SUB_BITS+1) exactly, above that 2**SUB_BITS buckets an octave, so the middle
# of a bucket is within 0.8 % of every value in it. The last octave ends at 2**37 ns = 137 s.
COUNTER_LIMIT: Final = 96
HISTOGRAM_LIMIT: Final = 80
COUNTER_NAME_SIZE: Final = 48
HISTOGRAM_SUB_BITS: Final = 6
HISTOGRAM_TOP_BIT: Final = 36
HISTOGRAM_BUCKETS: Final = (HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 2) << HISTOGRAM_SUB_BITS
HISTOGRAM_SIZE: Final = 8 * (4 + HISTOGRAM_BUCKETS)
COUNTERS_STRIDE: Final = (
    (COUNTER_LIMIT + HISTOGRAM_LIMIT) * COUNTER_NAME_SIZE + 8 * COUNTER_LIMIT + HISTOGRAM_LIMIT * HISTOGRAM_SIZE
)

# --- limits ---------------------------------------------------------------------------------------------------------
#
#   one bucket of a limits segment: what a venue lets one address or account do, counted by all processes of the host
#     0  key               64-bit hash of `name`, never 0; 0 = free. Claimed once by compare-and-swap, never given back
#     8  state             a window:  number of the window (40 bits) | units used in it (24 bits)
#                          credits:   venue time (ns) at which all credits are there again
#    16  closed_until_ns   nothing passes before this venue time: a ban, or a time that the venue named
#    24  quiet_until_ns    the venue refused without naming a time: until then only urgent requests, one at a time
#    32  probe             venue time (ms, 56 bits) at which the next of those may pass | how many passed (8 bits)
#    40  limit             units of a window, or credits when full; 0 = the venue has not told
#    48  window_ns         length of a window; 0 = credits
#    56  unit_ns           time in which one credit comes back; 0 = a window
#    64  name              text, for people; written after the claim
# Every word is a level that anybody may raise with one compare-and-swap: no process that dies leaves anything held.
LIMIT_BUCKETS: Final = 64
"""Buckets of one venue and environment on one host: a few of the address, a few of each account."""
LIMIT_NAME_SIZE: Final = 64
LIMIT_USED_BITS: Final = 24
LIMIT_BUCKET: Final = np.dtype(
    [
        ("key", "<u8"),
        ("state", "<u8"),
        ("closed_until_ns", "<u8"),
        ("quiet_until_ns", "<u8"),
        ("probe", "<u8"),
        ("limit", "<u8"),
        ("window_ns", "<u8"),
        ("unit_ns", "<u8"),
        ("name", f"S{LIMIT_NAME_SIZE}"),
    ]
)
assert LIMIT_BUCKET.itemsize % CACHE_LINE == 0

# --- client order ids -----------------------------------------------------------------------------------------------
#
#   bit 63  62..56    55..48    47..32        31..0
#   +---+----------+----------+-------------+------------------+
#   | 1 | instance | strategy | trader epoch| counter          |
#   +---+----------+----------+-------------+------------------+
# The top bit is always set: GRVT asks for it of ids made by clients, the other venues carry the number as text.
# Epochs rise in the state directory and survive reboots and `shm rm`, so an id is never used twice by one instance.
INSTANCE_BITS: Final = 7
STRATEGY_BITS: Final = 8
EPOCH_BITS: Final = 16
COUNTER_BITS: Final = 32
CLIENT_ORDER_ID_TOP: Final = 1 << 63


def client_order_id(instance: int, strategy: int, epoch: int, counter: int) -> int:
    """Pack the four parts. Raises ValueError where one does not fit its bits."""
    for name, value, bits in (
        ("instance", instance, INSTANCE_BITS), ("strategy", strategy, STRATEGY_BITS),
        ("epoch", epoch, EPOCH_BITS), ("counter", counter, COUNTER_BITS),
    ):  # fmt: skip
        if not 0 <= value < 1 << bits:
            raise ValueError(f"client order id: {name} {value} does not fit {bits} bits")
    return CLIENT_ORDER_ID_TOP | instance << 56 | strategy << 48 | epoch << 32 | counter


def instance_of(order_id: int) -> int:
    """Instance number, or -1 for an id that this system cannot have made."""
    return order_id >> 56 & 0x7F if order_id >> 63 == 1 else -1


def strategy_of(order_id: int) -> int:
    return order_id >> 48 & 0xFF


def epoch_of(order_id: int) -> int:
    return order_id >> 32 & 0xFFFF


# --- identity of this file's contents -------------------------------------------------------------------------------
def _codes() -> list[type[IntEnum] | type[IntFlag]]:
    """Every enumeration of this file, in its order."""
    return [
        value
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, (IntEnum, IntFlag)) and value.__module__ == __name__
    ]


def _layout_hash() -> int:
    """64 bits over every dtype and code, so that two builds that disagree refuse each other at attach."""
    digest = hashlib.sha256()
    digest.update(
        repr((LAYOUT_VERSION, HEADER_SIZE, SLOT_HEADER_SIZE, WORD_COUNT, COUNTERS_STRIDE, JOURNAL_STRIDE)).encode()
    )
    digest.update(repr(SEGMENT_HEADER.fields).encode())
    digest.update(repr((LIMIT_BUCKETS, LIMIT_USED_BITS, LIMIT_BUCKET.descr)).encode())
    for kind, dtype in RECORD_DTYPES.items():
        digest.update(f"{int(kind)}:{dtype.descr}".encode())
    for codes in _codes():
        digest.update(repr([(member.name, int(member)) for member in codes]).encode())
    return int.from_bytes(digest.digest()[:8], "little")


LAYOUT_HASH: Final = _layout_hash()
