"""Shapes of account-side answers and user events, in the venue's wire order.

Source: `New-Order`, `Query-Order`, `Account-Trade-List` and the user-data event pages; key orders as observed on live
replies and frames of 2024 to 2026. Since 2026-07 the answers of POST, PUT and DELETE carry neither avgPrice nor
cumQuote; queries still do.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_frames import plain, text
from exchanges.simulator.instrument import Instrument
from exchanges.simulator.orders import (
    ExpiryReason,
    Order,
    OrderState,
    OrderType,
    Report,
    ReportKind,
    TimeInForce,
    Trade,
)

ZERO = Decimal(0)

_EXPIRY_CODES: dict[ExpiryReason, str] = {
    ExpiryReason.NONE: "0",
    ExpiryReason.SELF_TRADE: "1",
    ExpiryReason.IMMEDIATE_REMAINDER: "2",
    ExpiryReason.IMMEDIATE_SELF_TRADE: "3",
    ExpiryReason.REDUCE_ONLY: "4",
    ExpiryReason.MARKET_REMAINDER: "9",
    ExpiryReason.GOOD_TILL_DATE: "0",
}


def order_reply(
    order: Order,
    instrument: Instrument,
    averages: bool,
    acknowledge_only: bool = False,
    modify_id: str = "",
    amended: bool = False,
    query: bool = False,
) -> dict[str, Any]:
    """The order object. `acknowledge_only` hides what the order did at once, as newOrderRespType=ACK does."""
    p, q = instrument.price_precision, instrument.quantity_precision
    filled = ZERO if acknowledge_only else order.filled
    state = OrderState.NEW if acknowledge_only else order.state
    cost = ZERO if acknowledge_only else order.quote_filled
    average = ZERO if acknowledge_only else order.average_price
    reply: dict[str, Any] = {"orderId": order.order_id, "symbol": order.symbol}
    if amended:
        reply["pair"] = order.symbol
    reply["status"] = state.value
    reply["clientOrderId"] = order.client_order_id
    if modify_id:
        reply["modifyId"] = int(modify_id)
    reply["price"] = text(order.price, p)
    if averages or query:
        reply["avgPrice"] = text(average, p + 3)
    reply["origQty"] = text(order.quantity, q)
    reply["executedQty"] = text(filled, q)
    if not query:
        reply["cumQty"] = text(filled, q)
    if averages or query:
        reply["cumQuote"] = text(cost, p + q)
    reply |= {
        "timeInForce": order.request.time_in_force.value,
        "type": order.request.type.value,
        "reduceOnly": order.request.reduce_only,
        "closePosition": False,
        "side": side(order.is_buy),
        "positionSide": "BOTH",
        "stopPrice": "0" if query else text(ZERO, p),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.request.type.value,
        "priceMatch": order.request.venue or "NONE",
        "selfTradePreventionMode": order.self_trade.value,
        "goodTillDate": order.request.good_till_ms,
    }
    if query:
        reply["time"] = order.create_ms
    reply["updateTime"] = order.update_ms
    return reply


def side(is_buy: bool) -> str:
    return "BUY" if is_buy else "SELL"


def trade_row(trade: Trade, instrument: Instrument) -> dict[str, Any]:
    """A row of userTrades."""
    p, q = instrument.price_precision, instrument.quantity_precision
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "pair": trade.symbol,
        "side": side(trade.is_buy),
        "price": text(trade.price, p),
        "qty": text(trade.quantity, q),
        "realizedPnl": profit(trade.realized),
        "quoteQty": text(trade.quote_quantity, p + q),
        "commission": text(trade.fee, 8),
        "commissionAsset": trade.fee_asset,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "baseQty": "0",
        "marginAsset": trade.fee_asset,
        "buyer": trade.is_buy,
        "maker": trade.maker,
    }


def profit(value: Decimal) -> str:
    """ "0" when nothing was realised, else 8 decimals."""
    return text(value, 8) if value else "0"


# --- user events ----------------------------------------------------------------------------------------------------
def user_events(reports: list[Report], instruments: dict[str, Instrument]) -> list[dict[str, Any]]:
    """Events of one moment in the order the venue sends them, all with the same T and E.

    An order that trades at once: TRADE_LITE, ORDER_TRADE_UPDATE NEW, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE TRADE; every
    other fill: TRADE_LITE, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE TRADE (observed on real frames)."""
    events: list[dict[str, Any]] = []
    announced: Report | None = None
    for report in reports:
        instrument = instruments[report.order.symbol]
        if announced is not None and report.order.order_id != announced.order.order_id:
            events.append(order_trade_update(announced, instruments[announced.order.symbol]))
            announced = None
        if report.kind in (ReportKind.ACCEPTED, ReportKind.AMENDED):
            announced = report
            continue
        if report.trade is not None:
            events.append(trade_lite(report, instrument))
        if announced is not None:
            events.append(order_trade_update(announced, instrument))
            announced = None
        if report.trade is not None:
            events.append(account_update(report))
        events.append(order_trade_update(report, instrument))
    if announced is not None:
        events.append(order_trade_update(announced, instruments[announced.order.symbol]))
    return events


def trade_lite(report: Report, instrument: Instrument) -> dict[str, Any]:
    p, q = instrument.price_precision, instrument.quantity_precision
    order, trade = report.order, report.trade
    assert trade is not None
    return {
        "e": "TRADE_LITE",
        "E": report.time_ms,
        "T": report.time_ms,
        "s": order.symbol,
        "q": text(order.quantity, q),
        "p": text(order.price, p),
        "m": trade.maker,
        "c": order.client_order_id,
        "S": side(order.is_buy),
        "L": text(trade.price, p),
        "l": text(trade.quantity, q),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def order_trade_update(report: Report, instrument: Instrument) -> dict[str, Any]:
    p = instrument.price_precision
    order, trade = report.order, report.trade
    body: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": side(order.is_buy),
        "o": order.request.type.value,
        "f": order.request.time_in_force.value,
        "q": plain(order.quantity),
        "p": "0" if order.request.type is OrderType.MARKET else plain(order.price),
        "ap": text(order.average_price, p + 3) if order.filled else "0",
        "sp": "0",
        "x": report.kind.value,
        "X": order.state.value,
        "i": order.order_id,
        "l": plain(trade.quantity) if trade else "0",
        "z": plain(order.filled),
        "L": text(trade.price, p) if trade else "0",
        "n": text(trade.fee, 8) if trade else "0",
        "N": trade.fee_asset if trade else instrument.quote,
        "T": report.time_ms,
        "t": trade.trade_id if trade else 0,
        "b": plain(report.open_bids),
        "a": plain(report.open_asks),
        "m": trade.maker if trade else False,
        "R": order.request.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.request.type.value,
        "ps": "BOTH",
        "cp": False,
        "rp": profit(trade.realized) if trade else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.self_trade.value,
        "pm": order.request.venue or "NONE",
        "gtd": order.request.good_till_ms if order.request.time_in_force is TimeInForce.GTD else 0,
    }
    if report.kind is ReportKind.AMENDED and order.modify_id:
        body["M"] = order.modify_id
    body["er"] = _EXPIRY_CODES[order.expiry]
    return {"e": "ORDER_TRADE_UPDATE", "T": report.time_ms, "E": report.time_ms, "o": body}


def account_update(report: Report) -> dict[str, Any]:
    trade, state = report.trade, report.account
    assert trade is not None and state is not None
    wallet = text(state.wallet, 8)
    return {
        "e": "ACCOUNT_UPDATE",
        "T": report.time_ms,
        "E": report.time_ms,
        "a": {
            "B": [{"a": trade.fee_asset, "wb": wallet, "cw": wallet, "bc": "0"}],
            "P": [
                {
                    "s": trade.symbol,
                    "pa": plain(state.quantity),
                    "ep": plain(round(state.entry_price, 11)),
                    "cr": profit(state.realized),
                    "up": profit(state.unrealized),
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                    "ma": trade.fee_asset,
                    "bep": plain(round(state.break_even_price, 11)),
                }
            ],
            "m": "ORDER",
        },
    }
