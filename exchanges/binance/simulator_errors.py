"""The venue's refusals: HTTP status, code and text.

Source: the error-code and general-info pages of the USDⓈ-M futures documentation; texts as sent. `refused` words what
the venue-free exchange refuses.
"""

from __future__ import annotations

from typing import Any

from exchanges.simulator.errors import OrderRefused, Refusal


class VenueError(Exception):
    """An answer that is an error: `{"code":..,"msg":..}` with its HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400, retry_after_s: int = 0) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.message}


def missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def unexpected(name: str) -> VenueError:
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


_POST_ONLY = (
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history"
)
_FILL_OR_KILL = (
    "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history"
)

_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Refusal.SYMBOL_NOT_TRADING: (-4140, "Invalid symbol status for opening position."),
    Refusal.PRICE_NOT_POSITIVE: (-4001, "Price less than 0."),
    Refusal.PRICE_TOO_LOW: (-4013, "Price less than min price."),
    Refusal.PRICE_TOO_HIGH: (-4002, "Price greater than max price."),
    Refusal.PRICE_OFF_TICK: (-4014, "Price not increased by tick size."),
    Refusal.PRICE_ABOVE_MARK_BAND: (-4016, "Limit price can't be higher than %s."),
    Refusal.PRICE_BELOW_MARK_BAND: (-4024, "Limit price can't be lower than %s."),
    Refusal.QUANTITY_NOT_POSITIVE: (-4003, "Quantity less than or equal to zero."),
    Refusal.QUANTITY_TOO_SMALL: (-4004, "Quantity less than min quantity."),
    Refusal.QUANTITY_TOO_LARGE: (-4005, "Quantity greater than max quantity."),
    Refusal.QUANTITY_OFF_LOT: (-4023, "Qty not increased by step size."),
    Refusal.PRECISION: (-1111, "Precision is over the maximum defined for this asset."),
    Refusal.NOTIONAL_TOO_SMALL: (
        -4164,
        "Order's notional must be no smaller than %s (unless you choose reduce only).",
    ),
    Refusal.TOO_MANY_OPEN_ORDERS: (-2025, "Reach max open order limit."),
    Refusal.DUPLICATE_CLIENT_ORDER_ID: (-4116, "ClientOrderId is duplicated."),
    Refusal.MARGIN: (-2019, "Margin is insufficient."),
    Refusal.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Refusal.POST_ONLY_WOULD_TAKE: (-5022, _POST_ONLY),
    Refusal.FILL_OR_KILL: (-5021, _FILL_OR_KILL),
    Refusal.NO_MARKET: (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    Refusal.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Refusal.AMEND_NOT_LIMIT: (-5025, "Only limit order is supported."),
    Refusal.AMEND_NO_CHANGE: (-5027, "No need to modify the order."),
    Refusal.AMEND_TOO_MANY: (-5026, "Exceed maximum modify order limit."),
    Refusal.AMEND_NOTIONAL_TOO_SMALL: (-5029, "Order's notional must be no smaller than %s."),
}


def refused(error: OrderRefused) -> VenueError:
    """The venue's words for a refusal of the exchange."""
    code, text = _REFUSALS[error.refusal]
    return VenueError(code, text % error.detail if "%s" in text else text)
