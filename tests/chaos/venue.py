"""What the cells must know of a venue beside its real processes: its words, its numbers, its faults.

The rule: a cell names a state of an order or a kind of fault and asks here how that is worded; nothing else in this
folder knows a venue. One `venue_<name>.py` for each, collected in `venues.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from exchanges.simulator.faults import FRAME_KINDS

if TYPE_CHECKING:
    from tests.chaos.place import Place

STATES = ("new", "partial_fill", "cancel", "cancel_of_partial", "modify", "settling")
"""What an order is in when the wire breaks. settling: its outcome is unknown, and the venue is asked."""
REQUEST_OF = {
    "new": "NEW", "partial_fill": "NEW", "cancel": "CANCEL", "cancel_of_partial": "CANCEL", "modify": "REPLACE",
    "settling": "QUERY",
}  # fmt: skip
"""The request (RequestType) that is under way in each."""
DELAY_MS = 700
DUPLICATES = 6
"""Every user event of an order, not only its first."""

Levels = list[tuple[float, float]]


class ChaosVenue(ABC):
    """One venue. Numbers are in the venue's own units, as its one symbol here is traded."""

    name: ClassVar[str]
    symbol: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    """Which ways orders can go; the first is the one that shows what the venue alone does."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Further lines of [venues.<name>], as TOML."""
    quantity: ClassVar[float]
    """Of a resting order; large enough for a burst of them to stay small."""
    more_than_levels: ClassVar[float]
    """More than the best fifteen levels hold."""
    passive: ClassVar[float]
    """So far behind the best price an order rests; whole ticks."""
    price_digits: ClassVar[int]
    largest: ClassVar[str]
    """For every limit on quantities."""
    notional: ClassVar[str] = "100000000"

    sent_by: ClassVar[Mapping[str, Mapping[str, tuple[str, ...]]]]
    """{request: {path: what the venue counts when its bytes have left}}."""
    user_stream: ClassVar[str]
    """In the name of each private stream that tells of orders."""
    book_stream: ClassVar[str]
    stream_kinds: ClassVar[tuple[str, ...]]
    request_kinds: ClassVar[tuple[str, ...]]
    venue_kinds: ClassVar[tuple[str, ...]]
    """Faults that strike at once, outside of any frame or request."""
    login_faults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """{kind: where it strikes} of what goes wrong while a private connection is set up."""
    answer_stream: ClassVar[str] = ""
    """The order socket's own frames, where faults can strike them; they go over the path "websocket"."""
    executed_kinds: ClassVar[tuple[str, ...]]
    absent_kinds: ClassVar[tuple[str, ...]]
    """Outcomes that stay unknown: the order came to be, or it did not."""
    injected: ClassVar[Mapping[str, str]] = {}
    """{injected error: cell} where another cell than elsewhere must go red."""
    waits_s: ClassVar[Mapping[str, float]] = {}
    """After these answers the engine sends nothing for a while, as it must."""
    late_ms: ClassVar[int] = 1_500
    """Longer than an answer may take until it counts as lost."""

    # --- the market -------------------------------------------------------------------------------------------------
    @abstractmethod
    def depth(self, place: Place) -> tuple[Levels, Levels]:
        """(bids, asks) as (price, quantity), best first, twenty levels."""

    # --- the order path ---------------------------------------------------------------------------------------------
    def is_up(self, place: Place) -> bool:
        """Orders can go over the path that is tried; READY processes are seen elsewhere."""
        return True

    def received(self, place: Place, request: str, path: str = "") -> int:
        """Requests of this kind that the venue has had, over one path or over all."""
        counts, ways = place.requests_received(), self.sent_by[request]
        names = ways[path] if path else {name for way in ways.values() for name in way}
        return sum(counts.get(name, 0) for name in names)

    def most(self, asked: Mapping[str, int]) -> dict[str, int]:
        """How many of these requests may have come to the venue where so many stand in the journal."""
        return {kind: asked[kind] for kind in ("NEW", "REPLACE")}

    def sent_again(self, truth: Mapping[str, Any]) -> int:
        """Requests that the engine may have sent once more under their journal entry."""
        return 0

    # --- faults -----------------------------------------------------------------------------------------------------
    @abstractmethod
    def request_fault(self, kind: str, request: str, side: str) -> dict[str, Any]:
        """A fault that strikes the next request of this kind; side: of the order."""

    def frame_fault(self, kind: str, stream: str) -> dict[str, Any]:
        """A fault of the frames of a stream."""
        fault: dict[str, Any] = {"kind": kind, "stream": self.book_stream if kind == "sequence_gap" else stream}
        if kind not in FRAME_KINDS:
            fault["with_order"] = True
        elif kind == "duplicate":
            fault["count"] = DUPLICATES
        if kind in ("silence", "delay"):
            fault["delay_ms"] = DELAY_MS
        return fault

    def venue_fault(self, kind: str) -> dict[str, Any]:
        return {"kind": kind}

    def before_login(self, place: Place) -> None:  # noqa: B027 - most venues log in with every connection
        """Make the next private connection log in anew."""

    @abstractmethod
    def keep_quiet(self, place: Place) -> None:
        """The private streams tell of the next orders only when their outcomes have become unknown."""

    def makes_sense(self, kind: str, state: str) -> bool:
        """Whether this kind can strike there and says something."""
        return True
