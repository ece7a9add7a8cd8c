"""Account calls: positions, summaries, fills, leverage.

Not simulated: transfers, deposits, withdrawals, vaults, isolated margin, spot accounts, funding payments (none happen).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_order_calls import paged
from exchanges.grvt.simulator_replies import account_summary, fill, open_positions, text
from exchanges.grvt.simulator_venue import Call, Venue

MOST_LEVERAGE: Final = 50


def positions(venue: Venue, call: Call) -> Any:
    account = call.owner()
    kinds = call.names("kind")
    return {"result": open_positions(venue, account) if not kinds or "PERPETUAL" in kinds else []}


def summary(venue: Venue, call: Call) -> Any:
    return {"result": account_summary(venue, call.owner())}


def fill_history(venue: Venue, call: Call) -> Any:
    account = call.owner()
    exchange = venue.exchange
    bases = call.names("base")
    rows = [
        trade
        for trade in exchange.accounts[account].trades
        if not bases or exchange.instruments[trade.symbol].base in bases
    ]
    page, following = paged(call, rows, lambda trade: trade.time_ms)
    shown = [fill(venue, trade, exchange.orders[trade.order_id].request.venue) for trade in page]
    return {"result": shown, "next": following}


def nothing_paid(venue: Venue, call: Call) -> Any:
    """funding_payment_history."""
    call.owner()
    return {"result": [], "next": ""}


def aggregated_summary(venue: Venue, call: Call) -> Any:
    account = call.owner()
    shown = account_summary(venue, account)
    return {
        "result": {
            "main_account_id": venue.sessions.key_of(account).main_account,
            "total_equity": shown["total_equity"],
            "spot_balances": [{"currency": "USDT", "balance": "0.0", "index_price": "1.0"}],
            "vault_investments": [],
            "total_sub_account_balance": shown["spot_balances"][0]["balance"],
            "total_sub_account_equity": shown["total_equity"],
            "total_vault_investments_balance": "0.0",
            "total_sub_account_available_balance": shown["available_balance"],
            "total_usd_notional_invested": "0.0",
        }
    }


def funding_summary(venue: Venue, call: Call) -> Any:
    account = call.owner()
    return {
        "result": {
            "main_account_id": venue.sessions.key_of(account).main_account,
            "total_equity": "0.0",
            "spot_balances": [{"currency": "USDT", "balance": "0.0", "index_price": "1.0"}],
            "vault_investments": [],
            "total_cash_balance": "0.0",
            "total_spot_asset_balance": "0.0",
        },
        "tier": {"tier": 1, "futures_taker_fee": 450, "futures_maker_fee": -1},
    }


def sub_accounts(venue: Venue, call: Call) -> Any:
    return {"sub_account_ids": [call.owner()]}


def all_leverage(venue: Venue, call: Call) -> Any:
    owner = venue.exchange.accounts[call.owner()]
    return {
        "results": [
            {
                "instrument": symbol,
                "leverage": text(Decimal(owner.leverage_of(symbol))),
                "min_leverage": "1.0",
                "max_leverage": text(Decimal(MOST_LEVERAGE)),
                "margin_type": "CROSS",
            }
            for symbol in venue.exchange.instruments
        ]
    }


def set_leverage(venue: Venue, call: Call) -> Any:
    account = call.owner()
    symbol = venue.instrument(call.body.get("instrument")).symbol
    try:
        leverage = Decimal(str(call.body.get("leverage")))
    except InvalidOperation:
        raise VenueError(1003) from None
    if not leverage.is_finite() or not 1 <= leverage <= MOST_LEVERAGE:
        raise VenueError(2100)
    venue.exchange.accounts[account].leverages[symbol] = int(leverage)
    return {"success": True}
