"""What the simulated GRVT says of orders, fills, positions and money: the venue's objects with full names.

The rule of its numbers: at least one decimal and no trailing zeros beyond it, no exponent; money is cut toward zero at
six decimals, never rounded. Times are nanoseconds as text.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from exchanges.grvt.simulator_instruments import instrument_hash
from exchanges.grvt.simulator_venue import Venue, WireOrder
from exchanges.simulator.orders import Order, Trade

MONEY: Final = Decimal("1e-6")
ROI: Final = Decimal("1e-4")
ONE: Final = Decimal(1)
NO_ORDER_ID: Final = "0x00"


def text(value: Decimal) -> str:
    """ "65000.0", "0.08": as the venue writes numbers."""
    shown = f"{value.normalize():f}" if value else "0"
    return shown if "." in shown else f"{shown}.0"


def cut(value: Decimal, step: Decimal = MONEY) -> str:
    return text(value.quantize(step, rounding=ROUND_DOWN))


def nanoseconds(time_ms: int) -> str:
    return str(time_ms * 1_000_000)


def order_id(symbol: str, wire: WireOrder, number: int) -> str:
    """The venue's pattern: instrument hash reversed, the end of the signature, a counter."""
    reverse = bytes.fromhex(instrument_hash(symbol)[2:])[::-1].hex()
    return f"0x0101{reverse}{wire.signature['s'][-6:]}{number:016x}"


def order_number(shown: str) -> int:
    """The counter in an order id; 0 where it is none."""
    try:
        return int(shown, 16) & (1 << 64) - 1
    except ValueError:
        return 0


def pending(wire: WireOrder) -> dict[str, Any]:
    """The reply to a create: nothing is decided."""
    return _order(wire, NO_ORDER_ID, "PENDING", "UNSPECIFIED", wire.size, Decimal(0), Decimal(0), wire.create_ns)


def rejected(wire: WireOrder, reason: str, now_ns: int) -> dict[str, Any]:
    """An order that never was open."""
    return _order(wire, NO_ORDER_ID, "REJECTED", reason, Decimal(0), Decimal(0), Decimal(0), now_ns)


def order_reply(order: Order) -> dict[str, Any]:
    """An order of the exchange as it is now, or was in a report."""
    wire: WireOrder = order.request.venue
    working = order.remaining if order.state.is_open else Decimal(0)
    status = "OPEN" if order.state.is_open else ("FILLED" if not order.remaining else wire.end_status(order))
    reason = "UNSPECIFIED" if order.state.is_open or status == "FILLED" else wire.end_reason(order)
    return _order(
        wire,
        order_id(order.symbol, wire, order.order_id),
        status,
        reason,
        working,
        order.filled,
        order.average_price.quantize(Decimal("1e-9"), rounding=ROUND_DOWN),
        order.update_ms * 1_000_000,
    )


def _order(
    wire: WireOrder,
    shown_id: str,
    status: str,
    reason: str,
    book: Decimal,
    traded: Decimal,
    average: Decimal,
    now_ns: int,
) -> dict[str, Any]:
    return {
        "order_id": shown_id,
        "sub_account_id": wire.account,
        "is_market": wire.market,
        "time_in_force": wire.time_in_force,
        "post_only": wire.post_only,
        "reduce_only": wire.reduce_only,
        "legs": [
            {
                "instrument": wire.symbol,
                "size": text(wire.size),
                "limit_price": text(wire.price),
                "is_buying_asset": wire.is_buy,
            }
        ],
        "signature": wire.signature,
        "metadata": {
            "client_order_id": wire.client_order_id,
            "create_time": str(wire.create_ns),
            "trigger": {
                "trigger_type": "UNSPECIFIED",
                "tpsl": {"trigger_by": "UNSPECIFIED", "trigger_price": "0.0", "close_position": False},
            },
            "broker": "UNSPECIFIED",
            "is_position_transfer": False,
            "allow_crossing": False,
        },
        "state": {
            "status": status,
            "reject_reason": reason,
            "book_size": [text(book)],
            "traded_size": [text(traded)],
            "update_time": str(now_ns),
            "avg_fill_price": [text(average)],
        },
        "builder": "0x00",
        "builder_fee": "0.0",
    }


def state_feed(order: dict[str, Any]) -> dict[str, Any]:
    """v1.state of what v1.order says."""
    return {
        "order_id": order["order_id"],
        "client_order_id": order["metadata"]["client_order_id"],
        "order_state": order["state"],
    }


def trade_text(trade: Trade) -> str:
    """Id of one of our fills."""
    return f"{trade.trade_id}-1"


def fill(venue: Venue, trade: Trade, wire: WireOrder) -> dict[str, Any]:
    account = venue.exchange.accounts[trade.account]
    rate = account.maker_rate if trade.maker else account.taker_rate
    return {
        "event_time": nanoseconds(trade.time_ms),
        "sub_account_id": trade.account,
        "instrument": trade.symbol,
        "is_buyer": trade.is_buy,
        "is_taker": not trade.maker,
        "size": text(trade.quantity),
        "price": text(trade.price),
        "mark_price": text(venue.mark(trade.symbol)),
        "index_price": text(venue.mark(trade.symbol)),
        "interest_rate": "0.0",
        "forward_price": "0.0",
        "realized_pnl": cut(trade.realized),
        "fee": text(trade.fee),
        "fee_rate": text(rate * 100),
        "trade_id": trade_text(trade),
        "order_id": order_id(trade.symbol, wire, trade.order_id),
        "venue": "ORDERBOOK",
        "is_liquidation": False,
        "client_order_id": trade.client_order_id,
        "signer": wire.signature["signer"],
        "broker": "UNSPECIFIED",
        "is_rpi": False,
        "builder": "0x00",
        "builder_fee_rate": "0.0",
        "builder_fee": "0",
    }


def position(venue: Venue, account: str, symbol: str) -> dict[str, Any]:
    exchange = venue.exchange
    held, mark = exchange.accounts[account].position(symbol), venue.mark(symbol)
    unrealized = exchange.unrealized(account, symbol)
    total = held.realized + unrealized
    return {
        "event_time": nanoseconds(held.update_ms or venue.clock_ms()),
        "sub_account_id": account,
        "instrument": symbol,
        "size": text(held.quantity),
        "notional": cut(held.quantity * mark),
        "entry_price": cut(held.entry_price, Decimal("1e-9")),
        "exit_price": "0.0",
        "mark_price": text(mark),
        "unrealized_pnl": cut(unrealized),
        "realized_pnl": cut(held.realized),
        "total_pnl": cut(total),
        "roi": cut(total / held.cost * 100, ROI) if held.cost else "0.0",
        "quote_index_price": "1.0",
        "est_liquidation_price": "0.0",
        "leverage": text(Decimal(exchange.accounts[account].leverage_of(symbol))),
        "cumulative_fee": text(held.fees),
        "cumulative_realized_funding_payment": cut(-held.funding),
        "margin_type": "CROSS",
    }


def open_positions(venue: Venue, account: str) -> list[dict[str, Any]]:
    held = venue.exchange.accounts[account].positions
    return [position(venue, account, symbol) for symbol in held if held[symbol].quantity]


def account_summary(venue: Venue, account: str) -> dict[str, Any]:
    exchange = venue.exchange
    owner = exchange.accounts[account]
    unrealized = sum((exchange.unrealized(account, symbol) for symbol in owner.positions), Decimal(0))
    equity, margin = owner.wallet + unrealized, exchange.margin_used(account)
    return {
        "event_time": nanoseconds(venue.clock_ms()),
        "sub_account_id": account,
        "margin_type": "SIMPLE_CROSS_MARGIN",
        "settle_currency": owner.asset,
        "unrealized_pnl": cut(unrealized),
        "total_equity": cut(equity),
        "initial_margin": cut(margin),
        "maintenance_margin": cut(margin / 2),
        "available_balance": cut(max(Decimal(0), equity - margin - min(unrealized, Decimal(0)))),
        "spot_balances": [{"currency": owner.asset, "balance": cut(owner.wallet), "index_price": "1.0"}],
        "positions": open_positions(venue, account),
        "settle_index_price": "1.0",
        "is_vault": False,
        "vault_im_additions": "0.0",
        "derisk_margin": "0.0",
        "derisk_to_maintenance_margin_ratio": "1.0",
        "total_cross_equity": cut(equity),
        "cross_unrealized_pnl": cut(unrealized),
    }
