"""Wire shapes of the private side of Binance USDⓈ-M futures: the venue's key names beside ours.

The rule: only keys that we use are declared, others are skipped, so a new key never breaks us. Numbers that carry money
come as text and stay text here; `order_codec.py` makes mantissas of them. Keys that exist only in the old or only in
the new shape of a reply (avgPrice and cumQuote left the replies of POST, PUT and DELETE in July 2026) are not needed.

Sources: pages "New Order", "Account Trade List", "Event: Order Update" and their neighbours below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: order_codec.py alone.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

TimeMs = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Milliseconds UTC, bounded so that the nanoseconds fit a record."""
Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class ErrorReply(Struct, frozen=True):
    """`{"code":-2011,"msg":"Unknown order sent."}`"""

    code: int
    message: str = field(name="msg", default="")


class RateLimitCount(Struct, frozen=True):
    """Element of `rateLimits` of the WebSocket API: what we have used so far."""

    kind: str = field(name="rateLimitType")
    interval: str
    interval_number: int = field(name="intervalNum")
    count: int


class SocketEvent(Struct, frozen=True):
    """`event` of a frame that nobody asked for: `{"event":{"e":"serverShutdown",...}}`"""

    event: str = field(name="e", default="")


class SocketReply(Struct, frozen=True):
    """Frame of the WebSocket API: `result` where status is 200, else `error`, both as REST says them. An error without
    id concerns the connection (a revoked key)."""

    identity: int | str | None = field(name="id", default=None)
    status: int = 0
    result: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)
    rate_limits: list[RateLimitCount] = field(name="rateLimits", default_factory=list)
    event: SocketEvent | None = None

    @property
    def body(self) -> Raw:
        return self.result or self.error


class OrderReply(Struct, frozen=True):
    """Reply of POST, PUT, DELETE and GET order, element of openOrders and allOrders."""

    exchange_order_id: Id = field(name="orderId")
    symbol: str
    status: str
    client_order_id: str = field(name="clientOrderId")
    price: str
    quantity: str = field(name="origQty")
    cumulative_quantity: str = field(name="executedQty")
    side: str
    order_type: str = field(name="type", default="")
    time_in_force: str = field(name="timeInForce", default="")
    reduce_only: bool = field(name="reduceOnly", default=False)
    position_side: str = field(name="positionSide", default="BOTH")
    update_time_ms: TimeMs = field(name="updateTime", default=0)


class UserTrade(Struct, frozen=True):
    """Row of GET userTrades. It names the order by the venue's id only."""

    trade_id: Id = field(name="id")
    exchange_order_id: Id = field(name="orderId")
    symbol: str
    side: str
    price: str
    quantity: str = field(name="qty")
    fee: str = field(name="commission")
    fee_currency: str = field(name="commissionAsset")
    time_ms: TimeMs = field(name="time")
    maker: bool


class PositionRisk(Struct, frozen=True):
    """Row of GET /fapi/v3/positionRisk: only symbols with a position or open orders are listed."""

    symbol: str
    position: str = field(name="positionAmt")
    entry_price: str = field(name="entryPrice")
    unrealized_pnl: str = field(name="unRealizedProfit")
    position_side: str = field(name="positionSide", default="BOTH")
    update_time_ms: TimeMs = field(name="updateTime", default=0)


class Balance(Struct, frozen=True):
    """Row of GET /fapi/v3/balance."""

    currency: str = field(name="asset")
    wallet_balance: str = field(name="balance")
    available_balance: str = field(name="availableBalance")
    unrealized_pnl: str = field(name="crossUnPnl", default="0")
    update_time_ms: TimeMs = field(name="updateTime", default=0)


class AccountConfig(Struct, frozen=True):
    """Reply of GET /fapi/v1/accountConfig."""

    dual_side: bool = field(name="dualSidePosition")
    multi_assets_margin: bool = field(name="multiAssetsMargin")
    can_trade: bool = field(name="canTrade")


class SymbolConfig(Struct, frozen=True):
    """Row of GET /fapi/v1/symbolConfig."""

    symbol: str
    margin_type: str = field(name="marginType")
    leverage: int


class ServerTime(Struct, frozen=True):
    """Reply of GET /fapi/v1/time."""

    server_time_ms: TimeMs = field(name="serverTime")


class ListenKey(Struct, frozen=True):
    """Reply of POST and PUT listenKey; older servers answer PUT with `{}`."""

    listen_key: str = field(name="listenKey", default="")


# --- user data stream -----------------------------------------------------------------------------------------------
class OrderUpdate(Struct, frozen=True):
    """`o` of ORDER_TRADE_UPDATE. n and N are absent in older frames where nothing traded."""

    symbol: str = field(name="s")
    client_order_id: str = field(name="c")
    side: str = field(name="S")
    order_type: str = field(name="o")
    time_in_force: str = field(name="f")
    quantity: str = field(name="q")
    price: str = field(name="p")
    execution_type: str = field(name="x")
    status: str = field(name="X")
    exchange_order_id: Id = field(name="i")
    last_quantity: str = field(name="l")
    cumulative_quantity: str = field(name="z")
    last_price: str = field(name="L")
    time_ms: TimeMs = field(name="T")
    trade_id: Id = field(name="t", default=0)
    fee: str = field(name="n", default="0")
    fee_currency: str = field(name="N", default="")
    maker: bool = field(name="m", default=False)
    reduce_only: bool = field(name="R", default=False)
    expiry_reason: str = field(name="er", default="0")


class OrderTradeUpdate(Struct, frozen=True, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    """ORDER_TRADE_UPDATE: every change of an order."""

    order: OrderUpdate = field(name="o")
    event_time_ms: TimeMs = field(name="E", default=0)


class TradeLite(Struct, frozen=True, tag_field="e", tag="TRADE_LITE"):
    """TRADE_LITE: a fill, sooner and without fee, status or cumulative quantity. `p` (0 for market) is the order's."""

    symbol: str = field(name="s")
    client_order_id: str = field(name="c")
    side: str = field(name="S")
    quantity: str = field(name="q")
    price: str = field(name="p")
    last_price: str = field(name="L")
    last_quantity: str = field(name="l")
    trade_id: Id = field(name="t")
    exchange_order_id: Id = field(name="i")
    time_ms: TimeMs = field(name="T")
    maker: bool = field(name="m", default=False)


class BalanceChange(Struct, frozen=True):
    """Element of ACCOUNT_UPDATE `a.B`."""

    currency: str = field(name="a")
    wallet_balance: str = field(name="wb")
    change: str = field(name="bc", default="0")


class PositionChange(Struct, frozen=True):
    """Element of ACCOUNT_UPDATE `a.P`: only positions that changed."""

    symbol: str = field(name="s")
    position: str = field(name="pa")
    entry_price: str = field(name="ep")
    accumulated_realized_pnl: str = field(name="cr", default="0")
    unrealized_pnl: str = field(name="up", default="0")
    position_side: str = field(name="ps", default="BOTH")


class AccountChange(Struct, frozen=True):
    """`a` of ACCOUNT_UPDATE."""

    balances: list[BalanceChange] = field(name="B", default_factory=list)
    positions: list[PositionChange] = field(name="P", default_factory=list)
    cause: str = field(name="m", default="")


class AccountUpdate(Struct, frozen=True, tag_field="e", tag="ACCOUNT_UPDATE"):
    """ACCOUNT_UPDATE: balances and positions after a trade, a transfer, funding."""

    change: AccountChange = field(name="a")
    time_ms: TimeMs = field(name="T")


class MarginPosition(Struct, frozen=True):
    """Element of MARGIN_CALL `p`."""

    symbol: str = field(name="s")
    position: str = field(name="pa", default="")
    mark_price: str = field(name="mp", default="")
    unrealized_pnl: str = field(name="up", default="")
    maintenance_margin: str = field(name="mm", default="")


class MarginCall(Struct, frozen=True, tag_field="e", tag="MARGIN_CALL"):
    """MARGIN_CALL: the margin is nearly used up. `cw` comes for crossed positions only."""

    positions: list[MarginPosition] = field(name="p", default_factory=list)
    cross_wallet_balance: str = field(name="cw", default="")


class LeverageChange(Struct, frozen=True):
    """`ac` of ACCOUNT_CONFIG_UPDATE."""

    symbol: str = field(name="s")
    leverage: int = field(name="l")


class ModeChange(Struct, frozen=True):
    """`ai` of ACCOUNT_CONFIG_UPDATE."""

    multi_assets: bool = field(name="j")


class AccountConfigUpdate(Struct, frozen=True, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE"):
    """ACCOUNT_CONFIG_UPDATE: leverage of a symbol, or the multi-assets mode; one of both."""

    leverage: LeverageChange | None = field(name="ac", default=None)
    mode: ModeChange | None = field(name="ai", default=None)


class ListenKeyExpired(Struct, frozen=True, tag_field="e", tag="listenKeyExpired"):
    """Nothing follows on this socket, which stays open. (E was a string before 2026-05, so it is not read.)"""


StreamMessage = OrderTradeUpdate | TradeLite | AccountUpdate | MarginCall | AccountConfigUpdate | ListenKeyExpired


class StreamHead(Struct, frozen=True):
    """What every event of the stream has; tells an unknown event from a broken frame."""

    event: str = field(name="e")
