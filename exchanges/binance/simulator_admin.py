"""What only a simulator can say of an account: the whole truth, as JSON with decimals as text.

The endpoint that tells it is `exchanges/simulator/server.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_venue import Venue
from exchanges.simulator.ledger import Account
from exchanges.simulator.truth import exact, order_truth, position_truth, trade_truth


def account_truth(venue: Venue, account: Account) -> dict[str, Any]:
    """Everything the venue knows of one account."""
    exchange = venue.exchange
    unrealized = sum((exchange.unrealized(account.name, symbol) for symbol in account.positions), Decimal(0))
    return {
        "account": account.name,
        "asset": account.asset,
        "initial_wallet_balance": exact(account.initial_wallet),
        "wallet_balance": exact(account.wallet),
        "fees": exact(account.fees),
        "realized_pnl": exact(account.realized),
        "unrealized_pnl": exact(unrealized),
        "positions": {symbol: position_truth(exchange, account.name, symbol) for symbol in account.positions},
        "orders": [order_truth(order) for order in exchange.orders_of(account.name)],
        "trades": [trade_truth(trade) for trade in account.trades],
    }
