"""What the simulated GRVT answers instead of a result: the venue's codes with their HTTP status and exact message.

Source: error codes of the venue's api-spec. A refusal of the exchange core that the venue gives at once is mapped here;
those that its matching engine gives later, on the order stream, are in simulator_orders.py.
"""

from __future__ import annotations

from typing import Any, Final

from exchanges.simulator.errors import OrderRefused, Refusal

ERRORS: Final[dict[int, tuple[int, str]]] = {
    1000: (401, "You need to authenticate prior to using this functionality"),
    1001: (403, "You are not authorized to access this functionality"),
    1002: (500, "Internal Server Error"),
    1003: (400, "Request could not be processed due to malformed syntax"),
    1004: (404, "Data Not Found"),
    1006: (429, "You have surpassed the allocated rate limit for your tier"),
    1009: (503, "We are temporarily deactivating this API endpoint, please try again later"),
    1012: (400, "Invalid signature chain ID"),
    1100: (400, "Stream not supported on this gateway"),
    1101: (400, "Feed Format must be in the format of <primary>@<secondary>"),
    1102: (400, "Wrong number of primary selectors"),
    1103: (400, "Wrong number of secondary selectors"),
    1200: (404, "RPC method not found"),
    1400: (403, "Signer does not have trade permission"),
    2000: (403, "Signature is from an unauthorized signer"),
    2001: (403, "Signature has expired"),
    2002: (403, "Signature does not match payload"),
    2003: (403, "Order sub account does not match logged in user"),
    2004: (403, "Signature is from an expired session key"),
    2005: (403, "Signature V must be 27/28"),
    2006: (403, "Signature R/S must have exactly 64 characters long without 0x prefix"),
    2007: (403, "Signature S must be in the lower half of the curve"),
    2010: (400, "Order ID should be empty when creating an order"),
    2011: (400, "Client Order ID should be supplied when creating an order"),
    2012: (400, "Client Order ID overlaps with existing active order"),
    2020: (400, "Market Order must always be supplied without a limit price"),
    2021: (400, "Limit Order must always be supplied with a limit price"),
    2030: (400, "Orderbook Orders must have a TimeInForce of GTT/IOC/FOK"),
    2032: (400, "Post Only can only be set to true for GTT/AON orders"),
    2040: (400, "Order must contain at least one leg"),
    2042: (400, "Orderbook Orders must contain only one leg"),
    2050: (400, "Order state must be empty upon creation"),
    2060: (400, "Order Legs contain one or more inactive derivative"),
    2061: (400, "Unsupported Instrument Requested"),
    2062: (400, "Order size smaller than min size"),
    2064: (400, "Invalid limit price tick"),
    2065: (400, "Order size too granular"),
    2066: (400, "Order below minimum notional. Please try again with a higher price or size."),
    2080: (400, "Insufficient margin to create order"),
    2081: (400, "Order Fill would result in exceeding maximum position size"),
    2082: (400, "Pre-order check failed"),
    2090: (429, "Max open orders exceeded"),
    2100: (400, "Invalid initial leverage"),
    2112: (400, "Invalid trigger order"),
    2233: (400, "Both order ID and client order ID cannot be provided"),
    2234: (400, "Bulk create orders must have the same instrument"),
    2235: (400, "Bulk orders count exceeds the maximum allowed"),
    2236: (400, "Bulk orders does not support trigger order"),
    2300: (400, "Order cancel time-to-live settings currently disabled"),
    2301: (400, "Order cancel time-to-live exceeds maximum allowed value"),
    2400: (400, "Reduce only order with no position"),
    2401: (400, "Reduce only order must not increase position size"),
    3000: (400, "Instrument is invalid"),
    3011: (400, "Limit exceeds min or max value"),
    3020: (400, "Sub account ID must be an uint64 integer"),
    3021: (400, "Either order ID or client order ID must be supplied"),
    3030: (400, "Feed rate is invalid"),
    3031: (400, "Depth is invalid"),
    6000: (400, "Countdown time is bigger than 300s supported"),
    7201: (400, "Order price is outside the price protection band"),
}
"""7201 is reported by clients, without its exact words."""

_REFUSALS: Final[dict[Refusal, int]] = {
    Refusal.UNKNOWN_SYMBOL: 2061,
    Refusal.SYMBOL_NOT_TRADING: 2060,
    Refusal.PRICE_NOT_POSITIVE: 2021,
    Refusal.PRICE_TOO_LOW: 7201,
    Refusal.PRICE_TOO_HIGH: 7201,
    Refusal.PRICE_OFF_TICK: 2064,
    Refusal.PRECISION: 2064,
    Refusal.PRICE_ABOVE_MARK_BAND: 7201,
    Refusal.PRICE_BELOW_MARK_BAND: 7201,
    Refusal.QUANTITY_NOT_POSITIVE: 2062,
    Refusal.QUANTITY_TOO_SMALL: 2062,
    Refusal.QUANTITY_TOO_LARGE: 2081,
    Refusal.QUANTITY_OFF_LOT: 2065,
    Refusal.NOTIONAL_TOO_SMALL: 2066,
    Refusal.TOO_MANY_OPEN_ORDERS: 2090,
    Refusal.DUPLICATE_CLIENT_ORDER_ID: 2012,
    Refusal.MARGIN: 2080,
    Refusal.REDUCE_ONLY: 2401,
    Refusal.NO_MARKET: 2082,
}


class VenueError(Exception):
    """A refusal in the venue's words."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.status, self.message = ERRORS[code]
        super().__init__(f"{self.message} (code {code})")

    @property
    def body(self) -> dict[str, Any]:
        """Of a REST answer; over a socket it has no status."""
        return {"code": self.code, "message": self.message, "status": self.status}


def refused(error: OrderRefused) -> VenueError:
    """A refusal that comes at once."""
    return VenueError(_REFUSALS.get(error.refusal, 2082))
