"""What only a simulator can say of an account: the whole truth, decimals as text, ids in the venue's words.

The endpoint that tells it is `exchanges/simulator/server.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.grvt.simulator_replies import order_id, trade_text
from exchanges.grvt.simulator_venue import Venue
from exchanges.simulator.ledger import Account
from exchanges.simulator.truth import exact, order_truth, position_truth, trade_truth


def account_truth(venue: Venue, account: Account) -> dict[str, Any]:
    """Everything the venue knows of one account."""
    exchange = venue.exchange
    unrealized = sum((exchange.unrealized(account.name, symbol) for symbol in account.positions), Decimal(0))
    orders = {
        order.order_id: order_id(order.symbol, order.request.venue, order.order_id)
        for order in exchange.orders_of(account.name)
    }
    return {
        "account": account.name,
        "asset": account.asset,
        "initial_wallet_balance": exact(account.initial_wallet),
        "wallet_balance": exact(account.wallet),
        "fees": exact(account.fees),
        "realized_pnl": exact(account.realized),
        "unrealized_pnl": exact(unrealized),
        "positions": {symbol: position_truth(exchange, account.name, symbol) for symbol in account.positions},
        "orders": [
            {**order_truth(order), "order_id": orders[order.order_id]} for order in exchange.orders_of(account.name)
        ],
        "trades": [
            {**trade_truth(trade), "order_id": orders[trade.order_id], "trade_id": trade_text(trade)}
            for trade in account.trades
        ],
    }
