"""Queries of the account: orders, fills, positions, money."""

from __future__ import annotations

from typing import Any

from exchanges.deribit.simulator_channels import CURRENCIES as KNOWN_CURRENCIES
from exchanges.deribit.simulator_channels import KINDS
from exchanges.deribit.simulator_errors import VenueError
from exchanges.deribit.simulator_market_calls import trade_page
from exchanges.deribit.simulator_order_calls import currency_matches, find_order, state_then
from exchanges.deribit.simulator_replies import (
    note_of,
    order_object,
    portfolio_object,
    position_object,
    read_id,
    trade_object,
)
from exchanges.deribit.simulator_venue import CURRENCIES, USER_ID, Call, Venue
from exchanges.simulator.orders import Order, Trade

ORDER_TYPES = (
    "all",
    "limit",
    "trigger_all",
    "stop_all",
    "stop_limit",
    "stop_market",
    "take_all",
    "take_limit",
    "take_market",
    "trailing_all",
    "trailing_stop",
)
MAX_OFFSET = 1 << 31
TRADES_SEEN_MS = 24 * 3_600_000


# --- orders -----------------------------------------------------------------------------------------------------------
def get_open_orders(venue: Venue, call: Call) -> Any:
    return _open_orders(venue, call, "any", None)


def get_open_orders_by_currency(venue: Venue, call: Call) -> Any:
    return _open_orders(venue, call, call.parameters.choice("currency", KNOWN_CURRENCIES), None)


def get_open_orders_by_instrument(venue: Venue, call: Call) -> Any:
    return _open_orders(venue, call, "any", venue.named(call).listing.name)


def get_open_orders_by_label(venue: Venue, call: Call) -> Any:
    currency, label = call.parameters.choice("currency", KNOWN_CURRENCIES), call.parameters.optional_text("label")
    return [
        order_object(venue, order)
        for order in venue.open_orders(call.owner)
        if currency_matches(order, currency) and label in (None, note_of(order).label)
    ]


def _open_orders(venue: Venue, call: Call, currency: str, symbol: str | None) -> list[Any]:
    kind = call.parameters.choice("kind", KINDS, "any")
    if call.parameters.choice("type", ORDER_TYPES, "all") not in ("all", "limit"):
        return []  # no trigger orders here
    return [
        order_object(venue, order)
        for order in venue.open_orders(call.owner)
        if currency_matches(order, currency)
        and symbol in (None, order.symbol)
        and kind in ("any", venue.listing(order.symbol).kind)
    ]


def get_order_state(venue: Venue, call: Call) -> Any:
    order = find_order(venue, call)
    if not _still_known(venue, order):
        raise VenueError(10004)
    return order_object(venue, order)


def get_order_state_by_label(venue: Venue, call: Call) -> Any:
    """Orders with the label in any state, those that ended long ago left out."""
    currency, label = call.parameters.choice("currency", KNOWN_CURRENCIES), call.parameters.text("label")
    return [
        order_object(venue, order)
        for order in venue.orders_of(call.owner)
        if currency_matches(order, currency) and note_of(order).label == label and _still_known(venue, order)
    ]


def _still_known(venue: Venue, order: Order) -> bool:
    return order.state.is_open or venue.clock_ms() - order.update_ms <= venue.points.order_seen_ms


def get_order_history_by_currency(venue: Venue, call: Call) -> Any:
    currency, kind = call.parameters.choice("currency", KNOWN_CURRENCIES), call.parameters.choice("kind", KINDS, "any")
    return _history(
        venue,
        call,
        [
            o
            for o in venue.orders_of(call.owner)
            if currency_matches(o, currency) and kind in ("any", venue.listing(o.symbol).kind)
        ],
    )


def get_order_history_by_instrument(venue: Venue, call: Call) -> Any:
    name = venue.named(call).listing.name
    return _history(venue, call, [order for order in venue.orders_of(call.owner) if order.symbol == name])


def _history(venue: Venue, call: Call, orders: list[Order]) -> list[Any]:
    """Ended orders, newest first; those that never filled only when asked for."""
    parameters = call.parameters
    unfilled, old = parameters.boolean("include_unfilled", False), parameters.boolean("include_old", False)
    offset, count = max(0, min(parameters.integer("offset", 0), MAX_OFFSET)), parameters.count(20)
    rows = [
        order
        for order in reversed(orders)
        if not order.state.is_open and (unfilled or order.filled) and (old or _still_known(venue, order))
    ]
    return [order_object(venue, order) for order in rows[offset : offset + count]]


# --- fills ------------------------------------------------------------------------------------------------------------
def get_user_trades_by_instrument(venue: Venue, call: Call) -> Any:
    name = venue.named(call).listing.name
    return trade_page(call, _rows(venue, call, [t for t in venue.trades_of(call.owner) if t.symbol == name]))


def get_user_trades_by_currency(venue: Venue, call: Call) -> Any:
    currency, kind = call.parameters.choice("currency", KNOWN_CURRENCIES), call.parameters.choice("kind", KINDS, "any")
    chosen = [
        trade
        for trade in venue.trades_of(call.owner)
        if currency in ("any", venue.listing(trade.symbol).currency)
        and kind in ("any", venue.listing(trade.symbol).kind)
    ]
    return trade_page(call, _rows(venue, call, chosen))


def get_user_trades_by_order(venue: Venue, call: Call) -> Any:
    """A bare array, oldest first unless `sorting` says else."""
    currency, number = read_id(call.parameters.text("order_id"), CURRENCIES)
    trades = venue.wallet(call.owner, currency).trades
    rows = _rows(venue, call, [trade for trade in trades if trade.order_id == number])
    return rows[::-1] if call.parameters.choice("sorting", ("asc", "desc", "default"), "default") == "desc" else rows


def _rows(venue: Venue, call: Call, trades: list[Trade]) -> list[dict[str, Any]]:
    """What is older than a day only with `historical`."""
    orders, since_ms = venue.exchange.orders, 0
    if not call.parameters.boolean("historical", False):
        since_ms = venue.clock_ms() - TRADES_SEEN_MS
    return [
        trade_object(venue, trade, state_then(orders[trade.order_id], trade))
        for trade in trades
        if trade.time_ms >= since_ms
    ]


# --- positions and money ----------------------------------------------------------------------------------------------
def get_position(venue: Venue, call: Call) -> Any:
    listing = venue.named(call).listing
    return position_object(venue, venue.core_account(call.owner, listing.currency), listing.name)


def get_positions(venue: Venue, call: Call) -> Any:
    """Positions that are or were; those that never were are left out."""
    currency = call.parameters.choice("currency", KNOWN_CURRENCIES, "any")
    kind = call.parameters.choice("kind", KINDS, "any")
    return [
        position_object(venue, venue.core_account(call.owner, one), symbol)
        for one in CURRENCIES
        if currency in ("any", one)
        for symbol, position in venue.wallet(call.owner, one).positions.items()
        if kind in ("any", venue.listing(symbol).kind) and (position.quantity or position.realized)
    ]


def get_account_summary(venue: Venue, call: Call) -> Any:
    account = venue.wallet(call.owner, call.parameters.text("currency"))
    return _person(venue, call) | _summary(venue, call.owner, account.asset)


def get_account_summaries(venue: Venue, call: Call) -> Any:
    return _person(venue, call) | {"summaries": [_summary(venue, call.owner, currency) for currency in CURRENCIES]}


def _summary(venue: Venue, owner: str, currency: str) -> dict[str, Any]:
    return portfolio_object(venue, owner, currency) | {"limits": venue.credits.describe(), "fees": []}


def _person(venue: Venue, call: Call) -> dict[str, Any]:
    if not call.parameters.boolean("extended", False):
        return {}
    return {
        "id": USER_ID,
        "username": call.owner,
        "system_name": call.owner,
        "email": f"{call.owner}@example.com",
        "type": "main",
        "creation_timestamp": 1_700_000_000_000,
        "mmp_enabled": False,
        "login_enabled": True,
        "security_keys_enabled": False,
        "interuser_transfers_enabled": False,
        "referrer_id": None,
        "self_trading_reject_mode": venue.points.self_trade,
        "self_trading_extended_to_subaccounts": "false",
    }
