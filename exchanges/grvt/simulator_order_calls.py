"""Order calls: create, cancel, cancel all, bulk, query, history, countdown.

A create is checked in the venue's order (syntax, login, signature, ids, instrument, legs, time in force, prices, size,
tick, notional, reduce-only, margin, limits), answered PENDING with no order id, and reaches the book after the speed
bump; what the matching engine refuses then is told on the order stream. Not simulated: RFQ, trigger orders, builders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from exchanges.grvt.simulator_auth import recovered
from exchanges.grvt.simulator_errors import VenueError, refused
from exchanges.grvt.simulator_instruments import base_decimals, instrument_hash
from exchanges.grvt.simulator_replies import order_number, order_reply, pending, rejected
from exchanges.grvt.simulator_venue import Call, RememberedCancel, Venue, WireOrder, cancel_outcome
from exchanges.grvt.typed_data import PRICE_SCALE, TIME_IN_FORCE_CODES, Leg, cut, order_digest
from exchanges.simulator.errors import OrderRefused, Refusal
from exchanges.simulator.orders import NewOrder, OrderType, SelfTrade, TimeInForce

NS_PER_MS: Final = 1_000_000
SIGNATURE_LIFE_NS: Final = 30 * 24 * 3600 * 10**9
BULK_LIMIT: Final = 100
COUNTDOWN_OFF_MS: Final = 1000
COUNTDOWN_LIMIT_MS: Final = 300_000
TIME_TO_LIVE_STEP_MS: Final = 100
TIME_TO_LIVE_LIMIT_MS: Final = 5000
HISTORY_LIMIT: Final = 500
HISTORY_MOST: Final = 1000
_TIMES_IN_FORCE: Final = {
    "GOOD_TILL_TIME": TimeInForce.GTC,
    "RETAIL_PRICE_IMPROVEMENT": TimeInForce.GTX,
    "IMMEDIATE_OR_CANCEL": TimeInForce.IOC,
    "FILL_OR_KILL": TimeInForce.FOK,
}
_LATE: Final = {
    Refusal.POST_ONLY_WOULD_TAKE: "FAIL_POST_ONLY",
    Refusal.REDUCE_ONLY: "FAIL_REDUCE_ONLY",
    Refusal.MARGIN: "BELOW_MARGIN",
    Refusal.DUPLICATE_CLIENT_ORDER_ID: "OVERLAPPING_CLIENT_ORDER_ID",
    Refusal.TOO_MANY_OPEN_ORDERS: "TOO_MANY_MAKER_ORDERS",
    Refusal.NO_MARKET: "MARKET_CANCEL",
}
"""reject_reason of what the matching engine refuses."""
_LATE_IN_BULK: Final = {
    2012: "OVERLAPPING_CLIENT_ORDER_ID",
    2060: "INSTRUMENT_DEACTIVATED",
    2080: "BELOW_MARGIN",
    2081: "EXCEED_MAX_POSITION_SIZE",
    2090: "TOO_MANY_MAKER_ORDERS",
    2400: "FAIL_REDUCE_ONLY",
    2401: "FAIL_REDUCE_ONLY",
}
"""reject_reason of an order of a bulk call that a create of its own would have refused at once; others have none."""


def create(venue: Venue, call: Call) -> Any:
    wire = read_order(venue, call, call.body.get("order"))
    venue.take_tokens(wire.account, "create")
    return {"result": accept(venue, wire)}


def accept(venue: Venue, wire: WireOrder) -> dict[str, Any]:
    """The checks that can be made at once, then PENDING."""
    key = (wire.account, wire.client_order_id)
    active = venue.find(*key)
    if key in venue.incoming or (active is not None and active.state.is_open):
        raise VenueError(2012)
    if wire.symbol in venue.halted:
        raise VenueError(2060)
    if wire.reduce_only and not venue.exchange.accounts[wire.account].position(wire.symbol).quantity:
        raise VenueError(2400)
    try:
        venue.exchange.place(wire.account, new_order(wire), dry_run=True)
    except OrderRefused as error:
        if error.refusal is not Refusal.POST_ONLY_WOULD_TAKE:  # the matching engine's word comes later
            raise refused(error) from None
    venue.incoming[key] = wire
    venue.submit(wire)
    return pending(wire)


def reach_book(venue: Venue, wire: WireOrder) -> None:
    """The end of the speed bump."""
    key = (wire.account, wire.client_order_id)
    if venue.incoming.pop(key, None) is None:
        return
    now_ns = venue.clock_ms() * NS_PER_MS
    if venue.remembered.pop(key, None) is not None:
        reject(venue, wire, "CLIENT_CANCEL", now_ns)
        return
    expiration = int(wire.signature["expiration"])
    if expiration > now_ns + SIGNATURE_LIFE_NS:
        reject(venue, wire, "EXCEED_MAX_SIGNATURE_EXPIRATION", now_ns)
        return
    if expiration <= now_ns:
        reject(venue, wire, "EXPIRED", now_ns)
        return
    try:
        venue.exchange.place(wire.account, new_order(wire))
    except OrderRefused as error:
        reject(venue, wire, _LATE.get(error.refusal, "INSTRUMENT_DEACTIVATED"), now_ns)


def reject(venue: Venue, wire: WireOrder, reason: str, now_ns: int) -> None:
    shown = rejected(wire, reason, now_ns)
    venue.refused[wire.account, wire.client_order_id] = shown
    venue.send_order(shown)


def new_order(wire: WireOrder) -> NewOrder:
    time_in_force = TimeInForce.GTX if wire.post_only else _TIMES_IN_FORCE[wire.time_in_force]
    return NewOrder(
        wire.symbol,
        wire.is_buy,
        OrderType.MARKET if wire.market else OrderType.LIMIT,
        time_in_force,
        wire.size,
        wire.price,
        wire.client_order_id,
        wire.reduce_only,
        SelfTrade.EXPIRE_TAKER,
        int(wire.signature["expiration"]) // NS_PER_MS,
        wire,
    )


# --- reading a create -------------------------------------------------------------------------------------------------
def read_order(venue: Venue, call: Call, order: Any) -> WireOrder:
    """The order as its client signed it. Raises VenueError in the venue's order of checks."""
    if not isinstance(order, dict) or not isinstance(order.get("signature"), dict):
        raise VenueError(1003)
    legs = order.get("legs") or []
    metadata = order.get("metadata") or {}
    if not isinstance(legs, list) or not isinstance(metadata, dict) or not all(isinstance(leg, dict) for leg in legs):
        raise VenueError(1003)
    if _has_trigger(order):  # not simulated, and never taken for an order that may trade at once
        raise VenueError(2112)
    if call.account is None:
        raise VenueError(1000)
    account = str(order.get("sub_account_id"))
    if not account.isdigit():
        raise VenueError(3020)
    if account != call.account:
        raise VenueError(2003)
    if order.get("state"):
        raise VenueError(2050)
    if str(order.get("order_id") or "0x00") != "0x00":
        raise VenueError(2010)
    if len(legs) != 1:
        raise VenueError(2042 if legs else 2040)
    (leg,) = legs
    symbol = str(leg.get("instrument"))
    if symbol not in venue.exchange.instruments:
        raise VenueError(2061)
    wire = _read_leg(order, leg, account, symbol)
    check_signature(venue, wire, order["signature"])
    client_order_id = str(metadata.get("client_order_id") or "")
    if not client_order_id.isdigit() or not 0 < int(client_order_id) < 1 << 64:
        raise VenueError(2011)
    wire.client_order_id, wire.rest_status = client_order_id, venue.rest_status
    if wire.time_in_force not in _TIMES_IN_FORCE:
        raise VenueError(2030)
    if wire.post_only and wire.time_in_force not in ("GOOD_TILL_TIME", "RETAIL_PRICE_IMPROVEMENT"):
        raise VenueError(2032)
    if wire.market and wire.price:
        raise VenueError(2020)
    if not wire.market and not wire.price:
        raise VenueError(2021)
    return wire


def _has_trigger(order: Any) -> bool:
    metadata = order.get("metadata") if isinstance(order, dict) else None
    trigger = metadata.get("trigger") if isinstance(metadata, dict) else None
    kind = trigger.get("trigger_type") if isinstance(trigger, dict) else None
    return kind not in (None, "", "UNSPECIFIED")


def _read_leg(order: dict[str, Any], leg: dict[str, Any], account: str, symbol: str) -> WireOrder:
    signature = order["signature"]
    try:
        size, price = Decimal(str(leg.get("size"))), Decimal(str(leg.get("limit_price") or "0"))
        if not size.is_finite() or not price.is_finite() or size < 0 or price < 0:
            raise ValueError
        return WireOrder(
            account,
            symbol,
            _flag(leg, "is_buying_asset"),
            _flag(order, "is_market"),
            str(order.get("time_in_force")),
            _flag(order, "post_only"),
            _flag(order, "reduce_only"),
            size,
            price,
            "",
            {
                "signer": str(signature.get("signer", "")).lower(),
                "r": str(signature.get("r", "")).lower(),
                "s": str(signature.get("s", "")).lower(),
                "v": int(signature.get("v", 0)),
                "expiration": str(int(signature.get("expiration", 0))),
                "nonce": int(signature.get("nonce", 0)),
                "chain_id": str(int(signature.get("chain_id") or 0)),
            },
            time.time_ns(),
        )
    except (ValueError, InvalidOperation, TypeError):
        raise VenueError(1003) from None


def _flag(source: dict[str, Any], name: str) -> bool:
    value = source.get(name) or False
    if not isinstance(value, bool):
        raise ValueError(name)
    return value


def check_signature(venue: Venue, wire: WireOrder, raw: dict[str, Any]) -> None:
    """The signer is this account's, the signature is its own and covers exactly this order."""
    signature = wire.signature
    chain = int(signature["chain_id"])
    if chain not in (0, venue.chain_id):
        raise VenueError(1012)
    key = venue.sessions.by_signer.get(signature["signer"])
    if key is None or key.account != wire.account:
        raise VenueError(2000)
    if not key.may_trade:
        raise VenueError(1400)
    if key.signer_ends_s and key.signer_ends_s <= time.time():
        raise VenueError(2004)
    if int(signature["expiration"]) <= time.time_ns():
        raise VenueError(2001)
    leg = Leg(
        int(instrument_hash(wire.symbol), 16),
        cut(f"{wire.size:f}", base_decimals(wire.symbol)),
        cut(f"{wire.price:f}", PRICE_SCALE),
        wire.is_buy,
    )
    try:
        digest = order_digest(
            venue.chain_id,
            sub_account_id=int(wire.account),
            market=wire.market,
            time_in_force=TIME_IN_FORCE_CODES.get(wire.time_in_force, 0),
            post_only=wire.post_only,
            reduce_only=wire.reduce_only,
            legs=[leg],
            nonce=int(signature["nonce"]),
            expiration_ns=int(signature["expiration"]),
        )
    except OverflowError:
        raise VenueError(1003) from None
    if recovered(digest, raw) != signature["signer"]:
        raise VenueError(2002)


# --- cancels ----------------------------------------------------------------------------------------------------------
def cancel(venue: Venue, call: Call) -> Any:
    account = call.owner()
    by_id, by_client = call.body.get("order_id"), call.body.get("client_order_id")
    if not by_id and not by_client:
        raise VenueError(3021)
    if by_id and by_client:
        raise VenueError(2233)
    time_to_live_ms = _time_to_live_ms(venue, call)
    venue.take_tokens(account, "cancel")
    _cancel_one(venue, account, by_id, by_client, time_to_live_ms)
    return {"result": {"ack": True}}


def _time_to_live_ms(venue: Venue, call: Call) -> int:
    if call.body.get("time_to_live_ms") and not venue.remembers_cancels:
        raise VenueError(2300)
    try:
        given = int(call.body.get("time_to_live_ms") or 0)
    except (ValueError, TypeError):
        raise VenueError(1003) from None
    if not 0 <= given <= TIME_TO_LIVE_LIMIT_MS:
        raise VenueError(2301)
    return given // TIME_TO_LIVE_STEP_MS * TIME_TO_LIVE_STEP_MS or TIME_TO_LIVE_STEP_MS


def _cancel_one(venue: Venue, account: str, by_id: Any, by_client: Any, time_to_live_ms: int) -> None:
    """A cancel that finds nothing is acknowledged too; one by client id is remembered for its time."""
    if by_id:
        order = venue.exchange.orders.get(order_number(str(by_id)))
        if order is not None and order.account == account and order.state.is_open:
            venue.cancel(order, "CLIENT_CANCEL")
        return
    key = (account, str(by_client))
    order = venue.find(*key)
    if order is not None and order.state.is_open:
        venue.cancel(order, "CLIENT_CANCEL")
        return
    now = venue.clock_ms()
    waiting = RememberedCancel(account, key[1], now + time_to_live_ms, now * NS_PER_MS)
    if key in venue.remembered:
        venue.send_cancel(cancel_outcome(waiting, "DROPPED_DUPLICATE", now))
        return
    venue.remembered[key] = waiting


def cancel_all(venue: Venue, call: Call) -> Any:
    account = call.owner()
    venue.take_tokens(account, "cancel")
    wanted = _wanted(venue, call)
    for order in venue.exchange.open_orders(account):
        if wanted(order.symbol):
            venue.cancel(order, "CLIENT_BULK_CANCEL")
    return {"result": {"ack": True}}


def bulk(venue: Venue, call: Call) -> Any:
    """All cancels, then all creates: not atomic. What is wrong with the form or the signature of one order refuses the
    whole call before anything is carried out; whatever else is wrong with one rejects that one, on the stream."""
    account = call.owner()
    body = call.body
    orders = body.get("orders") or []
    by_id = body.get("order_i_ds") or body.get("order_ids") or []
    by_client = body.get("client_order_i_ds") or body.get("client_order_ids") or []
    if not all(isinstance(entries, list) for entries in (orders, by_id, by_client)):
        raise VenueError(1003)
    if by_id and by_client:
        raise VenueError(2233)
    if max(len(orders), len(by_id), len(by_client)) > BULK_LIMIT:
        raise VenueError(2235)
    if any(_has_trigger(order) for order in orders):
        raise VenueError(2236)
    time_to_live_ms = _time_to_live_ms(venue, call)
    wires = [read_order(venue, call, order) for order in orders]
    if len({wire.symbol for wire in wires}) > 1:
        raise VenueError(2234)
    if wires:
        venue.take_tokens(account, "create", len(wires))
    if by_id or by_client:
        venue.take_tokens(account, "cancel")
    for shown in by_id:
        _cancel_one(venue, account, shown, None, time_to_live_ms)
    for client_order_id in by_client:
        _cancel_one(venue, account, None, client_order_id, time_to_live_ms)
    answers = []
    for wire in wires:
        try:
            answers.append(accept(venue, wire))
        except VenueError as error:
            reject(venue, wire, _LATE_IN_BULK.get(error.code, "UNSPECIFIED"), time.time_ns())
            answers.append(pending(wire))
    return {"orders": answers, "cancel_acks": [{"ack": True}] * (len(by_id) + len(by_client))}


def countdown(venue: Venue, call: Call) -> Any:
    account = call.owner()
    try:
        milliseconds = int(call.body.get("countdown_time") or 0)
    except (ValueError, TypeError):
        raise VenueError(1003) from None
    if not 0 <= milliseconds <= COUNTDOWN_LIMIT_MS:
        raise VenueError(6000)
    if milliseconds <= COUNTDOWN_OFF_MS:
        venue.countdowns.pop(account, None)
    else:
        venue.countdowns[account] = venue.clock_ms() + milliseconds // 1000 * 1000
    return {"result": {"ack": True}}


# --- queries ----------------------------------------------------------------------------------------------------------
def query(venue: Venue, call: Call) -> Any:
    account = call.owner()
    by_id, by_client = call.body.get("order_id"), call.body.get("client_order_id")
    if not by_id and not by_client:
        raise VenueError(3021)
    order = venue.exchange.orders.get(order_number(str(by_id))) if by_id else venue.find(account, str(by_client))
    if order is not None and order.account == account:
        return {"result": order_reply(order)}
    key = (account, str(by_client))
    if not by_id and key in venue.incoming:
        return {"result": pending(venue.incoming[key])}
    if not by_id and key in venue.refused:
        return {"result": venue.refused[key]}
    raise VenueError(1004)


def open_orders(venue: Venue, call: Call) -> Any:
    account, wanted = call.owner(), _wanted(venue, call)
    return {"result": [order_reply(o) for o in venue.exchange.open_orders(account) if wanted(o.symbol)]}


def order_history(venue: Venue, call: Call) -> Any:
    account, wanted = call.owner(), _wanted(venue, call)
    rows = [order for order in venue.exchange.orders_of(account) if wanted(order.symbol)]
    page, following = paged(call, rows, lambda order: order.create_ms)
    return {"result": [order_reply(order) for order in page], "next": following}


def paged(call: Call, rows: list[Any], time_ms_of: Callable[[Any], int]) -> tuple[list[Any], str]:
    """Newest first, within the times asked for; the cursor is the number of rows that were shown before."""
    try:
        limit = int(call.body.get("limit") or HISTORY_LIMIT)
        skip = int(call.body.get("cursor") or 0)
        start = int(call.body.get("start_time") or 0) // NS_PER_MS
        end = -(-int(call.body.get("end_time") or 1 << 62) // NS_PER_MS)
    except (ValueError, TypeError):
        raise VenueError(1003) from None
    if not 0 < limit <= HISTORY_MOST:
        raise VenueError(3011)
    found = [row for row in reversed(rows) if start <= time_ms_of(row) <= end]
    return found[skip : skip + limit], str(skip + limit) if len(found) > skip + limit else ""


def _wanted(venue: Venue, call: Call) -> Callable[[str], bool]:
    """The filters kind[], base[], quote[]; nothing given = everything."""
    kinds, bases, quotes = (call.names(name) for name in ("kind", "base", "quote"))

    def wanted(symbol: str) -> bool:
        instrument = venue.exchange.instruments[symbol]
        return (
            (not kinds or "PERPETUAL" in kinds)
            and (not bases or instrument.base in bases)
            and (not quotes or instrument.quote in quotes)
        )

    return wanted
