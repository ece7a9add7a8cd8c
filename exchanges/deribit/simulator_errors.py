"""The venue's refusals: JSON-RPC code, message and data.

Source: the RPC error table of the Deribit API documentation; some messages carry a number after a space
(`price_too_high 43666.4288`). `refused` words what the venue-free exchange refuses. Where the venue documents no code
for a case the choice stands beside it as "our choice".
"""

from __future__ import annotations

from typing import Any

from exchanges.simulator.errors import OrderRefused, Refusal

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

MESSAGES: dict[int, str] = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "request entity too large",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    10000: "authorization_required",
    10001: "error",
    10002: "qty_too_low",
    10003: "order_overlap",
    10004: "order_not_found",
    10005: "price_too_low",
    10007: "price_too_high",
    10009: "not_enough_funds",
    10010: "already_closed",
    10011: "price_not_allowed",
    10012: "book_closed",
    10019: "locked_by_admin",
    10020: "invalid_or_unsupported_instrument",
    10021: "invalid_amount",
    10023: "invalid_price",
    10025: "invalid_order_id",
    10026: "price_precision_exceeded",
    10027: "non_integer_contract_amount",
    10028: "too_many_requests",
    10029: "not_owner_of_order",
    10030: "must_be_websocket_request",
    10031: "invalid_args_for_instrument",
    10040: "retry",
    10041: "settlement_in_progress",
    10043: "price_wrong_tick",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    11008: "already_filled",
    11029: "invalid_arguments",
    11030: "other_reject",
    11044: "not_open_order",
    11047: "unsupported_arg_combination",
    11050: "bad_request",
    11051: "system_maintenance",
    11054: "post_only_reject",
    11055: "post_only_not_allowed",
    11056: "unauthenticated_public_requests_temporarily_disabled",
    11094: "internal_server_error",
    13004: "invalid_credentials",
    13009: "unauthorized",
    13010: "value_required",
    13020: "not_found",
    13021: "forbidden",
    13032: "non_unique_order_label",
    13666: "request_cancelled_by_user",
    13778: "raw_subscriptions_not_available_for_unauthorized",
    13888: "timed_out",
}


class VenueError(Exception):
    """An answer that is an error: `{"code":..,"message":..,"data":..}`; over HTTP with `status`."""

    def __init__(self, code: int, detail: str = "", data: Any = None) -> None:
        message = f"{MESSAGES[code]} {detail}".strip()
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.data = data

    @property
    def status(self) -> int:
        """HTTP: 500 for the internal error, 400 for all others."""
        return 500 if self.code == 11094 else 400

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid(name: str, reason: str = "invalid format") -> VenueError:
    """-32602 with the parameter's name, as the venue words it."""
    return VenueError(INVALID_PARAMS, data={"reason": reason, "param": name})


_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN_SYMBOL: (13020, ""),
    Refusal.SYMBOL_NOT_TRADING: (10012, ""),
    Refusal.PRICE_NOT_POSITIVE: (10023, ""),
    Refusal.PRICE_TOO_LOW: (10005, ""),
    Refusal.PRICE_TOO_HIGH: (10007, ""),
    Refusal.PRICE_OFF_TICK: (10043, ""),
    Refusal.PRICE_ABOVE_MARK_BAND: (10007, "%s"),
    Refusal.PRICE_BELOW_MARK_BAND: (10005, "%s"),
    Refusal.QUANTITY_NOT_POSITIVE: (10021, ""),
    Refusal.QUANTITY_TOO_SMALL: (10002, ""),
    Refusal.QUANTITY_TOO_LARGE: (10021, ""),
    Refusal.QUANTITY_OFF_LOT: (10021, ""),  # our choice: the venue's code is not documented
    Refusal.PRECISION: (10021, ""),
    Refusal.NOTIONAL_TOO_SMALL: (10002, ""),
    Refusal.TOO_MANY_OPEN_ORDERS: (11030, "max_open_orders"),
    Refusal.DUPLICATE_CLIENT_ORDER_ID: (11030, "label"),
    Refusal.MARGIN: (10009, ""),
    Refusal.REDUCE_ONLY: (11030, "reduce_only"),  # our choice
    Refusal.POST_ONLY_WOULD_TAKE: (11054, ""),
    Refusal.FILL_OR_KILL: (11030, "fill_or_kill"),
    Refusal.NO_MARKET: (10011, ""),
    Refusal.UNKNOWN_ORDER: (11044, ""),
    Refusal.AMEND_NOT_LIMIT: (11029, ""),
    Refusal.AMEND_NO_CHANGE: (11029, ""),
    Refusal.AMEND_TOO_MANY: (11030, "max_edits"),
    Refusal.AMEND_NOTIONAL_TOO_SMALL: (10002, ""),
}


def refused(error: OrderRefused) -> VenueError:
    """The venue's words for a refusal of the exchange."""
    code, detail = _REFUSALS[error.refusal]
    return VenueError(code, detail % error.detail if "%s" in detail else detail)
