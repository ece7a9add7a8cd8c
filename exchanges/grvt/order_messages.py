"""Wire shapes of GRVT's private messages, full names only: orders always go that way.

Docs: https://api-docs.grvt.io/trading_api and trading_streams (structs Order, Fill, Positions, SubAccount,
SpotBalance). Unknown keys are ignored: recorded messages have some that the description does not know.
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


class Reply(Struct, frozen=True):
    """A frame of an order socket that answers a call, or a REST answer in the same form: `result` is its body.

    status: HTTP's, None over a socket."""

    id: int | None = None
    result: msgspec.Raw = _NOTHING
    error: RpcError | None = None
    status: int | None = None


class OrderLeg(Struct, frozen=True):
    """A market order has no price, or 0."""

    instrument: str
    size: str
    is_buying_asset: bool
    limit_price: str | None = None


class OrderMetadata(Struct, frozen=True):
    client_order_id: str | int = ""
    create_time: WireTime = "0"


class OrderState(Struct, frozen=True):
    """One entry a leg in each list."""

    status: str
    traded_size: list[str]
    update_time: WireTime
    reject_reason: str = "UNSPECIFIED"


class OrderSignature(Struct, frozen=True):
    """`expiration` is the end of the order too."""

    expiration: WireTime = "0"


class Order(Struct, frozen=True):
    """Element of open_orders, `result` of create_order and order, feed of v1.order. order_id 0x00: none yet."""

    order_id: str
    time_in_force: str
    legs: list[OrderLeg]
    metadata: OrderMetadata
    state: OrderState
    is_market: bool | None = False
    post_only: bool | None = False
    reduce_only: bool | None = False
    signature: OrderSignature = OrderSignature()


class OrderReply(Struct, frozen=True):
    result: Order


class OrdersReply(Struct, frozen=True):
    result: list[Order]


class Ack(Struct, frozen=True):
    """Printed as text in the venue's examples."""

    ack: bool | str = False


class AckReply(Struct, frozen=True):
    result: Ack


class BulkReply(Struct, frozen=True):
    """Answer of bulk_orders, without `result` around it: an order for each create, PENDING, an ack for each cancel."""

    orders: list[Order] = []
    cancel_acks: list[Ack] = []


class Fill(Struct, frozen=True):
    """Element of fill_history, feed of v1.fill. A negative fee is a rebate; fee_currency came late."""

    event_time: WireTime
    instrument: str
    is_buyer: bool
    is_taker: bool
    size: str
    price: str
    fee: str
    trade_id: str
    order_id: str
    client_order_id: str | int = ""
    fee_currency: str = ""


class FillsReply(Struct, frozen=True):
    """Newest first; `next` is empty at the end."""

    result: list[Fill]
    next: str = ""


class CancelStatus(Struct, frozen=True):
    """Feed of v1.cancel: what became of a cancel by client order id that found no order."""

    client_order_id: str | int
    cancel_status: str
    update_time: WireTime = "0"


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
