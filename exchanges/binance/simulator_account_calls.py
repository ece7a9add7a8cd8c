"""Account calls: positions, balances, trades, income, settings, listen keys. Shapes as on the account REST pages.

One-way mode, cross margin and one settlement asset (USDT): a request to change mode or margin type is answered as the
venue answers when nothing changes or when it is not possible.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_errors import VenueError, invalid
from exchanges.binance.simulator_frames import plain, text
from exchanges.binance.simulator_funding import income_row
from exchanges.binance.simulator_order_calls import GTD_AT_MOST_MS
from exchanges.binance.simulator_replies import profit, trade_row
from exchanges.binance.simulator_venue import Call, Venue
from exchanges.simulator.ledger import Account, Position

ZERO = Decimal(0)
MAINTENANCE_RATE = Decimal("0.004")
"""First bracket of BTCUSDT; the simulator has one bracket and liquidates nobody."""
MAX_NOTIONAL = "50000000"
MAX_LEVERAGE = 125
DONE = {"code": 200, "msg": "success"}


def position_risk_v3(venue: Venue, call: Call) -> Any:
    """Only symbols with a position or open orders."""
    account = venue.account(call)
    only = venue.optional_symbol(call)
    rows = []
    for symbol in venue.exchange.instruments if only is None else (only,):
        position = account.position(symbol)
        bids, asks = venue.exchange.open_notionals(call.owner, symbol)
        if not (position.quantity or bids or asks):
            continue
        margin = venue.exchange.position_margin(call.owner, symbol)
        orders = venue.exchange.order_margin(call.owner, symbol)
        notional = position.quantity * venue.mark(symbol)
        rows.append(
            {
                "symbol": symbol,
                "positionSide": "BOTH",
                **_prices(venue, symbol, account, position),
                "liquidationPrice": "0",
                "isolatedMargin": "0",
                "notional": text(notional, 8),
                "marginAsset": account.asset,
                "isolatedWallet": "0",
                "initialMargin": text(margin + orders, 8),
                "maintMargin": text(abs(notional) * MAINTENANCE_RATE, 8),
                "positionInitialMargin": text(margin, 8),
                "openOrderInitialMargin": text(orders, 8),
                "adl": 2,
                "bidNotional": plain(bids),
                "askNotional": plain(asks),
                "updateTime": position.update_ms,
            }
        )
    return rows


def position_risk_v2(venue: Venue, call: Call) -> Any:
    """All symbols."""
    account = venue.account(call)
    only = venue.optional_symbol(call)
    rows = []
    for symbol in venue.exchange.instruments if only is None else (only,):
        position = account.position(symbol)
        prices = _prices(venue, symbol, account, position)
        rows.append(
            {
                "symbol": symbol,
                **prices,
                "liquidationPrice": "0",
                "leverage": str(account.leverage_of(symbol)),
                "maxNotionalValue": MAX_NOTIONAL,
                "marginType": "cross",
                "isolatedMargin": "0.00000000",
                "isAutoAddMargin": "false",
                "positionSide": "BOTH",
                "notional": text(position.quantity * venue.mark(symbol), 8),
                "isolatedWallet": "0",
                "updateTime": position.update_ms,
                "isolated": False,
                "adlQuantile": 2 if position.quantity else 0,
            }
        )
    return rows


def _prices(venue: Venue, symbol: str, account: Account, position: Position) -> dict[str, str]:
    instrument = venue.instrument(symbol)
    entry = position.entry_price
    toll = 1 + account.taker_rate if position.quantity > 0 else 1 - account.taker_rate
    return {
        "positionAmt": text(position.quantity, instrument.quantity_precision),
        "entryPrice": plain(round(entry, 11)),
        "breakEvenPrice": plain(round(entry * toll, 11)),
        "markPrice": text(venue.mark(symbol), 8),
        "unRealizedProfit": text(venue.exchange.unrealized(account.name, symbol), 8),
    }


def balance(venue: Venue, call: Call) -> Any:
    account = venue.account(call)
    wallet, available = text(account.wallet, 8), text(venue.exchange.available(call.owner), 8)
    return [
        {
            "accountAlias": "SgsR",
            "asset": account.asset,
            "balance": wallet,
            "crossWalletBalance": wallet,
            "crossUnPnl": text(_unrealized(venue, account), 8),
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "marginAvailable": True,
            "updateTime": _updated(account),
        }
    ]


def account_v3(venue: Venue, call: Call) -> Any:
    return _account(venue, call, detailed=False)


def account_v2(venue: Venue, call: Call) -> Any:
    flags = {
        "feeTier": 0,
        "feeBurn": True,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }
    return flags | _account(venue, call, detailed=True)


def _account(venue: Venue, call: Call, detailed: bool) -> dict[str, Any]:
    account, exchange = venue.account(call), venue.exchange
    symbols = [
        symbol
        for symbol in exchange.instruments
        if detailed or account.position(symbol).quantity or any(exchange.open_notionals(call.owner, symbol))
    ]
    unrealized = _unrealized(venue, account)
    position_margin = sum((exchange.position_margin(call.owner, s) for s in exchange.instruments), ZERO)
    order_margin = sum((exchange.order_margin(call.owner, s) for s in exchange.instruments), ZERO)
    maintenance = sum((_maintenance(venue, account, s) for s in exchange.instruments), ZERO)
    wallet, available = text(account.wallet, 8), text(exchange.available(call.owner), 8)
    totals = {
        "initialMargin": text(position_margin + order_margin, 8),
        "maintMargin": text(maintenance, 8),
        "walletBalance": wallet,
        "unrealizedProfit": text(unrealized, 8),
        "marginBalance": text(account.wallet + unrealized, 8),
        "positionInitialMargin": text(position_margin, 8),
        "openOrderInitialMargin": text(order_margin, 8),
        "crossWalletBalance": wallet,
        "crossUnPnl": text(unrealized, 8),
    }
    asset = {"asset": account.asset} | totals
    asset |= {"availableBalance": available, "maxWithdrawAmount": available}
    if detailed:
        asset["marginAvailable"] = True  # type: ignore[assignment]
    return {
        **{f"total{name[0].upper()}{name[1:]}": value for name, value in totals.items()},
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "assets": [asset | {"updateTime": _updated(account)}],
        "positions": [_account_position(venue, account, symbol, detailed) for symbol in symbols],
    }


def _account_position(venue: Venue, account: Account, symbol: str, detailed: bool) -> dict[str, Any]:
    exchange, position = venue.exchange, account.position(symbol)
    bids, asks = exchange.open_notionals(account.name, symbol)
    margin, orders = exchange.position_margin(account.name, symbol), exchange.order_margin(account.name, symbol)
    row: dict[str, Any] = {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": text(position.quantity, venue.instrument(symbol).quantity_precision),
        "unrealizedProfit": text(exchange.unrealized(account.name, symbol), 8),
        "isolatedMargin": "0",
        "notional": text(position.quantity * venue.mark(symbol), 8),
        "isolatedWallet": "0",
        "initialMargin": text(margin + orders, 8),
        "maintMargin": text(_maintenance(venue, account, symbol), 8),
        "updateTime": position.update_ms,
    }
    if detailed:
        row |= {
            "positionInitialMargin": text(margin, 8),
            "openOrderInitialMargin": text(orders, 8),
            "leverage": str(account.leverage_of(symbol)),
            "isolated": False,
            "entryPrice": plain(round(position.entry_price, 11)),
            "maxNotional": MAX_NOTIONAL,
            "bidNotional": plain(bids),
            "askNotional": plain(asks),
        }
    return row


def _maintenance(venue: Venue, account: Account, symbol: str) -> Decimal:
    return abs(account.position(symbol).quantity) * venue.mark(symbol) * MAINTENANCE_RATE


def _unrealized(venue: Venue, account: Account) -> Decimal:
    return sum((venue.exchange.unrealized(account.name, symbol) for symbol in account.positions), ZERO)


def _updated(account: Account) -> int:
    return max((position.update_ms for position in account.positions.values()), default=0)


def account_config(venue: Venue, call: Call) -> Any:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": call.owner in venue.hedged,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def symbol_config(venue: Venue, call: Call) -> Any:
    only, account = venue.optional_symbol(call), venue.account(call)
    return [
        {
            "symbol": symbol,
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": account.leverage_of(symbol),
            "maxNotionalValue": MAX_NOTIONAL,
        }
        for symbol in (venue.exchange.instruments if only is None else (only,))
    ]


def commission_rate(venue: Venue, call: Call) -> Any:
    account = venue.account(call)
    return {
        "symbol": venue.symbol(call),
        "makerCommissionRate": text(account.maker_rate, 6),
        "takerCommissionRate": text(account.taker_rate, 6),
        "rpiCommissionRate": "0.000000",
    }


def user_trades(venue: Venue, call: Call) -> Any:
    """Ascending; from an id, an order or a time on the oldest, without any the newest."""
    parameters, only = call.parameters, venue.optional_symbol(call)
    first, start = parameters.integer("fromId", 0), parameters.integer("startTime", 0)
    end, order_id = parameters.integer("endTime", GTD_AT_MOST_MS), parameters.integer("orderId", 0)
    if first and (parameters.has("startTime") or parameters.has("endTime")):
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    rows = [
        trade
        for trade in venue.account(call).trades
        if (only is None or trade.symbol == only)
        and trade.trade_id >= first
        and start <= trade.time_ms <= end
        and (not order_id or trade.order_id == order_id)
    ]
    limit = parameters.limit(500, 1000)
    rows = rows[:limit] if first or start or order_id else rows[-limit:]
    return [trade_row(trade, venue.instrument(trade.symbol)) for trade in rows]


def income(venue: Venue, call: Call) -> Any:
    """Realised profit and commission of each fill, and funding."""
    parameters, only = call.parameters, venue.optional_symbol(call)
    wanted = parameters.text("incomeType", "")
    start, end = parameters.integer("startTime", 0), parameters.integer("endTime", GTD_AT_MOST_MS)
    rows: list[dict[str, Any]] = []
    for trade in venue.account(call).trades:
        if (only is not None and trade.symbol != only) or not start <= trade.time_ms <= end:
            continue
        for kind, amount in (("REALIZED_PNL", trade.realized), ("COMMISSION", -trade.fee)):
            if amount and wanted in ("", kind):
                rows.append(
                    {
                        "symbol": trade.symbol,
                        "incomeType": kind,
                        "income": profit(amount),
                        "asset": trade.fee_asset,
                        "info": str(trade.trade_id),
                        "time": trade.time_ms,
                        "tranId": trade.trade_id,
                        "tradeId": str(trade.trade_id),
                    }
                )
    rows += [
        income_row(payment)
        for payment in venue.funding
        if payment.account == call.owner
        and (only is None or payment.symbol == only)
        and start <= payment.time_ms <= end
        and wanted in ("", "FUNDING_FEE")
    ]
    rows.sort(key=lambda row: int(row["time"]))
    limit = parameters.limit(100, 1000)
    page = parameters.integer("page", 1)
    return rows[(page - 1) * limit : page * limit] if start or parameters.has("page") else rows[-limit:]


def leverage_bracket(venue: Venue, call: Call) -> Any:
    only = venue.optional_symbol(call)
    bracket = {
        "bracket": 1,
        "initialLeverage": MAX_LEVERAGE,
        "notionalCap": int(MAX_NOTIONAL),
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE_RATE),
        "cum": 0.0,
    }
    symbols = venue.exchange.instruments if only is None else (only,)
    return [{"symbol": symbol, "notionalCoef": 1.0, "brackets": [bracket]} for symbol in symbols]


def order_rate_limits(venue: Venue, call: Call) -> Any:
    return venue.limits.describe_orders()


def set_leverage(venue: Venue, call: Call) -> Any:
    symbol, leverage = venue.symbol(call), call.parameters.integer("leverage")
    if not 1 <= leverage <= MAX_LEVERAGE:
        raise VenueError(-4028, f"Leverage {leverage} is not valid")
    venue.account(call).leverages[symbol] = leverage
    body = {"ac": {"s": symbol, "l": leverage}}
    venue.configuration_events(call.owner, body)
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": MAX_NOTIONAL}


def set_margin_type(venue: Venue, call: Call) -> Any:
    symbol = venue.symbol(call)
    wanted = call.parameters.choice("marginType", ("ISOLATED", "CROSSED"), invalid("marginType"))
    if wanted == "CROSSED":
        raise VenueError(-4046, "No need to change margin type.")
    if venue.exchange.open_orders(call.owner, symbol):
        raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
    if venue.account(call).position(symbol).quantity:
        raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
    raise VenueError(-1020, "This operation is not supported: the simulator keeps cross margin.")


def position_mode(venue: Venue, call: Call) -> Any:
    return {"dualSidePosition": call.owner in venue.hedged}


def set_position_mode(venue: Venue, call: Call) -> Any:
    wanted = call.parameters.boolean("dualSidePosition")
    if wanted == (call.owner in venue.hedged):
        raise VenueError(-4059, "No need to change position side.")
    if venue.exchange.open_orders(call.owner):
        raise VenueError(-4067, "Position side cannot be changed if there exists open orders.")
    if any(position.quantity for position in venue.account(call).positions.values()):
        raise VenueError(-4068, "Position side cannot be changed if there exists position.")
    (venue.hedged.add if wanted else venue.hedged.discard)(call.owner)
    return {"code": 200, "msg": "success"}


def multi_assets(venue: Venue, call: Call) -> Any:
    return {"multiAssetsMargin": False}


def set_multi_assets(venue: Venue, call: Call) -> Any:
    if not call.parameters.boolean("multiAssetsMargin"):
        raise VenueError(-4171, "No need to change multi-assets margin mode.")
    raise VenueError(-1020, "This operation is not supported: the simulator keeps one settlement asset.")


def open_listen_key(venue: Venue, call: Call) -> Any:
    return {"listenKey": venue.open_listen_key(call.owner, call.now_ms).key}


def extend_listen_key(venue: Venue, call: Call) -> Any:
    return {"listenKey": venue.extend_listen_key(call.owner, call.now_ms).key}


def close_listen_key(venue: Venue, call: Call) -> Any:
    venue.close_listen_key(call.owner)
    return {}
