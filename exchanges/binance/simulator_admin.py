"""What only a simulator can say: the whole truth, as JSON with decimals as text.

`GET /admin/truth[?account=name]` is what tests and reports compare with; `POST /admin/fault` arms faults,
`POST /admin/flow` pauses, resumes or freezes the market, `POST /admin/connections` cuts everybody off, and
`GET /admin/messages?about=text` tells the newest order calls, their failures and user events. Loopback only, no
authentication.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_replies import side
from exchanges.binance.simulator_venue import Venue
from exchanges.simulator.ledger import Account
from exchanges.simulator.orders import Order, Trade


def exact(value: Decimal) -> str:
    """Decimal text without exponent, as exact as it is held."""
    return f"{value:f}"


def account_truth(venue: Venue, account: Account) -> dict[str, Any]:
    """Everything the venue knows of one account."""
    exchange = venue.exchange
    positions = {}
    for symbol, position in account.positions.items():
        positions[symbol] = {
            "quantity": exact(position.quantity),
            "cost": exact(position.cost),
            "entry_price": exact(position.entry_price),
            "mark": exact(venue.mark(symbol)),
            "unrealized_pnl": exact(exchange.unrealized(account.name, symbol)),
            "realized_pnl": exact(position.realized),
            "fees": exact(position.fees),
        }
    unrealized = sum((exchange.unrealized(account.name, symbol) for symbol in account.positions), Decimal(0))
    return {
        "account": account.name,
        "asset": account.asset,
        "initial_wallet_balance": exact(account.initial_wallet),
        "wallet_balance": exact(account.wallet),
        "fees": exact(account.fees),
        "realized_pnl": exact(account.realized),
        "unrealized_pnl": exact(unrealized),
        "positions": positions,
        "orders": [_order(order) for order in exchange.orders_of(account.name)],
        "trades": [_trade(trade) for trade in account.trades],
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": side(order.is_buy),
        "type": order.request.type.value,
        "time_in_force": order.request.time_in_force.value,
        "state": order.state.value,
        "open": order.state.is_open,
        "price": exact(order.price),
        "quantity": exact(order.quantity),
        "filled": exact(order.filled),
        "quote_filled": exact(order.quote_filled),
        "queue_ahead": exact(order.queue_ahead),
        "reason": order.expiry.value,
        "create_time": order.create_ms,
        "update_time": order.update_ms,
        "trade_ids": list(order.trade_ids),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "client_order_id": trade.client_order_id,
        "symbol": trade.symbol,
        "side": side(trade.is_buy),
        "price": exact(trade.price),
        "quantity": exact(trade.quantity),
        "fee": exact(trade.fee),
        "fee_asset": trade.fee_asset,
        "realized_pnl": exact(trade.realized),
        "maker": trade.maker,
        "time": trade.time_ms,
    }
