"""Wire shapes of Deribit's private methods and channels.

Docs: https://docs.deribit.com/api-reference/trading, channels user.changes, user.portfolio.
Prices and amounts are JSON numbers, with an exponent now and then, and must be exact: they are kept as the bytes that
came (`Raw`) until the scale is known. Unknown keys are ignored.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, field

from exchanges.deribit.messages import Direction, Id, Milliseconds, Params, RpcError

_NOTHING = Raw(b"")
_ZERO = Raw(b"0")


class Reply(msgspec.Struct, frozen=True):
    """Any frame of a private connection: the reply to a request, or a notification."""

    identity: int | None = field(default=None, name="id")
    result: Raw = _NOTHING
    error: RpcError | None = None
    method: str | None = None
    params: Params | None = None


class Order(msgspec.Struct, frozen=True):
    """`price` of a trigger market order is the text "market_price"."""

    order_id: str
    order_state: str
    instrument_name: str
    direction: Direction
    price: Raw = _ZERO
    amount: Raw = _ZERO
    filled_amount: Raw = _ZERO
    order_type: str = "limit"
    time_in_force: str = "good_til_cancelled"
    label: str = ""
    post_only: bool = False
    reduce_only: bool = False
    replaced: bool = False
    is_liquidation: bool = False
    cancel_reason: str = ""
    creation_timestamp: Milliseconds = 0
    last_update_timestamp: Milliseconds = 0


class UserTrade(msgspec.Struct, frozen=True):
    """`direction` is the user's own. A negative fee is a rebate."""

    trade_seq: Id
    trade_id: str
    order_id: str
    instrument_name: str
    direction: Direction
    timestamp: Milliseconds
    price: Raw
    amount: Raw
    fee: Raw = _ZERO
    fee_currency: str = ""
    liquidity: str = ""
    label: str = ""


class OrderResult(msgspec.Struct, frozen=True):
    """Result of buy, sell and edit: the order, and what it filled at once."""

    order: Order
    trades: list[UserTrade] = []


class Position(msgspec.Struct, frozen=True):
    """`size` counts as the venue's amount does; a short has it negative, and `direction` says so too."""

    instrument_name: str
    size: Raw
    direction: str = ""
    average_price: float = 0.0
    total_profit_loss: Raw = _ZERO
    realized_profit_loss: Raw = _ZERO


class Changes(msgspec.Struct, frozen=True):
    """user.changes.any.any.raw: what one event of the engine did to orders, trades and position together."""

    instrument_name: str
    orders: list[Order] = []
    trades: list[UserTrade] = []
    positions: list[Position] = []


class Portfolio(msgspec.Struct, frozen=True):
    """user.portfolio.any, one message per currency; private/get_account_summaries lists the same."""

    currency: str
    balance: Raw = _ZERO
    available_funds: Raw = _ZERO
    session_upl: Raw = _ZERO


class Summaries(msgspec.Struct, frozen=True):
    """private/get_account_summaries."""

    summaries: list[Portfolio]


class Rate(msgspec.Struct, frozen=True):
    rate: float = 0.0
    burst: float = 0.0


class TradingLimits(msgspec.Struct, frozen=True):
    total: Rate = Rate()


class MatchingLimits(msgspec.Struct, frozen=True):
    trading: TradingLimits = TradingLimits()


class AccountLimits(msgspec.Struct, frozen=True):
    """`limits` of private/get_account_summary; with limits per currency the objects sit under currency keys, and the
    defaults stand."""

    matching_engine: MatchingLimits = MatchingLimits()


class AccountSummary(msgspec.Struct, frozen=True):
    limits: AccountLimits = AccountLimits()


class TradePage(msgspec.Struct, frozen=True):
    """private/get_user_trades_by_instrument."""

    trades: list[UserTrade]
    has_more: bool = False


class CancelOnDisconnect(msgspec.Struct, frozen=True):
    """private/get_cancel_on_disconnect."""

    scope: str
    enabled: bool
