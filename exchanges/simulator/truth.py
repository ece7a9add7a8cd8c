"""Orders and trades as the truth tells them: JSON with decimals as text, ids in the venue's own words.

The money differs by venue (one wallet or one per currency) and stands in the venue's `simulator_admin.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.orders import Order, Trade


def exact(value: Decimal) -> str:
    """Decimal text without exponent, as exact as it is held."""
    return f"{value:f}"


def position_truth(exchange: SimulatedExchange, account: str, symbol: str) -> dict[str, Any]:
    """One position of one account."""
    position = exchange.accounts[account].position(symbol)
    return {
        "quantity": exact(position.quantity),
        "cost": exact(position.cost),
        "entry_price": exact(position.entry_price),
        "mark": exact(exchange.mark(symbol)),
        "unrealized_pnl": exact(exchange.unrealized(account, symbol)),
        "realized_pnl": exact(position.realized),
        "fees": exact(position.fees),
        "funding": exact(position.funding),
    }


def order_truth(order: Order) -> dict[str, Any]:
    """One order; `order_id` is the exchange's number."""
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


def trade_truth(trade: Trade) -> dict[str, Any]:
    """One fill of one order."""
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


def side(is_buy: bool) -> str:
    return "BUY" if is_buy else "SELL"
