"""Shapes of the account side: orders, fills, positions, portfolio; in answers and in notifications alike.

Source: the method pages and the recorded messages; key sets as seen on the wire (Dec 2025). Amounts are dollars for
inverse futures and coins for all others; money is in the currency of settlement. Ids of BTC are bare numbers, those of
other currencies carry them: `ETH-33878890001`.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

from exchanges.deribit.simulator_errors import VenueError
from exchanges.deribit.simulator_instruments import Listing
from exchanges.deribit.simulator_pricing import YEAR_MS, Greeks, greeks, implied_volatility
from exchanges.deribit.simulator_venue import USER_ID, MarketState, OrderNote, Venue
from exchanges.simulator.ledger import Position, money
from exchanges.simulator.orders import ExpiryReason, Order, OrderState, Report, Trade

ZERO = Decimal(0)
MAINTENANCE = Decimal("0.5")
"""Maintenance margin as a part of the initial one: 1 % of 2 %."""

_STATES = {OrderState.NEW: "open", OrderState.PARTIALLY_FILLED: "open", OrderState.FILLED: "filled"}
_REASONS = {
    ExpiryReason.REDUCE_ONLY: "position_locked",
    ExpiryReason.GOOD_TILL_DATE: "settlement",
}


def prefixed(currency: str, number: int) -> str:
    """An id as the venue writes it."""
    return str(number) if currency == "BTC" else f"{currency}-{number}"


def read_id(text: str, currencies: tuple[str, ...]) -> tuple[str, int]:
    """(currency, number) of an id; 10025 where it is none."""
    currency, dash, number = text.rpartition("-")
    currency = currency if dash else "BTC"
    if currency not in currencies or not number.isdigit() or (dash and currency == "BTC"):
        raise VenueError(10025)
    return currency, int(number)


def currency_of(core_account: str) -> str:
    return core_account.rpartition(":")[2]


def order_id(order: Order) -> str:
    return prefixed(currency_of(order.account), order.order_id)


def direction(is_buy: bool) -> str:
    return "buy" if is_buy else "sell"


def order_state(order: Order) -> str:
    return _STATES.get(order.state, "cancelled")


def note_of(order: Order) -> OrderNote:
    note = order.request.venue
    assert isinstance(note, OrderNote), "every order of this venue carries one"
    return note


def order_object(venue: Venue, order: Order) -> dict[str, Any]:
    """One order as it stands."""
    note, listing = note_of(order), venue.markets[order.symbol].listing
    state = order_state(order)
    row: dict[str, Any] = {
        "order_id": order_id(order),
        "order_state": state,
        "order_type": note.order_type,
        "instrument_name": order.symbol,
        "direction": direction(order.is_buy),
        "price": order.price,
        "amount": order.quantity,
        "contracts": order.quantity / listing.contract_size,
        "filled_amount": order.filled,
        "average_price": order.average_price.quantize(Decimal("1e-8"), ROUND_HALF_EVEN) if order.filled else ZERO,
        "label": note.label,
        "time_in_force": note.time_in_force,
        "post_only": note.post_only,
        "reduce_only": order.request.reduce_only,
        "api": True,
        "web": False,
        "mmp": note.mmp,
        "replaced": note.replaced,
        "risk_reducing": False,
        "is_liquidation": False,
        "creation_timestamp": order.create_ms,
        "last_update_timestamp": order.update_ms,
        "user_id": USER_ID,
    }
    if note.post_only:
        row["reject_post_only"] = note.reject_post_only
    if note.original_type:
        row["original_order_type"] = note.original_type
    if state == "cancelled":
        reason = note.cancel_reason or _REASONS.get(order.expiry, "")
        if reason:
            row["cancel_reason"] = reason
    return row


def trade_object(venue: Venue, trade: Trade, state: str) -> dict[str, Any]:
    """One fill of an own order; `state` of the order at that moment."""
    order, market = venue.exchange.orders[trade.order_id], venue.markets[trade.symbol]
    note, currency = note_of(order), currency_of(trade.account)
    seq, tick_direction = venue.trade_numbers.get(trade.trade_id, (0, 0))
    row: dict[str, Any] = {
        "trade_id": prefixed(currency, trade.trade_id),
        "trade_seq": seq,
        "order_id": order_id(order),
        "instrument_name": trade.symbol,
        "timestamp": trade.time_ms,
        "direction": direction(trade.is_buy),
        "price": trade.price,
        "amount": trade.quantity,
        "contracts": trade.quantity / market.listing.contract_size,
        "fee": trade.fee,
        "fee_currency": trade.fee_asset,
        "liquidity": "M" if trade.maker else "T",
        "order_type": note.order_type,
        "state": state,
        "tick_direction": tick_direction,
        "index_price": venue.index(market.listing.index),
        "mark_price": venue.mark(trade.symbol),
        "matching_id": None,
        "profit_loss": trade.realized,
        "post_only": note.post_only,
        "reduce_only": order.request.reduce_only,
        "mmp": note.mmp,
        "risk_reducing": False,
        "api": True,
        "self_trade": False,
        "user_id": USER_ID,
    }
    if note.label:
        row["label"] = note.label
    if market.listing.option:
        row["underlying_price"] = shown_price(venue.forward(market.listing))
        row["iv"] = shown_volatility(venue, market.listing, trade.price)
    return row


def shown_price(value: float) -> Decimal:
    return Decimal(f"{value:.4f}")


def shown_volatility(venue: Venue, listing: Listing, price: Decimal) -> Decimal:
    """Percent, two decimals; 0 where no volatility gives the price."""
    forward = venue.forward(listing)
    years = max(listing.expiry_ms - venue.clock_ms(), 0) / YEAR_MS
    found = implied_volatility(listing.is_call, float(price) * forward, forward, listing.strike, years)
    return Decimal(f"{100 * found:.2f}")


def greeks_of(venue: Venue, listing: Listing) -> Greeks:
    """Of one option of one coin, at the volatility of its mark."""
    forward = venue.forward(listing)
    years = max(listing.expiry_ms - venue.clock_ms(), 0) / YEAR_MS
    volatility = implied_volatility(
        listing.is_call, float(venue.mark(listing.name)) * forward, forward, listing.strike, years
    )
    return greeks(listing.is_call, forward, listing.strike, years, volatility)


def delta_of(venue: Venue, listing: Listing, position: Position) -> Decimal:
    """In coins of the underlying."""
    if listing.option:
        return position.quantity * Decimal(f"{greeks_of(venue, listing).delta:.5f}")
    return size_currency(venue, listing, position) if listing.instrument.inverse else position.quantity


def size_currency(venue: Venue, listing: Listing, position: Position) -> Decimal:
    """What the position is worth in coin at the mark."""
    if not listing.instrument.inverse:
        return position.quantity
    return (position.quantity / venue.mark(listing.name)).quantize(Decimal("1e-9"))


def position_object(venue: Venue, core_account: str, symbol: str, in_changes: bool = False) -> dict[str, Any]:
    """One position; `in_changes` leaves out what user.changes does not carry."""
    market = venue.markets[symbol]
    listing, mark = market.listing, venue.mark(symbol)
    position = venue.exchange.accounts[core_account].position(symbol)
    session = venue.session(core_account, symbol)
    initial = money(venue.exchange.position_margin(core_account, symbol))
    row: dict[str, Any] = {
        "instrument_name": symbol,
        "kind": listing.kind,
        "direction": "zero" if not position.quantity else direction(position.quantity > 0),
        "size": position.quantity,
        "average_price": position.entry_price.quantize(Decimal("1e-8")) if position.quantity else ZERO,
        "mark_price": mark,
        "index_price": venue.index(listing.index),
        "settlement_price": market.settlement_price or mark,
        "initial_margin": initial,
        "maintenance_margin": money(initial * MAINTENANCE),
        "delta": delta_of(venue, listing, position),
        "floating_profit_loss": session.unrealized(mark),
        "realized_profit_loss": money(session.realized + session.funding),
        "total_profit_loss": position.unrealized(mark),
    }
    if not listing.option:
        row["size_currency"] = size_currency(venue, listing, position)
        row["leverage"] = listing.leverage
    else:
        row["average_price_usd"] = shown_price(float(row["average_price"]) * venue.forward(listing))
    if listing.perpetual:
        row["realized_funding"] = money(session.funding)
        row["interest_value"] = market.interest_value
    if not in_changes:
        row["open_orders_margin"] = money(venue.exchange.order_margin(core_account, symbol))
        row["estimated_liquidation_price"] = None
    return row


def portfolio_object(venue: Venue, owner: str, currency: str) -> dict[str, Any]:
    """Money of one currency. `balance` is the cash: results since the last settlement stand beside it until the next,
    and what an option cost left it when it was bought."""
    core = venue.core_account(owner, currency)
    account, exchange = venue.exchange.accounts[core], venue.exchange
    upl = {False: ZERO, True: ZERO}
    rpl = {False: ZERO, True: ZERO}
    open_profit = options_value = delta = initial = ZERO
    sums = dict.fromkeys(("delta", "gamma", "vega", "theta"), ZERO)
    for symbol, position in account.positions.items():
        listing, mark, session = venue.markets[symbol].listing, venue.mark(symbol), venue.session(core, symbol)
        upl[listing.option] += session.unrealized(mark)
        rpl[listing.option] += session.realized + session.funding
        open_profit += position.unrealized(mark)
        initial += exchange.position_margin(core, symbol)
        if position.quantity:
            delta += delta_of(venue, listing, position)
        if listing.option and position.quantity:
            options_value += money(position.quantity * mark)
            sensitivity = greeks_of(venue, listing)
            for name in sums:
                sums[name] += position.quantity * Decimal(f"{getattr(sensitivity, name):.6f}")
    equity = account.wallet + open_profit
    balance = equity - upl[False] - rpl[False] - options_value
    initial = money(initial + sum((exchange.order_margin(core, symbol) for symbol in exchange.symbols_of(core)), ZERO))
    available = max(ZERO, money(equity - initial))
    return {
        "currency": currency,
        "balance": money(balance),
        "equity": money(equity),
        "margin_balance": money(equity),
        "available_funds": available,
        "available_withdrawal_funds": max(ZERO, min(available, money(balance))),
        "initial_margin": initial,
        "maintenance_margin": money(initial * MAINTENANCE),
        "projected_initial_margin": initial,
        "projected_maintenance_margin": money(initial * MAINTENANCE),
        "session_upl": money(upl[False] + upl[True]),
        "session_rpl": money(rpl[False] + rpl[True]),
        "total_pl": money(upl[False] + rpl[False] + upl[True] + rpl[True]),
        "futures_pl": money(upl[False] + rpl[False]),
        "futures_session_upl": money(upl[False]),
        "futures_session_rpl": money(rpl[False]),
        "options_pl": money(upl[True] + rpl[True]),
        "options_session_upl": money(upl[True]),
        "options_session_rpl": money(rpl[True]),
        "options_value": options_value,
        "options_delta": sums["delta"],
        "options_gamma": sums["gamma"],
        "options_vega": sums["vega"],
        "options_theta": sums["theta"],
        "delta_total": delta,
        "projected_delta_total": delta,
        "fee_balance": ZERO,
        "spot_reserve": ZERO,
        "additional_reserve": ZERO,
        "locked_balance": ZERO,
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "margin_model": "segregated_sm",
    }


def changes_of(venue: Venue, reports: list[Report]) -> dict[str, tuple[list[Order], list[tuple[Trade, str]]]]:
    """What one moment did, by contract: each order as it stands at the end, and the fills in their order."""
    by_symbol: dict[str, tuple[dict[int, Order], list[tuple[Trade, str]]]] = {}
    for report in reports:
        orders, trades = by_symbol.setdefault(report.order.symbol, ({}, []))
        orders[report.order.order_id] = report.order
        if report.trade is not None:
            trades.append((report.trade, order_state(report.order)))
    return {symbol: (list(orders.values()), trades) for symbol, (orders, trades) in by_symbol.items()}


def ticker_object(venue: Venue, market: MarketState) -> dict[str, Any]:
    """The ticker of a channel and of public/ticker."""
    listing, name = market.listing, market.listing.name
    book, mark, index = venue.book(name), venue.mark(name), venue.index(listing.index)
    low, high = price_limits(listing, mark)
    row: dict[str, Any] = {
        "timestamp": market.time_ms,
        "instrument_name": name,
        "state": market.state,
        "stats": {
            "high": market.high,
            "low": market.low,
            "price_change": ZERO if market.last_price is not None else None,
            "volume": market.volume / mark if listing.instrument.inverse else market.volume,
            "volume_usd": market.volume if listing.instrument.inverse else market.volume * index,
            "volume_notional": market.volume,
        },
        "best_bid_price": book.best_bid or None,
        "best_bid_amount": book.best_bid_quantity,
        "best_ask_price": book.best_ask or None,
        "best_ask_amount": book.best_ask_quantity,
        "last_price": market.last_price,
        "mark_price": mark,
        "index_price": index,
        "min_price": low,
        "max_price": high,
        "open_interest": Decimal(1_000_000),
        "settlement_price": market.settlement_price or mark,
        "estimated_delivery_price": index,
    }
    row["stats"]["volume"] = row["stats"]["volume"].quantize(Decimal("1e-8"))
    row["stats"]["volume_usd"] = row["stats"]["volume_usd"].quantize(Decimal("1e-2"))
    if market.delivery_price is not None:
        row["delivery_price"] = market.delivery_price
    if listing.perpetual:
        row["current_funding"] = market.funding_rate
        row["funding_8h"] = market.funding_rate
        row["interest_value"] = market.interest_value
    if listing.option:
        sensitivity = greeks_of(venue, listing)
        row |= {
            "underlying_price": shown_price(venue.forward(listing)),
            "underlying_index": listing.name.rpartition("-")[0].rpartition("-")[0],
            "interest_rate": ZERO,
            "mark_iv": shown_volatility(venue, listing, mark),
            "bid_iv": shown_volatility(venue, listing, book.best_bid) if book.best_bid else ZERO,
            "ask_iv": shown_volatility(venue, listing, book.best_ask) if book.best_ask else ZERO,
            "greeks": {
                name: Decimal(f"{getattr(sensitivity, name):.5f}")
                for name in ("delta", "gamma", "vega", "theta", "rho")
            },
        }
    return row


def price_limits(listing: Listing, mark: Decimal) -> tuple[Decimal, Decimal]:
    """(lowest sell, highest buy) that the band around the mark allows, on the tick."""
    instrument = listing.instrument
    low, high = mark * (1 - instrument.percent_price), mark * (1 + instrument.percent_price)
    tick = instrument.tick_at(max(low, instrument.tick_size))
    low = max(instrument.min_price, (low / tick).to_integral_value(ROUND_CEILING) * tick)
    tick = instrument.tick_at(high)
    return low, high // tick * tick
