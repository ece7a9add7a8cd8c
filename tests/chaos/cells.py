"""The cells: which death or fault, at which moment of an order, and how each is brought about.

A cell is a name and a function over a warm `Place`; it returns what it measured and raises Red where something did not
hold. The death table is victims x ways x moments, the wire table fault kinds x states; besides there are the cells that
settle unknown outcomes in number, and the fence. What a venue calls all this is the business of venue.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from shm.clock import monotonic_ns
from shm.layout import Reason, RecordKind
from tests.chaos.agreement import TERMINAL_NAMES, finish, settle, unwatched_ms
from tests.chaos.place import Place, holder
from tests.chaos.red import Red
from tests.chaos.venue import REQUEST_OF, STATES, ChaosVenue
from tests.chaos.venues import VENUES

TAKEN_LEVELS: Final = 15
"""So far into the book that it crosses even when the price has moved on since the last depth update."""
FEWEST_LEVELS: Final = 5
LARGEST_SHARE: Final = 0.2
NOTICE_S: Final = 0.3
"""For everybody to see that their connections are gone, so that the set does not look whole before."""
REACH_S: Final = 15.0
ARMED_S: Final = 1.5
"""For the venue's dead-man's switch of an engine that serves already."""
BURST: Final = 60
"""More than a ring of 64 slots takes with an eighth kept for cancels."""


@dataclass
class Cell:
    """`run(place, stop_s)` brings it about; stop_s: how long a stopped process stays stopped."""

    name: str
    run: Callable[[Place, float], dict[str, Any]] = field(repr=False)
    event_slots: int = 8192
    deadline_ms: int = 2_000
    venue: str = "binance"
    path: str = "websocket"
    """Which way orders go; the name of each cell begins with venue and path."""


# --- the orders that a cell needs -------------------------------------------------------------------------------------
def passive(place: Place) -> dict[str, Any]:
    """Terms of an order that rests: well behind the best price, on the side that shrinks the position."""
    venue = place.venue
    bids, asks = venue.depth(place)
    side = _side(place)
    price = bids[0][0] - venue.passive if side == "buy" else asks[0][0] + venue.passive
    return {"side": side, "price": round(price, venue.price_digits), "quantity": venue.quantity}


def crossing(place: Place) -> dict[str, Any]:
    """Terms of an order that takes the best levels and rests with what is left: far more than they hold, and some of
    them, as the best price may have moved on since the last depth update."""
    side = _side(place)
    quantity, held = place.venue.more_than_levels, 0.0
    levels = place.venue.depth(place)[1 if side == "buy" else 0][:TAKEN_LEVELS]
    price = levels[0][0]
    for number, (level, there) in enumerate(levels, start=1):
        price, held = level, held + there
        if number >= FEWEST_LEVELS and held > LARGEST_SHARE * quantity:
            break  # a rare level is large enough to take all of it, and then nothing would rest
    return {"side": side, "price": price, "quantity": quantity}


def _side(place: Place) -> str:
    return "sell" if place.truth().money.position[place.venue.symbol] > 0 else "buy"


def open_order(place: Place, terms: Callable[[Place], dict[str, Any]]) -> None:
    """An order that everybody knows as open. It is asked for again where it was refused or pulled: the engine may see
    only now that the cell before has silenced its private stream."""
    began_ns = 0

    def ask() -> None:
        nonlocal began_ns
        if not place.is_ready():
            before = place.market
            place.flow("resume")  # data that got old is fresh again only with new data
            place.until(place.is_ready, "the set is ready for an order")
            place.flow(before)
        began_ns = monotonic_ns()
        place.command("new", **terms(place))

    def is_open() -> object:
        states = _states(place)
        told = [line for line in place.told_lines() if line["time_ns"] > began_ns]
        if not states and any(line.get("state") in TERMINAL_NAMES or line["reason"] == "NOT_READY" for line in told):
            ask()
        return states and states <= {"OPEN", "PARTIALLY_FILLED"}

    ask()
    place.until(is_open, "the order is open")


def _states(place: Place) -> set[str]:
    return {one["state"] for one in _open_orders(place)}


def _open_orders(place: Place) -> list[dict[str, Any]]:
    """As the trader has them; none while it does not answer."""
    status = place.trader()
    return list(status["strategies"]["scripted"]["open_orders"]) if status else []


# --- moments ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Moment:
    """`point` is where a process is held; `before` makes the orders that must be there, `act` leads to the point."""

    name: str
    point: str
    act: Callable[[Place], None]
    before: Callable[[Place], None] = lambda place: None
    passes: int = 0
    event_slots: int = 8192


def _new(place: Place) -> None:
    place.command("new", **passive(place))


def _take(place: Place) -> None:
    place.command("new", **crossing(place))


def _cancel(place: Place) -> None:
    place.command("cancel")


def _replace(place: Place) -> None:
    """Away from the market, measured from where the order stands: that is surely another price."""
    (order,) = _open_orders(place)
    away = -1.0 if order["side"] == "buy" else 1.0
    place.command("replace", price=round(order["price"] + away, place.venue.price_digits))


def _burst(place: Place) -> None:
    place.command("new", count=BURST, **passive(place))


MOMENTS: Final = (
    Moment("unpublished", "trader.unpublished", _new),
    Moment("published", "engine.polled", _new),
    Moment("committed", "engine.committed", _new),
    Moment("sent", "engine.sent.NEW", _new),
    Moment("acknowledged", "engine.told.ACCEPTED", _new),
    Moment("partially_filled", "engine.told.FILL", _take),
    Moment("cancel_in_flight", "engine.sent.CANCEL", _cancel, lambda place: open_order(place, passive)),
    Moment("modify_in_flight", "engine.sent.REPLACE", _replace, lambda place: open_order(place, passive)),
    Moment("ring_full", "engine.polled", _burst),
    Moment("event_ring_full", "trader.published", _burst, passes=40, event_slots=64),
)
SENT: Final = "engine.sent."
VICTIMS: Final = ("market_server", "trading_engine", "position_server", "trader", "connection")
WAYS: Final = ("kill", "stop", "restart")


def die(victim: str, way: str, moment: Moment, place: Place, stop_s: float) -> dict[str, Any]:
    """One cell of the death table."""
    begin(place)
    moment.before(place)
    place.flow("pause")  # what the market does must not decide which state the order is in
    before = _received(place, moment)
    place.arm(moment.point, moment.passes)
    moment.act(place)
    held = holder(moment.point)
    place.until(lambda: place.reached(moment.point), f"{held} comes to {moment.point}", REACH_S)
    if "ring_full" in moment.name:
        began_ns = monotonic_ns() - int(REACH_S * 1e9)
        place.until(lambda: _is_full(place, moment, began_ns), "the other side goes on until its ring is full", REACH_S)
    if moment.point.startswith(SENT):
        place.until(lambda: _received(place, moment) == before + 1, "the bytes have left", REACH_S)
    struck_ms = time.time() * 1000
    strike(victim, way, held, place, stop_s)
    place.go_on(held)
    place.flow("resume")
    place.disarm()
    settle(place)
    watched_ms = time.time() * 1000
    unwatched = unwatched_ms(place, struck_ms, watched_ms) if victim in ("trading_engine", "trader") else 0.0
    finish(place)
    return {"unwatched_ms": round(unwatched)}


def _received(place: Place, moment: Moment) -> int:
    """Requests of the moment's kind that the venue has had over this path."""
    if not moment.point.startswith(SENT):
        return 0
    return place.venue.received(place, moment.point.removeprefix(SENT), place.path)


def _is_full(place: Place, moment: Moment, since_ns: int) -> bool:
    """The trader was refused a place in the request ring; or the engine noted that an event found no place."""
    if moment.name == "ring_full":
        return any(line["time_ns"] > since_ns and line.get("reason") == "RING_FULL" for line in place.told_lines())
    return any(
        record.kind == RecordKind.RECOVERY and record.reason == Reason.RING_FULL and record.publish_time_ns > since_ns
        for record in place.journal()
    )


def strike(victim: str, way: str, held: str, place: Place, stop_s: float) -> None:
    """Let the victim die, stop or restart. Who is held goes on right after, unless it is the one that is stopped."""
    if victim == "connection":
        if way == "stop":
            place.stop("simulator")
            place.go_on(held)
            place.supervise(stop_s)
            place.go_on("simulator")
        else:
            place.admin("POST", "/admin/connections", {"action": "abort" if way == "kill" else "close"})
            place.go_on(held)
            place.supervise(NOTICE_S)
    elif way in ("kill", "restart"):
        before = place.pid(victim)
        if way == "kill":
            place.kill(victim)
        else:
            place.terminate(victim)
        place.go_on(held)  # a process that is held ends in order only when it goes on
        place.until(lambda: place.pid(victim) not in (0, before), f"{victim} is started again")
    else:
        if victim != held:
            place.stop(victim)
            place.go_on(held)
        place.supervise(stop_s)
        place.go_on(victim)


def begin(place: Place) -> None:
    """Nothing of the cell before is left."""
    place.disarm()
    place.clear_faults()
    place.flow("resume")
    place.until(place.is_ready, "the set is ready for the cell")
    if any(one["open"] for one in place.account()["orders"]):
        raise Red("an order of the cell before is open")


# --- the wire ---------------------------------------------------------------------------------------------------------
def break_wire(kind: str, state: str, place: Place, stop_s: float, stream: str = "") -> dict[str, Any]:
    """One cell of the wire table: `kind` strikes while an order is in `state`. stream: where faults of frames strike;
    empty: the private stream."""
    begin(place)
    venue = place.venue
    place.flow("pause")
    if state in ("cancel", "modify"):
        open_order(place, passive)
    elif state == "cancel_of_partial":
        open_order(place, crossing)
    if state == "settling":
        place.fault(**venue.request_fault("unknown_executed", "NEW", _side(place)))
        if kind in venue.request_kinds:  # the private streams would settle it before anybody asks
            venue.keep_quiet(place)
    before = _strikes(place, kind)
    if kind in venue.venue_kinds:
        place.fault(**venue.venue_fault(kind))
    elif kind in venue.stream_kinds:
        place.fault(**venue.frame_fault(kind, stream or venue.user_stream))
    else:
        place.fault(**venue.request_fault(kind, REQUEST_OF[state], _side(place)))
    act = {
        "new": _new, "settling": _new, "partial_fill": _take, "cancel": _cancel, "cancel_of_partial": _cancel,
        "modify": _replace,
    }[state]  # fmt: skip
    act(place)
    place.supervise(NOTICE_S)
    place.flow("resume")
    place.until(lambda: _strikes(place, kind) > before, f"{kind} strikes", REACH_S)
    place.supervise(NOTICE_S)
    place.clear_faults()
    if kind == "silence":
        place.audit()  # it comes once a minute: for messages that were lost while the line stayed up
    settle(place)
    finish(place)
    if kind == "silence":  # numbers that are missing would be noticed in the next cell
        place.admin("POST", "/admin/connections", {"action": "abort"})
    place.supervise(venue.waits_s.get(kind, 0.0))  # until we may send again
    return {}


def break_login(kind: str, place: Place, stop_s: float) -> dict[str, Any]:
    """The connections are lost with an order open, and `kind` strikes while they are set up again."""
    begin(place)
    open_order(place, passive)
    before = _strikes(place, kind)
    place.fault(kind=kind, **place.venue.login_faults[kind])
    place.venue.before_login(place)
    place.admin("POST", "/admin/connections", {"action": "abort"})
    place.until(lambda: _strikes(place, kind) > before, f"{kind} strikes", REACH_S)
    place.clear_faults()
    settle(place)
    finish(place)
    place.supervise(place.venue.waits_s.get(kind, 0.0))
    return {}


def _strikes(place: Place, kind: str) -> int:
    """How often this kind has struck so far."""
    counts = place.admin("GET", "/admin/truth")["faults"].get(kind, {})
    return int(counts.get("injected", 0))


# --- unknown outcomes, in number --------------------------------------------------------------------------------------
AT_ONCE: Final = 12


def settle_many(kind: str, place: Place, stop_s: float) -> dict[str, Any]:
    """A burst of orders, each with an unknown outcome, all settled by the venue's word."""
    begin(place)
    venue = place.venue
    if kind in venue.executed_kinds:  # the private streams would tell before anything is unknown
        venue.keep_quiet(place)
    place.fault(**venue.request_fault(kind, "NEW", _side(place)) | {"count": AT_ONCE})
    before = venue.received(place, "NEW")
    place.command("new", count=AT_ONCE, **passive(place))
    # The first answer that is dropped takes the order socket with it, and what the venue had not read yet.
    arrived = 1 if kind == "drop_reply" and place.path == "websocket" else AT_ONCE
    place.until(
        lambda: venue.received(place, "NEW") >= before + arrived,
        "they are at the venue",
        REACH_S,
    )
    place.until(lambda: not _states(place) & {"PENDING_NEW"}, "every reply came", REACH_S)
    place.clear_faults()
    settle(place)
    finish(place)
    return {}


# --- the fence --------------------------------------------------------------------------------------------------------
def fence(place: Place, stop_s: float) -> dict[str, Any]:
    """A trader stands before publishing; meanwhile another is accepted. Its order must not leave any more."""
    begin(place)
    place.arm("trader.unpublished")
    _new(place)
    place.until(lambda: place.reached("trader.unpublished"), "the trader is held", REACH_S)
    place.disarm()
    file = place.supervisor.instance.state_dir / f"{place.venue.name}.accepted_epoch"
    accepted = int(file.read_text())
    old = place.pid("trading_engine")
    place.kill("trading_engine")
    file.write_text(f"{accepted + 1}\n")  # what the engine would have noted of the other one
    place.until(lambda: place.pid("trading_engine") not in (0, old), "the engine is started again", REACH_S)
    engine = next(name for name in place.supervisor.children if name.startswith("trading_engine"))
    place.until(lambda: place.supervisor.is_ready(engine), "the engine serves", REACH_S)
    place.supervise(ARMED_S)  # else the fence might not be what refuses the order
    place.go_on("trader")
    settle(place)
    finish(place)
    return {}


INJECTED: Final = {
    "commit_after_send": "death/trading_engine/kill/sent",
    "dedupe_off": "wire/duplicate/partial_fill",
    "timeout_is_rejected": "unknown/unknown_executed/0",
    "fence_off": "fence/trader",
}
"""Errors of tests/chaos/broken.py, and the cell (over a venue's first path) that must go red with each."""


# --- all --------------------------------------------------------------------------------------------------------------
def death_table() -> list[Cell]:
    return [
        Cell(f"death/{victim}/{way}/{moment.name}", partial(die, victim, way, moment), moment.event_slots)
        for moment in MOMENTS
        for victim in VICTIMS
        for way in WAYS
    ]


def wire_table(venue: ChaosVenue) -> list[Cell]:
    return [
        Cell(f"wire/{kind}/{state}", partial(break_wire, kind, state))
        for kind in (*venue.stream_kinds, *venue.request_kinds, *venue.venue_kinds)
        for state in STATES
        if venue.makes_sense(kind, state)
    ]


def answer_table(venue: ChaosVenue) -> list[Cell]:
    """Faults of the order socket's own frames; what is settled is asked for over REST."""
    return [
        Cell(f"answer/{kind}/{state}", partial(break_wire, kind, state, stream=venue.answer_stream))
        for kind in venue.stream_kinds
        for state in STATES
        if kind != "sequence_gap" and state != "settling"
    ]


def unknown_table(venue: ChaosVenue, rounds: int) -> list[Cell]:
    return [
        Cell(f"unknown/{kind}/{number}", partial(settle_many, kind))
        for number in range(rounds)
        for kind in (*venue.executed_kinds, *venue.absent_kinds)
    ]


def all_cells(rounds: int, exchange: str, paths: Iterable[str] = ()) -> list[Cell]:
    """Of one venue; paths: all that it has where none is named."""
    venue, every = VENUES[exchange], []
    for path in paths or venue.paths:
        cells = [*death_table(), *wire_table(venue), *unknown_table(venue, rounds)]
        cells += [Cell("fence/trader", fence, deadline_ms=20_000)]
        cells += [Cell(f"login/{kind}", partial(break_login, kind)) for kind in venue.login_faults]
        if venue.answer_stream and path == "websocket":
            cells += answer_table(venue)
        every += [replace(cell, name=f"{exchange}/{path}/{cell.name}", venue=exchange, path=path) for cell in cells]
    return every


def injected(exchange: str) -> dict[str, str]:
    """{error: name of the cell that must go red with it}."""
    venue = VENUES[exchange]
    return {error: f"{exchange}/{venue.paths[0]}/{name}" for error, name in {**INJECTED, **venue.injected}.items()}
