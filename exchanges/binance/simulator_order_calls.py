"""Order calls: place, test, amend, cancel, query, batches, countdown.

Parameters are read and checked in the order of the New-Order page; the exchange then checks filters and margin. Not
simulated: conditional orders (-4120, as the venue answers on these paths), RPI (-1115), orders in hedge mode.
"""

from __future__ import annotations

import re
import secrets
from decimal import Decimal
from typing import Any

import orjson

from exchanges.binance.simulator_errors import VenueError, invalid, missing, refused, unexpected
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_price_match import price_and_match
from exchanges.binance.simulator_replies import order_reply
from exchanges.binance.simulator_venue import Call, Venue
from exchanges.simulator.errors import OrderRefused
from exchanges.simulator.orders import NewOrder, Order, OrderType, SelfTrade, TimeInForce

CLIENT_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}\Z")
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
GTD_AT_LEAST_MS = 600_000
GTD_AT_MOST_MS = 253_402_300_799_000
MAX_BATCH = 5
MAX_BATCH_CANCEL = 10


def place(venue: Venue, call: Call) -> Any:
    request = read_new_order(venue, call)
    kind = _reply_type(call)
    try:
        order = venue.exchange.place(call.owner, request)
    except OrderRefused as error:
        raise refused(error) from None
    # RESULT shows the end of what ends at once; a resting order type is only acknowledged either way.
    immediate = request.type is OrderType.MARKET or request.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    return _reply(venue, order, acknowledge_only=not (kind == "RESULT" and immediate))


def test(venue: Venue, call: Call) -> Any:
    """The same checks, no order."""
    request = read_new_order(venue, call)
    _reply_type(call)
    try:
        order = venue.exchange.place(call.owner, request, dry_run=True)
    except OrderRefused as error:
        raise refused(error) from None
    return {key: "" if isinstance(value, str) else value for key, value in _reply(venue, order).items()}


def amend(venue: Venue, call: Call) -> Any:
    order = _find(venue, call, VenueError(-2011, "Unknown order sent."))
    parameters = call.parameters
    parameters.choice("side", ("BUY", "SELL"), VenueError(-1117, "Invalid side."))
    if (parameters.text("side") == "BUY") != order.is_buy:
        raise VenueError(-1117, "Invalid side.")
    quantity = parameters.decimal("quantity")
    price, price_match = price_and_match(venue, parameters, order.symbol, order.is_buy)
    modify_id = str(parameters.integer("modifyId")) if parameters.has("modifyId") else ""
    if order.symbol in venue.halted:
        raise VenueError(-5024, "Symbol is not in trading status. Order amendment is not permitted.")
    before, order.request.venue = order.request.venue, price_match  # its events tell it
    try:
        venue.exchange.amend(order, price, quantity, modify_id)
    except OrderRefused as error:
        order.request.venue = before
        raise refused(error) from None
    return _reply(venue, order, modify_id=modify_id, amended=True)


def cancel(venue: Venue, call: Call) -> Any:
    unknown = VenueError(-2011, "Unknown order sent.")
    order = _find(venue, call, unknown)
    try:
        venue.exchange.cancel(order)
    except OrderRefused:
        raise unknown from None
    return _reply(venue, order)


def query(venue: Venue, call: Call) -> Any:
    order = _find(venue, call, VenueError(-2013, "Order does not exist."))
    return order_reply(order, venue.instrument(order.symbol), True, query=True)


def open_order(venue: Venue, call: Call) -> Any:
    """Only while it is open."""
    gone = VenueError(-2013, "Order does not exist.")
    order = _find(venue, call, gone)
    if not order.state.is_open:
        raise gone
    return order_reply(order, venue.instrument(order.symbol), True, query=True)


def open_orders(venue: Venue, call: Call) -> Any:
    orders = venue.exchange.open_orders(call.owner, venue.optional_symbol(call))
    return [order_reply(order, venue.instrument(order.symbol), True, query=True) for order in orders]


def open_orders_weight(parameters: Parameters) -> int:
    return 1 if parameters.has("symbol") else 40


def all_orders(venue: Venue, call: Call) -> Any:
    parameters = call.parameters
    symbol = venue.optional_symbol(call)
    first_id = parameters.integer("orderId", 0)
    start, end = parameters.integer("startTime", 0), parameters.integer("endTime", GTD_AT_MOST_MS)
    rows = [
        order
        for order in venue.exchange.orders_of(call.owner, symbol)
        if order.order_id >= first_id and start <= order.create_ms <= end
    ]
    limit = parameters.limit(500, 1000)
    # From an id or a time on: the oldest; without either: the newest.
    rows = rows[:limit] if first_id or start else rows[-limit:]
    return [
        order_reply(order, venue.instrument(order.symbol), True, query=True) | {"pair": order.symbol, "cumBase": "0"}
        for order in rows
    ]


def cancel_all(venue: Venue, call: Call) -> Any:
    venue.exchange.cancel_all(call.owner, venue.symbol(call))
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def place_batch(venue: Venue, call: Call) -> Any:
    return [_element(venue, call, item, place) for item in _batch(call, "batchOrders", MAX_BATCH, -4082)]


def amend_batch(venue: Venue, call: Call) -> Any:
    return [_element(venue, call, item, amend) for item in _batch(call, "batchOrders", MAX_BATCH, -4082)]


def cancel_batch(venue: Venue, call: Call) -> Any:
    symbol = venue.symbol(call)
    if call.parameters.has("orderIdList"):
        key, ids = "orderId", _list(call, "orderIdList")
    elif call.parameters.has("origClientOrderIdList"):
        key, ids = "origClientOrderId", _list(call, "origClientOrderIdList")
    else:
        raise missing("orderIdList")
    if not 0 < len(ids) <= MAX_BATCH_CANCEL:
        raise VenueError(-4032, "Exceed maximum cancel order size.")
    return [_element(venue, call, {"symbol": symbol, key: str(one)}, cancel) for one in ids]


def countdown(venue: Venue, call: Call) -> Any:
    symbol = venue.symbol(call)
    milliseconds = call.parameters.integer("countdownTime")
    if milliseconds < 0:
        raise invalid("countdownTime")
    venue.exchange.set_countdown(call.owner, symbol, milliseconds)
    return {"symbol": symbol, "countdownTime": str(milliseconds)}


def read_new_order(venue: Venue, call: Call) -> NewOrder:
    """The order a client asks for, or the venue's refusal of its parameters."""
    parameters = call.parameters
    symbol = venue.symbol(call)
    side = parameters.choice("side", ("BUY", "SELL"), VenueError(-1117, "Invalid side."))
    shown_type = parameters.text("type")
    if shown_type in CONDITIONAL:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise VenueError(-4120, text)
    if shown_type not in ("LIMIT", "MARKET"):
        raise VenueError(-1116, "Invalid orderType.")
    kind = OrderType(shown_type)
    reduce_only = parameters.boolean("reduceOnly", False)
    _check_position_side(venue, call)
    if shown_type != "LIMIT" and parameters.text("priceMatch", "NONE") != "NONE":
        raise VenueError(-5038, "Order type is not supported for price match.")
    if symbol in venue.halted and not reduce_only:
        raise VenueError(-4140, "Invalid symbol status for opening position.")
    shown_mode = parameters.text("selfTradePreventionMode", "EXPIRE_MAKER")
    if shown_mode not in SelfTrade.__members__:
        raise VenueError(-5039, "Invalid self trade prevention mode.")
    client_id = parameters.text("newClientOrderId", "") or secrets.token_urlsafe(16)
    if len(client_id) > 36:
        raise VenueError(-4015, "Client order id length should not be more than 36 chars")
    if not CLIENT_ID.match(client_id):
        raise VenueError(
            -1100,
            r"Illegal characters found in parameter 'newClientOrderId'; legal range is '^[\.A-Z\:/a-z0-9_-]{1,36}$'.",
        )
    quantity = parameters.decimal("quantity")
    if kind is OrderType.MARKET:
        if parameters.has("timeInForce"):
            raise VenueError(-1114, "TimeInForce parameter sent when not required.")
        if parameters.has("price"):
            raise unexpected("price")
        price, price_match, time_in_force = Decimal(0), "NONE", TimeInForce.GTC
    else:
        shown = parameters.text("timeInForce")
        if shown not in TimeInForce.__members__:
            raise VenueError(-1115, "Invalid timeInForce.")
        time_in_force = TimeInForce(shown)
        price, price_match = price_and_match(venue, parameters, symbol, side == "BUY")
    good_till = 0
    if time_in_force is TimeInForce.GTD:
        good_till = parameters.integer("goodTillDate") // 1000 * 1000
        if not call.now_ms + GTD_AT_LEAST_MS < good_till < GTD_AT_MOST_MS:
            raise VenueError(-5040, "Invalid goodTillDate, it should be more than 600 seconds from now.")
    return NewOrder(
        symbol,
        side == "BUY",
        kind,
        time_in_force,
        quantity,
        price,
        client_id,
        reduce_only,
        SelfTrade(shown_mode),
        good_till,
        price_match,
    )


def _check_position_side(venue: Venue, call: Call) -> None:
    """BOTH for an account in one-way mode, LONG or SHORT for one in hedge mode, whose positions are not kept here."""
    parameters = call.parameters
    shown = parameters.choice(
        "positionSide", ("BOTH", "LONG", "SHORT"), VenueError(-4060, "Invalid position side."), "BOTH"
    )
    if (shown != "BOTH") != (call.owner in venue.hedged):
        raise VenueError(-4061, "Order's position side does not match user's setting.")
    if shown != "BOTH":
        if parameters.has("reduceOnly"):
            raise VenueError(-4062, "Invalid or improper reduceOnly value.")
        raise VenueError(-1020, "This operation is not supported: the simulator keeps no positions in hedge mode.")


def _reply_type(call: Call) -> str:
    refusal = VenueError(-1136, "Invalid newOrderRespType.")
    return call.parameters.choice("newOrderRespType", ("ACK", "RESULT"), refusal, "ACK")


def _find(venue: Venue, call: Call, not_found: VenueError) -> Order:
    """By orderId, which wins, or origClientOrderId."""
    symbol, parameters = venue.symbol(call), call.parameters
    if parameters.has("orderId"):
        order = venue.exchange.find(call.owner, symbol, parameters.integer("orderId"), None)
    elif parameters.has("origClientOrderId"):
        order = venue.exchange.find(call.owner, symbol, None, parameters.text("origClientOrderId"))
    else:
        raise VenueError(-1102, "Either orderId or origClientOrderId must be sent.")
    if order is None:
        raise not_found
    return order


def _reply(
    venue: Venue, order: Order, acknowledge_only: bool = False, modify_id: str = "", amended: bool = False
) -> dict[str, Any]:
    instrument = venue.instrument(order.symbol)
    return order_reply(order, instrument, venue.with_averages, acknowledge_only, modify_id, amended)


def _list(call: Call, name: str) -> list[Any]:
    try:
        items = orjson.loads(call.parameters.text(name))
    except orjson.JSONDecodeError:
        raise invalid(name) from None
    if not isinstance(items, list):
        raise invalid(name)
    return items


def _batch(call: Call, name: str, most: int, code: int) -> list[dict[str, str]]:
    items = _list(call, name)
    if not 0 < len(items) <= most:
        raise VenueError(code, "Invalid number of batch place orders.")
    if not all(isinstance(item, dict) for item in items):
        raise invalid(name)
    return [{str(key): _plain_text(value) for key, value in item.items()} for item in items]


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _element(venue: Venue, call: Call, item: dict[str, str], handler: Any) -> Any:
    """One element of a batch: its answer, or its error in its place."""
    try:
        return handler(venue, Call(Parameters(item), call.now_ms, call.account, call.api_key))
    except VenueError as error:
        return error.body
