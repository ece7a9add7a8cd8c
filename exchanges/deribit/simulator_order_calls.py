"""Orders: place, edit, cancel. All are requests of the matching engine.

Not simulated: trigger and linked orders, icebergs, mass quotes, block trades; asking for one is refused in words.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from exchanges.deribit.simulator_channels import CURRENCIES as KNOWN_CURRENCIES
from exchanges.deribit.simulator_channels import KINDS
from exchanges.deribit.simulator_errors import VenueError, invalid, refused
from exchanges.deribit.simulator_instruments import DAY_MS, HOUR_OF_EXPIRY, Listing
from exchanges.deribit.simulator_replies import (
    currency_of,
    note_of,
    order_id,
    order_object,
    order_state,
    price_limits,
    read_id,
    trade_object,
)
from exchanges.deribit.simulator_venue import CURRENCIES, Call, MarketState, OrderNote, Venue
from exchanges.simulator.errors import OrderRefused
from exchanges.simulator.orders import NewOrder, Order, OrderType, SelfTrade, TimeInForce, Trade

MAX_LABEL = 64
TYPES = ("limit", "market", "market_limit")
TRIGGER_TYPES = ("stop_limit", "stop_market", "take_limit", "take_market", "trailing_stop")
NOT_SIMULATED = ("trigger", "linked_order_type", "otoco_config", "display_amount", "max_show", "advanced")
TIMES_IN_FORCE = {
    "good_til_cancelled": TimeInForce.GTC,
    "good_til_day": TimeInForce.GTC,
    "immediate_or_cancel": TimeInForce.IOC,
    "fill_or_kill": TimeInForce.FOK,
}
CANCEL_TYPES = ("all", "limit", "trigger_all", "stop", "take", "trailing_stop")


def buy(venue: Venue, call: Call) -> Any:
    return _place(venue, call, True)


def sell(venue: Venue, call: Call) -> Any:
    return _place(venue, call, False)


def close_position(venue: Venue, call: Call) -> Any:
    """A reduce-only order over the whole position."""
    market = _trading(venue, call)
    kind = call.parameters.choice("type", ("limit", "market"))
    price = call.parameters.decimal("price") if kind == "limit" else None
    core = venue.core_account(call.owner, market.listing.currency)
    position = venue.exchange.accounts[core].position(market.listing.name)
    if not position.quantity:
        raise VenueError(11030, "no_position")
    return _send(venue, call, market, position.quantity < 0, abs(position.quantity), kind, price, OrderNote(""), True)


def _place(venue: Venue, call: Call, is_buy: bool) -> Any:
    parameters, market = call.parameters, _trading(venue, call)
    amount = _amount(venue, call, market.listing)
    if amount is None:
        raise invalid("amount", "value required")
    shown = parameters.text("type", "limit")
    if shown in TRIGGER_TYPES or any(parameters.has(name) for name in NOT_SIMULATED):
        raise VenueError(11030, "not_simulated")
    kind = parameters.choice("type", TYPES, "limit")
    if kind == "limit":
        price: Decimal | None = parameters.decimal("price")
    elif parameters.has("price"):
        raise VenueError(11047)
    else:
        price = None
    note = OrderNote(
        parameters.text("label", "", MAX_LABEL),
        parameters.boolean("post_only", False),
        parameters.boolean("reject_post_only", False),
        parameters.boolean("mmp", False),
        time_in_force=parameters.choice("time_in_force", tuple(TIMES_IN_FORCE), "good_til_cancelled"),
    )
    if note.post_only and (note.time_in_force != "good_til_cancelled" or kind != "limit"):
        raise VenueError(11055)
    return _send(venue, call, market, is_buy, amount, kind, price, note, parameters.boolean("reduce_only", False))


def _send(
    venue: Venue,
    call: Call,
    market: MarketState,
    is_buy: bool,
    amount: Decimal,
    kind: str,
    price: Decimal | None,
    note: OrderNote,
    reduce_only: bool,
) -> Any:
    """Hand one order to the exchange; `price` is None where the market gives it."""
    listing, now_ms = market.listing, venue.clock_ms()
    _in_time(call, now_ms)
    time_in_force = TimeInForce.GTX if note.post_only else TIMES_IN_FORCE[note.time_in_force]
    if kind == "market":
        note.order_type, time_in_force = "market", TimeInForce.IOC
        low, high = price_limits(listing, venue.mark(listing.name))
        price = high if is_buy else low
    elif kind == "market_limit":
        note.original_type = "market_limit"
        price = best_opposite(venue, listing, is_buy)
        if price is None:
            raise VenueError(10011)
    assert price is not None
    if note.post_only and not note.reject_post_only:
        price = _out_of_the_way(venue, listing, is_buy, price)
    own = venue.points.self_trade == "reject_taker"
    core = venue.core_account(call.owner, listing.currency)
    if own and _meets_own(venue, core, listing.name, is_buy, price):
        raise VenueError(10003)
    note.connection = call.connection
    request = NewOrder(
        listing.name,
        is_buy,
        OrderType.LIMIT,
        time_in_force,
        amount,
        price,
        note.label,
        reduce_only,
        SelfTrade.EXPIRE_MAKER,
        _end_of_day(now_ms) if note.time_in_force == "good_til_day" else 0,
        note,
    )
    before = len(venue.exchange.accounts[core].trades)
    try:
        order = venue.exchange.place(core, request)
    except OrderRefused as error:
        raise refused(error) from None
    if call.connection is not None:
        call.connection.order_ids.append(order.order_id)
    return _outcome(venue, order, before)


def edit(venue: Venue, call: Call) -> Any:
    return _edit(venue, call, _open(venue, call, find_order(venue, call)))


def edit_by_label(venue: Venue, call: Call) -> Any:
    """Exactly one open order must have the label."""
    market, label = venue.named(call), call.parameters.text("label")
    found = [
        order
        for order in venue.open_orders(call.owner)
        if note_of(order).label == label and order.symbol == market.listing.name
    ]
    if not found:
        raise VenueError(10004)
    if len(found) > 1:
        raise VenueError(13032)
    return _edit(venue, call, found[0])


def _edit(venue: Venue, call: Call, order: Order) -> Any:
    parameters, note = call.parameters, note_of(order)
    listing = venue.listing(order.symbol)
    _check_state(venue, venue.market(order.symbol))
    _in_time(call, venue.clock_ms())
    amount = _amount(venue, call, listing)
    quantity = order.quantity if amount is None else amount
    price = parameters.optional_decimal("price") or order.price
    keeps = venue.points.edit_keeps_flags
    post_only = parameters.boolean("post_only", keeps and note.post_only)
    reject = parameters.boolean("reject_post_only", keeps and note.reject_post_only)
    reduce_only = parameters.boolean("reduce_only", keeps and order.request.reduce_only)
    if quantity <= order.filled:
        raise VenueError(10021)
    matcher = venue.exchange.matchers[order.symbol]
    if post_only and matcher.would_take(order, price):
        if reject:
            return _cancel(venue, order, "edit_post_only_reject", lambda: _outcome(venue, order, None))
        price = _out_of_the_way(venue, listing, order.is_buy, price)
    before = len(venue.exchange.accounts[order.account].trades)
    request = order.request
    old = (note.post_only, note.reject_post_only, note.replaced, request.reduce_only, request.time_in_force)
    note.post_only, note.reject_post_only, note.replaced = post_only, reject, True
    request.reduce_only = reduce_only
    request.time_in_force = TimeInForce.GTX if post_only else TimeInForce.GTC
    try:
        venue.exchange.amend(order, price, quantity)
    except OrderRefused as error:
        note.post_only, note.reject_post_only, note.replaced, request.reduce_only, request.time_in_force = old
        raise refused(error) from None
    return _outcome(venue, order, before)


# --- cancels ----------------------------------------------------------------------------------------------------------
def cancel(venue: Venue, call: Call) -> Any:
    order = _open(venue, call, find_order(venue, call))
    return _cancel(venue, order, "user_request", lambda: order_object(venue, order))


def _cancel(venue: Venue, order: Order, reason: str, answer: Callable[[], Any]) -> Any:
    note_of(order).cancel_reason = reason
    venue.exchange.cancel(order)
    return answer()


def cancel_by_label(venue: Venue, call: Call) -> Any:
    label = call.parameters.text("label")
    currency = call.parameters.choice("currency", KNOWN_CURRENCIES, "any")
    return cancel_orders(
        venue, call.owner, lambda order, listing: note_of(order).label == label and _of_currency(listing, currency)
    )


def cancel_all(venue: Venue, call: Call) -> Any:
    return _cancel_many(venue, call, lambda order, listing: True)


def cancel_all_by_currency(venue: Venue, call: Call) -> Any:
    currency = call.parameters.choice("currency", KNOWN_CURRENCIES)
    return _cancel_many(venue, call, lambda order, listing: _of_currency(listing, currency))


def cancel_all_by_kind_or_type(venue: Venue, call: Call) -> Any:
    """`currency` may be a list here."""
    wanted = call.parameters.values.get("currency")
    currencies = wanted if isinstance(wanted, list) else [wanted]
    if not currencies or any(currency not in KNOWN_CURRENCIES for currency in currencies):
        raise invalid("currency", "value not allowed")
    return _cancel_many(venue, call, lambda order, listing: any(_of_currency(listing, one) for one in currencies))


def cancel_all_by_currency_pair(venue: Venue, call: Call) -> Any:
    pair = call.parameters.text("currency_pair")
    return _cancel_many(venue, call, lambda order, listing: listing.index == pair)


def cancel_all_by_instrument(venue: Venue, call: Call) -> Any:
    name = venue.named(call).listing.name
    return _cancel_many(venue, call, lambda order, listing: listing.name == name)


Wanted = Callable[[Order, Listing], bool]


def _cancel_many(venue: Venue, call: Call, wanted: Wanted) -> Any:
    """The count, or the report of each contract when `detailed`. No order here is a trigger order."""
    kind = call.parameters.choice("kind", KINDS, "any")
    only_triggers = call.parameters.choice("type", CANCEL_TYPES, "all") not in ("all", "limit")
    gone: list[Order] = []
    count = cancel_orders(
        venue,
        call.owner,
        lambda order, listing: kind in ("any", listing.kind) and not only_triggers and wanted(order, listing),
        gone,
    )
    if not call.parameters.boolean("detailed", False):
        return count
    by_symbol: dict[str, list[Order]] = {}
    for order in gone:
        by_symbol.setdefault(order.symbol, []).append(order)
    return [
        {
            "currency": venue.listing(symbol).currency,
            "type": "limit",
            "instrument_name": symbol,
            "result": [order_object(venue, order) for order in orders],
        }
        for symbol, orders in by_symbol.items()
    ]


def cancel_orders(
    venue: Venue, owner: str, wanted: Wanted, gone: list[Order] | None = None, reason: str = "user_request"
) -> int:
    """Cancel the account's open orders that are wanted; how many."""
    count = 0
    for order in venue.open_orders(owner):
        if wanted(order, venue.listing(order.symbol)):
            note_of(order).cancel_reason = reason
            venue.exchange.cancel(order)
            count += 1
            if gone is not None:
                gone.append(order)
    return count


def _of_currency(listing: Listing, currency: str | None) -> bool:
    return currency in ("any", listing.currency)


# --- what all of them ask ---------------------------------------------------------------------------------------------
def find_order(venue: Venue, call: Call) -> Order:
    """By `order_id`; 10004 when the account has none of that id."""
    text = call.parameters.text("order_id")
    currency, number = read_id(text, CURRENCIES)
    order = venue.exchange.orders.get(number)
    if order is None or order.account != venue.core_account(call.owner, currency):
        raise VenueError(10004)
    assert order_id(order) == text
    return order


def _open(venue: Venue, call: Call, order: Order) -> Order:
    if not order.state.is_open:
        raise VenueError(venue.points.closed_order_code)
    return order


def _trading(venue: Venue, call: Call) -> MarketState:
    market = venue.named(call)
    _check_state(venue, market)
    return market


def _check_state(venue: Venue, market: MarketState) -> None:
    """Cancels skip this."""
    if market.state == "settlement":
        raise VenueError(10041)
    if market.state == "locked":
        raise VenueError(10019)
    if market.state != "open":
        raise VenueError(10012)


def _in_time(call: Call, now_ms: int) -> None:
    """`valid_until`, looked at when the engine starts with the request."""
    if call.parameters.has("valid_until") and now_ms > call.parameters.integer("valid_until"):
        raise VenueError(13888)


def _amount(venue: Venue, call: Call, listing: Listing) -> Decimal | None:
    """`amount`, or `contracts` times the contract size; both must agree."""
    amount = call.parameters.optional_decimal("amount")
    contracts = call.parameters.optional_decimal("contracts")
    if contracts is not None:
        meant = contracts * listing.contract_size
        if amount is not None and amount != meant:
            raise invalid("contracts", "does not agree with amount")
        amount = meant
    if amount is not None and amount > 0 and amount % listing.instrument.lot_size:
        code = venue.points.wrong_amount_code
        raise invalid("amount", "must be a multiple of the contract size") if code == -32602 else VenueError(code)
    return amount


def best_opposite(venue: Venue, listing: Listing, is_buy: bool) -> Decimal | None:
    """Price that a taker would get first: of the market or of an order that rests here."""
    matcher = venue.exchange.matchers[listing.name]
    level = next(iter(matcher.book.levels(not is_buy)), None)
    resting = matcher.asks if is_buy else matcher.bids
    prices = [level[0]] if level is not None else []
    prices += [resting[0].price] if resting else []
    if not prices:
        return None
    return min(prices) if is_buy else max(prices)


def _out_of_the_way(venue: Venue, listing: Listing, is_buy: bool, price: Decimal) -> Decimal:
    """A post-only price that would take moves to one tick inside the spread."""
    best = best_opposite(venue, listing, is_buy)
    if best is None or (price < best if is_buy else price > best):
        return price
    tick = listing.instrument.tick_at(best)
    return best - tick if is_buy else best + tick


def _meets_own(venue: Venue, core: str, symbol: str, is_buy: bool, price: Decimal) -> bool:
    matcher = venue.exchange.matchers[symbol]
    resting = matcher.asks if is_buy else matcher.bids
    return any(
        order.account == core and (order.price <= price if is_buy else order.price >= price) for order in resting
    )


def _end_of_day(now_ms: int) -> int:
    """The next 08:00 UTC."""
    end = now_ms - now_ms % DAY_MS + HOUR_OF_EXPIRY * 3600 * 1000
    return end if end > now_ms else end + DAY_MS


def _outcome(venue: Venue, order: Order, before: int | None) -> dict[str, Any]:
    """The order and the fills it has had since the account had `before` of them."""
    fills: list[Trade] = []
    if before is not None:
        trades = venue.exchange.accounts[order.account].trades
        fills = [trade for trade in trades[before:] if trade.order_id == order.order_id]
    return {
        "order": order_object(venue, order),
        "trades": [trade_object(venue, trade, state_then(order, trade)) for trade in fills],
    }


def state_then(order: Order, trade: Trade) -> str:
    """State of the order just after this fill."""
    last = order.trade_ids[-1] == trade.trade_id
    return "filled" if last and order_state(order) == "filled" else "open"


def currency_matches(order: Order, currency: str) -> bool:
    return currency in ("any", currency_of(order.account))
