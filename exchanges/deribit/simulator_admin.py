"""What only a simulator can say of an account: the whole truth, as JSON with decimals as text.

Money stands by currency; positions of all currencies stand together, each with its own. Ids are the venue's, so that
they compare with what a client was told. The endpoint that tells it is `exchanges/simulator/server.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.deribit.simulator_replies import note_of, order_id, prefixed
from exchanges.deribit.simulator_venue import CURRENCIES, Venue
from exchanges.simulator.orders import Order
from exchanges.simulator.truth import exact, order_truth, position_truth, trade_truth


def account_truth(venue: Venue, owner: str) -> dict[str, Any]:
    """Everything the venue knows of one account."""
    exchange = venue.exchange
    currencies: dict[str, Any] = {}
    positions: dict[str, Any] = {}
    for currency in CURRENCIES:
        account = venue.wallet(owner, currency)
        unrealized = sum((exchange.unrealized(account.name, symbol) for symbol in account.positions), Decimal(0))
        currencies[currency] = {
            "initial_wallet_balance": exact(account.initial_wallet),
            "wallet_balance": exact(account.wallet),
            "fees": exact(account.fees),
            "funding": exact(account.funding),
            "realized_pnl": exact(account.realized),
            "unrealized_pnl": exact(unrealized),
        }
        for symbol in account.positions:
            positions[symbol] = position_truth(exchange, account.name, symbol) | {"currency": currency}
    return {
        "account": owner,
        "currencies": currencies,
        "positions": positions,
        "orders": [_order(order) for order in venue.orders_of(owner)],
        "trades": [
            trade_truth(trade)
            | {
                "trade_id": prefixed(trade.fee_asset, trade.trade_id),
                "trade_seq": venue.trade_numbers[trade.trade_id][0],
                "order_id": prefixed(trade.fee_asset, trade.order_id),
            }
            for trade in venue.trades_of(owner)
        ],
    }


def _order(order: Order) -> dict[str, Any]:
    note = note_of(order)
    return order_truth(order) | {"order_id": order_id(order), "label": note.label, "cancel_reason": note.cancel_reason}
