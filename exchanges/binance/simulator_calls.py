"""The table of all calls: path and WebSocket method, security, cost, handler. REST and the WebSocket API share it.

Weights and order costs are those of the endpoint pages (2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from exchanges.binance import simulator_account_calls as account
from exchanges.binance import simulator_market_calls as market
from exchanges.binance import simulator_order_calls as order
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_venue import Call, Venue

Handler = Callable[[Venue, Call], Any]
Weight = int | Callable[[Parameters], int]


class Security(Enum):
    NONE = "none"
    KEY = "key header"
    SIGNED = "key header, timestamp and signature"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call. `orders` is its cost on the 10 s and the 1 min order counters; (0, 0): not an order request.

    `changes_orders` marks what may be in flight when a fault strikes, cancels included."""

    method: str
    path: str
    security: Security
    weight: Weight
    handler: Handler
    orders: tuple[int, int] = (0, 0)
    socket_method: str = ""
    changes_orders: bool = False

    def cost(self, parameters: Parameters) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)


_NONE, _KEY, _SIGNED = Security.NONE, Security.KEY, Security.SIGNED

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/fapi/v1/ping", _NONE, 1, market.ping),
    Endpoint("GET", "/fapi/v1/time", _NONE, 1, market.server_time, socket_method="time"),
    Endpoint("GET", "/fapi/v1/exchangeInfo", _NONE, 1, market.info),
    Endpoint("GET", "/fapi/v1/depth", _NONE, market.depth_weight, market.depth, socket_method="depth"),
    Endpoint("GET", "/fapi/v1/trades", _NONE, 5, market.trades),
    Endpoint("GET", "/fapi/v1/premiumIndex", _NONE, market.premium_index_weight, market.premium_index),
    Endpoint(
        "GET",
        "/fapi/v1/ticker/bookTicker",
        _NONE,
        market.book_ticker_weight,
        market.book_ticker,
        socket_method="ticker.book",
    ),
    Endpoint(
        "GET",
        "/fapi/v1/ticker/price",
        _NONE,
        market.price_ticker_weight,
        market.price_ticker,
        socket_method="ticker.price",
    ),
    Endpoint("GET", "/fapi/v2/ticker/price", _NONE, market.price_ticker_weight, market.price_ticker),
    Endpoint("POST", "/fapi/v1/order", _SIGNED, 0, order.place, (1, 1), "order.place", True),
    Endpoint("PUT", "/fapi/v1/order", _SIGNED, 0, order.amend, (1, 1), "order.modify", True),
    Endpoint("DELETE", "/fapi/v1/order", _SIGNED, 1, order.cancel, (0, 0), "order.cancel", True),
    Endpoint("GET", "/fapi/v1/order", _SIGNED, 1, order.query, (0, 0), "order.status"),
    Endpoint("POST", "/fapi/v1/order/test", _SIGNED, 0, order.test, (1, 1)),
    Endpoint("GET", "/fapi/v1/openOrder", _SIGNED, 1, order.open_order),
    Endpoint("GET", "/fapi/v1/openOrders", _SIGNED, order.open_orders_weight, order.open_orders),
    Endpoint("GET", "/fapi/v1/allOrders", _SIGNED, 5, order.all_orders),
    Endpoint("DELETE", "/fapi/v1/allOpenOrders", _SIGNED, 1, order.cancel_all, changes_orders=True),
    Endpoint("POST", "/fapi/v1/batchOrders", _SIGNED, 5, order.place_batch, (5, 1), "", True),
    Endpoint("PUT", "/fapi/v1/batchOrders", _SIGNED, 5, order.amend_batch, (5, 1), "", True),
    Endpoint("DELETE", "/fapi/v1/batchOrders", _SIGNED, 1, order.cancel_batch, changes_orders=True),
    Endpoint("POST", "/fapi/v1/countdownCancelAll", _SIGNED, 10, order.countdown),
    Endpoint("GET", "/fapi/v3/positionRisk", _SIGNED, 5, account.position_risk_v3, (0, 0), "v2/account.position"),
    Endpoint("GET", "/fapi/v2/positionRisk", _SIGNED, 5, account.position_risk_v2, (0, 0), "account.position"),
    Endpoint("GET", "/fapi/v3/balance", _SIGNED, 5, account.balance, (0, 0), "v2/account.balance"),
    Endpoint("GET", "/fapi/v2/balance", _SIGNED, 5, account.balance, (0, 0), "account.balance"),
    Endpoint("GET", "/fapi/v3/account", _SIGNED, 5, account.account_v3, (0, 0), "v2/account.status"),
    Endpoint("GET", "/fapi/v2/account", _SIGNED, 5, account.account_v2, (0, 0), "account.status"),
    Endpoint("GET", "/fapi/v1/accountConfig", _SIGNED, 5, account.account_config),
    Endpoint("GET", "/fapi/v1/symbolConfig", _SIGNED, 5, account.symbol_config),
    Endpoint("GET", "/fapi/v1/commissionRate", _SIGNED, 20, account.commission_rate),
    Endpoint("GET", "/fapi/v1/userTrades", _SIGNED, 5, account.user_trades),
    Endpoint("GET", "/fapi/v1/income", _SIGNED, 30, account.income),
    Endpoint("GET", "/fapi/v1/leverageBracket", _SIGNED, 1, account.leverage_bracket),
    Endpoint("GET", "/fapi/v1/rateLimit/order", _SIGNED, 1, account.order_rate_limits),
    Endpoint("POST", "/fapi/v1/leverage", _SIGNED, 1, account.set_leverage),
    Endpoint("POST", "/fapi/v1/marginType", _SIGNED, 1, account.set_margin_type),
    Endpoint("GET", "/fapi/v1/positionSide/dual", _SIGNED, 30, account.position_mode),
    Endpoint("POST", "/fapi/v1/positionSide/dual", _SIGNED, 1, account.set_position_mode),
    Endpoint("GET", "/fapi/v1/multiAssetsMargin", _SIGNED, 30, account.multi_assets),
    Endpoint("POST", "/fapi/v1/multiAssetsMargin", _SIGNED, 1, account.set_multi_assets),
    Endpoint("POST", "/fapi/v1/listenKey", _KEY, 1, account.open_listen_key, (0, 0), "userDataStream.start"),
    Endpoint("PUT", "/fapi/v1/listenKey", _KEY, 1, account.extend_listen_key, (0, 0), "userDataStream.ping"),
    Endpoint("DELETE", "/fapi/v1/listenKey", _KEY, 1, account.close_listen_key, (0, 0), "userDataStream.stop"),
)

BY_PATH: dict[tuple[str, str], Endpoint] = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
BY_SOCKET_METHOD: dict[str, Endpoint] = {e.socket_method: e for e in ENDPOINTS if e.socket_method}
