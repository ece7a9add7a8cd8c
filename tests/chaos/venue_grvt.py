"""GRVT: orders over WebSocket or REST, private streams of their own, a login by cookie, and no amend.

A REPLACE is a cancel and, when that is over, a create: its first bytes are a cancel's, and the venue may have as many
creates as NEW and REPLACE stand in the journal. The faults of a REPLACE strike its create; the cancel has states of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exchanges.grvt.simulator import DEMO_KEY
from exchanges.grvt.simulator_venue import COOKIE_EXPIRED, KINDS, SEQUENCE_RESTART
from exchanges.simulator.faults import FRAME_KINDS, REQUEST_KINDS, STREAM_KINDS
from tests.chaos.venue import DELAY_MS, ChaosVenue, Levels

if TYPE_CHECKING:
    from tests.chaos.place import Place

CREATE, CANCEL, QUERY = "v1/create_order", "v1/cancel_order", "v1/order"
LOGIN = "/auth/api_key/login"
ROUTES = {"NEW": CREATE, "CANCEL": CANCEL, "REPLACE": CREATE, "QUERY": QUERY}
PATHS = ("websocket", "rest")
SENT_BY = {
    request: dict.fromkeys(PATHS, (route,))
    for request, route in {"NEW": CREATE, "CANCEL": CANCEL, "REPLACE": CANCEL}.items()
}
LOGIN_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "http_429": {"path": LOGIN},
    "http_503_unavailable": {"path": LOGIN},
    "drop_reply": {"path": LOGIN},
    "delay_reply": {"path": LOGIN, "delay_ms": DELAY_MS},
}
OF_CREATES = ("rejected_signature", "rejected_timestamp", "halted_instrument")
NOT_LOGGED_IN = 1000
INJECTED = {"dedupe_off": "death/connection/kill/partially_filled"}
"""A frame that comes twice is dropped by its number here; a fill that recovery reads again is not."""
WAITS_S = {"http_429": 10.5}


class GrvtVenue(ChaosVenue):
    name = "grvt"
    symbol = "BTC_USDT_Perp"
    paths = PATHS
    quantity = 0.010
    more_than_levels = 500.0
    passive = 20.0
    price_digits = 1
    largest = "10000"
    sent_by = SENT_BY
    user_stream = "v1.order"
    book_stream = "v1.book.d"
    stream_kinds = STREAM_KINDS
    request_kinds = tuple(kind for kind in REQUEST_KINDS if kind in KINDS)
    venue_kinds = (COOKIE_EXPIRED, SEQUENCE_RESTART)
    login_faults = LOGIN_FAULTS
    executed_kinds = ("unknown_executed", "http_503_unknown_executed", "drop_reply")
    absent_kinds = ("unknown_not_executed", "http_503_unknown_not_executed")
    injected = INJECTED
    waits_s = WAITS_S

    def depth(self, place: Place) -> tuple[Levels, Levels]:
        found = place.admin("POST", "/full/v1/book", {"instrument": self.symbol, "depth": 50})["result"]
        bids, asks = (
            [(float(level["price"]), float(level["size"])) for level in found[side][:20]] for side in ("bids", "asks")
        )
        return bids, asks

    def is_up(self, place: Place) -> bool:
        return place.path == "rest" or bool(place.admin("GET", "/admin/truth")["order_sockets"])

    def most(self, asked: Mapping[str, int]) -> dict[str, int]:
        return {"NEW": asked["NEW"] + asked["REPLACE"]}

    def sent_again(self, truth: Mapping[str, Any]) -> int:
        """What is refused for want of a login was surely not carried out, so it is sent once more after one."""
        return int(truth["refusals"].get(f"{CREATE} {NOT_LOGGED_IN}", 0))

    def request_fault(self, kind: str, request: str, side: str) -> dict[str, Any]:
        fault: dict[str, Any] = {"kind": kind, "path": ROUTES[request], "method": "POST"}
        if kind in ("delay_reply", "delay_request"):
            fault["delay_ms"] = DELAY_MS
        return fault

    def frame_fault(self, kind: str, stream: str) -> dict[str, Any]:
        """What strikes a frame strikes the first about the order, be it of v1.order or of v1.fill: a gap there is the
        worse one, as what is missing may have been the only word on a fill."""
        fault = super().frame_fault(kind, stream)
        if kind in FRAME_KINDS:
            fault["stream"] = DEMO_KEY.account
        return fault

    def venue_fault(self, kind: str) -> dict[str, Any]:
        """With the next order."""
        return {"kind": kind, "with_order": True}

    def before_login(self, place: Place) -> None:
        """A cookie that is good would be used again."""
        place.fault(kind=COOKIE_EXPIRED)

    def keep_quiet(self, place: Place) -> None:
        """All private frames of the engine's one connection are late."""
        place.fault(kind="delay", stream=self.user_stream, delay_ms=self.late_ms)

    def makes_sense(self, kind: str, state: str) -> bool:
        """A query has no execution to be unknown, and nothing but a create is signed, or opens anything."""
        if kind in OF_CREATES:
            return state in ("new", "partial_fill", "modify")
        return state != "settling" or "executed" not in kind
