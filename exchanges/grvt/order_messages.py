"""Wire shapes of GRVT's private messages, full names only: orders always go that way.

Docs: https://api-docs.grvt.io/trading_api and trading_streams (structs Positions, SubAccount, SpotBalance). Unknown
keys are ignored: recorded messages have some that the description does not know.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from exchanges.grvt.messages import RpcError, SubscribeResult, WireCount, WireTime

_NOTHING = msgspec.Raw(b"")


class PrivateFrame(Struct, frozen=True):
    """Any text frame of a private socket: feed frame, or reply to subscribe."""

    stream: str | None = None
    selector: str = ""
    sequence_number: WireCount = 0
    feed: msgspec.Raw = _NOTHING
    prev_sequence_number: WireCount = 0
    jsonrpc: str | None = None
    result: SubscribeResult | None = None
    error: RpcError | None = None
    id: int | None = None


class Position(Struct, frozen=True):
    """An element of `positions`, and the feed of v1.position. Signed size; closed is 0.0 on the stream."""

    event_time: WireTime
    instrument: str
    size: str
    entry_price: str
    unrealized_pnl: str
    realized_pnl: str


class PositionsReply(Struct, frozen=True):
    result: list[Position]


class SpotBalance(Struct, frozen=True):
    currency: str
    balance: str


class SubAccount(Struct, frozen=True):
    """`result` of account_summary. Available and profit are in the settle currency."""

    event_time: WireTime
    settle_currency: str
    unrealized_pnl: str
    available_balance: str
    spot_balances: list[SpotBalance]


class SubAccountReply(Struct, frozen=True):
    result: SubAccount
