"""Deribit: one line for orders, their answers and the private channels; cancels and queries over HTTP where it is down.

The venue cancels what a line has created when that line ends, so no order outlives a death of the engine here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exchanges.deribit.simulator_faults import EXECUTION_KINDS, VENUE_KINDS
from exchanges.simulator.faults import STREAM_KINDS
from tests.chaos.venue import DELAY_MS, ChaosVenue, Levels

if TYPE_CHECKING:
    from tests.chaos.place import Place

METHODS = {
    "NEW": "private/{side}", "CANCEL": "private/cancel", "REPLACE": "private/edit",
    "QUERY": "private/get_order_state_by_label",
}  # fmt: skip
SENT_BY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "NEW": {"websocket": ("private/buy", "private/sell")},
    "CANCEL": {"websocket": ("private/cancel",)},
    "REPLACE": {"websocket": ("private/edit",)},
}
SETTINGS = {"settle_currency": '"BTC"'}
WAITS_S = {"rate_limit": 10.5}
LOGIN_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "partial_subscribe": {"stream": "user.changes"},
    "rate_limit": {"path": "public/auth"},
    "delay_reply": {"path": "public/auth", "delay_ms": DELAY_MS},
}
LINES = 2
"""That are told of each order: the engine's and the position server's."""
WINDOW_MS = 700
"""Of a settlement, and of a maintenance."""


class DeribitVenue(ChaosVenue):
    name = "deribit"
    symbol = "BTC-PERPETUAL"
    paths = ("websocket",)
    settings = SETTINGS
    quantity = 600.0
    more_than_levels = 10_000_000.0
    passive = 20.0
    price_digits = 1
    largest = "1000000000"
    notional = "1000000000"
    sent_by = SENT_BY
    user_stream = "user.changes"
    book_stream = "book."
    stream_kinds = STREAM_KINDS
    request_kinds = (*EXECUTION_KINDS, "rate_limit", "delay_reply")
    venue_kinds = VENUE_KINDS
    login_faults = LOGIN_FAULTS
    executed_kinds = ("unknown_executed", "internal_error_executed", "drop_reply")
    absent_kinds = ("unknown_not_executed", "internal_error_not_executed")
    waits_s = WAITS_S
    late_ms = 7_000

    def depth(self, place: Place) -> tuple[Levels, Levels]:
        query = f"instrument_name={self.symbol}&depth=20"
        found = place.admin("GET", f"/api/v2/public/get_order_book?{query}")["result"]
        bids, asks = ([(float(price), float(held)) for price, held in found[side]] for side in ("bids", "asks"))
        return bids, asks

    def request_fault(self, kind: str, request: str, side: str) -> dict[str, Any]:
        fault: dict[str, Any] = {"kind": kind, "path": METHODS[request].format(side=side)}
        if kind == "delay_reply":
            fault["delay_ms"] = DELAY_MS
        return fault

    def frame_fault(self, kind: str, stream: str) -> dict[str, Any]:
        """On each of both lines that are told of orders."""
        fault = super().frame_fault(kind, stream)
        if stream == self.user_stream and kind != "sequence_gap":
            fault["count"] = LINES * fault.get("count", 1)
        return fault

    def venue_fault(self, kind: str) -> dict[str, Any]:
        """With the next order."""
        fault: dict[str, Any] = {"kind": kind, "with_order": True}
        if kind in ("settlement", "platform_maintenance"):
            fault["delay_ms"] = WINDOW_MS
        return fault

    def keep_quiet(self, place: Place) -> None:
        """Notifications are lost on both lines, answers are not."""
        place.fault(kind="silence", stream=self.user_stream, count=LINES, delay_ms=self.late_ms)

    def makes_sense(self, kind: str, state: str) -> bool:
        """What strikes an execution cannot strike a query."""
        return state != "settling" or kind not in EXECUTION_KINDS
