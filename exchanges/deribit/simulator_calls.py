"""Every method the simulator answers: its handler, the scope it needs, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exchanges.deribit import simulator_account_calls as account
from exchanges.deribit import simulator_market_calls as market
from exchanges.deribit import simulator_order_calls as order
from exchanges.deribit import simulator_session_calls as session
from exchanges.deribit.simulator_limits import Cost, Matching
from exchanges.deribit.simulator_venue import Call, Venue

Handler = Callable[[Venue, Call], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`scope`: ("trade", True) needs trade:read_write; None: any login, or none for a public method."""

    method: str
    handler: Handler
    scope: tuple[str, bool] | None = None
    cost: Cost | Matching = Cost.DEFAULT

    @property
    def private(self) -> bool:
        return self.method.startswith("private/")

    @property
    def matching(self) -> bool:
        """A request of the matching engine: it may change orders."""
        return isinstance(self.cost, Matching)

    @property
    def mass_cancel(self) -> bool:
        return self.method.startswith(("private/cancel_all", "private/cancel_by_label"))


_TRADE, _TRADE_READ = ("trade", True), ("trade", False)
_ACCOUNT, _ACCOUNT_READ = ("account", True), ("account", False)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("public/auth", session.auth),
    Endpoint("public/hello", session.hello),
    Endpoint("public/test", session.test),
    Endpoint("public/get_time", session.get_time),
    Endpoint("public/status", session.status),
    Endpoint("public/set_heartbeat", session.set_heartbeat),
    Endpoint("public/disable_heartbeat", session.disable_heartbeat),
    Endpoint("public/subscribe", session.subscribe_public, cost=Cost.SUBSCRIBE),
    Endpoint("public/unsubscribe", session.unsubscribe),
    Endpoint("public/unsubscribe_all", session.unsubscribe_all_public),
    Endpoint("public/get_instruments", market.get_instruments, cost=Cost.INSTRUMENTS),
    Endpoint("public/get_instrument", market.get_instrument),
    Endpoint("public/get_contract_size", market.get_contract_size),
    Endpoint("public/get_currencies", market.get_currencies),
    Endpoint("public/ticker", market.ticker),
    Endpoint("public/get_order_book", market.get_order_book),
    Endpoint("public/get_index_price", market.get_index_price),
    Endpoint("public/get_index_price_names", market.get_index_price_names),
    Endpoint("public/get_funding_rate_value", market.get_funding_rate_value),
    Endpoint("public/get_last_trades_by_instrument", market.get_last_trades_by_instrument),
    Endpoint("public/get_last_trades_by_instrument_and_time", market.get_last_trades_by_instrument),
    Endpoint("public/get_last_trades_by_currency", market.get_last_trades_by_currency),
    Endpoint("public/get_last_trades_by_currency_and_time", market.get_last_trades_by_currency),
    Endpoint("private/subscribe", session.subscribe_private, cost=Cost.SUBSCRIBE),
    Endpoint("private/unsubscribe", session.unsubscribe),
    Endpoint("private/unsubscribe_all", session.unsubscribe_all_private),
    Endpoint("private/logout", session.logout),
    Endpoint("private/enable_cancel_on_disconnect", session.enable_cod, _ACCOUNT),
    Endpoint("private/disable_cancel_on_disconnect", session.disable_cod, _ACCOUNT),
    Endpoint("private/get_cancel_on_disconnect", session.get_cod, _ACCOUNT_READ),
    Endpoint("private/buy", order.buy, _TRADE, Matching.TRADING),
    Endpoint("private/sell", order.sell, _TRADE, Matching.TRADING),
    Endpoint("private/edit", order.edit, _TRADE, Matching.TRADING),
    Endpoint("private/edit_by_label", order.edit_by_label, _TRADE, Matching.TRADING),
    Endpoint("private/close_position", order.close_position, _TRADE, Matching.TRADING),
    Endpoint("private/cancel", order.cancel, _TRADE, Matching.TRADING),
    Endpoint("private/cancel_by_label", order.cancel_by_label, _TRADE, Matching.CANCEL_ALL),
    Endpoint("private/cancel_all", order.cancel_all, _TRADE, Matching.CANCEL_ALL),
    Endpoint("private/cancel_all_by_currency", order.cancel_all_by_currency, _TRADE, Matching.TRADING),
    Endpoint("private/cancel_all_by_currency_pair", order.cancel_all_by_currency_pair, _TRADE, Matching.TRADING),
    Endpoint("private/cancel_all_by_instrument", order.cancel_all_by_instrument, _TRADE, Matching.TRADING),
    Endpoint("private/cancel_all_by_kind_or_type", order.cancel_all_by_kind_or_type, _TRADE, Matching.TRADING),
    Endpoint("private/get_open_orders", account.get_open_orders, _TRADE_READ),
    Endpoint("private/get_open_orders_by_currency", account.get_open_orders_by_currency, _TRADE_READ),
    Endpoint("private/get_open_orders_by_instrument", account.get_open_orders_by_instrument, _TRADE_READ),
    Endpoint("private/get_open_orders_by_label", account.get_open_orders_by_label, _TRADE_READ),
    Endpoint("private/get_order_state", account.get_order_state, _TRADE_READ),
    Endpoint("private/get_order_state_by_label", account.get_order_state_by_label, _TRADE_READ),
    Endpoint("private/get_order_history_by_currency", account.get_order_history_by_currency, _TRADE_READ),
    Endpoint("private/get_order_history_by_instrument", account.get_order_history_by_instrument, _TRADE_READ),
    Endpoint("private/get_user_trades_by_instrument", account.get_user_trades_by_instrument, _TRADE_READ),
    Endpoint("private/get_user_trades_by_instrument_and_time", account.get_user_trades_by_instrument, _TRADE_READ),
    Endpoint("private/get_user_trades_by_currency", account.get_user_trades_by_currency, _TRADE_READ),
    Endpoint("private/get_user_trades_by_currency_and_time", account.get_user_trades_by_currency, _TRADE_READ),
    Endpoint("private/get_user_trades_by_order", account.get_user_trades_by_order, _TRADE_READ),
    Endpoint("private/get_position", account.get_position, _TRADE_READ),
    Endpoint("private/get_positions", account.get_positions, _TRADE_READ),
    Endpoint("private/get_account_summary", account.get_account_summary, _ACCOUNT_READ),
    Endpoint("private/get_account_summaries", account.get_account_summaries, _ACCOUNT_READ),
)

BY_METHOD: dict[str, Endpoint] = {endpoint.method: endpoint for endpoint in ENDPOINTS}
EXEMPT_FROM_MAINTENANCE = ("public/test", "public/status", "public/get_time", "public/hello")
