"""Two kinds of wrong: the user's set-up (`SimulatorError`) and an order the venue would refuse (`OrderRefused`).

A venue maps each `Refusal` to its own error code and text in one table, so the core stays free of codes.
"""

from __future__ import annotations

from enum import Enum, auto


class SimulatorError(Exception):
    """The simulator cannot start or go on; the text is one sentence for the person who set it up."""


class PortBusy(SimulatorError):
    """Another process listens on the port."""


class Refusal(Enum):
    """Why an order, an amendment or a cancel was refused."""

    UNKNOWN_SYMBOL = auto()
    SYMBOL_NOT_TRADING = auto()
    PRICE_NOT_POSITIVE = auto()
    PRICE_TOO_LOW = auto()
    PRICE_TOO_HIGH = auto()
    PRICE_OFF_TICK = auto()
    PRICE_ABOVE_MARK_BAND = auto()
    PRICE_BELOW_MARK_BAND = auto()
    QUANTITY_NOT_POSITIVE = auto()
    QUANTITY_TOO_SMALL = auto()
    QUANTITY_TOO_LARGE = auto()
    QUANTITY_OFF_LOT = auto()
    PRECISION = auto()
    NOTIONAL_TOO_SMALL = auto()
    TOO_MANY_OPEN_ORDERS = auto()
    DUPLICATE_CLIENT_ORDER_ID = auto()
    MARGIN = auto()
    REDUCE_ONLY = auto()
    POST_ONLY_WOULD_TAKE = auto()
    FILL_OR_KILL = auto()
    NO_MARKET = auto()
    UNKNOWN_ORDER = auto()
    AMEND_NOT_LIMIT = auto()
    AMEND_NO_CHANGE = auto()
    AMEND_TOO_MANY = auto()
    AMEND_NOTIONAL_TOO_SMALL = auto()


class OrderRefused(Exception):
    """The venue says no; nothing has changed.

    `detail` is a number or name that the venue's text may want to show (a limit, a bound)."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(f"{refusal.name} {detail}".strip())
        self.refusal = refusal
        self.detail = detail
