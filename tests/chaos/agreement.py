"""The ending of every cell: what the venue, the engine's journal and the trader say must be the same story.

What is compared, and with what
- no order without an owner       open at the venue = open in the trader's status = open by the engine's journal
- none sent twice                 one order per client order id at the venue; no more POSTs and PUTs arrived there than
                                  requests stand in the journal and timestamps were refused
- each fill told once            each part of each trade stands once in the journal, and the last quantity told of an
                                  order that is over is the venue's
- none from a fenced epoch        no NEW was journaled for sending under an epoch older than the last accepted one
- none reported rejected that     by the trader (the strategy was told) and by the journal, against the venue's orders
  lived, none open that did not
- position, fees, realised PnL    from the journal's fills, exact, against the venue's ledger; the trader's position too
"""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import Any

from processes.demo_venue import whole_orders
from shm.layout import (
    TERMINAL_STATES,
    EventType,
    FillPart,
    OrderState,
    RecordKind,
    RecoveryPhase,
    RequestType,
    epoch_of,
)
from tests.chaos.place import Place
from tests.chaos.red import Red

TERMINAL_NAMES = {state.name for state in TERMINAL_STATES}
CANCEL_AGAIN_S = 1.0
QUANTITY_EVENTS = (EventType.FILL, EventType.CANCELED, EventType.EXPIRED, EventType.STATUS)
FINAL = {"EXPIRED_IN_MATCH": "EXPIRED", "NEW": "OPEN"}


def settle(place: Place) -> None:
    """The set is whole again, and nobody disagrees about what is open."""
    place.until(place.is_ready, "every process is back and the venue may be traded")
    place.until(lambda: not open_disagreement(place), "venue, engine and trader name the same open orders")


def open_disagreement(place: Place) -> str:
    """What differs between the three lists of open orders now; empty where nothing does."""
    venue = {int(one["client_order_id"]) for one in whole_orders(place.account()["orders"]) if one["open"]}
    journal = {order.client_order_id for order in place.books(place.journal()).open_orders()}
    status = place.trader()
    if status is None:
        return "the trader does not answer"
    listed = status["strategies"]["scripted"]["open_orders"]
    trader = {int(one["id"]) for one in listed if one["state"] not in TERMINAL_NAMES}
    if venue == journal == trader:
        return ""
    return f"open at the venue {sorted(venue)}, by the journal {sorted(journal)}, by the trader {sorted(trader)}"


def finish(place: Place) -> None:
    """Pull what is left, then compare everything. Raises Red."""
    next_s = 0.0

    def nothing_open() -> bool:
        nonlocal next_s
        if not any(one["open"] for one in place.account()["orders"]):
            return True
        if time.monotonic() >= next_s:  # again and again: a cancel may be refused while the venue bans us
            next_s = time.monotonic() + CANCEL_AGAIN_S
            place.command("cancel")
        return False

    place.until(nothing_open, "no order is open at the venue")
    last = ""

    def agree() -> bool:
        nonlocal last
        last = open_disagreement(place) or money_difference(place)
        return not last

    try:
        place.until(agree, "books agree")
    except Red:
        raise Red(last) from None
    check(place)


def money_difference(place: Place) -> str:
    truth, books = place.truth(), place.books(place.journal())
    ours = books.money({})
    for what, mine, theirs in (
        ("position", ours.position, truth.money.position),
        ("fees", ours.fees, truth.money.fees),
        ("realised PnL", ours.realized_pnl, truth.money.realized_pnl),
        ("trades", books.trade_set(), truth.trades),
        ("orders", books.order_set(), truth.orders),
    ):
        if mine != theirs:
            return f"{what} differ: ours {_short(mine, theirs)}, the venue's {_short(theirs, mine)}"
    status = place.trader()
    if status is None:
        return "the trader does not answer"
    positions = status["strategies"]["scripted"]["positions"]
    symbol = place.venue.symbol
    held = Decimal(str(positions[f"{place.venue.name}:{symbol}"]["position"]))
    if held != truth.money.position[symbol]:
        return f"the trader's position is {held}, the venue's {truth.money.position[symbol]}"
    return ""


def _short(mine: Any, theirs: Any) -> str:
    if isinstance(mine, set):
        return str(sorted(mine - theirs)[:4])
    return str(mine)


def check(place: Place) -> None:
    """What must hold once everything is over."""
    truth, records = place.account(), place.journal()
    _once(truth["orders"])  # as the venue has them: each leg of a replaced order is an order there
    orders = whole_orders(truth["orders"])
    _not_more_than_asked(place, records)
    _fenced(records)
    _fills_once(place, records, orders)
    _told_truly(place, orders)


def _once(orders: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for order in orders:
        if order["client_order_id"] in seen:
            raise Red(f"order {order['client_order_id']} stands twice at the venue", (int(order["client_order_id"]),))
        seen.add(order["client_order_id"])


def _not_more_than_asked(place: Place, records: list[Any]) -> None:
    again = place.venue.sent_again(place.admin("GET", "/admin/truth"))
    requests = [record for record in records if record.kind == RecordKind.ORDER_REQUEST]
    asked = Counter(RequestType(request.request_type).name for request in requests)
    for kind, most in place.venue.most(asked).items():
        came = place.venue.received(place, kind)
        if came > most + again:
            raise Red(f"{came} requests of kind {kind} came to the venue, {most} stand in the journal")
    ids = [request.client_order_id for request in requests if request.request_type == RequestType.NEW]
    if len(ids) != len(set(ids)):
        raise Red("an order stands twice in the journal as about to be sent")


def _fills_once(place: Place, records: list[Any], orders: list[dict[str, Any]]) -> None:
    scale = place.view.instruments()[0].quantity_scale
    told: set[tuple[int, bytes, int]] = set()
    last: dict[int, int] = {}
    for record in records:
        if record.kind != RecordKind.ORDER_EVENT:
            continue
        for part in (FillPart.QUANTITY, FillPart.FEE):
            key = (record.instrument_id, record.trade_id, int(part))
            if record.parts & part and key in told:
                text = f"{part.name} of trade {record.trade_id.decode()} was told twice"
                raise Red(text, (record.client_order_id,))
            if record.parts & part:
                told.add(key)
        if record.event_type in QUANTITY_EVENTS:
            last[record.client_order_id] = max(last.get(record.client_order_id, 0), record.cumulative_quantity)
    for order in orders:
        ours, filled = last.get(int(order["client_order_id"]), 0), Decimal(order["filled"]).scaleb(scale)
        if ours != filled:
            text = f"order {order['client_order_id']}: filled {ours} was told, the venue filled {filled:f}"
            raise Red(text, (int(order["client_order_id"]),))


def _fenced(records: list[Any]) -> None:
    accepted = 0
    for record in records:
        if record.kind == RecordKind.RECOVERY and record.phase == RecoveryPhase.BEGIN:
            accepted = max(accepted, record.epoch)
            continue
        is_new = record.kind == RecordKind.ORDER_REQUEST and record.request_type == RequestType.NEW
        if is_new and epoch_of(record.client_order_id) < accepted & 0xFFFF:
            text = f"order {record.client_order_id} was sent although epoch {accepted} was accepted before"
            raise Red(text, (record.client_order_id,))


def _told_truly(place: Place, orders: list[dict[str, Any]]) -> None:
    """The last word that the strategy had of each order against the venue's."""
    venue = {int(order["client_order_id"]): order for order in orders}
    last: dict[int, dict[str, Any]] = {}
    for line in place.told_lines():
        if line.get("id"):
            if line["state"] == "REJECTED" and line["id"] in venue:
                raise Red(f"order {line['id']} was reported rejected ({line['reason']}) and lived", (line["id"],))
            last[line["id"]] = line
    for order_id, line in last.items():
        real = venue.get(order_id)
        state = OrderState[line["state"]]
        if state not in TERMINAL_STATES:
            if line["what"] == "told" or real is not None:
                # Its trader died: the next one hears of it only if it was still open or ended in its bracket.
                continue
        elif real is None and state is not OrderState.REJECTED:
            raise Red(f"order {order_id} was reported {line['state']}, the venue never had it", (order_id,))
        elif real is not None and state.name != FINAL.get(real["state"], real["state"]):
            raise Red(f"order {order_id} was reported {line['state']}, at the venue it is {real['state']}", (order_id,))


def unwatched_ms(place: Place, since_ms: float, until_ms: float) -> float:
    """How long the venue held an open order between two UTC times."""
    longest = 0.0
    for order in place.account()["orders"]:
        begin = max(order["create_time"], since_ms)
        end = until_ms if order["open"] else min(order["update_time"], until_ms)
        longest = max(longest, end - begin)
    return longest
