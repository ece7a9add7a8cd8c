"""Binance: orders over WebSocket or REST, private events over a stream of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exchanges.simulator.faults import ACCOUNT_KINDS, REQUEST_KINDS, STREAM_KINDS
from tests.chaos.venue import DELAY_MS, ChaosVenue, Levels

if TYPE_CHECKING:
    from tests.chaos.place import Place

ORDER = "/fapi/v1/order"
METHODS = {"NEW": "POST", "CANCEL": "DELETE", "REPLACE": "PUT", "QUERY": "GET"}
SENT_BY = {
    "NEW": {"rest": (f"POST {ORDER}",), "websocket": ("order.place",)},
    "CANCEL": {"rest": (f"DELETE {ORDER}",), "websocket": ("order.cancel",)},
    "REPLACE": {"rest": (f"PUT {ORDER}",), "websocket": ("order.modify",)},
}
BAN_MS = 1_500
WAITS_S = {"http_429": 10.5, "http_418": BAN_MS / 1000}


class BinanceVenue(ChaosVenue):
    name = "binance"
    symbol = "BTCUSDT"
    paths = ("websocket", "rest")
    quantity = 0.010
    more_than_levels = 500.0
    passive = 20.0
    price_digits = 1
    largest = "10000"
    sent_by = SENT_BY
    user_stream = "user"
    book_stream = "@depth"
    answer_stream = "ws-fapi"
    stream_kinds = STREAM_KINDS
    request_kinds = REQUEST_KINDS
    venue_kinds = ACCOUNT_KINDS
    executed_kinds = ("unknown_executed", "http_503_unknown_executed", "drop_reply")
    absent_kinds = ("unknown_not_executed", "http_503_unknown_not_executed")
    waits_s = WAITS_S

    def depth(self, place: Place) -> tuple[Levels, Levels]:
        """Behind the best prices of this moment: the levels are as old as the last depth update, which orders are not
        matched against."""
        found = place.admin("GET", f"/fapi/v1/depth?symbol={self.symbol}&limit=20")
        best = place.admin("GET", f"/fapi/v1/ticker/bookTicker?symbol={self.symbol}")
        bids, asks = ([(float(price), float(held)) for price, held in found[side]] for side in ("bids", "asks"))
        bid, ask = float(best["bidPrice"]), float(best["askPrice"])
        return (
            [(bid, float(best["bidQty"])), *(level for level in bids if level[0] < bid)],
            [(ask, float(best["askQty"])), *(level for level in asks if level[0] > ask)],
        )

    def is_up(self, place: Place) -> bool:
        return place.path == "rest" or bool(place.admin("GET", "/admin/truth")["order_sockets"])

    def received(self, place: Place, request: str, path: str = "") -> int:
        """Over all paths: the simulator counts what came over its WebSocket under the REST name too."""
        return super().received(place, request, path or "rest")

    def sent_again(self, truth: Mapping[str, Any]) -> int:
        """What is refused for its timestamp was surely not carried out, so it is sent once more. That is not only so by
        a fault: on a starved host a request may come too late by itself."""
        return int(truth["refusals"].get("-1021", 0))

    def request_fault(self, kind: str, request: str, side: str) -> dict[str, Any]:
        fault: dict[str, Any] = {"kind": kind, "path": ORDER, "method": METHODS[request]}
        if kind in ("delay_reply", "delay_request"):
            fault["delay_ms"] = DELAY_MS
        elif kind == "http_418":
            fault["delay_ms"] = BAN_MS
        return fault

    def keep_quiet(self, place: Place) -> None:
        """Both private streams are late."""
        place.fault(kind="delay", stream=self.user_stream, count=2, delay_ms=self.late_ms)

    def makes_sense(self, kind: str, state: str) -> bool:
        """A query has no execution to be unknown, and a key that the venue calls wrong ends an engine for good."""
        return state != "settling" or not (
            "executed" in kind or kind in ("http_503_throttled", "rejected_signature", "halted_instrument")
        )
