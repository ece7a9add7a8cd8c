"""The table of all calls: route, who may call it, handler. REST and RPC over a socket share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from exchanges.grvt import simulator_account_calls as account
from exchanges.grvt import simulator_market_calls as market
from exchanges.grvt import simulator_order_calls as order
from exchanges.grvt.simulator_venue import Call, Venue


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call; `route` with its version, like "v1/create_order". `changes_orders`: a fault may find it in flight."""

    route: str
    handler: Callable[[Venue, Call], Any]
    private: bool = True
    changes_orders: bool = False


ENDPOINTS: Final = (
    Endpoint("v1/all_instruments", market.all_instruments, private=False),
    Endpoint("v1/instruments", market.filtered_instruments, private=False),
    Endpoint("v1/instrument", market.instrument, private=False),
    Endpoint("v1/currency", market.currency, private=False),
    Endpoint("v1/mini", market.mini, private=False),
    Endpoint("v1/ticker", market.ticker, private=False),
    Endpoint("v1/book", market.book, private=False),
    Endpoint("v1/trade", market.trades, private=False),
    Endpoint("v1/trade_history", market.trade_history, private=False),
    Endpoint("v1/create_order", order.create, changes_orders=True),
    Endpoint("v1/cancel_order", order.cancel, changes_orders=True),
    Endpoint("v1/cancel_all_orders", order.cancel_all, changes_orders=True),
    Endpoint("v2/bulk_orders", order.bulk, changes_orders=True),
    Endpoint("v1/order", order.query),
    Endpoint("v1/open_orders", order.open_orders),
    Endpoint("v1/order_history", order.order_history),
    Endpoint("v1/cancel_on_disconnect", order.countdown),
    Endpoint("v1/fill_history", account.fill_history),
    Endpoint("v1/positions", account.positions),
    Endpoint("v1/account_summary", account.summary),
    Endpoint("v1/aggregated_account_summary", account.aggregated_summary),
    Endpoint("v1/funding_account_summary", account.funding_summary),
    Endpoint("v1/funding_payment_history", account.nothing_paid),
    Endpoint("v1/get_sub_accounts", account.sub_accounts),
    Endpoint("v1/get_all_initial_leverage", account.all_leverage),
    Endpoint("v1/set_initial_leverage", account.set_leverage),
)
BY_ROUTE: Final = {endpoint.route: endpoint for endpoint in ENDPOINTS}
